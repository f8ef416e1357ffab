"""The book of a commitment: whether one more order fits, against serving them hour by hour."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.economy.book import Book, Kept, changed, free_until
from ledger.economy.redemption import RedemptionState
from ledger.reasons import Reason
from tests.ledger.redemption_world import new_world
from tests.ledger.world import COIN, PERIOD_MS

NOW = 5
stretches = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 9), st.integers(1, 9)).map(
        lambda item: (item[0], item[1], item[1] + item[2])
    ),
    max_size=3,
)
books = st.dictionaries(st.integers(2, 16), st.integers(1, 40), max_size=5)
ends = st.integers(NOW, 16)


def kept_of(orders: dict[int, int]) -> tuple[Kept, ...]:
    return tuple(Kept(end, orders[end]) for end in sorted(orders))


def is_served(orders: dict[int, int], hours: list[tuple[int, int, int]], taken: int) -> bool:
    """Period by period, the earliest end first; what is left over at an end is missed."""
    left = {end: orders[end] for end in sorted(orders) if end >= NOW and orders[end]}
    for period in range(NOW, 18):
        there = sum(figure for figure, first, end in hours if first <= period < end)
        if period == NOW:
            there = max(0, there - taken)
        for end in sorted(left):
            served = min(there, left[end])
            there, left[end] = there - served, left[end] - served
        if left.get(period, 0):
            return False
    return True


@given(orders=books, hours=stretches, taken=st.integers(0, 30), end=ends, more=st.integers(0, 60))
def test_an_order_fits_if_all_can_be_served(
    orders: dict[int, int], hours: list[tuple[int, int, int]], taken: int, end: int, more: int
) -> None:
    """As long as those that are there can be: one more is taken exactly if they still can be."""
    assume(is_served(orders, hours, taken))
    with_one = {**orders, end: orders.get(end, 0) + more}
    free = free_until(kept_of(orders), hours, taken=taken, period=end, now=NOW)
    assert (more <= free) == is_served(with_one, hours, taken)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(1, 50)), max_size=12),
    st.integers(0, 12),
)
def test_a_book_sums_what_is_kept_and_forgets_what_is_past(
    orders: list[tuple[int, int]], now: int
) -> None:
    """By ascending period, none of them empty."""
    held = Book.empty("val0", "capacity-val0")
    for end, hours in orders:
        held = changed(held, end, hours, 0)
    held = changed(held, 12, 0, now)
    sums = {end: sum(hours for other, hours in orders if other == end) for end in range(now, 13)}
    assert held.kept == tuple(Kept(end, hours) for end, hours in sums.items() if hours)
    for end, hours in orders:
        held = changed(held, end, -hours, now)
    assert held.kept == ()


def test_an_order_with_a_later_end_leaves_room_before_it() -> None:
    """Fourteen coins by the sixteenth period leave hours for one that begins after them, and none
    for one that would take theirs."""
    world = new_world()
    world.requested(14 * COIN, "first")
    end_ms = (world.clock_ms // PERIOD_MS + 18) * PERIOD_MS
    assert world.reason(world.redeems(world.asks(COIN // 2, "early"))) is Reason.NO_FREE_HOURS
    late = world.requested(2 * COIN, "late", end_ms=end_ms)
    assert world.order(late).state is RedemptionState.REQUESTED
    again = world.redeems(world.asks(COIN // 2, "again", end_ms=end_ms))
    assert world.reason(again) is Reason.NO_FREE_HOURS


def test_a_receipt_of_many_hours_takes_none_of_later_periods() -> None:
    """Twelve coins were delivered over twelve periods and are posted in one: all later ones are
    free, those of the present one are not."""
    world = new_world()
    order = world.ready_order(12 * COIN)
    world.until(world.clock_ms + 11 * PERIOD_MS)
    world.run(world.posts(world.receipt(order, 1, 12 * COIN)))
    left = 15 * 900_000
    above = world.asks(left + 1, "other")
    assert world.reason(world.redeems(above)) is Reason.NO_FREE_HOURS
    world.requested(left, "other")
