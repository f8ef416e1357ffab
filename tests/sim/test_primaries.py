"""Bad primaries go, honest ones stay: schedules by hand, with blocks and pools made small.

A primary that decides is never silent; what betrays it is what it passes over, or how little it
decides while much waits. Load, clocks, pauses and idle hours betray nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import consensus.suspicion
import ledger.execution
import ledger.mempool
import node.building
import node.oversight
from consensus.effects import Now
from consensus.suspicion import WINDOW_MS
from ledger.mempool import Take
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from node.engine import Engine
from p2p.wire import PRE_PREPARE
from tests.sim.cluster import Cluster
from tests.sim.node import SimNode
from tests.sim.test_scenarios import begun, quiet, view_of

pytestmark = pytest.mark.usefixtures("remembering")

BLOCK = 5
POOL = 30
ROOM = 6
T_MS = 2_000


@pytest.fixture(params=[1, 4])
def window(request: pytest.FixtureRequest) -> int:
    """Heights in flight."""
    return int(request.param)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks of five transactions and pools of thirty: what the rules compare is in proportion."""
    for module in (ledger.execution, node.building, consensus.suspicion, node.oversight):
        monkeypatch.setattr(module, "BLOCK_TRANSACTIONS_MAX", BLOCK)
    monkeypatch.setattr(ledger.mempool, "TRANSACTIONS_MAX", POOL)
    for module in (ledger.mempool, node.oversight):
        monkeypatch.setattr(module, "RESENT_MAX", ROOM)
    monkeypatch.setattr(consensus.suspicion, "DECIDED_MAX", POOL + 4 * BLOCK)
    yield


def engine_of(item: SimNode) -> Engine:
    assert item.engine is not None
    return item.engine


def views(cluster: Cluster) -> set[int]:
    return {view_of(item) for item in cluster.live()}


def check_deposed(
    cluster: Cluster, limit_ms: int, log: pytest.LogCaptureFixture, *causes: str
) -> None:
    """The first primary goes within the time, for one of these causes and while it decides; the
    second one stays under the same load, and everything pending becomes final."""
    cluster.until(lambda: min(views(cluster)) >= 1, limit_ms, "another primary")
    assert any(f"primary suspected: {cause}" in log.text for cause in causes)
    cluster.pass_ms(WINDOW_MS)
    cluster.heal()
    cluster.finish()
    assert views(cluster) == {1}


