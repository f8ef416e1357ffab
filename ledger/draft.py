"""Objects in the making: a view, and what was changed on top of it so far.

Nothing here is written anywhere: `changed` is handed on, or thrown away with a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from ledger.codec import Wire, encode
from ledger.economy.parameters import EconomyParameters
from ledger.objects import LedgerClock, decode, key_of
from ledger.parameters import Parameters
from ledger.schema import DamagedChain
from ledger.view import View, merged_objects

ObjectT = TypeVar("ObjectT", bound=Wire)


class Draft:
    """The objects of a view, which stands still meanwhile, and their changes. `time_ms` is the
    header time of the block that would hold them."""

    __slots__ = ("_ones", "_view", "changed", "time_ms")

    def __init__(self, view: View, time_ms: int) -> None:
        self._view = view
        self.time_ms = time_ms
        self.changed: dict[bytes, bytes | None] = {}
        self._ones: dict[type[Wire], Wire] = {}
        """Decoded: every object that is read as of now asks for the clock and the parameters."""

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
        return self.changed[key] if key in self.changed else self._view.object(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return merged_objects(self._view.objects(prefix), self.changed, prefix)

    def load(self, kind: type[ObjectT], identity: bytes = b"") -> ObjectT | None:
        """The object as it is stored."""
        data = self.object(key_of(kind, identity))
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
        return [decode(data, kind) for _, data in self.objects(key_of(kind, prefix))]

    def put(self, value: Wire, identity: bytes = b"") -> None:
        self._ones.pop(type(value), None)
        self.changed[key_of(type(value), identity)] = encode(value)

    def remove(self, kind: type[Wire], identity: bytes) -> None:
        self._ones.pop(kind, None)
        self.changed[key_of(kind, identity)] = None
