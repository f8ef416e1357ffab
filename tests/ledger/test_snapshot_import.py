"""A snapshot taken into an empty store: any order, killed anywhere, one chain in the end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger import boot_audit, codec, schema, snapshot_import
from ledger.block import header_hash
from ledger.boot_audit import audit_boot
from ledger.boundaries import boundary_of
from ledger.chain import Chain
from ledger.chain_load import scan_all
from ledger.epochs import Epoch, epoch_after
from ledger.full_audit import audit_full
from ledger.kv import KeyValue, MemoryKV, StorageError
from ledger.leveldb import LevelDB
from ledger.objects import key_of, load_one
from ledger.reasons import Invalid, Reason
from ledger.schema import DamagedChain, EpochEnd, UnfinishedImport
from ledger.snapshot_import import Import
from ledger.snapshot_make import FrozenState
from ledger.spent_bitmap import CHUNK_FLAGS
from ledger.view import Head
from tests.ledger.chain_world import (
    CHAIN_ID,
    EPOCH_BLOCKS,
    LOCKS,
    World,
    certificate_of,
    is_valid,
    validators,
)
from tests.ledger.snapshot_world import all_chunks, append, begin, grown, imported, keep_ends

BELOW = (
    schema.LEAVES,
    schema.BODY,
    schema.TRANSACTION,
    schema.SPENT_BY,
    schema.HISTORY,
)
"""Records that a store has for its own blocks only."""


def start(kv: KeyValue) -> Chain:
    chain = Chain.open(kv)
    audit_boot(chain, is_valid)
    return chain


def pump(taking: Import, chunks: Mapping[int, bytes], random: Random) -> None:
    """Add what is missing, in random order, until nothing is."""
    while taking.missing:
        number = random.choice(list(taking.missing))
        assert taking.add(number, chunks[number])


def check_same_state(chain: Chain, original: Chain, world: World) -> None:
    """State, coins and balances are those of the chain that executed every block."""
    assert chain.head == original.head == world.head
    assert dict(chain.outputs()) == world.outputs
    assert dict(chain.objects(b"")) == world.objects
    for lock in LOCKS:
        assert chain.indexes.balances(lock) == original.indexes.balances(lock)
        start = None
        while True:
            page = chain.indexes.coins(lock, start=start, limit=500)
            assert page == original.indexes.coins(lock, start=start, limit=500)
            if page.next_start is None:
                break
            start = page.next_start


def check_history(chain: Chain, original: Chain) -> None:
    """Histories begin after the base, and are the original's from there on."""
    for lock in LOCKS:
        found = chain.indexes.history(lock, limit=1000).items
        all_lines = original.indexes.history(lock, limit=1000).items
        assert found == tuple([line for line in all_lines if line.height > chain.base])


def records(kv: KeyValue) -> dict[bytes, bytes]:
    """The records of the state: what a store holds of blocks is left out, and of spent outputs."""
    left_out = (*BELOW, schema.META, schema.HEADER, schema.HEIGHT_BY_HASH, schema.CERTIFICATE)
    left_out = (*left_out, schema.VALIDATORS)
    unspent = {schema.output_key(entry.leaf) for _, entry in Chain.open(kv).outputs()}
    return {
        key: value
        for key, value in scan_all(kv, b"")
        if not key.startswith(left_out) and (key[:1] != schema.OUTPUT or key in unspent)
    }


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    outputs=st.sampled_from([0, 1, 40, CHUNK_FLAGS, 3 * CHUNK_FLAGS + 5]),
    big=st.sampled_from([0, 12]),
    blocks=st.integers(0, 2 * EPOCH_BLOCKS),
)
def test_an_imported_chain_goes_on_like_the_original(
    seed: int, outputs: int, big: int, blocks: int
) -> None:
    """Import, audit, append further blocks: at each height both have one state, byte for byte."""
    random, source = Random(seed), MemoryKV()
    world, original = grown(source, seed=seed, outputs=outputs, transfers=20, big=big)
    state = original.freeze()
    kv = MemoryKV()
    taking = begin(kv, state.manifest)
    pump(taking, all_chunks(state), random)
    taking.finish()
    assert records(kv) == records(source)
    chain = start(kv)
    for _ in range(blocks):
        made = world.random_block(random, 10)
        append(original, world, made)
        chain.append(made.block, made.certificate, made.changes, made.transactions)
        check_same_state(chain, original, world)
    check_history(chain, original)
    assert records(kv) == records(source)
    chain = start(kv.copy())
    check_same_state(chain, original, world)
    list(audit_full(chain, is_valid))


