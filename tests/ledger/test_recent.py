"""The bounded set, and the map, of what was seen lately."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.recent import RecentMap, RecentSet

ITEMS_MAX = 8


@given(st.lists(st.integers(0, 40), max_size=100))
def test_bounded_and_sure_of_the_younger_half(items: list[int]) -> None:
    """After any additions, new or again: within the limit, and the last half of it is there."""
    recent: RecentSet[int] = RecentSet(ITEMS_MAX)
    for item in items:
        recent.add(item)
        assert len(recent) <= ITEMS_MAX
    assert all(item in recent for item in items[-ITEMS_MAX // 2 :])


def test_the_oldest_are_forgotten() -> None:
    """Twice as many different items as it holds: the first ones are gone."""
    recent: RecentSet[int] = RecentSet(ITEMS_MAX)
    for item in range(2 * ITEMS_MAX):
        recent.add(item)
    assert not any(item in recent for item in range(ITEMS_MAX))


def test_discarded_from_either_generation() -> None:
    """One that is young, one that is old, and one that was never there: all are absent after."""
    recent: RecentSet[int] = RecentSet(ITEMS_MAX)
    for item in range(ITEMS_MAX // 2 + 1):
        recent.add(item)
    for item in (0, ITEMS_MAX // 2, 99):
        recent.discard(item)
        assert item not in recent
    assert 1 in recent


@given(st.lists(st.integers(0, 40), max_size=100))
def test_a_map_gives_the_last_value_or_none(items: list[int]) -> None:
    """After any puts: within the limit, never an older value, the last half of them is there."""
    recent: RecentMap[int, str] = RecentMap(ITEMS_MAX)
    last: dict[int, str] = {}
    for number, item in enumerate(items):
        last[item] = f"value {number}"
        recent.put(item, last[item])
        assert len(recent) <= ITEMS_MAX
    assert all(recent.get(item) in (None, last[item]) for item in last)
    assert all(recent.get(item) == last[item] for item in items[-ITEMS_MAX // 2 :])
    assert recent.get(99) is None
