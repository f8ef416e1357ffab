"""Capacity: which hours count, for which periods, and what a statement of genesis covers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.crypto import verify
from ledger.economy.capacity import (
    Attestation,
    CapacityCommitment,
    CommitmentState,
    Measure,
    counted,
    stretches,
)
from ledger.economy.reserve import hours_of
from ledger.genesis import attestation_hash
from ledger.parameters import PPM
from tests.ledger.world import DAY_MS, PERIOD_MS, TIME_MS, commitment, key, terms

NONCE = bytes(32)
GROUPS = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
MEASURE = Measure(GROUPS, 2, PERIOD_MS, 7 * DAY_MS, TIME_MS)
replace = msgspec.structs.replace


def held(devices: int = 60, **figures: int) -> CapacityCommitment:
    attestations = tuple(
        Attestation(name, value, TIME_MS, terms("val0").to_ms, ())
        for name, value in figures.items()
    )
    return CapacityCommitment(
        terms("val0"), CommitmentState.LIVE, 0, TIME_MS, 0, devices, attestations, 0, 0, 0, 0
    )


@pytest.mark.parametrize(
    ("figures", "counts"),
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
        ({"a1": 9, "z9": 9}, 0),
    ],
)
def test_the_second_highest_of_distinct_groups_counts(figures: dict[str, int], counts: int) -> None:
    """k = 2: one group alone is worth nothing, a group speaks once, by its highest, and who is no
    attestor says nothing."""
    assert counted(held(**figures), MEASURE) == counts


@given(st.dictionaries(st.sampled_from(sorted(GROUPS)), st.integers(0, 100)), st.integers(0, 999))
def test_one_group_can_neither_raise_nor_sink_what_two_others_say(
    figures: dict[str, int], hostile: int
) -> None:
    """With two honest groups that agree on 50, a third may say what it likes."""
    assert counted(held(a1=50, b1=50, c1=hostile), MEASURE) == 50
    assert counted(held(**figures), MEASURE) <= max(figures.values(), default=0)


def test_no_more_counts_than_the_pledged_devices_can_deliver() -> None:
    """A device delivers 16,666 µh a minute; without any nothing counts."""
    for devices, counts in ((0, 0), (1, 16_666), (59, 983_333), (60, 999_999), (61, 999_999)):
        assert counted(held(devices, a1=999_999, b1=999_999), MEASURE) == counts


def test_current_and_future_periods_count_as_whole_ones() -> None:
    """At the start all, inside a period still that one, at the end none."""
    item = held(a1=9, b1=7)
    end_ms, begin = item.terms.to_ms, TIME_MS // PERIOD_MS
    end = end_ms // PERIOD_MS
    for clock_ms, first in (
        (TIME_MS - 5 * DAY_MS, begin),
        (TIME_MS, begin),
        (TIME_MS + PERIOD_MS - 1, begin),
        (TIME_MS + PERIOD_MS, begin + 1),
        (end_ms - 1, end - 1),
        (end_ms, end),
        (end_ms + 5 * DAY_MS, end),
    ):
        measure = Measure(GROUPS, 2, PERIOD_MS, 60 * DAY_MS, clock_ms)
        found = [(begins, ends) for _, begins, ends in stretches(item, measure)]
        assert found == ([(first, end)] if first < end else [])


def test_each_hour_counts_as_far_as_it_was_attested() -> None:
    """Three groups vouched for a schedule that grew twice: the last stretch has one of them only,
    the one before the lower figure of two, the first the second highest of three."""
    begin, ends = TIME_MS // PERIOD_MS, [DAY_MS, 2 * DAY_MS, 3 * DAY_MS]
    said = zip(("a1", "b1", "c1"), (9, 5, 7), ends, strict=True)
    item = replace(
        held(),
        terms=terms("val0", days=3),
        attestations=tuple(
            Attestation(name, figure, TIME_MS, TIME_MS + end, ()) for name, figure, end in said
        ),
    )
    first, second = begin + ends[0] // PERIOD_MS, begin + ends[1] // PERIOD_MS
    assert list(stretches(item, MEASURE)) == [(5, first, second), (7, begin, first)]


def test_no_period_before_the_beginning_counts() -> None:
    """Ten days ahead for one; a third group speaks of less: where its word ends begins nothing."""
    begins_ms = TIME_MS + 10 * DAY_MS
    for until_ms in (TIME_MS + PERIOD_MS, begins_ms - PERIOD_MS, begins_ms):
        ends_ms = (begins_ms + DAY_MS, begins_ms + DAY_MS, until_ms)
        said = zip(("a1", "b1", "c1"), (9, 7, 8), ends_ms, strict=True)
        item = promised(9, begins_ms, DAY_MS, said)
        begin = begins_ms // PERIOD_MS
        assert list(stretches(item, MEASURE)) == [(7, begin, begin + DAY_MS // PERIOD_MS)]


def promised(
    microhours: int, from_ms: int, length_ms: int, said: Iterable[tuple[str, int, int]]
) -> CapacityCommitment:
    """So many µh a period; words are (attestor, figure, until when)."""
    changed = replace(
        terms("val0"), microhours=microhours, from_ms=from_ms, to_ms=from_ms + length_ms
    )
    words = tuple(Attestation(name, figure, TIME_MS, end, ()) for name, figure, end in said)
    return replace(held(), terms=changed, attestations=words)


@given(
    st.integers(-5, 5),
    st.integers(1, 5),
    st.dictionaries(
        st.sampled_from(sorted(GROUPS)), st.tuples(st.integers(0, 9), st.integers(-6, 10))
    ),
)
def test_hours_never_exceed_what_is_promised_for_periods_to_come(
    begin: int, length: int, said: dict[str, tuple[int, int]]
) -> None:
    """However far words reach: not beyond µh x factor x periods, none twice, none that is over or
    has not begun; each counts the second highest of the groups that reach its end."""
    words = ((name, figure, TIME_MS + end * PERIOD_MS) for name, (figure, end) in said.items())
    item = promised(9, TIME_MS + begin * PERIOD_MS, length * PERIOD_MS, words)
    left = range(max(begin, 0), begin + length)
    now, counts = TIME_MS // PERIOD_MS, dict.fromkeys(left, 0)
    for figure, first, end in stretches(item, MEASURE):
        for period in range(first - now, end - now):
            assert period in left
            assert counts[period] == 0
            counts[period] = figure
    for period, figure in counts.items():
        best: dict[str, int] = {}
        for name, (microhours, end) in said.items():
            if end > period:
                best[GROUPS[name]] = max(microhours, best.get(GROUPS[name], 0))
        assert figure == (sorted(best.values())[-2] if len(best) > 1 else 0)
    factor = 1_500_000
    factors = {(item.terms.device_class, name): factor for name in item.terms.workloads}
    assert hours_of([item], factors, MEASURE).reserve <= 9 * factor * len(left) // PPM


@pytest.mark.parametrize("name", [*terms("val0").__struct_fields__, "devices"])
def test_a_statement_covers_terms_and_devices(name: str) -> None:
    """Whatever is changed in the commitment, the attestor's signature no longer fits."""
    item = commitment("val0")
    signature = key("lab").sign(attestation_hash(NONCE, item, "lab", 5))
    assert verify(key("lab").public, attestation_hash(NONCE, item, "lab", 5), signature)
    if name == "devices":
        changed = replace(item, devices=item.devices[1:])
    else:
        value = getattr(item.terms, name)
        if isinstance(value, tuple):
            other: object = value[:1]
        else:
            other = value + ("x" if isinstance(value, str) else 1)
        changed = replace(item, terms=replace(item.terms, **{name: other}))
    assert not verify(key("lab").public, attestation_hash(NONCE, changed, "lab", 5), signature)


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
