"""A new log beside what stood in its place: nothing that tells what was signed is written over."""

from __future__ import annotations

from pathlib import Path

from node.new_log import new_log, replace_log
from node.wal import DiskLogFile, WriteAheadLog


def test_every_log_that_is_replaced_is_kept(tmp_path: Path) -> None:
    """Three in a row, each under a name of its own; the last one is empty and can be opened."""
    path = tmp_path / "votes.wal"
    new_log(path).close()
    kept = []
    for number in range(3):
        path.write_bytes(b"damaged %d" % number)
        replace_log(path).close()
        kept.append(sorted(item.read_bytes() for item in tmp_path.glob("votes.damaged*")))
    assert kept[-1] == [b"damaged 0", b"damaged 1", b"damaged 2"]
    log, records = WriteAheadLog.open(DiskLogFile(path))
    log.close()
    assert records == []


def test_where_nothing_stands_nothing_is_kept(tmp_path: Path) -> None:
    """As after a restore from a backup, which leaves the log out."""
    replace_log(tmp_path / "votes.wal").close()
    assert [item.name for item in tmp_path.iterdir()] == ["votes.wal"]
