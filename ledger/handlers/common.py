"""What handlers share: whose key it is, whose number comes next, who rules and for what deposit."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.amounts import format_amount
from ledger.backing import sound_assets
from ledger.draft import Draft
from ledger.economy.attestor import PANEL_NEEDED, Attestor, draw_panel, groups_of
from ledger.economy.issuance import Lane, take_number
from ledger.economy.licence import Licence, LicenceState, keys_of
from ledger.economy.panel import JudgedT, check_seat, ruled
from ledger.economy.regulator import Regulator, regulator_keys
from ledger.operations import Numbered, lane_of
from ledger.reasons import Invalid, Reason
from ledger.registers import LICENCES, name


def need_licence(draft: Draft, licence: str) -> Licence:
    """The licence as of now; raises Invalid(UNKNOWN_LICENCE)."""
    held = LICENCES.get(draft, name(licence))
    if held is None:
        raise Invalid(Reason.UNKNOWN_LICENCE, f"'{licence}'")
    return held


def need_issuer(draft: Draft, issuer: str, role: str, key: bytes) -> Licence:
    """The licence of an issuer whose role key this is; raises Invalid."""
    held = LICENCES.get(draft, name(issuer))
    if held is None or not held.grant.issuer:
        raise Invalid(Reason.UNKNOWN_ISSUER, f"'{issuer}' holds no licence to issue")
    need_role(held, role, key)
    return held


def need_role(held: Licence, role: str, key: bytes) -> None:
    """Raises Invalid(WRONG_ROLE_KEY)."""
    if key != getattr(held.grant.keys, role):
        detail = f"{key.hex()} is not the {role} key of '{held.grant.id}'"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)


def need_version(named: int, held: int, what: str) -> None:
    """Raises Invalid(WRONG_VERSION)."""
    if named != held:
        raise Invalid(Reason.WRONG_VERSION, f"version {named} of '{what}', it is {held}")


def need_attestor(draft: Draft, attestor: str, key: bytes) -> Attestor:
    """An attestor that counts and whose key this is; raises Invalid."""
    held = draft.load(Attestor, name(attestor))
    if held is None or not held.is_active:
        raise Invalid(Reason.UNKNOWN_ATTESTOR, f"'{attestor}' is not licensed to attest")
    if key != held.grant.key:
        detail = f"{key.hex()} is not the key of attestor '{attestor}'"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)
    return held


def need_deposit(amount: int, needed: int) -> None:
    """Raises Invalid(LOW_DEPOSIT)."""
    if amount < needed:
        detail = f"{format_amount(amount)} coins, {format_amount(needed)} are needed"
        raise Invalid(Reason.LOW_DEPOSIT, detail)


def need_sound(draft: Draft, asset: bytes) -> None:
    """A deposit is worth something to who wins it; raises Invalid(UNKNOWN_ASSET)."""
    if asset not in sound_assets(draft):
        raise Invalid(Reason.UNKNOWN_ASSET, "the deposit is in a coin of an issuer in trouble")


def drawn_panel(draft: Draft, parties: Iterable[str], subject: bytes) -> tuple[str, ...]:
    """Who rules on a subject, drawn by the block before; raises Invalid(NO_PANEL)."""
    panel = draw_panel(groups_of(draft.all(Attestor)), parties, draft.parent_hash + subject)
    if len(panel) < PANEL_NEEDED:
        detail = f"{len(panel)} groups of attestors are no party, {PANEL_NEEDED} decide"
        raise Invalid(Reason.NO_PANEL, detail)
    return panel


def voted(
    draft: Draft, held: JudgedT, parties: Iterable[str], attestor: str, *, upheld: bool
) -> JudgedT:
    """With the vote of a member of its panel whose group is no party, and has one; raises
    Invalid."""
    check_seat(held.panel, held.votes, attestor, groups_of(draft.all(Attestor)), parties)
    return ruled(held, attestor, upheld=upheld, clock_ms=draft.clock_ms)


def use_number(draft: Draft, operation: Numbered) -> None:
    """Take the next number of the operation's lane; raises Invalid."""
    owner, role, lane = lane_of(operation)
    identity = Lane.identity(owner, role, lane)
    held = draft.load(Lane, identity)
    draft.put(take_number(held, owner, role, lane, operation.number), identity)


def keys_taken(
    draft: Draft, licences: Iterable[Licence], *, applied: bool = False
) -> dict[bytes, str]:
    """Every key that somebody has or will have, with its owner: each has one meaning. `licences`
    are all that are held; the keys of applications only where asked for: nobody proved to own
    them, and a stranger's would stand in the way of their owner."""
    taken = {
        key: held.grant.id
        for held in licences
        if applied or held.state is not LicenceState.APPLIED
        for key in keys_of(held)
    }
    taken.update({held.grant.key: f"attestor {held.id}" for held in draft.all(Attestor)})
    taken.update(dict.fromkeys(regulator_keys(draft.one(Regulator)), "the regulator"))
    return taken
