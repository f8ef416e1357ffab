"""Steps of the standard a second time; it imports nothing of the node.

A standard is [version, factors, references, since], a factor [class, workload, factor], a reference
[workload, units], a step [state, version, since, ends, factors, references]; what receipts told is
[class, workload, µ, µh].
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

from tests.ledger.second_redemption_values import Redemption
from tests.ledger.second_roots import State
from tests.ledger.second_shape import need
from tests.ledger.second_standing import CONTESTED, LIVE, now

DRAFT, NOTICED = 1, 2
MILLION = 10**6
FULL = 2**63 - 1


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
    stepped = _stepped(factors, units, after)
    for (_, _, old), (_, _, new) in zip(factors, stepped, strict=True):
        least = Fraction(old * (MILLION - state.economy.step_ppm), MILLION)
        need(new >= least, "cut_too_large")
    wait_ms = max(
        state.clock_ms + state.economy.notice_ms, since_ms + state.economy.step_spacing_ms
    )
    _put(state, NOTICED, wait_ms, [*stepped, *added], after)


def _stepped(factors: list[Any], units: dict[str, int], after: dict[str, int]) -> list[Any]:
    """A device delivers as much as before."""
    return [
        [name, work, ceil(Fraction(old * units[work], after[work]))] for name, work, old in factors
    ]


def _put(state: State, kind: int, wait_ms: int, factors: list[Any], after: dict[str, int]) -> None:
    """What ends with the first whole period from a moment on."""
    ends_ms = ceil(Fraction(wait_ms, state.period_ms)) * state.period_ms
    numbers = [factors, [[name, after[name]] for name in sorted(after)]]
    version = state.get("Standard")[0] + 1
    state.put("StandardStep", b"", [kind, version, state.clock_ms, ends_ms, *numbers])


def withdraw(state: State, since_ms: int) -> None:
    """Operation 42."""
    held = state.get("StandardStep")
    need(held is not None and held[0] == NOTICED and held[2] == since_ms, "no_step")
    state.drop("StandardStep", b"")


def hear(state: State, order: Redemption, work: int, time: int) -> None:
    """A receipt of so many µ and µh more. The trigger twice over is as fast as one may seem, half
    of what is expected as slow."""
    commitment = now(state, "CapacityCommitment", order.book)
    if commitment is None or commitment[1] not in (LIVE, CONTESTED):
        return
    _, factors, references, _ = state.get("Standard")
    place = [commitment[0][2], order.workload]
    speed = Fraction(next(item[2] for item in factors if item[:2] == place), MILLION)
    work = floor(Fraction(work * order.units, dict(references)[order.workload]))
    time = min(time, floor(2 * work / speed))
    work = min(work, floor(time * speed * (1 + 2 * Fraction(state.economy.trigger_ppm, MILLION))))
    if work:
        identity = "\0".join(place).encode()
        *_, work_then, time_then = state.get("Throughput", identity) or [0, 0]
        sums = [min(work_then + work, FULL), min(time_then + time, FULL)]
        state.put("Throughput", identity, [*place, *sums])


def take_step(state: State) -> None:
    """At a period's start: what has ended lapses or is in force, else receipts are heard."""
    told = state.all("Throughput")
    for name, work, *_ in told:
        state.drop("Throughput", f"{name}\0{work}".encode())
    held = state.get("StandardStep")
    if held is None:
        _draft(state, told)
        return
    if state.clock_ms < held[3]:
        return
    state.drop("StandardStep", b"")
    if held[0] == NOTICED:
        past = state.get("Standard")
        state.put("PastStandard", past[0].to_bytes(4, "big"), [past, held[3]])
        state.put("Standard", b"", [held[1], held[4], held[5], held[3]])
    else:
        _draft(state, told)


def _draft(state: State, told: list[Any]) -> None:
    """Each workload rises as half of the time of its devices did, where that is enough."""
    _, factors, references, _ = state.get("Standard")
    expected = {(name, work): factor for name, work, factor in factors}
    units, after = dict(references), dict(references)
    for work, before in references:
        speeds = sorted(
            (Fraction(amount * MILLION, time * expected[name, work]), time)
            for name, of, amount, time in told
            if of == work
        )
        total = sum(time for _, time in speeds)
        reached = [
            speed
            for place, (speed, _) in enumerate(speeds)
            if sum(time for _, time in speeds[: place + 1]) >= Fraction(total, 2)
        ]
        ppm = floor(min(reached, default=Fraction(0)) * MILLION)
        most = floor(Fraction(before * MILLION, MILLION - state.economy.step_ppm))
        if ppm >= MILLION + state.economy.trigger_ppm:
            after[work] = max(before, min(floor(Fraction(before * ppm, MILLION)), most, 2**40))
    if after != units:
        wait_ms = state.clock_ms + state.economy.notice_ms
        _put(state, DRAFT, wait_ms, _stepped(factors, units, after), after)
