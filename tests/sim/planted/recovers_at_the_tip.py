"""Voting begins again right above what is proved, where this key has voted already.

Had by: validators that vote again without the memory of their votes (Staked, 2021: 75 of them).
"""

from __future__ import annotations

from node.vote_guard import Permission, Refused, VoteGuard
from tests.sim.planted_focus import flipped_records
from tests.sim.planting import Planted


def recover(self: VoteGuard) -> None:
    if self.permission is not Permission.FOLLOWING:
        raise Refused("there is nothing to recover: " + self.permission.value)
    others = self._heard_of_others()
    if len(others) < self._quorum:
        raise Refused("too few answered")
    self._vote_above(max(heard.height for heard in others), 0)


PLANTED = Planted(
    target="node.vote_guard:VoteGuard.recover",
    wrong=recover,
    checkers=("RecoveredTooLow",),
    focus=flipped_records,
)
