"""The reserve: one floor on the sum, coverage, deliverability, and the supply root."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import codec
from ledger.codec import AMOUNT_LIMIT
from ledger.economy.capacity import (
    Attestation,
    CapacityCommitment,
    CommitmentState,
    Measure,
)
from ledger.economy.reserve import (
    RATIO_PPM_MAX,
    Hours,
    Reserve,
    Solvency,
    hours_of,
    judged,
    supply_leaf,
    supply_line,
    supply_root,
)
from ledger.economy.standard import Factor, factor_table
from ledger.merkle import merkle_proof, verify_merkle
from ledger.parameters import PPM
from tests.ledger.world import DAY_MS, PERIOD_MS, TIME_MS, World, parameters, terms

replace = msgspec.structs.replace


def hours(
    figures: list[int], factors: tuple[int, int] = (1_500_000, 1_000_000), clock_ms: int = TIME_MS
) -> Hours:
    """Of one commitment for each figure, attested by two groups, of one day each."""
    inference, training = factors
    table = factor_table(
        (Factor("gpu-80g", "inference", inference), Factor("gpu-80g", "training", training))
    )
    items = [
        CapacityCommitment(
            terms=terms("val0", name=f"c{index}", days=1),
            state=CommitmentState.LIVE,
            version=0,
            since_ms=TIME_MS,
            born=0,
            devices=60,
            attestations=tuple(
                Attestation(name, figure, TIME_MS, TIME_MS + DAY_MS, ())
                for name in ("north", "south")
            ),
            pledged_in=0,
            devices_before=0,
            delivered_in=0,
            delivered=0,
        )
        for index, figure in enumerate(figures)
    ]
    groups = {"north": "north", "south": "south"}
    measure = Measure(groups, 2, PERIOD_MS, 7 * DAY_MS, clock_ms)
    return hours_of(items, table, measure)


@given(
    st.lists(st.integers(0, 10**6), max_size=5),
    st.integers(1, 10**7),
    st.integers(0, 2 * DAY_MS),
)
def test_the_sum_is_floored_once(figures: list[int], factor: int, after_ms: int) -> None:
    """R equals the floor of the exact sum, worked out in fractions and period by period."""
    clock_ms = TIME_MS + after_ms
    exact = Fraction(0)
    for figure in figures:
        for begin in range(TIME_MS, TIME_MS + DAY_MS, PERIOD_MS):
            if begin + PERIOD_MS > clock_ms:
                exact += Fraction(figure * factor, PPM)
    found = hours(figures, (factor, factor + 1), clock_ms)
    assert found.reserve == exact.__floor__()
    assert found.deliverable == found.reserve


def test_a_reserve_beyond_any_amount_is_the_largest_amount() -> None:
    """R and what is due are written into an object and proved by a header: both take no more."""
    found = hours([PPM], (1 << 62, 1 << 62))
    assert (found.reserve, found.deliverable) == (AMOUNT_LIMIT - 1, AMOUNT_LIMIT - 1)
    empty = Reserve.empty(bytes(32), "val0", 0)
    item = judged(empty, found, is_short=False, clock_ms=5, parameters=parameters())
    assert codec.decode(codec.encode(item), Reserve, size_max=1_000) == item
    assert supply_leaf(supply_line(item))


def test_the_least_factor_of_the_workloads_counts() -> None:
    """The holder chooses the workload, so the worst for the issuer is what backs."""
    periods = DAY_MS // PERIOD_MS
    assert hours([PPM]).reserve == periods * PPM
    assert hours([PPM], (400_000, 9 * PPM)).reserve == periods * 400_000


def test_deliverable_is_what_falls_due_in_seven_days() -> None:
    """Thirty days of hours: seven of them are deliverable."""
    world = World()
    found = world.genesis.hours("val0")
    assert found.reserve * 7 == found.deliverable * 30
    assert world.genesis.hours("nobody").reserve == 0


@given(
    supply=st.integers(0, 10**12), reserve=st.integers(0, 10**12), margin=st.integers(0, 400_000)
)
def test_headroom_leaves_exactly_the_margin(supply: int, reserve: int, margin: int) -> None:
    """Minting all headroom satisfies O <= (1 - h) R; one µ more does not."""
    item = replace(Reserve.empty(bytes(32), "val0", 0), supply=supply, reserve=reserve)
    headroom = item.headroom(margin)
    if headroom:
        assert (supply + headroom) * PPM <= reserve * (PPM - margin)
    assert (supply + headroom + 1) * PPM > reserve * (PPM - margin)


@pytest.mark.parametrize(
    ("supply", "reserve", "coverage", "solvency"),
    [
        (0, 0, RATIO_PPM_MAX, Solvency.HEALTHY),
        (80, 100, 1_250_000, Solvency.HEALTHY),
        (81, 100, 1_234_567, Solvency.WARN),
        (100, 100, PPM, Solvency.WARN),
        (100, 99, 990_000, Solvency.DEFICIT),
        (3, 1, 333_333, Solvency.DEFICIT),
        (1, 10**9, RATIO_PPM_MAX, Solvency.HEALTHY),
    ],
)
def test_coverage_and_band(supply: int, reserve: int, coverage: int, solvency: Solvency) -> None:
    """Ratios floor, end at a thousandfold; bands are exact to the unit."""
    empty = replace(Reserve.empty(bytes(32), "val0", 0), supply=supply)
    found = Hours(reserve, reserve, is_frozen=False)
    item = judged(empty, found, is_short=False, clock_ms=5, parameters=parameters())
    assert (item.coverage_ppm, item.deliverability_ppm) == (coverage, coverage)
    assert item.solvency is solvency


def test_supply_root_proves_each_asset_and_no_other() -> None:
    """The order of reserves does not count; each line proves against the root."""
    reserves = [
        replace(Reserve.empty(bytes([index]) * 32, f"v{index}", 0), supply=index, reserve=9)
        for index in range(5)
    ]
    root = supply_root(reserves)
    assert supply_root(reserves[::-1]) == root
    leaves = [supply_leaf(supply_line(item)) for item in reserves]
    for index, leaf in enumerate(leaves):
        assert verify_merkle(root, leaf, merkle_proof(leaves, index))
    richer = replace(reserves[0], supply=7)
    assert supply_root([richer, *reserves[1:]]) != root
