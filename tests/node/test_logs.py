"""One event a line, with the node and where it stands."""

from __future__ import annotations

import json
import logging
import sys

from node.logs import LineFormatter


def record(message: str, *arguments: object) -> logging.LogRecord:
    made = logging.LogRecord("marsa.test", logging.INFO, "", 0, message, arguments, None)
    made.created, made.msecs = 1_800_000_000.25, 250.0
    return made


def test_key_value_line_names_node_and_position() -> None:
    """Time in UTC to the millisecond, level, node, epoch, view, height, then the event."""
    formatter = LineFormatter("val2", lambda: (0, 1, 17), as_json=False)
    line = formatter.format(record("decided txs=%d", 40))
    assert line == "2027-01-15T08:00:00.250Z info n=val2 epoch=0 view=1 height=17 decided txs=40"


def test_json_line_holds_the_same_and_stays_one_line() -> None:
    """A message with a line break is still one line of JSON."""
    formatter = LineFormatter("val2", lambda: (0, 1, 17), as_json=True)
    line = formatter.format(record("two\nlines"))
    assert "\n" not in line
    fields = json.loads(line)
    assert fields["message"] == "two\nlines"
    assert (fields["node"], fields["view"], fields["height"]) == ("val2", 1, 17)


def test_traceback_follows_its_event() -> None:
    """An exception that is logged is not lost."""
    formatter = LineFormatter("val2", lambda: (0, 0, 0), as_json=False)
    try:
        raise ValueError("why")
    except ValueError:
        made = record("service failed")
        made.exc_info = sys.exc_info()
    assert "ValueError: why" in formatter.format(made)
