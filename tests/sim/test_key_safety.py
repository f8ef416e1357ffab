"""Keys in trouble: whatever happens to a disk or a clock, no key signs twice.

The book of signatures (`signatures.py`) watches every honest key over all its lives and raises
when it contradicts itself; here the trouble is made on purpose.
"""

from __future__ import annotations

import pytest

from node.vote_guard import Permission, VoteGuard
from p2p.wire import NEW_VIEW
from tests.sim.cluster import Cluster
from tests.sim.node import SimNode
from tests.sim.plan import Evil
from tests.sim.test_scenarios import begun, height_of, quiet, view_of

pytestmark = pytest.mark.usefixtures("remembering")

HOUR_MS = 3_600_000


def guard_of(node: SimNode) -> VoteGuard:
    assert node.engine is not None
    return node.engine.guard


def settle(cluster: Cluster) -> None:
    cluster.heal()
    cluster.finish()


@pytest.mark.parametrize("member", [0, 1])
def test_clock_set_back(member: int) -> None:
    """A machine comes back an hour early, as primary and as backup: the others go on, it signs
    nothing twice, and with the right time it is a member as before."""
    cluster = begun(quiet())
    cluster.pass_ms(2_000)
    node = cluster.nodes[member]
    cluster.crash(node)
    node._wall_start_ms -= HOUR_MS
    cluster.start(node)
    height = cluster.checkers.height
    cluster.until(lambda: cluster.checkers.height > height + 10, 60_000, "ten blocks")
    assert height_of(node) > height
    node._wall_start_ms += HOUR_MS
    settle(cluster)


def test_log_that_forgot_its_last_view_change() -> None:
    """It left view 0 and its log knows nothing of it: the others do, and it follows."""
    cluster = begun(quiet(evil={0: Evil.DEAD}))
    cluster.pass_ms(2_000)
    node = cluster.nodes[2]
    cluster.network.silenced.add(NEW_VIEW)
    cluster.crash(cluster.nodes[0])
    old = b""

    def has_left() -> bool:
        nonlocal old
        if view_of(node) == 0:
            old = node.log_image()
        return view_of(node) > 0

    cluster.until(has_left, 20_000, "the view to end")
    cluster.pass_ms(1_000)
    cluster.crash(node)
    node.restore_log(old)
    cluster.start(node)
    cluster.until(
        lambda: guard_of(node).permission is not Permission.WAITING, 10_000, "a quorum's STATUS"
    )
    assert guard_of(node).permission is Permission.FOLLOWING
    assert "a view that this key left" in guard_of(node).reason
