"""The table of operations: who signs each, on which object in which state, and why it is refused.

`docs/ECONOMY.md` shows it, the API tells from it what may be done with an object now, and tests
hold it against what the rules do. Reasons that any transaction may meet (bytes, signatures, inputs,
a second time, quotas) are not repeated here.
"""

from __future__ import annotations

from ledger import operations as ops
from ledger.catalogue_redemption import REDEMPTION_ROWS
from ledger.catalogue_row import (
    ANY,
    ATTESTOR,
    BOTH,
    HOLDER,
    NONE,
    OPERATIONS,
    REGULATOR_OR_VALIDATORS,
    TREASURY,
    VALIDATORS,
    Row,
)
from ledger.reasons import Reason

_GOVERNED = (Reason.NOT_ALONE, Reason.NOT_FIRST, Reason.NEEDS_QUORUM, Reason.WRONG_ROLE_KEY)
_VERSIONED = (Reason.UNKNOWN_LICENCE, Reason.WRONG_VERSION)
_ISSUING = (Reason.UNKNOWN_ISSUER, Reason.WRONG_ROLE_KEY)
_LANED = (Reason.REPLAYED_OPERATION, Reason.OPERATION_GAP)
_ATTESTING = (Reason.UNKNOWN_ATTESTOR, Reason.WRONG_ROLE_KEY)
_GRANTED = (Reason.BAD_GRANT, Reason.BAD_KEY)
_STANDING = (Reason.UNKNOWN_COMMITMENT, Reason.COMMITMENT_OVER)
_COUNTING = ("proposed", "live", "stale", "contested")

