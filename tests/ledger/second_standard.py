"""Steps of the standard a second time; it imports nothing of the node.

A standard is [version, factors, references, since], a factor [class, workload, factor], a reference
[workload, units], a step [state, version, since, ends, factors, references].
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

from tests.ledger.second_roots import State
from tests.ledger.second_shape import need

NOTICED = 2
MILLION = 10**6


def propose(state: State, version: int, raised: list[Any], added: list[Any]) -> None:
    """Operation 41."""
    standing, factors, references, since_ms = state.get("Standard")
    held = state.get("StandardStep")
    need(version == standing + 1, "wrong_version")
    need(held is None or held[0] != NOTICED, "step_open")
    need(bool(raised or added), "bad_standard")
    need([item[0] for item in raised] == sorted({item[0] for item in raised}), "bad_standard")
    places = [tuple(item[:2]) for item in added]
    need(places == sorted(set(places)), "bad_standard")
    units = dict(references)
    after = {**units, **dict(raised)}
    need(len(factors) + len(added) <= 256 and len(after) <= 64, "too_many")
    need(all(new > units.get(name, 0) for name, new in raised), "reference_falls")
    known = {tuple(item[:2]) for item in factors}
    need(not known.intersection(places), "bad_standard")
    need({work for _, work in known.union(places)} == set(after), "bad_standard")
    stepped = []
    for name, work, old in factors:
        new = ceil(Fraction(old * units[work], after[work]))
        least = Fraction(old * (MILLION - state.economy.step_ppm), MILLION)
        need(new >= least, "cut_too_large")
        stepped.append([name, work, new])
    wait_ms = max(
        state.clock_ms + state.economy.notice_ms, since_ms + state.economy.step_spacing_ms
    )
    ends_ms = ceil(Fraction(wait_ms, state.period_ms)) * state.period_ms
    numbers = [[*stepped, *added], [[name, after[name]] for name in sorted(after)]]
    state.put("StandardStep", b"", [NOTICED, version, state.clock_ms, ends_ms, *numbers])


def withdraw(state: State, since_ms: int) -> None:
    """Operation 42."""
    held = state.get("StandardStep")
    need(held is not None and held[0] == NOTICED and held[2] == since_ms, "no_step")
    state.drop("StandardStep", b"")


def take_step(state: State) -> None:
    """At a period's start: what has ended lapses or is in force."""
    held = state.get("StandardStep")
    if held is None or state.clock_ms < held[3]:
        return
    state.drop("StandardStep", b"")
    if held[0] == NOTICED:
        past = state.get("Standard")
        state.put("PastStandard", past[0].to_bytes(4, "big"), [past, held[3]])
        state.put("Standard", b"", [held[1], held[4], held[5], held[3]])
