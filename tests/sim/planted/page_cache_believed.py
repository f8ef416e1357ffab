"""After a failed sync and a restart the log is read from memory, synced and believed.

Had by: whoever starts again after a failed fsync on a system that takes the pages for written
(PostgreSQL, 2018; Rebello et al., USENIX ATC 2020).
"""

from __future__ import annotations

from node.wal import (
    LOG_BYTES_MAX,
    LogDamaged,
    LogFile,
    Record,
    WriteAheadLog,
    _next_record_offset,
    _read_header,
    _read_records,
)
from tests.sim.plan import Weak
from tests.sim.planted_focus import bad_disk
from tests.sim.planting import Planted


def _open(file: LogFile) -> tuple[WriteAheadLog, list[Record]]:
    data = file.read_all()
    if len(data) > LOG_BYTES_MAX:
        raise LogDamaged(LOG_BYTES_MAX, f"it is larger than {LOG_BYTES_MAX} bytes")
    instance_id = _read_header(data)
    records, end = _read_records(data)
    torn_bytes = len(data) - end
    if torn_bytes:
        following = _next_record_offset(data, end)
        if following is not None:
            raise LogDamaged(end, f"the record there is bad, one at byte {following} is good")
        file.replace(data[:end])
    else:
        file.append(b"")
        file.sync()
    return WriteAheadLog(file, instance_id, end, torn_bytes), records


PLANTED = Planted(
    target="node.wal:WriteAheadLog.open",
    wrong=staticmethod(_open),
    checkers=("LogDamaged", "DoubleSigned"),
    focus=bad_disk(Weak.FAILING),
)
