"""Protocol objects: where each kind lives, how it is stored, and those that belong to no issuer.

An object's key is the type byte of its struct and its identity; its value begins with the same
byte, so that neither is ever read as another kind. The object tree commits to the hash of the
value. Type numbers are append-only; objects hold numbers from 32 on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeVar

from ledger.codec import AmountOrZero, Bytes32, UInt, Wire
from ledger.crypto import tagged_hash
from ledger.schema import DamagedChain, read_sealed

OBJECT_BYTES_MAX = 64 * 1024
"""Of one encoded object. The largest is the standard: 256 factors of at most 80 bytes, and 64
references of 48."""
DECODED_MAX = 2_048
"""Objects that are kept decoded, by their bytes: every block reads the same licences, reserves and
commitments again. They are values, and at most about 12 MB."""
CLOCK_STEP_MS_MAX = 30_000
"""How far the ledger clock moves over one block: an outage of the chain punishes nobody."""

ObjectT = TypeVar("ObjectT", bound=Wire)

hash_of_value = tagged_hash("objects/value")
"""What the object tree holds for an encoded object."""


class ObjectReader(Protocol):
    """The part of a view that holds objects."""

    def object(self, key: bytes) -> bytes | None: ...

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]: ...


class LedgerClock(Wire, frozen=True):
    """Time for every economic deadline and period. It stands still while the chain does."""

    TYPE: ClassVar[int] = 32
    time_ms: UInt

    def advanced(self, *, parent_ms: int, block_ms: int) -> LedgerClock:
        """The clock after a block with this header time."""
        return LedgerClock(self.time_ms + min(block_ms - parent_ms, CLOCK_STEP_MS_MAX))


class FeePot(Wire, frozen=True):
    """Fees of an epoch in one asset, not yet shared out. Identity: the epoch, the asset."""

    TYPE: ClassVar[int] = 33
    epoch: UInt
    asset: Bytes32
    amount: AmountOrZero

    @staticmethod
    def identity(epoch: int, asset: bytes) -> bytes:
        """Pots of older epochs come first in the order of keys."""
        return epoch.to_bytes(8, "big") + asset


class Used(Wire, frozen=True):
    """A transaction of which nothing else shows that it was carried, until it expires. Identity:
    its last moment in header time, its id."""

    TYPE: ClassVar[int] = 53
    expires_at_ms: UInt
    txid: Bytes32

    @property
    def identity(self) -> bytes:
        """Those that expire first come first in the order of keys."""
        return self.expires_at_ms.to_bytes(8, "big") + self.txid


def key_of(kind: type[Wire], identity: bytes = b"") -> bytes:
    """The key of an object; a kind of which there is one has no identity."""
    return bytes((kind.TYPE,)) + identity


def load(view: ObjectReader, kind: type[ObjectT], identity: bytes = b"") -> ObjectT | None:
    """The object of this kind and identity, None where there is none."""
    data = view.object(key_of(kind, identity))
    return None if data is None else decode(data, kind)


def load_one(view: ObjectReader, kind: type[ObjectT]) -> ObjectT:
    """The object of a kind of which every state holds exactly one."""
    found = load(view, kind)
    if found is None:
        raise DamagedChain(f"the state holds no {kind.__name__}")
    return found


def load_all(view: ObjectReader, kind: type[ObjectT]) -> list[ObjectT]:
    """Every object of a kind, in ascending order of identity."""
    return [decode(data, kind) for _, data in view.objects(key_of(kind))]


def decode(data: bytes, kind: type[ObjectT]) -> ObjectT:
    """A stored object. Bytes that are none are this machine's fault, never a block's or a peer's:
    raises DamagedChain."""
    found: ObjectT = _decoded(data, kind)
    return found


@lru_cache(maxsize=DECODED_MAX)
def _decoded(data: bytes, kind: type[Any]) -> Any:
    return read_sealed(data, kind, size_max=OBJECT_BYTES_MAX, what=f"an object {kind.__name__}")


def value_hash(data: bytes | None) -> bytes | None:
    """`hash_of_value` of a changed object; None for a removed one."""
    return None if data is None else hash_of_value(data)
