"""How amounts are written for people and how numbers are read from them.

Amounts are integers of base units (µ) inside and coins outside, with all six decimals, so that
columns align. Nothing passes through a float. Imports nothing: every command pays for this module.
"""

from __future__ import annotations

DECIMALS = 6
UNITS_PER_COIN: int = 10**DECIMALS
NUMBER_DIGITS_MAX = 19
"""Of the largest integer of 63 bits; more digits are never a number of ours."""


def format_amount(amount: int) -> str:
    """Base units as coins."""
    whole, decimals = divmod(abs(amount), UNITS_PER_COIN)
    return f"{'-' if amount < 0 else ''}{whole}.{decimals:0{DECIMALS}d}"


def parse_number(text: str) -> int | None:
    """A count, height or index of ASCII digits; None for anything else.

    No sign, separator, space or digit of another script: `int` takes `+3`, `1_0` and `٣`, which are
    mistakes or tricks more often than numbers.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX
    return int(text) if is_number else None
