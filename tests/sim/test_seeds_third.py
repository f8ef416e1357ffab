"""The third part of the seeds of every test run."""

from __future__ import annotations

import pytest

from tests.sim.seeds import check_again, check_chunk, chunks

PART = 2


@pytest.mark.parametrize("start", chunks(PART))
def test_seeds_pass_every_checker(start: int) -> None:
    """Whole clusters under drawn faults, twenty at a time."""
    check_chunk(start)


def test_traces_are_the_same_under_another_hash_seed() -> None:
    """One in 25 of these seeds runs once more in a process that orders its sets otherwise."""
    check_again(PART)
