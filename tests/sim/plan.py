"""What one seed means: the size of the cluster, its network, its faults and its load.

A swarm: each kind of fault is present in some seeds and absent in others, so that none hides
another. Everything is drawn here or from streams that are named after the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from ledger.validators import fault_limit


class Evil(StrEnum):
    """What a faulty member does; together at most f members."""

    DEAD = "dies for good"
    SILENT = "hears and never speaks"
    EQUIVOCATOR = "signs everything twice"
    TWINS = "runs twice with one key"
    BABBLER = "sends broken messages"
    FORGER = "claims votes and certificates that nobody signed"


class Episode(StrEnum):
    """A passing fault."""

    CRASH = "crash"
    POWER = "power failure of all"
    ISOLATE = "isolate one"
    ISOLATE_PRIMARY = "isolate the primary"
    SPLIT = "split"
    ONE_WAY = "one-way cut"
    PAUSE = "pause"
    MUTE = "lose one kind of message"


@dataclass(frozen=True, slots=True)
class Plan:
    """Times in milliseconds."""

    seed: int
    n: int
    window: int
    mocked: bool
    latency_ms: tuple[int, int]
    in_order: bool
    loss: float
    duplication: float
    straggling: float
    """Share of messages that take ten times as long."""
    evil: dict[int, Evil]
    episodes: tuple[Episode, ...]
    episode_gap_ms: int
    fault_ms: int
    """How long faults last; then everything heals but `evil`."""
    load_gap_ms: int
    double_spends: bool
    notices_cuts: bool
    """Whether nodes learn of cut links, as a closed connection tells them."""
    skew_ms: int
    log_bytes_rotate: int | None
    """A small limit makes the logs rotate in this seed."""


def draw_plan(seed: int) -> Plan:
    """The plan of a seed."""
    rng = Random(f"plan/{seed}")
    n = rng.choice((4, 4, 4, 4, 4, 4, 5, 6, 7, 10))
    slow = rng.choice((2, 5, 20, 60))
    return Plan(
        seed=seed,
        n=n,
        window=rng.choice((1, 1, 1, 4)),
        mocked=rng.random() > 0.02,
        latency_ms=(1, slow),
        in_order=rng.random() < 0.5,
        loss=rng.choice((0, 0, 0.01, 0.05, 0.15, 0.3)),
        duplication=rng.choice((0, 0, 0.05, 0.3)),
        straggling=rng.choice((0, 0, 0.02, 0.2)),
        evil=_draw_evil(rng, n),
        episodes=tuple(item for item in Episode if rng.random() < 0.4),
        episode_gap_ms=rng.choice((500, 1_500, 4_000)),
        fault_ms=rng.choice((5_000, 10_000, 20_000, 30_000)),
        load_gap_ms=rng.choice((50, 200, 1_000, 4_000)),
        double_spends=rng.random() < 0.5,
        notices_cuts=rng.random() < 0.7,
        skew_ms=rng.choice((0, 0, 100, 4_000)),
        log_bytes_rotate=rng.choice((None, None, 4_096)),
    )


def _draw_evil(rng: Random, n: int) -> dict[int, Evil]:
    count = rng.choice((0, fault_limit(n), rng.randint(0, fault_limit(n))))
    members = rng.sample(range(n), count)
    return {member: rng.choice(list(Evil)) for member in sorted(members)}
