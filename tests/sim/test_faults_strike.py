"""Passing faults and faults of the network are seen where they strike: what reached whom, which
machines were down, what became of a log. Without them nothing of the kind is seen."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from node.wal import LogFile, Record, WriteAheadLog
from tests.sim.cluster import Cluster
from tests.sim.noting import Noted, calm_plan, into, noted, out_of, share
from tests.sim.plan import Episode

pytestmark = pytest.mark.usefixtures("remembering")

LATENCY_MS_MAX = 5
"""Of a calm plan."""
AT_ONCE_MS = 100
"""Some of the machines that one power failure takes go down within so much time."""
SYNCS_CUT = 12


def test_noting_changes_no_run() -> None:
    """The same trace, event by event, as without anybody who takes notes."""
    plan = calm_plan(episodes=(Episode.CRASH, Episode.SPLIT), loss=0.1, fault_ms=5_000)
    watched, alone = Noted(plan), Cluster(plan)
    watched.run()
    alone.run()
    assert watched.trace.digest == alone.trace.digest


def test_without_faults_nothing_is_seen() -> None:
    """Every message comes once, in time and in order, and no machine stops or rests."""
    cluster = noted()
    assert len(cluster.faulty) > 1_000
    assert {len(letter.came_ms) for letter in cluster.faulty} == {1}
    assert {letter.under for letter in cluster.faulty} == {""}
    assert max(item.came_ms[0] - item.sent_ms for item in cluster.faulty) == LATENCY_MS_MAX
    assert cluster.overtakings() == cluster.unread == 0
    assert cluster.downs() == cluster.cuts == []
    assert not any(cluster.rests(address) for address in cluster.nodes)
    assert {node.engine.replica.state.view for node in cluster.live() if node.engine} == {0}


def test_messages_are_lost() -> None:
    """As many as the plan says, and the trace says which; the others come once."""
    cluster = noted(loss=0.15)
    came = Counter(len(letter.came_ms) for letter in cluster.faulty)
    assert came.keys() == {0, 1}
    assert 0.12 < came[0] / came.total() < 0.18
    assert cluster.count("lost ") == came[0]


def test_messages_come_twice() -> None:
    """As many as the plan says, and none is lost."""
    cluster = noted(duplication=0.3)
    came = Counter(len(letter.came_ms) for letter in cluster.faulty)
    assert came.keys() == {1, 2}
    assert 0.27 < came[2] / came.total() < 0.33


def test_messages_straggle() -> None:
    """As many as the plan says take ten times as long; a few of those are no later than others."""
    cluster = noted(straggling=0.2, in_order=False)
    took = [letter.came_ms[0] - letter.sent_ms for letter in cluster.faulty]
    assert 0.15 < share(ms > LATENCY_MS_MAX for ms in took) < 0.25
    assert max(took) == 10 * LATENCY_MS_MAX


def test_messages_overtake_each_other() -> None:
    """On one link, but for a plan that keeps the order, whatever straggles."""
    assert noted(in_order=False).overtakings() > 50
    assert noted(straggling=0.2, in_order=True).overtakings() == 0


def test_crash_takes_machines_down_and_they_come_back() -> None:
    """Between two events or at one of their effects; meanwhile they read nothing."""
    cluster = noted(episodes=(Episode.CRASH,), fault_ms=20_000, episode_gap_ms=1_000)
    whys = [why for _, _, why in cluster.downs()]
    assert whys.count("crash") >= 2
    assert sum(why.startswith("power cut at ") for why in whys) >= 2
    for address in cluster.nodes:
        life = [what == "up" for _, where, what in cluster.lives if where == address]
        assert life == [place % 2 == 0 for place in range(len(life))]
    back = [ms for ms, _, what in cluster.lives if what == "up" and ms > cluster.begun_ms]
    assert sum(ms < cluster.begun_ms + 20_000 for ms in back) >= 3
    assert cluster.unread > 20


def test_power_fails_for_all() -> None:
    """Machines go down together until none is up; where one crashes at a time, others stay up."""
    power, crash = (
        noted(episodes=(kind,), fault_ms=20_000, episode_gap_ms=4_000)
        for kind in (Episode.POWER, Episode.CRASH)
    )
    assert {where for _, where, _ in power.downs()} == power.nodes.keys()
    assert (power.fewest_up, power.together(AT_ONCE_MS) >= 2) == (0, True)
    assert (crash.fewest_up > 0, crash.together(AT_ONCE_MS)) == (True, 1)


def check_cut(cluster: Noted) -> None:
    """Nothing came over a link that was cut, and all came over the others."""
    cut, whole = cluster.came("cut"), cluster.came("")
    assert len(cut) > 100
    assert len(whole) > 100
    assert not any(cut)
    assert all(whole)


def test_isolation_cuts_off_one_member() -> None:
    """Both ways, now this one and now that one; the others hear each other."""
    cluster = noted(episodes=(Episode.ISOLATE,))
    check_cut(cluster)
    lonely = [
        [address for address in range(4) if cut.links == out_of(address) | into(address)]
        for cut in cluster.cuts
    ]
    assert {len(found) for found in lonely} == {1}
    assert len({found[0] for found in lonely}) >= 3


def test_isolation_of_the_primary_cuts_off_who_proposed_last() -> None:
    """Every time, so that one view after another ends."""
    cluster = noted(episodes=(Episode.ISOLATE_PRIMARY,))
    check_cut(cluster)
    proposers = [cut.proposer for cut in cluster.cuts]
    assert [cut.links for cut in cluster.cuts] == [out_of(each) | into(each) for each in proposers]
    assert len(set(proposers)) >= 3


def test_split_cuts_halves_apart() -> None:
    """Two and two, in different ways: all comes within the halves and nothing between them."""
    cluster = noted(episodes=(Episode.SPLIT,), fault_ms=20_000)
    check_cut(cluster)
    halves = set()
    for cut in cluster.cuts:
        half = frozenset(address for address in range(4) if (0, address) not in cut.links)
        others = frozenset(range(4)) - half
        assert len(half) == 2
        assert cut.links == {*product(half, others), *product(others, half)}
        halves.add(half)
    assert len(halves) >= 2


def test_one_way_cut_lets_the_other_way_live() -> None:
    """A member is not heard but hears, or hears nothing but is heard."""
    cluster = noted(episodes=(Episode.ONE_WAY,), fault_ms=20_000)
    check_cut(cluster)
    ways = [
        "out" if cut.links in map(out_of, range(4)) else "in"
        for cut in cluster.cuts
        if cut.links in [*map(out_of, range(4)), *map(into, range(4))]
    ]
    assert len(ways) == len(cluster.cuts)
    assert min(ways.count("out"), ways.count("in")) >= 2


@pytest.mark.parametrize("notices_cuts", [True, False])
def test_nodes_learn_of_cut_links_where_the_plan_says_so(notices_cuts: bool) -> None:
    """As from closed connections: who is cut off hears that it is alone, or never does."""
    cluster = noted(episodes=(Episode.ISOLATE,), notices_cuts=notices_cuts)
    begun = cluster.said.index(next(what for what in cluster.said if what.startswith("cut ")))
    told = {what for what in cluster.said[begun:] if what.startswith("connected ")}
    alone = {f"connected {address}" for address in range(4)}
    assert bool(told & alone) is notices_cuts
    assert bool(told) is notices_cuts


def test_paused_machine_does_nothing_and_then_all_at_once() -> None:
    """It never goes down; what came meanwhile is done in the very moment that the pause ends."""
    cluster = noted(episodes=(Episode.PAUSE,))
    assert cluster.downs() == []
    assert all(letter.came_ms for letter in cluster.faulty)
    rests = [(address, *rest) for address in cluster.nodes for rest in cluster.rests(address)]
    assert len(rests) >= 3
    heard = 0
    for address, begin_ms, end_ms in rests:
        times = [ms for item in cluster.arrived if item.to == address for ms in item.came_ms]
        came = sum(begin_ms < ms <= end_ms for ms in times)
        assert cluster.worked[end_ms, address] >= came > 0
        heard += came
    assert heard > 100


def test_one_kind_of_message_is_muted() -> None:
    """Most of it is lost and nothing else; a spared member hears it all, and then is cut off."""
    cluster = noted(episodes=(Episode.MUTE,), fault_ms=20_000)
    muted = cluster.came("mute")
    assert len(muted) > 30
    assert 0.8 < share(not came for came in muted) < 1
    assert len({letter.number for letter in cluster.faulty if letter.under == "mute"}) >= 2
    spared = cluster.came("spare")
    assert len(spared) > 5
    assert all(spared)
    assert all(cluster.came(""))
    assert cluster.cuts
    lonely = [out_of(address) | into(address) for address in range(4)]
    assert all(cut.links in lonely for cut in cluster.cuts)


def test_torn_end_of_a_log_is_cut_off_at_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The power fails while a log is synced: at times a part of a record is left. The machine
    starts with what stands before it, and where only its process was killed with all of it."""
    torn: list[int] = []
    opened = WriteAheadLog.open

    def noting(file: LogFile) -> tuple[WriteAheadLog, list[Record]]:
        before = file.read_all()
        log, records = opened(file)
        assert file.read_all() == before[: len(before) - log.torn_bytes]
        torn.append(log.torn_bytes)
        return log, records

    monkeypatch.setattr(WriteAheadLog, "open", noting)
    cluster = Cluster(calm_plan())
    cluster.begin()
    assert torn == [0, 0, 0, 0]
    node = cluster.nodes[1]
    for _ in range(SYNCS_CUT):
        node.cut_where, node.cut_after = "log.sync", 1
        cluster.until(lambda: node.engine is None, 5_000, "the power to fail")
        cluster.start(node)
    found = torn[4:]
    assert len(found) == SYNCS_CUT
    assert sum(size > 0 for size in found) >= 3
    assert found.count(0) >= 1
    cluster.heal()
    cluster.finish()
