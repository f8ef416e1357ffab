"""After a failed fsync the log goes on: the second one succeeds, and the pages are lost.

Had by: PostgreSQL until 2018 and all five programs of Rebello et al. (USENIX ATC 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ledger.kv import StorageError
from node.wal import WriteAheadLog
from tests.sim.planting import Planted


@contextmanager
def _operation(self: WriteAheadLog) -> Iterator[None]:
    if self._failed:
        raise StorageError("The write-ahead log is closed.")
    yield


PLANTED = Planted(
    target="node.wal:WriteAheadLog._operation",
    wrong=_operation,
    test="tests/node/test_wal.py::test_after_a_failed_operation_the_log_refuses_everything",
)
