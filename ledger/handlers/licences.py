"""Licences, seats, attestors and the regulator."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ledger import membership
from ledger.draft import Draft
from ledger.economy import licence, regulator
from ledger.economy.attestor import ATTESTORS_MAX, Attestor
from ledger.economy.capacity import without_words_of
from ledger.economy.licence import Cause, Licence, LicenceState
from ledger.economy.regulator import Carriers
from ledger.economy.reserve import Reserve
from ledger.epochs import Epoch
from ledger.handlers.common import keys_taken, need_licence, need_role, need_version
from ledger.operations import (
    OPERATIONS,
    Admit,
    AdmitAttestor,
    Apply,
    EndEpoch,
    Evidence,
    Reinstate,
    Remove,
    RemoveAttestor,
    Revoke,
    RotateKey,
    RotateRegulator,
    Suspend,
    ValidatorReady,
    WindDown,
)
from ledger.reasons import Invalid, Reason
from ledger.registers import (
    COMMITMENTS,
    LICENCES,
    REGULATORS,
    RESERVES,
    licences_by_name,
    name,
)
from ledger.transaction import asset_id


def apply(draft: Draft, operation: Apply) -> None:
    """A public wish; it takes no seat and mints nothing."""
    held = licences_by_name(draft)
    taken = keys_taken(draft, held.values(), applied=True)
    asked = membership.apply(operation.grant, held, taken, draft.clock_ms)
    _make_room(draft, held, applies=True)
    LICENCES.put(draft, asked)


def admit(draft: Draft, operation: Admit) -> None:
    """What was applied for, what nobody applied for, or anew; an issuer begins with nothing to
    mint against."""
    held = licences_by_name(draft)
    granted = membership.admit(
        operation,
        held,
        keys_taken(draft, held.values()),
        clock_ms=draft.clock_ms,
        height=draft.height,
    )
    if granted.grant.id not in held:
        _make_room(draft, held, applies=False)
    LICENCES.put(draft, granted)
    asset = asset_id(draft.chain_id, granted.grant.id)
    if granted.grant.issuer and draft.load(Reserve, asset) is None:
        RESERVES.put(draft, Reserve.empty(asset, granted.grant.id, draft.clock_ms))


def _make_room(draft: Draft, held: Mapping[str, Licence], *, applies: bool) -> None:
    oldest = membership.displaced(held, applies=applies)
    if oldest is not None:
        LICENCES.remove(draft, name(oldest))


def change(
    draft: Draft, operation: Remove | Suspend | Revoke | Reinstate, carriers: Carriers
) -> None:
    """Each names the version that it acts on."""
    held = need_licence(draft, operation.licence)
    need_version(operation.version, held.version, operation.licence)
    clock_ms, height = draft.clock_ms, draft.height
    match operation:
        case Remove():
            after = membership.removed(held, height)
        case Suspend():
            cause = Cause.VALIDATORS if carriers.validators else Cause.REGULATOR
            after = licence.suspended(held, cause, clock_ms)
        case Revoke() if held.state is LicenceState.APPLIED:
            LICENCES.remove(draft, name(operation.licence))  # whoever squats a name loses it
            return
        case Revoke():
            after = licence.revoked(held, clock_ms, height)
        case Reinstate():
            after = licence.reinstated(held, clock_ms, draft.one(Epoch).number)
    LICENCES.put(draft, _next_version(after))


def wind_down(draft: Draft, operation: WindDown) -> None:
    """By the issuer's own operations key."""
    held = need_licence(draft, operation.licence)
    need_role(held, OPERATIONS, operation.key)
    need_version(operation.version, held.version, operation.licence)
    LICENCES.put(draft, _next_version(licence.wound_down(held, draft.clock_ms)))


