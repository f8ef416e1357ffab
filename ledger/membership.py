"""Who is licensed and who validates: what each operation asks of the state and leaves in it.

Pure transitions; every refusal has its reason. Seats are only marked here: they change at the end
of an epoch (`ledger.epochs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ledger.crypto import is_licensed_key
from ledger.economy.licence import (
    Cause,
    Licence,
    LicenceGrant,
    LicenceState,
    Seat,
    certificate_fingerprint,
)
from ledger.epochs import Epoch
from ledger.operations import Admit, EndEpoch, Evidence, ValidatorReady
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339

LICENCES_MAX = 64
"""That stand, applications among them."""
LICENCES_EVER_MAX = 256
"""With those that are revoked or closed, which stay: neither their names nor their keys ever mean
somebody else, and their coins may be out. Each application reads all of them: a block full of those
takes 2.7 times as long as where only 64 are held."""
APPLICATIONS_MAX = 16
"""Waiting at one time; each is paid for, and lapses. One more takes the place of the oldest."""
EVIDENCE_EPOCHS = 10
"""How many epochs back evidence counts: older votes bind nobody any more."""


def apply(
    grant: LicenceGrant, licences: Mapping[str, Licence], taken: Mapping[bytes, str], clock_ms: int
) -> Licence:
    """The application; raises Invalid."""
    if grant.id in licences:
        state = licences[grant.id].state.name.lower()
        raise Invalid(Reason.BAD_GRANT, f"there is a licence '{grant.id}': {state}")
    _check_grant(grant, licences, taken, clock_ms)
    return Licence(grant, LicenceState.APPLIED, 0, Seat.NONE, 0, clock_ms, Cause.NONE, (), 0, 0)


def displaced(licences: Mapping[str, Licence], *, applies: bool) -> str | None:
    """The application that makes room for a licence that is not held yet, applied for or granted,
    None where there is room; raises Invalid.

    It is the oldest, because a fee is small: whoever asks for nothing sixteen times would otherwise
    keep all others out until that lapses. Who was displaced is granted as if it had never asked.
    """
    waiting = [item for item in licences.values() if item.state is LicenceState.APPLIED]
    standing = sum(item.stands for item in licences.values())
    is_full = standing >= LICENCES_MAX or len(licences) >= LICENCES_EVER_MAX
    is_crowded = applies and len(waiting) >= APPLICATIONS_MAX
    if not is_full and not is_crowded:
        return None
    if not waiting:
        detail = f"{standing} licences stand of at most {LICENCES_MAX}"
        more = f"{len(licences)} were ever granted of at most {LICENCES_EVER_MAX}"
        raise Invalid(Reason.BAD_GRANT, f"{detail}, {more}")
    return min((item.since_ms, item.grant.id) for item in waiting)[1]


def admit(
    operation: Admit,
    licences: Mapping[str, Licence],
    taken: Mapping[bytes, str],
    *,
    clock_ms: int,
    height: int,
) -> Licence:
    """The licence after its grant, with a wish for a seat where it says so; raises Invalid."""
    grant = operation.grant
    held = licences.get(grant.id)
    _check_version(operation.version, 0 if held is None else held.version, grant.id)
    if held is not None:
        _check_admissible(held, grant)
    granted_before = {
        name: item for name, item in licences.items() if item.state is not LicenceState.APPLIED
    }
    _check_grant(grant, granted_before, taken, clock_ms)
    seat = Seat.WAITING if grant.validator else Seat.NONE
    granted = Licence(
        *(grant, LicenceState.ACTIVE, operation.version + 1, seat, height, clock_ms),
        *(Cause.NONE, (), 0 if held is None else held.evidence_from, 0),
    )
    if held is not None and held.seat is not Seat.NONE:  # renewed: who votes goes on
        granted = granted.with_seat(held.seat, held.seat_height)
    if held is None or held.state in (LicenceState.APPLIED, LicenceState.WINDDOWN):
        return granted
    return msgspec.structs.replace(
        granted, state=held.state, since_ms=held.since_ms, cause=held.cause
    )


def _check_admissible(held: Licence, grant: LicenceGrant) -> None:
    if held.seat is not Seat.NONE and _seat_of(held.grant) != _seat_of(grant):
        raise Invalid(Reason.HAS_SEAT, f"'{grant.id}' is {held.seat.name.lower()}; remove it first")
    if not held.stands:
        raise Invalid(Reason.LICENCE_INACTIVE, f"'{grant.id}' is {held.state.name.lower()}")
    if held.state is LicenceState.APPLIED and held.grant != grant:
        raise Invalid(Reason.BAD_GRANT, f"'{grant.id}' applied for another grant")


def _seat_of(grant: LicenceGrant) -> tuple[bytes, bytes, bytes, bool]:
    """What a seat is bound to: renewed with these unchanged, a licence keeps its seat."""
    return (grant.keys.consensus, grant.keys.link, grant.certificate, grant.validator)


def removed(held: Licence, height: int) -> Licence:
    """The licence after it was taken from the set; raises Invalid."""
    if held.seat in (Seat.NONE, Seat.LEAVING):
        detail = f"'{held.grant.id}' has no seat to lose: {held.seat.name.lower()}"
        raise Invalid(Reason.NO_SEAT, detail)
    return held.vacated(height)


def end_epoch(operation: EndEpoch, epoch: Epoch) -> Epoch:
    """The epoch, of which this block is the last; raises Invalid."""
    if operation.epoch != epoch.number or epoch.is_ending:
        detail = f"to end epoch {operation.epoch}, this is {epoch.number}"
        raise Invalid(Reason.WRONG_EPOCH, detail + (", which ends" if epoch.is_ending else ""))
    return msgspec.structs.replace(epoch, is_ending=True)


def ready(
    operation: ValidatorReady, held: Licence, epoch: Epoch, *, clock_ms: int, height: int
) -> Licence:
    """The licence once its node holds the chain up to the epoch's base; raises Invalid."""
    name = operation.licence
    if held.seat is not Seat.WAITING:
        detail = f"'{name}' does not wait for a seat: {held.seat.name.lower()}"
        raise Invalid(Reason.NO_SEAT, detail)
    if not held.is_active(clock_ms):
        until = rfc3339(held.grant.expires_ms)
        detail = f"'{name}' is {held.state.name.lower()}, licensed until {until}"
        raise Invalid(Reason.LICENCE_INACTIVE, f"{detail}, ledger clock {rfc3339(clock_ms)}")
    _check_role(operation.key, held.grant.keys.consensus, name)
    if (operation.height, operation.block_hash) != (epoch.base_height, epoch.base_hash):
        detail = f"names height {operation.height}, the epoch begins after {epoch.base_height}"
        raise Invalid(Reason.WRONG_EPOCH, detail)
    return held.with_seat(Seat.READY, height)


