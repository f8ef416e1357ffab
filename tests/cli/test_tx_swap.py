"""Locks of time and secrets from the command line, against a live node: a swap and its refund."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cli import payments
from cli.errors import ExitCode
from ledger.times import rfc3339
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import devnet_node
from tests.cli.live_node import LiveNode
from tests.ledger.world import COIN, TIME_MS

REFUND_HEIGHT = 4
NO_NODE = ("--node", "http://127.0.0.1:9")


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


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


class Swap:
    """30 coins of alice's: bob's for the secret, hers again from a height on."""

    def __init__(self, marsa: Marsa, folder: Path) -> None:
        self.secret = folder / "swap.secret"
        made = marsa("tx", "secret", self.secret, "--json", *NO_NODE).json
        self.digest = str(made["digest"])
        assert made["new"] is True
        parts = [
            [{"type": "hash", "digest": self.digest}, {"type": "key", "key": "bob"}],
            [
                {"type": "after", "unit": 0, "value": REFUND_HEIGHT},
                {"type": "key", "key": "alice"},
            ],
        ]
        ways = [{"type": "all", "parts": part} for part in parts]
        self.file = write(folder / "swap.json", {"type": "any", "parts": ways})
        self.address = str(marsa("tx", "lock", "--condition", self.file).out.strip())
        assert marsa("tx", "send", self.address, "30", "--from", "alice").code == 0

    def spend(self, marsa: Marsa, file: Path, to: str) -> str:
        """A payment of 29 of them in a file; its fee."""
        made = marsa("tx", "create", file, to, "29", "--condition", self.file, "--json")
        assert made.code == 0, made.out
        return str(made.json["fee"])


def test_bob_takes_the_coins_with_the_secret(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Neither his signature nor the secret is enough alone; what he pays with shows the secret to
    alice, who needs it on the other chain."""
    swap, file = Swap(marsa, tmp_path), tmp_path / "take.ptx"
    fee = swap.spend(marsa, file, "bob")
    shown = marsa("tx", "inspect", file).out
    assert "any(all(secret " in shown and "; bob); all(after height 4; alice))" in shown
    assert f"secret {swap.digest}" in shown and shown.endswith("or --secret FILE\n")
    submit = ("tx", "submit", file, "--json")
    assert code_of(marsa(*submit)) == (ExitCode.CHECK_FAILED, "missing_signature")
    assert marsa("tx", "sign", file, "--from", "bob", *NO_NODE).code == 0
    assert code_of(marsa(*submit)) == (ExitCode.CHECK_FAILED, "missing_preimage")
    signed = marsa("tx", "sign", file, "--secret", swap.secret, "--json", *NO_NODE)
    assert (signed.code, signed.json["secrets"], signed.json["added"]) == (0, 1, 0)
    shown = marsa("tx", "inspect", file, "--json").json
    (need,) = shown["needs"]
    assert need["secrets"] == [{"digest": swap.digest, "known": True}]
    assert (
        need["condition"]
        == marsa("tx", "lock", "--condition", swap.file, "--json").json["condition"]
    )
    assert (shown["complete"], shown["faults"]) == (True, [])
    before = held(marsa, "bob")
    assert marsa(*submit).json["status"] == "final"
    assert held(marsa, "bob") == before + 29 * COIN
    assert held(marsa, swap.address) == COIN - int(fee)
    witness = marsa("tx", "show", shown["txid"], "--json").json["transaction"]["witness"]
    assert witness["preimages"] == [swap.secret.read_text().strip()]
    assert len(witness["signatures"]) == 1


