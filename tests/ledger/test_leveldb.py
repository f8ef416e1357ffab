"""LevelDB under the ledger: its directory, its four databases, damage and failure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import plyvel
import pytest

from ledger import leveldb
from ledger.kv import StorageError
from ledger.leveldb import DataDirectoryInUse, LevelDB, PartMissing

CHILD_SECONDS_MAX = 60
KINDS = {"": b"m", "lookups": b"k", "outputs": b"O", "bodies": b"r"}
"""Of records in each database."""


def run_child(code: str, *arguments: object) -> dict[str, object]:
    """Run Python code in a process of its own; it prints one JSON object."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS_MAX,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def incompressible(number: int) -> bytes:
    """A value that LevelDB stores as it is: only a checksum tells that a byte of it changed."""
    return b"".join(sha256(b"%d/%d" % (number, part)).digest() for part in range(4))


def filled(path: Path, prefix: bytes = b"m") -> None:
    """A database of many batches, all of them in LevelDB's own log."""
    database = LevelDB.create(path)
    for number in range(200):
        database.write({prefix + b"%04d" % number: incompressible(number)}, ())
    database.close()


def flip(path: Path, offset: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[offset] ^= 0x10
    path.write_bytes(damaged)


# --- LevelDB's directory --------------------------------------------------------------------


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """Create, write, close, open again."""
    for prefix in KINDS.values():
        filled(tmp_path / prefix.decode(), prefix)
        database = LevelDB.open(tmp_path / prefix.decode())
        assert len(list(database.scan(prefix, limit=1_000))) == 200
        database.close()


def test_every_batch_is_whole_and_synced(tmp_path: Path) -> None:
    """Asks the database itself what it was told: a power failure cannot be had in a test."""
    database = LevelDB.create(tmp_path / "db")
    asked: list[object] = []

    class Listener:
        def __init__(self, real: Any) -> None:
            self.real = real

        def write_batch(self, **options: object) -> object:
            asked.append(options)
            return self.real.write_batch(**options)

    database.write({b"r0": b"w", b"r1": b"w"}, ())
    main, parts = database._main, database._parts
    database._main = Listener(main)
    database._parts = {name: Listener(part) for name, part in parts.items()}
    database.write({b"k": b"v", b"m": b"x", b"r": b"w", b"O": b"y"}, [b"gone", b"r0"])
    database._main, database._parts = main, parts
    assert asked == [{"sync": True}] * 5  # what is added, the main one, what is deleted, lookups
    assert [database.get(key) for key in (b"k", b"m", b"r", b"O")] == [b"v", b"x", b"w", b"y"]
    database.close()


def test_open_never_creates(tmp_path: Path) -> None:
    """A missing directory is refused with the command that makes one, and stays missing."""
    with pytest.raises(StorageError, match="marsa node init"):
        LevelDB.open(tmp_path / "db")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_current_file_is_refused_and_no_table_deleted(tmp_path: Path) -> None:
    """LevelDB that may create would take it for new and delete every table."""
    path = tmp_path / "db"
    filled(path)
    LevelDB.open(path).close()
    (path / "CURRENT").unlink()
    before = sorted((file.name, file.read_bytes()) for file in path.glob("*.*"))
    assert any(name.endswith(".ldb") for name, _ in before)
    with pytest.raises(StorageError, match=r"CURRENT is missing.*`marsa node reset`"):
        LevelDB.open(path)
    with pytest.raises(StorageError, match="is not empty"):
        LevelDB.create(path)
    assert sorted((file.name, file.read_bytes()) for file in path.glob("*.*")) == before


class Killing:
    """A database of a store whose process is killed at one of the writes of a batch."""

    def __init__(self, real: Any, left: list[int]) -> None:
        self.real = real
        self._left = left  # writes until then, of all databases together

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def write_batch(self, **options: object) -> object:
        batch = self.real.write_batch(**options)
        return SimpleNamespace(put=batch.put, delete=batch.delete, write=lambda: self._write(batch))

    def _write(self, batch: Any) -> None:
        if not self._left[0]:
            raise plyvel.Error(b"killed here")
        self._left[0] -= 1
        batch.write()


def write_killed(
    path: Path, writes: int, batches: Sequence[tuple[dict[bytes, bytes], list[bytes]]]
) -> int:
    """In one session, until it is killed; how many batches came to their end before."""
    database, left, ended = LevelDB.open(path), [writes], 0
    main, parts = database._main, database._parts
    database._main = Killing(main, left)
    database._parts = {name: Killing(part, left) for name, part in parts.items()}
    try:
        for puts, deletes in batches:
            database.write(puts, deletes)
            ended += 1
    except StorageError as error:
        assert "killed here" in str(error)
        with pytest.raises(StorageError, match="must stop"):
            database.get(b"m")
    finally:
        database._main, database._parts = main, parts
        database.close()
    return ended


def everything(path: Path) -> dict[bytes, bytes]:
    database = LevelDB.open(path)
    rows = dict(database.scan(b"", limit=1_000))
    database.close()
    return rows


@pytest.mark.parametrize("kinds", [b"krOm", b"krO", b"rO", b"r", b"k", b"m", b"km", b"Om"])
def test_a_batch_that_was_killed_between_two_writes_is_whole_or_not_there(
    tmp_path: Path, kinds: bytes
) -> None:
    """At each of them, in the first batch of a session and in later ones: of what was added before
    the main database nothing is left, what was to follow it follows when it is opened."""
    path = tmp_path / "db"
    LevelDB.create(path).close()
    state: dict[bytes, bytes] = {}
    finished = set[int]()
    number = 0
    for writes in range(36):
        batches, states = [], [state]
        for _ in range(4):
            number += 1
            added = [b"%c%04d" % (kind, 2 * number + more) for kind in kinds for more in (0, 1)]
            added += [b"%c!" % kind for kind in kinds if kind in b"km"]  # written over
            old = [key for key in states[-1] if key[1:] != b"!" and int(key[1:]) + 12 < 2 * number]
            batches.append((dict.fromkeys(added, b"%d" % number), old))
            left = {key: value for key, value in states[-1].items() if key not in old}
            states.append(left | batches[-1][0])
        ended = write_killed(path, writes % 18, batches)
        state = everything(path)
        assert state in (states[ended], states[min(ended + 1, 4)]), writes
        finished.add(states.index(state) - ended)
    assert finished == {0, 1} or kinds == b"m"
    assert everything(path) == state


@pytest.mark.parametrize("kind", list(KINDS.values()))
@pytest.mark.parametrize("value", ["text", None])
def test_a_value_that_is_none_changes_nothing_in_any_database(
    tmp_path: Path, kind: bytes, value: object
) -> None:
    """A mistake of the caller: no failure of the storage, and no store that cannot be opened."""
    path = tmp_path / "db"
    database = LevelDB.create(path)
    good = {one + b"1": b"x" for one in KINDS.values()}
    with pytest.raises(TypeError):
        database.write(good | {kind + b"2": cast("bytes", value)}, ())
    assert list(database.scan(b"", limit=9)) == []
    database.write(good, ())
    database.close()
    assert everything(path) == good


def test_who_breaks_off_in_the_middle_of_a_batch_ends_the_handle(tmp_path: Path) -> None:
    """Ctrl-C between two writes: nothing more is taken, and opening finishes the batch."""
    path = tmp_path / "db"
    database = LevelDB.create(path)

    def break_off() -> None:
        raise KeyboardInterrupt

    lookups = database._parts["lookups"]
    batch = SimpleNamespace(put=lambda *row: None, delete=lambda key: None, write=break_off)
    database._parts = {**database._parts, "lookups": SimpleNamespace(write_batch=lambda **_: batch)}
    with pytest.raises(KeyboardInterrupt):
        database.write({b"k": b"1", b"m": b"1"}, ())
    database._parts = {**database._parts, "lookups": lookups}
    with pytest.raises(StorageError, match="must stop"):
        database.write({b"k": b"2"}, ())
    database.close()
    assert everything(path) == {b"k": b"1", b"m": b"1"}


def test_all_of_a_batch_that_never_came_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows, some at a time."""
    monkeypatch.setattr(leveldb, "TRIMMED_KEYS_MAX", 3)
    path = tmp_path / "db"
    database = LevelDB.create(path)
    database.write({b"r1": b"", b"O1": b""}, ())
    for kind, name in ((b"r", "bodies"), (b"O", "outputs")):
        for number in range(2, 10):
            database._parts[name].put(kind + b"%d" % number, b"")
    database.close()
    assert everything(path) == {b"r1": b"", b"O1": b""}


def test_what_is_deleted_last_may_be_the_last(tmp_path: Path) -> None:
    """The end of what is only added to goes down, and up again; all of it gone is no damage."""
    path = tmp_path / "db"
    database = LevelDB.create(path)
    database.write({b"r%d" % number: b"" for number in range(5)}, ())
    steps: list[tuple[dict[bytes, bytes], list[bytes]]] = [
        ({}, [b"r4", b"r3", b"r0"]),
        ({b"r2": b""}, [b"r2"]),  # the put wins
        ({b"r6": b""}, [b"r2"]),
        ({}, [b"r6", b"r1"]),
        ({b"r7": b""}, [b"r7"]),
    ]
    left = [[b"r1", b"r2"], [b"r1", b"r2"], [b"r1", b"r6"], [], [b"r7"]]
    for (puts, deletes), expected in zip(steps, left, strict=True):
        database.write(puts, deletes)
        database.close()
        database = LevelDB.open(path)
        assert [key for key, _ in database.scan(b"", limit=9)] == expected
    database.close()


@pytest.mark.parametrize("more", [{}, {b"r5": b""}])
def test_a_lost_end_is_refused_also_below_rows_of_a_batch_that_never_came(
    tmp_path: Path, more: dict[bytes, bytes]
) -> None:
    """The last body is gone, whatever lies above its place."""
    database = LevelDB.create(tmp_path / "db")
    database.write({b"r1": b"", b"r3": b""}, ())
    bodies = database._parts["bodies"]
    bodies.delete(b"r3")
    for key in more:
        bodies.put(key, b"")
    database.close()
    kept = []  # what was raised holds what was open, which must be closed by then
    for _ in range(2):
        with pytest.raises(
            StorageError, match=r"bodies end before 7233.*Nothing was changed"
        ) as caught:
            LevelDB.open(tmp_path / "db")
        kept.append(caught)


def test_deletes_go_to_the_database_of_their_record(tmp_path: Path) -> None:
    """And leave no mark in the others, which would be merged for nothing."""
    database = LevelDB.create(tmp_path / "db")
    asked: list[tuple[str, bytes]] = []
    rows = {b"k1": b"", b"r1": b"", b"O1": b"", b"m1": b""}
    database.write(rows | {b"r2": b"", b"O2": b""}, ())
    main, parts = database._main, database._parts

    def noting(name: str, real: Any) -> SimpleNamespace:
        def write_batch(**options: object) -> SimpleNamespace:
            batch = real.write_batch(**options)

            def delete(key: bytes) -> None:
                asked.append((name, key))
                batch.delete(key)

            return SimpleNamespace(put=batch.put, delete=delete, write=batch.write)

        return SimpleNamespace(write_batch=write_batch)

    database._main = noting("", main)
    database._parts = {name: noting(name, part) for name, part in parts.items()}
    database.write({}, rows)
    database._main, database._parts = main, parts
    assert sorted(asked) == [("", b"m1"), ("bodies", b"r1"), ("lookups", b"k1"), ("outputs", b"O1")]
    assert [key for key, _ in database.scan(b"", limit=9)] == [b"O2", b"r2"]
    database.close()


def test_a_part_of_a_store_is_refused_by_name_and_stays_as_it_is(tmp_path: Path) -> None:
    """One that was killed while it was made, one of an earlier version, one that lost a part."""
    for name in leveldb.PART_NAMES:
        path = tmp_path / name
        filled(path)
        assert LevelDB.is_made(path)
        shutil.rmtree(path / name)
        before = sorted(path.iterdir())
        with pytest.raises(PartMissing, match=rf"no {name}/CURRENT.*earlier.*marsa node reset"):
            LevelDB.open(path)
        assert sorted(path.iterdir()) == before
        assert not LevelDB.is_made(path)


@pytest.mark.parametrize("name", leveldb.PART_NAMES)
def test_databases_of_different_moments_are_refused(tmp_path: Path, name: str) -> None:
    """One is an older copy, by more than what lies between two writes. What was added since for
    batches that the others do not know is taken back."""
    path = tmp_path / "db"
    database = LevelDB.create(path)
    for number in range(4):
        database.write({b"%c%d" % (kind, number): b"" for kind in b"krOm"}, ())
        database.close()
        shutil.copytree(path, tmp_path / str(number))
        database = LevelDB.open(path)
    database.close()
    is_lookups = name == leveldb.LOOKUPS
    for others, part, is_refused in (
        (3, 3, False),
        (3, 2, not is_lookups),
        (3, 1, True),
        (2, 3, is_lookups),
    ):
        mixed = tmp_path / f"{others}{part}"
        shutil.copytree(tmp_path / str(others), mixed)
        shutil.rmtree(mixed / name)
        shutil.copytree(tmp_path / str(part) / name, mixed / name)
        if is_refused:
            before = sorted(mixed.joinpath(name).glob("*.ldb"))
            with pytest.raises(StorageError, match="of different moments"):
                LevelDB.open(mixed)
            assert sorted(mixed.joinpath(name).glob("*.ldb")) >= before
        else:
            keys = [b"%c%d" % (kind, count) for kind in b"Okmr" for count in range(others + 1)]
            assert list(everything(mixed)) == keys


def test_create_takes_an_empty_directory_and_no_other(tmp_path: Path) -> None:
    """An empty one is fine, an existing database or a missing parent is not."""
    (tmp_path / "db").mkdir()
    LevelDB.create(tmp_path / "db").close()
    with pytest.raises(StorageError, match="is not empty"):
        LevelDB.create(tmp_path / "db")
    with pytest.raises(StorageError, match="Cannot open"):
        LevelDB.create(tmp_path / "missing" / "db")


OPEN_IN_CHILD = """
import json, pathlib, sys
from ledger.leveldb import LevelDB
try:
    LevelDB.open(pathlib.Path(sys.argv[1]))
    print(json.dumps({"error": None}))
except OSError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
"""


def test_a_second_open_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    """In this order: LevelDB alone loses its lock by the first attempt and lets the other in."""
    path = tmp_path / "db"
    first = LevelDB.create(path)
    with pytest.raises(DataDirectoryInUse, match="in this process"):
        LevelDB.open(path)
    with pytest.raises(DataDirectoryInUse, match="in this process"):
        LevelDB.open(tmp_path / "." / "db")
    answer = run_child(OPEN_IN_CHILD, path)
    assert answer["error"] == "DataDirectoryInUse"
    assert "another process" in str(answer["text"])
    first.close()
    assert run_child(OPEN_IN_CHILD, path) == {"error": None}
    LevelDB.open(path).close()


# --- Damage and failure ---------------------------------------------------------------------


@pytest.mark.parametrize("part", KINDS)
def test_a_flipped_byte_in_the_log_is_refused(tmp_path: Path, part: str) -> None:
    """LevelDB's default would open and miss blocks below its tip."""
    path = tmp_path / "db"
    filled(path, KINDS[part])
    (log,) = (path / part).glob("*.log")
    flip(log, log.stat().st_size // 2)
    with pytest.raises(StorageError, match="never repaired"):
        LevelDB.open(path)


@pytest.mark.parametrize("part", KINDS)
@pytest.mark.parametrize("read", ["get", "scan"])
def test_a_flipped_byte_in_a_table_is_an_error_and_the_last_answer(
    tmp_path: Path, read: str, part: str
) -> None:
    """The checksum of a block is checked on each read; afterwards the handle refuses all."""
    path, prefix = tmp_path / "db", KINDS[part]
    filled(path, prefix)
    LevelDB.open(path).close()  # moves the log into a table
    for table in (path / part).glob("*.ldb"):
        flip(table, 100)  # inside the first value
    database = LevelDB.open(path)
    with pytest.raises(StorageError, match="must stop"):
        database.get(prefix + b"0000") if read == "get" else list(database.scan(prefix, limit=9))
    with pytest.raises(StorageError, match="must stop"):
        database.write({b"a": b"1"}, ())
    database.close()


FULL_DISK_CHILD = """
import json, pathlib, resource, sys
from ledger.leveldb import StorageError
from ledger.leveldb import LevelDB
database = LevelDB.create(pathlib.Path(sys.argv[1]))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
acknowledged, refusals, text = 0, 0, ""
for number in range(200):
    try:
        database.write({b"k%04d" % number: b"v" * 1000}, ())
        acknowledged += 1
        assert not refusals, "acknowledged after a failure"
    except StorageError as error:
        refusals, text = refusals + 1, text or str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))  # there is room again
try:
    database.get(b"k0000")
    read_refused = False
except StorageError:
    read_refused = True
print(json.dumps({"acknowledged": acknowledged, "refusals": refusals, "text": text,
                  "read_refused": read_refused}))
"""


@pytest.mark.parametrize("limit_bytes", [40_000, 65_536, 70_001, 100_000])
def test_leveldb_issue_578_nothing_is_acknowledged_after_a_failed_write(
    tmp_path: Path, limit_bytes: int
) -> None:
    """A real failure (the kernel refuses to grow the log), then room again, then a restart.

    LevelDB itself goes on acknowledging and loses those batches; here the first failure is the
    last answer, and all that was acknowledged before is found again.
    """
    path = tmp_path / "db"
    outcome = run_child(FULL_DISK_CHILD, path, limit_bytes)
    acknowledged = int(str(outcome["acknowledged"]))
    assert 0 < acknowledged < 200
    assert outcome["refusals"] == 200 - acknowledged
    assert outcome["read_refused"] is True
    assert "free space" in str(outcome["text"])
    database = LevelDB.open(path)
    keys = [key for key, _ in database.scan(b"k", limit=1_000)]
    assert keys[:acknowledged] == [b"k%04d" % number for number in range(acknowledged)]
    database.close()
