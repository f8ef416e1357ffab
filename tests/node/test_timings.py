"""Times of the last final blocks, and no more of them than there is room for."""

from __future__ import annotations

from node.timings import HEIGHTS_MAX, Timings


def test_a_block_is_timed_from_its_header() -> None:
    """Notes three blocks, one from a clock that is ahead: no time is below zero."""
    timings = Timings()
    timings.note(1, 1_000, 1_040)
    timings.note(2, 2_000, 1_990)
    assert (timings.after_ms(1), timings.after_ms(2), timings.after_ms(3)) == (40, 0, None)


def test_old_blocks_make_room() -> None:
    """Notes one more than is held: the first is gone."""
    timings = Timings()
    for height in range(1, HEIGHTS_MAX + 2):
        timings.note(height, 0, height)
    assert timings.after_ms(1) is None
    assert timings.after_ms(2) == 2
    assert timings.after_ms(HEIGHTS_MAX + 1) == HEIGHTS_MAX + 1
