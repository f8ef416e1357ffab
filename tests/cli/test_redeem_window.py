"""A window that is refused: which one is possible, and the command that asks for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import ExitCode
from cli.spans import exact_span, parse_span
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode
from tests.cli.redeem_world import code_of, orders_node

WANTED = ("--class", "cpu", "--workload", "hashing", "--issuer", "acme")


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    yield from orders_node(marsa_home, monkeypatch)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("--within 2m", "--within 4m"),
        ("--within 90d", "--within 168m"),
        ("--start-by 30s", "--start-by 3m"),
        ("--start-by 20m --within 5m", "--start-by 20m --within 21m"),
        ("--start-by 9h", "--start-by 167m"),
        ("--queue 10h", "--queue 164m"),
        ("--queue 10m --start-by 5m", "--queue 10m --start-by 13m"),
        ("--queue 10m --within 7m", "--queue 10m --within 14m"),
    ],
)
def test_the_next_command_asks_for_what_is_possible(
    marsa: Marsa, node: LiveNode, asked: str, kept: str
) -> None:
    """With all that was asked for besides; and it is taken, by quote and by submit."""
    more = (*WANTED, *asked.split())
    lines = marsa("redeem", "quote", "0.5", *more).out.splitlines()
    assert lines[0].endswith("no: bad_window")
    said = " ".join(line.strip() for line in lines[1:-1])
    assert "possible now: " in said
    assert lines[-1] == f"next: marsa redeem quote 0.500000 {' '.join(WANTED)} {kept}"
    again = marsa(*shlex.split(lines[-1])[2:], "--json").json
    assert (again["code"], again["allowed"]) == ("", True)
    refused = marsa("redeem", "submit", "0.5", "--from", "alice", *more, "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "bad_window")
    assert "; possible now: " in refused.json["error"]["message"]
    done = marsa(*shlex.split(refused.json["error"]["hint"])[1:], "--json")
    assert (done.code, done.json["state"]) == (0, "requested")


def test_the_bounds_are_told_as_they_are_typed(marsa: Marsa, node: LiveNode) -> None:
    refused = marsa("redeem", "quote", "1", *WANTED, "--queue", "10m", "--within", "2m").out
    said = "possible now: --queue 10m, --start-by 13m or more, --within 14m to 168m"
    assert said in " ".join(refused.split())


def test_a_span_as_it_is_typed() -> None:
    for text in ("1s", "90s", "4m", "168m", "3h", "2d"):
        assert exact_span(parse_span(text)) == text
    assert exact_span(59_001) == "1m"
