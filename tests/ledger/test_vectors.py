"""The golden vectors, read by the node's code and by a second implementation that shares none.

Both must accept, refuse, hash and sign the same, in both directions.
"""

from __future__ import annotations

import ast
import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import ledger
from ledger import codec, crypto, genesis, transaction
from ledger.codec import Wire
from ledger.crypto import SigningKey, tagged_hash
from ledger.merkle import merkle_root
from ledger.reasons import Invalid
from tests.ledger import (
    second_codec,
    second_genesis,
    second_roots,
    second_rules,
    second_shape,
    second_state,
)
from tests.ledger.second_shape import Refused
from tests.ledger.vector_files import SIZE_MAX, raw, reason_of_ours, reason_of_second, table
from tests.ledger.world import World
from tests.vectors.generate import FOLDER, make_files, plain

LOCAL = {
    *("Tip", "Base", "Source", "Movement", "HistoryEntry", "EpochEnd"),
    *("Accusation", "IssuerSample", "ReserveSample"),
}
"""Records of a node's own store: never hashed, signed or sent."""
CONDITIONS = {"Key", "Threshold", "After", "Before", "HashLock", "All", "Any"}
"""Read as parts of a witness, never alone."""


def unplain(value: Any) -> Any:
    """The inverse of `plain`."""
    if isinstance(value, dict):
        return raw(value["hex"])
    return [unplain(item) for item in value] if isinstance(value, list) else value


def wire_types() -> dict[str, type[Wire]]:
    """Every struct of the ledger by name; private ones only help to write the bytes of these."""
    found: dict[str, type[Wire]] = {}
    for module in pkgutil.walk_packages(ledger.__path__, "ledger."):
        for value in vars(import_module(module.name)).values():
            is_struct = isinstance(value, type) and issubclass(value, Wire) and value is not Wire
            if is_struct and not value.__name__.startswith("_"):
                found[value.__name__] = value
    return found


TYPES = wire_types()
FILES = make_files()
WIRE = table("wire.json")
GOOD = table("transactions.json")
REFUSED = table("refused.json")
KEYS = table("ed25519.json")


@pytest.mark.parametrize(
    "name", sorted(path.name for path in Path(__file__).parent.glob("second_*.py"))
)
def test_the_second_implementation_imports_nothing_of_ours(name: str) -> None:
    """Only the standard library, msgpack, cryptography and its own other parts."""
    tree = ast.parse((Path(__file__).parent / name).read_text("utf-8"))
    modules = {
        item.module if isinstance(item, ast.ImportFrom) else alias.name
        for item in ast.walk(tree)
        if isinstance(item, ast.Import | ast.ImportFrom)
        for alias in item.names
    }
    roots = {str(module).partition(".")[0] for module in modules}
    assert not roots & {"ledger", "consensus", "p2p", "node", "cli", "nacl", "msgspec"}
    ours = {str(module) for module in modules if str(module).startswith("tests")}
    assert all(module.startswith("tests.ledger.second_") for module in ours)


@pytest.mark.parametrize("name", sorted(FILES))
def test_stored_vectors_are_what_the_generator_writes(name: str) -> None:
    """A format that moved shows as a difference in the vectors, never silently."""
    assert (FOLDER / name).read_bytes() == FILES[name]


def test_every_struct_of_the_ledger_has_a_vector_and_a_second_shape() -> None:
    """A new struct needs both before it can be merged."""
    expected = set(TYPES) - LOCAL
    assert {row["type"] for row in WIRE} == expected
    assert set(second_codec.SHAPES) == expected
    numbers = {name: kind.TYPE for name, kind in TYPES.items() if kind.TYPE}
    assert numbers == second_codec.TYPE_BYTES


@pytest.mark.parametrize("row", WIRE, ids=lambda row: row["type"])
def test_both_codecs_read_and_write_the_same_bytes(row: dict[str, Any]) -> None:
    """Bytes to value and value to bytes, with and without the envelope."""
    name, payload, value = row["type"], raw(row["payload"]), unplain(row["value"])
    assert second_codec.read_payload(name, payload) == value
    assert second_codec.write_payload(name, value) == payload
    kind = TYPES[name]
    if name in CONDITIONS:
        witness = codec.decode_payload(
            b"\x93\x91" + payload + b"\x90\x90", transaction.Witness, size_max=SIZE_MAX
        )
        ours: Wire = witness.conditions[0]
        assert type(ours) is kind
    else:
        ours = codec.decode_payload(payload, kind, size_max=SIZE_MAX)
    assert codec.encode_payload(ours) == payload
    assert plain(msgpack.unpackb(codec.encode_payload(ours))) == row["value"]
    if "encoded" in row:
        encoded = raw(row["encoded"])
        assert codec.encode(codec.decode(encoded, kind, size_max=SIZE_MAX)) == encoded
        assert second_codec.write(name, second_codec.read(name, encoded, SIZE_MAX)) == encoded


