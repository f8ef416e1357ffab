"""Counting and logging what was turned away, without letting strangers fill the log.

Every refusal is counted under a name from a closed set. Each name is logged at most once a
second; the line says how many were left out since the one before. And in words for the operator:
what it means when peers refuse this node.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum

from p2p.handshake import RefusedReason

LOG_EVERY_S = 1.0
"""Between two lines of one name."""

log = logging.getLogger(__name__)


class Failure(StrEnum):
    """How a link can fail before anybody was refused by name."""

    TLS_REFUSED = "tls_refused"
    TOO_MANY_SOCKETS = "too_many_sockets"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    HANDSHAKE_BROKEN = "handshake_broken"
    DIAL_FAILED = "dial_failed"
    REFUSED_BY_PEER = "refused_by_peer"


class Refusals:
    """Counters by name since the node started."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}  # name -> when, count by then

    def counts(self) -> dict[str, int]:
        """Every name, also those that never occurred."""
        return {name.value: self._counts[name.value] for name in (*Failure, *RefusedReason)}

    def note(self, name: Failure | RefusedReason, who: str, detail: str = "") -> None:
        """Count one refusal of `who` (an address or a configured name) and perhaps log it."""
        key = name.value
        self._counts[key] += 1
        count, now = self._counts[key], self._clock()
        before = self._logged.get(key)
        if before is not None and now - before[0] < LOG_EVERY_S:
            return
        left_out = count - before[1] - 1 if before is not None else 0
        self._logged[key] = (now, count)
        log.info("%s who=%s left_out=%d detail=%s", key, who, left_out, detail)


def describe_rival(telling: Sequence[str]) -> str:
    """What the peers `telling` mean when they refuse this process as the second one of its key."""
    return (
        f"another process runs with the key of this node: {', '.join(telling)} refused this one, "
        "because the other one is linked. Stop one of the two, and never start a copy of a node's "
        "directory"
    )