TABLE: tuple[Row, ...] = (
    Row(ops.Apply, HOLDER, "licence", NONE, "applied", (*_GRANTED, Reason.FEE_TOO_LOW)),
    Row(
        ops.Admit,
        BOTH,
        "licence",
        ("none", "applied", "active", "accused", "suspended", "winddown"),
        "active, or accused or suspended as before; waiting for a seat where it validates",
        (*_GOVERNED, *_GRANTED, Reason.WRONG_VERSION, Reason.HAS_SEAT, Reason.LICENCE_INACTIVE),
    ),
    Row(
        ops.Suspend,
        REGULATOR_OR_VALIDATORS,
        "licence",
        ("active",),
        "suspended",
        (*_GOVERNED, *_VERSIONED, Reason.LICENCE_INACTIVE),
    ),
    Row(
        ops.Reinstate,
        BOTH,
        "licence",
        ("suspended",),
        "active, or winddown as before",
        (*_GOVERNED, *_VERSIONED, Reason.LICENCE_INACTIVE, Reason.WRONG_EPOCH),
    ),
    Row(
        ops.Revoke,
        BOTH,
        "licence",
        ("applied", "active", "accused", "suspended", "winddown"),
        "revoked, its seat gone with the epoch; an application is gone at once",
        (*_GOVERNED, *_VERSIONED, Reason.LICENCE_INACTIVE),
    ),
    Row(
        ops.WindDown,
        OPERATIONS,
        "licence",
        ("active",),
        "winddown",
        (*_VERSIONED, Reason.WRONG_ROLE_KEY, Reason.LICENCE_INACTIVE),
    ),
    Row(
        ops.RotateKey,
        "the operations key and the new key",
        "licence",
        ("active", "accused", "suspended", "winddown"),
        "the same; the new key counts later",
        (*_VERSIONED, *_GRANTED, Reason.WRONG_ROLE_KEY, Reason.BAD_ROLE, Reason.LICENCE_INACTIVE),
    ),
    Row(
        ops.Remove,
        VALIDATORS,
        "licence",
        ANY,
        "the same; its seat gone with the epoch",
        (*_GOVERNED, *_VERSIONED, Reason.NO_SEAT),
    ),
    Row(
        ops.ValidatorReady,
        "the consensus key",
        "licence",
        ("active", "accused"),
        "the same; it may take a seat",
        (
            *_VERSIONED,
            Reason.NO_SEAT,
            Reason.LICENCE_INACTIVE,
            Reason.WRONG_ROLE_KEY,
            Reason.WRONG_EPOCH,
        ),
    ),
    Row(
        ops.Evidence,
        "two votes that contradict each other",
        "licence",
        ("active", "suspended", "winddown"),
        "accused, then suspended with the epoch; at once if it was suspended or winding down",
        (
            Reason.UNKNOWN_LICENCE,
            Reason.WRONG_ROLE_KEY,
            Reason.WRONG_EPOCH,
            Reason.NO_CONFLICT,
            Reason.LICENCE_INACTIVE,
        ),
    ),
    Row(
        ops.EndEpoch,
        VALIDATORS,
        "epoch",
        ANY,
        "the last block of it",
        (*_GOVERNED, Reason.WRONG_EPOCH),
    ),
    Row(
        ops.RotateRegulator,
        BOTH,
        "regulator",
        ANY,
        "the same; the new keys count later",
        (*_GOVERNED, *_GRANTED, Reason.WRONG_VERSION),
    ),
    Row(
        ops.AdmitAttestor,
        BOTH,
        "attestor",
        ("none", "removed"),
        "active",
        (*_GOVERNED, *_GRANTED, Reason.WRONG_VERSION),
    ),
    Row(
        ops.RemoveAttestor,
        BOTH,
        "attestor",
        ("active",),
        "removed",
        (*_GOVERNED, Reason.UNKNOWN_ATTESTOR, Reason.WRONG_VERSION),
    ),
    Row(
        ops.Commit,
        OPERATIONS,
        "commitment",
        NONE,
        "proposed",
        (
            *_ISSUING,
            *_LANED,
            Reason.LICENCE_INACTIVE,
            Reason.UNKNOWN_CLASS,
            Reason.TOO_MANY,
            Reason.BAD_SCHEDULE,
            Reason.COMMITMENT_EXISTS,
            Reason.OVERLAPPING_SCHEDULE,
        ),
    ),
    Row(
        ops.PledgeDevices,
        OPERATIONS,
        "commitment",
        _COUNTING,
        "the same",
        (
            *_ISSUING,
            *_LANED,
            *_STANDING,
            Reason.LICENCE_INACTIVE,
            Reason.WRONG_VERSION,
            Reason.DEVICE_PLEDGED,
            Reason.TOO_MANY,
        ),
    ),
    Row(
        ops.Amend,
        OPERATIONS,
        "commitment",
        _COUNTING,
        "the same, more or longer",
        (
            *_ISSUING,
            *_LANED,
            *_STANDING,
            Reason.LICENCE_INACTIVE,
            Reason.WRONG_VERSION,
            Reason.NO_EFFECT,
            Reason.BAD_SCHEDULE,
            Reason.OVERLAPPING_SCHEDULE,
        ),
    ),
    Row(
        ops.Attest,
        ATTESTOR,
        "commitment",
        _COUNTING,
        "live once enough groups attest",
        (
            *_ATTESTING,
            *_LANED,
            *_STANDING,
            Reason.ABOVE_COMMITMENT,
            Reason.BAD_SCHEDULE,
            Reason.TOO_MANY,
            Reason.NO_PANEL,
        ),
    ),
    Row(
        ops.OpenChallenge,
        HOLDER,
        "commitment",
        ("live", "stale"),
        "contested",
        (
            *_STANDING,
            Reason.ALREADY_CONTESTED,
            Reason.OWN_COIN,
            Reason.UNKNOWN_ASSET,
            Reason.LOW_DEPOSIT,
            Reason.NO_PANEL,
        ),
    ),
    Row(
        ops.Rule,
        "an attestor of the panel",
        "commitment",
        ("contested",),
        "void or live, once three agree",
        (*_ATTESTING, Reason.UNKNOWN_CHALLENGE, Reason.NOT_ON_PANEL, Reason.REPLAYED_OPERATION),
    ),
    Row(
        ops.SealNonce,
        ATTESTOR,
        "audit round",
        ("before the period",),
        "sealed",
        (*_ATTESTING, Reason.BAD_PERIOD, Reason.REPLAYED_OPERATION),
    ),
    Row(
        ops.RevealNonce,
        ATTESTOR,
        "audit round",
        ("in the period after",),
        "revealed",
        (*_ATTESTING, Reason.BAD_PERIOD, Reason.BAD_NONCE, Reason.REPLAYED_OPERATION),
    ),
    Row(
        ops.OpenDevices,
        OPERATIONS,
        "opening",
        ("in its period",),
        "more devices opened",
        (
            *_ISSUING,
            Reason.BAD_PERIOD,
            Reason.NOT_DRAWN,
            Reason.UNKNOWN_DEVICE,
            Reason.WRONG_VERSION,
            Reason.REPLAYED_OPERATION,
        ),
    ),
    Row(
        ops.Mint,
        TREASURY,
        "issuer",
        ("healthy",),
        "more outstanding",
        (
            *_ISSUING,
            *_LANED,
            Reason.LICENCE_INACTIVE,
            Reason.NOT_HEALTHY,
            Reason.MINT_FROZEN,
            Reason.ABOVE_HEADROOM,
            Reason.LOW_DELIVERABILITY,
            Reason.ABOVE_MINT_CAP,
            Reason.SHORT_BOND,
        ),
    ),
    Row(ops.Burn, HOLDER, "issuer", ANY, "less outstanding", (Reason.UNKNOWN_ASSET,)),
    Row(
        ops.DepositBond,
        HOLDER,
        "issuer",
        ANY,
        "a larger bond",
        (Reason.UNKNOWN_ISSUER, Reason.UNKNOWN_ASSET, Reason.OWN_COIN),
    ),
    Row(
        ops.WithdrawBond,
        TREASURY,
        "issuer",
        ANY,
        "a smaller bond, enough for the coins that are out and for challenges that run",
        (
            *_ISSUING,
            *_LANED,
            Reason.LICENCE_INACTIVE,
            Reason.NOT_HEALTHY,
            Reason.SHORT_BOND,
        ),
    ),
    Row(
        ops.FreezeOrder,
        BOTH,
        "order",
        NONE,
        "active",
        (*_GOVERNED, Reason.BAD_ORDER, Reason.TOO_MANY, Reason.NO_EXPIRY),
    ),
    Row(
        ops.RenewOrder,
        BOTH,
        "order",
        ("active",),
        "active until another moment",
        (
            *_GOVERNED,
            Reason.UNKNOWN_ORDER,
            Reason.WRONG_VERSION,
            Reason.NO_EXPIRY,
            Reason.BAD_ORDER,
        ),
    ),
    Row(
        ops.LiftOrder,
        BOTH,
        "order",
        ("active",),
        "lifted",
        (*_GOVERNED, Reason.UNKNOWN_ORDER, Reason.WRONG_VERSION),
    ),
    *REDEMPTION_ROWS,
    Row(
        ops.ProposeStandard,
        VALIDATORS,
        "standard",
        ("none", "draft"),
        "noticed; active at the start of a period, after notice and spacing",
        (
            *_GOVERNED,
            Reason.WRONG_VERSION,
            Reason.STEP_OPEN,
            Reason.BAD_STANDARD,
            Reason.REFERENCE_FALLS,
            Reason.CUT_TOO_LARGE,
            Reason.TOO_MANY,
        ),
    ),
    Row(
        ops.WithdrawStandard,
        VALIDATORS,
        "standard",
        ("noticed",),
        "withdrawn",
        (*_GOVERNED, Reason.NO_STEP),
    ),
)


def allowed(kind: str, state: str) -> list[str]:
    """Operations that an object of this kind takes in this state, whoever may sign them."""
    return [
        row.name for row in TABLE if row.kind == kind and (row.states == ANY or state in row.states)
    ]


def markdown() -> str:
    """The table as docs/ECONOMY.md shows it."""
    lines = ["| operation | signed by | on | in state | leaves | refused as |", "|" + " --- |" * 6]
    for row in TABLE:
        states = ", ".join(row.states)
        reasons = " ".join(f"`{reason.value}`" for reason in dict.fromkeys(row.reasons))
        lines.append(
            f"| `{row.name}` | {row.signer} | {row.kind} | {states} | {row.leaves} | {reasons} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())  # noqa: T201
