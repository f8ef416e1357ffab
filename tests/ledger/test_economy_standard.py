"""Numbers of the standard by themselves: how factors follow, and why a step breaks no coin."""

from __future__ import annotations

import msgspec
from hypothesis import assume, event, given
from hypothesis import strategies as st

from ledger.economy.capacity import Attestation, CapacityCommitment, CommitmentState, Measure
from ledger.economy.reserve import hours_of, margin_limit
from ledger.economy.standard import UNITS_MAX, Factor, Reference, Standard, factor_table
from ledger.economy.step import StandardStep, cut_ppm, propose
from ledger.parameters import PPM
from ledger.reasons import Invalid, Reason
from tests.ledger.world import DAY_MS, PERIOD_MS, TIME_MS, economy, terms

replace = msgspec.structs.replace
CLASSES = ("gpu-24g", "gpu-80g", "tpu")
WORKLOADS = ("inference", "training")
MEASURE = Measure({"north": "north", "south": "south"}, 2, PERIOD_MS, 7 * DAY_MS, TIME_MS)
FACTORS = st.one_of(st.integers(1, 30), st.integers(1, 5_000_000))
DELTA = st.integers(1, 400_000)


@st.composite
def standards(draw: st.DrawFn) -> Standard:
    """Of every class and workload."""
    factors = tuple(Factor(name, work, draw(FACTORS)) for name in CLASSES for work in WORKLOADS)
    units = st.one_of(st.integers(1, 100), st.integers(1, UNITS_MAX // 2))
    return Standard(1, factors, tuple(Reference(work, draw(units)) for work in WORKLOADS), TIME_MS)


@st.composite
def steps(draw: st.DrawFn, standard: Standard, delta: int) -> StandardStep:
    """As far as may be, in the mean: one that the rules refuse is tried no further."""
    raised = []
    for item in standard.references:
        most = item.units * PPM // (PPM - delta) + 1
        units = draw(st.one_of(st.just(most), st.just(most - 1), st.integers(item.units, most)))
        if units > item.units:
            raised.append(Reference(item.workload, units))
    assume(raised)
    try:
        return propose(
            standard,
            tuple(raised),
            (),
            clock_ms=TIME_MS,
            period_ms=PERIOD_MS,
            economy=replace(economy(), step_ppm=delta),
        )
    except Invalid as error:
        assert error.reason is Reason.CUT_TOO_LARGE
        event("refused")
        assume(False)
        raise


@st.composite
def commitments(draw: st.DrawFn) -> list[CapacityCommitment]:
    """Several of one issuer, of whatever class for whatever workloads, from a few µh on."""
    made = []
    for index in range(draw(st.integers(1, 6))):
        figure = draw(st.one_of(st.integers(0, 20), st.integers(0, 900_000)))
        works = draw(st.sets(st.sampled_from(WORKLOADS), min_size=1).map(sorted))
        said = replace(
            terms("val0", name=f"c{index}", days=1),
            device_class=draw(st.sampled_from(CLASSES)),
            workloads=tuple(works),
            to_ms=TIME_MS + draw(st.integers(1, 5)) * PERIOD_MS,
        )
        words = tuple(
            Attestation(name, figure, TIME_MS, said.to_ms, ()) for name in ("north", "south")
        )
        made.append(
            CapacityCommitment(said, CommitmentState.LIVE, 0, TIME_MS, 0, 60, words, 0, 0, 0, 0)
        )
    return made


@given(st.data(), standards(), DELTA, commitments())
def test_within_the_margin_before_is_covered_after(
    data: st.DataObject, standard: Standard, delta: int, items: list[CapacityCommitment]
) -> None:
    """O <= floor((1 - h) R) before implies O <= R after, for every h from delta up: the most that
    may be outstanding is covered, whatever the hours, their classes and workloads."""
    step = data.draw(steps(standard, delta))
    margin = data.draw(st.integers(delta, 400_000))
    before = hours_of(items, factor_table(standard.factors), MEASURE).reserve
    after = hours_of(items, factor_table(step.factors), MEASURE).reserve
    assert margin_limit(before, margin) <= after <= before


@given(st.data(), standards(), DELTA)
def test_factors_follow_from_throughput(
    data: st.DataObject, standard: Standard, delta: int
) -> None:
    """None rises, none is cut by more than delta or than throughput rose, none ends."""
    step = data.draw(steps(standard, delta))
    units = {item.workload: item.units for item in standard.references}
    after = {item.workload: item.units for item in step.references}
    assert all(after[work] >= units[work] for work in units)
    for old, new in zip(standard.factors, step.factors, strict=True):
        assert (old.device_class, old.workload) == (new.device_class, new.workload)
        assert 1 <= new.factor <= old.factor
        assert new.factor * PPM >= old.factor * (PPM - delta)
        exact = old.factor * units[old.workload]
        assert 0 <= new.factor * after[old.workload] - exact < after[old.workload]
    assert 0 <= cut_ppm(standard, step.factors) <= delta


def test_a_floor_for_each_commitment_would_break_coins() -> None:
    """Why R is floored once on the sum: of many small commitments each would lose up to 1 µ."""
    words = tuple(Attestation(name, 1, TIME_MS, TIME_MS + PERIOD_MS, ()) for name in ("a", "b"))
    said = replace(terms("val0"), to_ms=TIME_MS + PERIOD_MS)
    items = [
        CapacityCommitment(said, CommitmentState.LIVE, 0, TIME_MS, 0, 60, words, 0, 0, 0, 0)
    ] * 100
    measure = Measure({"a": "a", "b": "b"}, 2, PERIOD_MS, 7 * DAY_MS, TIME_MS)
    old = {("gpu-80g", "inference"): 2_000_000, ("gpu-80g", "training"): 1_000_000}
    new = {("gpu-80g", "inference"): 2_000_000, ("gpu-80g", "training"): 900_000}
    apart = [sum(hours_of([x], table, measure).reserve for x in items) for table in (old, new)]
    whole = [hours_of(items, table, measure).reserve for table in (old, new)]
    assert (apart, whole) == ([100, 0], [100, 90])
