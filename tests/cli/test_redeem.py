"""`marsa redeem`: from a quote to a refund, by both sides, against a live node."""

from __future__ import annotations

import json
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from cli import redeem_orders, redeem_show
from cli.client import Client, Unreachable
from cli.delivery.rules import SignedReceipt as Kept
from cli.delivery.store import ReceiptFile
from cli.errors import ExitCode
from cli.redeem_provide import read_receipt
from ledger.economy.redemption import Receipt, receipt_hash
from p2p.licence_cert import issue_authority_certificate
from tests.cli.conftest import Marsa
from tests.cli.devnet_node import BLUEPRINT, write_json, write_role_keys
from tests.cli.live_node import LiveNode
from tests.cli.redeem_world import (
    CERTIFICATE,
    SUBMIT,
    WANTED,
    code_of,
    orders_node,
    passes,
    ready,
    shown,
)
from tests.ledger.world import COIN

LONG_DEADLINE_S = 20


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    yield from orders_node(marsa_home, monkeypatch)


@pytest.fixture
def order(marsa: Marsa, node: LiveNode) -> str:
    """alice's, for a coin."""
    made = marsa(*SUBMIT, "--json")
    assert made.code == 0, made
    return str(made.json["order"])


def signed_receipt(file: Path, node: LiveNode, order: str, number: int, delivered: int) -> Path:
    """As a session writes it, by the session key in MARSA_HOME."""
    key = redeem_orders.session_key(order)
    meter = bytes([number]) * 32
    receipt = Receipt(bytes.fromhex(order), number, delivered, delivered, meter)
    signature = key.sign(receipt_hash(node.world.chain_id, receipt))
    said = {
        "order": order,
        "number": number,
        "delivered": str(delivered),
        "microhours": delivered,
        "meter_root": meter.hex(),
    }
    write_json(file, {"receipt": said, "signature": signature.hex()})
    return file


def test_a_quote_names_who_would_serve(marsa: Marsa, node: LiveNode) -> None:
    """All issuers have such machines; the figures in JSON are those of the text."""
    asked = marsa("redeem", "quote", "5", *WANTED, "--json").json
    assert asked["schema"] == "marsa.redeem.quote/1"
    assert (asked["allowed"], asked["amount"], asked["deliverable"]) == (True, "5000000", "5000000")
    assert len(asked["offers"]) == 4
    lines = marsa("redeem", "quote", "5", *WANTED, "--issuer", "bolt").out.splitlines()
    assert lines[0] == "5.000000 coins  yes: would be taken now"
    assert "'bolt' ('bolt-h100x8')" in lines[1]
    assert max(map(len, lines)) <= 110
    assert lines[-1] == (
        "next: marsa redeem submit 5.000000 --from NAME --class h100x8 --workload training "
        "--issuer bolt"
    )


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--class", "l40sx8", "--workload", "training"), "unknown_class"),
        (("--class", "quantum", "--workload", "training"), "unknown_commitment"),
        ((*WANTED, "--issuer", "nobody"), "unknown_commitment"),
        ((*WANTED, "--within", "2m"), "bad_window"),
        ((*WANTED, "--region", "moon"), "unknown_commitment"),
    ],
)
def test_a_no_is_an_answer_and_refuses_the_order(
    marsa: Marsa, node: LiveNode, marsa_home: Path, more: tuple[str, ...], code: str
) -> None:
    """The quote ends well and says why; nothing is sent, and no key is made."""
    asked = marsa("redeem", "quote", "5", *more, "--json")
    assert (asked.code, asked.json["allowed"], asked.json["code"]) == (0, False, code)
    text = marsa("redeem", "quote", "5", *more).out
    assert f"no: {code}" in text and text.splitlines()[-1].startswith("next: ")
    refused = marsa("redeem", "submit", "5", "--from", "alice", *more, "--json")
    assert code_of(refused)[0] in (ExitCode.REJECTED, ExitCode.NOT_FOUND)
    assert code_of(refused)[1] == code
    assert not (marsa_home / "orders").exists()


