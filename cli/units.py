"""What people type and read: amounts of coins, durations, shares, hashes.

Amounts are integers of base units (µ) everywhere inside; only here do they meet a decimal point.
Parsing takes ASCII digits alone: no sign, exponent, separator or digit of another script, because
`１２３` and `1e3` are mistakes or tricks more often than amounts. Nothing passes through a float.
"""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote

from cli.errors import usage_error
from ledger.amounts import DECIMALS, UNITS_PER_COIN, format_amount
from ledger.times import DAY_MS, HOUR_MS, MINUTE_MS

AMOUNT_LIMIT = 1 << 62  # as in ledger.codec, without its import; a test compares the two
DURATION_MS_MAX = DAY_MS
PPM = 1_000_000  # as in ledger.parameters; a test compares the two
PERCENT_PPM = PPM // 100
ACCOUNTS_MAX = 100
"""Funded on a devnet."""
PERIOD_MS_MIN = MINUTE_MS  # as in ledger.parameters; a test compares the two

_AMOUNT = re.compile(r"([0-9]{1,19})(?:\.([0-9]+))?", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h)", re.ASCII)
_MS_BY_UNIT = {"ms": 1, "s": 1_000, "m": MINUTE_MS, "h": HOUR_MS}


def quoted(path: Path) -> str:
    """As a shell takes it, in a command that is shown."""
    return quote(str(path))


def counted(count: int, noun: str, nouns: str = "") -> str:
    """'1 coin', '2 coins', '0 coins'; `nouns` where more of them end in another way."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def parse_amount(text: str) -> int:
    """Base units of '1.5' coins; raises CliError(bad_amount) for anything else than a decimal."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise usage_error("bad_amount", f"{text!r} is not an amount", "write it as 12 or 12.345678")
    whole, decimals = match.group(1), match.group(2) or ""
    if len(decimals) > DECIMALS:
        smaller = f"{whole}.{decimals[:DECIMALS]}"
        is_none = not int(whole + decimals[:DECIMALS])
        raise usage_error(
            "bad_amount",
            f"{text!r} has {len(decimals)} decimals, a coin has {DECIMALS}",
            "the least is 0.000001" if is_none else f"the nearest smaller amount is {smaller}",
        )
    amount = int(whole) * UNITS_PER_COIN + int(decimals.ljust(DECIMALS, "0"))
    if amount == 0:
        raise usage_error("bad_amount", "the amount is zero", "the least is 0.000001")
    if amount >= AMOUNT_LIMIT:
        raise usage_error(
            "bad_amount", f"{text} is too much", f"the most is {format_amount(AMOUNT_LIMIT - 1)}"
        )
    return amount


def parse_duration(text: str) -> int:
    """Milliseconds of '500ms', '10s', '2m' or '1h'."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise usage_error(
            "bad_duration", f"{text!r} is not a duration", "write it as 500ms, 10s or 2m"
        )
    duration_ms = int(match.group(1)) * _MS_BY_UNIT[match.group(2)]
    if duration_ms > DURATION_MS_MAX:
        raise usage_error("bad_duration", f"{text} is too long", "the longest is 24h")
    return duration_ms


def parse_period(text: str) -> int:
    """A unit of delivery in milliseconds; the ledger has a shortest one."""
    period_ms = parse_duration(text)
    if period_ms < PERIOD_MS_MIN:
        raise usage_error("bad_period", f"a period of {text} is too short", "the shortest is 60s")
    return period_ms


def percent(ppm: int) -> str:
    """A share of a million; what is less than a hundredth of a percent is cut off."""
    whole, left = divmod(ppm, PERCENT_PPM)
    return f"{whole:,}.{left // 100:02d} %"


def short_hex(text: str) -> str:
    """A long hash for people: its ends. JSON always has all of it."""
    return text if len(text) <= 16 else f"{text[:8]}…{text[-8:]}"
