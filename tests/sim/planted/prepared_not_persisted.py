"""The log holds votes and no prepared certificates: a restart forgets what must go along.

Had by: Hyperledger Besu and Indy Plenum, which keep nothing of the kind over a restart.
"""

from __future__ import annotations

from consensus.effects import VoteRequest
from ledger import codec
from ledger.block import PREPARE, Block
from node.vote_guard import VoteGuard
from node.vote_memory import Kind
from tests.sim.planted_focus import pressed
from tests.sim.planting import Planted


def _log_vote(self: VoteGuard, request: VoteRequest, block: Block | None) -> None:
    payload = request.payload
    if payload.phase == PREPARE and payload.block_hash not in self._memory.blocks:
        assert block is not None
        self._memory.append_block(block)
    self._memory.append(Kind.VOTE, codec.encode_payload(payload))


PLANTED = Planted(
    target="node.vote_guard:VoteGuard._log_vote",
    wrong=_log_vote,
    checkers=("DoubleSigned", "agreement", "LockedBlock"),
    focus=pressed,
)
