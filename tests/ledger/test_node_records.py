"""Nodes of the outputs in records: what any blocks write is read back, and damage has a name."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import schema
from ledger.crypto import HASH_BYTES
from ledger.kv import MemoryKV
from ledger.mountain_range import MountainRange, size_of
from ledger.node_records import (
    LEAVES_A_RECORD,
    completed,
    first_position,
    read_leaves,
    read_node,
    record_of,
    records_of,
    records_with,
)
from ledger.schema import DamagedChain
from tests.ledger.commitment_reference import leaf


def grow(kv: MemoryKV, sizes: Sequence[int]) -> tuple[MountainRange, list[bytes]]:
    """Append blocks with so many outputs; all nodes that there are, in order."""
    outputs, every = MountainRange.empty(), list[bytes]()
    for size in sizes:
        first = outputs.count
        after, nodes = outputs.append([leaf(first + number) for number in range(size)])
        kv.write(records_with(kv.get, outputs, nodes), ())
        outputs, every = after, every + [node for _, node in nodes]
    return outputs, every


@given(st.lists(st.integers(0, 3 * LEAVES_A_RECORD), max_size=8))
def test_any_blocks_write_the_same_records(sizes: list[int]) -> None:
    """However leaves are split into blocks, each node and leaf is read where it was put."""
    kv, whole = MemoryKV(), MemoryKV()
    outputs, every = grow(kv, sizes)
    grow(whole, [outputs.count])
    assert list(kv.scan(b"", limit=100)) == list(whole.scan(b"", limit=100))
    assert [read_node(kv.get, position) for position in range(len(every))] == every
    assert read_leaves(kv.get, range(outputs.count)) == [leaf(n) for n in range(outputs.count)]
    with pytest.raises(DamagedChain, match=r"missing|cut"):
        read_node(kv.get, len(every))
    with pytest.raises(DamagedChain, match=r"missing|cut"):
        read_leaves(kv.get, [outputs.count])


@given(st.integers(0, 2**40))
def test_a_record_holds_what_its_leaves_bring(number: int) -> None:
    """It begins with a leaf and ends before the next record; no position is in two."""
    start, end = first_position(number), first_position(number + 1)
    assert start == size_of(number * LEAVES_A_RECORD)
    assert record_of(start) == record_of(end - 1) == number
    assert record_of(end) == number + 1


@pytest.mark.parametrize("size", [1, LEAVES_A_RECORD - 1, LEAVES_A_RECORD, 2 * LEAVES_A_RECORD])
def test_only_a_partly_filled_record_is_read(size: int) -> None:
    """A block that ends where a record does leaves nothing for the next one to read."""
    kv = MemoryKV()
    outputs, _ = grow(kv, [size])
    asked: list[bytes] = []
    _, nodes = outputs.append([leaf(size)])

    def get(key: bytes) -> bytes | None:
        asked.append(key)
        return kv.get(key)

    written = records_with(get, outputs, nodes)
    is_full = size % LEAVES_A_RECORD == 0
    assert asked == ([] if is_full else [schema.nodes_key(0)])
    assert schema.nodes_key(size // LEAVES_A_RECORD) in written
    assert records_with(get, outputs, []) == {}


def test_a_block_is_not_appended_to_another_record() -> None:
    """The disk answers with an older record, a cut or a longer one, one of other leaves or none."""
    kv = MemoryKV()
    outputs, _ = grow(kv, [LEAVES_A_RECORD + 7])
    _, nodes = outputs.append([leaf(1_000)])
    key = schema.nodes_key(1)
    right = kv.get(key)
    assert right is not None
    swapped = right[HASH_BYTES:] + right[:HASH_BYTES]
    wrong = (right[:-HASH_BYTES], right[:-1], right + right[:HASH_BYTES], swapped, b"", None)
    for record in wrong:
        with pytest.raises(DamagedChain, match=r"nodes? .*of the outputs"):
            records_with(lambda _, record=record: record, outputs, nodes)  # type: ignore[misc]
    assert records_with(kv.get, outputs, nodes)[key].startswith(right)


def test_nodes_of_another_place_are_a_bug() -> None:
    """Nodes that do not follow, or that begin within a record, are refused."""
    outputs, nodes = MountainRange.empty().append([leaf(number) for number in range(9)])
    with pytest.raises(AssertionError, match="appended"):
        records_with(MemoryKV().get, outputs, nodes)
    with pytest.raises(AssertionError, match="appended"):
        records_with(MemoryKV().get, MountainRange.empty(), [nodes[0], nodes[2]])
    with pytest.raises(AssertionError, match="begins"):
        records_of(nodes[1:])


def test_records_are_completed_at_their_ends() -> None:
    """What comes later goes after what is there, twice as well as once; a gap is damage."""
    whole, kv = MemoryKV(), MemoryKV()
    _, every = grow(whole, [4 * LEAVES_A_RECORD])
    ends = [first_position(number + 1) for number in range(4)]
    later = [*range(63, ends[0]), *range(ends[0] + 63, ends[1]), *range(ends[2] + 63, ends[3])]
    for number in range(4):
        start = first_position(number)
        kv.write(records_of([(at, every[at]) for at in range(start, start + 63)]), ())
    added = [(at, every[at]) for at in later]
    for _ in range(2):
        kv.write(completed(kv.get, added), ())
        assert list(kv.scan(b"", limit=9)) == list(whole.scan(b"", limit=9))
    kv.write({schema.nodes_key(3): b"".join(every[ends[2] : ends[2] + 62])}, ())
    with pytest.raises(DamagedChain, match="cut"):
        completed(kv.get, added)


def test_a_cut_record_is_damage_where_it_is_read() -> None:
    """Inside a node all of the record is; between two what lies behind the cut."""
    kv = MemoryKV()
    _, every = grow(kv, [LEAVES_A_RECORD])
    key = schema.nodes_key(0)
    record = kv.get(key)
    assert record is not None
    kv.write({key: record[:-1]}, ())
    for read in (lambda: read_node(kv.get, 0), lambda: read_leaves(kv.get, [0])):
        with pytest.raises(DamagedChain, match="cut"):
            read()
    kv.write({key: record[: 3 * HASH_BYTES]}, ())
    assert read_node(kv.get, 2) == every[2]
    with pytest.raises(DamagedChain, match="node 3 "):
        read_node(kv.get, 3)
    with pytest.raises(DamagedChain, match="node 3 "):
        read_leaves(kv.get, [0, 1, 2])
