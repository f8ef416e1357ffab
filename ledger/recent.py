"""A bounded set, and a map, that keep at least their younger half: what may be forgotten at a cost.

Two generations; when the younger is full it becomes the older, and what was that is forgotten as a
whole. Cheaper than an order of use: no entry is ever moved.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT", bound=Hashable)
ValueT = TypeVar("ValueT")


class RecentSet(Generic[ItemT]):
    """Never more than `items_max` items; the last half of that is always there."""

    __slots__ = ("_generation_max", "_old", "_young")

    def __init__(self, items_max: int) -> None:
        self._generation_max = items_max // 2
        self._young: set[ItemT] = set()
        self._old: set[ItemT] = set()

    def __contains__(self, item: ItemT) -> bool:
        return item in self._young or item in self._old

    def __len__(self) -> int:
        """An item that was added again in its second generation counts twice."""
        return len(self._young) + len(self._old)

    def add(self, item: ItemT) -> None:
        if len(self._young) >= self._generation_max:
            self._old, self._young = self._young, set()
        self._young.add(item)

    def discard(self, item: ItemT) -> None:
        """Forget one, if it is there."""
        self._young.discard(item)
        self._old.discard(item)


class RecentMap(Generic[ItemT, ValueT]):
    """Never more than `items_max` values; the last half of those that were put is always there."""

    __slots__ = ("_generation_max", "_old", "_young")

    def __init__(self, items_max: int) -> None:
        self._generation_max = items_max // 2
        self._young: dict[ItemT, ValueT] = {}
        self._old: dict[ItemT, ValueT] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, item: ItemT) -> ValueT | None:
        """The value, None where it is forgotten or never was."""
        return self._young.get(item) or self._old.get(item)

    def put(self, item: ItemT, value: ValueT) -> None:
        """`value` is true; it takes the place of an older one."""
        if len(self._young) >= self._generation_max:
            self._old, self._young = self._young, {}
        self._young[item] = value
