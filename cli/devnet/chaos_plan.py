"""The schedule of a chaos run: from a seed alone, before anything begins. Pure.

The same seed, length, nodes and kinds give the same schedule on every machine and version of
Python: chance is SHA-256 in counter mode. At most f validators are disturbed at once, and one
counts as disturbed until it had time to come back, so that the others can go on all the while.
With `hard` any number may be, and a network may be parted so that nobody has a quorum.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum

import msgspec

from ledger.crypto import tagged_hash
from ledger.validators import fault_limit

SEED_MAX = (1 << 63) - 1
LENGTH_MS_MIN = 5_000
LENGTH_MS_MAX = 24 * 3_600_000
FIRST_MS = 1_000
"""The load runs before the first fault."""
PAUSE_MS_MAX = 2_000
"""Longest time between an end of what stood in the way and the next beginning."""
SHORTEST_MS = 500
"""Less is left at the end of a run: no fault begins any more."""

_chance = tagged_hash("devnet-chaos")


class Fault(Enum):
    """What may happen."""

    KILL = "kill"
    RESTART = "restart"
    PAUSE = "pause"
    ISOLATE = "isolate"
    PRIMARY = "primary"
    ONE_WAY = "one-way"
    DELAY = "delay"
    HALVES = "halves"

    @property
    def is_of_links(self) -> bool:
        """Needs the devnet's forwarder."""
        return self not in (Fault.KILL, Fault.RESTART, Fault.PAUSE)


SOFT = tuple(fault for fault in Fault if fault is not Fault.HALVES)
"""What f validators may suffer."""

_LENGTH_MS = {
    Fault.KILL: (1_000, 6_000),
    Fault.RESTART: (100, 2_000),
    Fault.PAUSE: (1_500, 8_000),
    Fault.ISOLATE: (2_500, 10_000),
    Fault.PRIMARY: (2_500, 10_000),
    Fault.ONE_WAY: (2_500, 10_000),
    Fault.DELAY: (2_500, 10_000),
    Fault.HALVES: (2_500, 8_000),
}
"""Shortest and longest: from less than a view's timeout to several."""
_RECOVERY_MS = {
    Fault.KILL: 6_000,
    Fault.RESTART: 6_000,
    Fault.PAUSE: 2_000,
    Fault.ISOLATE: 4_000,
    Fault.PRIMARY: 4_000,
    Fault.ONE_WAY: 4_000,
    Fault.DELAY: 1_000,
    Fault.HALVES: 4_000,
}
"""For an interpreter, the audit of the last blocks and catching up; for dialling again."""
_DELAY_MS = (20, 500)
"""Each way. More than half a view's timeout is as good as a cut."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `nodes` is empty where it befalls whoever is primary when it begins."""

    at_ms: int
    fault: Fault
    nodes: tuple[str, ...]
    length_ms: int
    delay_ms: int = 0

    @property
    def end_ms(self) -> int:
        return self.at_ms + self.length_ms

    @property
    def clear_ms(self) -> int:
        """From here on whom it befell is taken as well again."""
        return self.end_ms + _RECOVERY_MS[self.fault]

    @property
    def weight(self) -> int:
        """Validators that it disturbs."""
        return max(1, len(self.nodes))


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Steps by their beginning."""

    seed: int
    length_ms: int
    hard: bool
    limit: int
    """At most so many validators are disturbed at once, unless it is hard."""
    steps: tuple[Step, ...]

    def disturbed(self, at_ms: int) -> int:
        """How many validators are disturbed at this moment."""
        return sum(step.weight for step in self.steps if step.at_ms <= at_ms < step.clear_ms)


class _Dice:
    """Chance from a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed.to_bytes(8, "big")
        self._count = 0

    def below(self, limit: int) -> int:
        self._count += 1
        data = _chance(self._seed, self._count.to_bytes(8, "big"))
        return int.from_bytes(data[:8], "big") % limit

    def between(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)

    def some(self, items: Sequence[str], count: int) -> tuple[str, ...]:
        left = list(items)
        chosen = [left.pop(self.below(len(left))) for _ in range(count)]
        return tuple(sorted(chosen))


def draw(
    seed: int,
    *,
    length_ms: int,
    nodes: Sequence[str],
    hard: bool = False,
    kinds: Collection[Fault] = SOFT,
) -> Schedule:
    """What will happen. `nodes` are the validators, in their order."""
    dice = _Dice(seed)
    limit = fault_limit(len(nodes))
    most = len(nodes) if hard else limit
    usable = [fault for fault in Fault if fault in kinds and (hard or fault is not Fault.HALVES)]
    steps: list[Step] = []
    running: list[Step] = []
    at_ms = FIRST_MS
    while True:
        at_ms += dice.below(PAUSE_MS_MAX)
        running = [step for step in running if step.clear_ms > at_ms]
        room = most - sum(step.weight for step in running)
        fits = [fault for fault in usable if fault is not Fault.HALVES or room == len(nodes)]
        if running and (room < 1 or not fits):
            at_ms = min(step.clear_ms for step in running)
            continue
        if not fits or at_ms + SHORTEST_MS > length_ms:
            return Schedule(
                seed=seed, length_ms=length_ms, hard=hard, limit=limit, steps=tuple(steps)
            )
        taken = {name for step in running for name in step.nodes}
        free = [name for name in nodes if name not in taken]
        step = _step(dice, at_ms, fits, free, room, nodes, length_ms)
        steps.append(step)
        running.append(step)


def _step(
    dice: _Dice,
    at_ms: int,
    fits: Sequence[Fault],
    free: Sequence[str],
    room: int,
    nodes: Sequence[str],
    length_ms: int,
) -> Step:
    fault = fits[dice.below(len(fits))]
    least, most = _LENGTH_MS[fault]
    if fault is Fault.PRIMARY:
        chosen: tuple[str, ...] = ()
    elif fault is Fault.HALVES:
        chosen = dice.some(nodes, len(nodes) // 2)
    else:
        together = 1 + dice.below(min(room, len(free)))
        chosen = dice.some(free, together)
    return Step(
        at_ms=at_ms,
        fault=fault,
        nodes=chosen,
        length_ms=min(dice.between(least, most), length_ms - at_ms),
        delay_ms=dice.between(*_DELAY_MS) if fault is Fault.DELAY else 0,
    )
