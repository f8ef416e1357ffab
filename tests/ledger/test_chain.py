"""The chain on disk against a naive ledger in dictionaries, and against failing storage."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger import schema
from ledger.block import PREPARE, Block
from ledger.chain import Chain
from ledger.chain_load import SCAN_ROWS, scan_all
from ledger.kv import KeyValue, MemoryKV, StorageError
from ledger.leveldb import LevelDB
from ledger.proofs import verify_transaction, verify_unspent_output
from ledger.schema import DamagedChain
from ledger.view import Head
from tests.ledger.chain_world import (
    ASSETS,
    CHAIN_ID,
    LOCKS,
    World,
    certificate_of,
    validators,
)

ALLOCATIONS = [(0, 0, 1000), (1, 1, 500), (0, 0, 7), (2, 0, 1)]


class Store:
    """A key-value store that can be closed and opened again, as a restarted process does."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / "db"
        self.kv: KeyValue = MemoryKV() if self._path is None else LevelDB.create(self._path)

    def reopen(self) -> KeyValue:
        if self._path is None:
            assert isinstance(self.kv, MemoryKV)
            self.kv = self.kv.copy()
        else:
            self.kv.close()
            self.kv = LevelDB.open(self._path)
        return self.kv


@pytest.fixture(params=["memory", "leveldb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path if request.param == "leveldb" else None)
    yield made
    made.kv.close()


def check_equal(chain: Chain, world: World) -> None:
    """Every question about the state and its history gives the model's answer."""
    assert world.head is not None
    assert chain.head == world.head
    assert dict(chain.outputs()) == world.outputs
    assert dict(chain.objects(b"")) == world.objects
    for key, value in world.objects.items():
        assert chain.object(key) == value
    for outpoint, entry in world.outputs.items():
        assert chain.output(outpoint) == entry
        assert not chain.is_spent(outpoint)
    for outpoint, place in world.spenders.items():
        assert chain.output(outpoint) is None
        assert chain.is_spent(outpoint)
        assert chain.indexes.spender(outpoint) == place
    balances = {
        (lock, item.asset): (item.amount, item.coins)
        for lock in LOCKS
        for item in chain.indexes.balances(lock)
    }
    assert balances == world.balances()
    for lock in LOCKS:
        check_history(chain, world, lock)


def check_history(chain: Chain, world: World, lock: bytes) -> None:
    found = [
        (
            line.height,
            line.position,
            line.txid,
            {m.asset: (m.received, m.sent) for m in line.movements},
        )
        for line in chain.indexes.history(lock, limit=1000).items
    ]
    assert found == [item[1:] for item in reversed(world.history) if item[0] == lock]


def check_blocks(chain: Chain, world: World) -> None:
    """Every block, certificate and transaction is there, whole and one by one."""
    for made in world.blocks:
        header = made.block.header
        height = header.height
        assert chain.header(height) == header
        assert chain.height_of(made.changes.head.hash) == height
        assert chain.block(height) == made.block
        assert chain.certificate(height) == made.certificate
        assert chain.validators(header.epoch) == validators(header.epoch)
        assert chain.leaves(height) == tuple([tx.wtxid for tx in made.transactions])
        assert chain.transaction_count(height) == len(made.transactions)
        for position, tx in enumerate(made.transactions):
            found = chain.transaction(tx.txid)
            assert found is not None
            assert (found.height, found.position, found.raw) == (height, position, tx.raw)
            assert chain.raw_transaction(height, position) == tx.raw


def test_random_blocks_equal_naive_model(store: Store) -> None:
    """Thirty random blocks, the store closed and opened after each; then every block is read."""
    world, random = World(), Random(1)
    chain = Chain.create(store.kv, world.genesis(ALLOCATIONS))
    check_equal(chain, world)
    for _ in range(30):
        made = world.random_block(random, random.randrange(6))
        chain.append(made.block, made.certificate, made.changes)
        assert chain.head == world.head
        chain = Chain.open(store.reopen())
        check_equal(chain, world)
    check_blocks(chain, world)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(0, 8), max_size=8))
