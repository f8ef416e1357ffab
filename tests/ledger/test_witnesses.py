"""Kept NEW-VIEWs: found again by height, bounded in number and bytes, durable in one batch."""

from __future__ import annotations

import pytest

from ledger import schema, witnesses
from ledger.kv import MemoryKV
from ledger.schema import DamagedChain
from ledger.witnesses import WITNESS_BYTES_MAX, Witnesses


@pytest.fixture
def kv() -> MemoryKV:
    return MemoryKV()


def test_messages_are_found_by_the_height_at_which_their_view_begins(kv: MemoryKV) -> None:
    """Kept out of order, read in order of height and view, also after a restart."""
    table = Witnesses(kv)
    for height, view in ((5, 2), (3, 1), (5, 1), (300, 4)):
        table.keep(height, view, f"{height}/{view}".encode())
    for opened in (table, Witnesses(kv)):
        assert opened.between(3, 5) == [b"3/1", b"5/1", b"5/2"]
        assert opened.between(6, 299) == []
        assert opened.between(300, 300) == [b"300/4"]
        assert len(opened) == 4
        assert opened.size_bytes == 14


def test_two_messages_of_one_view_stay_and_the_same_is_kept_once(kv: MemoryKV) -> None:
    """An evil primary shows another NEW-VIEW after this node restarted: it voted under both."""
    table = Witnesses(kv)
    for message in (b"one", b"other", b"one"):
        table.keep(1, 1, message)
    assert sorted(table.between(1, 1)) == [b"one", b"other"]
    assert len(Witnesses(kv)) == 2


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_oldest_go_when_there_are_too_many(
    kv: MemoryKV, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Limit 3: at 2 and 3 all stay, at 4 the first is gone with its message."""
    monkeypatch.setattr(witnesses, "WITNESSES_MAX", 3)
    table = Witnesses(kv)
    for height in range(1, count + 1):
        table.keep(height, 1, bytes((height,)))
    expected = [bytes((height,)) for height in range(max(1, count - 2), count + 1)]
    assert table.between(1, count) == expected
    assert Witnesses(kv).between(1, count) == expected
    assert len(list(kv.scan(schema.NEW_VIEW, limit=9))) == len(expected)


@pytest.mark.parametrize(("size", "kept"), [(4, 2), (5, 2), (6, 1)])
def test_the_oldest_go_when_they_hold_too_much(
    kv: MemoryKV, monkeypatch: pytest.MonkeyPatch, size: int, kept: int
) -> None:
    """Limit 10 bytes: two of 5 fit exactly, two of 6 do not."""
    monkeypatch.setattr(witnesses, "WITNESSES_BYTES_MAX", 10)
    table = Witnesses(kv)
    table.keep(1, 1, b"a" * size)
    table.keep(2, 2, b"b" * size)
    assert len(table) == kept
    assert table.between(2, 2) == [b"b" * size]


def test_an_older_one_does_not_displace_newer_ones(
    kv: MemoryKV, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full table that is offered one below all that it holds stays as it is."""
    monkeypatch.setattr(witnesses, "WITNESSES_MAX", 1)
    table = Witnesses(kv)
    table.keep(9, 1, b"new")
    table.keep(3, 1, b"old")
    assert table.between(0, 9) == [b"new"]
    assert len(list(kv.scan(b"", limit=9))) == 2


def test_a_table_that_lost_a_message_says_so(kv: MemoryKV) -> None:
    """The index names a message that is not there, or has another size record."""
    table = Witnesses(kv)
    table.keep(1, 1, b"message")
    row = next(kv.scan(schema.NEW_VIEW, limit=1))
    kv.write({}, [row[0]])
    with pytest.raises(DamagedChain, match="height 1 is missing"):
        table.between(1, 1)
    kv.write({schema.WITNESS + bytes(48): b"\0"}, [])
    with pytest.raises(DamagedChain, match="1 bytes instead of 4"):
        Witnesses(kv)


@pytest.mark.parametrize("size", [0, WITNESS_BYTES_MAX + 1])
def test_messages_of_impossible_size_are_a_fault_of_the_caller(kv: MemoryKV, size: int) -> None:
    """Nothing that a link lets in is empty or above the limit."""
    with pytest.raises(AssertionError):
        Witnesses(kv).keep(1, 1, bytes(size))
