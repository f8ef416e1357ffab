"""Cutting a frozen state into the chunks of a snapshot, one at a time, as they are asked for.

`Chain.freeze` makes the state at the end of an epoch; it is held, and served, for a while. A chunk
reads some thousand records, which takes 5 ms and more: `chunk_steps` makes it piece by piece for
whoever has something else to do meanwhile.

Outputs and their nodes are only ever added to, so they are read from the store as it is; objects
change, and are read from an image (`KeyValue.frozen`). Every output is compared with its leaf
first: what is not what it commits to is a damaged store, which stops this node, and never a lie
that a peer would find.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator
from typing import TypeAlias

from ledger import codec, schema
from ledger.block import Certificate
from ledger.chain_load import scan_all
from ledger.kv import Reader
from ledger.node_records import read_leaves, read_node
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
from ledger.view import Head, output_leaf

STEP_RECORDS = 64
"""Read in one step: half a millisecond, where all are unspent."""

Steps: TypeAlias = Generator[None, None, bytes | None]
"""Ends with the encoded chunk, or None."""


class FrozenState:
    """The state after one block, readable while the chain moves on. Close it in the end."""

    __slots__ = ("_objects", "head", "image", "manifest", "store")

    def __init__(self, store: Reader, image: Reader, head: Head, certificate: Certificate) -> None:
        """`image` has the objects of `head`; the caller closes `store`, which has the rest."""
        self.store = store
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
    steps = chunk_steps(state, number)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            chunk: bytes | None = done.value
            return chunk


def chunk_steps(state: FrozenState, number: int) -> Steps:
    """`make_chunk` in small steps; the state must be open at each."""
    if 0 <= number < state.manifest.output_chunks:
        return (yield from _output_chunk(state, number))
    subtree = state.manifest.subtree(number)
    chunk = None if subtree is None else _object_chunk(state, subtree)
    return None if chunk is None else codec.encode(chunk)


def _output_chunk(state: FrozenState, number: int) -> Generator[None, None, bytes]:
    commitments, store = state.head.commitments, state.store
    first = number * CHUNK_FLAGS
    last = min(first + CHUNK_FLAGS, commitments.outputs.count)
    proof = commitments.spent.prove(first)
    path = commitments.outputs.prove_range(
        number, RANGE_HEIGHT, lambda position: read_node(store.get, position)
    )
    flags = int.from_bytes(proof.chunk, "little")
    spent: list[bytes] = []
    unspent: list[Unspent] = []
    for start in range(first, last, STEP_RECORDS):
        leaves = range(start, min(start + STEP_RECORDS, last))
        rows = dict(store.scan(schema.OUTPUT, start=schema.output_key(start), limit=len(leaves)))
        for leaf, committed in zip(leaves, read_leaves(store.get, leaves), strict=True):
            if flags >> leaf - first & 1:
                spent.append(committed)
            else:
                unspent.append(_unspent(rows.get(schema.output_key(leaf)), leaf, committed))
        yield
    return codec.encode(OutputChunk(path, proof, tuple(spent), tuple(unspent)))


def _unspent(data: bytes | None, leaf: int, committed: bytes) -> Unspent:
    """What is stored with a leaf, if it is what the leaf commits to."""
    if data is not None:
        outpoint, entry = schema.read_output(data)
        if entry.leaf == leaf and output_leaf(outpoint, entry) == committed:
            return Unspent(OutPoint(*outpoint), entry)
    raise DamagedChain(f"unspent output with leaf {leaf} is not what it commits to")


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
