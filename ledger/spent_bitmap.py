"""Which outputs are spent: one flag an output, in a Merkle tree over chunks of 1,024 flags.

Flag i belongs to leaf i of the mountain range; in a chunk it is bit `i % 8` of byte `i // 8`. The
tree has the shape of `ledger.merkle` and grows with the outputs. One proof shows a whole chunk
and serves for *spent* and for *unspent*.

Values are immutable and share all subtrees that they have in common: the states of blocks that
are not final yet stand on one base, and each costs what its block touched. A batch hashes every
changed node once. Nodes form no cycles and are many, so they are kept away from the collector of
cycles.

Invariants: a flag is set once and never cleared; flags at and above the count are clear; equal
digests mean equal subtrees.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from ledger.codec import UINT_MAX, UInt, Wire
from ledger.crypto import pair_hash, tagged_hash
from ledger.errors import InvariantBroken
from ledger.merkle import Path, climb, count_bytes
from ledger.reasons import Invalid, Reason

CHUNK_BYTES = 128
CHUNK_FLAGS = 8 * CHUNK_BYTES

_chunk_hash = tagged_hash("spent/chunk")
_node_hash = pair_hash("spent/node")
_root = tagged_hash("spent/root")


class SpentProof(Wire, frozen=True):
    """One chunk of the flags of `count` outputs. Which output it speaks for is the asker's say."""

    count: UInt
    chunk: Annotated[bytes, Meta(min_length=CHUNK_BYTES, max_length=CHUNK_BYTES)]
    path: Path


class _Chunk(msgspec.Struct, frozen=True, gc=False):
    digest: bytes
    flags: bytes


class _Inner(msgspec.Struct, frozen=True, gc=False):
    digest: bytes
    left: _Node
    right: _Node


_Node: TypeAlias = _Chunk | _Inner

_CLEAR = _Chunk(_chunk_hash(bytes(CHUNK_BYTES)), bytes(CHUNK_BYTES))


