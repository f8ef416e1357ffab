"""Cutting a frozen state into the chunks of a snapshot, one at a time, as they are asked for.

`Chain.freeze` makes the state at the end of an epoch; it is held, and served, until the next ends.
A chunk reads some thousand records: 10 ms.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from ledger import codec, schema
from ledger.block import Certificate
from ledger.chain_load import read_node, scan_all
from ledger.indexes import read_output
from ledger.kv import Reader
from ledger.mountain_range import size_of
from ledger.object_tree import place_of, subtree_of
from ledger.schema import DamagedChain
from ledger.snapshot import (
    OBJECTS_BYTES_MAX,
    OBJECTS_MAX,
    RANGE_HEIGHT,
    Manifest,
    ObjectChunk,
    OutputChunk,
    StoredObject,
    Unspent,
)
from ledger.spent_bitmap import CHUNK_FLAGS
from ledger.transaction import OutPoint
from ledger.view import Head, Outpoint


class FrozenState:
    """The state after one block, readable while the chain moves on. Close it in the end."""

    __slots__ = ("_objects", "head", "image", "manifest")

    def __init__(self, image: Reader, head: Head, certificate: Certificate) -> None:
        self.image = image
        self.head = head
        self.manifest = Manifest(head.header, certificate, head.commitments.roots)
        self._objects: list[tuple[bytes, bytes, int]] | None = None

    def objects(self) -> list[tuple[bytes, bytes, int]]:
        """(place, key, size) of every object in the order of places; walked once, then kept: there
        are thousands, as in the tree that is in memory anyway."""
        if self._objects is None:
            self._objects = sorted(
                (place_of(key[1:]), key[1:], len(key) - 1 + len(value))
                for key, value in scan_all(self.image, schema.OBJECT)
            )
        return self._objects

    def close(self) -> None:
        self.image.close()


def make_chunk(state: FrozenState, number: int) -> bytes | None:
    """The encoded chunk of this number; None where the snapshot has none."""
    if 0 <= number < state.manifest.output_chunks:
        return codec.encode(_output_chunk(state, number))
    subtree = state.manifest.subtree(number)
    chunk = None if subtree is None else _object_chunk(state, subtree)
    return None if chunk is None else codec.encode(chunk)


def _output_chunk(state: FrozenState, number: int) -> OutputChunk:
    commitments = state.head.commitments
    first = number * CHUNK_FLAGS
    last = min(first + CHUNK_FLAGS, commitments.outputs.count)
    proof = commitments.spent.prove(first)
    flags = int.from_bytes(proof.chunk, "little")
    leaves = [leaf for leaf in range(first, last) if not flags >> leaf - first & 1]
    spent = [leaf for leaf in range(first, last) if flags >> leaf - first & 1]
    return OutputChunk(
        path=commitments.outputs.prove_range(
            number, RANGE_HEIGHT, lambda position: read_node(state.image, position)
        ),
        flags=proof,
        spent=tuple([read_node(state.image, size_of(leaf)) for leaf in spent]),
        unspent=_unspent(state.image, first, leaves),
    )


def _unspent(image: Reader, first: int, leaves: list[int]) -> tuple[Unspent, ...]:
    """The unspent outputs of a range that begins with leaf `first`."""
    rows = image.scan(schema.UNSPENT, start=schema.unspent_key(first), limit=len(leaves))
    found = []
    for leaf, (key, value) in zip(leaves, rows, strict=False):
        outpoint: Outpoint = schema.read_outpoint(value)
        entry = read_output(image.get, outpoint)
        if key != schema.unspent_key(leaf) or entry is None or entry.leaf != leaf:
            break
        found.append(Unspent(OutPoint(*outpoint), entry))
    if len(found) != len(leaves):
        raise DamagedChain(f"unspent output with leaf {leaves[len(found)]} is not found by it")
    return tuple(found)


def _object_chunk(state: FrozenState, subtree: int) -> ObjectChunk | None:
    shape = state.head.commitments.objects.subtree(subtree)
    if shape is None:
        return None
    below = _below(state, subtree)
    if len(below) > OBJECTS_MAX or sum(size for _, _, size in below) > OBJECTS_BYTES_MAX:
        return ObjectChunk(shape.path, (), shape.halves)
    objects = []
    for _, key, _ in below:
        value = state.image.get(schema.object_key(key))
        if value is None:
            raise DamagedChain(f"object {key.hex()} is missing")
        objects.append(StoredObject(key, value))
    return ObjectChunk(shape.path, tuple(objects), ())


def _below(state: FrozenState, subtree: int) -> list[tuple[bytes, bytes, int]]:
    """The objects of a subtree, in the order of their places."""
    depth = subtree.bit_length() - 1
    objects = state.objects()

    def number(item: tuple[bytes, bytes, int]) -> int:
        return subtree_of(item[0], depth)

    low = bisect_left(objects, subtree, key=number)
    return objects[low : bisect_right(objects, subtree, lo=low, key=number)]
