"""Schedules written by hand, for what chance meets too rarely: each names what must survive it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.vote_guard import Permission, Refused
from p2p.wire import COMMIT, NEW_VIEW, PREPARE, VIEW_CHANGE
from tests.sim.cluster import Cluster, small_logs
from tests.sim.node import SimNode
from tests.sim.plan import Evil, Plan, draw_plan

pytestmark = pytest.mark.usefixtures("remembering")


def quiet(seed: int = 0, **changes: object) -> Plan:
    """Four honest members on a good network, with the window of most networks."""
    plan = replace(
        draw_plan(seed),
        n=4,
        window=4,
        mocked=True,
        latency_ms=(1, 5),
        in_order=False,
        loss=0,
        duplication=0,
        straggling=0,
        evil={},
        episodes=(),
        load_gap_ms=200,
        double_spends=False,
        notices_cuts=True,
        skew_ms=0,
        log_bytes_rotate=None,
        weak={},
        drift_permille=0,
        fsync_ms=0,
        admitting=0,
        epoch_blocks=100_000,
        turns=(),
        economy=False,
    )
    return replace(plan, **changes)


def begun(plan: Plan) -> Cluster:
    cluster = Cluster(plan)
    cluster.begin()
    cluster.network.is_faulty = True
    return cluster


def view_of(node: SimNode) -> int:
    assert node.engine is not None
    return node.engine.replica.state.view


def height_of(node: SimNode) -> int:
    assert node.engine is not None
    return node.engine.chain.height


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("n", [4, 5, 6, 7, 10])
def test_without_faults_no_view_ends(n: int, window: int) -> None:
    """Ten seconds of load: everything is final, everywhere, in view 0."""
    cluster = begun(quiet(n=n, window=window))
    cluster.pass_ms(10_000)
    cluster.heal()
    cluster.finish()
    assert cluster.clients.settled > 20
    assert {view_of(node) for node in cluster.live()} == {0}


def test_issuers_and_attestors_among_the_clients() -> None:
    """Hours are promised, devices pledged, attestations given and bonds put up, besides payments;
    what is stored in the end is what the reference holds."""
    cluster = begun(quiet(economy=True, load_gap_ms=50))
    cluster.pass_ms(20_000)
    cluster.heal()
    cluster.finish()
    book = cluster.checkers.reference.economy
    assert len(book.promises) > 10
    assert sum(len(item.devices) for item in book.promises.values()) > 10
    assert sum(len(item.figures) >= 2 for item in book.promises.values()) > 3
    assert len(book.bonds) > 5
    assert {view_of(node) for node in cluster.live()} == {0}


def test_real_signatures() -> None:
    """The same with Ed25519 instead of the mock, and with evil and crashes."""
    plan = replace(
        draw_plan(7),
        n=4,
        mocked=False,
        evil={2: Evil.EQUIVOCATOR},
        weak={},
        fault_ms=5_000,
        skew_ms=0,
    )
    cluster = Cluster(plan)
    cluster.run()
    assert cluster.checkers.height > 1


def test_member_that_was_down_for_hundreds_of_blocks_catches_up_under_load() -> None:
    """It is behind by 200 blocks and more, load goes on, and it votes again."""
    cluster = begun(quiet(load_gap_ms=25))
    node = cluster.nodes[2]
    cluster.crash(node)
    cluster.until(lambda: cluster.checkers.height > 250, 60_000, "250 blocks")
    cluster.start(node)
    behind = cluster.checkers.height - height_of(node)
    assert behind > 200
    cluster.until(
        lambda: cluster.checkers.height - height_of(node) <= 1, 10_000, "the member to catch up"
    )
    assert node.book is not None
    signed = node.book.signed
    cluster.pass_ms(2_000)
    assert node.book.signed > signed
    cluster.heal()
    cluster.finish()
    assert {view_of(item) for item in cluster.live()} == {0}


def test_dead_primary_costs_one_view() -> None:
    """The primary dies under load: the next one takes over, nothing final is lost."""
    cluster = begun(quiet(evil={0: Evil.DEAD}))
    cluster.pass_ms(1_000)
    cluster.crash(cluster.nodes[0])
    height = cluster.checkers.height
    cluster.until(lambda: cluster.checkers.height > height + 3, 10_000, "the next primary")
    cluster.heal()
    cluster.finish()
    assert {view_of(node) for node in cluster.live()} == {1}


@pytest.mark.parametrize("seed", range(6))
def test_power_failure_of_all_in_the_middle_of_a_vote(seed: int) -> None:
    """Every machine loses power at some next effect; together they go on from their disks."""
    cluster = begun(quiet(seed=seed, load_gap_ms=20))
    for _ in range(4):
        cluster.pass_ms(1_000)
        for number, node in enumerate(cluster.nodes.values()):
            node.cut_after = 1 + (seed * 5 + number * 3) % 17
        cluster.until(lambda: not cluster.live(), 10_000, "the power to fail")
        for node in cluster.nodes.values():
            cluster.start(node)
        cluster.until(
            lambda height=cluster.checkers.height: cluster.checkers.height > height + 1,
            20_000,
            "new blocks",
        )
    cluster.heal()
    cluster.finish()


def test_restarted_primary_proposes_the_block_that_it_logged() -> None:
    """It stops after its PREPARE is on the disk and before anybody heard: the same block again."""
    cluster = begun(quiet())
    primary = cluster.nodes[0]
    cut = cluster.network.cut([(0, other) for other in (1, 2, 3)])

    def proposals() -> dict[int, bytes]:
        assert primary.engine is not None
        slots = primary.engine.replica.state.slots
        return {at: slot.proposal.block_hash for at, slot in slots.items() if slot.proposal}

    cluster.until(lambda: bool(proposals()), 20_000, "a proposal")
    height, block_hash = min(proposals().items())
    cluster.crash(primary)
    cluster.network.mend(cut)
    cluster.start(primary)
    cluster.until(lambda: cluster.checkers.height >= height, 10_000, "its block")
    assert cluster.checkers.hashes[height] == block_hash
    cluster.heal()
    cluster.finish()
    assert {view_of(node) for node in cluster.live()} == {0}


def test_restarted_backup_hears_its_primary_again() -> None:
    """With one member down, a backup that restored a proposal needs its primary's old PREPARE."""
    cluster = begun(quiet(evil={3: Evil.DEAD}))
    cluster.crash(cluster.nodes[3])
    backup = cluster.nodes[1]
    cluster.network.silenced.update((PREPARE, COMMIT))

    def has_prepared() -> bool:
        assert backup.engine is not None
        return any(slot.asked_prepare for slot in backup.engine.replica.state.slots.values())

    cluster.until(has_prepared, 20_000, "the backup's PREPARE")
    height = cluster.checkers.height
    cluster.crash(backup)
    cluster.network.silenced.clear()
    cluster.start(backup)
    cluster.until(lambda: cluster.checkers.height > height, 10_000, "the block")
    cluster.heal()
    cluster.finish()
    assert {view_of(node) for node in cluster.live()} == {0}


