"""A wrong wall clock is named, and a right one never for a block that was only late."""

from __future__ import annotations

import pytest

from ledger.parameters import WINDOW_MAX
from node.clock_check import CLOCK_OFF_MS, SAMPLES, ClockCheck, describe

NOW = 1_800_000_000_000
HOUR_MS = 3_600_000


def test_behind_is_seen_at_once() -> None:
    """A block from the future is enough, at the limit and one beyond, without any sample."""
    check = ClockCheck()
    assert check.skew_ms(NOW + CLOCK_OFF_MS, NOW) == 0
    assert check.skew_ms(NOW + CLOCK_OFF_MS + 1, NOW) == -CLOCK_OFF_MS - 1
    assert check.skew_ms(NOW + HOUR_MS, NOW) == -HOUR_MS


@pytest.mark.parametrize("age_ms", [CLOCK_OFF_MS, CLOCK_OFF_MS + 1])
def test_ahead_takes_several_blocks(age_ms: int) -> None:
    """Old blocks in a row, not one fewer; the least of their ages counts."""
    check = ClockCheck()
    for seen in range(SAMPLES):
        assert check.skew_ms(NOW - HOUR_MS, NOW) == 0, seen
        check.saw(NOW - age_ms - seen, NOW)
    assert check.skew_ms(NOW - age_ms, NOW) == (age_ms if age_ms > CLOCK_OFF_MS else 0)


def test_late_blocks_are_no_fault_of_the_clock() -> None:
    """Blocks that a quorum's loss held up are old; one that is not clears the clock."""
    check = ClockCheck()
    held_up = [HOUR_MS] * WINDOW_MAX
    for age_ms in (*held_up, 5, *held_up, 5):
        check.saw(NOW - age_ms, NOW)
        assert check.skew_ms(NOW - age_ms, NOW) == 0


def test_words() -> None:
    """The sentence says how far, in which direction, and what to do."""
    assert describe(0) == ""
    assert "3600 s behind the blocks" in describe(-HOUR_MS)
    assert "3600 s ahead of the blocks" in describe(HOUR_MS)
    assert "set it right" in describe(HOUR_MS)
