"""The mutator changes one thing at a time, and each change is another program."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.sim import mutants
from tests.sim.mutants import Mutant, Mutator, mutants_of

SOURCE = """
def f(a: int = 1) -> bool:
    if a < 2 and not a == 3:
        return a + 4
    raise ValueError(5 < 6)
"""
CHANGES = {
    "if a < 3 and",
    "if a <= 2 and",
    "if a < 2 or",
    "not a != 3",
    "not a == 4",
    "and a == 3",
    "return None",
    "return a - 4",
    "return a + 5",
}


def test_each_change_is_made_once() -> None:
    """All kinds of change in one function; its annotations, defaults and errors stay."""
    texts = []
    for wanted in range(len(CHANGES)):
        tree = Mutator(wanted).visit(ast.parse(SOURCE))
        texts.append(ast.unparse(ast.fix_missing_locations(tree)))
    assert len(set(texts)) == len(CHANGES)
    assert all(any(change in text for text in texts) for change in CHANGES)
    assert all("f(a: int=1)" in text and "5 < 6" in text for text in texts)
    unchanged = Mutator(len(CHANGES))
    assert ast.unparse(unchanged.visit(ast.parse(SOURCE))) == ast.unparse(ast.parse(SOURCE))
    assert len(unchanged.labels) == len(CHANGES)


def test_every_module_of_consensus_offers_mutants() -> None:
    """A module that is not found, or a kind of syntax that is not seen, would give none."""
    for module in ("quorum", "view_change", "changing", "normal_case", "replica", "status"):
        assert len(mutants_of(f"consensus.{module}")) >= 10


def test_a_campaign_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of a module's mutants, then the rest of them; other code begins anew."""
    ran: list[str] = []

    def survives(mutant: Mutant) -> bool:
        ran.append(mutant.name)
        return mutant.index < 0 or mutant.index % 10 == 0

    monkeypatch.setattr(mutants, "survives", survives)
    options = ["--only", "consensus.quorum", "--state", str(tmp_path / "state.json"), "--jobs", "1"]
    every = [mutant.name for mutant in mutants_of("consensus.quorum")]
    assert mutants.main([*options, "--every", "2"]) == 0
    assert sorted(ran[1:]) == sorted(every[::2])
    assert mutants.main(options) == 0
    assert sorted(ran[1:]) == sorted([*every, mutants.UNCHANGED.name])
    killed = len(every) - len(every[::10])
    assert f"{killed} of {len(every)} mutants noticed" in capsys.readouterr().out
    monkeypatch.setattr(mutants, "JUDGED", ("consensus",))
    with pytest.raises(SystemExit, match="of another version"):
        mutants.main(options)
