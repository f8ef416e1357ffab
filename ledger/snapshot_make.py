"""Cutting a frozen state into the chunks of a snapshot, one at a time, as they are asked for.

`Chain.freeze` makes the state at the end of an epoch; it is held, and served, for a while. A chunk
reads some thousand records, which takes 5 ms and more: `chunk_steps` makes it piece by piece for
whoever has something else to do meanwhile.

Stored outputs go into a chunk as they are stored, without an object for each. What comes out is
read once as a whole: a chunk that cannot be read is a damaged store, not a lie.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator
from itertools import groupby
from typing import TypeAlias

import msgspec
from msgspec import Raw

from ledger import codec, schema
from ledger.block import Certificate
from ledger.chain_load import scan_all
from ledger.crypto import HASH_BYTES
from ledger.kv import Reader, Row
from ledger.merkle import Path
from ledger.node_records import read_leaves, read_node
from ledger.object_tree import place_of, subtree_of
from ledger.reasons import Invalid
from ledger.schema import DamagedChain
from ledger.snapshot import (
    CHUNK_BYTES_MAX,
    OBJECTS_BYTES_MAX,
    OBJECTS_MAX,
    RANGE_HEIGHT,
    Manifest,
    ObjectChunk,
    OutputChunk,
    StoredObject,
)
from ledger.spent_bitmap import CHUNK_FLAGS, SpentProof
from ledger.transaction import OutPoint
from ledger.view import Head, OutputEntry

STEP_RECORDS = 64
"""Read in one step: half a millisecond, where all are unspent."""
RUN_MIN = 8
"""So many records side by side are read faster by walking over them than one by one."""

_ENTRY = bytes((OutputEntry.TYPE, codec.VERSION))
_ENVELOPE = bytes((OutputChunk.TYPE, codec.VERSION))
"""What a stored entry begins with."""

Steps: TypeAlias = Generator[None, None, bytes | None]
"""Ends with the encoded chunk, or None."""


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


class _StoredOutput(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`snapshot.Unspent`, its entry in the bytes of the store."""

    outpoint: OutPoint
    entry: Raw


class _StoredOutputs(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`snapshot.OutputChunk`, before it is encoded; nobody reads it as this."""

    path: Path
    flags: SpentProof
    spent: list[bytes]
    unspent: list[_StoredOutput]


def _output_chunk(state: FrozenState, number: int) -> Generator[None, None, bytes]:
    commitments, image = state.head.commitments, state.image
    first = number * CHUNK_FLAGS
    last = min(first + CHUNK_FLAGS, commitments.outputs.count)
    proof = commitments.spent.prove(first)
    path = commitments.outputs.prove_range(
        number, RANGE_HEIGHT, lambda position: read_node(image.get, position)
    )
    chunk = _StoredOutputs(path, proof, [], [])  # filled below
    flags = int.from_bytes(proof.chunk, "little")
    left: list[int] = []
    for start in range(first, last, STEP_RECORDS):
        leaves = range(start, min(start + STEP_RECORDS, last))
        unspent = [leaf for leaf in leaves if not flags >> leaf - first & 1]
        spent = [leaf for leaf in leaves if flags >> leaf - first & 1]
        chunk.spent.extend(read_leaves(image.get, spent))
        chunk.unspent.extend(_unspent(image, start, unspent))
        left += unspent
        yield
    data = _ENVELOPE + codec.encode_payload(chunk)
    yield
    _check(data, number, left)
    return data


def _check(data: bytes, number: int, unspent: list[int]) -> None:
    """A peer can read the chunk, and finds the outputs of these leaves in it."""
    try:
        read = codec.decode(data, OutputChunk, size_max=CHUNK_BYTES_MAX)
    except Invalid as error:
        raise DamagedChain(f"the outputs of chunk {number} cannot be read ({error})") from None
    for leaf, item in zip(unspent, read.unspent, strict=True):
        if item.entry.leaf != leaf:
            raise _not_found(leaf)


def _unspent(image: Reader, first: int, leaves: list[int]) -> list[_StoredOutput]:
    """The unspent outputs among those from leaf `first` on."""
    rows = list(image.scan(schema.UNSPENT, start=schema.unspent_key(first), limit=len(leaves)))
    if [key for key, _ in rows] != [schema.unspent_key(leaf) for leaf in leaves]:
        known = {key for key, _ in rows}
        raise _not_found(next(leaf for leaf in leaves if schema.unspent_key(leaf) not in known))
    found = []
    for leaf, (_, name), value in zip(leaves, rows, _values(image, rows), strict=True):
        if value is None or value[: codec.ENVELOPE_BYTES] != _ENTRY:
            raise _not_found(leaf)
        outpoint = OutPoint(*schema.read_outpoint(name))
        found.append(_StoredOutput(outpoint, Raw(value[codec.ENVELOPE_BYTES :])))
    return found


def _values(image: Reader, rows: list[Row]) -> list[bytes | None]:
    """The entries of unspent outputs; those that one transaction made lie side by side."""
    values: list[bytes | None] = []
    for txid, run in groupby([name for _, name in rows], key=lambda name: name[:HASH_BYTES]):
        keys = [schema.OUTPUT + name for name in run]
        if len(keys) < RUN_MIN:
            values += map(image.get, keys)
        else:
            found = dict(image.scan(schema.OUTPUT + txid, start=keys[0], limit=len(keys)))
            values += map(found.get, keys)
    return values


def _not_found(leaf: int) -> DamagedChain:
    return DamagedChain(f"unspent output with leaf {leaf} is not found by it")


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
