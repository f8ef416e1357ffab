"""What redemption costs: its operations on a state with 10,000 open orders, receipts of 1,000
sessions, orders that fall due together, and a period's start with 4,000 that wait.

Run: PYTHONPATH=. nice .venv/bin/python bench/redemption.py
Processor time and waiting for the disk. Blocks are as full of operations as they may be.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import mean, median
from typing import TypeVar

from bench.redemption_market import ALL_HOURS, ISSUERS, PAYERS, Costs, Market, Order, issuer
from bench.sweep import BLOCK_MS, EMPTY_BLOCKS
from ledger.block import BLOCK_OPERATIONS_MAX
from ledger.economy import book
from ledger.economy.due import LEDGER_CLOCK, Due
from ledger.economy.redemption import ORDER_KEPT_MS, WINDOW_PERIODS_MAX
from ledger.execution import FREE_SHARE, operations_max
from ledger.objects import CLOCK_STEP_MS_MAX, LedgerClock, decode, key_of, load_one
from ledger.transaction import OPERATIONS_MAX, SignedTransaction
from tests.ledger.world import PERIOD_MS, TIME_MS, economy

OPEN = 10_000
MEASURED = 10
"""Blocks of each kind."""
SESSIONS = 1_000
FREE = operations_max(FREE_SHARE) // OPERATIONS_MAX * OPERATIONS_MAX
"""Operations a block in free transactions."""
WAITING = 4_000
WAITING_AMOUNT = 30_000
"""So that the hours of one commitment are enough for all."""
SHORTLY_MS = CLOCK_STEP_MS_MAX // 3
"""Before a moment: a step of the clock goes past it, and past what fell due by seconds later."""
ACCEPT_MS = economy().accept_ms

T = TypeVar("T")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        market = Market(Path(directory) / "orders")
        first = [market.redeem(number % PAYERS)[1] for number in range(OPEN)]
        blocks = batches(first, BLOCK_OPERATIONS_MAX)
        show("redeem, the first", [market.costs(block) for block in blocks])
        orders = measure_operations(market)
        measure_sessions(market, orders[:SESSIONS])
        measure_deadlines(market)
        market.kv.close()
        for is_full in (True, False):
            market = Market(Path(directory) / f"queue {is_full}")
            measure_queue(market, is_full=is_full)
            market.kv.close()


# Operations.


def measure_operations(market: Market) -> list[Order]:
    """Further orders, and what their issuers do; they are left with a receipt each."""
    count = MEASURED * BLOCK_OPERATIONS_MAX
    asked = [market.redeem(number % PAYERS) for number in range(count)]
    orders = [order for order, _ in asked]
    blocks = list(batches([tx for _, tx in asked], PAYERS))
    show("redeem", [market.costs(block) for block in blocks])
    for what, build in (
        ("accept", market.accept),
        ("ready", market.ready),
        ("post-receipt", market.post),
    ):
        txs = by_issuer(orders, build)
        size = BLOCK_OPERATIONS_MAX // OPERATIONS_MAX
        show(what, [market.costs(block) for block in batches(txs, size)])
    return orders


def measure_sessions(market: Market, orders: Sequence[Order]) -> None:
    """A receipt of each in one period, as fast as paid and as free transactions may be."""
    for what, most in (("paid", BLOCK_OPERATIONS_MAX), ("as free", FREE)):
        period = market.chain.head.header.time_ms // PERIOD_MS
        while market.chain.head.header.time_ms // PERIOD_MS == period:
            market.block(CLOCK_STEP_MS_MAX)
        blocks = list(batches(by_issuer(orders, market.post), most // OPERATIONS_MAX))
        show(f"{len(orders):,} receipts, {what}", [market.costs(block) for block in blocks])


def by_issuer(
    orders: Sequence[Order], build: Callable[[int, Sequence[Order]], SignedTransaction]
) -> list[SignedTransaction]:
    """Transactions as full as they may be, the issuers in turn."""
    lots = [
        list(batches([order for order in orders if order.issuer == issuer(lane)], OPERATIONS_MAX))
        for lane in range(ISSUERS)
    ]
    txs = []
    for lot in zip_longest(*lots):
        for lane, some in enumerate(lot):
            if some is not None:
                txs.append(build(lane, some))
    return txs


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def show(what: str, costs: Sequence[Costs]) -> None:
    count = sum(cost.operations for cost in costs)
    parts = [
        sum(getattr(cost, part) for cost in costs) * 1e6 / count
        for part in ("rules", "signatures", "execution", "append", "total")
    ]
    blocks = [cost.total * 1_000 for cost in costs]
    print(
        f"{what:28} {count:6,} in {len(blocks):2} blocks of"
        f" {min(blocks):5.1f} / {mean(blocks):5.1f} / {max(blocks):5.1f} ms;"
        f" us each: {parts[0]:4.0f} + {parts[1]:4.0f} + {parts[2]:4.0f} + {parts[3]:4.0f}"
        f" = {parts[4]:4.0f}, {1e6 / parts[4]:5,.0f} a second",
        flush=True,
    )


# Deadlines.


def measure_deadlines(market: Market) -> None:
    """Nobody accepted the first orders: all lapse at one moment, and are forgotten an hour later.
    Those of the other orders that end meanwhile are no part of it."""
    lapse_ms = TIME_MS + ACCEPT_MS
    until(market, lapse_ms - SHORTLY_MS)
    empty = median([market.block(BLOCK_MS) for _ in range(EMPTY_BLOCKS)])
    sweep_all(market, f"{OPEN:,} orders lapse", empty)
    until(market, lapse_ms + ORDER_KEPT_MS + SHORTLY_MS)
    sweep_all(market, f"{OPEN:,} orders are forgotten", empty)


def measure_queue(market: Market, *, is_full: bool) -> None:
    """All wait for one commitment; when the next period starts, what held its hours is gone, or
    is not. That the least order doubles on the way is left out: it is no matter of time."""
    book.ORDERS_A_DOUBLING = WAITING + 2
    last_ms = TIME_MS + WINDOW_PERIODS_MAX * PERIOD_MS
    first, tx = market.redeem(0, amount=ALL_HOURS, commitment="c0", end_ms=last_ms)
    market.costs([tx])
    waits = [
        market.redeem(
            number * ISSUERS % PAYERS,
            amount=WAITING_AMOUNT,
            commitment="c0",
            start_by_ms=last_ms - PERIOD_MS,
            end_ms=last_ms,
            queue_until_ms=TIME_MS + PERIOD_MS * WINDOW_PERIODS_MAX // 2,
        )[1]
        for number in range(WAITING)
    ]
    for block in batches(waits, BLOCK_OPERATIONS_MAX):
        market.costs(block)
    if not is_full:
        market.costs([market.cancel(0, first)])
    until(market, TIME_MS + PERIOD_MS - SHORTLY_MS)
    empty = median([market.block(BLOCK_MS) for _ in range(EMPTY_BLOCKS)])
    sweep_all(market, f"{WAITING:,} wait, {'none' if is_full else 'all'} fit", empty)


def until(market: Market, time_ms: int) -> None:
    """At that moment, with nothing due."""
    while (left_ms := time_ms - market.chain.head.header.time_ms) > 0:
        market.block(min(left_ms, CLOCK_STEP_MS_MAX))
    while is_due(market):
        market.block(BLOCK_MS)


def sweep_all(market: Market, what: str, empty: float) -> None:
    """A step of the clock, and blocks until nothing is due any more. Beside what they cost, as
    `bench/sweep.py` has it, what the thread that executes them worked: in another one LevelDB
    merges its files, which stalls nobody."""
    costs, own = [], []
    while not costs or is_due(market):
        before = time.thread_time()
        costs.append((market.block(BLOCK_MS if costs else CLOCK_STEP_MS_MAX) - empty) * 1_000)
        own.append((time.thread_time() - before - empty) * 1_000)
    figures = "; ".join(
        [f"{min(item):5.1f} / {mean(item):5.1f} / {max(item):5.1f} ms" for item in (costs, own)]
    )
    print(f"{what:28} {len(costs):3} blocks, beyond {empty * 1_000:.1f} ms: {figures}", flush=True)


def is_due(market: Market) -> bool:
    """Whether a deadline of the ledger clock has passed."""
    clock_ms = load_one(market.chain, LedgerClock).time_ms
    first = next(market.chain.objects(key_of(Due, LEDGER_CLOCK)), None)
    return first is not None and decode(first[1], Due).deadline_ms < clock_ms


if __name__ == "__main__":
    main()
