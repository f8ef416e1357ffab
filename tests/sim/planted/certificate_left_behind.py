"""A VIEW-CHANGE takes no prepared certificates along.

Had by: Hyperledger Sawtooth PBFT, whose view change starts from an empty block id: with n = 4 and
nobody evil one member commits X and the three others Y. NEO's dBFT and dedis/cothority#2080 too.
"""

from __future__ import annotations

from consensus.messages import ViewChangeBody
from consensus.replica_state import ReplicaState
from tests.sim.planting import Planted


def _own_view_change(state: ReplicaState, member: int) -> ViewChangeBody:
    certificate = state.committed_certificate
    return ViewChangeBody(
        epoch=state.rules.epoch,
        view=state.view,
        base=state.committed,
        base_certificate=() if certificate is None else (certificate,),
        entries=(),
        signer=member,
    )


PLANTED = Planted(
    target="consensus.changing:_own_view_change",
    wrong=_own_view_change,
    checkers=("DoubleSigned", "agreement", "LockedBlock"),
)
