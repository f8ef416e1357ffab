"""What a node shows of its replica: votes, suspicions, view changes, its guard."""

from __future__ import annotations

from types import SimpleNamespace

from msgspec.structs import replace

from consensus.messages import PrePrepare, Suspect
from ledger.block import COMMIT, PREPARE
from node.api.consensus_schemas import Guard, Replica
from node.vote_guard import OTHER_PROCESS
from node.watch import NodeWatch
from p2p.peer import PeerStats
from tests.node.test_engine import KEYS, KIT, MEMBER, Bench, payment

T_MS = 2_000
NAMES = [member.licence for member in KIT.world.validators.members]


class Watch(NodeWatch):
    """That of a bench, by its clock; one link, to member 0."""

    def __init__(self, bench: Bench) -> None:
        driver = SimpleNamespace(engine=bench.engine)
        self.links: list[PeerStats] = []
        network = SimpleNamespace(
            linked=lambda: [NAMES[0], "observer:1"], stats=lambda: self.links, peers=list
        )
        super().__init__(driver, network, lambda _: None, NAMES[MEMBER])  # type: ignore[arg-type]
        self.bench = bench

    def now_ms(self) -> int:
        return self.bench.clock_ms


def shown(bench: Bench) -> Replica:
    return Watch(bench).replica()


def test_votes_links_and_heights() -> None:
    """A proposal, a vote for it, a vote for another block; the member without votes is empty."""
    bench = Bench()
    header = bench.block()[0].header
    other = replace(header, time_ms=header.time_ms + 1)
    bench.hear(0, PrePrepare(0, header, (), KIT.vote(0, PREPARE, header).signature))
    bench.hear(2, KIT.vote(2, COMMIT, header))
    bench.hear(3, KIT.vote(3, PREPARE, other))
    found = shown(bench)
    votes = [(member.prepared, member.committed, member.other) for member in found.members]
    assert votes == [([1], [], []), ([1], [], []), ([], [1], []), ([], [], [1])]
    assert [member.linked for member in found.members] == [True, True, False, False]
    assert [member.height for member in found.members] == [0, 0, 0, 0]
    assert all(member.heard for member in found.members)
    assert (found.view, found.primary, found.is_changing) == (0, NAMES[0], False)
    assert (found.may_vote, found.guard) == (
        True,
        Guard(state="allowed", reason="", vote_above=0, view_min=0),
    )
    bench.engine.heights.pop(KEYS[3])
    assert shown(bench).members[3].height is None


def test_what_a_link_could_not_hold_is_shown() -> None:
    """The figures of a link as it has them; a member without one stands there with none."""
    bench = Bench()
    stats = PeerStats(
        name=NAMES[0],
        address="[::1]:1",
        direction="inbound",
        connected_s=1.5,
        received_bytes=0,
        sent_bytes=0,
        queued_bytes=7,
        dropped_frames=3,
        points=20,
        height=4,
    )
    watch = Watch(bench)
    watch.links.append(stats)
    shown_by_name = {item.name: item for item in watch.peers()}
    linked, alone = shown_by_name[NAMES[0]], shown_by_name[NAMES[2]]
    assert (linked.queued_bytes, linked.dropped_frames, linked.points) == (7, 3, 20)
    assert (alone.direction, alone.dropped_frames) == ("none", 0)


def test_why_the_primary_is_suspected() -> None:
    """A transaction waits for T; after the block the suspicion still counts, and then fades."""
    bench = Bench()
    assert shown(bench).suspicion == ""
    bench.intake.admit(payment(), bench.now)
    bench.pass_ms(1)  # the engine sees that something waits
    bench.pass_ms(T_MS)
    found = shown(bench)
    assert found.suspicion == "no block for 2 s and a transaction waits"
    assert [member.suspects for member in found.members] == [False, True, False, False]
    bench.decide(bench.block()[0])
    bench.pass_ms(1)
    assert "fades" in shown(bench).suspicion
    bench.clock_ms += 10_000
    assert (shown(bench).suspicion, shown(bench).members[MEMBER].suspects) == ("", False)


def test_a_primary_that_proposes_twice_is_named() -> None:
    """The cause that the replica found is the reason shown."""
    bench = Bench()
    header = bench.block()[0].header
    for one in (header, replace(header, time_ms=header.time_ms + 1)):
        bench.hear(0, PrePrepare(0, one, (), KIT.vote(0, PREPARE, one).signature))
    bench.pass_ms(1)
    assert shown(bench).suspicion == "two proposals for one height"


def test_a_view_change_under_way() -> None:
    """f + 1 suspect: the view is left, T doubles, the own VIEW-CHANGE is shown until it begins."""
    bench = Bench()
    for member in (2, 3):
        bench.hear(member, Suspect(0, 1))
    found = shown(bench)
    assert (found.view, found.primary, found.is_changing) == (1, NAMES[1], True)
    assert (found.failed_views, found.timeout_ms) == (1, 2 * T_MS)
    assert [member.view_change for member in found.members] == [None, 1, None, None]
    assert not any(member.suspects for member in found.members)
    bench.engine.replica.state.active = True
    assert shown(bench).members[MEMBER].view_change is None


def test_a_guard_that_does_not_sign() -> None:
    """Another process has the key: the guard's own sentence; without a seat there is none."""
    bench = Bench()
    bench.guard.distrust_key()
    bench.engine.review_voting()
    bench.pass_ms(1)
    found = shown(bench)
    assert found.guard is not None
    assert (found.guard.state, found.may_vote) == ("following", False)
    assert OTHER_PROCESS in found.guard.reason
    bench.engine.replica.state.member = None
    assert shown(bench).guard is None