class Watched(MemoryKV):
    """Keeps an image after every write, as a process finds it that is killed there."""

    def __init__(self) -> None:
        super().__init__()
        self.images = [self.copy()]

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        super().write(puts, deletes)
        self.images.append(self.copy())


def test_killed_between_any_two_writes_it_goes_on() -> None:
    """Every image of an import is empty, unfinished or a chain, and ends as the same store."""
    source = MemoryKV()
    world, original = grown(source, seed=3, outputs=2 * CHUNK_FLAGS + 9, big=20)
    state = original.freeze()
    chunks = all_chunks(state)
    assert len(chunks) > 7
    kv = Watched()
    taking = begin(kv, state.manifest)
    pump(taking, chunks, Random(1))
    taking.finish()
    assert len(kv.images) == len(chunks) + 4  # empty, begun, each chunk, nodes above them, done
    whole = dict(scan_all(kv, b""))
    for done, image in enumerate(kv.images):
        resumed = Import.resume(image)
        if done == 0:
            assert resumed is None
            continue
        if done < len(kv.images) - 1:
            with pytest.raises(UnfinishedImport, match="no chain yet"):
                Chain.open(image)
            assert resumed is not None
            assert resumed.manifest == state.manifest
            assert len(list(scan_all(image, schema.PROGRESS))) == min(done - 1, len(chunks))
            pump(resumed, chunks, Random(done))
            resumed.finish()
        assert Import.resume(image) is None
        assert dict(scan_all(image, b"")) == whole
    check_same_state(start(kv), original, world)


def test_an_import_of_another_layout_does_not_go_on() -> None:
    """What an older or newer program began has other records: it is begun anew, never mixed."""
    source = MemoryKV()
    _, original = grown(source, seed=3, outputs=9)
    kv = MemoryKV()
    begin(kv, original.freeze().manifest)
    assert Import.resume(kv) is not None
    for version in (schema.SCHEMA_VERSION - 1, schema.SCHEMA_VERSION + 1):
        kv.write({schema.SCHEMA_KEY: version.to_bytes(2, "big")}, ())
        assert Import.resume(kv) is None
    kv.write({}, [schema.SCHEMA_KEY])
    assert Import.resume(kv) is None


@pytest.mark.parametrize("batch", [1, 2, snapshot_import.NODES_A_BATCH])
def test_nodes_above_chunks_are_added_in_any_batches(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are written at once and wherever that is cut off, the nodes are those of the
    chain that executed every block, and its next blocks can be appended."""
    monkeypatch.setattr(snapshot_import, "NODES_A_BATCH", batch)
    source = MemoryKV()
    world, original = grown(source, seed=3, outputs=4 * CHUNK_FLAGS + 9, big=20)
    state = original.freeze()
    kv = Watched()
    taking = begin(kv, state.manifest)
    pump(taking, all_chunks(state), Random(1))
    taking.finish()
    nodes = list(scan_all(source, schema.NODE))
    assert list(scan_all(kv, schema.NODE)) == nodes
    cut_off = kv.images[-2]
    resumed = Import.resume(cut_off)
    assert resumed is not None
    resumed.finish()
    assert list(scan_all(cut_off, schema.NODE)) == nodes
    chain, random = Chain.open(kv), Random(1)
    for _ in range(EPOCH_BLOCKS):
        made = world.random_block(random, 6)
        append(original, world, made)
        chain.append(made.block, made.certificate, made.changes)
    assert list(scan_all(kv, schema.NODE)) == list(scan_all(source, schema.NODE))
    assert list(audit_full(start(kv), is_valid))


@pytest.mark.parametrize("kept", [0, snapshot_import.BALANCES_KEPT])
def test_balances_that_are_in_memory_are_not_read(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each at most once where there is room for all, anew for each chunk where there is none; the
    store is the same."""
    read: list[bytes] = []

    class Counted(MemoryKV):
        def get(self, key: bytes) -> bytes | None:
            if key.startswith(schema.BALANCE):
                read.append(key)
            return super().get(key)

    source = MemoryKV()
    _, original = grown(source, seed=5, outputs=3 * CHUNK_FLAGS, big=0)
    state = original.freeze()
    monkeypatch.setattr(snapshot_import, "BALANCES_KEPT", kept)
    kv = Counted()
    taking = begin(kv, state.manifest)
    pump(taking, all_chunks(state), Random(2))
    assert (len(read) == len(set(read))) == bool(kept)
    taking.finish()
    assert records(kv) == records(source)


def test_killed_at_every_second_chunk_on_a_disk(tmp_path: Path) -> None:
    """The same on LevelDB, opened again after every other chunk."""
    world, original = grown(
        LevelDB.create(tmp_path / "source"), seed=4, outputs=CHUNK_FLAGS + 9, big=12
    )
    state = original.freeze()
    chunks = all_chunks(state)
    kv = LevelDB.create(tmp_path / "db")
    taking = begin(kv, state.manifest)
    random = Random(1)
    while taking.missing:
        for number in random.sample(list(taking.missing), min(2, len(taking.missing))):
            taking.add(number, chunks[number])
        kv.close()
        kv = LevelDB.open(tmp_path / "db")
        again = Import.resume(kv)
        assert again is not None
        taking = again
    taking.finish()
    kv.close()
    kv = LevelDB.open(tmp_path / "db")
    check_same_state(start(kv), original, world)
    kv.close()
    state.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from ledger.kv import MemoryKV
from ledger.leveldb import LevelDB
from tests.ledger.snapshot_world import all_chunks, begin, grown

state = grown(MemoryKV(), seed=4, outputs=1500, big=12)[1].freeze()
taking = begin(LevelDB.create(Path(sys.argv[1])), state.manifest)
for number, data in list(all_chunks(state).items())[:4]:
    taking.add(number, data)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_chunk(tmp_path: Path) -> None:
    """A process takes four chunks and ends by SIGKILL; the next one lacks only the others."""
    world, original = grown(MemoryKV(), seed=4, outputs=1500, big=12)
    chunks = all_chunks(original.freeze())
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "db")],
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    kv = LevelDB.open(tmp_path / "db")
    taking = Import.resume(kv)
    assert taking is not None
    pump(taking, dict(list(chunks.items())[4:]), Random(1))
    taking.finish()
    check_same_state(start(kv), original, world)
    kv.close()


