"""Tables, JSON values and the wait with a reason."""

from __future__ import annotations

import json

import click
import pytest

from cli import output
from cli.base import Command
from node.api.schemas import Fees
from tests.cli.conftest import Marsa


def in_command(call: object, *arguments: str) -> None:
    """Run `call` inside a command that was given the globals."""
    command = Command("probe", callback=call, params=[])  # type: ignore[arg-type]
    command.main(list(arguments), standalone_mode=False)


def test_json_values_are_plain(marsa: Marsa) -> None:
    """Bytes become hex, structs objects; `schema` stands first; one line."""
    fees = Fees(per_byte="1", per_signature="50", per_new_output="200")
    text = output.json_text("marsa.x/1", {"raw": b"\x01\xff", "fees": fees, "name": "مرساة"})
    assert list(json.loads(text)) == ["schema", "raw", "fees", "name"]
    assert json.loads(text)["raw"] == "01ff"
    assert "\n" not in text and "مرساة" in text


def test_tables_align() -> None:
    """Columns are as wide as their widest cell, the last is not padded."""
    assert output.table(["a", "long"], [["wide", "x"], ["y", ""]]) == "a     long\nwide  x\ny"


def test_a_wait_says_each_reason_once(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal: one line on stderr for each new reason, none with -q."""

    def wait() -> None:
        with output.Waiting("waiting", 60_000) as waiting:
            for reason in ("val2 is missing", "val2 is missing", "voting"):
                waiting.because(reason)
            assert 0 < waiting.left_ms <= 60_000
            assert waiting.reason == "voting"

    in_command(wait)
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.split(" (")[0] for line in err.splitlines()] == [
        "waiting: val2 is missing",
        "waiting: voting",
    ]
    in_command(wait, "-q")
    assert capfd.readouterr() == ("", "")


def test_an_elapsed_wait_has_nothing_left() -> None:
    """The deadline of a wait of 0 ms is over at once."""
    in_command(lambda: None)
    with click.Context(Command("probe")), output.Waiting("waiting", 0) as waiting:
        assert waiting.left_ms == 0
