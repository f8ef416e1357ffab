"""Every record of a store, damaged in turn: found at the start or by the full audit, never used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from ledger import codec, schema
from ledger.boot_audit import BOOT_BODIES, BOOT_HEADERS, audit_boot, read_body
from ledger.chain import Chain
from ledger.chain_load import scan_all
from ledger.crypto import HASH_BYTES
from ledger.full_audit import audit_full
from ledger.kv import MemoryKV
from ledger.leveldb import LOOKUPS, LevelDB
from ledger.node_records import LEAVES_A_RECORD
from ledger.schema import DamagedChain
from ledger.validators import ValidatorSet
from tests.ledger.chain_world import EPOCH_BLOCKS, World, certificate_of, is_valid, validators

ALLOCATIONS = [(0, 0, 1000), (1, 1, 500), (0, 0, 7), (2, 0, 1)]
FOUND_AT_START = (
    schema.META,
    schema.HEADER,
    schema.HEIGHT_BY_HASH,
    schema.VALIDATORS,
    schema.CERTIFICATE,
    schema.LEAVES,
    schema.BODY,
    schema.TRANSACTION,
    schema.CHUNK,
    schema.OBJECT,
)
"""Records of a short chain that no start may overlook; the rest is the full audit's."""


ABOVE = (schema.HEADER, schema.LEAVES, schema.BODY, schema.CERTIFICATE)


def make_store(blocks: int, seed: int = 11, transfers: int = 3) -> tuple[World, MemoryKV]:
    world, random, kv = World(), Random(seed), MemoryKV()
    chain = Chain.create(kv, world.genesis(ALLOCATIONS))
    for _ in range(blocks):
        made = world.random_block(random, random.randrange(1, transfers + 1))
        chain.append(made.block, made.certificate, made.changes, made.transactions)
    return world, kv


def start(kv: MemoryKV) -> Chain:
    """What a node does with its store before anything else."""
    chain = Chain.open(kv)
    audit_boot(chain, is_valid)
    return chain


def is_found(kv: MemoryKV, *, in_full: bool) -> bool:
    """Whether the start, or else the full audit, says so and raises nothing else."""
    try:
        chain = start(kv)
        if in_full:
            list(audit_full(chain, is_valid))
    except (DamagedChain, schema.OlderLayout):
        return True
    return False


def is_found_at_start(key: bytes, value: bytes) -> bool:
    """Ids of the system's outputs are in no body."""
    if key.startswith(schema.TRANSACTION) and schema.read_origin(value)[1] is None:
        return False
    return key.startswith(FOUND_AT_START)


def with_record(kv: MemoryKV, key: bytes, value: bytes) -> MemoryKV:
    image = kv.copy()
    image.write({key: value}, ())
    return image


