"""Planted bugs: each file replaces what it says, and a sample is found as the whole list would be.

`make sim-planted` looks for all of them.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.sim import planted_run
from tests.sim.planted_run import HARMLESS, LOUD, read_hints, search
from tests.sim.planted_search import Found
from tests.sim.planting import load, names, original

ROOT = Path(__file__).parents[2]
BUGS_MIN = 25
SAMPLE = ("quorum_2f", "certificate_left_behind", "lowest_view_wins", "longer_spellings_read")
"""A formula, a view change that forgets, one that chooses wrongly, one for a named test."""


@pytest.fixture(scope="module")
def found() -> list[Found]:
    """What the search finds of the sample and of both canaries, each in a process of its own."""
    return search([*SAMPLE, HARMLESS, LOUD])


def function_of(item: Any) -> Any:
    """What stands behind a property or a class method."""
    if isinstance(item, property):
        return item.fget
    return inspect.unwrap(getattr(item, "__func__", item))


@pytest.mark.parametrize("name", [*names(), HARMLESS, LOUD])
def test_it_replaces_one_function_by_another(name: str) -> None:
    """The target exists, takes the same parameters and has another source."""
    planted = load(name)
    right, wrong = function_of(original(planted)), function_of(planted.wrong)
    skipped = 1 if isinstance(original(planted), classmethod) else 0
    assert list(inspect.signature(right).parameters)[skipped:] == list(
        inspect.signature(wrong).parameters
    )
    assert inspect.getsource(right) != inspect.getsource(wrong)
    assert bool(planted.checkers) + bool(planted.test) + planted.twice == 1
    path, _, test = planted.test.partition("::")
    assert f"def {test}(" in ROOT.joinpath(path).read_text() if test else True


@pytest.mark.parametrize("name", [*names(), HARMLESS, LOUD])
def test_it_says_who_had_it(name: str) -> None:
    """The first line says what is wrong, a later one whose bug it was."""
    text = importlib.import_module(f"tests.sim.planted.{name}").__doc__ or ""
    assert "Had by: " in text


def test_the_list_is_whole() -> None:
    """What the last whole run found is every bug that is here now."""
    assert len(names()) >= BUGS_MIN
    assert sorted(read_hints()) == names()


def test_a_sample_is_found(
    found: list[Found], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The search finds the sample and the loud canary, and nothing about the harmless one."""
    monkeypatch.setattr(planted_run, "search", lambda wanted: found)
    assert planted_run.main([*SAMPLE, HARMLESS, LOUD]) == 0
    assert f"{len(SAMPLE)} of {len(SAMPLE)} found" in capsys.readouterr().out


def test_a_survivor_is_a_failure(
    found: list[Found], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug that nobody finds makes the run fail: the harmless canary, taken for a bug."""
    survivor = [item for item in found if item.name == HARMLESS]
    monkeypatch.setattr(planted_run, "search", lambda wanted: survivor)
    monkeypatch.setattr(planted_run, "names", lambda: [HARMLESS])
    monkeypatch.setattr(planted_run, "HARMLESS", "none")
    assert planted_run.main([HARMLESS]) == 1
    assert f"FAILED {HARMLESS}: nobody found it" in capsys.readouterr().out
