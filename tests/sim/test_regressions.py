"""Every plan that once failed runs for ever; each file in `regressions` says what it found."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.sim.run import Regression, replay_of_file, run_plan

FILES = sorted((Path(__file__).parent / "regressions").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_it_stays_fixed(path: Path) -> None:
    """The very plan that failed passes every checker."""
    regression = msgspec.json.decode(path.read_bytes(), type=Regression)
    result = run_plan(regression.plan)
    assert not result.failure, f"{regression.found} {result.failure}\n{replay_of_file(path)}"


def test_there_are_regressions() -> None:
    """An empty directory would pass without running anything."""
    assert len(FILES) >= 3
