"""`marsa compliance`: an order freezes an account until a day, is renewed and lifted."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from cli import payments
from cli.errors import ExitCode
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import devnet_node
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS

DAY_MS = 24 * 3_600_000


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "order.pdf"
    file.write_bytes(b"by order of the court")
    return file


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def test_freeze_renew_lift(marsa: Marsa, node: LiveNode, document: Path) -> None:
    """Named, alice does not pay, but is paid; the order is public; lifted, she pays again."""
    assert marsa("compliance", "list").out == "no order is in force\n"
    order = ("compliance", "order", "case-7", "--target", "alice", "--reference", document)
    made = marsa(*order, "--for", "30d", "--json").json
    assert (made["schema"], made["approvals"]) == ("marsa.compliance.order/1", 5)
    frozen = marsa("tx", "send", "bob", "5", "--from", "alice", "--json")
    assert code_of(frozen) == (ExitCode.REJECTED, "frozen")
    assert frozen.json["error"]["hint"] == "marsa compliance list"
    assert marsa("tx", "send", "alice", "5", "--from", "bob").code == 0
    (shown,) = marsa("compliance", "list", "--json").json["orders"]
    assert shown["reference"] == sha256(document.read_bytes()).hexdigest()
    lines = marsa("compliance", "list").out.splitlines()
    assert "case-7" in lines[1] and "29d" in lines[1]
    renewed = marsa("compliance", "renew", "case-7", "--for", "60d", "--json").json
    assert renewed["schema"] == "marsa.compliance.renew/1"
    (later,) = marsa("compliance", "list", "--json").json["orders"]
    assert later["deadline_ms"] - shown["deadline_ms"] >= 30 * DAY_MS
    lifted = marsa("compliance", "lift", "case-7", "--json").json
    assert lifted["schema"] == "marsa.compliance.lift/1"
    assert marsa("tx", "send", "bob", "5", "--from", "alice").code == 0


def test_what_an_order_must_say(marsa: Marsa, node: LiveNode, document: Path) -> None:
    """A document, one end, one that the chain allows, and a name in force for the next step."""
    order = ("compliance", "order", "case-7", "--target", "alice", "--json", "--reference")
    assert code_of(marsa(*order, "no such file", "--for", "1d")) == (
        ExitCode.USAGE,
        "bad_reference",
    )
    assert code_of(marsa(*order, document)) == (ExitCode.USAGE, "usage")
    both = marsa(*order, document, "--for", "1d", "--until", "2099-01-01")
    assert code_of(both) == (ExitCode.USAGE, "usage")
    assert code_of(marsa(*order, "ab" * 32, "--for", "91d")) == (ExitCode.REJECTED, "no_expiry")
    assert marsa(*order, "ab" * 32, "--for", "90d").code == 0
    assert code_of(marsa(*order, "ab" * 32, "--for", "1d")) == (ExitCode.REJECTED, "bad_order")
    unknown = marsa("compliance", "lift", "case-8", "--json")
    assert code_of(unknown) == (ExitCode.NOT_FOUND, "unknown_order")
    assert "case-7" in unknown.json["error"]["message"]


def test_from_hand_to_hand(marsa: Marsa, node: LiveNode, document: Path, tmp_path: Path) -> None:
    """--ptx: validators and regulator sign one after the other, then anybody sends it."""
    file = tmp_path / "order.ptx"
    order = ("compliance", "order", "case-7", "--target", "alice", "--reference", document)
    made = marsa(*order, "--for", "30d", "--ptx", file)
    assert "3 of 4, the validators of epoch 0 and 2 of 3, the regulator" in made.out
    for name in ("acme", "bolt", "coral"):
        assert marsa("tx", "sign", file, "--validator", name).code == 0
    for number in ("1", "3"):
        assert marsa("tx", "sign", file, "--regulator", number).code == 0
    assert marsa("tx", "submit", file).code == 0
    assert len(marsa("compliance", "list", "--json").json["orders"]) == 1
