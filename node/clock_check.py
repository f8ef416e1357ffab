"""Whether this machine's wall clock agrees with the chain's, judged by blocks that are final.

A quorum vouches for the time of a block to CLOCK_SKEW_MS_MAX. A block from the future is proof
that this clock is behind, whenever it is seen. One from the past may only be late (a catch-up, a
stopped chain), so this clock is called ahead when several in a row were old at the moment they
became final. A clock that is off breaks no rule: votes are ordered by views and heights, never by
time.
"""

from __future__ import annotations

import logging
from collections import deque

from ledger.block import CLOCK_SKEW_MS_MAX
from ledger.parameters import WINDOW_MAX

log = logging.getLogger("marsa.driver")

CLOCK_OFF_MS = CLOCK_SKEW_MS_MAX + 2_000
"""What an honest primary's clock may be off, and the time within which its block is final."""
SAMPLES = WINDOW_MAX + 1
"""Final blocks in a row: a window of them may be old, held up by lost views; the next is not."""


class ClockCheck:
    """One a node; told of every newest block when it becomes final."""

    def __init__(self) -> None:
        self._ages_ms: deque[int] = deque(maxlen=SAMPLES)
        self._is_warned = False

    def saw(self, header_time_ms: int, wall_ms: int) -> None:
        """The newest block of the chain became final here at `wall_ms`."""
        self._ages_ms.append(wall_ms - header_time_ms)

    def skew_ms(self, head_time_ms: int, wall_ms: int) -> int:
        """How far this clock is ahead, negative when it is behind; 0 while nothing is wrong."""
        age_ms = wall_ms - head_time_ms
        if age_ms < -CLOCK_OFF_MS:
            return age_ms
        if len(self._ages_ms) == SAMPLES and min(self._ages_ms) > CLOCK_OFF_MS:
            return min(self._ages_ms)
        return 0

    def warning(self, head_time_ms: int, wall_ms: int) -> str:
        """What is wrong with this clock, empty when nothing is."""
        return describe(self.skew_ms(head_time_ms, wall_ms))

    def look(self, head_time_ms: int, wall_ms: int) -> None:
        """One line in the log when the clock goes wrong, one when it is right again."""
        warning = self.warning(head_time_ms, wall_ms)
        if bool(warning) != self._is_warned:
            self._is_warned = bool(warning)
            log.warning("%s", warning or "the clock of this machine agrees with the chain again")


def describe(skew_ms: int) -> str:
    """A sentence for whoever looks after the machine; empty when nothing is wrong."""
    if not skew_ms:
        return ""
    direction = "ahead of" if skew_ms > 0 else "behind"
    return (
        f"the clock of this machine is {abs(skew_ms) // 1_000} s {direction} the blocks of the "
        f"chain, {CLOCK_SKEW_MS_MAX // 1_000} s are allowed: set it right (by NTP); until then the "
        "other validators pass over what this node proposes"
    )
