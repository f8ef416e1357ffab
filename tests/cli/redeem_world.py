"""A live node whose orders move as its clock does, and what both sides of one do by hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cli import payments
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import devnet_node
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS

CERTIFICATE = "ab" * 32
WANTED = ("--class", "h100x8", "--workload", "training")
SUBMIT = ("redeem", "submit", "1", "--from", "alice", *WANTED)


def orders_node(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    """What a fixture yields from."""
    moments = count(TIME_MS)  # no two transactions are alike
    monkeypatch.setattr(payments, "now_ms", lambda: next(moments))
    with devnet_node(home) as node:
        yield node


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def shown(marsa: Marsa, order: str) -> Any:
    return marsa("redeem", "status", order, "--json").json["order"]


def passes(node: LiveNode, seconds: int) -> None:
    """Empty blocks until the ledger clock is so much later."""

    def run() -> None:
        for _ in range(-(-seconds // 30)):
            node.decide([], after_ms=30_000)

    node.inside(run)


def ready(marsa: Marsa, order: str) -> None:
    place = ("--endpoint", "127.0.0.1:9000", "--certificate", CERTIFICATE)
    assert marsa("redeem", "accept", order, *place).code == 0
