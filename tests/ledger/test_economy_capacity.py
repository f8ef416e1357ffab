"""Capacity: which hours count, and for which periods."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.crypto import verify
from ledger.economy.capacity import (
    Attestation,
    attestation_hash,
    counted_microhours,
    periods_left,
    periods_within,
)
from tests.ledger.world import DAY_MS, PERIOD_MS, TIME_MS, commitment, key

NONCE = bytes(32)
GROUPS = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}


def attested(**figures: int) -> int:
    item = msgspec.structs.replace(
        commitment("val0"),
        attestations=tuple(Attestation(name, value, bytes(64)) for name, value in figures.items()),
    )
    return counted_microhours(item, GROUPS, 2)


@pytest.mark.parametrize(
    ("figures", "counted"),
    [
        ({}, 0),
        ({"a1": 9}, 0),
        ({"a1": 9, "a2": 8}, 0),
        ({"a1": 9, "b1": 7}, 7),
        ({"a1": 5, "a2": 9, "b1": 7}, 7),
        ({"a1": 9, "a2": 5, "b1": 7}, 7),
        ({"a1": 9, "b1": 7, "c1": 1}, 7),
        ({"a1": 1, "b1": 7, "c1": 9}, 7),
        ({"a1": 0, "b1": 7}, 0),
    ],
)
def test_the_second_highest_of_distinct_groups_counts(
    figures: dict[str, int], counted: int
) -> None:
    """k = 2: one group alone is worth nothing, and a group speaks once, by its highest."""
    assert attested(**figures) == counted


@given(st.dictionaries(st.sampled_from(sorted(GROUPS)), st.integers(0, 100)), st.integers(0, 999))
def test_one_group_can_neither_raise_nor_sink_what_two_others_say(
    figures: dict[str, int], hostile: int
) -> None:
    """With two honest groups that agree on 50, a third may say what it likes."""
    honest = {"a1": 50, "b1": 50}
    assert attested(**honest, c1=hostile) == 50
    assert attested(**figures) <= max(figures.values(), default=0)


def test_current_and_future_periods_count_as_whole_ones() -> None:
    """At the start all, inside a period still that one, at the end none."""
    item = commitment("val0", days=1)
    count = DAY_MS // PERIOD_MS
    for clock_ms, left in (
        (TIME_MS - 5 * DAY_MS, count),
        (TIME_MS, count),
        (TIME_MS + PERIOD_MS - 1, count),
        (TIME_MS + PERIOD_MS, count - 1),
        (item.to_ms - 1, 1),
        (item.to_ms, 0),
        (item.to_ms + 5 * DAY_MS, 0),
    ):
        assert periods_left(item, clock_ms, PERIOD_MS) == left


def test_periods_within_stops_at_the_end_of_the_window() -> None:
    """A window that ends before the schedule cuts it; one before its start leaves nothing."""
    item = commitment("val0", days=1)
    begin = TIME_MS // PERIOD_MS
    assert periods_within(item, TIME_MS, PERIOD_MS, begin + 10) == 10
    assert periods_within(item, TIME_MS, PERIOD_MS, begin) == 0
    assert periods_within(item, TIME_MS - DAY_MS, PERIOD_MS, begin - 5) == 0


@pytest.mark.parametrize("name", commitment("val0").__struct_fields__)
def test_a_statement_covers_the_whole_commitment(name: str) -> None:
    """Whatever is changed in the commitment, the attestor's signature no longer fits."""
    item = commitment("val0")
    signature = key("lab").sign(attestation_hash(NONCE, item, "lab", 5))
    assert verify(key("lab").public, attestation_hash(NONCE, item, "lab", 5), signature)
    value = getattr(item, name)
    if isinstance(value, tuple):
        other: object = value[:1] if value else (Attestation("a1", 5, bytes(64)),)
    else:
        other = value + ("x" if isinstance(value, str) else 1)
    changed = msgspec.structs.replace(item, **{name: other})
    still_fits = verify(key("lab").public, attestation_hash(NONCE, changed, "lab", 5), signature)
    assert still_fits == (name == "attestations")


def test_a_statement_covers_nonce_attestor_and_figure() -> None:
    """Another chain, another attestor or another figure is another statement."""
    item = commitment("val0")
    hashes = {
        attestation_hash(nonce, item, name, figure)
        for nonce in (bytes(32), bytes([1]) * 32)
        for name in ("lab", "lab2")
        for figure in (5, 6)
    }
    assert len(hashes) == 8
