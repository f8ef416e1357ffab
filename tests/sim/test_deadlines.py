"""Ten thousand deadlines pass at one moment while clients go on: nobody notices."""

from __future__ import annotations

import msgspec
import pytest

from ledger.economy.capacity import Device
from ledger.objects import LedgerClock, load_all, load_one
from ledger.sweep import SWEEP_OBJECTS_MAX
from tests.ledger.world import PERIOD_MS, TIME_MS, commitment
from tests.sim.cluster import Cluster
from tests.sim.node import SimNode
from tests.sim.test_scenarios import quiet, view_of
from tests.sim.world import SimWorld, sim_world, world_of

pytestmark = pytest.mark.usefixtures("remembering")

DEVICES = 10_000
A_COMMITMENT = 2_500
MICROHOURS = A_COMMITMENT * 1_000_000 // 60
END_MS = TIME_MS + 2 * PERIOD_MS
LIMIT_MS = 600_000


def crowded() -> SimWorld:
    """Four commitments more, whose devices are all free when the second period ends."""
    usual = sim_world(4, 1, mocked=True)
    short = []
    for number in range(DEVICES // A_COMMITMENT):
        item = commitment(
            f"val{number}", name="short", machines=A_COMMITMENT, microhours=MICROHOURS
        )
        terms = msgspec.structs.replace(item.terms, to_ms=END_MS, region="us-east")
        short.append(msgspec.structs.replace(item, terms=terms))
    genesis = usual.genesis
    made = msgspec.structs.replace(genesis, commitments=(*genesis.commitments, *short))
    return world_of(made, mocked=True)


def due(node: SimNode) -> int:
    """Devices of the commitments that end soon."""
    assert node.engine is not None
    devices = load_all(node.engine.chain, Device)
    return sum(item.commitment == "short" for item in devices)


def clock_of(node: SimNode) -> int:
    assert node.engine is not None
    return load_one(node.engine.chain, LedgerClock).time_ms


def test_ten_thousand_deadlines_at_one_moment_end_no_view() -> None:
    """They are swept over many blocks, in which payments become final as before; every node has the
    same roots, and in the end no device is left."""
    cluster = Cluster(quiet(load_gap_ms=200), world=crowded())
    cluster.begin()
    node = cluster.nodes[0]
    cluster.until(lambda: clock_of(node) > END_MS - 5_000, LIMIT_MS, "the period's last seconds")
    assert due(node) == DEVICES
    height, settled = cluster.checkers.height, cluster.clients.settled
    cluster.until(lambda: due(node) == 0, LIMIT_MS, "all devices to be free")
    assert cluster.checkers.height - height >= DEVICES // SWEEP_OBJECTS_MAX
    assert cluster.clients.settled - settled > DEVICES // SWEEP_OBJECTS_MAX // 2
    cluster.heal()
    cluster.finish()
    assert {view_of(item) for item in cluster.live()} == {0}
    assert {due(item) for item in cluster.live()} == {0}
