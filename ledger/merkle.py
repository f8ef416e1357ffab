"""Merkle trees over lists: the shape that every list commitment shares, and proofs in it.

Neighbours are hashed in pairs, level by level; a node without a right neighbour moves up as it
is. Nothing is ever duplicated to fill a level: where it is, two different lists share a root
(CVE-2012-2459). The root commits the number of leaves, so that (index, count) alone fix which
levels of a proof hold a sibling and on which side, and a proof has one possible length.

The transaction list, the outputs and the spent flags all have this shape. They differ in their
tags: a leaf is never taken for a node, nor a node of one tree for a node of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from ledger.codec import UINT_MAX, Bytes32, UInt, Wire
from ledger.crypto import HASH_BYTES, pair_hash, tagged_hash

DEPTH_MAX = 63
"""Siblings in a path: the depth of a tree of `UINT_MAX` leaves."""

Path = Annotated[tuple[Bytes32, ...], Meta(max_length=DEPTH_MAX)]
"""Siblings from the leaf up; levels where the node moves up alone have none."""

TX_ROOTS_REMEMBERED = 8
"""More than are in flight at once; each with its list, of 150 KiB at most."""

_leaf = tagged_hash("merkle/leaf")
_node = pair_hash("merkle/node")
_root = tagged_hash("merkle/root")


class MerkleProof(Wire, frozen=True):
    """That a leaf stands at `index` of a list of `count` leaves."""

    index: UInt
    count: UInt
    path: Path


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The commitment to a list, its order and its length; the empty list has a root too."""
    level = [_leaf(leaf) for leaf in leaves]
    while len(level) > 1:
        level = _parents(level)
    return _root(count_bytes(len(leaves)), *level)


@lru_cache(maxsize=TX_ROOTS_REMEMBERED)
def remembered_root(leaves: tuple[bytes, ...]) -> bytes:
    """The root over a block's transactions: a node asks about the same list two or three times,
    when it is proposed, when the bodies are there, and when it is executed."""
    return merkle_root(leaves)


def merkle_proof(leaves: Sequence[bytes], index: int) -> MerkleProof:
    """The proof of `leaves[index]`; `index` must be in range."""
    if not 0 <= index < len(leaves):
        raise AssertionError(f"leaf {index} of a list of {len(leaves)}")
    level = [_leaf(leaf) for leaf in leaves]
    path = []
    at = index
    while len(level) > 1:
        sibling = at ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _parents(level)
        at >>= 1
    return MerkleProof(index, len(leaves), tuple(path))


def verify_merkle(root: bytes, leaf: bytes, proof: MerkleProof) -> bool:
    """Whether the list with this root holds `leaf` at the proof's index."""
    top = climb(_node, _leaf(leaf), proof.index, proof.count, proof.path)
    return top is not None and _root(count_bytes(proof.count), top) == root


def count_bytes(count: int) -> bytes:
    """A number of leaves as it is hashed: 8 bytes, big-endian."""
    return count.to_bytes(8, "big")


def climb(
    node: Callable[[bytes, bytes], bytes],
    start: bytes,
    index: int,
    count: int,
    path: Sequence[bytes],
) -> bytes | None:
    """The top of a tree of `count` leaves whose leaf `index` hashes to `start`.

    None when index, count, the length of the path or the size of a hash cannot be. Does at most
    `DEPTH_MAX` hashes, whatever it is given.
    """
    if not 0 <= index < count <= UINT_MAX or len(path) != _siblings(index, count):
        return None
    if len(start) != HASH_BYTES or any(len(sibling) != HASH_BYTES for sibling in path):
        return None
    siblings = iter(path)
    top, at, last = start, index, count - 1
    while last:
        if at & 1:
            top = node(next(siblings), top)
        elif at < last:
            top = node(top, next(siblings))
        at >>= 1
        last >>= 1
    return top


def _siblings(index: int, count: int) -> int:
    """How many levels give the leaf a sibling: all but those where it is last and even."""
    at, last, found = index, count - 1, 0
    while last:
        found += at & 1 or at < last
        at >>= 1
        last >>= 1
    return found


def _parents(level: list[bytes]) -> list[bytes]:
    parents = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) & 1:
        parents.append(level[-1])
    return parents
