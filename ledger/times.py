"""Units of time in milliseconds, and how moments are written for people.

Arithmetic alone, for the core imports nothing that has a clock; and no imports, for every command
pays for this module.
"""

from __future__ import annotations

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
_TIME_MS_MAX = 253_402_300_799_999
"""The last millisecond of the year 9999, where calendars of RFC 3339 end."""
_DAYS_BEFORE_1970 = 719_468
"""From 0000-03-01, where eras of 400 years begin."""
_DAYS_AN_ERA = 146_097


def rfc3339(time_ms: int) -> str:
    """UTC with milliseconds; times past the year 9999 show as its last moment."""
    days, left_ms = divmod(min(time_ms, _TIME_MS_MAX), DAY_MS)
    year, month, day = _date(days)
    left_s, ms = divmod(left_ms, 1_000)
    minutes, second = divmod(left_s, 60)
    hour, minute = divmod(minutes, 60)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}Z"


def _date(days: int) -> tuple[int, int, int]:
    """Year, month and day of a count of days since 1970, in the Gregorian calendar.

    Years are counted from March, so that the leap day is the last of its year and the lengths of
    the months before it, 31 30 31 30 31 over and over, are 153 days every five.
    """
    era, day_of_era = divmod(days + _DAYS_BEFORE_1970, _DAYS_AN_ERA)
    leaps = day_of_era // 1_460 - day_of_era // 36_524 + day_of_era // (_DAYS_AN_ERA - 1)
    year_of_era = (day_of_era - leaps) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    return era * 400 + year_of_era + (month <= 2), month, day