def test_prepared_block_outlives_views_without_commits() -> None:
    """No COMMIT arrives for several views: the block that was prepared first is the one decided."""
    cluster = begun(quiet())
    cluster.network.silenced.add(COMMIT)

    def prepared() -> dict[int, bytes]:
        return {
            height: entry.certificate.block_hash
            for node in cluster.live()
            if node.engine is not None
            for height, entry in node.engine.replica.state.prepared.items()
        }

    cluster.until(lambda: bool(prepared()), 20_000, "a prepared block")
    first = prepared()
    cluster.until(
        lambda: min(view_of(node) for node in cluster.live()) >= 3, 60_000, "three views to fail"
    )
    cluster.network.silenced.clear()
    cluster.heal()
    cluster.finish()
    for height, block_hash in first.items():
        assert cluster.checkers.hashes[height] == block_hash


@pytest.mark.parametrize("number", [NEW_VIEW, VIEW_CHANGE])
def test_lost_view_change_messages_are_repaired(number: int) -> None:
    """The primary dies while most messages of the view change are lost."""
    cluster = begun(quiet(evil={0: Evil.DEAD}))
    cluster.network.muted[number] = None
    cluster.crash(cluster.nodes[0])
    height = cluster.checkers.height
    cluster.until(lambda: cluster.checkers.height > height + 2, 60_000, "another primary")
    cluster.heal()
    cluster.finish()


