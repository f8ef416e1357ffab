"""What a peer's bad messages cost it. Pure: the caller says what time it is."""

from __future__ import annotations

POINTS_MAX = 100
"""A link closes above this."""
BAD_FRAME_POINTS = 20
"""For a frame that the node finds invalid: the sixth in short order closes the link."""
FORGIVEN_PER_S = 0.1
"""So that rare accidents never add up over the months that a link may last."""


class Points:
    """Points of one link: charged by what goes wrong, forgiven by time."""

    __slots__ = ("_at", "_points")

    def __init__(self, now: float) -> None:
        self._points = 0.0
        self._at = now

    def charge(self, points: float, now: float) -> bool:
        """True when the link has used up its credit and must close."""
        self._points = self.current(now) + points
        self._at = now
        return self._points > POINTS_MAX

    def current(self, now: float) -> float:
        """The points that are not yet forgiven."""
        return max(0.0, self._points - (now - self._at) * FORGIVEN_PER_S)
