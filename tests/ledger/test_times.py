"""How moments are written, against the calendar of the standard library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.codec import UINT_MAX
from ledger.times import rfc3339

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
LAST_MS = 253_402_300_799_999


@given(st.integers(min_value=FIRST_MS, max_value=LAST_MS))
@example(FIRST_MS)
@example(LAST_MS)
@example(951_782_399_999)  # 2000-02-29, a leap day of a century
@example(4_107_542_400_000)  # 2100-03-01, a century without one
def test_moments_are_those_of_the_calendar(time_ms: int) -> None:
    """Any millisecond of the years 1 to 9999 is written as `datetime` writes it."""
    moment = EPOCH + timedelta(milliseconds=time_ms)
    expected = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert rfc3339(time_ms) == expected


@pytest.mark.parametrize("time_ms", [LAST_MS, LAST_MS + 1, UINT_MAX])
def test_what_never_ends_shows_as_the_last_moment(time_ms: int) -> None:
    """A licence may end at any number of 63 bits; calendars end with the year 9999."""
    assert rfc3339(time_ms) == "9999-12-31T23:59:59.999Z"
