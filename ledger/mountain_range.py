"""The outputs ever made, as an append-only Merkle mountain range.

Leaf i is the i-th output of the chain, spent or not. Complete binary trees ("mountains") of
falling height stand side by side; their tops are the peaks, and folding the peaks from the right
gives the very tree of `ledger.merkle`. Appending touches peaks only, so a value is 32 bytes a
peak, however many outputs there are, and older values stay usable.

Nodes are numbered in the order in which they come to be: a leaf, then every parent that it
completes. A node never changes once it has a number, so storage only ever adds; what a proof
needs and a value does not hold is read from there through `node(position)`.

Invariant: one peak for each bit that is set in the count, the tallest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from ledger.codec import UInt, Wire
from ledger.crypto import HASH_BYTES, pair_hash, tagged_hash
from ledger.merkle import Path, climb, count_bytes

_node = pair_hash("outputs/node")
_root = tagged_hash("outputs/root")

ReadNode = Callable[[int], bytes]
"""The persisted node at a position."""


class OutputProof(Wire, frozen=True):
    """That a leaf is output `index` of the `count` outputs made so far."""

    index: UInt
    count: UInt
    path: Path


@dataclass(frozen=True, slots=True)
class MountainRange:
    """`count` leaves and the peaks over them."""

    count: int
    peaks: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.peaks) != self.count.bit_count():
            raise AssertionError(f"{len(self.peaks)} peaks over {self.count} outputs")

    @classmethod
    def empty(cls) -> MountainRange:
        return cls(0, ())

    @classmethod
    def load(cls, count: int, node: ReadNode) -> MountainRange:
        """The value over the first `count` leaves, from persisted nodes."""
        return cls(count, tuple(node(position) for position in peak_positions(count)))

    @property
    def root(self) -> bytes:
        """Commits the leaves, their order and their count."""
        if not self.count:
            return _root(count_bytes(0))
        return _root(count_bytes(self.count), _fold(self.peaks))

    def append(self, leaves: Iterable[bytes]) -> tuple[MountainRange, list[tuple[int, bytes]]]:
        """The value with 32-byte leaf hashes added, and the (position, hash) nodes to persist."""
        count = self.count
        peaks = list(self.peaks)
        position = size_of(count)
        nodes: list[tuple[int, bytes]] = []
        for leaf in leaves:
            if len(leaf) != HASH_BYTES:
                raise AssertionError(f"leaf hash of {len(leaf)} bytes")
            top = leaf
            nodes.append((position, top))
            position += 1
            completed = count
            while completed & 1:
                top = _node(peaks.pop(), top)
                nodes.append((position, top))
                position += 1
                completed >>= 1
            peaks.append(top)
            count += 1
        return MountainRange(count, tuple(peaks)), nodes

    def prove(self, index: int, node: ReadNode) -> OutputProof:
        """The proof of output `index`, which must have been made."""
        return OutputProof(index, self.count, self.prove_range(index, 0, node))

    def prove_range(self, number: int, height: int, node: ReadNode) -> Path:
        """The siblings above the leaves from `number << height` on, `1 << height` of them or, at
        the end, fewer."""
        if not 0 <= number << height < self.count:
            raise AssertionError(f"output {number << height} of {self.count}")
        path = []
        at, last = number, (self.count - 1) >> height
        while last:
            sibling = at ^ 1
            if (sibling + 1) << height <= self.count:
                path.append(node(position_of(sibling, height)))
            elif sibling <= last:
                path.append(_fold(self._peaks_from(sibling << height)))
            at >>= 1
            last >>= 1
            height += 1
        return tuple(path)

    def _peaks_from(self, leaf: int) -> tuple[bytes, ...]:
        """The peaks over `leaf`, where a mountain begins, and over all that follows it."""
        return self.peaks[-(self.count - leaf).bit_count() :]


def verify_output(root: bytes, leaf_hash: bytes, proof: OutputProof) -> bool:
    """Whether the range with this root holds `leaf_hash` as output `proof.index`."""
    top = climb(_node, leaf_hash, proof.index, proof.count, proof.path)
    return top is not None and _root(count_bytes(proof.count), top) == root


def verify_range(
    root: bytes, count: int, number: int, height: int, leaves: list[bytes], path: Path
) -> list[tuple[int, bytes]] | None:
    """The (position, hash) nodes over a range of leaf hashes as `prove_range` cuts it, themselves
    included; None unless the range with this root and count holds exactly these leaves there."""
    first = number << height
    if number < 0 or not leaves or len(leaves) != min(1 << height, count - first):
        return None
    levels = _levels(leaves)
    ranges = (count - 1 >> height) + 1
    top = climb(_node, _fold(_tops(levels)), number, ranges, path)
    if top is None or _root(count_bytes(count), top) != root:
        return None
    start = size_of(first)
    places = _places(len(leaves))
    return [
        (start + place, node)
        for level, positions in zip(levels, places, strict=True)
        for place, node in zip(positions, level, strict=True)
    ]


def nodes_above(count: int, height: int, node: ReadNode) -> list[tuple[int, bytes]]:
    """The complete nodes above level `height`, worked out from those of that level."""
    level = [node(position_of(index, height)) for index in range(count >> height)]
    nodes = []
    while len(level) > 1:
        height += 1
        level = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        nodes += [(position_of(index, height), top) for index, top in enumerate(level)]
    return nodes


def size_of(count: int) -> int:
    """The number of nodes over `count` leaves, which is the position of the next node."""
    return 2 * count - count.bit_count()


def position_of(index: int, height: int) -> int:
    """The position of the complete node `index` of its level, leaves being level 0.

    It follows its last leaf and the `height - 1` lower nodes that this leaf completes too.
    """
    return size_of(((index + 1) << height) - 1) + height


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """The complete nodes over some leaves, level by level from the leaves up."""
    levels = [leaves]
    while len(level := levels[-1]) > 1:
        levels.append([*map(_node, level[::2], level[1::2])])
    return levels


def _tops(levels: list[list[bytes]]) -> tuple[bytes, ...]:
    """The peaks: the last node of each level that has no sibling, the tallest first."""
    return tuple(level[-1] for level in reversed(levels) if len(level) & 1)


@lru_cache(maxsize=2)  # full chunks, and the last one
def _places(count: int) -> list[list[int]]:
    """The positions of what `_levels` gives over the first `count` leaves."""
    return [
        [position_of(index, height) for index in range(count >> height)]
        for height in range(count.bit_length())
    ]


def peak_positions(count: int) -> list[int]:
    """Where the peaks over `count` leaves lie, the tallest first."""
    positions = []
    first = 0
    for height in reversed(range(count.bit_length())):
        if count >> height & 1:
            positions.append(position_of(first >> height, height))
            first += 1 << height
    return positions


def _fold(peaks: tuple[bytes, ...]) -> bytes:
    top = peaks[-1]
    for peak in reversed(peaks[:-1]):
        top = _node(peak, top)
    return top
