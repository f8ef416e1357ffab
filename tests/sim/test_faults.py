"""Every kind of fault does what its name says: one that never strikes would find nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from node.vote_guard import Permission
from tests.sim.cluster import Cluster
from tests.sim.disk import CHAIN_PLACES, LOG_PLACES, WRITE_POINTS, Misread
from tests.sim.node import GROWING, SimNode
from tests.sim.noting import Watched, calm_plan
from tests.sim.plan import Episode, Evil, Plan, Weak, draw_plan
from tests.sim.run import made
from tests.sim.seeds import SEEDS

pytestmark = pytest.mark.usefixtures("remembering")

STRIKES_MIN = 5
COMMON = (
    "failing: log.sync",
    "full: log.append",
    "lying: log",
    "log harmed: header",
    "rolled back",
)
"""One place of each kind that every such disk comes to."""
DOES = {
    Weak.FAILING: ("failing",),
    Weak.FULL: ("full",),
    Weak.LYING: ("lying",),
    Weak.FLIPPED: ("log harmed", "chain"),
    Weak.MISREAD: ("misread",),
    Weak.ROLLED_BACK: ("rolled back",),
}
"""How the names begin of what a bad disk does."""


def ran(**changes: object) -> Watched:
    cluster = Watched(calm_plan(**changes))
    cluster.run()
    return cluster


def node_of(cluster: Cluster, member: int) -> SimNode:
    return cluster.nodes[member]


@pytest.mark.parametrize("weak", list(Weak), ids=[item.name.lower() for item in Weak])
def test_a_bad_disk_strikes_and_its_node_is_whole_again(weak: Weak) -> None:
    """It strikes several times in a run; the node stops or follows, the others go on, and at the
    end it votes and holds what they hold."""
    cluster = ran(weak={1: weak}, log_bytes_rotate=4_096)
    node = node_of(cluster, 1)
    assert node.strikes.total() >= 2
    assert node.engine is not None
    assert node.engine.guard.permission is Permission.ALLOWED
    assert node.engine.chain.height == cluster.checkers.height


@pytest.mark.parametrize("weak", [Weak.FAILING, Weak.FULL])
def test_a_write_that_fails_ends_the_process(weak: Weak) -> None:
    """As many orderly ends as failures: none is survived."""
    cluster = ran(weak={1: weak})
    struck = node_of(cluster, 1).strikes.total()
    assert cluster.count("stopped: the disk is") == struck >= 2


def test_the_power_fails_again_while_a_machine_starts() -> None:
    """Before the recovery is through with its log, and members vote to the end all the same."""
    cluster = ran(episodes=(Episode.RELAPSE,))
    lines = zip(cluster.said, cluster.said[1:], strict=False)
    cuts = [cut for what, cut in lines if what == "start" and cut.startswith("power cut at log.")]
    assert len(cuts) >= 3


@pytest.mark.parametrize("point", WRITE_POINTS)
def test_the_power_fails_at_this_write_point(point: str) -> None:
    """Aimed at, while it runs or (where a log is replaced) while it starts; it comes back whole."""
    cluster = Cluster(calm_plan())
    cluster.begin()
    node = node_of(cluster, 1)
    starts = point.startswith("log.re")
    if starts:
        cluster.crash(node)
    node.cut_where, node.cut_after = point, 1
    if starts:
        cluster.start(node)
    cluster.pass_ms(3_000)
    assert node.strikes[f"power: {point}"] == 1
    cluster.heal()
    cluster.finish()


def bad_disks() -> Iterator[Plan]:
    """Of the suite's seeds the shorter ones, and all with flipped bits, which have most places."""
    for plan in map(draw_plan, range(SEEDS)):
        is_short = plan.fault_ms <= 10_000 or Weak.FLIPPED in plan.weak.values()
        if plan.n == 4 and is_short and plan.weak:
            yield plan


def strikes_of(plan: Plan) -> Counter[str]:
    """What the disks of a run did, and where."""
    with made(plan) as cluster:
        cluster.run()
    return sum((node.strikes for node in cluster.nodes.values()), Counter())


def test_every_fault_of_a_disk_strikes_at_each_of_its_places() -> None:
    """Counted at the disk, seed by seed until nothing is missing: what never strikes finds nothing.
    Only disks are run that can do what is missing."""
    places = [f"failing: {point}" for point in WRITE_POINTS]
    places += [f"full: {point}" for point in GROWING]
    places += [f"lying: {lost}" for lost in ("log", "chain", "log and chain")]
    places += [f"log harmed: {place}" for place in LOG_PLACES]
    places += [f"chain flipped: {place}" for place in CHAIN_PLACES]
    places += [f"misread: {kind.value}" for kind in Misread]
    places += ["rolled back", "chain replaced"]
    missing = Counter(places) + Counter(dict.fromkeys(COMMON, STRIKES_MIN - 1))
    for plan in bad_disks():
        if not missing:
            break
        does = tuple(name for weak in plan.weak.values() for name in DOES[weak])
        if any(place.startswith(does) for place in missing):
            missing -= strikes_of(plan)
    assert list(missing) == []


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
