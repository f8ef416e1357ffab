"""A PREPARE leaves before it is on the disk: one sync, with the COMMIT, was to be enough.

Had by: Besu and Indy Plenum, which persist no votes at all; Tendermint lost its log's end under
Jepsen (2017). More than f restarts at once un-prepare a committed block.
"""

from __future__ import annotations

from ledger.block import PREPARE, VotePayload
from node.vote_guard import SignedMessage, VoteGuard
from tests.sim.planting import Planted


def flush(self: VoteGuard) -> list[SignedMessage]:
    if not self._staged:
        return []
    staged, self._staged = self._staged, []
    signed = [self._sign(item) for item in staged]
    if not all(isinstance(item, VotePayload) and item.phase == PREPARE for item in staged):
        self._memory.sync()
    return signed


PLANTED = Planted(
    target="node.vote_guard:VoteGuard.flush",
    wrong=flush,
    checkers=("SignedUnsynced",),
)
