"""A NEW-VIEW is obeyed without counting and verifying the VIEW-CHANGEs in it.

Had by: Hyperledger Sawtooth PBFT (014efac), where an invalid NEW-VIEW moved the view.
"""

from __future__ import annotations

from consensus.messages import NewView
from consensus.view_change import CheckedViewChange, Derived, Rules, derive
from ledger.reasons import Invalid, Reason
from tests.sim.planted_focus import forged
from tests.sim.planting import Planted


def check_new_view(message: NewView, rules: Rules, known: dict[int, CheckedViewChange]) -> Derived:
    checked = [CheckedViewChange(item, item.body.entries) for item in message.body.view_changes]
    if not checked:
        raise Invalid(Reason.BAD_CERTIFICATE, "NEW-VIEW without any VIEW-CHANGE")
    return derive(checked)


PLANTED = Planted(
    target="consensus.view_change:check_new_view",
    wrong=check_new_view,
    checkers=("agreement", "LockedBlock", "liveness", "views at rest"),
    focus=forged,
)
