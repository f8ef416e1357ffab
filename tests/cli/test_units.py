"""What people type: amounts, durations, times."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import units
from cli.errors import CliError, ExitCode
from cli.wallet import selection
from ledger.amounts import format_amount
from ledger.codec import AMOUNT_LIMIT
from ledger.parameters import PERIOD_MS_MIN, PPM
from ledger.transaction import INPUTS_MAX


@given(st.integers(min_value=1, max_value=AMOUNT_LIMIT - 1))
def test_every_amount_survives_being_printed_and_read(amount: int) -> None:
    """Round trip over all amounts: format, then parse, gives the same integer."""
    assert units.parse_amount(format_amount(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.5", 1_500_000),
        ("5", 5_000_000),
        ("0.000001", 1),
        ("007", 7_000_000),
        ("1.10", 1_100_000),
    ],
)
def test_reads_decimals(text: str, amount: int) -> None:
    """Plain decimals mean what they say, in base units."""
    assert units.parse_amount(text) == amount


NOT_AMOUNTS = """-1 +1 1e3 1,5 1. .5 1_000 0x1 0 0.000000 1.0000001 NaN inf 1.5.1
１２３ ١٢ 4611686018428 99999999999999999999"""


@pytest.mark.parametrize("text", [*NOT_AMOUNTS.split(), "", " 1", "1 ", "1\n"])
def test_refuses_what_is_not_a_plain_decimal(text: str) -> None:
    """Signs, exponents, other scripts, seven decimals, zero and too much: one code, exit 2."""
    with pytest.raises(CliError) as caught:
        units.parse_amount(text)
    assert caught.value.code == "bad_amount"
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1.0000019", "the nearest smaller amount is 1.000001"),
        ("0.0000001", "the least is 0.000001"),
    ],
)
def test_too_many_decimals_are_answered_with_an_amount(text: str, hint: str) -> None:
    """One that is read: zero is none."""
    with pytest.raises(CliError) as caught:
        units.parse_amount(text)
    assert caught.value.hint == hint
    assert units.parse_amount(hint.rpartition(" ")[2]) > 0


@pytest.mark.parametrize(("count", "said"), [(0, "0 ways"), (1, "1 way"), (2, "2 ways")])
def test_one_of_a_thing_is_not_said_to_be_many(count: int, said: str) -> None:
    assert units.counted(count, "way") == said


def test_a_path_is_shown_as_a_shell_takes_it() -> None:
    assert units.quoted(Path("/tmp/my node")) == "'/tmp/my node'"
    assert units.quoted(Path("/tmp/node")) == "/tmp/node"


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_a_typed_error(text: str) -> None:
    """Fuzz: whatever is typed, the result is in range or the error is ours."""
    try:
        assert 0 < units.parse_amount(text) < AMOUNT_LIMIT
        assert text.isascii()
    except CliError as error:
        assert error.code == "bad_amount"


@pytest.mark.parametrize(
    ("text", "duration_ms"), [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)]
)
def test_reads_durations(text: str, duration_ms: int) -> None:
    """A number and a unit."""
    assert units.parse_duration(text) == duration_ms


@pytest.mark.parametrize("text", ["", "10", "s", "1.5s", "-1s", "25h", "１s", "10 s", "1d"])
def test_refuses_other_durations(text: str) -> None:
    """No unit, fractions, signs, more than a day."""
    with pytest.raises(CliError, match="bad_duration"):
        units.parse_duration(text)


def test_a_period_has_a_shortest() -> None:
    """A minute is one, a millisecond less is not."""
    assert units.parse_period("60s") == PERIOD_MS_MIN
    with pytest.raises(CliError, match="bad_period"):
        units.parse_period("59999ms")


def test_constants_equal_those_of_the_ledger() -> None:
    """Constants repeated to keep imports light are those of the rules."""
    assert units.PERIOD_MS_MIN == PERIOD_MS_MIN
    assert units.AMOUNT_LIMIT == AMOUNT_LIMIT
    assert units.PPM == PPM
    assert selection.INPUTS_MAX == INPUTS_MAX


@pytest.mark.parametrize(
    ("ppm", "shown"),
    [
        (0, "0.00 %"),
        (99, "0.00 %"),
        (999_999, "99.99 %"),
        (1_000_000, "100.00 %"),
        (1_000_000_000, "100,000.00 %"),
    ],
)
def test_shares_are_never_shown_larger_than_they_are(ppm: int, shown: str) -> None:
    """Coverage of 99.9999 % is not enough, and must not read as 100 %."""
    assert units.percent(ppm) == shown