def test_heavy_loss_is_repaired() -> None:
    """30 % of everything is lost for a minute: what got lost is sent again, the load is carried.

    Without the answers to STATUS a dozen transactions become final in this time.
    """
    cluster = begun(quiet(loss=0.3, load_gap_ms=500))
    cluster.pass_ms(60_000)
    assert cluster.clients.settled > 60
    cluster.heal()
    cluster.finish()


def test_machine_without_its_log_follows_until_its_operator_recovers_it() -> None:
    """It lost its votes: it appends what others decide, signs nothing, and later votes above."""
    cluster = begun(quiet())
    cluster.pass_ms(2_000)
    node = cluster.nodes[1]
    cluster.crash(node)
    node.lose_log()
    cluster.start(node)
    assert node.engine is not None
    assert node.book is not None
    signed, height = node.book.signed, cluster.checkers.height
    cluster.pass_ms(5_000)
    guard = node.engine.guard
    assert guard.permission is Permission.FOLLOWING
    assert node.book.signed == signed
    assert height_of(node) > height + 3
    guard.recover()
    node.engine.review_voting()
    assert guard.vote_above >= height + 2 * cluster.plan.window
    cluster.pass_ms(5_000)
    assert node.book.signed > signed
    with pytest.raises(Refused):
        guard.recover()
    cluster.heal()
    cluster.finish()


def test_rolled_back_log_is_found_by_the_echo() -> None:
    """An old copy of a log forgot votes that others saw: the member follows."""
    cluster = begun(quiet())
    node = cluster.nodes[1]
    old = node.log_image()
    cluster.pass_ms(3_000)
    cluster.crash(node)
    node.restore_log(old)
    cluster.start(node)
    cluster.pass_ms(3_000)
    assert node.engine is not None
    assert node.engine.guard.permission is Permission.FOLLOWING
    assert "older than votes" in node.engine.guard.reason


def test_forged_echo_keeps_nobody_from_voting() -> None:
    """An evil member claims votes of others that they never gave: their signatures are missing."""
    cluster = begun(quiet(evil={3: Evil.FORGER}))
    for member in range(3):
        cluster.pass_ms(1_500)
        cluster.crash(cluster.nodes[member])
        cluster.pass_ms(200)
        cluster.start(cluster.nodes[member])
        cluster.pass_ms(3_000)
    for node in cluster.live():
        assert node.engine is not None
        assert node.engine.guard.permission is Permission.ALLOWED
    cluster.heal()
    cluster.finish()


@pytest.mark.parametrize("evil", [Evil.EQUIVOCATOR, Evil.TWINS, Evil.SILENT, Evil.BABBLER])
@pytest.mark.parametrize("window", [1, 4])
def test_evil_first_primary(evil: Evil, window: int) -> None:
    """The member that begins as primary turns evil under load."""
    cluster = begun(quiet(window=window, evil={0: evil}, double_spends=True, load_gap_ms=50))
    cluster.pass_ms(10_000)
    cluster.heal()
    cluster.finish()
    assert cluster.checkers.height > 5


def test_small_logs_rotate() -> None:
    """With a limit of 4 KiB logs rotate at every turn, under crashes; no vote is forgotten."""
    plan = quiet(load_gap_ms=100, log_bytes_rotate=4_096)
    with small_logs(plan.log_bytes_rotate):
        cluster = begun(plan)
        for member in (1, 2, 3, 0):
            cluster.pass_ms(1_000)
            cluster.nodes[member].cut_after = 9
            cluster.until(
                lambda node=cluster.nodes[member]: node.engine is None, 20_000, "the power to fail"
            )
            cluster.start(cluster.nodes[member])
        cluster.heal()
        cluster.finish()