def test_chain_equals_model_property(seed: int, sizes: list[int]) -> None:
    """Whatever blocks come, chain and model agree at the end and after opening again."""
    world, random = World(), Random(seed)
    kv = MemoryKV()
    chain = Chain.create(kv, world.genesis(ALLOCATIONS))
    for size in sizes:
        made = world.random_block(random, size)
        chain.append(made.block, made.certificate, made.changes, made.transactions)
    check_equal(chain, world)
    check_equal(Chain.open(kv.copy()), world)
    check_blocks(chain, world)


def test_given_transactions_write_what_decoding_writes() -> None:
    """Appending with transactions decoded before and without gives byte for byte one store."""
    stores = []
    for given_decoded in (True, False):
        world, random, kv = World(), Random(5), MemoryKV()
        chain = Chain.create(kv, world.genesis(ALLOCATIONS))
        made = world.random_block(random, 6)
        decoded = made.transactions if given_decoded else None
        chain.append(made.block, made.certificate, made.changes, decoded)
        stores.append(list(kv.scan(b"", limit=1000)))
    assert stores[0] == stores[1]


def test_proofs_verify_against_the_last_header(store: Store) -> None:
    """Each unspent output and each transaction has a proof that fails when anything in it moves."""
    world, random = World(), Random(2)
    chain = Chain.create(store.kv, world.genesis(ALLOCATIONS))
    for _ in range(6):
        made = world.random_block(random, 5)
        chain.append(made.block, made.certificate, made.changes)
    for outpoint in world.outputs:
        proof = chain.unspent_proof(outpoint)
        assert proof is not None
        assert proof.header == chain.head.header
        assert verify_unspent_output(proof)
        assert not verify_unspent_output(replace(proof, entry=replace(proof.entry, amount=5000)))
        moved = replace(proof.entry, leaf=proof.entry.leaf + 1)
        assert not verify_unspent_output(replace(proof, entry=moved))
        assert not verify_unspent_output(replace(proof, header=world.blocks[0].block.header))
    for outpoint in world.spenders:
        assert chain.unspent_proof(outpoint) is None
    for made in world.blocks:
        height = made.block.header.height
        for position, tx in enumerate(made.transactions):
            path = chain.transaction_proof(height, position)
            assert path is not None
            assert verify_transaction(tx.wtxid, path)
            assert not verify_transaction(tx.txid, path)
        assert chain.transaction_proof(height, len(made.transactions)) is None


def test_what_is_not_there_is_none() -> None:
    """Heights above the tip, unknown hashes, txids and outpoints are None, not errors."""
    world = World()
    chain = Chain.create(MemoryKV(), world.genesis(ALLOCATIONS))
    assert chain.chain_id == CHAIN_ID
    assert chain.height == 0
    assert chain.certificate(0) is None
    assert chain.block(0) == Block(chain.head.header, ())
    for found in (
        chain.header(1),
        chain.block(1),
        chain.certificate(1),
        chain.validators(1),
        chain.leaves(1),
        chain.raw_transaction(0, 0),
        chain.transaction_proof(1, 0),
        chain.height_of(bytes(32)),
        chain.transaction(bytes(32)),
        chain.output((bytes(32), 0)),
        chain.object(b"none"),
        chain.unspent_proof((bytes(32), 0)),
        chain.indexes.spender((bytes(32), 0)),
    ):
        assert found is None
    assert chain.indexes.balances(bytes(32)) == ()
    assert chain.indexes.balance(bytes(32), ASSETS[0]).amount == 0


def test_only_the_next_block_is_appended(store: Store) -> None:
    """Another height, parent, state, body or certificate is refused and nothing is written."""
    world, random = World(), Random(3)
    chain = Chain.create(store.kv, world.genesis(ALLOCATIONS))
    first, second = world.random_block(random, 3), world.random_block(random, 3)
    rows = list(scan_all(store.kv, b""))
    other_parent = replace(first.block.header, parent_hash=bytes(32))
    head = Head.of(other_parent, first.changes.head.commitments)
    other_state = replace(first.block.header, state_root=bytes(32))
    state_head = Head.of(other_state, first.changes.head.commitments)
    wrong = [
        (second.block, second.certificate, second.changes, None),
        (
            replace(first.block, header=other_parent),
            certificate_of(head),
            dataclasses.replace(first.changes, head=head),
            None,
        ),
        (
            replace(first.block, header=other_state),
            certificate_of(state_head),
            dataclasses.replace(first.changes, head=state_head),
            None,
        ),
        (first.block, first.certificate, second.changes, None),
        (first.block, second.certificate, first.changes, None),
        (first.block, certificate_of(first.changes.head, PREPARE), first.changes, None),
        (first.block, first.certificate, first.changes, first.transactions[:-1]),
    ]
    for arguments in wrong:
        with pytest.raises(AssertionError):
            chain.append(*arguments)
    assert list(scan_all(store.kv, b"")) == rows
    chain.append(first.block, first.certificate, first.changes)
    with pytest.raises(AssertionError):
        chain.append(first.block, first.certificate, first.changes)
    chain.append(second.block, second.certificate, second.changes)
    check_equal(chain, world)


