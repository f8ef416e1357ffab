"""Receipts that are needed no more: those of orders whose figures are final.

An order that ended and was paid out takes no receipt any more. Nodes forget it an hour later, and
one that is behind has not heard of it yet: what a node does not know is over only when the longest
window that it can have had is.
"""

from __future__ import annotations

import contextlib
import logging
import re
from bisect import bisect_right
from collections.abc import Container
from pathlib import Path

from cli.client import ApiProblem, Client
from cli.delivery.store import SUFFIX
from ledger.economy.redemption import WINDOW_PERIODS_MAX

TIDY_EVERY_S = 60.0
ASKED_MAX = 16
"""Orders that are asked for in one go."""
HTTP_NOT_FOUND = 404

_NAME = re.compile(r"[0-9a-f]{64}" + re.escape(SUFFIX), re.ASCII)

log = logging.getLogger("marsa.delivery")


class Tidying:
    """Goes round the receipts of a directory, some at a time."""

    def __init__(self, directory: Path, period_ms: int) -> None:
        self._directory = directory
        self._window_ms = WINDOW_PERIODS_MAX * period_ms
        self._last = ""

    def go_on(self, client: Client, still_open: Container[bytes]) -> None:
        """Remove what is final among the next ones; raises ClientError."""
        names = sorted(x.name for x in self._directory.iterdir() if _NAME.fullmatch(x.name))
        names = [x for x in names if bytes.fromhex(x.removesuffix(SUFFIX)) not in still_open]
        first = bisect_right(names, self._last)
        for name in (*names[first:], *names[:first])[:ASKED_MAX]:
            self._last, path = name, self._directory / name
            with contextlib.suppress(FileNotFoundError):
                if self._is_final(client, name.removesuffix(SUFFIX), path):
                    path.unlink()
                    log.info("removed receipt=%s: its order is over", name)

    def _is_final(self, client: Client, order: str, path: Path) -> bool:
        try:
            return client.economy.redemption(order).is_paid
        except ApiProblem as problem:
            if problem.status != HTTP_NOT_FOUND:
                raise
        # When it was written its order was open, so that it was over a longest window later.
        written_ms = int(path.stat().st_mtime * 1_000)
        return client.status().sync.ledger_time_ms > written_ms + self._window_ms
