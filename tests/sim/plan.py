"""What one seed means: the size of the cluster, its network, its faults and its load.

A swarm: each kind of fault is present in some seeds and absent in others, so that none hides
another. Everything is drawn here or from streams that are named after the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Any

from ledger.validators import fault_limit
from tests.sim.turns import Turn


class Evil(StrEnum):
    """What a faulty member does; together at most f members."""

    DEAD = "dies for good"
    SILENT = "hears and never speaks"
    EQUIVOCATOR = "signs everything twice"
    TWINS = "runs twice with one key"
    BABBLER = "sends broken messages"
    FORGER = "claims votes and certificates that nobody signed"
    AMNESIAC = "loses its memory of votes and votes on"
    MUTATOR = "changes one thing in a message and signs it"
    WITHHOLDER = "tells some members only"
    DELAYER = "is slow by just less than the time-out"
    SYNC_LIAR = "answers what was asked with something else"


class Weak(StrEnum):
    """An honest member whose disk is bad; it counts among the f like an evil one."""

    FAILING = "writes fail"
    FULL = "there is no room for a while"
    LYING = "acknowledges what it does not write"
    FLIPPED = "stored bits flip"
    MISREAD = "reads answer wrongly"
    ROLLED_BACK = "an older image of its disk comes back"


FAITHFUL = frozenset({Weak.FAILING, Weak.FULL})
"""What such a disk acknowledged it holds: it outlives the faults with all that it knows."""


class Episode(StrEnum):
    """A passing fault."""

    CRASH = "crash"
    RELAPSE = "the power fails, and again while the machine starts"
    POWER = "power failure of all"
    ISOLATE = "isolate one"
    ISOLATE_PRIMARY = "isolate the primary"
    SPLIT = "split"
    ONE_WAY = "one-way cut"
    PAUSE = "pause"
    MUTE = "lose one kind of message"
    PRESS = "f + 1 lose patience"
    AMBUSH = "a fault at the first message of one kind"
    LADDER = "prepared in one view, prepared otherwise in the next"


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
    weak: dict[int, Weak] = field(default_factory=dict)
    flipped: tuple[str, ...] = ()
    """The places of a log where bits flip; empty for all of them, and for the chain."""
    drift_permille: int = 0
    """Clocks run fast or slow by up to so much."""
    fsync_ms: int = 0
    """A machine stands still for up to so long while it syncs its log."""
    epoch_blocks: int = 1_000
    epoch_ms: int = 600_000
    turns: tuple[Turn, ...] = ()
    """Validators that come and go during the faults."""
    economy: bool = False
    """Issuers and attestors are among the clients."""
    admitting: float = 0.0
    """How often a primary is found checking more transactions: its blocks keep a distance."""


ECONOMY_SHARE = 0.1
"""Of the seeds."""


SMALL, MIDDLE, LARGE = (4,), (5, 6, 7), (10, 16)
DENSE_GAP_MS = 50
BUSY_FAULT_MS_MAX = 10_000
"""Of clusters of more than four, and of a dense load: a few such runs would take a good part
of all time, and the faults of a longer one are found by those that have less to do."""


def draw_plan(seed: int) -> Plan:
    """The plan of a seed."""
    rng = Random(f"plan/{seed}")
    sizes = rng.choices((SMALL, MIDDLE, LARGE), (60, 30, 10))[0]
    n = rng.choice(sizes)
    is_large = sizes is LARGE
    slow = rng.choice((2, 5, 20, 60))
    evil, weak = _draw_faulty(rng, n)
    plan = Plan(
        seed=seed,
        n=n,
        window=rng.choice((4, 4, 4, 1)),
        mocked=rng.random() > 0.01,
        latency_ms=(1, slow),
        in_order=rng.random() < 0.5,
        loss=rng.choice((0, 0, 0.01, 0.05, 0.15, 0.3)),
        duplication=rng.choice((0, 0, 0.05, 0.3)),
        straggling=rng.choice((0, 0, 0.02, 0.2)),
        evil=evil,
        episodes=tuple(item for item in Episode if rng.random() < 0.4),
        episode_gap_ms=rng.choice((500, 1_500, 4_000)),
        fault_ms=rng.choice((3_000, 5_000) if is_large else (5_000, 10_000, 20_000, 30_000)),
        load_gap_ms=rng.choice((1_000,) if is_large else (DENSE_GAP_MS, 200, 1_000, 4_000)),
        double_spends=rng.random() < 0.5,
        notices_cuts=rng.random() < 0.7,
        skew_ms=rng.choice((0, 0, 100, 4_000, 8_000)),
        log_bytes_rotate=rng.choice((None, None, 4_096)),
        weak=weak,
        drift_permille=rng.choice((0, 0, 1, 20)),
        fsync_ms=rng.choice((0, 0, 0, 10, 300)),
        economy=Random(f"economy/{seed}").random() < ECONOMY_SHARE,
        admitting=Random(f"admitting/{seed}").choice((0.0, 0.0, 0.5, 1.0)),
        **_draw_epochs(rng, n),
    )
    is_busy = sizes is not SMALL or plan.load_gap_ms == DENSE_GAP_MS
    return replace(plan, fault_ms=min(plan.fault_ms, BUSY_FAULT_MS_MAX)) if is_busy else plan


def _draw_epochs(rng: Random, n: int) -> dict[str, Any]:
    """Validators come and go in a third of the seeds; large clusters have no time for it."""
    has_turns = n <= max(MIDDLE) and rng.random() < 0.35
    return {
        "epoch_blocks": rng.choice((1, 3) if has_turns else (2, 5, 20, 1_000)),
        "epoch_ms": rng.choice((1_000, 1_000, 5_000)),
        "turns": tuple(rng.choices(list(Turn), k=rng.randint(1, 4))) if has_turns else (),
    }


def _draw_faulty(rng: Random, n: int) -> tuple[dict[int, Evil], dict[int, Weak]]:
    """Who is evil and whose disk is bad: together at most f."""
    count = rng.choice((0, fault_limit(n), rng.randint(0, fault_limit(n))))
    evil: dict[int, Evil] = {}
    weak: dict[int, Weak] = {}
    for member in sorted(rng.sample(range(n), count)):
        if rng.random() < 0.5:
            evil[member] = rng.choice(list(Evil))
        else:
            weak[member] = rng.choice(list(Weak))
    return evil, weak