def test_a_failed_write_is_no_progress() -> None:
    """Where a batch cannot be written the chunk stays missing, and nothing of it is there."""

    class Full(MemoryKV):
        is_full = False

        def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
            if self.is_full:
                raise StorageError("no space left on device")
            super().write(puts, deletes)

    state = grown(MemoryKV(), seed=5, outputs=5)[1].freeze()
    chunks = all_chunks(state)
    kv = Full()
    kv.is_full = True
    with pytest.raises(StorageError):
        begin(kv, state.manifest)
    kv.is_full = False
    taking = begin(kv, state.manifest)
    before = dict(scan_all(kv, b""))
    kv.is_full = True
    for number, data in chunks.items():
        with pytest.raises(StorageError):
            taking.add(number, data)
    assert (dict(scan_all(kv, b"")), set(taking.missing)) == (before, set(chunks))
    kv.is_full = False
    pump(taking, chunks, Random(1))
    kv.is_full = True
    with pytest.raises(StorageError):
        taking.finish()
    with pytest.raises(UnfinishedImport):
        Chain.open(kv)
    kv.is_full = False
    taking.finish()
    start(kv)


def test_a_bad_chunk_writes_nothing_and_a_good_one_follows() -> None:
    """Refused bytes leave the store and what is missing as they were; so does a second copy."""
    state = grown(MemoryKV(), seed=6, outputs=CHUNK_FLAGS + 1)[1].freeze()
    chunks = all_chunks(state)
    kv = MemoryKV()
    taking = begin(kv, state.manifest)
    before = dict(scan_all(kv, b""))
    for number, data in chunks.items():
        for bad in (b"", data[:-1], chunks[0] if number else chunks[1]):
            with pytest.raises(Invalid):
                taking.add(number, bad)
    assert dict(scan_all(kv, b"")) == before
    assert set(taking.missing) == set(chunks)
    pump(taking, chunks, Random(2))
    before = dict(scan_all(kv, b""))
    for number, data in chunks.items():
        assert not taking.add(number, data)
        assert not taking.add(number, b"")
    assert not taking.add(max(chunks) + 1, b"")
    assert dict(scan_all(kv, b"")) == before


def test_begin_and_finish_refuse_what_they_must() -> None:
    """A manifest of another epoch's validators, a store that is not empty, chunks missing."""
    source = MemoryKV()
    state = grown(source, seed=7, outputs=3)[1].freeze()
    kv = MemoryKV()
    with pytest.raises(Invalid) as caught:
        Import.begin(kv, state.manifest, CHAIN_ID, validators(1), is_valid)
    assert caught.value.reason is Reason.BAD_PROOF
    assert next(kv.scan(b"", limit=1), None) is None
    with pytest.raises(AssertionError):
        begin(source, state.manifest)
    taking = begin(kv, state.manifest)
    with pytest.raises(AssertionError):
        begin(kv, state.manifest)
    with pytest.raises(AssertionError):
        taking.finish()
    with pytest.raises(DamagedChain, match="over another"):
        Chain.create(kv, World().genesis([(0, 0, 1)]))


