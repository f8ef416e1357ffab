"""Locks that open and close with time, from the way in to the block: who waits can be executed."""

from __future__ import annotations

import pytest

from consensus.effects import Now
from ledger.block import COMMIT, Certificate, header_hash
from ledger.chain import Chain
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.locks import TIME, After, All, Before, Key, lock_hash
from ledger.mempool import Mempool
from ledger.reasons import Invalid, Reason
from ledger.transaction import Fee, Output, SignedTransaction
from node.building import ExecutedBlock, build_block
from node.executor import BlockExecutor
from node.intake import Intake
from node.verify import Verifier
from tests.ledger.world import COIN, World, key, lock_of, sign
from tests.vectors.lock_plan import OFFER, OFFER_HEIGHT, REFUND_HEIGHT, SECRETS, fund, spend, swap


class Bench:
    """A node's way from intake to chain, with coins under every lock of the plan at height 1."""

    def __init__(self) -> None:
        self.world = World()
        parameters = self.world.genesis.parameters
        self.chain = Chain.create(MemoryKV(), genesis_state(self.world.genesis))
        self.mempool = Mempool()
        self.dropped: list[SignedTransaction] = []
        self.mempool.on_dropped = self.dropped.append
        self.executor = BlockExecutor(self.chain, self.mempool, Verifier(), parameters)
        self.intake = Intake(self.chain, self.mempool, Verifier(), parameters.fees)
        self.intake.admit(fund(self.world), self.now)
        self.decide(self.build(self.mempool))

    @property
    def now(self) -> Now:
        return Now(0, self.chain.head.header.time_ms + 1_000)

    def build(self, pool: Mempool) -> ExecutedBlock:
        """A block by somebody who has this pool."""
        proposer = self.world.validators.members[0].key
        return build_block(
            self.chain,
            pool,
            time_ms=self.now.wall_ms,
            proposer=proposer,
            in_flight=frozenset(),
        )

    def decide(self, made: ExecutedBlock) -> None:
        header = made.block.header
        signatures = (bytes(64),) * 3
        self.world.state.apply(made.changes)
        self.executor.append(
            made,
            Certificate(0, COMMIT, 0, header.height, header_hash(header), 0b111, signatures),
        )


def test_who_comes_too_early_is_told_from_when_on_and_may_come_again() -> None:
    """A refund is refused up to the height before the last, the reason is remembered for whoever
    asks, and for the block of its height it is taken."""
    bench = Bench()
    refund = spend(bench.world, swap(SECRETS[0]), ["alice"])
    while bench.chain.height + 1 < REFUND_HEIGHT:
        for ask in (bench.intake.check, bench.intake.admit):
            with pytest.raises(Invalid) as caught:
                ask(refund, bench.now)
            assert caught.value.reason is Reason.NOT_YET
            expected = f"opens from height {REFUND_HEIGHT}, this is {bench.chain.height + 1}"
            assert caught.value.detail.endswith(expected)
        rejection = bench.mempool.rejection(refund.txid)
        assert rejection is not None and rejection.detail.endswith(expected)
        assert len(bench.mempool) == 0
        bench.decide(bench.build(bench.mempool))
    bench.intake.admit(refund, bench.now)
    assert bench.mempool.rejection(refund.txid) is None
    made = bench.build(bench.mempool)
    assert (made.block.header.height, made.transactions) == (REFUND_HEIGHT, [refund])


def test_who_waits_too_long_leaves_with_the_block_that_ends_it() -> None:
    """The primary passes over what is good below height 3: with block 2 it leaves every pool, with
    the reason, and who remembers copies is told; what only opens with time stays."""
    bench = Bench()
    offer = spend(bench.world, OFFER, ["carol"])
    taken = spend(bench.world, swap(SECRETS[0]), ["bob"], SECRETS[0])
    for tx in (offer, taken):
        bench.intake.admit(tx, bench.now)
    assert bench.chain.height + 2 == OFFER_HEIGHT
    bench.decide(bench.build(Mempool()))
    assert bench.dropped == [offer]
    rejection = bench.mempool.rejection(offer.txid)
    assert rejection is not None and rejection.reason is Reason.TOO_LATE
    assert rejection.detail.endswith(f"was closed from height {OFFER_HEIGHT}, this is 3")
    assert bench.build(bench.mempool).transactions == [taken]


def test_who_is_due_by_the_clock_stays_when_a_block_is_behind_it() -> None:
    """A window of time has begun by this node's clock and not by the header of the block that comes
    next, made by another's: whoever was let in keeps his place, until the window ends."""
    bench = Bench()
    opens_ms = bench.now.wall_ms + 2_000
    alice = Key(key("alice").public)
    window = All((After(TIME, opens_ms), Before(TIME, opens_ms + 2_000), alice))
    coin = bench.world.coin("alice")
    fee, rest = Fee(coin.asset, 3_000), coin.amount - COIN - 3_000
    outputs = [
        Output(coin.asset, COIN, lock_hash(window)),
        Output(coin.asset, rest, lock_of("alice")),
    ]
    bench.intake.admit(sign(bench.world.body([coin], outputs, fee=fee), ["alice"]), bench.now)
    bench.decide(bench.build(bench.mempool))
    tx = spend(bench.world, window, ["alice"])
    bench.intake.admit(tx, Now(0, opens_ms))
    bench.decide(bench.build(Mempool()))
    assert bench.chain.head.header.time_ms + 1 < opens_ms
    assert (len(bench.mempool), bench.dropped) == (1, [])
    for _ in range(3):
        bench.decide(bench.build(Mempool()))
    assert bench.dropped == [tx]
    rejection = bench.mempool.rejection(tx.txid)
    assert rejection is not None and rejection.reason is Reason.TOO_LATE


def test_what_became_too_late_is_selected_once() -> None:
    """However it got to wait: building leaves it out, drops it, and does not meet it again."""
    bench = Bench()
    bench.decide(bench.build(bench.mempool))
    offer = spend(bench.world, OFFER, ["carol"])
    bench.mempool.add(offer, check=lambda _: None, now_ms=0)
    assert bench.build(bench.mempool).transactions == []
    assert bench.dropped == [offer]
    rejection = bench.mempool.rejection(offer.txid)
    assert rejection is not None and rejection.reason is Reason.TOO_LATE
    assert bench.mempool.select() == []
