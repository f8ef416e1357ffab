"""What the rules read and what they return: views of a state, and the changes of one block.

A view answers for one height. The chain is a view of the last final block; `Overlay` puts the
changes of blocks that are not final yet on top of it, as many as consensus keeps in flight.
Nothing here writes: `Changes` is handed to `chain.append`, once, when the block is final.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol, TypeAlias

from msgspec import Meta

from ledger.accumulator import Commitments
from ledger.block import Header, header_hash
from ledger.codec import Amount, Bytes32, UInt, Wire, encode_payload
from ledger.crypto import part_hash

Outpoint: TypeAlias = tuple[bytes, int]
"""(txid, index): the key of an output in memory."""

Birth = Annotated[bytes, Meta(min_length=16, max_length=16)]
BIRTH_ZERO: bytes = bytes(16)
LEAF_VERSION = 1

_output_leaf = part_hash("output")


class OutputEntry(Wire, frozen=True):
    """One output as stored, spent or not. Type byte 5.

    `leaf` is its position in the mountain range. `birth` is the value of its asset's dividend
    accumulator when it was made (16 bytes big-endian; zero while nothing accrues).
    """

    TYPE: ClassVar[int] = 5
    asset: Bytes32
    amount: Amount
    lock: Bytes32
    height: UInt
    leaf: UInt
    birth: Birth


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of a state and what it commits to."""

    header: Header
    hash: bytes
    commitments: Commitments

    @classmethod
    def of(cls, header: Header, commitments: Commitments) -> Head:
        return cls(header, header_hash(header), commitments)


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything that one block changes; computed first, written once.

    `created` holds the outputs that outlive the block, `spent` those of earlier blocks that it
    spends (with their entries, for the indexes). An output made and spent inside the block stands
    in neither, but has its leaf and its spent flag. `objects` maps keys to encoded objects, None
    for removed. `nodes` are new nodes of the mountain range by position.
    """

    head: Head
    created: Mapping[Outpoint, OutputEntry]
    spent: Mapping[Outpoint, OutputEntry]
    objects: Mapping[bytes, bytes | None]
    nodes: Sequence[tuple[int, bytes]]


class View(Protocol):
    """What the rules may ask of a state."""

    @property
    def head(self) -> Head: ...

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        """The entry of an unspent output, None where unknown or spent."""

    def is_spent(self, outpoint: Outpoint) -> bool:
        """Whether it is known that the output existed and was spent; words a refusal only."""

    def object(self, key: bytes) -> bytes | None:
        """An encoded protocol object."""

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Objects whose keys begin with `prefix`, in ascending order of key."""


class Overlay:
    """The changes of one block on top of another view."""

    __slots__ = ("_base", "_changes", "_objects")

    def __init__(self, base: View, changes: Changes) -> None:
        self._base = base
        self._changes = changes
        self._objects = ChangedObjects(changes.objects)

    @property
    def head(self) -> Head:
        return self._changes.head

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        entry = self._changes.created.get(outpoint)
        if entry is not None or outpoint in self._changes.spent:
            return entry
        return self._base.output(outpoint)

    def is_spent(self, outpoint: Outpoint) -> bool:
        return outpoint in self._changes.spent or self._base.is_spent(outpoint)

    def object(self, key: bytes) -> bytes | None:
        if key in self._changes.objects:
            return self._changes.objects[key]
        return self._base.object(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._objects.over(self._base.objects(prefix), prefix)


class ChangedObjects:
    """Objects that changed, None for removed. Those of each kind lie apart: who asks for objects in
    order asks for those of one kind, and a block changes thousands."""

    __slots__ = ("_by_kind", "items")

    def __init__(self, items: Mapping[bytes, bytes | None]) -> None:
        self.items: dict[bytes, bytes | None] = {}
        self._by_kind: dict[int, dict[bytes, bytes | None]] = {}
        self.update(items)

    def put(self, key: bytes, data: bytes | None) -> None:
        self.items[key] = data
        self._by_kind.setdefault(key[0], {})[key] = data

    def update(self, items: Mapping[bytes, bytes | None]) -> None:
        for key, data in items.items():
            self.put(key, data)

    def under(self, prefix: bytes) -> list[tuple[bytes, bytes | None]]:
        """Those whose keys begin so, in ascending order; all of them under no prefix."""
        found = self._by_kind.get(prefix[0], {}) if prefix else self.items
        return sorted([item for item in found.items() if item[0].startswith(prefix)])

    def over(
        self, base: Iterator[tuple[bytes, bytes]], prefix: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        """`base`, the objects under `prefix` before the changes, with them, in ascending order of
        key; read no further than is asked."""
        fresh = self.under(prefix)
        return _merged(base, fresh) if fresh else base


def _merged(
    base: Iterator[tuple[bytes, bytes]], fresh: Sequence[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    for key, value in base:
        while position < len(fresh) and fresh[position][0] < key:
            item = fresh[position]
            position += 1
            if item[1] is not None:
                yield item[0], item[1]
        if position < len(fresh) and fresh[position][0] == key:
            item = fresh[position]
            position += 1
            if item[1] is not None:
                yield key, item[1]
        else:
            yield key, value
    for key, data in fresh[position:]:
        if data is not None:
            yield key, data


def output_leaf(outpoint: Outpoint, entry: OutputEntry) -> bytes:
    """The leaf of an output: H(version, outpoint, asset, amount, lock, height, birth value)."""
    txid, index = outpoint
    fields = (
        LEAF_VERSION,
        txid,
        index,
        entry.asset,
        entry.amount,
        entry.lock,
        entry.height,
        entry.birth,
    )
    return _output_leaf(encode_payload(fields))
