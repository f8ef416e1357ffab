"""The schedule of a chaos run: from the seed alone, never more than it may disturb."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.devnet.chaos_plan import LENGTH_MS_MIN, SEED_MAX, SOFT, Fault, Schedule, draw
from ledger.validators import fault_limit

MINUTE_MS = 60_000

seeds = st.integers(0, SEED_MAX)
sizes = st.integers(4, 32)
lengths = st.integers(LENGTH_MS_MIN, 10 * MINUTE_MS)


def names(count: int) -> list[str]:
    return [f"val{index}" for index in range(count)]


def schedule(
    seed: int,
    length_ms: int = MINUTE_MS,
    count: int = 4,
    *,
    hard: bool = False,
    kinds: Collection[Fault] = SOFT,
) -> Schedule:
    return draw(seed, length_ms=length_ms, nodes=names(count), hard=hard, kinds=kinds)


@settings(deadline=None)
@given(seeds, lengths, sizes, st.booleans())
def test_same_seed_same_schedule(seed: int, length_ms: int, count: int, hard: bool) -> None:
    """Everything equal gives equal bytes, and what was written can be read again."""
    kinds = tuple(Fault) if hard else SOFT
    first = schedule(seed, length_ms, count, hard=hard, kinds=kinds)
    data = msgspec.json.encode(first)
    assert data == msgspec.json.encode(schedule(seed, length_ms, count, hard=hard, kinds=kinds))
    assert msgspec.json.decode(data, type=Schedule) == first


def test_schedule_of_a_seed_is_fixed() -> None:
    """A published seed means the same faults in every version: these are written down here."""
    steps = [
        (step.at_ms, step.fault.value, step.nodes, step.length_ms, step.delay_ms)
        for step in schedule(1, 30_000).steps
    ]
    assert steps == FIRST_OF_SEED_1


@settings(deadline=None)
@given(seeds, lengths, sizes)
def test_at_most_f_at_once(seed: int, length_ms: int, count: int) -> None:
    """At each beginning no more than f are disturbed, each one once, all within the run."""
    made = schedule(seed, length_ms, count)
    for step in made.steps:
        assert made.disturbed(step.at_ms) <= fault_limit(count)
        assert len(set(step.nodes)) == len(step.nodes)
        assert step.length_ms > 0
        assert step.end_ms <= length_ms
        assert set(step.nodes) <= set(names(count))
    for step in made.steps:
        for other in made.steps:
            if other is not step and other.at_ms <= step.at_ms < other.clear_ms:
                assert not set(step.nodes) & set(other.nodes)


@settings(deadline=None)
@given(seeds, sizes)
def test_hard_goes_beyond_f_but_never_beyond_all(seed: int, count: int) -> None:
    """With --hard up to all are disturbed, and nobody is taken twice."""
    made = schedule(seed, 5 * MINUTE_MS, count, hard=True, kinds=tuple(Fault))
    most = max(made.disturbed(step.at_ms) for step in made.steps)
    assert fault_limit(count) < most <= count


@pytest.mark.parametrize("hard", [False, True])
def test_all_kinds_occur(hard: bool) -> None:
    """Over some seeds every kind is drawn, and every node is taken."""
    kinds = tuple(Fault) if hard else SOFT
    steps = [step for seed in range(40) for step in schedule(seed, hard=hard, kinds=kinds).steps]
    assert {step.fault for step in steps} == set(kinds)
    assert {name for step in steps for name in step.nodes} == set(names(4))
    assert all((step.delay_ms > 0) == (step.fault is Fault.DELAY) for step in steps)


@settings(deadline=None)
@given(seeds, st.sets(st.sampled_from(SOFT), min_size=1))
def test_only_chosen_kinds(seed: int, kinds: set[Fault]) -> None:
    """What was not asked for does not happen; something does."""
    made = schedule(seed, kinds=kinds)
    assert made.steps
    assert {step.fault for step in made.steps} <= kinds


def test_halves_need_everybody() -> None:
    """Halves never begin while somebody else is disturbed, and without --hard never at all."""
    for seed in range(20):
        made = schedule(seed, hard=True, kinds=(Fault.HALVES, Fault.KILL))
        for step in made.steps:
            if step.fault is Fault.HALVES:
                assert made.disturbed(step.at_ms) == len(step.nodes) == 2
    assert schedule(1, kinds=(Fault.HALVES,)).steps == ()


def test_primary_is_nobody_by_name() -> None:
    """Whom it befalls is known when it begins; the schedule names nobody, and counts one."""
    made = schedule(1, kinds=(Fault.PRIMARY,))
    assert {step.nodes for step in made.steps} == {()}
    assert {step.weight for step in made.steps} == {1}


FIRST_OF_SEED_1 = [
    (1855, "delay", ("val3",), 3447, 172),
    (7889, "delay", ("val2",), 6357, 278),
    (15573, "primary", (), 6297, 0),
    (27694, "primary", (), 2306, 0),
]