def test_no_import_begins_with_a_gap_below_it() -> None:
    """Of the ends and sets of the epochs before each one that is missing is noticed; the end of the
    snapshot's own epoch is its base, and not kept twice."""
    _, original = grown(MemoryKV(), seed=16, outputs=3, epochs=3)
    manifest = original.freeze().manifest
    whole = MemoryKV()
    keep_ends(whole, original, 3)
    for epoch in range(2):
        for key in (schema.epoch_end_key(epoch), schema.validators_key(epoch)):
            image = whole.copy()
            image.write({}, [key])
            with pytest.raises(AssertionError, match="epochs before 2 are missing"):
                begin(image, manifest)
    begin(whole, manifest)
    assert whole.get(schema.epoch_end_key(1)) is not None
    assert whole.get(schema.epoch_end_key(2)) is None


def test_an_import_that_cannot_be_read_is_damage() -> None:
    """The record of what is imported, or a note, changed on the disk: said, never gone on with."""
    state = grown(MemoryKV(), seed=8, outputs=3)[1].freeze()
    kv = MemoryKV()
    pump(begin(kv, state.manifest), all_chunks(state), Random(1))
    for key in (schema.IMPORT_KEY, schema.progress_key(0)):
        value = kv.get(key)
        assert value is not None
        image = kv.copy()
        if key == schema.IMPORT_KEY:
            image.write({key: value[:-1]}, ())
        else:
            image.write({key[:-1]: value}, ())
        with pytest.raises(DamagedChain):
            Import.resume(image)


def test_validators_that_changed_on_the_disk_finish_nothing() -> None:
    """The next set is read from the imported objects: another one, or none, is damage."""
    state = grown(MemoryKV(), seed=8, outputs=3)[1].freeze()
    kv = MemoryKV()
    taking = begin(kv, state.manifest)
    pump(taking, all_chunks(state), Random(1))
    epoch = load_one(Chain.open(imported(state)), Epoch)
    key = schema.object_key(key_of(Epoch))
    for value in (codec.encode(replace(epoch, number=epoch.number + 1)), b""):
        kv.write({key: value}, ())
        with pytest.raises(DamagedChain):
            taking.finish()
    kv.write({key: codec.encode(epoch)}, ())
    taking.finish()
    start(kv)


def test_below_the_base_is_nothing() -> None:
    """Blocks, certificates and transactions from before are None, not damage; sets are there."""
    world, original = grown(MemoryKV(), seed=9, outputs=9, epochs=3)
    state = original.freeze()
    chain = start(imported(state, original))
    base = 3 * EPOCH_BLOCKS
    assert (chain.base, chain.height, chain.bodies_from) == (base, base, base + 1)
    assert chain.header(base) == state.manifest.header
    assert chain.certificate(base) == state.manifest.certificate
    assert chain.height_of(chain.head.hash) == base
    assert [chain.validators(epoch) for epoch in range(4)] == [validators(n) for n in range(4)]
    assert chain.block(base) is None
    assert chain.leaves(base) is None
    assert (chain.validators(-1), chain.validators(4)) == (None, None)
    for made in world.blocks[:-1]:
        height = made.block.header.height
        assert chain.header(height) is None
        assert chain.block(height) is None
        assert chain.certificate(height) is None
        assert chain.leaves(height) is None
        assert chain.transaction_count(height) is None
        assert chain.transaction_proof(height, 0) is None
        assert chain.height_of(made.changes.head.hash) is None
        assert all(chain.transaction(tx.txid) is None for tx in made.transactions)
    for outpoint in world.spenders:
        assert chain.output(outpoint) is None
        assert not chain.is_spent(outpoint)


def longer_import() -> MemoryKV:
    """An imported store with an epoch and a block of its own."""
    world, original = grown(MemoryKV(), seed=10, outputs=5, transfers=2, epochs=3)
    kv = imported(original.freeze(), original)
    chain, random = Chain.open(kv), Random(2)
    for _ in range(EPOCH_BLOCKS + 1):
        made = world.random_block(random, 2)
        chain.append(made.block, made.certificate, made.changes)
    return kv


