"""The protocol objects as a sparse Merkle tree: proofs that a key has a value, or has none.

A key's place is the 256 bits of its tagged hash, the first bit choosing at the top. The tree is
compact: a subtree that holds one leaf is that leaf, one that holds none is 32 zero bytes. So its
form follows from what it holds alone, in whatever order that came, and its depth is that of a
random tree, because nobody chooses the hash of a key.

The tree holds hashes of values; the values lie in storage. It is meant for thousands of objects
and lives in memory. Values are immutable and share their unchanged subtrees, like those of
`ledger.spent_bitmap`, and for the same reason stay away from the collector of cycles.

Invariant: an inner node has at least two leaves below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from ledger.codec import Bytes32, Wire
from ledger.crypto import HASH_BYTES, ZERO_HASH, pair_hash, tagged_hash

PATH_BITS = 256
"""Bits of a key's place, and siblings at most in a proof."""

_key_hash = tagged_hash("objects/key")
_leaf_hash = pair_hash("objects/leaf")
_node_hash = pair_hash("objects/node")


class ObjectLeaf(Wire, frozen=True):
    """What stands at the place of another key: hash of its key, hash of its value."""

    place: Bytes32
    value_hash: Bytes32


class ObjectProof(Wire, frozen=True):
    """What is at the place of a key.

    Without `other`: the leaf of the key itself, or nothing. With it: the single leaf of the
    subtree where the key would be, which shows that the key is absent.
    """

    path: Annotated[tuple[Bytes32, ...], Meta(max_length=PATH_BITS)]
    """Siblings from the leaf up; an empty subtree is 32 zero bytes."""
    other: Annotated[tuple[ObjectLeaf, ...], Meta(max_length=1)]


class Subtree(msgspec.Struct, frozen=True):
    """Where a subtree stands, and the digests of its halves; no halves where it is one leaf, or
    nothing at all.

    Subtrees have numbers: 1 is the whole tree, 2 n and 2 n + 1 are the halves of n.
    """

    path: tuple[bytes, ...]
    """Siblings from the subtree up."""
    halves: tuple[bytes, ...]


class _Leaf(msgspec.Struct, frozen=True, gc=False):
    digest: bytes
    place: bytes
    value_hash: bytes


class _Inner(msgspec.Struct, frozen=True, gc=False):
    digest: bytes
    left: _Node
    right: _Node


_Node: TypeAlias = _Leaf | _Inner | None
_Change: TypeAlias = tuple[bytes, _Leaf | None]
"""A place and the leaf that shall be there, or none."""


@dataclass(frozen=True, slots=True)
class ObjectTree:
    """The set of (key, hash of value). Two values are equal when their roots are."""

    root: bytes
    _top: _Node = field(compare=False, repr=False)

    @classmethod
    def empty(cls) -> ObjectTree:
        return cls(ZERO_HASH, None)

    def update(self, changes: Mapping[bytes, bytes | None]) -> ObjectTree:
        """The value with each key set to the 32-byte hash of its value, or removed by None.

        Removing a key that is absent changes nothing.
        """
        batch: list[_Change] = []
        for key, value_hash in changes.items():
            place = _key_hash(key)
            leaf = None
            if value_hash is not None:
                if len(value_hash) != HASH_BYTES:
                    raise AssertionError(f"value hash of {len(value_hash)} bytes")
                leaf = _Leaf(_leaf_hash(place, value_hash), place, value_hash)
            batch.append((place, leaf))
        top = _apply(self._top, 0, batch)
        return ObjectTree(_digest(top), top)

    def prove(self, key: bytes) -> ObjectProof:
        """The proof of the key's value, or of its absence."""
        place = _key_hash(key)
        node = self._top
        path: list[bytes] = []
        while isinstance(node, _Inner):
            if _bit(place, len(path)):
                path.append(_digest(node.left))
                node = node.right
            else:
                path.append(_digest(node.right))
                node = node.left
        other: tuple[ObjectLeaf, ...] = ()
        if node is not None and node.place != place:
            other = (ObjectLeaf(node.place, node.value_hash),)
        return ObjectProof(tuple(reversed(path)), other)

    def subtree(self, number: int) -> Subtree | None:
        """A subtree by its number; None where no node stands there."""
        depth = _depth(number)
        node = self._top
        path: list[bytes] = []
        for below in reversed(range(depth)):
            if not isinstance(node, _Inner):
                return None
            left, right = node.left, node.right
            is_right = number >> below & 1
            path.append(_digest(left if is_right else right))
            node = right if is_right else left
        halves = (_digest(node.left), _digest(node.right)) if isinstance(node, _Inner) else ()
        return Subtree(tuple(reversed(path)), halves)


def verify_object(root: bytes, key: bytes, value_hash: bytes, proof: ObjectProof) -> bool:
    """Whether the tree with this root holds `value_hash` at `key`."""
    if proof.other or len(value_hash) != HASH_BYTES:
        return False
    place = _key_hash(key)
    return _climb(_leaf_hash(place, value_hash), place, proof.path) == root