@dataclass(frozen=True, slots=True)
class SpentBitmap:
    """The flags of `count` outputs. Two values are equal when their roots are."""

    count: int = field(compare=False)
    root: bytes
    _top: _Node | None = field(compare=False, repr=False)

    @classmethod
    def empty(cls) -> SpentBitmap:
        return cls(0, _root(count_bytes(0)), None)

    @classmethod
    def load(cls, chunks: Mapping[int, bytes], count: int) -> SpentBitmap:
        """The flags of `count` outputs from stored chunks; a chunk that is absent is clear.

        Raises Invalid for a chunk that cannot be: they come from a disk.
        """
        masks = {}
        for number, flags in chunks.items():
            mask = int.from_bytes(flags, "little")
            room = count - number * CHUNK_FLAGS
            if len(flags) != CHUNK_BYTES or number < 0 or room <= 0 or mask >> room:
                raise Invalid(Reason.MALFORMED, f"spent chunk {number} of {count} outputs")
            if mask:
                masks[number] = mask
        return cls.empty()._with(masks, count)

    def spend(self, indices: Iterable[int], count: int) -> SpentBitmap:
        """The value grown to `count` outputs with the flags at `indices` set.

        Rules find double spends long before; one that arrives here is our own fault.
        """
        if count < self.count:
            raise AssertionError(f"{self.count} outputs cannot become {count}")
        masks: dict[int, int] = {}
        for index in indices:
            if not 0 <= index < count:
                raise InvariantBroken(f"output {index} of {count} spent")
            number, bit = index // CHUNK_FLAGS, 1 << index % CHUNK_FLAGS
            mask = masks.get(number, 0)
            if mask & bit:
                raise InvariantBroken(f"output {index} spent twice in one batch")
            masks[number] = mask | bit
        return self._with(masks, count)

    def is_spent(self, index: int) -> bool:
        """The flag of an output that has been made."""
        if not 0 <= index < self.count:
            raise AssertionError(f"output {index} of {self.count}")
        return _is_set(self.chunk(index // CHUNK_FLAGS), index)

    def chunk(self, number: int) -> bytes:
        """The 128 bytes that hold flags `number * 1,024` and following."""
        node, width, at = self._top, _chunks(self.count), number
        if node is None or not 0 <= number < width:
            raise AssertionError(f"spent chunk {number} of {width}")
        while isinstance(node, _Inner):
            half = _left_width(width)
            if at < half:
                node, width = node.left, half
            else:
                node, width, at = node.right, width - half, at - half
        return node.flags

    def first_unspent(self, first: int, end: int) -> int | None:
        """The lowest output from `first` on and below `end` that is not spent."""
        for number in range(first // CHUNK_FLAGS, _chunks(min(end, self.count))):
            low = max(first - number * CHUNK_FLAGS, 0)
            high = max(low, min(end - number * CHUNK_FLAGS, CHUNK_FLAGS))
            spent = int.from_bytes(self.chunk(number), "little")
            unspent = ~spent & (1 << high) - (1 << low)
            if unspent:
                return number * CHUNK_FLAGS + (unspent & -unspent).bit_length() - 1
        return None

    def prove(self, index: int) -> SpentProof:
        """The proof of the flag of output `index`, spent or not."""
        if not 0 <= index < self.count:
            raise AssertionError(f"output {index} of {self.count}")
        chunk, path = self._descend(index // CHUNK_FLAGS)
        return SpentProof(self.count, chunk.flags, tuple(path))

    def changed_chunks(self, since: SpentBitmap) -> list[tuple[int, bytes]]:
        """The (number, flags) that differ from an earlier value, in ascending order.

        Chunks that were added and are still clear are left out, as `load` expects.
        """
        if since.count > self.count:
            raise AssertionError(f"{since.count} outputs are not earlier than {self.count}")
        if self._top is None:
            return []
        old_width, width = _chunks(since.count), _chunks(self.count)
        return list(_differing(since._top, old_width, self._top, width, 0))

    def _with(self, masks: dict[int, int], count: int) -> SpentBitmap:
        if count == 0:
            return self
        batch = _Batch(masks, sorted(masks))
        old_width, width = _chunks(self.count), _chunks(count)
        top = batch.apply(self._top, old_width, width, 0, 0, len(batch.numbers))
        return SpentBitmap(count, _root(count_bytes(count), top.digest), top)

    def _descend(self, number: int) -> tuple[_Chunk, list[bytes]]:
        """The chunk and the siblings beside the way to it, from the chunk up."""
        node, width = self._top, _chunks(self.count)
        if node is None or not 0 <= number < width:
            raise AssertionError(f"spent chunk {number} of {width}")
        path = []
        at = number
        while isinstance(node, _Inner):
            half = _left_width(width)
            if at < half:
                path.append(node.right.digest)
                node, width = node.left, half
            else:
                path.append(node.left.digest)
                node, width, at = node.right, width - half, at - half
        return node, path[::-1]


def verify_spent(root: bytes, index: int, proof: SpentProof) -> bool:
    """Whether the bitmap with this root says that output `index` is spent."""
    return _holds(root, index, proof) and _is_set(proof.chunk, index)


def verify_unspent(root: bytes, index: int, proof: SpentProof) -> bool:
    """Whether the bitmap with this root says that output `index` was made and is unspent."""
    return _holds(root, index, proof) and not _is_set(proof.chunk, index)


def verify_chunk(root: bytes, number: int, proof: SpentProof) -> bool:
    """Whether the proof's chunk is, under this root, the one of this number."""
    return _holds(root, number * CHUNK_FLAGS, proof)


def _holds(root: bytes, index: int, proof: SpentProof) -> bool:
    """Whether the proof's chunk is, under this root, the one that holds flag `index`."""
    if len(proof.chunk) != CHUNK_BYTES or not 0 <= index < proof.count <= UINT_MAX:
        return False
    start = _chunk_hash(proof.chunk)
    number, width = index // CHUNK_FLAGS, _chunks(proof.count)
    top = climb(_node_hash, start, number, width, proof.path)
    return top is not None and _root(count_bytes(proof.count), top) == root


def _is_set(flags: bytes, index: int) -> bool:
    at = index % CHUNK_FLAGS
    return bool(flags[at >> 3] >> (at & 7) & 1)


def _chunks(count: int) -> int:
    return -(-count // CHUNK_FLAGS)


def _left_width(width: int) -> int:
    """Chunks under the left child: the largest power of two below the width."""
    return 1 << (width - 1).bit_length() - 1


def _inner(left: _Node, right: _Node) -> _Inner:
    return _Inner(_node_hash(left.digest, right.digest), left, right)


@cache  # one entry for each of at most 53 powers of two
def _clear(width: int) -> _Node:
    """The complete subtree of clear chunks."""
    return _CLEAR if width == 1 else _inner(_clear(width // 2), _clear(width // 2))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Flags to set, as one 1,024-bit mask a chunk, and the chunk numbers in ascending order."""

    masks: dict[int, int]
    numbers: list[int]

    def apply(
        self, old: _Node | None, old_width: int, width: int, first: int, low: int, high: int
    ) -> _Node:
        """The subtree over `width` chunks from `first` on, which had `old_width` of them.

        `numbers[low:high]` are the changed ones among them.
        """
        if low == high:
            if old is not None and old_width == width:
                return old
            if old is None and width & (width - 1) == 0:
                return _clear(width)
        if width == 1:
            return self._set(old, first)
        half = _left_width(width)
        left, right, right_width = old, None, 0
        if isinstance(old, _Inner) and old_width > half:
            left, right, right_width = old.left, old.right, old_width - half
        middle = bisect_left(self.numbers, first + half, low, high)
        return _inner(
            self.apply(left, min(old_width, half), half, first, low, middle),
            self.apply(right, right_width, width - half, first + half, middle, high),
        )

    def _set(self, old: _Node | None, number: int) -> _Chunk:
        mask = self.masks[number]
        before = int.from_bytes(old.flags, "little") if isinstance(old, _Chunk) else 0
        if before & mask:
            again = (before & mask).bit_length() - 1 + number * CHUNK_FLAGS
            raise InvariantBroken(f"output {again} is spent already")
        flags = (before | mask).to_bytes(CHUNK_BYTES, "little")
        return _Chunk(_chunk_hash(flags), flags)


def _differing(
    old: _Node | None, old_width: int, new: _Node, width: int, first: int
) -> Iterator[tuple[int, bytes]]:
    """The chunks of `new` that are not those of `old`, which covers its first `old_width`."""
    if old is not None and old.digest == new.digest:
        return
    if isinstance(new, _Chunk):
        if old is not None or new.digest != _CLEAR.digest:
            yield first, new.flags
        return
    half = _left_width(width)
    left, right, right_width = old, None, 0
    if isinstance(old, _Inner) and old_width > half:
        left, right, right_width = old.left, old.right, old_width - half
    yield from _differing(left, min(old_width, half), new.left, half, first)
    yield from _differing(right, right_width, new.right, width - half, first + half)
