"""Calendar times, spans of days and hours, and whole periods, as people type and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cli.errors import usage_error
from ledger.times import DAY_MS, HOUR_MS, MINUTE_MS, rfc3339

SECOND_MS = 1_000
SPAN_MS_MAX = 366 * DAY_MS
MICROHOURS_A_HOUR = 1_000_000
_SPAN = re.compile(r"([0-9]{1,6})(s|m|h|d)", re.ASCII)
_MS_BY_UNIT = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,12}Z)?", re.ASCII)
_WORDS_OF_SPAN = 2


def parse_span(text: str) -> int:
    """Milliseconds of '90m', '12h' or '30d'; a span of years is a slip of the hand."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise usage_error("bad_duration", f"{text!r} is not a duration", "write it as 12h or 30d")
    span_ms = int(match[1]) * _MS_BY_UNIT[match[2]]
    if not 0 < span_ms <= SPAN_MS_MAX:
        raise usage_error("bad_duration", f"{text} is out of range", "more than 0, at most 366d")
    return span_ms


def parse_time(text: str) -> int:
    """Milliseconds of '2027-01-31' or '2027-01-31T12:00:00Z', in UTC."""
    hint = "write it as 2027-01-31 or 2027-01-31T12:00:00Z"
    if _TIME.fullmatch(text) is None:
        raise usage_error("bad_time", f"{text!r} is not a time in UTC", hint)
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError as error:
        raise usage_error("bad_time", f"{text!r}: {error}", hint) from None
    return round(moment.timestamp() * 1_000)


def whole_periods(
    start_ms: int | None, end_ms: int | None, span_ms: int | None, now_ms: int, period_ms: int
) -> tuple[int, int]:
    """The schedule that is meant: from the present period unless told otherwise, in whole periods
    that lie inside of what was asked, so that nothing is promised which nobody said."""
    if (end_ms is None) == (span_ms is None):
        raise usage_error("usage", "say when it ends: --to TIME or --for DURATION, one of them")
    begin = now_ms // period_ms if start_ms is None else -(-start_ms // period_ms)
    begin *= period_ms
    end = begin + span_ms if span_ms is not None else end_ms or 0
    end -= end % period_ms
    if end <= begin:
        detail = f"from {rfc3339(begin)} to {rfc3339(end)} there is no whole period"
        raise usage_error("bad_schedule", f"{detail} of {span_text(period_ms)}")
    return begin, end


def span_text(span_ms: int) -> str:
    """'364d 23h', '9m 30s', '0s': the two largest units of a span."""
    words, left = [], max(0, span_ms)
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, _MS_BY_UNIT[unit])
        if count:
            words.append(f"{count}{unit}")
        elif words:
            break
    return " ".join(words[:_WORDS_OF_SPAN]) or "0s"


def exact_span(span_ms: int) -> str:
    """'4m', '90s': as `parse_span` reads it, in the largest unit that fits; of what is no whole
    second the next one."""
    seconds_ms = -(-span_ms // SECOND_MS) * SECOND_MS
    unit = max((x for x in "smhd" if seconds_ms % _MS_BY_UNIT[x] == 0), key=_MS_BY_UNIT.__getitem__)
    return f"{seconds_ms // _MS_BY_UNIT[unit]}{unit}"


def ends_text(deadline_ms: int | None, now_ms: int) -> str:
    """What is left until a deadline; empty where there is none."""
    if deadline_ms is None:
        return ""
    return span_text(deadline_ms - now_ms) if deadline_ms >= now_ms else "over"


def machines_of(microhours: int, period_ms: int) -> int:
    """Machines that are needed for so many µh a period."""
    return -(-microhours * HOUR_MS // (MICROHOURS_A_HOUR * period_ms))


def microhours_of(machines: int, period_ms: int) -> int:
    """What so many machines deliver in a period when they do nothing else."""
    return machines * MICROHOURS_A_HOUR * period_ms // HOUR_MS
