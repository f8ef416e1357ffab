"""A vote is verified with its sender's key and counted for whom it names as its signer.

Had by: Hyperledger Sawtooth PBFT (e7b4ba2), and CometBFT's "Tachyon" (GHSA-c32p-wcqj-j677), which
verified a commit by index and took its time by an address that nobody verified.
"""

from __future__ import annotations

from consensus.effects import Output
from consensus.messages import Vote
from consensus.replica_state import PARK_VIEWS, ReplicaState
from ledger.block import vote_hash
from tests.sim.planting import Planted


def on_vote(state: ReplicaState, sender: int, vote: Vote, out: Output) -> None:
    if vote.epoch != state.rules.epoch or vote.view < state.view:
        return
    if not state.height < vote.height <= state.near_height:
        return
    if vote.view > state.view + PARK_VIEWS:
        return
    if vote.view > state.view or not state.active:
        state.park(sender, vote)
        return
    key = state.rules.validators.members[sender].key
    message = vote_hash(state.rules.chain_id, vote.payload)
    if state.rules.is_valid(key, message, vote.signature):
        state.slot(vote.height).votes(vote.phase).add(vote)


PLANTED = Planted(
    target="consensus.normal_case:on_vote",
    wrong=on_vote,
    checkers=("certificate",),
)
