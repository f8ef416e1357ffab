"""A digest stands for one run; that equal seeds give equal digests is asked in `test_seeds_*`."""

from __future__ import annotations

from tests.sim.run import run_one


def test_seeds_differ() -> None:
    """Two seeds are two runs: the digest covers what happened."""
    assert run_one(1).digest != run_one(2).digest
