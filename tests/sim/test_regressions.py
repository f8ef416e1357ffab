"""Every plan that once failed runs for ever; each file in `regressions` says what it found."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.sim.plan import Plan
from tests.sim.run import run_plan

FILES = sorted((Path(__file__).parent / "regressions").glob("*.json"))


class Regression(msgspec.Struct, forbid_unknown_fields=True):
    """One file."""

    found: str
    plan: Plan


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_it_stays_fixed(path: Path) -> None:
    """The very plan that failed passes every checker."""
    regression = msgspec.json.decode(path.read_bytes(), type=Regression)
    result = run_plan(regression.plan)
    assert not result.failure, f"{regression.found} {result.failure}"


def test_there_are_regressions() -> None:
    """An empty directory would pass without running anything."""
    assert len(FILES) >= 3
