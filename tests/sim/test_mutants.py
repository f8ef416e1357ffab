"""The mutator changes one thing at a time, and each change is another program."""

from __future__ import annotations

import ast

from tests.sim.mutants import Mutator, mutants_of

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