def flips(value: bytes, every_byte: bool) -> Iterator[bytes]:
    """The value with one bit changed, in each byte or in a few; cut by a byte; a byte longer."""
    few = {0, len(value) // 2, len(value) - 1}
    for place in range(len(value)) if every_byte or not value else sorted(few):
        changed = bytearray(value)
        changed[place] ^= 1 << (place % 8)
        yield bytes(changed)
    if value:
        yield value[:-1]
    yield value + b"\0"


def test_sound_stores_pass() -> None:
    """Chains of 0 to 40 blocks pass both audits, at rest and opened again, with progress."""
    for blocks in (0, 1, 2, BOOT_BODIES + 8):
        world, kv = make_store(blocks)
        chain = start(kv)
        progress = list(audit_full(chain, is_valid))
        assert chain.height == blocks
        assert world.head == chain.head
        assert {item.part for item in progress} >= {"blocks", "outputs ever made"}
        assert all(1 <= item.done <= item.total for item in progress)


def test_each_missing_record_is_found() -> None:
    """Take away every record in turn: what decides is found at the start, the rest in full."""
    _, kv = make_store(6)
    rows = list(scan_all(kv, b""))
    assert {key[:1] for key, _ in rows} == set(map(bytes, zip(b"mOhilrectxnbkavy")))
    for key, value in rows:
        image = kv.copy()
        image.write({}, [key])
        assert is_found(image, in_full=not is_found_at_start(key, value)), key


def test_each_changed_record_is_found() -> None:
    """Change bits of every record in turn: what decides is found at the start, the rest in full.

    Every byte of headers, tip, flags and objects is tried.
    """
    _, kv = make_store(4)
    for key, value in scan_all(kv, b""):
        decides = key.startswith((schema.META, schema.HEADER, schema.CHUNK, schema.OBJECT))
        for changed in flips(value, every_byte=decides):
            image = with_record(kv, key, changed)
            assert is_found(image, in_full=not is_found_at_start(key, value)), (key, changed)


def test_a_record_of_another_place_is_never_taken() -> None:
    """A disk that answers with the record of another number is found by whoever asks, after the
    start too: an engine takes its last certificate and its validators as they are read."""
    _, kv = make_store(6)
    chain = start(kv)
    for read, key in (
        (chain.header, schema.header_key),
        (chain.certificate, schema.certificate_key),
        (chain.validators, schema.validators_key),
    ):
        other = kv.get(key(1))
        assert other is not None
        kv.write({key(2): other}, ())
        assert read(1) is not None
        with pytest.raises(DamagedChain, match=" 2 belongs to 1"):
            read(2)


def test_an_id_that_leads_to_another_output_is_damage() -> None:
    """An honest input must not be refused because a record was read at a wrong place."""
    world, kv = make_store(6)
    chain = start(kv)
    outpoint = next(point for point in world.outputs if point[1] == 0)
    key, (leaf, place) = schema.transaction_key(outpoint[0]), chain.indexes.origin(outpoint[0])
    other = next(item.leaf for point, item in world.outputs.items() if point[0] != outpoint[0])
    assert leaf is not None
    kv.write({key: schema.origin_value(other, schema.place_value(*place) if place else b"")}, ())
    with pytest.raises(DamagedChain, match=f"output {other} is not that of"):
        chain.output(outpoint)


def test_surplus_records_are_found() -> None:
    """A record that no block wrote, of each kind, is found by the full audit."""
    _, kv = make_store(3)
    for prefix in "Oilrectxnkavy":
        key, value = next(kv.scan(prefix.encode(), limit=1))
        other = key[:1] + bytes([key[1] ^ 0x40]) + key[2:]
        assert is_found(with_record(kv, other, value), in_full=True), prefix


def test_nodes_too_few_or_too_many_are_found() -> None:
    """Whole nodes that are cut off, put behind the last, or moved, in any record."""
    _, kv = make_store(6)
    for key, value in kv.scan(schema.NODE, limit=100):
        for changed in (value[:-32], value[:32], b"", value + value[:32], value[32:] + value[:32]):
            assert is_found(with_record(kv, key, changed), in_full=True), key


def test_a_hole_in_one_of_the_databases_is_found_at_the_start(tmp_path: Path) -> None:
    """LevelDB opens without a word after losing the middle of its log, and each of them has its
    own. Of a block below those whose bodies are read, the height by its hash is missed."""
    world, random, kv = World(), Random(12), LevelDB.create(tmp_path / "db")
    chain = Chain.create(kv, world.genesis(ALLOCATIONS))
    for _ in range(BOOT_BODIES + 8):
        made = world.random_block(random, 1)
        chain.append(made.block, made.certificate, made.changes, made.transactions)
    audit_boot(chain, is_valid)
    height = (4).to_bytes(8, "big")
    for prefix, place in ((schema.TRANSACTION, slice(-10, -2)), (schema.HEIGHT_BY_HASH, slice(8))):
        for key, value in kv._parts[LOOKUPS].iterator(prefix=prefix):
            if value[place] == height:
                kv._parts[LOOKUPS].delete(key)
    kv.close()
    kv = LevelDB.open(tmp_path / "db")
    with pytest.raises(DamagedChain, match="at height 4"):
        audit_boot(Chain.open(kv), is_valid)
    kv.close()


def test_records_above_the_tip_are_found_at_the_start() -> None:
    """A store whose tip went back below its blocks is refused, whichever record stayed behind."""
    _, old = make_store(3)
    _, new = make_store(4)
    above = (4).to_bytes(8, "big")
    outputs = old.get(schema.TIP_KEY)
    assert outputs is not None
    count = codec.decode_payload(outputs, schema.Tip, size_max=schema.TIP_BYTES_MAX).outputs_count
    made = new.scan(schema.OUTPUT, start=schema.output_key(count), limit=1)
    rows = [next(new.scan(prefix + above, limit=1)) for prefix in ABOVE]
    for key, value in (*rows, *made):
        with pytest.raises(DamagedChain, match="above the tip"):
            start(with_record(old, key, value))


def test_older_state_under_a_newer_tip_is_found() -> None:
    """Outputs, flags or objects of one block ago do not pass for the state of the tip."""
    _, old = make_store(3)
    _, new = make_store(4)
    for prefix in (schema.CHUNK, schema.OBJECT):
        image = new.copy()
        image.write(dict(old.scan(prefix, limit=100)), ())
        if list(image.scan(prefix, limit=100)) != list(new.scan(prefix, limit=100)):
            with pytest.raises(DamagedChain, match="not those of height 4"):
                start(image)
    chunks = dict(old.scan(schema.CHUNK, limit=100))
    assert chunks != dict(new.scan(schema.CHUNK, limit=100))


def test_certificates_are_verified_against_the_set() -> None:
    """A forged signature, another phase, and a set of other members or of another epoch."""
    world, kv = make_store(3)
    key = schema.certificate_key(2)
    good = world.blocks[1].certificate
    forged = replace(good, signatures=(bytes(64), *good.signatures[1:]))
    with pytest.raises(DamagedChain, match="signature of member 0"):
        start(with_record(kv, key, codec.encode(forged)))
    prepared = certificate_of(world.blocks[1].changes.head, phase=1)
    with pytest.raises(DamagedChain, match="of another block"):
        start(with_record(kv, key, codec.encode(prepared)))
    for other, text in (
        (validators(1), "epoch 0 belongs to 1"),
        (ValidatorSet.of(validators(1).members, 0), "other validators"),
    ):
        record = {schema.validators_key(0): codec.encode_payload(other)}
        image = kv.copy()
        image.write(record, ())
        with pytest.raises(DamagedChain, match=text):
            start(image)


def test_the_validators_of_the_next_block_are_looked_at_before_it_comes() -> None:
    """The tip ends an epoch, so that no header is of the next one: its set, changed or lost, is
    found at the start all the same."""
    _, kv = make_store(EPOCH_BLOCKS)
    key = schema.validators_key(1)
    assert Chain.open(kv).validators(1) == validators(1)
    for other, text in (
        (validators(2), "epoch 1 belongs to 2"),
        (ValidatorSet.of(validators(2).members, 1), "validators after height 3 are others"),
    ):
        with pytest.raises(DamagedChain, match=text):
            start(with_record(kv, key, codec.encode_payload(other)))
    image = kv.copy()
    image.write({}, [key])
    with pytest.raises(DamagedChain, match="validators of epoch 1 are missing"):
        start(image)
    with pytest.raises(DamagedChain, match="validators of epoch 1 cannot be read"):
        start(with_record(kv, key, b"\x92\x01"))


def test_start_looks_as_deep_as_it_says() -> None:
    """A hole at the last header that is looked at is found; bodies are read less deep."""
    world, random, kv = World(), Random(7), MemoryKV()
    chain = Chain.create(kv, world.genesis(ALLOCATIONS))
    for _ in range(BOOT_HEADERS + 3):
        made = world.random_block(random, 1)
        chain.append(made.block, made.certificate, made.changes, made.transactions)
    tip = chain.height
    lowest = tip - BOOT_HEADERS + 1
    for height, finds in ((lowest, True), (lowest - 1, False)):
        image = kv.copy()
        image.write({}, [schema.header_key(height)])
        assert is_found(image, in_full=False) == finds
        assert is_found(image, in_full=True)
    lowest = tip - BOOT_BODIES + 1
    for height, finds in ((lowest, True), (lowest - 1, False)):
        image = with_record(kv, schema.leaves_key(height), bytes(64))
        assert is_found(image, in_full=False) == finds
        assert is_found(image, in_full=True)


def test_a_hole_in_bodies_or_outputs_is_found_as_deep_as_headers() -> None:
    """What one block wrote there is gone, or cannot be read, also below the bodies read."""
    world, random, kv = World(), Random(7), MemoryKV()
    chain = Chain.create(kv, world.genesis(ALLOCATIONS))
    for count in range(BOOT_BODIES + 9):
        made = world.random_block(random, 20 if count < 9 else 1)
        chain.append(made.block, made.certificate, made.changes, made.transactions)
    lost, spent = set(), chain.head.commitments.spent
    for height in range(1, chain.height + 1):
        raw = chain.raw_transaction(height, 0)
        assert raw is not None
        body = schema.body_key(height, 0)
        image = kv.copy()
        image.write({}, [body])
        with pytest.raises(DamagedChain, match=f"transaction.* at height {height}"):
            start(image)
        with pytest.raises(DamagedChain, match=f"transaction 0 at height {height} cannot be read"):
            start(with_record(kv, body, raw[:-1]))
        stored = {key: schema.read_output(value) for key, value in scan_all(kv, schema.OUTPUT)}
        made = {key: entry.leaf for key, (_, entry) in stored.items() if entry.height == height}
        image = kv.copy()
        image.write({}, made)
        if not all(spent.is_spent(leaf) for leaf in made.values()):
            lost.add(height > chain.height - BOOT_BODIES)
            with pytest.raises(DamagedChain, match=r"output \d+, of height \d+ or above, is"):
                start(image)
    assert lost == {True, False}


def test_damage_says_what_to_do() -> None:
    """The error is a fault of the machine and its sentence ends in advice."""
    _, kv = make_store(2)
    kv.write({}, [schema.header_key(1)])
    with pytest.raises(OSError, match=r"header at height 1 is missing.*`marsa node reset`"):
        start(kv)


def test_last_nodes_of_the_outputs_have_their_size() -> None:
    """Surplus behind the peaks would stop the node at its next block, and at each after a start."""
    _, kv = make_store(4)
    count = start(kv).head.commitments.outputs.count
    assert count % LEAVES_A_RECORD, "the last record is partly filled"
    key = schema.nodes_key(count // LEAVES_A_RECORD)
    record = kv.get(key)
    assert record is not None
    kv.write({key: record + record[:HASH_BYTES]}, ())
    with pytest.raises(DamagedChain, match="last nodes of the outputs"):
        start(kv)


def test_damage_met_while_reading_is_an_error() -> None:
    """A record that goes missing under an open chain raises where it is asked for."""
    world, kv = make_store(4)
    chain = start(kv)
    tx = world.blocks[0].transactions[0]
    outpoint = next(iter(world.outputs))
    leaf = world.outputs[outpoint].leaf
    for key, ask in (
        (schema.header_key(1), lambda: chain.header(1)),
        (schema.leaves_key(1), lambda: chain.leaves(1)),
        (schema.certificate_key(1), lambda: chain.certificate(1)),
        (schema.body_key(1, 0), lambda: chain.block(1)),
        (schema.body_key(1, 0), lambda: chain.transaction(tx.txid)),
        (
            schema.output_key(leaf),
            lambda: chain.indexes.coins(world.outputs[outpoint].lock, limit=100),
        ),
        (schema.output_key(leaf), lambda: chain.output(outpoint)),
        (schema.nodes_key(0), lambda: chain.node(0)),
    ):
        value = kv.get(key)
        assert value is not None
        kv.write({}, [key])
        with pytest.raises(DamagedChain):
            ask()
        kv.write({key: value}, ())
    entry = replace(world.outputs[outpoint], leaf=leaf + 10_000)
    kv.write({schema.output_key(leaf): schema.output_value(outpoint, entry)}, ())
    with pytest.raises(DamagedChain, match=f"output {leaf} belongs to {leaf + 10_000}"):
        chain.unspent_proof(outpoint)


def test_a_list_that_reads_otherwise_the_second_time_is_damage() -> None:
    """The disk answers one read of a block's leaves with another block's: found, not a crash."""
    _, kv = make_store(6)
    chain = start(kv)
    counts = {height: chain.transaction_count(height) for height in range(1, 7)}
    height = next(item for item in counts if counts[item] != counts[1])

    class Misreading(MemoryKV):
        reads = 0

        def get(self, key: bytes) -> bytes | None:
            if key == schema.leaves_key(1):
                self.reads += 1
            is_wrong = key == schema.leaves_key(1) and self.reads == 2
            return super().get(schema.leaves_key(height) if is_wrong else key)

    store = Misreading()
    store.write(dict(scan_all(kv, b"")), ())
    chain = Chain.open(store)
    header = chain.header(1)
    assert header is not None
    with pytest.raises(DamagedChain, match="list of transactions at height 1 is another"):
        read_body(chain, header)
