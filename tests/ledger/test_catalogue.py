"""The table of operations: complete, and the one that the documents show."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from ledger.catalogue import TABLE, allowed, markdown
from ledger.operations import Operation
from ledger.state import _HANDLERS

DOCUMENT = Path(__file__).parents[2] / "docs" / "ECONOMY.md"


def test_every_operation_has_one_row() -> None:
    """Of the union that transactions hold, each type stands once; no name stands twice."""
    rows = [row.operation for row in TABLE]
    assert set(rows) == set(get_args(Operation))
    assert len(set(rows)) == len(rows) == len({row.name for row in TABLE})


def test_every_operation_has_a_handler() -> None:
    """But those on licences, which share one."""
    by_type = {row.operation for row in TABLE} - _HANDLERS.keys()
    assert {kind.__name__ for kind in by_type} == {"Remove", "Suspend", "Revoke", "Reinstate"}


def test_the_document_shows_the_table() -> None:
    """Between its two marks stands what `python -m ledger.catalogue` prints."""
    text = DOCUMENT.read_text()
    _, _, rest = text.partition("<!-- operations: written by `python -m ledger.catalogue` -->")
    shown, _, _ = rest.partition("<!-- end of operations -->")
    assert shown.strip() == markdown()


def test_what_may_be_done_with_an_object_follows_from_its_state() -> None:
    """A live commitment may be challenged, a contested one ruled on, a void one nothing."""
    assert "challenge" in allowed("commitment", "live")
    assert "challenge" not in allowed("commitment", "contested")
    assert "rule" in allowed("commitment", "contested")
    assert allowed("commitment", "void") == []
    assert "burn" in allowed("issuer", "deficit")
    assert "mint" not in allowed("issuer", "deficit")
