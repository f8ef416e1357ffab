"""The key-value contract over both twins, and what only a real disk can show of LevelDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import leveldb
from ledger.kv import KeyValue, MemoryKV, StorageError
from ledger.leveldb import LevelDB


@pytest.fixture(params=["leveldb", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    opened = LevelDB.create(tmp_path / "db") if request.param == "leveldb" else MemoryKV()
    yield opened
    opened.close()


# --- The contract ---------------------------------------------------------------------------


def test_a_written_value_is_read_and_a_deleted_one_is_gone(store: KeyValue) -> None:
    """Write, overwrite and delete; also the empty key and the empty value."""
    store.write({b"a": b"1", b"b": b"", b"": b"root"}, ())
    assert (store.get(b"a"), store.get(b"b"), store.get(b"")) == (b"1", b"", b"root")
    store.write({b"a": b"2"}, [b"b", b"never there"])
    assert (store.get(b"a"), store.get(b"b")) == (b"2", None)
    assert list(store.scan(b"", limit=9)) == [(b"", b"root"), (b"a", b"2")]


def test_an_empty_batch_changes_nothing(store: KeyValue) -> None:
    """Neither puts nor deletes."""
    store.write({b"a": b"1"}, ())
    store.write({}, ())
    assert list(store.scan(b"", limit=9)) == [(b"a", b"1")]


def test_of_a_key_in_both_the_put_wins(store: KeyValue) -> None:
    """The same key deleted and put in one batch, existing and not."""
    store.write({b"old": b"1"}, ())
    store.write({b"old": b"2", b"new": b"3"}, [b"old", b"new"])
    assert list(store.scan(b"", limit=9)) == [(b"new", b"3"), (b"old", b"2")]


def test_a_batch_that_raises_half_way_leaves_nothing(store: KeyValue) -> None:
    """The deletes raise after the first; plyvel's default would have kept that first one."""

    def deletes() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("half-way")

    store.write({b"a": b"1"}, ())
    with pytest.raises(KeyError):
        store.write({b"b": b"2"}, deletes())
    assert list(store.scan(b"", limit=9)) == [(b"a", b"1")]
    store.write({b"b": b"2"}, ())  # the caller's mistake is no failure of the storage
    assert store.get(b"b") == b"2"


def test_what_was_read_before_a_batch_that_raises_stays(tmp_path: Path) -> None:
    """The second of its values is none: the first is not on the disk, nor remembered."""
    database = LevelDB.create(tmp_path / "db")
    database.write({b"a": b"1", b"b": b"1"}, ())
    assert (database.get(b"a"), database.get(b"b")) == (b"1", b"1")
    with pytest.raises(TypeError):
        database.write({b"a": b"2", b"c": cast("bytes", None)}, [b"b"])
    assert (database.get(b"a"), database.get(b"b")) == (b"1", b"1")
    database.close()