class FailingKV(MemoryKV):
    """Fails one write, before any of it or after all of it, as an I/O error may."""

    fails_before = fails_after = False

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
        if self.fails_before:
            raise StorageError("no space left on device")
        super().write(puts, deletes)
        if self.fails_after:
            raise StorageError("input/output error")


@pytest.mark.parametrize("is_written", [False, True])
def test_failed_write_leaves_one_whole_state(is_written: bool) -> None:
    """A failed write keeps the old tip in memory; on disk is the old block or the new, whole."""
    world, random, kv = World(), Random(4), FailingKV()
    chain = Chain.create(kv, world.genesis(ALLOCATIONS))
    made = world.random_block(random, 4)
    chain.append(made.block, made.certificate, made.changes)
    old = chain.head
    made = world.random_block(random, 4)
    kv.fails_before, kv.fails_after = not is_written, is_written
    with pytest.raises(StorageError):
        chain.append(made.block, made.certificate, made.changes)
    assert chain.head == old
    again = Chain.open(kv.copy())
    assert again.head == (world.head if is_written else old)
    if is_written:
        check_equal(again, world)


def test_interrupted_genesis_leaves_nothing() -> None:
    """A genesis that could not be written leaves an empty store, and a later one succeeds."""
    kv = FailingKV()
    kv.fails_before = True
    changes = World().genesis(ALLOCATIONS)
    with pytest.raises(StorageError):
        Chain.create(kv, changes)
    with pytest.raises(DamagedChain, match="marsa node init"):
        Chain.open(kv)
    kv.fails_before = False
    assert Chain.create(kv, changes).head == Chain.open(kv).head


def test_create_refuses_what_is_no_genesis_or_not_empty(store: Store) -> None:
    """A second genesis in one store, and a block that is not height 0, write nothing."""
    world = World()
    changes = world.genesis(ALLOCATIONS)
    made = world.random_block(Random(6), 2)
    with pytest.raises(AssertionError):
        Chain.create(store.kv, made.changes)
    Chain.create(store.kv, changes)
    with pytest.raises(DamagedChain, match="over another"):
        Chain.create(store.kv, changes)


def test_other_schema_versions_are_refused() -> None:
    """A newer layout asks for a newer program, an older one for a chain that is copied anew."""
    kv = MemoryKV()
    Chain.create(kv, World().genesis(ALLOCATIONS))
    newer, older = schema.SCHEMA_VERSION + 1, schema.SCHEMA_VERSION - 1
    for version, error, text in (
        (newer, DamagedChain, "it has schema 5, .* newer version of marsa"),
        (0, DamagedChain, "never existed"),
        (older, schema.OlderLayout, "has schema 3, this program reads 4; .* `marsa node reset`"),
    ):
        kv.write({schema.SCHEMA_KEY: version.to_bytes(2, "big")}, ())
        with pytest.raises(error, match=text):
            Chain.open(kv)


def test_ranges_longer_than_one_read_are_whole() -> None:
    """Walking a range reads it in steps: nothing is lost or doubled at their borders."""
    for count in (SCAN_ROWS - 1, SCAN_ROWS, SCAN_ROWS + 1, 2 * SCAN_ROWS, 2 * SCAN_ROWS + 1):
        kv = MemoryKV()
        rows = {b"k" + number.to_bytes(4, "big"): b"" for number in range(count)}
        kv.write({**rows, b"j": b"", b"l": b""}, ())
        assert [key for key, _ in scan_all(kv, b"k")] == sorted(rows)
