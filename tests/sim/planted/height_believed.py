"""The height that a peer claims is believed without its certificate.

Had by: CometBFT (CVE-2025-24371): a peer that tells a wrong height keeps others catching up.
"""

from __future__ import annotations

from consensus.messages import Status
from consensus.replica_state import ReplicaState
from tests.sim.planting import Planted


def _learn_height(state: ReplicaState, status: Status) -> bool:
    if status.certificate and status.height > state.known_height:
        state.learn_certificate(status.certificate[0])
    return True


PLANTED = Planted(
    target="consensus.status:_learn_height",
    wrong=_learn_height,
    checkers=("liveness", "busy loop", "VoteWhileBehind"),
)
