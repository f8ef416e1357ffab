"""The golden vectors, read by the node's code and by a second implementation that shares none.

Both must accept, refuse, hash and sign the same, in both directions.
"""

from __future__ import annotations

import ast
import json
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import ledger
from ledger import codec, crypto, genesis, transaction
from ledger.block import (
    COMMIT,
    Block,
    Certificate,
    Header,
    VotePayload,
    check_certificate,
    header_hash,
    vote_hash,
)
from ledger.codec import Wire
from ledger.crypto import SigningKey, tagged_hash
from ledger.execution import execute_block
from ledger.merkle import merkle_root
from ledger.operations import EndEpoch
from ledger.reasons import Invalid, Reason
from ledger.validators import ValidatorSet
from tests.ledger import (
    second_codec,
    second_genesis,
    second_roots,
    second_rules,
    second_shape,
    second_state,
)
from tests.ledger.faults import judge
from tests.ledger.second_shape import Refused
from tests.ledger.world import MemoryState, World
from tests.vectors.generate import FOLDER, make_files, plain

LOCAL = {"Tip", "Base", "Source", "Movement", "HistoryEntry", "EpochEnd"}
"""Records of a node's own store: never hashed, signed or sent."""
CONDITIONS = {"Key", "Threshold", "After", "Before", "HashLock", "All", "Any"}
"""Read as parts of a witness, never alone."""
SIZE_MAX = 1 << 20


def table(name: str) -> Any:
    return json.loads((FOLDER / name).read_bytes())


def raw(value: str) -> bytes:
    return bytes.fromhex(value)


def unplain(value: Any) -> Any:
    """The inverse of `plain`."""
    if isinstance(value, dict):
        return raw(value["hex"])
    return [unplain(item) for item in value] if isinstance(value, list) else value


def wire_types() -> dict[str, type[Wire]]:
    """Every struct of the ledger by name."""
    found: dict[str, type[Wire]] = {}
    for module in pkgutil.walk_packages(ledger.__path__, "ledger."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Wire) and value is not Wire:
                found[value.__name__] = value
    return found


TYPES = wire_types()
WIRE = table("wire.json")
GOOD = table("transactions.json")
REFUSED = table("refused.json")
CHAIN = table("chain.json")
EPOCHS = table("epochs.json")
ECONOMY = table("economy.json")
LOCKS = table("locks.json")
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


@pytest.mark.parametrize("name", sorted(make_files()))
def test_stored_vectors_are_what_the_generator_writes(name: str) -> None:
    """A format that moved shows as a difference in the vectors, never silently."""
    assert (FOLDER / name).read_bytes() == make_files()[name]


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
    second = second_genesis.genesis_state(second_genesis.genesis_value(genesis.dump(world.genesis)))
    assert reason_of_second(world, second, data) == row["reason"]
    chain_id, fees = raw(REFUSED["chain_id"]), tuple(REFUSED["fees"])
    if row["needs_state"]:
        second_rules.check(data, chain_id, fees)
        return
    with pytest.raises(Refused):
        second_rules.check(data, chain_id, fees)


@pytest.mark.parametrize(
    ("file", "rows"),
    [
        ("devnet_genesis.json", CHAIN),
        ("epochs_genesis.json", EPOCHS),
        ("economy_genesis.json", ECONOMY),
        ("devnet_genesis.json", LOCKS),
    ],
    ids=["chain", "epochs", "economy", "locks"],
)
def test_both_reach_the_same_roots_at_every_height(file: str, rows: dict[str, Any]) -> None:
    """From genesis on: chain id, every root, header hash, validators, certificate; and what each
    state refuses, with the reason."""
    text = (FOLDER / file).read_bytes()
    world = World(genesis.load(text))
    value = second_genesis.genesis_value(text)
    second_genesis.check_genesis(value)
    second = second_genesis.genesis_state(value)
    assert world.chain_id == second.chain_id == raw(rows["chain_id"])
    for number, row in enumerate(rows["heights"]):
        header_bytes = raw(row["header"])
        header = codec.decode(header_bytes, Header, size_max=SIZE_MAX)
        fields = second_codec.read("Header", header_bytes, SIZE_MAX)
        raws = [raw(item) for item in row["transactions"]]
        validators = world.validators
        if number:
            head = world.state.head
            txs = [transaction.decode(item) for item in raws]
            world.state.apply(execute_block(world.state, Block(header, tuple(raws)), txs))
            parent = (head.hash, head.header.time_ms)
            assert second_state.apply_block(second, raws, fields, parent) == fields[10]
        check_roots(world.state, second, row, fields)
        check_proofs_of_height(header, row, world.chain_id, validators)
        for item in row.get("refused", ()):
            assert reason_of_ours(world, raw(item["raw"])) == item["reason"], item["name"]
            assert reason_of_second(world, second, raw(item["raw"])) == item["reason"], item["name"]


