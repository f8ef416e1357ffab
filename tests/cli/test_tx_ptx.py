"""`marsa tx create|inspect|sign|combine|finalize|submit` for payments, and every refusal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import payments
from cli.errors import ExitCode
from ledger.times import rfc3339
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import BLUEPRINT, devnet_node, write_role_keys
from tests.cli.live_node import LiveNode
from tests.ledger.world import COIN, TIME_MS

DAY_MS = 24 * 3_600_000
LOCK = "2/alice,bob,carol"
NO_NODE = ("--node", "http://127.0.0.1:9")
"""The discard port: what needs no node works with it."""


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def held(marsa: Marsa, address: str) -> int:
    found = marsa("query", "address", address, "--json").json["balances"]
    return sum(int(item["amount"]) for item in found)


def fund_lock(marsa: Marsa) -> str:
    """30 coins on the lock of three; its address."""
    address = marsa("tx", "lock", LOCK, "--json").json["address"]
    assert marsa("tx", "send", address, "30", "--from", "alice").code == 0
    return str(address)


def test_a_lock_that_is_short_is_named_by_its_address(marsa: Marsa, node: LiveNode) -> None:
    """So that the command of the hint shows what it holds."""
    address = fund_lock(marsa)
    failed = marsa("tx", "create", "rent.ptx", "dave", "31", "--lock", LOCK, "--json").json["error"]
    assert failed["code"] == "insufficient_funds"
    assert failed["message"].startswith(f"{address} has 30.000000")
    assert failed["hint"] == f"marsa wallet balance {address}"
    assert "30.000000" in marsa("wallet", "balance", address).out


def test_two_of_three_pay_together(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """The whole way: fund a lock, create, copies signed apart and offline, combine, inspect at
    each step, submit; the change returns to the lock and the third signature stays in the file."""
    address = fund_lock(marsa)
    file, copy = tmp_path / "rent.ptx", tmp_path / "copy.ptx"
    made = marsa("tx", "create", file, "dave", "7", "--lock", LOCK, "--memo", "rent", "--json")
    assert made.code == 0, made.out
    assert set(made.json) == {"schema", "file", "txid", "expires_at_ms", "fee"}
    assert made.json["expires_at_ms"] == TIME_MS + 3 * DAY_MS
    shutil.copy(file, copy)
    assert code_of(marsa("tx", "submit", file, "--json")) == (9, "missing_signature")
    for path, name in ((file, "alice"), (copy, "carol"), (copy, "bob")):
        signed = marsa("tx", "sign", path, "--from", name, "--json", *NO_NODE)
        assert (signed.code, signed.json["added"]) == (0, 1), signed.out
        assert "7.000000 of asset" in signed.err  # what is signed is shown first
    again = marsa("tx", "sign", file, "--from", "alice", "--json")
    assert (again.json["added"], again.json["signatures"]) == (0, 1)
    shown = marsa("tx", "inspect", file)
    assert "signatures missing: 1; next: marsa tx sign" in shown.out and "signed alice" in shown.out
    assert "may    bob" in shown.out and "memo     rent" in shown.out
    assert "pays     7.000000 acme to" in shown.out and "--from NAME" in shown.out
    combined = marsa("tx", "combine", file, copy, "--json", *NO_NODE)
    assert (combined.json["added"], combined.json["signatures"]) == (2, 3)
    final = marsa("tx", "finalize", file, "--json").json
    assert (len(final["signed_by"]), len(final["left_out"])) == (2, 1)
    assert final["txid"] == made.json["txid"]
    assert marsa("tx", "finalize", file).out.strip() == final["raw"]
    assert marsa("tx", "inspect", file).out.splitlines()[-1].startswith("complete")
    before = held(marsa, "dave")
    sent = marsa("tx", "submit", file, "--json")
    assert (sent.code, sent.json["status"], sent.json["txid"]) == (0, "final", final["txid"])
    assert held(marsa, "dave") == before + 7 * COIN
    assert held(marsa, address) == 23 * COIN - int(made.json["fee"])
    assert len(json.loads(file.read_text())["signatures"]) == 3
    again = marsa("tx", "submit", file, "--json").json
    assert (again["status"], again["txid"]) == ("final", sent.json["txid"])
    spent = marsa("tx", "inspect", file, "--json").json
    assert spent["faults"][0]["code"] == "spent_input"


def test_a_wallet_pays_by_file(
    marsa: Marsa, node: LiveNode, tmp_path: Path, password_file: Path, marsa_home: Path
) -> None:
    """A single key, without a password until it signs; it signs only when told so; afterwards the
    reservation is over."""
    made = marsa("wallet", "new", "savings", "--password-file", password_file, "--yes", "--json")
    assert made.code == 0, made.out
    assert marsa("tx", "send", "savings", "20", "--from", "alice").code == 0
    file = tmp_path / "a.ptx"
    assert marsa("tx", "create", file, "bob", "5", "--from", "savings", "--days", "1").code == 0
    other = marsa("tx", "create", tmp_path / "b.ptx", "bob", "5", "--from", "savings", "--json")
    assert code_of(other) == (ExitCode.REJECTED, "funds_reserved")
    expires = rfc3339(TIME_MS + DAY_MS)
    assert other.json["error"]["hint"].endswith(f"is free by {expires}")
    assert other.json["error"]["details"]["reserved_until_ms"] == TIME_MS + DAY_MS
    assert not (tmp_path / "b.ptx").exists()
    sign = ("tx", "sign", file, "--from", "savings", "--password-file", password_file, "--json")
    assert code_of(marsa(*sign)) == (ExitCode.REFUSED, "confirmation_needed")
    assert marsa(*sign, "--yes").json["added"] == 1
    assert "signed savings" in marsa("tx", "inspect", file).out
    assert marsa("tx", "submit", file).code == 0
    assert json.loads((marsa_home / "reservations.json").read_text()) == {}
    assert marsa("tx", "create", tmp_path / "b.ptx", "bob", "5", "--from", "savings").code == 0
    shared = marsa("tx", "lock", "2/savings,alice", "--json").json
    assert (shared["needed"], len(shared["keys"])) == (2, 2)


def test_a_lock_does_not_depend_on_the_order_of_its_keys(marsa: Marsa, node: LiveNode) -> None:
    """Names and hex digits mean keys; the same keys and number are the same address."""
    first = marsa("tx", "lock", LOCK, "--json").json
    assert (first["needed"], len(first["keys"])) == (2, 3)
    assert marsa("tx", "lock", "2/carol,alice,bob", "--json").json == first
    assert marsa("tx", "lock", f"2/{','.join(first['keys'])}").out.strip() == first["address"]
    assert marsa("tx", "lock", "1/carol,alice,bob").out.strip() != first["address"]


@pytest.mark.parametrize(
    "lock", ["alice,bob", "0/alice,bob", "3/alice,bob", "x/alice", "2/", "2/alice,alice"]
)
def test_locks_that_cannot_be(marsa: Marsa, node: LiveNode, lock: str) -> None:
    """Without a number, with more than there are keys, with a key twice: usage errors."""
    assert code_of(marsa("tx", "lock", lock, "--json")) == (ExitCode.USAGE, "bad_lock")


def test_creating_is_refused_by_name(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Nobody or two who pay, a name without .ptx, a file that exists, no coins, too many days."""
    file = tmp_path / "a.ptx"
    create = ("tx", "create", file, "bob", "5", "--json")
    assert code_of(marsa(*create)) == (ExitCode.USAGE, "usage")
    both = marsa(*create, "--from", "alice", "--lock", LOCK)
    assert code_of(both) == (ExitCode.USAGE, "usage")
    assert code_of(marsa(*create, "--lock", LOCK)) == (ExitCode.REJECTED, "insufficient_funds")
    assert code_of(marsa(*create, "--from", "nobody")) == (ExitCode.NOT_FOUND, "unknown_account")
    assert code_of(marsa(*create, "--from", "alice", "--days", "7")) == (ExitCode.USAGE, "usage")
    assets = marsa(*create, "--from", "alice", "--asset", "00" * 32, "--issuer", "acme")
    assert code_of(assets) == (ExitCode.USAGE, "usage")
    named = marsa("tx", "create", tmp_path / "a.json", "bob", "5", "--from", "alice", "--json")
    assert code_of(named) == (ExitCode.USAGE, "bad_name")
    assert marsa(*create, "--from", "alice").code == 0
    written = file.read_bytes()
    assert code_of(marsa(*create, "--from", "alice")) == (ExitCode.USAGE, "file_exists")
    assert file.read_bytes() == written


