"""The second half of the seeds of every test run; two files, because each goes to one process."""

from __future__ import annotations

import pytest

from tests.sim.run import run_one

SEEDS = 150
CHUNK = 10


@pytest.mark.parametrize("start", range(1 * SEEDS, 2 * SEEDS, CHUNK))
def test_seeds_pass_every_checker(start: int) -> None:
    """Whole clusters under drawn faults; the message of a failure holds the command to replay."""
    results = [run_one(seed) for seed in range(start, start + CHUNK)]
    failed = [f"{result.failure}\n{result.replay}" for result in results if result.failure]
    assert not failed, "\n".join(failed)
    assert all(result.heights > 1 for result in results)