def is_found(kv: MemoryKV) -> bool:
    try:
        list(audit_full(start(kv), is_valid))
    except (DamagedChain, schema.OlderLayout):
        return True
    return False


def test_each_missing_or_changed_record_of_an_imported_chain_is_found() -> None:
    """Take away and change every record in turn: the start or the full audit says so."""
    kv = longer_import()
    assert not is_found(kv.copy())
    for key, value in scan_all(kv, b""):
        image = kv.copy()
        image.write({}, [key])
        assert is_found(image), key
        for place in sorted({0, len(value) // 2, max(0, len(value) - 1)}):
            changed = bytearray(value or b"\0")
            changed[place] ^= 1 << place % 8
            image = kv.copy()
            image.write({key: bytes(changed)}, ())
            assert is_found(image), (key, place)
    left_over = kv.copy()
    left_over.write({schema.progress_key(0): b"\0"}, ())
    assert is_found(left_over)


def frozen_again(kv: MemoryKV) -> FrozenState:
    return Chain.open(kv).freeze()


def test_an_imported_chain_serves_snapshots_itself() -> None:
    """Import from a node that imported, an epoch later: the second hand is as good."""
    world, original = grown(MemoryKV(), seed=11, outputs=CHUNK_FLAGS + 5)
    first = imported(original.freeze())
    chain, random = Chain.open(first), Random(1)
    for _ in range(EPOCH_BLOCKS):
        made = world.random_block(random, 6)
        append(original, world, made)
        chain.append(made.block, made.certificate, made.changes)
    second = imported(chain.freeze(), chain)
    assert all_chunks(original.freeze()) == all_chunks(frozen_again(second))
    check_same_state(start(second), original, world)


def test_a_chain_of_imports_keeps_the_way_from_genesis() -> None:
    """B imports from A, C from B alone, each with blocks of its own between: the boundaries of all
    epochs are those of A at every hand, and start and full audit accept them."""
    world, original = grown(MemoryKV(), seed=12, outputs=9, epochs=3)
    giver, random = original, Random(1)
    for _ in range(3):
        taken = Chain.open(imported(giver.freeze(), giver))
        for _ in range(2 * EPOCH_BLOCKS):
            made = world.random_block(random, 2)
            append(original, world, made)
            taken.append(made.block, made.certificate, made.changes)
        ended = epoch_after(original.head.header)
        for epoch in range(ended):
            assert boundary_of(taken, epoch) == boundary_of(original, epoch)
        assert boundary_of(taken, ended) is None
        audit_boot(taken, is_valid)
        list(audit_full(taken, is_valid))
        giver = taken
    assert giver.base == 7 * EPOCH_BLOCKS


def test_a_start_looks_at_the_ends_next_to_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five below an imported base two: the third is left to the full audit."""
    _, original = grown(MemoryKV(), seed=13, outputs=3, epochs=6)
    kv = imported(original.freeze(), original)
    monkeypatch.setattr(boot_audit, "BOOT_ENDS", 2)
    for epoch, found in ((4, True), (3, True), (2, False)):
        image = kv.copy()
        image.write({}, [schema.epoch_end_key(epoch)])
        chain = Chain.open(image)
        if found:
            with pytest.raises(DamagedChain, match=f"the end of epoch {epoch} is missing"):
                audit_boot(chain, is_valid)
        else:
            audit_boot(chain, is_valid)
        with pytest.raises(DamagedChain):
            list(audit_full(chain, is_valid))


def test_ends_of_another_history_are_found() -> None:
    """One whose certificate another set signed, one that lies above the next."""
    _, original = grown(MemoryKV(), seed=14, outputs=3, epochs=4)
    _, other = grown(MemoryKV(), seed=15, outputs=3, epochs=4)
    kv = imported(original.freeze(), original)
    end, later = Chain.open(kv).epoch_end(1), Chain.open(kv).epoch_end(2)
    assert end is not None
    assert later is not None
    foreign = boundary_of(other, 1)
    assert foreign is not None
    wrong = EpochEnd(foreign.header, end.certificate)
    high = replace(end.header, height=later.header.height)
    head = Head(high, header_hash(high), original.head.commitments)
    raised = EpochEnd(high, certificate_of(head))
    for value, said in ((wrong, "epoch 1: "), (later, "belongs to 2"), (raised, "below")):
        image = kv.copy()
        image.write({schema.epoch_end_key(1): codec.encode_payload(value)}, ())
        with pytest.raises(DamagedChain, match=said):
            audit_boot(Chain.open(image), is_valid)