def test_rows_are_remembered_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many, none of which is long, also where it became so after it was read."""
    monkeypatch.setattr(leveldb, "ROWS_REMEMBERED_MAX", 2)
    database = LevelDB.create(tmp_path / "db")
    longest, longer = bytes(leveldb.ROW_BYTES_MAX - 1), bytes(leveldb.ROW_BYTES_MAX)
    database.write({b"a": b"1", b"b": longest, b"c": longer, b"d": b"4"}, ())
    assert [database.get(key) for key in (b"a", b"b", b"c")] == [b"1", longest, longer]
    assert database._remembered.keys() == {b"a", b"b"}
    database.write({b"a": b"2", b"b": longer}, ())
    assert database._remembered == {b"a": b"2"}
    assert [database.get(key) for key in (b"a", b"b", b"d")] == [b"2", longer, b"4"]
    assert [database.get(key) for key in (b"e", b"f")] == [None, None]
    database.write({b"e": b"5"}, [b"f"])
    assert database.get(b"e") == b"5"
    assert database._remembered == {b"e": b"5"}
    assert database.get(bytes(leveldb.ROW_BYTES_MAX + 1)) is None
    assert database._remembered == {b"e": b"5"}
    database.close()


@pytest.mark.parametrize(
    ("prefix", "start", "reverse", "limit", "expected"),
    [
        (b"p", None, False, 9, [b"p", b"p\x01", b"p\x05", b"p\xff", b"p\xff\xff"]),
        (b"p", None, True, 2, [b"p\xff\xff", b"p\xff"]),
        (b"p", b"p\x05", False, 2, [b"p\x05", b"p\xff"]),
        (b"p", b"p\x02", False, 1, [b"p\x05"]),
        (b"p", b"p\x05", True, 9, [b"p\x05", b"p\x01", b"p"]),
        (b"p", b"p\x04", True, 1, [b"p\x01"]),
        (b"p", b"a", False, 1, [b"p"]),
        (b"p", b"a", True, 9, []),
        (b"p", b"q", False, 9, []),
        (b"p", b"q", True, 1, [b"p\xff\xff"]),
        (b"p", None, False, 0, []),
        (b"p\xff", None, False, 9, [b"p\xff", b"p\xff\xff"]),
        (b"\xff", None, False, 9, [b"\xff\xff"]),
        (b"\xff", b"\xff\xff", True, 9, [b"\xff\xff"]),
        (b"", None, False, 2, [b"o", b"p"]),
        (b"", None, True, 1, [b"\xff\xff"]),
        (b"missing", None, False, 9, []),
        (b"missing", None, True, 9, []),
        (b"q", None, True, 9, [b"q"]),  # the only row is the first of its range
        (b"p\xff\xff", b"p\xff\xff", True, 9, [b"p\xff\xff"]),
    ],
)
def test_scans_stay_inside_prefix_start_and_limit(
    store: KeyValue,
    prefix: bytes,
    start: bytes | None,
    reverse: bool,
    limit: int,
    expected: list[bytes],
) -> None:
    """Both directions, `start` inclusive, neighbours of the prefix and prefixes that end in ff."""
    keys = [b"o", b"p", b"p\x01", b"p\x05", b"p\xff", b"p\xff\xff", b"q", b"\xff\xff"]
    store.write({key: b"of " + key for key in keys}, ())
    rows = list(store.scan(prefix, start=start, reverse=reverse, limit=limit))
    assert rows == [(key, b"of " + key) for key in expected]


def test_a_negative_limit_is_refused(store: KeyValue) -> None:
    """A mistake of the caller, seen at the call and not at the first row."""
    with pytest.raises(ValueError, match=r"islice|limit"):
        store.scan(b"", limit=-1)


def test_a_scan_shows_the_moment_of_its_call(store: KeyValue) -> None:
    """Rows written and deleted while it is read do not appear in it."""
    store.write({b"a": b"1", b"b": b"2"}, ())
    rows = store.scan(b"", limit=9)
    assert next(rows) == (b"a", b"1")
    store.write({b"c": b"3", b"a": b"9"}, [b"b"])
    assert list(rows) == [(b"b", b"2")]


def test_a_frozen_image_does_not_move(store: KeyValue) -> None:
    """Write, overwrite and delete after freezing: the image answers as before, in both orders."""
    for kind in (b"a", b"k"):  # of the main database and of the lookups
        keys = [kind + end for end in (b"a", b"b", b"c")]
        store.write({keys[0]: b"1", keys[1]: b"2"}, ())
        image = store.frozen(kind)
        store.write({keys[0]: b"other", keys[2]: b"3"}, [keys[1]])
        assert [image.get(key) for key in keys] == [b"1", b"2", None]
        assert list(image.scan(kind, limit=9)) == [(keys[0], b"1"), (keys[1], b"2")]
        assert list(image.scan(kind, reverse=True, limit=1)) == [(keys[1], b"2")]
        later = store.frozen(kind)
        image.close()
        image.close()
        for read in (partial(image.get, keys[0]), partial(image.scan, kind, limit=1)):
            with pytest.raises(StorageError):
                read()
        assert list(later.scan(kind, limit=9)) == [(keys[0], b"other"), (keys[2], b"3")]
        later.close()


def test_an_image_keeps_nothing_of_the_other_database(tmp_path: Path) -> None:
    """What is written over in the first goes when it is merged, though objects are held."""
    store = LevelDB.create(tmp_path / "db")
    store.write({b"b": b"", b"k": b"1"}, ())
    image = store.frozen(b"k")
    for _ in range(2):  # the second table is merged with the first
        for count in range(50):
            store.write({b"b": bytes((count,)) * 50_000, b"k": b"2"}, ())
        store._main.compact_range(start=b"a", stop=b"z")
    assert sum(path.stat().st_size for path in tmp_path.joinpath("db").glob("*.ldb")) < 100_000
    assert image.get(b"k") == b"1"
    image.close()
    store.close()


def test_an_image_ends_with_its_database(tmp_path: Path) -> None:
    """An image that was left open when the database was closed refuses, and harms nothing."""
    store = LevelDB.create(tmp_path / "db")
    store.write({b"a": b"1"}, ())
    image, scanned = store.frozen(b"a"), store.frozen(b"a")
    store.close()
    with pytest.raises(StorageError):
        image.get(b"a")
    with pytest.raises(StorageError):
        list(scanned.scan(b"a", limit=1))
    other = LevelDB.open(tmp_path / "db")
    assert other.get(b"a") == b"1"
    other.close()
    image.close()


def test_a_closed_handle_refuses_everything(store: KeyValue) -> None:
    """Closing twice is harmless; every other call raises StorageError, also for what was read."""
    store.write({b"a": b"1"}, ())
    assert store.get(b"a") == b"1"
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        lambda: store.get(b"a"),
        lambda: store.scan(b"", limit=1),
        lambda: store.write({b"b": b"2"}, ()),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="closed"):
            call()


KEYS = st.binary(max_size=3)
BATCHES = st.lists(
    st.tuples(st.dictionaries(KEYS, st.binary(max_size=3)), st.lists(KEYS, max_size=4)), max_size=6
)


@given(BATCHES, KEYS, st.none() | KEYS, st.booleans(), st.integers(0, 5))
def test_the_memory_twin_is_a_sorted_dictionary(
    batches: list[tuple[dict[bytes, bytes], list[bytes]]],
    prefix: bytes,
    start: bytes | None,
    reverse: bool,
    limit: int,
) -> None:
    """Random batches and one random scan against the plainest model there is."""
    store, model = MemoryKV(), dict[bytes, bytes]()
    for puts, deletes in batches:
        store.write(puts, deletes)
        model = {key: value for key, value in model.items() if key not in deletes} | puts
    expected = [
        (key, model[key])
        for key in sorted(model, reverse=reverse)
        if key.startswith(prefix) and (start is None or (key <= start if reverse else key >= start))
    ]
    assert list(store.scan(prefix, start=start, reverse=reverse, limit=limit)) == expected[:limit]


def test_both_twins_answer_alike(tmp_path: Path) -> None:
    """Two hundred fixed pseudo-random batches and a scan of every kind after each."""
    disk, memory = LevelDB.create(tmp_path / "db"), MemoryKV()
    state = 1
    for _ in range(200):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        drawn = state.to_bytes(8, "big")
        puts = {drawn[:1]: drawn, drawn[2:4]: drawn[1:]}
        for key in (drawn[:1], drawn[4:5]):
            assert disk.get(key) == memory.get(key)
        for twin in (disk, memory):
            twin.write(puts, [drawn[4:5], drawn[1:2]])
        for key in (drawn[:1], drawn[2:4], drawn[4:5], drawn[1:2]):
            assert disk.get(key) == memory.get(key)
        for reverse in (False, True):
            for start in (None, drawn[5:6], drawn[2:4]):
                for prefix in (b"", drawn[:1], drawn[2:3], drawn[2:4]):
                    from_disk, from_memory = (
                        list(twin.scan(prefix, start=start, reverse=reverse, limit=drawn[6] % 8))
                        for twin in (disk, memory)
                    )
                    assert from_disk == from_memory
    disk.close()


def test_a_copy_in_memory_is_an_independent_image() -> None:
    """What a simulated disk restores: neither side sees the other's later writes."""
    store = MemoryKV()
    store.write({b"a": b"1"}, ())
    image = store.copy()
    store.write({b"b": b"2"}, [b"a"])
    store.close()
    image.write({b"c": b"3"}, ())
    assert list(image.scan(b"", limit=9)) == [(b"a", b"1"), (b"c", b"3")]
    assert list(store.copy().scan(b"", limit=9)) == [(b"b", b"2")]
