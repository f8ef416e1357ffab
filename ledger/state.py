"""Whether a transaction holds on a state: the one predicate for check, admission and execution.

The same fault gives the same reason everywhere. It takes transactions that passed
`transaction.check_stateless` and `check_signatures`; those results are remembered by witness hash
and never worked out twice. Nothing here changes anything: `Effects` say what would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ledger import operations as ops
from ledger import redemption_operations as redeeming
from ledger.amounts import format_amount
from ledger.draft import Draft
from ledger.economy.compliance import Freeze, frozen_until
from ledger.economy.regulator import Carriers, check_approvals
from ledger.epochs import Epoch
from ledger.handlers import capacity, compliance, issuance, licences, redemption, standard
from ledger.locks import Key, Moment
from ledger.objects import Used, load
from ledger.operations import Numbered, Operation
from ledger.reasons import Invalid, Reason
from ledger.redemption_operations import OnRedemption
from ledger.registers import REGULATORS, licences_by_name
from ledger.schema import DamagedChain
from ledger.spending import check_open
from ledger.times import rfc3339
from ledger.transaction import (
    LIFETIME_MS_MAX,
    SignedTransaction,
    Transaction,
    is_governance,
)
from ledger.view import Outpoint, OutputEntry, View

NO_CARRIERS = Carriers(validators=False, regulator=False)


class Effects(msgspec.Struct, frozen=True, gc=False):
    """What a transaction changes, apart from the outputs and the fee that it states itself."""

    spent: tuple[tuple[Outpoint, OutputEntry], ...]
    objects: Mapping[bytes, bytes | None]


def check_transaction(view: View, tx: SignedTransaction, *, time_ms: int) -> Effects:
    """Everything that needs state or time, cheapest first; raises Invalid.

    `time_ms` is the header time of the block that would hold it, the next after `view`.
    """
    body = tx.body
    if time_ms > body.expires_at_ms:
        detail = f"at {rfc3339(body.expires_at_ms)}, block time is {rfc3339(time_ms)}"
        raise Invalid(Reason.EXPIRED, detail)
    if body.expires_at_ms > time_ms + LIFETIME_MS_MAX:
        latest = rfc3339(time_ms + LIFETIME_MS_MAX)
        detail = f"at {rfc3339(body.expires_at_ms)}, the latest is {latest}"
        raise Invalid(Reason.EXPIRES_TOO_LATE, detail)
    used = _used_by(tx)
    if used is not None and load(view, Used, used.identity) is not None:
        raise Invalid(Reason.ALREADY_FINAL, f"{tx.txid.hex()} was carried once")
    spent = _find_inputs(view, body)
    _check_conditions(tx.locks, spent)
    _check_limits(view, tx, time_ms)
    for lock in tx.locks:
        _check_freeze(view, lock, time_ms)
    return Effects(spent, _operate(view, tx, time_ms, used) if body.operations else {})


_CARRIED_ONCE = Numbered | OnRedemption


def _used_by(tx: SignedTransaction) -> Used | None:
    """What the state remembers of a transaction; None where an output that it spends, or a number
    of a lane, or an order that is led on, keeps it from coming again. Versions do not: objects go,
    and come back."""
    body = tx.body
    if body.inputs or any(isinstance(item, _CARRIED_ONCE) for item in body.operations):
        return None
    return Used(body.expires_at_ms, tx.txid)


def _find_inputs(view: View, body: Transaction) -> tuple[tuple[Outpoint, OutputEntry], ...]:
    spent = []
    for item in body.inputs:
        outpoint = (item.txid, item.index)
        entry = view.output(outpoint)
        if entry is None:
            is_spent = view.is_spent(outpoint)
            reason = Reason.SPENT_INPUT if is_spent else Reason.UNKNOWN_INPUT
            raise Invalid(reason, f"{item.txid.hex()}:{item.index}")
        if entry.asset != item.asset or entry.amount != item.amount:
            where = f"{item.txid.hex()}:{item.index}"
            held = f"holds {format_amount(entry.amount)} of {entry.asset.hex()}"
            declared = f"declared are {format_amount(item.amount)} of {item.asset.hex()}"
            raise Invalid(Reason.INPUT_MISMATCH, f"{where} {held}, {declared}")
        spent.append((outpoint, entry))
    return tuple(spent)


def _check_conditions(
    revealed: tuple[bytes, ...], spent: tuple[tuple[Outpoint, OutputEntry], ...]
) -> None:
    """The revealed conditions are exactly the locks of the spent outputs."""
    locks = {entry.lock for _, entry in spent}
    if len(locks) == len(revealed) and locks.issuperset(revealed):
        return
    for lock in sorted(locks.difference(revealed)):
        raise Invalid(Reason.MISSING_CONDITION, f"lock {lock.hex()} is not revealed")
    for lock in revealed:
        if lock not in locks:
            raise Invalid(Reason.SPARE_CONDITION, f"no input has lock {lock.hex()}")


def _check_freeze(view: View, lock: bytes, time_ms: int) -> None:
    """No order in force names the lock."""
    frozen = frozen_until(load(view, Freeze, lock), time_ms)
    if frozen is not None:
        detail = f"lock {lock.hex()}, by order '{frozen.order}' until {rfc3339(frozen.until_ms)}"
        raise Invalid(Reason.FROZEN, detail)


def _check_limits(view: View, tx: SignedTransaction, time_ms: int) -> None:
    """The revealed conditions, which are complete, hold in the next block."""
    conditions = tx.witness.conditions
    trees = [condition for condition in conditions if not isinstance(condition, Key)]
    if not trees:
        return
    at = Moment(view.head.header.height + 1, time_ms)
    signers, digests = frozenset(tx.witness.keys), frozenset(tx.witness.digests)
    for condition, lock in zip(conditions, tx.locks, strict=True):
        check_open(condition, lock, signers, digests, at)


def _operate(
    view: View, tx: SignedTransaction, time_ms: int, used: Used | None
) -> Mapping[bytes, bytes | None]:
    """The objects that the operations leave, each judged on the state after the one before."""
    draft = Draft(view, time_ms)
    carriers = _carriers(draft, tx) if is_governance(tx.body) else NO_CARRIERS
    for operation in tx.body.operations:
        operate(draft, operation, carriers)
    if used is not None:
        draft.put(used, used.identity)
    return draft.changed


def _carriers(draft: Draft, tx: SignedTransaction) -> Carriers:
    """Who stands behind government; raises Invalid unless exactly those sign who must."""
    epoch, held = draft.one(Epoch), licences_by_name(draft)
    members = {}
    for member in epoch.members:
        if member.licence in held:
            members[held[member.licence].grant.keys.operations] = member.licence
    regulator = REGULATORS.get(draft)
    if regulator is None:
        raise DamagedChain("the state holds no regulator")
    return check_approvals(
        [item.key for item in tx.witness.signatures],
        [item.carrier for item in tx.body.operations if isinstance(item, ops.Governance)],
        members=members,
        quorum=epoch.validators.quorum,
        regulator=regulator.keys,
    )


def operate(draft: Draft, operation: Operation, carriers: Carriers = NO_CARRIERS) -> None:
    """What one operation leaves in the draft; raises Invalid, and then the draft is to be thrown
    away."""
    if isinstance(operation, ops.OnLicence):
        licences.change(draft, operation, carriers)
    else:
        _HANDLERS[type(operation)](draft, operation)


_HANDLERS: dict[type[Any], Callable[[Draft, Any], None]] = {
    ops.Mint: issuance.mint,
    ops.Burn: issuance.burn,
    ops.DepositBond: issuance.deposit_bond,
    ops.WithdrawBond: issuance.withdraw_bond,
    ops.Apply: licences.apply,
    ops.Admit: licences.admit,
    ops.WindDown: licences.wind_down,
    ops.RotateKey: licences.rotate_key,
    ops.RotateRegulator: licences.rotate_regulator,
    ops.AdmitAttestor: licences.admit_attestor,
    ops.RemoveAttestor: licences.remove_attestor,
    ops.EndEpoch: licences.end_epoch,
    ops.ValidatorReady: licences.ready,
    ops.Evidence: licences.accuse,
    ops.Commit: capacity.commit,
    ops.PledgeDevices: capacity.pledge,
    ops.Amend: capacity.amend,
    ops.Attest: capacity.attest,
    ops.OpenChallenge: capacity.open_challenge,
    ops.Rule: capacity.rule,
    ops.SealNonce: capacity.seal_nonce,
    ops.RevealNonce: capacity.reveal_nonce,
    ops.OpenDevices: capacity.open_devices,
    ops.FreezeOrder: compliance.freeze,
    ops.RenewOrder: compliance.renew,
    ops.LiftOrder: compliance.lift,
    redeeming.Redeem: redemption.redeem,
    redeeming.CancelRedemption: redemption.cancel,
    redeeming.AcceptRedemption: redemption.accept,
    redeeming.ReadyRedemption: redemption.ready,
    redeeming.PostReceipt: redemption.post_receipt,
    redeeming.CloseRedemption: redemption.close,
    redeeming.DisputeRedemption: redemption.dispute,
    redeeming.RuleRedemption: redemption.rule,
    ops.ProposeStandard: standard.propose,
    ops.WithdrawStandard: standard.withdraw,
}
"""By type; a test says that no operation is left out."""
