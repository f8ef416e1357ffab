"""Amounts as people see them, and numbers as they may write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.amounts import NUMBER_DIGITS_MAX, format_amount, parse_number

NOT_NUMBERS = ["+3", "-3", "1_0", "1e3", "0x3", "3.0", "1,5", "３", "٣", "३", "²", "①", "IV"]


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.000000"), (1, "0.000001"), (1_500_000, "1.500000"), (-2, "-0.000002")],
)
def test_amounts_have_six_decimals(amount: int, text: str) -> None:
    """Base units become coins; a sign stays in front."""
    assert format_amount(amount) == text


@given(st.integers(0, 10**NUMBER_DIGITS_MAX - 1))
def test_every_plain_number_is_read(number: int) -> None:
    """What `str` writes is read back, up to the most digits."""
    assert parse_number(str(number)) == number


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "", " 3", "3 ", "3\n", "1" * 20])
def test_nothing_else_is_a_number(text: str) -> None:
    """Signs, separators, spaces, other scripts, one digit too many."""
    assert parse_number(text) is None


@given(st.text(max_size=6))
def test_any_text_is_ascii_digits_or_none(text: str) -> None:
    """Fuzz: what is read consists of the ten digits."""
    if parse_number(text) is not None:
        assert set(text) <= set("0123456789")
