"""Who waits for the end of an order: one transaction, so that no order fills the quota of all."""

from __future__ import annotations

from ledger.execution import FREE_PER_IDENTITY_MAX
from ledger.mempool import Mempool
from ledger.operations import Operation
from ledger.reasons import Reason
from ledger.redemption_operations import CancelRedemption, CloseRedemption
from tests.ledger.test_mempool import add, free, key, reason_of


def ends(number: int, kind: type[CancelRedemption | CloseRedemption]) -> Operation:
    return kind("alpha", key(number), key(0))


def test_an_order_is_cancelled_or_closed_by_one_transaction() -> None:
    """Free ones about orders of one issuer share a quota: the holder of one order does not take all
    of it, and those of others find room."""
    pool = Mempool()
    first = free(ends(0, CancelRedemption))
    add(pool, first)
    for kind in (CancelRedemption, CloseRedemption):
        again = free(ends(0, kind), ends(99, CloseRedemption))
        assert reason_of(pool, again) is Reason.WRONG_STATE
    for number in range(1, FREE_PER_IDENTITY_MAX):
        add(pool, free(ends(number, CloseRedemption)))
    assert reason_of(pool, free(ends(50, CancelRedemption))) is Reason.FREE_QUOTA
    dropped = pool.drop_committed(1, [first])
    assert dropped == []
    add(pool, free(ends(50, CancelRedemption)))


def test_what_a_final_block_ended_waits_no_more() -> None:
    """Seen elsewhere first: the one that waits here is told."""
    pool, waiting = Mempool(), free(ends(0, CloseRedemption), ends(1, CloseRedemption))
    add(pool, waiting)
    (rejection,) = pool.drop_committed(1, [free(ends(1, CancelRedemption))])
    assert rejection.reason is Reason.WRONG_STATE
    add(pool, free(ends(0, CloseRedemption)))
