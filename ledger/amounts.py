"""How amounts are written for people: integers of base units (µ) inside, coins outside.

Nothing passes through a float, and all six decimals are always there, so that columns align.
Imports nothing: every command of the interface pays for this module.
"""

from __future__ import annotations

DECIMALS = 6
UNITS_PER_COIN: int = 10**DECIMALS


def format_amount(amount: int) -> str:
    """Base units as coins."""
    whole, decimals = divmod(abs(amount), UNITS_PER_COIN)
    return f"{'-' if amount < 0 else ''}{whole}.{decimals:0{DECIMALS}d}"