def accuse(
    operation: Evidence, held: Licence, epoch: Epoch, *, clock_ms: int, height: int
) -> Licence:
    """The licence with two conflicting votes against it; raises Invalid.

    One that is suspended otherwise, or winds down, votes on: it is suspended for this at once, and
    its seat goes with the epoch. What it does until the epoch ends is judged with this. A
    suspension that ends the licence anyway ends it no later.
    """
    name, voted = operation.licence, operation.first.epoch
    _check_role(operation.key, held.grant.keys.consensus, name)
    if not epoch.number - EVIDENCE_EPOCHS <= voted <= epoch.number:
        detail = f"votes of epoch {voted}, this is {epoch.number}"
        raise Invalid(Reason.WRONG_EPOCH, f"{detail}, {EVIDENCE_EPOCHS} back count")
    is_active, is_winding = held.state is LicenceState.ACTIVE, held.state is LicenceState.WINDDOWN
    is_suspended = held.state is LicenceState.SUSPENDED and held.cause is not Cause.EVIDENCE
    if not (is_active or is_winding or is_suspended):
        raise Invalid(Reason.LICENCE_INACTIVE, f"'{name}' is {held.state.name.lower()} already")
    if voted < held.evidence_from:
        detail = f"votes of epoch {voted} of '{name}' were judged"
        raise Invalid(Reason.WRONG_EPOCH, f"{detail}, those from {held.evidence_from} on count")
    if is_active:
        after = msgspec.structs.replace(held, state=LicenceState.ACCUSED)
    else:
        since_ms = held.since_ms if held.cause is Cause.BOND else clock_ms
        after = held.entered(LicenceState.SUSPENDED, since_ms, Cause.EVIDENCE).vacated(height)
    return msgspec.structs.replace(
        after,
        evidence_from=epoch.number + 1,
        winding_since_ms=held.since_ms if is_winding else 0,
    )


def check_new_keys(keys: Iterable[bytes], taken: Mapping[bytes, str], who: str) -> None:
    """Usable keys that nobody has, each once; raises Invalid."""
    given = list(keys)
    for key in given:
        if not is_licensed_key(key):
            raise Invalid(Reason.BAD_KEY, f"'{who}': {key.hex()} is no usable public key")
        if key in taken or given.count(key) > 1:
            owner = taken.get(key, who)
            raise Invalid(Reason.BAD_GRANT, f"'{who}': {key.hex()} is a key of '{owner}'")


def _check_grant(
    grant: LicenceGrant,
    licences: Mapping[str, Licence],
    taken: Mapping[bytes, str],
    clock_ms: int,
) -> None:
    """`licences` are those that keep their names from it, `taken` every key with its owner; its
    own a licence may keep."""
    others = [item.grant for name, item in licences.items() if name != grant.id]
    names = {item.name.casefold(): item.id for item in others}
    if certificate_fingerprint(grant.certificate) != grant.certificate_hash:
        raise Invalid(Reason.BAD_GRANT, f"'{grant.id}': certificate_hash does not match")
    if grant.expires_ms <= clock_ms:
        raise Invalid(Reason.BAD_GRANT, f"'{grant.id}' expired at {rfc3339(grant.expires_ms)}")
    if grant.name.casefold() in names:
        owner = names[grant.name.casefold()]
        raise Invalid(Reason.BAD_GRANT, f"'{grant.id}' has the name of '{owner}'")
    keys = [getattr(grant.keys, role) for role in grant.keys.__struct_fields__]
    others_keys = {key: owner for key, owner in taken.items() if owner != grant.id}
    check_new_keys(keys, others_keys, grant.id)


def _check_version(named: int, held: int, name: str) -> None:
    if named != held:
        raise Invalid(Reason.WRONG_VERSION, f"version {named} of '{name}', it is {held}")


def _check_role(key: bytes, expected: bytes, name: str) -> None:
    if key != expected:
        detail = f"{key.hex()} is not the consensus key of '{name}'"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)
