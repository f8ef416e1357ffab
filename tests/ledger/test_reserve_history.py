"""Samples of how issuers stood: when one is due, how many are kept, which are shown."""

from __future__ import annotations

import pytest

from ledger import reserve_history, schema
from ledger.codec import encode_payload
from ledger.economy.reserve import Reserve, Solvency
from ledger.kv import MemoryKV
from ledger.membership import LICENCES_EVER_MAX
from ledger.objects import load_all
from ledger.reserve_history import (
    SAMPLE_BYTES_MAX,
    SAMPLES_A_PERIOD,
    IssuerSample,
    ReserveHistory,
    ReserveSample,
)
from ledger.schema import DamagedChain
from tests.ledger.world import PERIOD_MS, World

SPACING_MS = PERIOD_MS // SAMPLES_A_PERIOD


def grown(count: int) -> tuple[World, MemoryKV, ReserveHistory]:
    """So many samples, each from its own block, just as far apart as they must be."""
    world, kv = World(), MemoryKV()
    history = ReserveHistory(kv)
    for _ in range(count):
        world.advance([], after_ms=SPACING_MS)
        assert history.is_due(world.state)
        history.keep(world.state)
    return world, kv, history


def test_a_sample_says_what_the_state_says() -> None:
    world, _, history = grown(1)
    (sample,) = history.between(0, world.time_ms, 9)
    assert sample == ReserveSample.of(world.state)
    assert (sample.height, sample.time_ms) == (1, world.time_ms)
    held = {item.issuer: item for item in load_all(world.state, Reserve)}
    assert [line.issuer for line in sample.issuers] == sorted(held)
    for line in sample.issuers:
        of = held[line.issuer]
        assert (line.supply, line.reserve, line.solvency) == (of.supply, of.reserve, of.solvency)
        assert line.coverage_ppm == of.coverage_ppm > 0
        assert line.deliverability_ppm == of.deliverability_ppm > 0


def test_a_sample_is_due_after_a_quarter_of_a_period() -> None:
    world, _, history = grown(1)
    assert not history.is_due(world.state)
    world.advance([], after_ms=SPACING_MS - 1)
    assert not history.is_due(world.state)
    world.advance([], after_ms=1)
    assert history.is_due(world.state)


def test_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than there is room for: the oldest is gone, from the store as well."""
    monkeypatch.setattr(reserve_history, "SAMPLES_MAX", 3)
    world, kv, history = grown(5)
    assert len(history) == 3
    assert [item.height for item in history.between(0, world.time_ms, 9)] == [3, 4, 5]
    assert len(list(kv.scan(schema.SAMPLE, limit=9))) == 3
    again = ReserveHistory(kv)
    assert list(again.between(0, world.time_ms, 9)) == list(history.between(0, world.time_ms, 9))
    assert not again.is_due(world.state)


@pytest.mark.parametrize(
    ("points", "heights"),
    [(1, [1]), (2, [1, 9]), (3, [1, 5, 9]), (4, [1, 3, 6, 9]), (9, list(range(1, 10)))],
)
def test_points_are_spread_evenly(points: int, heights: list[int]) -> None:
    """First and last are always among them, and none is there twice."""
    world, _, history = grown(9)
    assert [item.height for item in history.between(0, world.time_ms, points)] == heights


def test_points_lie_between_the_moments() -> None:
    """Both ends count; nothing is there before the first and after the last."""
    world, _, history = grown(4)
    first = world.time_ms - 3 * SPACING_MS
    shown = [
        [item.height for item in history.between(since, until, 9)]
        for since, until in (
            (first, first),
            (first + 1, first + 2 * SPACING_MS),
            (0, first - 1),
            (world.time_ms + 1, world.time_ms + 9),
        )
    ]
    assert shown == [[1], [2, 3], [], []]


def test_the_largest_sample_fits() -> None:
    most = (1 << 63) - 1
    line = IssuerSample("x" * 32, most, most, most, Solvency.CAGED)
    sample = ReserveSample(most, most, (line,) * LICENCES_EVER_MAX)
    assert len(encode_payload(sample)) <= SAMPLE_BYTES_MAX


def test_a_lost_or_changed_sample_is_damage() -> None:
    world, kv, history = grown(1)
    kv.write({schema.sample_key(world.time_ms): b"\xc1"}, ())
    with pytest.raises(DamagedChain, match="cannot be read"):
        list(history.between(0, world.time_ms, 2))
    kv.write({}, [schema.sample_key(world.time_ms)])
    with pytest.raises(DamagedChain, match="missing"):
        list(history.between(0, world.time_ms, 2))