def test_more_than_is_free_waits_or_is_refused(marsa: Marsa, node: LiveNode) -> None:
    """The hours of a week are promised many times; --queue takes what --within refuses."""
    much = ("redeem", "quote", "300", *WANTED, "--issuer", "acme", "--within", "10m")
    refused = marsa(*much, "--json").json
    assert refused["code"] == "no_free_hours"
    waits = marsa(*much, "--queue", "2m", "--json").json
    assert (waits["allowed"], waits["is_queued"]) == (True, True)
    assert "yes: would wait, 0 before it, asked in " in marsa(*much, "--queue", "2m").out
    assert "cancelled before, let it wait for longer" in marsa(*much, "--queue", "1s").out


def test_the_key_is_kept_before_anything_is_sent(
    marsa: Marsa, node: LiveNode, marsa_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is gone as soon as the order is signed: the outcome is unknown, the key is there,
    private, and names the order that then arrives."""
    taken: list[bytes] = []

    def lose(_: Client, raw: bytes) -> None:
        taken.append(raw)
        raise Unreachable(node.url, "gone")

    with monkeypatch.context() as patched:
        patched.setattr(Client, "submit", lose)
        lost = marsa(*SUBMIT, "--json")
    assert code_of(lost) == (ExitCode.TIMEOUT, "outcome_unknown")
    (file,) = (marsa_home / "orders").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    held = redeem_orders.load(file.stem)
    assert held is not None
    assert (held.order, held.owner, held.amount) == (file.stem, "alice", "1000000")
    assert (held.chain_id, held.network) == (node.world.chain_id.hex(), "devnet")
    assert f"order {file.stem}" in lost.err.splitlines()
    assert held.session_seed not in lost.out + lost.err
    assert marsa("redeem", "list", "--json").json["unknown"] == [file.stem]
    with Client(node.url) as client:
        client.submit(taken[0])
    found = shown(marsa, file.stem)
    assert (found["state"], found["session_key"]) == (
        "requested",
        held.session_key.public.hex(),
    )


def test_no_key_is_made_for_an_order_that_cannot_be_paid(
    marsa: Marsa, node: LiveNode, marsa_home: Path
) -> None:
    refused = marsa(
        "redeem", "submit", "11000", "--from", "alice", *WANTED, "--issuer", "acme", "--json"
    )
    assert refused.code == ExitCode.REJECTED
    assert not (marsa_home / "orders").exists()


def test_submit_says_what_was_ordered(marsa: Marsa, node: LiveNode) -> None:
    """Coins of whom she holds most; the terms hold; the next command follows it."""
    made = marsa(*SUBMIT, "--json").json
    assert (made["schema"], made["status"], made["state"]) == (
        "marsa.redeem.submit/1",
        "final",
        "requested",
    )
    assert (made["issuer"], made["commitment"]) == ("acme", "acme-h100x8")
    assert made["end_ms"] % 60_000 == 0 and made["end_ms"] > made["start_by_ms"]
    assert Path(made["file"]).is_file()
    lines = marsa(*SUBMIT, "--issuer", "bolt").out.splitlines()
    assert [line.split()[0] for line in lines] == ["txid", "order", "1.000000", "final", "next:"]
    assert lines[-1] == f"next: marsa redeem status {lines[1].split()[1][:12]} -w"


def test_the_whole_way_by_hand(marsa: Marsa, node: LiveNode, order: str, tmp_path: Path) -> None:
    """Accepted, ready, two receipts, closed, settled: what was delivered is burned, the rest is
    back."""

    def supply() -> tuple[int, int]:
        row = marsa("coin", "supply", "--issuer", "acme", "--json").json["assets"][0]
        return int(row["supply"]), int(row["reserve"])

    accepted = marsa("redeem", "accept", order, "--json").json
    assert (accepted["schema"], accepted["state"]) == ("marsa.redeem.accept/1", "accepted")
    place = ("--endpoint", "127.0.0.1:9000", "--certificate", CERTIFICATE)
    assert marsa("redeem", "accept", order, *place, "--json").json["state"] == "ready"
    before = supply()
    for number, delivered in ((1, COIN // 4), (7, COIN // 2)):
        file = signed_receipt(tmp_path / f"{number}.json", node, order, number, delivered)
        posted = marsa("redeem", "receipt", file, "--json").json
        assert (posted["schema"], posted["delivered"]) == (
            "marsa.redeem.receipt/1",
            str(delivered),
        )
    stale = marsa("redeem", "receipt", tmp_path / "1.json", "--json")
    assert code_of(stale) == (ExitCode.REJECTED, "stale_receipt")
    after = supply()
    assert before[0] - after[0] == COIN // 2
    assert abs((before[1] - after[1]) - COIN // 2) <= 1
    text = marsa("redeem", "status", order[:8]).out
    assert "way        requested > accepted > ready > [active] > closing > settled" in text
    assert "[###############...............] 0.500000 of 1.000000 coins, 50.00 %" in text
    assert "who        both, at 127.0.0.1:9000: compute against signed receipts" in text
    closed = marsa("redeem", "close", order[:8], "--json").json
    assert (closed["schema"], closed["by"]) == ("marsa.redeem.close/1", "holder")
    passes(node, 90)
    ended = shown(marsa, order)
    assert (ended["state"], ended["burned"], ended["refunded"]) == ("settled", "500000", "500000")
    assert "who        nobody: it is over" in marsa("redeem", "status", order).out


def test_accept_makes_ready_at_once(
    marsa: Marsa, node: LiveNode, order: str, tmp_path: Path
) -> None:
    """Two transactions; the certificate may be a file."""
    file = tmp_path / "cert.der"
    file.write_bytes(issue_authority_certificate(BLUEPRINT.authority_key, "Serving"))
    half = marsa("redeem", "accept", order, "--endpoint", "127.0.0.1:9000", "--json")
    assert code_of(half) == (ExitCode.USAGE, "usage")
    bad = marsa("redeem", "accept", order, "--endpoint", "h:1", "--certificate", "nofile", "--json")
    assert code_of(bad) == (ExitCode.USAGE, "bad_certificate_file")
    ready_now = marsa(
        "redeem", "accept", order, "--endpoint", "127.0.0.1:9000", "--certificate", file, "--json"
    )
    assert ready_now.json["state"] == "ready"
    assert shown(marsa, order)["session_hash"] == sha256(file.read_bytes()).hexdigest()


def test_cancel_and_whoever_has_no_key(
    marsa: Marsa, node: LiveNode, order: str, marsa_home: Path
) -> None:
    """The session key cancels; where it is not, nothing is signed."""
    file = marsa_home / "orders" / f"{order}.json"
    kept = file.read_text()
    file.unlink()
    assert code_of(marsa("redeem", "cancel", order, "--json")) == (
        ExitCode.NOT_FOUND,
        "unknown_key",
    )
    write_json(file, json.loads(kept))
    done = marsa("redeem", "cancel", order, "--json").json
    assert (done["schema"], done["amount"]) == ("marsa.redeem.cancel/1", "1000000")
    assert "who        nobody: the next block settles it" in marsa("redeem", "status", order).out
    again = marsa("redeem", "cancel", order, "--json")
    assert code_of(again) == (ExitCode.REJECTED, "wrong_state")
    assert again.json["error"]["hint"] == "marsa redeem status ORDER"
    passes(node, 1)
    assert shown(marsa, order)["refunded"] == "1000000"


def test_other_roles_keys_are_refused(
    marsa: Marsa, node: LiveNode, order: str, tmp_path: Path
) -> None:
    """--key of another issuer is refused before anything is signed; its own works."""
    other = write_role_keys(tmp_path / "bolt.json", "bolt")
    refused = marsa("redeem", "accept", order, "--key", other, "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "wrong_role_key")


def test_a_dispute_by_the_holder_is_upheld(marsa: Marsa, node: LiveNode, order: str) -> None:
    """The deposit is a share of what is left, in another coin; three of the panel decide, and all
    comes back with a penalty."""
    ready(marsa, order)
    early = marsa("redeem", "dispute", order, "--from", "alice", "--json")
    assert code_of(early) == (ExitCode.REJECTED, "wrong_state")
    marsa("redeem", "close", order)
    opened = marsa("redeem", "dispute", order, "--from", "alice", "--json").json
    assert (opened["schema"], opened["by"]) == ("marsa.redeem.dispute/1", "holder")
    assert (opened["deposit"], opened["claimed"], len(opened["panel"])) == ("10000", "0", 5)
    assert bytes.fromhex(opened["asset"]) != node.world.asset("acme")
    text = marsa("redeem", "status", order).out
    assert "[disputed] > ruled" in text
    assert f"panel      {', '.join(opened['panel'])}" in text
    assert "who        the panel: 0 uphold, 0 dismiss, 3 decide" in text
    for votes, name in enumerate(opened["panel"][:3], 1):
        ruled = marsa("redeem", "rule", order, "--attestor", name, "--uphold", "--json").json
        assert (ruled["schema"], ruled["votes_upheld"]) == ("marsa.redeem.rule/1", votes)
    passes(node, 1)
    ended = shown(marsa, order)
    assert (ended["state"], ended["refunded"]) == ("ruled", "1000000")
    none = marsa("redeem", "rule", order, "--attestor", "vantage", "--uphold", "--json")
    assert code_of(none) == (ExitCode.REJECTED, "unknown_dispute")


def test_a_dispute_by_the_issuer_claims(
    marsa: Marsa, node: LiveNode, order: str, tmp_path: Path
) -> None:
    """--claimed says that the issuer speaks; upheld, what it claimed is burned."""
    ready(marsa, order)
    marsa("redeem", "receipt", signed_receipt(tmp_path / "1", node, order, 1, COIN // 4))
    assert marsa("redeem", "close", order, "--by", "issuer", "--json").json["by"] == "issuer"
    silent = marsa("redeem", "dispute", order, "--from", "bob", "--by", "issuer", "--json")
    assert code_of(silent) == (ExitCode.USAGE, "usage")
    claim = ("redeem", "dispute", order, "--from", "bob", "--claimed", "0.75", "--json")
    opened = marsa(*claim).json
    assert (opened["by"], opened["claimed"]) == ("issuer", "750000")
    for name in opened["panel"][:3]:
        marsa("redeem", "rule", order, "--attestor", name, "--uphold")
    passes(node, 1)
    ended = shown(marsa, order)
    assert (ended["burned"], ended["refunded"]) == ("750000", "250000")


def test_how_an_order_is_named(marsa: Marsa, node: LiveNode, order: str) -> None:
    """By enough digits; too few, none of hex and unknown ones are told apart."""
    assert shown(marsa, order[:4])["id"] == order
    assert shown(marsa, order.upper())["id"] == order
    for text, code in (("abc", ExitCode.USAGE), ("xyzw", ExitCode.USAGE), ("g" * 64, 2)):
        assert code_of(marsa("redeem", "status", text, "--json")) == (code, "bad_order_id")
    other = "0" * 4 if not order.startswith("0000") else "1" * 4
    for text in (other, other * 16):
        refused = marsa("redeem", "status", text, "--json")
        assert code_of(refused) == (ExitCode.NOT_FOUND, "no_order")
        assert refused.json["error"]["hint"] == "marsa redeem list"


def test_a_prefix_of_two_orders_is_ambiguous(
    marsa: Marsa, node: LiveNode, order: str, marsa_home: Path
) -> None:
    """One that only this machine knows counts as well."""
    twin = order[:8] + ("0" * 56 if order[8] != "0" else "f" * 56)
    kept = json.loads((marsa_home / "orders" / f"{order}.json").read_text())
    write_json(marsa_home / "orders" / f"{twin}.json", {**kept, "order": twin})
    assert code_of(marsa("redeem", "status", order[:8], "--json")) == (
        ExitCode.USAGE,
        "ambiguous_order",
    )
    assert shown(marsa, order[:9])["id"] == order


def test_lists_of_ones_own_and_of_all(
    marsa: Marsa, node: LiveNode, order: str, marsa_home: Path
) -> None:
    """Own ones without a filter; all others by issuer and state."""
    second = marsa(*SUBMIT, "--issuer", "bolt", "--json").json["order"]
    own = marsa("redeem", "list", "--json").json
    assert own["schema"] == "marsa.redeem.list/1"
    assert [item["id"] for item in own["orders"]] == [second, order]
    for file in (marsa_home / "orders").iterdir():
        file.unlink()
    assert marsa("redeem", "list").out.startswith("no orders")
    listed = marsa("redeem", "list", "--issuer", "bolt", "--json").json
    assert [item["id"] for item in listed["orders"]] == [second]
    lines = marsa("redeem", "list", "--state", "requested").out.splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 100
    assert code_of(marsa("redeem", "list", "--issuer", "nobody", "--json"))[0] == 6
    assert code_of(marsa("redeem", "list", "--state", "open", "--json"))[1] == "bad_request"


def test_a_watch_prints_changes_until_all_is_paid(
    marsa: Marsa, node: LiveNode, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal: first everything, then one line a change; it ends by itself."""
    steps = [
        lambda: passes(node, 30),  # no change, no line
        lambda: node.inside(lambda: node.decide([])),
        lambda: passes(node, 60),
    ]
    monkeypatch.setattr(redeem_show.time, "sleep", lambda _: steps.pop(0)() if steps else None)
    lines = marsa("redeem", "status", order, "-w").out.splitlines()
    assert lines[0] == f"order      {order}"
    assert lines[-1] == "lapsed: 0.000000 of 1.000000 delivered, 1.000000 came back"
    assert lines[-2].startswith("next: marsa redeem cancel")
    objects = marsa("redeem", "status", order, "-w", "--json").out.splitlines()
    assert [json.loads(line)["schema"] for line in objects] == ["marsa.redeem.status/1"]


@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_sees_one_screen(marsa: Marsa, node: LiveNode, order: str, columns: int) -> None:
    """A real terminal: the tracker with its present state, and the end of an order that ended;
    what is longer than a line goes on beside its label."""
    marsa("redeem", "cancel", order)
    passes(node, 1)
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "cli.main", "redeem", "status", order, "-w"]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=subprocess.PIPE,
        timeout=LONG_DEADLINE_S,
        check=False,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm"},
    )
    os.close(follower)
    text = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert done.returncode == 0, done.stderr
    assert "requested > " in text and "[cancelled]" in text
    assert "\x1b[" in text
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()
    assert max(map(len, lines)) <= columns
    at = next(number for number, line in enumerate(lines) if "order      " in line)
    assert lines[at][-8:] == (order[-8:] if columns == 120 else order[41:49])
    assert lines[at + 1].startswith("of   " if columns == 120 else f"           {order[49:]}")