def test_primary_that_censors_one_client_is_deposed(
    window: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It drops one account's payments from wherever they come; the others' become final."""
    cluster = begun(quiet(window=window, load_gap_ms=100))
    primary = cluster.nodes[0]
    censored = cluster.world.key("account0").public
    admit = primary.intake.admit

    def refuse(tx: SignedTransaction, now: Now, *, resent_by: bytes | None = None) -> None:
        if any(item.key == censored for item in tx.witness.signatures):
            raise Invalid(Reason.MEMPOOL_FULL, "not you")
        admit(tx, now, resent_by=resent_by)

    primary.intake.admit = refuse  # type: ignore[method-assign]
    height = cluster.checkers.height
    check_deposed(cluster, 8 * T_MS, caplog, "it passes over")
    assert cluster.checkers.height > height + 20


def test_primary_that_makes_tiny_blocks_is_deposed(
    window: int, small_blocks: None, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes one transaction where five wait, however many such blocks are in flight."""
    cluster = begun(quiet(window=window, load_gap_ms=40 // window, latency_ms=(20, 40)))
    cluster.pass_ms(2 * WINDOW_MS)
    assert views(cluster) == {0}
    pool = engine_of(cluster.nodes[0]).mempool
    select = pool.select

    def select_one(*, take: Take, **options: Any) -> list[SignedTransaction]:
        taken: list[SignedTransaction] = []

        def take_first(tx: SignedTransaction) -> bool:
            if not taken and take(tx):
                taken.append(tx)
                return True
            return False

        return select(take=take_first, **options)

    pool.select = select_one  # type: ignore[method-assign]
    check_deposed(cluster, 4 * WINDOW_MS, caplog, "it passes over", "it decides less")


def test_primary_that_delays_to_just_below_the_time_out_is_deposed(
    window: int, small_blocks: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Each proposal leaves at the last moment: nobody's timer runs out, little is decided."""
    cluster = begun(quiet(window=window, load_gap_ms=40))
    cluster.pass_ms(2 * WINDOW_MS)
    assert views(cluster) == {0}
    primary = cluster.nodes[0]
    send = primary._send

    def delay(to: int | None, number: int, payload: bytes) -> None:
        if number == PRE_PREPARE:
            cluster.timeline.after(T_MS - 100, lambda: send(to, number, payload))
        else:
            send(to, number, payload)

    primary._send = delay  # type: ignore[assignment]
    check_deposed(cluster, 4 * WINDOW_MS, caplog, "it decides less")


def test_overload_deposes_nobody(
    window: int, small_blocks: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten times what the blocks can hold, for half a minute: pools are full, the primary stays."""
    cluster = begun(quiet(window=window, load_gap_ms=10, latency_ms=(150, 250)))
    refused = 0
    for _ in range(30):
        cluster.pass_ms(1_000)
        pools = [len(engine_of(item).mempool) for item in cluster.live()]
        refused += max(pools) >= POOL
    assert refused > 10
    cluster.heal()
    cluster.finish()
    assert "primary suspected" not in caplog.text
    assert views(cluster) == {0}


@pytest.mark.parametrize("skew_ms", [1_000, 4_000])
def test_skewed_clocks_depose_nobody(window: int, skew_ms: int) -> None:
    """Clocks up to 8 s apart: no view ends."""
    cluster = begun(quiet(window=window, seed=skew_ms, load_gap_ms=100))
    for index, item in enumerate(cluster.nodes.values()):
        item._wall_start_ms += skew_ms if index % 2 else -skew_ms
    cluster.pass_ms(30_000)
    cluster.heal()
    cluster.finish()
    assert views(cluster) == {0}
    assert cluster.clients.settled > 50


@pytest.mark.parametrize("load_gap_ms", [50, 100, 200])
def test_pauses_depose_nobody(window: int, load_gap_ms: int) -> None:
    """Each machine stands still in turn, the primary for less than T: no view ends, though whoever
    wakes up finds what waits old and the next one does so within the life of a suspicion."""
    cluster = begun(quiet(window=window, load_gap_ms=load_gap_ms))
    for turn in range(8):
        paused = cluster.nodes[turn % 4]
        cluster.paused[paused.address] = []
        cluster.pass_ms(1_500 if paused.address == 0 else 5_000)
        for action in cluster.paused.pop(paused.address):
            action()
        cluster.pass_ms(1_000)
    cluster.heal()
    cluster.finish()
    assert views(cluster) == {0}


def test_idle_hour_deposes_nobody(window: int) -> None:
    """Nothing but heartbeats for an hour of virtual time."""
    cluster = begun(quiet(window=window, load_gap_ms=10_000_000))
    height = cluster.checkers.height
    cluster.pass_ms(3_600_000)
    assert cluster.checkers.height > height + 300
    assert views(cluster) == {0}


def test_quorum_lost_for_ten_minutes(window: int) -> None:
    """Two of four are cut off under load; healed, blocks are final within ten seconds."""
    cluster = begun(quiet(window=window, load_gap_ms=2_000, notices_cuts=True))
    cut = cluster.network.cut([(a, b) for a in range(4) for b in range(4) if a // 2 != b // 2])
    cluster.reconnect()
    cluster.pass_ms(600_000)
    height = cluster.checkers.height
    cluster.network.mend(cut)
    cluster.reconnect()
    cluster.until(lambda: cluster.checkers.height > height, 10_000, "a block")
    cluster.heal()
    cluster.finish()
