"""Who is licensed and who validates: what each operation asks of the state and leaves in it.

Pure transitions; every refusal has its reason. Seats are only marked here: they change at the end
of an epoch (`ledger.epochs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ledger.crypto import is_licensed_key
from ledger.economy.licence import (
    Licence,
    LicenceGrant,
    LicenceState,
    Seat,
    certificate_fingerprint,
)
from ledger.epochs import Epoch
from ledger.operations import Admit, EndEpoch, Evidence, OnLicence, Remove, Suspend, ValidatorReady
from ledger.reasons import Invalid, Reason

LICENCES_MAX = 64
EVIDENCE_EPOCHS = 10
"""How many epochs back evidence counts: older votes bind nobody any more."""


def check_approvals(approvals: Iterable[bytes], epoch: Epoch, licences: Iterable[Licence]) -> None:
    """Exactly a quorum of the present validators, by their operations keys; raises Invalid."""
    members = {member.licence for member in epoch.members}
    allowed = {
        item.grant.keys.operations: item.grant.id for item in licences if item.grant.id in members
    }
    given = set(approvals)
    for key in sorted(given - allowed.keys()):
        detail = f"{key.hex()} is no operations key of a validator of epoch {epoch.number}"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)
    needed = epoch.validators.quorum
    if len(given) != needed:
        detail = f"{len(given)} of {len(members)} validators signed, exactly {needed} must"
        raise Invalid(Reason.NEEDS_QUORUM, detail)


def admit(operation: Admit, licences: dict[str, Licence], *, clock_ms: int, height: int) -> Licence:
    """The licence after its grant, with a wish for a seat where it says so; raises Invalid."""
    grant = operation.grant
    held = licences.get(grant.id)
    _check_version(operation.version, 0 if held is None else held.version, grant.id)
    if held is None and len(licences) >= LICENCES_MAX:
        raise Invalid(Reason.BAD_GRANT, f"{LICENCES_MAX} licences are granted already")
    if held is not None and held.seat is not Seat.NONE:
        raise Invalid(Reason.HAS_SEAT, f"'{grant.id}' is {held.seat.name.lower()}; remove it first")
    if held is not None and held.state is LicenceState.REVOKED:
        raise Invalid(Reason.LICENCE_INACTIVE, f"'{grant.id}' is revoked")
    _check_grant(grant, [item for name, item in licences.items() if name != grant.id], clock_ms)
    seat = Seat.WAITING if grant.validator else Seat.NONE
    state = LicenceState.ACTIVE if held is None else held.state
    return Licence(grant, state, operation.version + 1, seat, height)


def change(operation: OnLicence, held: Licence | None, height: int) -> Licence:
    """The licence after it was removed from the set, suspended or revoked; raises Invalid."""
    if held is None:
        raise Invalid(Reason.UNKNOWN_LICENCE, f"'{operation.licence}'")
    _check_version(operation.version, held.version, operation.licence)
    held = msgspec.structs.replace(held, version=held.version + 1)
    if isinstance(operation, Remove):
        if held.seat in (Seat.NONE, Seat.LEAVING):
            detail = f"'{operation.licence}' has no seat to lose: {held.seat.name.lower()}"
            raise Invalid(Reason.NO_SEAT, detail)
        return held.vacated(height)
    if held.state is LicenceState.REVOKED:
        raise Invalid(Reason.LICENCE_INACTIVE, f"'{operation.licence}' is revoked")
    if isinstance(operation, Suspend):
        if held.state is not LicenceState.ACTIVE:
            detail = f"'{operation.licence}' is {held.state.name.lower()}"
            raise Invalid(Reason.LICENCE_INACTIVE, detail)
        return msgspec.structs.replace(held, state=LicenceState.SUSPENDED)
    return msgspec.structs.replace(held, state=LicenceState.REVOKED).vacated(height)


def end_epoch(operation: EndEpoch, epoch: Epoch) -> Epoch:
    """The epoch, of which this block is the last; raises Invalid."""
    if operation.epoch != epoch.number or epoch.is_ending:
        detail = f"to end epoch {operation.epoch}, this is {epoch.number}"
        raise Invalid(Reason.WRONG_EPOCH, detail + (", which ends" if epoch.is_ending else ""))
    return msgspec.structs.replace(epoch, is_ending=True)


def ready(
    operation: ValidatorReady, held: Licence | None, epoch: Epoch, *, clock_ms: int, height: int
) -> Licence:
    """The licence once its node holds the chain up to the epoch's base; raises Invalid."""
    name = operation.licence
    if held is None:
        raise Invalid(Reason.UNKNOWN_LICENCE, f"'{name}'")
    if held.seat is not Seat.WAITING:
        detail = f"'{name}' does not wait for a seat: {held.seat.name.lower()}"
        raise Invalid(Reason.NO_SEAT, detail)
    if not held.is_active(clock_ms):
        detail = f"'{name}' is {held.state.name.lower()}, expires at {held.grant.expires_ms}"
        raise Invalid(Reason.LICENCE_INACTIVE, f"{detail}, ledger clock {clock_ms}")
    _check_role(operation.key, held.grant.keys.consensus, name)
    if (operation.height, operation.block_hash) != (epoch.base_height, epoch.base_hash):
        detail = f"names height {operation.height}, the epoch begins after {epoch.base_height}"
        raise Invalid(Reason.WRONG_EPOCH, detail)
    return held.with_seat(Seat.READY, height)