def test_alice_gets_them_back_from_the_height_on(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """Before it she is refused with the height, and the same file is good at that height; bob
    comes too late then."""
    swap, file, late = Swap(marsa, tmp_path), tmp_path / "back.ptx", tmp_path / "late.ptx"
    assert node.chain.height == 1
    swap.spend(marsa, file, "alice")
    assert marsa("tx", "sign", file, "--from", "alice").code == 0
    submit = ("tx", "submit", file, "--json")
    for height in (2, 3):
        refused = marsa(*submit)
        assert code_of(refused) == (ExitCode.REJECTED, "not_yet")
        assert f"opens from height 4, this is {height}" in refused.json["error"]["message"]
        (fault,) = marsa("tx", "inspect", file, "--json").json["faults"]
        assert fault["code"] == "not_yet" and f"this is {height}" in fault["message"]
        assert marsa("tx", "send", "dave", "1", "--from", "carol").code == 0
    txid = marsa("tx", "inspect", file, "--json").json["txid"]
    assert marsa("tx", "show", txid, "--json").json["code"] == "not_yet"
    assert marsa(*submit).json["status"] == "final"
    assert node.chain.height == REFUND_HEIGHT
    created = marsa("tx", "create", late, "bob", "29", "--condition", swap.file, "--json")
    assert code_of(created) == (ExitCode.REJECTED, "insufficient_funds")


def test_of_two_ways_the_one_that_is_open_is_taken(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """Copies with both signatures and the secret, combined: below the height bob's way goes into
    the witness, and what is left out stays in the file."""
    swap, file, copy = Swap(marsa, tmp_path), tmp_path / "a.ptx", tmp_path / "copy.ptx"
    swap.spend(marsa, file, "bob")
    copy.write_bytes(file.read_bytes())
    sign = ("tx", "sign", copy, "--from", "bob", "--secret", swap.secret)
    assert "secrets in it: 1; signed: 1 new, 1 in all" in marsa(*sign).out
    assert marsa("tx", "sign", file, "--from", "alice").code == 0
    alone = marsa("tx", "finalize", file, "--json").json["signed_by"]
    assert marsa("tx", "combine", file, copy).code == 0
    both = marsa("tx", "finalize", file, "--json").json
    assert (len(both["signed_by"]), both["left_out"]) == (1, alone)
    assert len(json.loads(file.read_text())["preimages"]) == 1
    assert marsa("tx", "submit", file, "--json").json["status"] == "final"


def test_an_offer_ends_at_a_time(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Carol's signature is good below a header time; afterwards she is told since when not."""
    end_ms = TIME_MS + 2_500
    parts = [{"type": "before", "unit": 1, "value": end_ms}, {"type": "key", "key": "carol"}]
    offer = write(tmp_path / "offer.json", {"type": "all", "parts": parts})
    address = marsa("tx", "lock", "--condition", offer).out.strip()
    assert marsa("tx", "send", address, "30", "--from", "alice").code == 0
    file = tmp_path / "a.ptx"
    assert marsa("tx", "create", file, "carol", "29", "--condition", offer).code == 0
    assert marsa("tx", "sign", file, "--from", "carol").code == 0
    shown = marsa("tx", "inspect", file).out
    assert f"all(before {rfc3339(end_ms)}; carol)" in shown
    assert shown.splitlines()[-1].startswith("complete")
    for _ in range(2):
        assert marsa("tx", "send", "dave", "1", "--from", "alice").code == 0
    refused = marsa("tx", "submit", file, "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "too_late")
    assert f"closed from header time {rfc3339(end_ms)}" in refused.json["error"]["message"]
    assert "fault    too_late" in marsa("tx", "inspect", file).out


def test_secrets_stay_private(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Made once and never shown; a file that others may read, one that holds something else, one
    that nothing needs and none at all are refused by name."""
    swap, file = Swap(marsa, tmp_path), tmp_path / "a.ptx"
    swap.spend(marsa, file, "bob")
    text = swap.secret.read_text().strip()
    assert swap.secret.stat().st_mode & 0o777 == 0o600
    assert sha256(bytes.fromhex(text)).hexdigest() == swap.digest
    again = marsa("tx", "secret", swap.secret)
    assert again.out.strip() == swap.digest and text not in again.out + again.err
    sign = ("tx", "sign", file, "--json", "--secret")
    other = tmp_path / "other.secret"
    missing = (ExitCode.NOT_FOUND, "no_file")
    assert code_of(marsa(*sign, other)) == missing
    marsa("tx", "secret", other)
    assert code_of(marsa(*sign, other)) == (ExitCode.CHECK_FAILED, "spare_preimage")
    for content in ("swordfish", "00" * 65):
        other.write_text(content)
        assert code_of(marsa(*sign, other)) == (ExitCode.USAGE, "bad_secret")
    swap.secret.chmod(0o644)
    assert code_of(marsa(*sign, swap.secret)) == (ExitCode.LOCKED, "file_not_private")
    assert json.loads(file.read_text())["preimages"] == []


BAD = {
    "not json": "{",
    "no condition": "7",
    "unknown type": {"type": "later"},
    "unknown field": {"type": "key", "key": "alice", "note": "x"},
    "height 0": {"type": "all", "parts": [{"type": "after", "unit": 0, "value": 0}]},
    "no parts": {"type": "any", "parts": []},
    "three of two": {"type": "threshold", "needed": 3, "keys": ["alice", "bob"]},
    "a key twice": {"type": "threshold", "needed": 1, "keys": ["bob", "bob"]},
    "keys that are none": {"type": "threshold", "needed": 1, "keys": ["alice", 7]},
    "open to all": {"type": "hash", "digest": "00" * 32},
    "open to all later": {
        "type": "any",
        "parts": [{"type": "key", "key": "alice"}, {"type": "after", "unit": 0, "value": 9}],
    },
}


@pytest.mark.parametrize("name", BAD)
def test_conditions_that_would_lose_coins(
    marsa: Marsa, node: LiveNode, tmp_path: Path, name: str
) -> None:
    """What no node would let anybody spend, or everybody, gets no address."""
    value = BAD[name]
    file = tmp_path / "bad.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    assert code_of(marsa("tx", "lock", "--condition", file, "--json")) == (
        ExitCode.USAGE,
        "bad_lock",
    )


def test_a_lock_is_given_in_one_way(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Neither or both are usage errors, an unknown name or file is not found; deep nesting ends
    with a refusal."""
    one = write(tmp_path / "one.json", {"type": "key", "key": "nobody"})
    lock = ("tx", "lock", "--json")
    assert code_of(marsa(*lock)) == (ExitCode.USAGE, "usage")
    assert code_of(marsa(*lock, "1/alice", "--condition", one)) == (ExitCode.USAGE, "usage")
    assert code_of(marsa(*lock, "--condition", one)) == (ExitCode.NOT_FOUND, "unknown_account")
    none = tmp_path / "none.json"
    assert code_of(marsa(*lock, "--condition", none)) == (ExitCode.NOT_FOUND, "no_file")
    deep = tmp_path / "deep.json"
    deep.write_text('{"type":"all","parts":[' * 5_000 + "]}" * 5_000)
    assert code_of(marsa(*lock, "--condition", deep)) == (ExitCode.USAGE, "bad_lock")
