"""Every plan that once failed runs for ever; each file in `regressions` says what it found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.sim.run import Regression, replay_of_file, run_plan

FILES = sorted((Path(__file__).parent / "regressions").glob("*.json"))
WITH_BUG = """
import sys
from tests.sim import planting, run
planting.plant(planting.load(sys.argv[1]))
sys.exit(run.main(["--plan", sys.argv[2]]))
"""


def read(path: Path) -> Regression:
    return msgspec.json.decode(path.read_bytes(), type=Regression)


BUGS = {path: bug for path in FILES if (bug := read(path).bug)}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_it_stays_fixed(path: Path) -> None:
    """The very plan that failed passes every checker."""
    regression = read(path)
    result = run_plan(regression.plan)
    assert not result.failure, f"{regression.found} {result.failure}\n{replay_of_file(path)}"


@pytest.mark.parametrize("path", BUGS, ids=[path.stem for path in BUGS])
def test_it_still_finds_what_it_found(path: Path) -> None:
    """A plan takes another course when the node or a fault changes, and might meet it no more."""
    command = [sys.executable, "-c", WITH_BUG, BUGS[path], str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, "FAILED" in ended.stdout) == (1, True), ended


def test_there_are_regressions() -> None:
    """An empty directory would pass without running anything."""
    assert len(FILES) >= 3
    assert len(BUGS) >= 3
