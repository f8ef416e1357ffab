"""Every kind of fault does what its name says: one that never strikes would find nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.vote_guard import Permission
from tests.sim.cluster import Cluster
from tests.sim.node import SimNode
from tests.sim.plan import Episode, Evil, Plan, Weak, draw_plan


class Watched(Cluster):
    """Keeps what its trace says."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.said: list[str] = []
        line = self.trace.line

        def keep(now_ms: int, where: str, what: str) -> None:
            self.said.append(what)
            line(now_ms, where, what)

        self.trace.line = keep  # type: ignore[method-assign]

    def count(self, text: str) -> int:
        return sum(text in what for what in self.said)


def calm_plan(**changes: object) -> Plan:
    """Four members and nothing that goes wrong, but for what the test names."""
    plan = replace(
        draw_plan(0),
        n=4,
        window=1,
        mocked=True,
        latency_ms=(1, 5),
        loss=0,
        duplication=0,
        straggling=0,
        evil={},
        weak={},
        episodes=(),
        episode_gap_ms=500,
        fault_ms=20_000,
        load_gap_ms=100,
        double_spends=False,
        skew_ms=0,
        drift_permille=0,
        fsync_ms=0,
        log_bytes_rotate=None,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def ran(**changes: object) -> Watched:
    cluster = Watched(calm_plan(**changes))
    cluster.run()
    return cluster


def node_of(cluster: Cluster, member: int) -> SimNode:
    return cluster.nodes[member]


def test_failing_writes_stop_the_node_and_it_comes_back() -> None:
    """Every failure ends the process; what it had told is there, and it votes to the end."""
    cluster = ran(weak={1: Weak.FAILING})
    assert cluster.count("stopped: the disk fails at") >= 2
    engine = node_of(cluster, 1).engine
    assert engine is not None
    assert engine.guard.permission is Permission.ALLOWED


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_noticed(seed: int) -> None:
    """The log or the chain refuses, or the bit does no harm; the others go on."""
    cluster = ran(seed=seed, weak={1: Weak.FLIPPED})
    assert cluster.count("a bit flips") >= 1


def test_older_image_follows_until_recover() -> None:
    """Its log is older than what the others saw of it: it follows, recovers, and votes."""
    cluster = ran(weak={1: Weak.ROLLED_BACK})
    assert cluster.count("an older image") >= 1
    engine = node_of(cluster, 1).engine
    assert engine is not None
    assert engine.guard.permission is Permission.ALLOWED
    assert engine.chain.height == cluster.checkers.height


def test_ladder_reaches_its_third_step() -> None:
    """One member prepares alone, another commits alone, and their views follow each other."""
    cluster = ran(episodes=(Episode.LADDER,))
    assert cluster.count("PREPARE reaches") >= 1
    assert cluster.count("COMMIT reaches") >= 1
    assert cluster.count("loses patience") >= 6


def test_ambush_and_press_strike() -> None:
    """Faults follow the messages that they wait for, and pressed members end their view."""
    cluster = ran(episodes=(Episode.AMBUSH, Episode.PRESS))
    assert cluster.count("ambushed at") >= 3
    views = [node.engine.replica.state.view for node in cluster.live() if node.engine]
    assert max(views) > 0


@pytest.mark.parametrize("evil", list(Evil), ids=[item.name.lower() for item in Evil])
def test_every_evil_is_survived(evil: Evil) -> None:
    """One of four, with cuts and pressure around it, and all that is pending becomes final."""
    episodes = (Episode.PRESS, Episode.LADDER, Episode.CRASH)
    cluster = ran(evil={0: evil}, episodes=episodes, episode_gap_ms=1_500, fault_ms=10_000)
    assert cluster.checkers.height > 1


def test_slow_disks_skewed_and_drifting_clocks() -> None:
    """Syncs of up to 0.3 s, clocks apart by 8 s and running 2 % fast or slow: no view ends."""
    cluster = ran(fsync_ms=300, skew_ms=4_000, drift_permille=20)
    assert cluster.checkers.height > 10
    assert {node.engine.replica.state.view for node in cluster.live() if node.engine} == {0}
