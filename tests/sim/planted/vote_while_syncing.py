"""A member that knows of final blocks which it lacks votes nevertheless.

Had by: CometBFT documents it for `adaptive_sync`: whoever takes blocks in and votes at once may
sign against what is final.
"""

from __future__ import annotations

from consensus.replica_state import ReplicaState
from tests.sim.planting import Planted


def _synced(self: ReplicaState) -> bool:
    return len(self.status_from) >= self.quorum


PLANTED = Planted(
    target="consensus.replica_state:ReplicaState.synced",
    wrong=property(_synced),
    checkers=("VoteWhileBehind",),
)
