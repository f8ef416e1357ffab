"""Opening makes the database where none is: a mistyped directory is a new and empty ledger.

Had by: LevelDB's own option `create_if_missing`, which also deletes all tables beside a lost
CURRENT.
"""

from __future__ import annotations

from pathlib import Path

from ledger.leveldb import LevelDB
from tests.sim.planting import Planted


def _open(path: Path) -> LevelDB:
    is_new = not (path / "CURRENT").is_file()
    if is_new:
        path.mkdir()
    return LevelDB._start(path, is_new=is_new)


PLANTED = Planted(
    target="ledger.leveldb:LevelDB.open",
    wrong=staticmethod(_open),
    test="tests/ledger/test_leveldb.py::test_open_never_creates",
)
