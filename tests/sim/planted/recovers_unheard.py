"""The operator's word is enough: voting begins again without a quorum of the others' STATUS.

Had by: validators that vote again without the memory of their votes (Staked, 2021: 75 of them).
"""

from __future__ import annotations

from collections.abc import Callable

from ledger import codec
from node.vote_guard import (
    COMMIT,
    RECOVERY_WINDOWS,
    GuardState,
    Kind,
    Permission,
    Refused,
    VoteGuard,
)
from node.wal import WriteAheadLog
from tests.sim.planting import Planted


def recover(self: VoteGuard, new_log: Callable[[], WriteAheadLog]) -> None:
    if self.permission is Permission.ALLOWED:
        raise Refused("there is nothing to recover: " + self.permission.value)
    others = [heard for member, heard in self._heard.items() if member != self._member]
    marks = [heard.mark for heard in others if heard.mark is not None]
    height = max([heard.height for heard in others] + [mark[2] for mark in marks], default=0)
    view = max([heard.view for heard in others] + [mark[1] for mark in marks], default=0)
    above = height + RECOVERY_WINDOWS * self._rules.window
    log = self._log if self._log is not None else new_log()
    self._log = log
    self._state = GuardState(self._rules.epoch, view, height, COMMIT, above, view)
    self._votes.clear()
    log.append(Kind.STATE, codec.encode_payload(self._state))
    log.sync()
    self._why = ""
    self._own_above = above
    self.permission = Permission.ALLOWED


PLANTED = Planted(
    target="node.vote_guard:VoteGuard.recover",
    wrong=recover,
    checkers=("RecoveredBlind", "DoubleSigned"),
)
