"""`marsa standard`: looked at, proposed, withdrawn; what a step does to issuers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import payments
from cli.errors import ExitCode
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import devnet_node
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def test_show_propose_withdraw(marsa: Marsa, node: LiveNode) -> None:
    """What is in force; then the step beside it, and gone again."""
    held = marsa("standard", "show", "--json").json
    assert (held["schema"], held["state"]) == ("marsa.standard.show/1", "none")
    assert held["active"]["version"] == 1
    lines = marsa("standard", "show").out.splitlines()
    assert lines[0].startswith("standard 1, in force since ")
    assert "units an hour  training     30000" in lines
    made = marsa("standard", "propose", "--raise", "training=33000", "--json").json
    assert (made["schema"], made["approvals"]) == ("marsa.standard.propose/1", 3)
    shown = marsa("standard", "show").out
    assert "step to 2, noticed: takes effect in " in shown
    assert "cuts factors by up to 9.09 %" in shown
    assert "units an hour  training     30000 -> 33000" in shown
    assert "h100x8         training     8000000 -> 7272728" in shown
    open_step = marsa("standard", "propose", "--raise", "training=33001", "--json")
    assert code_of(open_step) == (ExitCode.REJECTED, "step_open")
    back = marsa("standard", "withdraw", "--json").json
    assert back["schema"] == "marsa.standard.withdraw/1"
    assert marsa("standard", "show", "--json").json["step"] is None
    (only,) = marsa("standard", "history", "--json").json["standards"]
    assert (only["version"], only["until_ms"]) == (1, None)
    assert "training 30000" in marsa("standard", "history").out


def test_impact_of_the_open_step_and_of_any(marsa: Marsa, node: LiveNode) -> None:
    """The same figures before it is proposed and after."""
    none = marsa("standard", "impact", "--json")
    assert code_of(none) == (ExitCode.NOT_FOUND, "no_step")
    numbers = ("--raise", "training=33000", "--raise", "video=70", "--add", "l40sx8/video=1000")
    asked = marsa("standard", "impact", *numbers, "--json").json
    assert asked["schema"] == "marsa.standard.impact/1"
    acme = asked["issuers"][0]
    assert acme["issuer"] == "acme" and int(acme["reserve_after"]) < int(acme["reserve"])
    assert marsa("standard", "propose", *numbers).code == 0
    told = marsa("standard", "impact", "--json").json["issuers"][0]
    assert told["margin_limit_after"] == acme["margin_limit_after"]
    text = marsa("standard", "impact").out.splitlines()
    assert text[0].split()[:3] == ["issuer", "outstanding", "coverage"]
    assert text[1].endswith("none")


def test_what_a_step_must_say(marsa: Marsa, node: LiveNode) -> None:
    """Numbers in their form, something that rises, no more than may be cut at once."""
    propose = ("standard", "propose", "--json")
    assert code_of(marsa(*propose)) == (ExitCode.USAGE, "usage")
    for wrong in (("--raise", "training"), ("--raise", "training=1.5"), ("--add", "video=3")):
        assert code_of(marsa(*propose, *wrong)) == (ExitCode.USAGE, "bad_step")
    for numbers, code in (
        (("--raise", "training=30000"), "reference_falls"),
        (("--raise", "training=40000"), "cut_too_large"),
        (("--raise", "dancing=7"), "bad_standard"),
        (("--raise", "training=9999999999999"), "malformed"),
    ):
        assert code_of(marsa(*propose, *numbers)) == (ExitCode.REJECTED, code)
        assert code_of(marsa("standard", "impact", *numbers, "--json"))[1] == code
    assert code_of(marsa("standard", "withdraw", "--json")) == (ExitCode.NOT_FOUND, "no_step")


def test_from_hand_to_hand(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """--ptx: validators sign one after the other, without the regulator."""
    file = tmp_path / "step.ptx"
    made = marsa("standard", "propose", "--raise", "training=33000", "--ptx", file)
    assert "3 of 4, the validators of epoch 0" in made.out and "regulator" not in made.out
    assert "propose standard 2: units an hour training 33000; new factors none" in made.out
    for name in ("acme", "bolt", "coral"):
        assert marsa("tx", "sign", file, "--validator", name).code == 0
    assert marsa("tx", "submit", file).code == 0
    assert marsa("standard", "show", "--json").json["state"] == "noticed"
    back = tmp_path / "back.ptx"
    assert marsa("standard", "withdraw", "--ptx", back).code == 0
    for name in ("acme", "bolt", "delta"):
        assert marsa("tx", "sign", back, "--validator", name).code == 0
    assert marsa("tx", "submit", back).code == 0
    assert marsa("standard", "show", "--json").json["state"] == "none"
