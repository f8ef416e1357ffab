"""Misbehaviour points over time."""

from __future__ import annotations

from p2p.points import BAD_FRAME_POINTS, FORGIVEN_PER_S, POINTS_MAX, Points


def test_many_in_short_order_use_up_the_credit() -> None:
    """Exactly at the limit a link lives; one more charge ends it."""
    points = Points(0.0)
    charges = [points.charge(BAD_FRAME_POINTS, 0.0) for _ in range(6)]
    assert charges == [False] * 5 + [True]
    assert POINTS_MAX == 5 * BAD_FRAME_POINTS


def test_rare_accidents_are_forgiven() -> None:
    """One bad frame every few minutes for ever never ends a link."""
    points, now = Points(0.0), 0.0
    for _ in range(1000):
        assert not points.charge(BAD_FRAME_POINTS, now)
        now += BAD_FRAME_POINTS / FORGIVEN_PER_S
        assert points.current(now) == 0
