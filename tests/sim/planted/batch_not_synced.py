"""The database answers before its batch is on the disk.

Had by: every user of LevelDB's defaults; a power failure takes the last blocks with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.leveldb import LevelDB
from tests.sim.planting import Planted


class _Unsynced:
    """One of the databases, which is not told to sync."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def write_batch(self, *, sync: bool) -> Any:
        return self.real.write_batch()


_write = LevelDB.write


def write(self: LevelDB, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
    main, parts = self._main, self._parts
    self._main = _Unsynced(main)
    self._parts = {name: _Unsynced(part) for name, part in parts.items()}
    try:
        _write(self, puts, deletes)
    finally:
        self._main, self._parts = main, parts


PLANTED = Planted(
    target="ledger.leveldb:LevelDB.write",
    wrong=write,
    test="tests/ledger/test_leveldb.py::test_every_batch_is_whole_and_synced",
)
