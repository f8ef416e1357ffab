"""The log is cut at the first bad record, wherever it is: what stands behind it is forgotten.

Had by: replicated stores that take corruption for a crash and truncate (Alagappan et al.,
Protocol-Aware Recovery, FAST 2018).
"""

from __future__ import annotations

from node.wal import (
    LOG_BYTES_MAX,
    LogDamaged,
    LogFile,
    Record,
    WriteAheadLog,
    _read_header,
    _read_records,
)
from tests.sim.planted_focus import flipped_records
from tests.sim.planting import Planted


def _open(file: LogFile) -> tuple[WriteAheadLog, list[Record]]:
    data = file.read_all()
    if len(data) > LOG_BYTES_MAX:
        raise LogDamaged(LOG_BYTES_MAX, f"it is larger than {LOG_BYTES_MAX} bytes")
    instance_id = _read_header(data)
    records, end = _read_records(data)
    file.replace(data[:end])
    return WriteAheadLog(file, instance_id, end, len(data) - end), records


PLANTED = Planted(
    target="node.wal:WriteAheadLog.open",
    wrong=staticmethod(_open),
    checkers=("VotesUnrecovered",),
    focus=flipped_records,
)