def test_signing_is_refused_by_name(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """No signer or two, a key that nothing needs, a file that is missing or expired."""
    file = tmp_path / "a.ptx"
    assert marsa("tx", "create", file, "bob", "5", "--from", "alice").code == 0
    sign = ("tx", "sign", file, "--json")
    assert code_of(marsa(*sign)) == (ExitCode.USAGE, "usage")
    both = marsa(*sign, "--from", "alice", "--validator", "acme")
    assert code_of(both) == (ExitCode.USAGE, "usage")
    refused = (ExitCode.CHECK_FAILED, "spare_signature")
    assert code_of(marsa(*sign, "--from", "bob")) == refused
    keys = write_role_keys(tmp_path / "roles.json", "acme")
    assert code_of(marsa(*sign, "--key", keys, "--yes")) == refused
    assert code_of(marsa(*sign, "--validator", "acme")) == refused
    unknown = marsa(*sign, "--validator", "nobody")
    assert code_of(unknown) == (ExitCode.NOT_FOUND, "unknown_validator_key")
    for path in (tmp_path / "b.ptx", tmp_path / "nowhere" / "b.ptx"):
        for command in (("sign", path, "--from", "alice"), ("combine", path, file)):
            missing = marsa("tx", *command, "--json")
            assert code_of(missing) == (ExitCode.NOT_FOUND, "no_file")
    gone = marsa("tx", "sign", file, "--key", tmp_path / "none.json", "--json")
    assert code_of(gone) == (ExitCode.NOT_FOUND, "no_key_file")
    keys.chmod(0o644)
    assert code_of(marsa(*sign, "--key", keys)) == (ExitCode.LOCKED, "file_not_private")
    keys.chmod(0o600)
    keys.write_text("{}")
    assert code_of(marsa(*sign, "--key", keys)) == (ExitCode.CHECK_FAILED, "bad_key_file")
    assert json.loads(file.read_text())["signatures"] == []


def test_what_has_expired_is_neither_signed_nor_sent(
    marsa: Marsa, node: LiveNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its days are over; inspect says so and does not fail."""
    file = tmp_path / "a.ptx"
    assert marsa("tx", "create", file, "bob", "5", "--from", "alice", "--days", "1").code == 0
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS + DAY_MS + 1)
    expired = (ExitCode.CHECK_FAILED, "expired")
    assert code_of(marsa("tx", "sign", file, "--from", "alice", "--json")) == expired
    assert code_of(marsa("tx", "submit", file, "--json")) == expired
    assert marsa("tx", "inspect", file, "--json").json["expired"] is True
    assert "expired" in marsa("tx", "inspect", file).out.splitlines()[-1]


def test_combining_is_all_or_nothing(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Another transaction, a changed signature, a file twice: refused, and nothing is written."""
    file, copy, other = (tmp_path / f"{name}.ptx" for name in ("a", "copy", "other"))
    assert marsa("tx", "create", file, "bob", "5", "--from", "alice").code == 0
    assert marsa("tx", "create", other, "bob", "6", "--from", "alice").code == 0
    shutil.copy(file, copy)
    assert marsa("tx", "sign", copy, "--from", "alice").code == 0
    written = file.read_bytes()
    combine = ("tx", "combine", file, "--json")
    assert code_of(marsa(*combine)) == (ExitCode.USAGE, "usage")
    assert code_of(marsa(*combine, copy, other)) == (ExitCode.CHECK_FAILED, "bad_body")
    assert code_of(marsa(*combine, copy, copy)) == (ExitCode.USAGE, "same_file")
    assert code_of(marsa(*combine, file)) == (ExitCode.USAGE, "same_file")
    document = json.loads(copy.read_text())
    signature = document["signatures"][0]["signature"]
    document["signatures"][0]["signature"] = ("1" if signature[0] == "0" else "0") + signature[1:]
    copy.write_text(json.dumps(document))
    assert code_of(marsa(*combine, copy)) == (ExitCode.CHECK_FAILED, "bad_signature")
    assert file.read_bytes() == written


def test_a_summary_that_lies_is_refused_everywhere(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """Somebody edits the readable part of a file: no command takes it."""
    file = tmp_path / "a.ptx"
    assert marsa("tx", "create", file, "bob", "5", "--from", "alice").code == 0
    document = json.loads(file.read_text())
    document["summary"]["pays"][0]["amount"] = "1"
    file.write_text(json.dumps(document))
    for command in (("inspect",), ("sign", "--from", "alice"), ("finalize",), ("submit",)):
        refused = marsa("tx", command[0], file, *command[1:], "--json")
        assert code_of(refused) == (ExitCode.CHECK_FAILED, "bad_body")


def test_inspect_offline_says_what_is_signed(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Without a node: the body and the signatures, and nothing about what is missing."""
    file = tmp_path / "a.ptx"
    assert marsa("tx", "create", file, "bob", "5", "--from", "alice").code == 0
    shown = marsa("tx", "inspect", file, "--offline", "--json", *NO_NODE).json
    assert (shown["complete"], shown["needs"], shown["signatures"]) == (None, None, [])
    assert shown["summary"]["pays"][0]["address"] == BLUEPRINT.holders[1].address
    assert "by nobody yet" in marsa("tx", "inspect", file, "--offline", *NO_NODE).out
    assert marsa("tx", "sign", file, "--from", "alice").code == 0
    assert "by key" in marsa("tx", "inspect", file, "--offline").out
    assert code_of(marsa("tx", "inspect", file, "--json", *NO_NODE)) == (3, "unreachable")


def test_a_coin_that_is_not_final_yet(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """A document made on another machine for a coin that this network has not seen."""
    from cli.wallet import ptx, ptx_document
    from ledger.transaction import Fee, Input, Output

    asset = node.world.asset("acme")
    coin = Input(b"\x05" * 32, 0, asset, COIN)
    output = Output(asset, COIN - 5_000, b"\x06" * 32)
    body = node.world.body([coin], [output], fee=Fee(asset, 5_000))
    file = tmp_path / "a.ptx"
    file.write_bytes(ptx_document.dump(ptx.create(body, "devnet")))
    assert code_of(marsa("tx", "submit", file, "--json")) == (ExitCode.REJECTED, "unknown_input")
    assert "no final transaction made coin" in marsa("tx", "inspect", file).out


def test_a_file_of_another_chain(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """A node of another chain tells nothing about it."""
    from cli.wallet import ptx, ptx_document
    from tests.ledger.world import World

    world = World()
    body = world.body([world.coin("alice")])
    file = tmp_path / "a.ptx"
    file.write_bytes(ptx_document.dump(ptx.create(body, "devnet")))
    for command in ("inspect", "finalize", "submit"):
        refused = marsa("tx", command, file, "--json")
        assert code_of(refused) == (ExitCode.CHECK_FAILED, "wrong_chain")


def test_an_unknown_outcome_is_not_a_failure(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Without a quorum the wait ends with exit code 4; --no-wait returns at once."""
    file = tmp_path / "a.ptx"
    assert marsa("tx", "create", file, "bob", "5", "--from", "alice").code == 0
    assert marsa("tx", "sign", file, "--from", "alice").code == 0
    node.is_deciding = False
    sent = marsa("tx", "submit", file, "--wait", "200ms", "--json")
    assert code_of(sent) == (ExitCode.TIMEOUT, "outcome_unknown")
    assert marsa("tx", "submit", file, "--no-wait", "--json").json["status"] == "pending"
