"""What only one transaction can have: an output to spend, or a number of a lane.

Two transactions with a common claim are in conflict, whatever the state: at most one of them is
ever final.
"""

from __future__ import annotations

from typing import TypeAlias

from ledger.operations import Numbered, lane_of
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction

Claim: TypeAlias = tuple[bytes, int] | tuple[str, str, int, int]
"""An outpoint, or (owner, role, lane, number)."""


def claims_of(tx: SignedTransaction) -> tuple[Claim, ...]:
    """Each claim once, in the order of the body."""
    claims: list[Claim] = [(spent.txid, spent.index) for spent in tx.body.inputs]
    for item in tx.body.operations:
        if isinstance(item, Numbered):
            claims.append((*lane_of(item), item.number))
    return tuple(dict.fromkeys(claims))


def conflict(claim: Claim, by: str, reason_of_output: Reason) -> Invalid:
    """The refusal of whoever comes second; `by` names the first."""
    if len(claim) == 2:
        txid, index = claim
        return Invalid(reason_of_output, f"output {txid.hex()}:{index} is spent by {by}")
    owner, role, lane, number = claim
    detail = f"number {number} in {role} lane {lane} of '{owner}' is used by {by}"
    return Invalid(Reason.REPLAYED_OPERATION, detail)
