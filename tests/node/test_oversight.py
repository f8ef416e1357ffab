"""What a member asks of its pool while it watches the primary: bounded, and of payments."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from consensus.effects import Now
from ledger.block import BLOCK_OPERATIONS_MAX
from ledger.mempool import Mempool
from ledger.operations import EndEpoch
from ledger.reasons import Invalid, Reason
from ledger.transaction import OPERATIONS_MAX, SignedTransaction
from node import oversight
from node.building import NO_LOAD, Load
from node.oversight import Oversight
from tests.ledger.test_mempool import ASSET, add, burn, evidence, free, mint, spend

T_MS = 2_000
NOW = Now(wall_ms=T_MS, monotonic_ms=T_MS)


def watching(pool: Mempool, in_flight: Load = NO_LOAD) -> Oversight:
    chain: Any = SimpleNamespace(head=SimpleNamespace(header=SimpleNamespace(time_ms=0)))
    return Oversight(chain, pool, lambda: in_flight, T_MS, NOW)


def test_late_operations_are_asked_about_up_to_a_block_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each costs a millisecond to ask about; payments behind them are sent again all the same."""
    asked: list[SignedTransaction] = []
    monkeypatch.setattr(oversight, "check_transaction", lambda _, tx, **__: asked.append(tx))
    pool, most = Mempool(), BLOCK_OPERATIONS_MAX // OPERATIONS_MAX
    dear = [mint(f"i{n}", 0, count=OPERATIONS_MAX) for n in range(most + 3)]
    payment = spend(1)
    for tx in [*dear, payment]:
        add(pool, tx)
    assert watching(pool)._late(NOW) == asked == [*dear[:most], payment]


def test_dead_operations_hide_no_government_and_no_evidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Operations that can be executed no more are asked about first, for they came first, and use
    up what may be asked: what is to be decided or proved is sent to the primary all the same."""

    def check(_: object, tx: SignedTransaction, **__: object) -> None:
        if tx.body.inputs:
            raise Invalid(Reason.BAD_GRANT, "granted meanwhile")

    monkeypatch.setattr(oversight, "check_transaction", check)
    pool, most = Mempool(), BLOCK_OPERATIONS_MAX // OPERATIONS_MAX
    for n in range(most):
        add(pool, burn(n, count=OPERATIONS_MAX))
    proved, decided, payment = free(evidence("alpha")), free(EndEpoch(0)), spend(90_000)
    for tx in (payment, proved, decided):
        add(pool, tx)
    add(pool, free(evidence("beta")), now=1)
    assert watching(pool)._late(NOW) == [decided, proved]


def test_operations_are_no_full_block_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may wait while the block that comes is as full of them as it can be: a primary is slow
    only while payments for a full block wait."""
    monkeypatch.setattr(oversight, "BLOCK_TRANSACTIONS_MAX", 100)
    monkeypatch.setattr(oversight, "troubled_assets", lambda _: frozenset())
    pool = Mempool()
    for n in range(100):
        add(pool, mint("alpha", n, pays_with=(90_000 + n,)))
    for n in range(99):
        add(pool, spend(n + 1))
    assert not watching(pool).full_block_waits()
    add(pool, spend(100))
    assert watching(pool).full_block_waits()
    assert not watching(pool, Load(transactions=1, payments=1)).full_block_waits()
    monkeypatch.setattr(oversight, "BLOCK_TRANSACTIONS_MAX", 101)
    payment_bytes = pool.size_bytes - 100 * oversight.TRANSACTION_BYTES_MAX
    monkeypatch.setattr(oversight, "BLOCK_BYTES_MAX", payment_bytes)
    assert watching(pool).full_block_waits()
    assert not watching(pool, Load(size_bytes=1)).full_block_waits()


def test_fees_in_troubled_coins_are_no_full_block_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A block takes a tenth of it in them: an honest primary decides little while many wait. They
    count as none, by their number and by their bytes."""
    monkeypatch.setattr(oversight, "BLOCK_TRANSACTIONS_MAX", 100)
    monkeypatch.setattr(oversight, "BLOCK_BYTES_MAX", 100 * 300)
    troubled: set[bytes] = set()
    monkeypatch.setattr(oversight, "troubled_assets", lambda _: troubled)
    pool = Mempool()
    for n in range(100):
        add(pool, spend(n))
    assert watching(pool).full_block_waits()
    troubled.add(ASSET)
    assert not watching(pool).full_block_waits()
    pool.drop_committed(1, pool.pending(1))
    troubled.clear()
    assert not watching(pool).full_block_waits()
