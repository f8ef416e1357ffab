"""What only one transaction can have: an output to spend, a number of a lane, or the end of an
order.

Two transactions with a common claim are in conflict, whatever the state: at most one of them is
ever final.
"""

from __future__ import annotations

from typing import TypeAlias

from ledger.operations import Numbered, lane_of
from ledger.reasons import Invalid, Reason
from ledger.redemption_operations import CancelRedemption, CloseRedemption
from ledger.transaction import SignedTransaction

Claim: TypeAlias = tuple[bytes] | tuple[bytes, int] | tuple[str, str, int, int]
"""An order that is cancelled or closed, which happens once; an outpoint; or (owner, role, lane,
number)."""


def claims_of(tx: SignedTransaction) -> tuple[Claim, ...]:
    """Each claim once, in the order of the body."""
    claims: list[Claim] = [(spent.txid, spent.index) for spent in tx.body.inputs]
    for item in tx.body.operations:
        if isinstance(item, Numbered):
            claims.append((*lane_of(item), item.number))
        elif isinstance(item, CancelRedemption | CloseRedemption):
            claims.append((item.order,))
    return tuple(dict.fromkeys(claims)) if len(claims) > 1 else tuple(claims)


def conflict(claim: Claim, by: str, reason_of_output: Reason) -> Invalid:
    """The refusal of whoever comes second; `by` names the first."""
    if len(claim) == 1:
        return Invalid(Reason.WRONG_STATE, f"order {claim[0].hex()} is cancelled or closed by {by}")
    if len(claim) == 2:
        txid, index = claim
        return Invalid(reason_of_output, f"output {txid.hex()}:{index} is spent by {by}")
    owner, role, lane, number = claim
    detail = f"number {number} in {role} lane {lane} of '{owner}' is used by {by}"
    return Invalid(Reason.REPLAYED_OPERATION, detail)
