"""Schedules: whole periods of the ledger clock, at most a year ahead."""

from __future__ import annotations

from ledger.reasons import Invalid, Reason
from ledger.times import DAY_MS, rfc3339

HORIZON_MS_MAX = 365 * DAY_MS


def check_schedule(from_ms: int, to_ms: int, clock_ms: int, period_ms: int) -> None:
    """Raises Invalid(BAD_SCHEDULE) with the figures."""
    where, clock = f"from {rfc3339(from_ms)} to {rfc3339(to_ms)}", f"clock {rfc3339(clock_ms)}"
    if from_ms % period_ms or to_ms % period_ms:
        raise Invalid(Reason.BAD_SCHEDULE, f"{where}: not whole periods of {period_ms} ms")
    if not max(from_ms, clock_ms) < to_ms:
        raise Invalid(Reason.BAD_SCHEDULE, f"{where}: over before it begins, {clock}")
    if to_ms > clock_ms + HORIZON_MS_MAX or to_ms - from_ms > HORIZON_MS_MAX:
        raise Invalid(Reason.BAD_SCHEDULE, f"{where}: more than 365 days ahead, {clock}")
