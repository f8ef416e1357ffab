"""Nodes of the mountain range as they are stored: those of 32 leaves side by side in one record.

Record g holds, in the order of their positions, the nodes that come to be with the leaves from
32 g on, 32 of them: 63 nodes, and one more for each trailing zero bit of g + 1. So it begins with
a leaf, and nothing but the next leaves is ever added at its end: a block reads and writes again at
most the one record that the block before it left partly filled. Records of a fixed number of
nodes would begin within the chunks of a snapshot, which come in any order.

A record that is shorter than it must be is damage, and so is one whose peaks are not those in
memory where it is added to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, TypeAlias

from ledger import schema
from ledger.crypto import HASH_BYTES
from ledger.mountain_range import MountainRange, peak_positions, size_of
from ledger.schema import DamagedChain

LEAVES_BITS: Final = 5
LEAVES_A_RECORD: Final = 1 << LEAVES_BITS
"""About 2 KiB. Larger ones gain nothing that can be measured, and a block writes half of one again
on average."""

Get: TypeAlias = Callable[[bytes], bytes | None]


def first_position(number: int) -> int:
    """The position of the first node in a record, a leaf."""
    return size_of(number << LEAVES_BITS)


def record_of(position: int) -> int:
    """The number of the record that holds the node at a position."""
    number = position >> LEAVES_BITS + 1  # at most one too low: size_of(n) is 2 n - bit_count(n)
    return number + (first_position(number + 1) <= position)


def read_node(get: Get, position: int) -> bytes:
    """A stored node; raises DamagedChain."""
    number = record_of(position)
    offset = (position - first_position(number)) * HASH_BYTES
    node = _read(get, number)[offset : offset + HASH_BYTES]
    if len(node) != HASH_BYTES:
        raise DamagedChain(f"node {position} of the outputs is missing or cut")
    return node


def read_leaves(get: Get, leaves: Iterable[int]) -> list[bytes]:
    """The hashes of leaves, in ascending order, each record read once; raises DamagedChain."""
    hashes = []
    for number, group in groupby(leaves, key=lambda leaf: leaf >> LEAVES_BITS):
        record = _read(get, number)
        for leaf in group:
            offset = size_of(leaf % LEAVES_A_RECORD) * HASH_BYTES
            found = record[offset : offset + HASH_BYTES]
            if len(found) != HASH_BYTES:
                raise DamagedChain(f"node {size_of(leaf)} of the outputs is missing or cut")
            hashes.append(found)
    return hashes


def records_with(
    get: Get, before: MountainRange, nodes: Sequence[tuple[int, bytes]]
) -> dict[bytes, bytes]:
    """The records to write for the nodes that follow those of `before`; raises DamagedChain where
    the one that is partly filled is another."""
    if not nodes:
        return {}
    position = size_of(before.count)
    if nodes[0][0] != position or nodes[-1][0] != position + len(nodes) - 1:
        raise AssertionError(f"nodes from {nodes[0][0]} on appended to {position} of them")
    return records_of(nodes, partly_filled(get, before))


def records_of(nodes: Sequence[tuple[int, bytes]], held: bytes = b"") -> dict[bytes, bytes]:
    """The records over consecutive nodes, of which `held` are there; they begin where a record
    does."""
    number = record_of(nodes[0][0])
    if nodes[0][0] != first_position(number) + len(held) // HASH_BYTES:
        raise AssertionError(f"no record of nodes begins {len(held)} bytes before {nodes[0][0]}")
    data = held + b"".join([node for _, node in nodes])
    puts = {}
    begin = 0
    while begin < len(data):
        end = begin + (first_position(number + 1) - first_position(number)) * HASH_BYTES
        puts[schema.nodes_key(number)] = data[begin:end]
        begin, number = end, number + 1
    return puts


def completed(get: Get, nodes: Iterable[tuple[int, bytes]]) -> dict[bytes, bytes]:
    """Records with nodes added at their ends, in ascending order, each after those that are
    there; what lies after them already is replaced. Raises DamagedChain."""
    puts = {}
    for number, group in groupby(nodes, key=lambda node: record_of(node[0])):
        added = list(group)
        size = (added[0][0] - first_position(number)) * HASH_BYTES
        record = _read(get, number)
        if len(record) < size:
            raise DamagedChain(f"nodes of the outputs from {first_position(number)} on are cut")
        puts[schema.nodes_key(number)] = record[:size] + b"".join([node for _, node in added])
    return puts


def partly_filled(get: Get, outputs: MountainRange) -> bytes:
    """The last record, empty where it is full. Its peaks tell a disk that answered with another
    one; raises DamagedChain."""
    count = outputs.count
    if count % LEAVES_A_RECORD == 0:
        return b""
    number = count >> LEAVES_BITS
    start = first_position(number)
    record = _read(get, number)
    if len(record) != (size_of(count) - start) * HASH_BYTES:
        raise DamagedChain(f"the last nodes of the outputs, from {start} on, are others")
    own = (count % LEAVES_A_RECORD).bit_count()
    peaks = zip(peak_positions(count)[-own:], outputs.peaks[-own:], strict=True)
    for position, peak in peaks:
        offset = (position - start) * HASH_BYTES
        if record[offset : offset + HASH_BYTES] != peak:
            raise DamagedChain(f"node {position} of the outputs is another")
    return record


def _read(get: Get, number: int) -> bytes:
    record = get(schema.nodes_key(number))
    if record is None or len(record) % HASH_BYTES:
        start = first_position(number)
        raise DamagedChain(f"the nodes of the outputs from {start} on are missing or cut")
    return record
