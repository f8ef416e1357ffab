"""Entering a view discards the prepared certificates of earlier views.

Had by: a relative of dedis/cothority#2080, where a view change dropped a block and the chain
forked; here it takes two view changes in a row.
"""

from __future__ import annotations

from consensus.effects import Now
from consensus.replica_state import ReplicaState
from tests.sim.planting import Planted

_right = ReplicaState._enter


def _enter(self: ReplicaState, view: int, now: Now) -> None:
    _right(self, view, now)
    self.prepared = {}


PLANTED = Planted(
    target="consensus.replica_state:ReplicaState._enter",
    wrong=_enter,
    checkers=("DoubleSigned", "agreement", "LockedBlock"),
)
