"""Building a block: what fails is left out, also what only our own invariants catch."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger.block import BLOCK_OPERATIONS_MAX
from ledger.chain import Chain
from ledger.errors import InvariantBroken
from ledger.execution import Execution
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.mempool import Mempool
from ledger.operations import Burn
from ledger.reasons import Reason
from ledger.transaction import OPERATIONS_MAX, Input
from node import building
from node.building import BUSY_INTERVAL_MS, Load, build_block, ripe_ms
from tests.ledger.world import World, sign


@pytest.mark.parametrize("right_on_final", [None, True, False])
def test_operations_that_fail_hold_back_no_others(
    monkeypatch: pytest.MonkeyPatch, right_on_final: bool | None
) -> None:
    """As many of them as a block takes came first: the mint behind them is in the very block that
    they failed in. All are refused, unless they are right without what may be taken back."""
    world = World()
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    mempool, asset = Mempool(), world.asset()
    burns = [Burn(asset, 1)] * OPERATIONS_MAX
    gone = [
        sign(world.body([Input(bytes([n]) * 32, 0, asset, 1_000)], operations=burns), ["alice"])
        for n in range(BLOCK_OPERATIONS_MAX // OPERATIONS_MAX)
    ]
    mint = world.mint(amount=5)
    for tx in [*gone, mint]:
        mempool.add(tx, check=lambda _: None, now_ms=0)
    if right_on_final:
        monkeypatch.setattr(building, "check_transaction", lambda *_, **__: None)
    made = build_block(
        chain,
        mempool,
        time_ms=world.genesis.time_ms + 1_000,
        proposer=world.genesis.validators.members[0].key,
        in_flight=frozenset(),
        final=None if right_on_final is None else chain,
    )
    assert made.transactions == [mint]
    waiting = [tx if right_on_final else None for tx in gone]
    assert [mempool.get(tx.txid) for tx in gone] == waiting


def test_culprit_of_a_broken_invariant_is_left_out_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of four transactions breaks an invariant: it alone is refused, three become a block."""
    world = World()
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    txs = [
        world.transfer(owner, "carol", coin=world.coin(owner, issuer))
        for owner in ("alice", "bob")
        for issuer in ("val0", "val1")
    ]
    culprit = txs[1]
    mempool = Mempool()
    for tx in txs:
        mempool.add(tx, check=lambda _: None, now_ms=0)
    finish = Execution.finish

    def finish_unless_broken(self: Execution):  # type: ignore[no-untyped-def]
        if self.output((culprit.txid, 0)) is not None:
            raise InvariantBroken("planted")
        return finish(self)

    monkeypatch.setattr(Execution, "finish", finish_unless_broken)
    proposer = world.genesis.validators.members[0].key
    time_ms = world.genesis.time_ms + 1_000
    built: set[bytes] = set()
    for _ in range(4):
        made = build_block(
            chain, mempool, time_ms=time_ms, proposer=proposer, in_flight=frozenset(built)
        )
        built.update(tx.txid for tx in made.transactions)
    assert built == {tx.txid for tx in txs} - {culprit.txid}
    rejection = mempool.rejection(culprit.txid)
    assert rejection is not None
    assert rejection.reason is Reason.BREAKS_INVARIANT


def test_blocks_keep_a_distance_while_more_is_being_admitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not before the first that waits is ripe, not where a block would be full, and for a small
    part of the time-out at most."""
    world, mempool = World(), Mempool()
    parameters = world.genesis.parameters
    soon_ms = 1_000 + parameters.block_interval_ms
    assert ripe_ms(mempool, parameters, busy_after_ms=None) is None
    tx = world.transfer("alice", "bob", 1)
    mempool.add(tx, check=lambda _: None, now_ms=1_000)
    assert ripe_ms(mempool, parameters, busy_after_ms=None) == soon_ms
    assert ripe_ms(mempool, parameters, busy_after_ms=990) == 990 + BUSY_INTERVAL_MS
    assert ripe_ms(mempool, parameters, busy_after_ms=0) == soon_ms
    hasty = replace(parameters, view_timeout_ms=160)
    assert ripe_ms(mempool, hasty, busy_after_ms=990) == 990 + 20
    for limit, value in (
        ("BLOCK_TRANSACTIONS_MAX", 1),
        ("BLOCK_BYTES_MAX", building.TRANSACTION_BYTES_MAX + len(tx.raw) - 1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(building, limit, value)
            assert ripe_ms(mempool, parameters, busy_after_ms=990) == soon_ms
    mempool.add(world.mint(amount=5), check=lambda _: None, now_ms=1_001)
    assert ripe_ms(mempool, parameters, busy_after_ms=990) == 990 + BUSY_INTERVAL_MS
    monkeypatch.setattr(building, "BLOCK_OPERATIONS_MAX", OPERATIONS_MAX)
    assert ripe_ms(mempool, parameters, busy_after_ms=990) == soon_ms


def test_what_is_in_flight_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is due for it, and it fills no block; what waits beside it is due soon after the last
    block was built, however long it has waited."""
    world, mempool = World(), Mempool()
    parameters = world.genesis.parameters
    tx, mint = world.transfer("alice", "bob", 1), world.mint(amount=5)
    for item in (tx, mint):
        mempool.add(item, check=lambda _: None, now_ms=1_000)
    both = Load(2, 1, len(tx.raw) + len(mint.raw))
    payment, operation = Load(1, 1, len(tx.raw)), Load(1, 0, len(mint.raw))

    def ripe(in_flight: Load, *, is_busy: bool) -> int | None:
        after_ms = 1_004 if is_busy else None
        return ripe_ms(
            mempool, parameters, in_flight=in_flight, built_ms=1_004, busy_after_ms=after_ms
        )

    soon_ms, later_ms = 1_004 + parameters.block_interval_ms, 1_004 + BUSY_INTERVAL_MS
    assert ripe(both, is_busy=False) is None
    assert ripe(payment, is_busy=False) == soon_ms
    for limit, value in (
        ("BLOCK_TRANSACTIONS_MAX", 2),
        ("BLOCK_BYTES_MAX", building.TRANSACTION_BYTES_MAX + both.size_bytes - 1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(building, limit, value)
            assert ripe(Load(), is_busy=True) == soon_ms
            assert ripe(payment, is_busy=True) == later_ms
    monkeypatch.setattr(building, "BLOCK_OPERATIONS_MAX", OPERATIONS_MAX)
    assert ripe(payment, is_busy=True) == soon_ms
    assert ripe(operation, is_busy=True) == later_ms
