"""The rows of redemption in the table of operations."""

from __future__ import annotations

from ledger import redemption_operations as ops
from ledger.catalogue_row import HOLDER, NONE, OPERATIONS, Row
from ledger.reasons import Reason

METERING = "the issuer's metering key"
SESSION = "the order's session key"
EITHER = "the order's session key or the issuer's metering key"
KIND = "redemption"

_ORDERED = (Reason.UNKNOWN_REDEMPTION, Reason.WRONG_STATE)
_SERVING = (*_ORDERED, Reason.WRONG_ROLE_KEY)
_DELIVERING = ("ready", "active", "closing", "disputed")

REDEMPTION_ROWS: tuple[Row, ...] = (
    Row(
        ops.Redeem,
        HOLDER,
        KIND,
        NONE,
        "requested, or queued where no hours are free or others wait for them",
        (
            Reason.UNKNOWN_COMMITMENT,
            Reason.COMMITMENT_OVER,
            Reason.UNKNOWN_CLASS,
            Reason.LOW_AMOUNT,
            Reason.BAD_WINDOW,
            Reason.NO_FREE_HOURS,
            Reason.REDEMPTION_EXISTS,
            Reason.TOO_MANY,
        ),
    ),
    Row(
        ops.CancelRedemption,
        SESSION,
        KIND,
        ("queued", "requested"),
        "cancelled, paid back in the next block",
        _SERVING,
    ),
    Row(ops.AcceptRedemption, OPERATIONS, KIND, ("requested",), "accepted", _SERVING),
    Row(
        ops.ReadyRedemption,
        OPERATIONS,
        KIND,
        ("accepted",),
        "ready",
        (*_SERVING, Reason.BAD_ENDPOINT),
    ),
    Row(
        ops.PostReceipt,
        METERING,
        KIND,
        _DELIVERING,
        "active, or closing or disputed as before; less outstanding, fewer hours",
        (
            *_SERVING,
            Reason.BAD_RECEIPT,
            Reason.STALE_RECEIPT,
            Reason.ABOVE_ORDER,
            Reason.NOT_HEALTHY,
        ),
    ),
    Row(
        ops.CloseRedemption,
        EITHER,
        KIND,
        ("ready", "active"),
        "closing; from ready by the session key alone",
        _SERVING,
    ),
    Row(
        ops.DisputeRedemption,
        "a holder, by what it spends, with either side's key",
        KIND,
        ("closing",),
        "disputed",
        (
            *_SERVING,
            Reason.ABOVE_ORDER,
            Reason.UNKNOWN_ASSET,
            Reason.LOW_DEPOSIT,
            Reason.NO_PANEL,
        ),
    ),
    Row(
        ops.RuleRedemption,
        "an attestor of the panel",
        KIND,
        ("disputed",),
        "ruled, once three agree",
        (
            Reason.UNKNOWN_ATTESTOR,
            Reason.WRONG_ROLE_KEY,
            Reason.UNKNOWN_DISPUTE,
            Reason.NOT_ON_PANEL,
            Reason.REPLAYED_OPERATION,
        ),
    ),
)
