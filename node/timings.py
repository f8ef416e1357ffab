"""How long blocks took from their header's time to being final here, for the last of them.

The header's time is the proposer's clock and the end is this machine's, so a figure is only as good
as these two clocks; `node.clock_check` says when they are apart. A block that came late, because
this node was away, counts as late as it was.
"""

from __future__ import annotations

from collections import OrderedDict

HEIGHTS_MAX = 4_096
"""Twenty pages of the list of blocks."""


class Timings:
    """Times of final blocks by height."""

    def __init__(self) -> None:
        self._after_ms: OrderedDict[int, int] = OrderedDict()

    def note(self, height: int, header_time_ms: int, now_ms: int) -> None:
        """The block at `height` became final at `now_ms`, both times since 1970."""
        self._after_ms[height] = max(0, now_ms - header_time_ms)
        while len(self._after_ms) > HEIGHTS_MAX:
            self._after_ms.popitem(last=False)

    def after_ms(self, height: int) -> int | None:
        """None for a block of before the start, or long ago."""
        return self._after_ms.get(height)