def test_the_epochs_of_the_vectors_tell_what_they_should() -> None:
    """Boundaries by length and by order, swaps, a wait, shares with a remainder, every operation,
    and each reason that epochs and membership brought."""
    heights = EPOCHS["heights"]
    headers = [second_codec.read("Header", raw(row["header"]), SIZE_MAX) for row in heights]
    last = [header[3] for header in headers if header[9] != header[10]]
    assert last[:3] == [4, 6, 8]
    assert [header[2] for header in headers[:10]] == [0, 0, 0, 0, 0, 1, 1, 2, 2, 3]
    names = [{name for _, name in row["members"]} for row in heights]
    assert names[4] == {"val0", "val1", "val2", "val3"}
    assert names[5] == names[7] == {"val0", "new0", "val2", "val3"}
    assert names[9] == {"val0", "new0", "val2", "new1"}
    numbers = {
        operation[0]
        for row in heights
        for item in row["transactions"]
        for operation in second_rules.identities(raw(item))["body"][5]
    }
    assert numbers == {1, *range(3, 10)}
    reasons = {item["reason"] for row in heights for item in row["refused"]}
    reasons |= {row["reason"] for row in REFUSED["transactions"]}
    assert reasons >= {
        reason.value
        for reason in (
            *(Reason.NOT_ALONE, Reason.NEEDS_QUORUM, Reason.BAD_GRANT, Reason.UNKNOWN_LICENCE),
            *(Reason.WRONG_VERSION, Reason.HAS_SEAT, Reason.NO_SEAT, Reason.WRONG_EPOCH),
            Reason.NO_CONFLICT,
        )
    }


def test_the_economy_of_the_vectors_tells_what_it_should() -> None:
    """Every operation that epochs do not tell of, every object, each state of a licence, each way
    that an issuer stands, and each reason that capacity, bonds and orders brought."""
    heights = ECONOMY["heights"]
    numbers = {
        operation[0]
        for row in heights
        for item in row["transactions"]
        for operation in second_rules.identities(raw(item))["body"][5]
    }
    assert numbers >= {1, 3, 5, 7, 9, *range(10, 31)}
    reasons = {item["reason"] for row in heights for item in row["refused"]}
    reasons |= {row["reason"] for row in REFUSED["transactions"]}
    names = [reason.name for reason in Reason]
    brought = names[names.index("BAD_ROLE") : names.index("MEMPOOL_FULL")]
    untold = {"TOO_MANY", "LOW_DELIVERABILITY", "NOT_FIRST"}
    assert {Reason[name].value for name in brought if name not in untold} <= reasons


def test_the_economy_passes_through_every_state() -> None:
    """A licence is applied for, granted, suspended, accused, revoked, wound down and closed; a coin
    is healthy, in warning, in deficit, caged; a commitment proposed, live, contested, void."""
    text = (FOLDER / "economy_genesis.json").read_bytes()
    second = second_genesis.genesis_state(second_genesis.genesis_value(text))
    seen: dict[str, set[int]] = {"Licence": set(), "Reserve": set(), "CapacityCommitment": set()}
    kinds: set[int] = set()
    parent = (raw(ECONOMY["heights"][0]["hash"]), second.time_ms)
    for row in ECONOMY["heights"][1:]:
        fields = second_codec.read("Header", raw(row["header"]), SIZE_MAX)
        second_state.apply_block(
            second, [raw(item) for item in row["transactions"]], fields, parent
        )
        parent = (raw(row["hash"]), fields[11])
        for kind, place in (("Licence", 1), ("Reserve", 5), ("CapacityCommitment", 1)):
            seen[kind] |= {item[place] for item in second.all(kind)}
        kinds |= {key[0] for key in second.objects}
    assert seen["Licence"] == set(range(1, 8))
    assert seen["CapacityCommitment"] == set(range(1, 5))
    assert seen["Reserve"] >= {1, 3, 4}
    objects = {number for number in second_codec.TYPE_BYTES.values() if number >= 32}
    assert kinds == objects - {second_codec.TYPE_BYTES["Genesis"]}