def test_a_damaged_order_file_is_named(
    marsa: Marsa, node: LiveNode, order: str, marsa_home: Path
) -> None:
    """Unreadable, or readable for others."""
    file = marsa_home / "orders" / f"{order}.json"
    file.chmod(0o644)
    assert code_of(marsa("redeem", "list", "--json")) == (ExitCode.LOCKED, "file_not_private")
    file.chmod(0o600)
    file.write_text("{")
    refused = marsa("redeem", "list", "--json")
    assert code_of(refused) == (ExitCode.CHECK_FAILED, "bad_file")
    assert str(file) in refused.json["error"]["message"]


def test_what_is_no_receipt(marsa: Marsa, node: LiveNode, order: str, tmp_path: Path) -> None:
    """Broken JSON, a field too many, a signature that is short; a good one reads."""
    good = signed_receipt(tmp_path / "good.json", node, order, 1, COIN)
    receipt, signature = read_receipt(good)
    assert receipt.order.hex() == order
    kept = ReceiptFile(tmp_path / "kept.receipt", receipt.order)
    kept.save(Kept(receipt, signature, 1))
    assert read_receipt(tmp_path / "kept.receipt") == (receipt, signature)
    value = json.loads(good.read_text())
    bad = tmp_path / "bad.json"
    for change in (
        "{",
        "x",
        json.dumps({**value, "x": 1}),
        json.dumps({**value, "signature": "ab"}),
    ):
        bad.write_text(change)
        assert code_of(marsa("redeem", "receipt", bad, "--json")) == (
            ExitCode.CHECK_FAILED,
            "bad_file",
        )


def test_nobody_is_told_to_dispute_what_was_delivered(
    marsa: Marsa, node: LiveNode, order: str, tmp_path: Path
) -> None:
    ready(marsa, order)
    marsa("redeem", "receipt", signed_receipt(tmp_path / "all.json", node, order, 1, COIN))
    marsa("redeem", "close", order)
    lines = marsa("redeem", "status", order).out.splitlines()
    assert "who        nobody must: all of it is delivered" in lines
    assert lines[-1] == f"next: marsa redeem status {order[:12]} -w"
