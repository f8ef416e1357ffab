"""Answers to FETCH: each fits its frame, whatever is asked for."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest

from ledger import codec, pruning
from ledger.block import BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX, Block
from ledger.chain import Chain
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.transaction import NO_FEE, SignedTransaction, Transaction, Witness
from node.fetching import (
    BOUNDARIES_MAX,
    GIVE_BYTES_MAX,
    FetchBody,
    FetchBoundaries,
    FetchChunk,
    FetchManifest,
    FetchRange,
    FetchTransactions,
    Give,
    GiveBody,
    GiveBoundaries,
    GiveChunk,
    GiveManifest,
    Given,
    GivePruned,
    GiveRange,
    GiveTransactions,
    Wanted,
)
from node.serving import SERVING_BURST_S, Allowance, answer
from node.snapshot_held import HeldSnapshot
from tests.ledger import chain_world
from tests.ledger.chain_world import EPOCH_BLOCKS
from tests.ledger.snapshot_world import all_chunks, extend, grown, imported
from tests.ledger.world import World

PROPOSED = bytes(32)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain.create(MemoryKV(), genesis_state(World().genesis))


def waiting(number: int, size: int) -> SignedTransaction:
    """A transaction of a size; what it says does not matter to whom passes it on."""
    raw = number.to_bytes(4, "big").ljust(size, b"\1")
    body = Transaction(1, bytes(32), (), (), NO_FEE, (), 0, b"")
    wtxid = sha256(raw).digest()
    return SignedTransaction(raw, body, Witness((), (), ()), wtxid, wtxid, (), 0)


def ask(
    chain: Chain, wanted: Wanted, pool: list[SignedTransaction], block: Block | None = None
) -> Given | None:
    """The answer of a node with this pool and block, which must fit a frame."""
    by_wtxid = {tx.wtxid: tx for tx in pool}
    given = answer(wanted, chain, HeldSnapshot(chain), by_wtxid.get, {PROPOSED: block}.get)
    assert given is None or len(codec.encode(Give(given))) <= GIVE_BYTES_MAX
    return given


def test_one_transaction_named_two_thousand_times_is_given_once(chain: Chain) -> None:
    """A request for 32 MB that costs its sender 64 kB gets one transaction of 16 KiB."""
    tx = waiting(0, TRANSACTION_BYTES_MAX)
    wanted = FetchTransactions(PROPOSED, (tx.wtxid,) * BLOCK_TRANSACTIONS_MAX)
    assert ask(chain, wanted, [tx]) == GiveTransactions(PROPOSED, (tx.raw,))


@pytest.mark.parametrize(("spare", "given"), [(1, 65), (0, 65), (-1, 64)])
def test_a_whole_block_of_transactions_is_given_and_no_more(
    chain: Chain, spare: int, given: int
) -> None:
    """64 large ones and a last one: at the bytes of a block all are given, one byte above not."""
    size = TRANSACTION_BYTES_MAX - 16
    pool = [waiting(number, size) for number in range(64)]
    pool.append(waiting(64, BLOCK_BYTES_MAX - 64 * size - spare))
    answered = ask(chain, FetchTransactions(PROPOSED, tuple(tx.wtxid for tx in pool)), pool)
    assert isinstance(answered, GiveTransactions)
    assert answered.transactions == tuple(tx.raw for tx in pool)[:given]


def test_as_many_as_a_block_holds_fit(chain: Chain) -> None:
    """2,000 transactions that fill a block's bytes travel in one frame."""
    pool = [waiting(n, BLOCK_BYTES_MAX // BLOCK_TRANSACTIONS_MAX) for n in range(2_000)]
    answered = ask(chain, FetchTransactions(PROPOSED, tuple(tx.wtxid for tx in pool)), pool)
    assert isinstance(answered, GiveTransactions)
    assert len(answered.transactions) == BLOCK_TRANSACTIONS_MAX


def test_what_the_pool_lacks_comes_with_the_block(chain: Chain) -> None:
    """One of two is gone from the pool: the whole block is given where it is at hand."""
    held, gone = waiting(0, 100), waiting(1, 100)
    block = Block(chain.head.header, (held.raw, gone.raw))
    wanted = FetchTransactions(PROPOSED, (held.wtxid, gone.wtxid))
    assert ask(chain, wanted, [held], block) == GiveBody(block)
    assert ask(chain, wanted, [held]) == GiveTransactions(PROPOSED, (held.raw,))
    assert ask(chain, wanted, []) is None


def test_nothing_is_given_of_what_is_not_there(chain: Chain) -> None:
    """An unknown block and heights above the tip have no answer."""
    assert ask(chain, FetchBody(sha256(b"unknown").digest()), []) is None
    assert ask(chain, FetchRange(1, (1 << 63) - 1), []) is None


def test_of_pruned_bodies_it_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, with the lowest that is there, for pruned ones and for those below a snapshot; what
    is there is given; above the tip there is no answer."""
    monkeypatch.setattr(pruning, "BODIES_KEPT", 3)
    world = chain_world.World()
    chain = Chain.create(MemoryKV(), world.genesis([(0, 0, 5)]), is_archive=False)
    extend(chain, world, Random(1), 2 * EPOCH_BLOCKS, transfers=0)
    lowest = chain.height - 2
    assert chain.bodies_from == lowest
    for start in (0, 1, lowest - 1):
        assert ask(chain, FetchRange(start, 50), []) == GivePruned(start, lowest)
    given = ask(chain, FetchRange(lowest, 50), [])
    assert isinstance(given, GiveRange)
    assert len(given.blocks) == 3
    assert ask(chain, FetchRange(chain.height + 1, 50), []) is None
    begun = Chain.open(imported(chain.freeze(), chain))
    base = begun.height
    for start in (1, base):
        assert ask(begun, FetchRange(start, 50), []) == GivePruned(start, base + 1)
    assert ask(begun, FetchRange(base + 1, 50), []) is None


def test_questions_of_one_member_take_its_share_and_no_more() -> None:
    """Answers of 100 ms for one of four: a burst, then one in 400 ms; the others are free."""
    allowance = Allowance()
    answered = []
    for now_ms in range(10_000):
        if allowance.may_ask(b"one", now_ms / 1_000):
            allowance.charge(b"one", now_ms / 1_000, 0.1, shares=4)
            answered.append(now_ms)
    assert answered[:3] == [0, 1, 2]
    assert len(answered) <= (10_000 + 1_000 * SERVING_BURST_S) / 400 + 1
    assert allowance.may_ask(b"two", 10.0)


def test_a_member_that_was_busy_may_ask_again() -> None:
    """A debt of eight seconds is paid after eight, less the burst."""
    allowance = Allowance()
    allowance.charge(b"one", 100.0, 2.0, shares=4)
    assert not allowance.may_ask(b"one", 108.0 - SERVING_BURST_S - 0.01)
    assert allowance.may_ask(b"one", 108.0 - SERVING_BURST_S + 0.01)


def test_boundaries_are_given_from_an_epoch_on() -> None:
    """As many as were asked for, as there are, and as fit: none is an answer as well."""
    world, chain = grown(MemoryKV(), seed=1, outputs=3, epochs=4, transfers=0)
    for epoch, count, given in ((0, 3, [0, 1, 2]), (2, BOUNDARIES_MAX, [2, 3]), (4, 1, [])):
        answered = ask(chain, FetchBoundaries(epoch, count), [])
        assert isinstance(answered, GiveBoundaries)
        assert [item.header.epoch for item in answered.boundaries] == given
    extend(chain, world, Random(1), BOUNDARIES_MAX * EPOCH_BLOCKS, transfers=0)
    answered = ask(chain, FetchBoundaries(0, BOUNDARIES_MAX), [])
    assert isinstance(answered, GiveBoundaries)
    assert len(answered.boundaries) == BOUNDARIES_MAX


def test_the_snapshots_of_the_last_two_ends_are_given_and_no_other() -> None:
    """Every chunk by its number while the chain moves on; an older epoch, the present one and a
    chunk that is not there are answered with nothing, at once."""
    world, chain = grown(MemoryKV(), seed=2, outputs=2_000, epochs=2)
    held = HeldSnapshot(chain)
    chunks = all_chunks(chain.freeze())
    extend(chain, world, Random(2), EPOCH_BLOCKS - 1)

    def given(wanted: Wanted) -> Given | None:
        return answer(wanted, chain, held, lambda wtxid: None, lambda block_hash: None)

    manifest = given(FetchManifest(1))
    assert isinstance(manifest, GiveManifest)
    assert manifest.manifest[0].header.height == 2 * EPOCH_BLOCKS
    for number, data in chunks.items():
        assert given(FetchChunk(1, number)) == GiveChunk(1, number, data)
    for epoch in (0, 2):
        assert given(FetchManifest(epoch)) == GiveManifest(epoch, ())
        assert given(FetchChunk(epoch, 0)) == GiveChunk(epoch, 0, b"")
    assert given(FetchChunk(1, (1 << 63) - 1)) == GiveChunk(1, (1 << 63) - 1, b"")
    extend(chain, world, Random(3), 1)
    held.renew()
    for number, data in chunks.items():
        assert given(FetchChunk(1, number)) == GiveChunk(1, number, data)
    extend(chain, world, Random(4), EPOCH_BLOCKS)
    held.renew()
    assert given(FetchManifest(1)) == GiveManifest(1, ())
    assert given(FetchManifest(2)) != GiveManifest(2, ())
    renewed = given(FetchManifest(3))
    assert isinstance(renewed, GiveManifest)
    assert renewed.manifest[0].header == chain.head.header


def test_a_chain_inside_an_epoch_holds_nothing_at_the_start() -> None:
    """Whoever opens a chain between two ends of epochs has no snapshot; at an end it has."""
    world, chain = grown(MemoryKV(), seed=3, outputs=3)
    assert HeldSnapshot(chain).manifest(0) is not None
    extend(chain, world, Random(3), 1)
    assert HeldSnapshot(chain).manifest(0) is None