def test_the_locks_of_the_vectors_tell_what_they_should() -> None:
    """Every type of condition is spent, and every reason that only they have is met."""
    spent = [
        condition
        for row in LOCKS["heights"]
        for item in row["transactions"]
        for condition in second_rules.identities(raw(item))["witness"][0]
    ]
    numbers = {node[0] for item in spent for node in second_rules.nodes(item)}
    assert numbers == set(range(1, 8))
    assert {item["reason"] for row in LOCKS["heights"] for item in row["refused"]} == {
        reason.value
        for reason in (
            *(Reason.NOT_YET, Reason.TOO_LATE),
            *(Reason.MISSING_SIGNATURE, Reason.SPARE_SIGNATURE),
            *(Reason.MISSING_PREIMAGE, Reason.SPARE_PREIMAGE),
        )
    }


def test_both_want_government_first() -> None:
    """In a block that holds a payment already neither takes an order, alone both do."""
    world = World()
    text = genesis.dump(world.genesis)
    order = world.govern(EndEpoch(0))
    for earlier in ([], [world.transfer("alice", "bob")]):
        execution = world.execution()
        second = second_genesis.genesis_state(second_genesis.genesis_value(text))
        head = world.state.head
        second_state.start_block(second, 1, world.time_ms + 1_000, (head.hash, world.time_ms))
        for tx in earlier:
            execution.add(tx)
            second_state.add_transaction(second, tx.raw)
        if not earlier:
            execution.add(order)
            second_state.add_transaction(second, order.raw)
            continue
        with pytest.raises(Invalid) as ours:
            execution.add(order)
        with pytest.raises(Refused) as theirs:
            second_state.add_transaction(second, order.raw)
        assert ours.value.reason.value == theirs.value.code == "not_first"


def reason_of_ours(world: World, data: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        judge(world, data)
    return caught.value.reason.value


def reason_of_second(world: World, state: second_roots.State, data: bytes) -> str:
    """What the second implementation says to a transaction in the block after `world`."""
    head, again = world.state.head, state.copy()
    height, time_ms = head.header.height + 1, head.header.time_ms + 1_000
    fees = state.get("Parameters")[:3]
    with pytest.raises(Refused) as caught:
        second_rules.check(data, state.chain_id, tuple(fees))
        second_state.start_block(again, height, time_ms, (head.hash, head.header.time_ms))
        second_state.add_transaction(again, data)
    return caught.value.code


def check_roots(
    state: MemoryState, second: second_roots.State, row: dict[str, Any], fields: list[Any]
) -> None:
    roots, again = state.head.commitments.roots, second.roots()
    assert roots.outputs_count == len(second.outputs) == row["outputs_count"]
    assert roots.outputs_root == again["outputs"] == raw(row["outputs_root"])
    assert roots.spent_root == again["spent"] == raw(row["spent_root"])
    assert roots.objects_root == again["objects"] == raw(row["objects_root"])
    assert roots.supply_root == again["supply"] == raw(row["supply_root"])
    assert roots.state_root == again["state"] == raw(row["state_root"]) == fields[8]
    assert state.stored == second.objects
    wtxids = [second_rules.identities(raw(item))["wtxid"] for item in row["transactions"]]
    assert second_roots.merkle_root(wtxids) == raw(row["tx_root"]) == fields[5]


def check_proofs_of_height(
    header: Header, row: dict[str, Any], chain_id: bytes, validators: ValidatorSet
) -> None:
    digest = second_shape.digest
    payload = raw(row["header"])[2:]
    assert header_hash(header) == digest("header", payload) == raw(row["hash"])
    prepare = [header.epoch, 1, 0, header.height, raw(row["hash"])]
    expected = digest("vote", chain_id, second_codec.write_payload("VotePayload", prepare))
    assert vote_hash(chain_id, VotePayload(*prepare)) == expected == raw(row["prepare"])
    members = [[member.key, member.licence] for member in validators.members]
    assert [[name.hex(), licence] for name, licence in members] == row["members"]
    assert (
        digest("validators", second_rules.pack([header.epoch, members])) == header.validators_hash
    )
    if not row["certificate"]:
        return
    certificate = codec.decode(raw(row["certificate"]), Certificate, size_max=SIZE_MAX)
    check_certificate(certificate, chain_id, validators, COMMIT)
    fields = second_codec.read("Certificate", raw(row["certificate"]), SIZE_MAX)
    message = digest("vote", chain_id, second_codec.write_payload("VotePayload", fields[:5]))
    signers = [index for index in range(32) if fields[5] >> index & 1]
    for index, signature in zip(signers, fields[6], strict=True):
        assert second_rules.verify(members[index][0], message, signature)