@pytest.mark.parametrize(
    "row", [row for row in WIRE if row["type"] not in CONDITIONS], ids=lambda row: row["type"]
)
def test_both_codecs_refuse_the_same_damage(row: dict[str, Any]) -> None:
    """Each byte of each payload flipped in two ways: read by both alike, or refused by both."""
    name, payload = row["type"], raw(row["payload"])
    kind = TYPES[name]
    step = max(1, len(payload) // 300)
    for index in range(0, len(payload), step):
        for mask in (0x01, 0x80):
            data = payload[:index] + bytes([payload[index] ^ mask]) + payload[index + 1 :]
            assert is_read_by_us(data, kind) == is_read_by_second(data, name), (index, mask)


def is_read_by_us(data: bytes, kind: type[Wire]) -> bool:
    try:
        codec.decode_payload(data, kind, size_max=SIZE_MAX)
    except Invalid:
        return False
    return True


def is_read_by_second(data: bytes, name: str) -> bool:
    try:
        second_codec.read_payload(name, data)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("row", table("hashes.json"), ids=str)
def test_both_hash_the_same(row: dict[str, Any]) -> None:
    """Tagged digests and roots of lists."""
    if "tag" in row:
        parts = [raw(part) for part in row["parts"]]
        assert tagged_hash(row["tag"])(*parts) == raw(row["digest"])
        assert second_shape.digest(row["tag"], *parts) == raw(row["digest"])
    else:
        leaves = [raw(leaf) for leaf in row["leaves"]]
        assert merkle_root(leaves) == second_roots.merkle_root(leaves) == raw(row["root"])


@pytest.mark.parametrize("row", KEYS, ids=lambda row: row["name"])
def test_both_judge_keys_and_signatures_alike(row: dict[str, Any]) -> None:
    """Every edge of Ed25519: the rule for revealed keys, for licensed keys, for signatures."""
    public, message, signature = (raw(row[name]) for name in ("key", "message", "signature"))
    for rules in (crypto, second_rules):
        assert rules.is_canonical_key(public) == row["canonical"]
        assert rules.is_licensed_key(public) == row["licensed"]
        assert rules.verify(public, message, signature) == row["valid"]


def test_the_edge_cases_of_signatures_are_all_there() -> None:
    """Both answers occur for each rule, and RFC 8032's first signature is the known one."""
    for name in ("canonical", "licensed", "valid"):
        assert {row[name] for row in KEYS} == {True, False}
    assert KEYS[0]["signature"].startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873")
    outside = [row for row in KEYS if row["name"].startswith("key outside the subgroup")]
    assert {row["valid"] for row in outside} == {True, False}
    assert not any(row["licensed"] for row in outside)


@pytest.mark.parametrize("row", GOOD["transactions"], ids=lambda row: row["txid"][:8])
def test_both_accept_and_identify_good_transactions(row: dict[str, Any]) -> None:
    """Ids, locks, what is signed, and the signatures themselves, made anew from the seeds."""
    data, chain_id = raw(row["raw"]), raw(GOOD["chain_id"])
    tx = transaction.decode(data)
    transaction.check_stateless(tx, chain_id, transaction.FeeSchedule(*GOOD["fees"]))
    transaction.check_signatures(tx)
    found = second_rules.check(data, chain_id, tuple(GOOD["fees"]))
    assert tx.txid == found["txid"] == raw(row["txid"])
    assert tx.wtxid == found["wtxid"] == raw(row["wtxid"])
    assert transaction.sighash(tx.body) == found["sighash"] == raw(row["sighash"])
    assert list(tx.locks) == found["locks"] == [raw(lock) for lock in row["locks"]]
    for item in row["signatures"]:
        seed, message = raw(item["seed"]), raw(row["sighash"])
        assert SigningKey(seed).public == raw(item["key"])
        assert SigningKey(seed).sign(message) == raw(item["signature"])
        assert Ed25519PrivateKey.from_private_bytes(seed).sign(message) == raw(item["signature"])


@cache
def at_genesis() -> second_roots.State:
    """The second implementation's state of the genesis that `World` has."""
    value = second_genesis.genesis_value(genesis.dump(World().genesis))
    return second_genesis.genesis_state(value)


def test_refusals_are_many() -> None:
    """At least sixty that need no state, each reason of the stateless checks among them."""
    stateless = [row for row in REFUSED["transactions"] if not row["needs_state"]]
    assert len(stateless) >= 60
    assert len({row["reason"] for row in stateless}) >= 20


@pytest.mark.parametrize("row", REFUSED["transactions"], ids=lambda row: row["name"])
def test_both_refuse_with_the_same_reason(row: dict[str, Any]) -> None:
    """On the state of genesis; those that need none are refused before it is looked at."""
    world, data = World(), raw(row["raw"])
    assert reason_of_ours(world, data) == row["reason"]
    second = at_genesis().copy()
    assert reason_of_second(world, second, data) == row["reason"]
    chain_id, fees = raw(REFUSED["chain_id"]), tuple(REFUSED["fees"])
    if row["needs_state"]:
        second_rules.check(data, chain_id, fees)
        return
    with pytest.raises(Refused):
        second_rules.check(data, chain_id, fees)


@pytest.mark.parametrize("row", REFUSED["blocks"], ids=lambda row: row["name"])
def test_both_refuse_the_last_of_a_block(row: dict[str, Any]) -> None:
    """In the first block after genesis both take all transactions but the last."""
    world = World()
    execution, head = world.execution(), world.state.head
    second = at_genesis().copy()
    parent = (head.hash, world.time_ms)
    second_state.start_block(second, 1, execution.time_ms, parent)
    *good, last = [raw(item) for item in row["transactions"]]
    for data in good:
        execution.add(transaction.decode(data))
        second_state.add_transaction(second, data)
    with pytest.raises(Invalid) as ours:
        execution.add(transaction.decode(last))
    with pytest.raises(Refused) as theirs:
        second_state.add_transaction(second, last)
    assert ours.value.reason.value == theirs.value.code == row["reason"]