def accuse(operation: Evidence, held: Licence | None, epoch: Epoch, *, height: int) -> Licence:
    """The licence with two conflicting votes against it; raises Invalid.

    One that was suspended before votes on, for its seat stays: it loses that at once.
    """
    name, voted = operation.licence, operation.first.epoch
    if held is None:
        raise Invalid(Reason.UNKNOWN_LICENCE, f"'{name}'")
    _check_role(operation.key, held.grant.keys.consensus, name)
    if not epoch.number - EVIDENCE_EPOCHS <= voted <= epoch.number:
        detail = f"votes of epoch {voted}, this is {epoch.number}"
        raise Invalid(Reason.WRONG_EPOCH, f"{detail}, {EVIDENCE_EPOCHS} back count")
    if held.state is LicenceState.ACTIVE:
        return msgspec.structs.replace(held, state=LicenceState.ACCUSED)
    punished = held.vacated(height)
    if held.state is not LicenceState.SUSPENDED or punished == held:
        raise Invalid(Reason.LICENCE_INACTIVE, f"'{name}' is {held.state.name.lower()} already")
    return punished


def _check_grant(grant: LicenceGrant, others: list[Licence], clock_ms: int) -> None:
    taken = {key: item.grant.id for item in others for key in _keys(item.grant)}
    names = {item.grant.name.casefold(): item.grant.id for item in others}
    keys = list(_keys(grant))
    if certificate_fingerprint(grant.certificate) != grant.certificate_hash:
        raise Invalid(Reason.BAD_GRANT, f"'{grant.id}': certificate_hash does not match")
    if grant.expires_ms <= clock_ms:
        raise Invalid(Reason.BAD_GRANT, f"'{grant.id}' expired at {grant.expires_ms}")
    if grant.name.casefold() in names:
        owner = names[grant.name.casefold()]
        raise Invalid(Reason.BAD_GRANT, f"'{grant.id}' has the name of '{owner}'")
    for key in keys:
        if not is_licensed_key(key):
            raise Invalid(Reason.BAD_KEY, f"'{grant.id}': {key.hex()} is no usable public key")
        if key in taken or keys.count(key) > 1:
            owner = taken.get(key, grant.id)
            raise Invalid(Reason.BAD_GRANT, f"'{grant.id}': {key.hex()} is a key of '{owner}'")


def _keys(grant: LicenceGrant) -> Iterator[bytes]:
    for role in grant.keys.__struct_fields__:
        yield getattr(grant.keys, role)


def _check_version(named: int, held: int, name: str) -> None:
    if named != held:
        raise Invalid(Reason.WRONG_VERSION, f"version {named} of '{name}', it is {held}")


def _check_role(key: bytes, expected: bytes, name: str) -> None:
    if key != expected:
        detail = f"{key.hex()} is not the consensus key of '{name}'"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)
