"""The operator's word is enough: voting begins again without a quorum of the others' STATUS.

Had by: validators that vote again without the memory of their votes (Staked, 2021: 75 of them).
"""

from __future__ import annotations

from node.vote_guard import (
    RECOVERY_WINDOWS,
    Permission,
    Refused,
    VoteGuard,
)
from tests.sim.planting import Planted


def recover(self: VoteGuard) -> None:
    if self.permission is Permission.ALLOWED:
        raise Refused("there is nothing to recover: " + self.permission.value)
    others = self._heard_of_others()
    marks = [heard.mark for heard in others if heard.mark is not None]
    height = max([heard.height for heard in others] + [mark[2] for mark in marks], default=0)
    view = max([heard.view for heard in others] + [mark[1] for mark in marks], default=0)
    self._vote_above(height + RECOVERY_WINDOWS * self._rules.window, view)


PLANTED = Planted(
    target="node.vote_guard:VoteGuard.recover",
    wrong=recover,
    checkers=("RecoveredBlind", "DoubleSigned"),
)
