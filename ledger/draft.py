"""Objects in the making: a view, and what was changed on top of it so far.

Nothing here is written anywhere: `changed` is handed on, or thrown away with a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from ledger.codec import Wire, encode
from ledger.economy.parameters import EconomyParameters
from ledger.objects import LedgerClock, decode, key_of
from ledger.parameters import Parameters
from ledger.schema import DamagedChain
from ledger.view import ChangedObjects, View

ObjectT = TypeVar("ObjectT", bound=Wire)


class Draft:
    """The objects of a view, which stands still meanwhile, and their changes. `time_ms` is the
    header time of the block that would hold them."""

    __slots__ = ("_changes", "_made", "_ones", "_rows", "_view", "time_ms")

    def __init__(self, view: View, time_ms: int) -> None:
        self._view = view
        self.time_ms = time_ms
        self._changes = ChangedObjects({})
        self._made: dict[bytes, Wire] = {}
        """What was put: the book of a commitment is read again for each of its orders."""
        self._ones: dict[type[Wire], Wire] = {}
        """Decoded: every object that is read as of now asks for the clock and the parameters."""
        self._rows: dict[bytes, list[tuple[bytes, bytes]]] = {}
        """What the view holds under prefixes that were asked for in full: thousands of orders that
        lapse together ask for the same bonds."""

    @property
    def changed(self) -> Mapping[bytes, bytes | None]:
        """What became of objects so far, by key; None for removed."""
        return self._changes.items

    @property
    def height(self) -> int:
        """Of the block that would hold them."""
        return self._view.head.header.height + 1

    @property
    def parent_hash(self) -> bytes:
        return self._view.head.hash

    @property
    def chain_id(self) -> bytes:
        return self._view.head.header.chain_id

    @property
    def clock_ms(self) -> int:
        """The ledger clock; that of the last block until the system moves it."""
        return self.one(LedgerClock).time_ms

    @property
    def parameters(self) -> Parameters:
        return self.one(Parameters)

    @property
    def economy(self) -> EconomyParameters:
        return self.parameters.economy

    @property
    def period(self) -> int:
        """The number of the present period."""
        return self.clock_ms // self.parameters.period_ms

    def object(self, key: bytes) -> bytes | None:
        changed = self._changes.items
        return changed[key] if key in changed else self._view.object(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._changes.over(self._view.objects(prefix), prefix)

    def load(self, kind: type[ObjectT], identity: bytes = b"") -> ObjectT | None:
        """The object as it is stored."""
        key = key_of(kind, identity)
        made = self._made.get(key)
        if isinstance(made, kind):
            return made
        data = self.object(key)
        return None if data is None else decode(data, kind)

    def one(self, kind: type[ObjectT]) -> ObjectT:
        """The object of a kind of which every state holds exactly one."""
        known = self._ones.get(kind)
        if isinstance(known, kind):
            return known
        found = self.load(kind)
        if found is None:
            raise DamagedChain(f"the state holds no {kind.__name__}")
        self._ones[kind] = found
        return found

    def all(self, kind: type[ObjectT], prefix: bytes = b"") -> list[ObjectT]:
        """Every object of a kind whose identity begins so, in ascending order, as stored."""
        under = key_of(kind, prefix)
        rows = self._rows.get(under)
        if rows is None:
            rows = self._rows[under] = list(self._view.objects(under))
        return [decode(data, kind) for _, data in self._changes.over(iter(rows), under)]

    def put(self, value: Wire, identity: bytes = b"") -> None:
        self._ones.pop(type(value), None)
        key = key_of(type(value), identity)
        self._made[key] = value
        self._changes.put(key, encode(value))

    def remove(self, kind: type[Wire], identity: bytes) -> None:
        self._ones.pop(kind, None)
        key = key_of(kind, identity)
        self._made.pop(key, None)
        self._changes.put(key, None)
