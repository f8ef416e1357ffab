"""Votes for any later height make a slot: one member fills the memory of all others.

Had by: Hyperledger Besu, which opens a round for every number that it hears of.
"""

from __future__ import annotations

from consensus.effects import Output
from consensus.messages import Vote
from consensus.normal_case import _count
from consensus.replica_state import ReplicaState
from tests.sim.planting import Planted


def on_vote(state: ReplicaState, sender: int, vote: Vote, out: Output) -> None:
    if vote.signer != sender or vote.epoch != state.rules.epoch or vote.view < state.view:
        return
    if vote.height <= state.height:
        return
    if vote.view > state.view or not state.active:
        state.park(sender, vote)
        return
    _count(state, state.slot(vote.height), vote, out)


PLANTED = Planted(
    target="consensus.normal_case:on_vote",
    wrong=on_vote,
    checkers=("bounds",),
)
