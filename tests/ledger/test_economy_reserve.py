"""The reserve: one floor on the sum, coverage, deliverability, and the supply root."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.economy.capacity import Attestation, Attestor
from ledger.economy.reserve import (
    RATIO_PPM_MAX,
    CapacityBook,
    Reserve,
    ReserveStatus,
    supply_leaf,
    supply_line,
    supply_root,
)
from ledger.economy.standard import Factor, Standard
from ledger.merkle import merkle_proof, verify_merkle
from ledger.parameters import PPM
from tests.ledger.world import DAY_MS, PERIOD_MS, TIME_MS, World, commitment, parameters

ATTESTORS = [Attestor(name, name, name, bytes(32)) for name in ("north", "south")]


def book(figures: list[int], factors: tuple[int, int] = (1_500_000, 1_000_000)) -> CapacityBook:
    """One commitment of val0 for each figure, attested by two groups, of one day each."""
    inference, training = factors
    standard = Standard(
        1,
        (Factor("gpu-80g", "inference", inference), Factor("gpu-80g", "training", training)),
    )
    items = [
        msgspec.structs.replace(
            commitment("val0", name=f"c{index}", days=1),
            attestations=tuple(Attestation(a.id, figure, bytes(64)) for a in ATTESTORS),
        )
        for index, figure in enumerate(figures)
    ]
    return CapacityBook.of(parameters(), standard, ATTESTORS, items)


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
    hours = book(figures, (factor, factor + 1)).hours("val0", clock_ms)
    assert hours.reserve == exact.__floor__()
    assert hours.deliverable == hours.reserve


def test_the_least_factor_of_the_workloads_counts() -> None:
    """The holder chooses the workload, so the worst for the issuer is what backs."""
    periods = DAY_MS // PERIOD_MS
    assert book([PPM]).hours("val0", TIME_MS).reserve == periods * PPM
    assert book([PPM], (400_000, 9 * PPM)).hours("val0", TIME_MS).reserve == periods * 400_000


def test_deliverable_is_what_falls_due_in_seven_days() -> None:
    """Thirty days of hours: seven of them are deliverable."""
    world = World()
    hours = world.genesis.capacity_book.hours("val0", TIME_MS)
    assert hours.reserve * 7 == hours.deliverable * 30
    assert world.genesis.capacity_book.hours("nobody", TIME_MS).reserve == 0


@given(
    supply=st.integers(0, 10**12), reserve=st.integers(0, 10**12), margin=st.integers(0, 400_000)
)
def test_headroom_leaves_exactly_the_margin(supply: int, reserve: int, margin: int) -> None:
    """Minting all headroom satisfies O <= (1 - h) R; one µ more does not."""
    item = Reserve(bytes(32), "val0", supply, reserve, 0)
    headroom = item.headroom(margin)
    if headroom:
        assert (supply + headroom) * PPM <= reserve * (PPM - margin)
    assert (supply + headroom + 1) * PPM > reserve * (PPM - margin)


@pytest.mark.parametrize(
    ("supply", "reserve", "coverage", "status"),
    [
        (0, 0, RATIO_PPM_MAX, ReserveStatus.HEALTHY),
        (100, 100, PPM, ReserveStatus.HEALTHY),
        (100, 99, 990_000, ReserveStatus.DEFICIT),
        (3, 1, 333_333, ReserveStatus.DEFICIT),
        (1, 10**9, RATIO_PPM_MAX, ReserveStatus.HEALTHY),
    ],
)
def test_coverage_and_status(
    supply: int, reserve: int, coverage: int, status: ReserveStatus
) -> None:
    """Ratios floor, end at a thousandfold; health is O <= R to the unit."""
    item = Reserve(bytes(32), "val0", supply, reserve, reserve)
    assert (item.coverage_ppm, item.deliverability_ppm, item.status) == (coverage, coverage, status)


def test_supply_root_proves_each_asset_and_no_other() -> None:
    """The order of reserves does not count; each line proves against the root."""
    reserves = [Reserve(bytes([index]) * 32, f"v{index}", index, 9, 9) for index in range(5)]
    root = supply_root(reserves)
    assert supply_root(reserves[::-1]) == root
    leaves = [supply_leaf(supply_line(item)) for item in reserves]
    for index, leaf in enumerate(leaves):
        assert verify_merkle(root, leaf, merkle_proof(leaves, index))
    richer = msgspec.structs.replace(reserves[0], supply=7)
    assert supply_root([richer, *reserves[1:]]) != root