def verify_absent(root: bytes, key: bytes, proof: ObjectProof) -> bool:
    """Whether the tree with this root holds nothing at `key`."""
    place = _key_hash(key)
    if not proof.other:
        return _climb(ZERO_HASH, place, proof.path) == root
    if len(proof.other) != 1:
        return False
    other = proof.other[0]
    if len(other.place) != HASH_BYTES or len(other.value_hash) != HASH_BYTES:
        return False
    if other.place == place or not _share(other.place, place, len(proof.path)):
        return False
    return _climb(_leaf_hash(other.place, other.value_hash), place, proof.path) == root


def verify_subtree(
    root: bytes, number: int, value_hashes: Mapping[bytes, bytes], path: Sequence[bytes]
) -> bool:
    """Whether the tree with this root holds, in the subtree of this number, exactly these keys
    with these hashes of their values."""
    leaves = []
    for key, value_hash in value_hashes.items():
        place = _key_hash(key)
        leaves.append(_Leaf(_leaf_hash(place, value_hash), place, value_hash))
    return _stands(root, number, _digest(_build(leaves, _depth(number))), path)


def verify_halves(
    root: bytes, number: int, halves: tuple[bytes, bytes], path: Sequence[bytes]
) -> bool:
    """Whether the tree with this root has, in the subtree of this number, these two halves."""
    return _stands(root, number, _node_hash(*halves), path)


def subtree_of(place: bytes, depth: int) -> int:
    """The number of the subtree at this depth that a place belongs to."""
    return 1 << depth | int.from_bytes(place, "big") >> PATH_BITS - depth


def place_of(key: bytes) -> bytes:
    """Where a key stands: subtrees hold their keys in the order of places."""
    return _key_hash(key)


def _stands(root: bytes, number: int, digest: bytes, path: Sequence[bytes]) -> bool:
    depth = _depth(number)
    place = (number - (1 << depth) << PATH_BITS - depth).to_bytes(HASH_BYTES, "big")
    return len(path) == depth and _climb(digest, place, path) == root


def _depth(number: int) -> int:
    if not 1 <= number < 2 << PATH_BITS:
        raise AssertionError(f"there is no subtree {number}")
    return number.bit_length() - 1


def _climb(start: bytes, place: bytes, path: Sequence[bytes]) -> bytes | None:
    """The top of a tree that has `start` at `place`, below as many levels as there are siblings."""
    if len(path) > PATH_BITS or any(len(sibling) != HASH_BYTES for sibling in path):
        return None
    top = start
    for depth, sibling in zip(reversed(range(len(path))), path, strict=True):
        top = _node_hash(sibling, top) if _bit(place, depth) else _node_hash(top, sibling)
    return top


def _apply(node: _Node, depth: int, batch: list[_Change]) -> _Node:
    """The subtree at this depth after the changes, all of which belong below it."""
    if not batch:
        return node
    if isinstance(node, _Inner):
        low, high = _split(batch, depth)
        return _join(node, _apply(node.left, depth + 1, low), _apply(node.right, depth + 1, high))
    leaves = [leaf for _, leaf in batch if leaf is not None]
    if node is not None and all(place != node.place for place, _ in batch):
        leaves.append(node)
    return _build(leaves, depth)


def _build(leaves: list[_Leaf], depth: int) -> _Node:
    if len(leaves) <= 1:
        return leaves[0] if leaves else None
    low: list[_Leaf] = []
    high: list[_Leaf] = []
    for leaf in leaves:
        (high if _bit(leaf.place, depth) else low).append(leaf)
    return _join(None, _build(low, depth + 1), _build(high, depth + 1))


def _join(old: _Inner | None, left: _Node, right: _Node) -> _Node:
    """The node over two subtrees, compact; `old` itself where nothing changed."""
    if old is not None and left is old.left and right is old.right:
        return old
    if left is None and not isinstance(right, _Inner):
        return right
    if right is None and not isinstance(left, _Inner):
        return left
    return _Inner(_node_hash(_digest(left), _digest(right)), left, right)


def _split(batch: list[_Change], depth: int) -> tuple[list[_Change], list[_Change]]:
    low: list[_Change] = []
    high: list[_Change] = []
    for change in batch:
        (high if _bit(change[0], depth) else low).append(change)
    return low, high


def _digest(node: _Node) -> bytes:
    return ZERO_HASH if node is None else node.digest


def _bit(place: bytes, depth: int) -> int:
    return place[depth >> 3] >> (7 - (depth & 7)) & 1


def _share(one: bytes, two: bytes, bits: int) -> bool:
    """Whether two places agree in their first bits."""
    difference = int.from_bytes(one, "big") ^ int.from_bytes(two, "big")
    return difference.bit_length() <= PATH_BITS - bits