def rotate_key(draft: Draft, operation: RotateKey) -> None:
    """By the operations key; the new key, which signs too, belongs to nobody yet."""
    held = need_licence(draft, operation.licence)
    need_role(held, OPERATIONS, operation.key)
    need_version(operation.version, held.version, operation.licence)
    if held.state in (LicenceState.REVOKED, LicenceState.CLOSED, LicenceState.APPLIED):
        raise licence.not_in_state(held, LicenceState.ACTIVE)
    taken = keys_taken(draft, LICENCES.all(draft))
    membership.check_new_keys((operation.new_key,), taken, operation.licence)
    after = licence.rotated(held, operation.role, operation.new_key, draft.clock_ms, draft.economy)
    LICENCES.put(draft, _next_version(after))


def rotate_regulator(draft: Draft, operation: RotateRegulator) -> None:
    """Keys that stay may stay; new ones belong to nobody yet."""
    held = regulator.matured(draft.one(regulator.Regulator), draft.clock_ms)
    need_version(operation.version, held.version, "the regulator")
    known = set(regulator.regulator_keys(held))
    fresh = [key for key in operation.keys.keys if key not in known]
    taken = keys_taken(draft, LICENCES.all(draft))
    membership.check_new_keys(fresh, taken, "the regulator")
    after = regulator.announce(held, operation.keys, draft.clock_ms, draft.economy)
    REGULATORS.put(draft, after)


def admit_attestor(draft: Draft, operation: AdmitAttestor) -> None:
    """Anew only once removed; of what it said before nothing stands: it may have been removed for
    that, and may come back with other people and machines."""
    grant = operation.attestor
    held = draft.load(Attestor, name(grant.id))
    need_version(operation.version, 0 if held is None else held.version, grant.id)
    if held is not None and held.is_active:
        raise Invalid(Reason.BAD_GRANT, f"attestor '{grant.id}' is licensed")
    if held is None and len(draft.all(Attestor)) >= ATTESTORS_MAX:
        raise Invalid(Reason.BAD_GRANT, f"{ATTESTORS_MAX} attestors are licensed already")
    taken = keys_taken(draft, LICENCES.all(draft))
    if held is not None:
        taken.pop(held.grant.key, None)
    membership.check_new_keys((grant.key,), taken, grant.id)
    if held is not None:
        _forget_words(draft, grant.id)
    strikes = 0 if held is None else held.strikes
    draft.put(Attestor(grant, True, operation.version + 1, strikes), name(grant.id))


def _forget_words(draft: Draft, attestor: str) -> None:
    for held in COMMITMENTS.all(draft):
        after = without_words_of(held, attestor)
        if after is not held:
            COMMITMENTS.put(draft, after)


def remove_attestor(draft: Draft, operation: RemoveAttestor) -> None:
    """What it said counts no more from the next judgement on."""
    held = draft.load(Attestor, name(operation.attestor))
    if held is None or not held.is_active:
        raise Invalid(Reason.UNKNOWN_ATTESTOR, f"'{operation.attestor}' is not licensed to attest")
    need_version(operation.version, held.version, operation.attestor)
    after = msgspec.structs.replace(held, is_active=False, version=held.version + 1)
    draft.put(after, name(operation.attestor))


def end_epoch(draft: Draft, operation: EndEpoch) -> None:
    draft.put(membership.end_epoch(operation, draft.one(Epoch)))


def ready(draft: Draft, operation: ValidatorReady) -> None:
    """Signed by the consensus key of a licence that waits for its seat."""
    held = need_licence(draft, operation.licence)
    epoch = draft.one(Epoch)
    after = membership.ready(operation, held, epoch, clock_ms=draft.clock_ms, height=draft.height)
    LICENCES.put(draft, after)


def accuse(draft: Draft, operation: Evidence) -> None:
    """Two votes that prove themselves. They are another version: whatever was signed of the licence
    before was signed by people who did not know of them."""
    held = need_licence(draft, operation.licence)
    epoch, clock_ms, height = draft.one(Epoch), draft.clock_ms, draft.height
    after = membership.accuse(operation, held, epoch, clock_ms=clock_ms, height=height)
    LICENCES.put(draft, _next_version(after))


def _next_version(held: Licence) -> Licence:
    return msgspec.structs.replace(held, version=held.version + 1)
