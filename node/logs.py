"""One event a line on standard error, for people (key=value) or machines (JSON).

Each line says which node it is about and where that node stands, so that lines of several nodes
can be laid side by side. Nothing secret is ever passed to a log call.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

Position = Callable[[], tuple[int, int, int]]
"""Epoch, view and height, read when a line is written."""


class LineFormatter(logging.Formatter):
    """`2026-11-22T10:20:30.123Z info n=val0 epoch=0 view=0 height=17 decided txs=40`"""

    def __init__(self, name: str, position: Position, *, as_json: bool) -> None:
        super().__init__()
        self._name = name
        self._position = position
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        epoch, view, height = self._position()
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        stamp = f"{seconds}.{int(record.msecs):03d}Z"
        level = record.levelname.lower()
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        if not self._as_json:
            where = f"n={self._name} epoch={epoch} view={view} height={height}"
            return f"{stamp} {level} {where} {message}"
        fields = {
            "time": stamp,
            "level": level,
            "node": self._name,
            "epoch": epoch,
            "view": view,
            "height": height,
            "source": record.name,
            "message": message,
        }
        return json.dumps(fields)


def configure(name: str, level: str, position: Position, *, as_json: bool) -> None:
    """Send everything that is logged in this process to standard error in one format."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(name, position, as_json=as_json))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
