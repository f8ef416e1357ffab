"""Blocks in flight: built and executed on one another, appended in order, refused with a reason."""

from __future__ import annotations

import msgspec
import pytest

from consensus.effects import Now
from consensus.replica_state import ReplicaBroken
from ledger.block import COMMIT, Block, Certificate, header_hash
from ledger.chain import Chain
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.mempool import Mempool
from ledger.operations import Burn
from ledger.reasons import Invalid, Reason
from ledger.transaction import Input
from node import building, executor
from node.bodies import Assembly
from node.building import BUSY_INTERVAL_MS, ExecutedBlock, Load
from node.executor import BlockExecutor
from node.sync import ProvedBlock
from node.verify import Verifier
from tests.ledger.world import World, sign

WORLD = World()
GENESIS = WORLD.genesis
PROPOSER = GENESIS.validators.members[0].key
NOW = Now(0, GENESIS.time_ms + 1_000)


class Bench:
    """An executor over a new chain and a pool with one transaction each of alice and bob."""

    def __init__(self) -> None:
        self.chain = Chain.create(MemoryKV(), genesis_state(GENESIS))
        self.mempool = Mempool()
        self.executor = BlockExecutor(self.chain, self.mempool, Verifier(), GENESIS.parameters)

    def pay(self, owner: str) -> None:
        tx = WORLD.transfer(owner, "carol", coin=WORLD.coin(owner, "val0"))
        self.mempool.add(tx, check=lambda _: None, now_ms=0)

    def build(self, parent: bytes, *, ms: int = 0) -> ExecutedBlock:
        """The next block, held as the engine holds what it proposes."""
        view = self.executor.view_of(parent)
        assert view is not None
        made = self.executor.build(view, PROPOSER, Now(ms, NOW.wall_ms))
        self.executor.executed[made.changes.head.hash] = made
        return made


def certificate(block: Block) -> Certificate:
    """One that names the block; who signed is the engine's business."""
    header = block.header
    return Certificate(0, COMMIT, 0, header.height, header_hash(header), 0b111, (bytes(64),) * 3)


def test_a_block_in_flight_is_the_parent_of_the_next() -> None:
    """The second block is built on the first, holds none of its transactions, and outlives it."""
    bench = Bench()
    bench.pay("alice")
    one = bench.build(bench.chain.head.hash)
    bench.pay("bob")
    two = bench.build(one.changes.head.hash)
    assert two.block.header.parent_hash == one.changes.head.hash
    assert [len(item.transactions) for item in (one, two)] == [1, 1]
    assert one.transactions != two.transactions
    bench.executor.append(one, certificate(one.block))
    assert list(bench.executor.executed) == [two.changes.head.hash]
    assert bench.executor.view_of(one.changes.head.hash) is bench.chain
    bench.executor.append(two, certificate(two.block))
    assert bench.chain.height == 2
    assert len(bench.mempool) == len(bench.executor.executed) == 0


def test_blocks_in_flight_keep_a_distance_too() -> None:
    """What is in flight is not due again. While more comes in, the next is due some time after the
    one before was built or became final, whichever was later, else soon after it was built; one
    that found nothing to hold was none."""
    bench = Bench()
    bench.pay("alice")
    one = bench.build(bench.chain.head.hash, ms=700)
    again = bench.build(one.changes.head.hash, ms=750)
    assert (len(one.transactions), len(again.transactions)) == (1, 0)
    parent, soon_ms = one.changes.head.hash, GENESIS.parameters.block_interval_ms
    assert bench.executor.ripe_ms(parent, final_ms=710, is_busy=False) is None
    bench.pay("bob")
    assert bench.executor.ripe_ms(parent, final_ms=600, is_busy=True) == 700 + BUSY_INTERVAL_MS
    assert bench.executor.ripe_ms(parent, final_ms=710, is_busy=True) == 710 + BUSY_INTERVAL_MS
    assert bench.executor.ripe_ms(parent, final_ms=710, is_busy=False) == 700 + soon_ms


def test_what_fails_on_blocks_in_flight_is_not_tried_at_each_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stays, for it is right on the final state; it is tried again when more waits, or on that
    state."""
    monkeypatch.setattr(building, "check_transaction", lambda *_, **__: None)
    bench = Bench()
    bench.pay("alice")
    one = bench.build(bench.chain.head.hash)
    burnt = Input(bytes(32), 0, WORLD.asset(), 1_000)
    fails = sign(WORLD.body([burnt], operations=[Burn(WORLD.asset(), 1)]), ["alice"])
    bench.mempool.add(fails, check=lambda _: None, now_ms=0)
    parent = one.changes.head.hash

    def is_due(block_hash: bytes) -> bool:
        return bench.executor.ripe_ms(block_hash, final_ms=0, is_busy=False) is not None

    assert is_due(parent)
    assert bench.build(parent).transactions == []
    assert bench.mempool.get(fails.txid) is fails
    assert not is_due(parent)
    bench.pay("bob")
    assert is_due(parent)
    assert is_due(bench.chain.head.hash)


def test_the_pool_lets_go_nothing_that_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks are in flight when the first becomes final. What the rules refuse on the state
    between may be right on that of the second, which holds it; others that wait are dropped."""
    bench = Bench()
    bench.pay("alice")
    one = bench.build(bench.chain.head.hash)
    held, waiting = WORLD.mint(lane=0), WORLD.mint(lane=1)
    bench.mempool.add(held, check=lambda _: None, now_ms=0)
    two = bench.build(one.changes.head.hash)
    assert two.transactions == [held]
    bench.mempool.add(waiting, check=lambda _: None, now_ms=0)
    assert bench.executor.load() == one.load + two.load

    def refuse(*_: object, **__: object) -> None:
        raise Invalid(Reason.ABOVE_HEADROOM, "as long as the second is not final")

    monkeypatch.setattr(executor, "check_transaction", refuse)
    bench.executor.append(one, certificate(one.block))
    assert bench.mempool.get(held.txid) is held
    assert bench.mempool.rejection(held.txid) is None
    assert bench.mempool.get(waiting.txid) is None
    assert bench.executor.load() == two.load == Load(1, 0, len(held.raw))
    assert bench.executor.in_flight_count() == 1


def test_without_its_parent_a_block_has_no_view() -> None:
    """Once the replica lets the first block go, nothing can be executed on the second."""
    bench = Bench()
    one = bench.build(bench.chain.head.hash)
    two = bench.build(one.changes.head.hash)
    bench.executor.keep({two.changes.head.hash})
    assert bench.executor.view_of(two.changes.head.hash) is None
    assert bench.executor.view_of(bytes(32)) is None


def test_a_false_header_is_refused_and_a_final_one_stops_the_node() -> None:
    """The same block with another state root: a reason while proposed, ReplicaBroken once final."""
    bench = Bench()
    right = bench.build(bench.chain.head.hash).block
    header = msgspec.structs.replace(right.header, state_root=bytes(32))
    wrong = Block(header, right.transactions)
    assembly = Assembly(header, header_hash(header), (), (), 0)
    assert bench.executor.execute(assembly, bench.chain) is Reason.BAD_STATE_ROOT
    assert header_hash(header) not in bench.executor.executed
    with pytest.raises(ReplicaBroken, match="final block 1"):
        bench.executor.execute_final(ProvedBlock(wrong, certificate(wrong), []))
    item = ProvedBlock(right, certificate(right), [])
    assert bench.executor.execute_final(item).block == right
