"""The database answers before its batch is on the disk.

Had by: every user of LevelDB's defaults; a power failure takes the last blocks with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import plyvel

from ledger.kv import LevelDB
from tests.sim.planting import Planted


def write(self: LevelDB, puts: Mapping[bytes, bytes], deletes: Iterable[bytes]) -> None:
    self._check_usable()
    try:
        with self._db.write_batch(transaction=True) as batch:
            for key in deletes:
                batch.delete(key)
            for key, value in puts.items():
                batch.put(key, value)
    except plyvel.Error as error:
        raise self._fail("write to", error) from error
    self._remembered.clear()


PLANTED = Planted(
    target="ledger.kv:LevelDB.write",
    wrong=write,
    test="tests/ledger/test_kv.py::test_every_batch_is_whole_and_synced",
)
