"""A VIEW-CHANGE of an epoch that has ended is taken for a false one, and its sender is charged.

Had by: nobody that we know of. Who is only late would lose its links.
"""

from __future__ import annotations

from consensus.effects import Now, Output
from consensus.messages import ViewChange
from consensus.replica_state import ReplicaState
from consensus.view_change import check_view_change
from ledger.reasons import Invalid
from tests.sim.planting import Planted


def on_view_change(
    state: ReplicaState, sender: int, message: ViewChange, out: Output, now: Now
) -> None:
    body = message.body
    held = state.view_changes.get(sender)
    if body.signer != sender or body.view < state.view:
        return
    if held is not None and held.message.body.view >= body.view:
        return
    try:
        state.view_changes[sender] = check_view_change(message, state.rules)
    except Invalid:
        out.liars.append(sender)


PLANTED = Planted(
    target="consensus.changing:on_view_change",
    wrong=on_view_change,
    checkers=("honest",),
)
