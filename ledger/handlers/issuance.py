"""Minting, burning and bonds."""

from __future__ import annotations

from ledger.amounts import format_amount
from ledger.backing import backing_of, sound_assets
from ledger.draft import Draft
from ledger.economy import bond, issuance
from ledger.economy.bond import Bond
from ledger.economy.licence import Licence, LicenceState
from ledger.economy.reserve import Reserve, Solvency
from ledger.handlers.common import need_issuer, need_role, use_number
from ledger.operations import TREASURY, Burn, DepositBond, Mint, WithdrawBond
from ledger.reasons import Invalid, Reason
from ledger.registers import CHALLENGES, LICENCES, RESERVES, name
from ledger.schema import DamagedChain
from ledger.times import rfc3339
from ledger.transaction import asset_id


def mint(draft: Draft, operation: Mint) -> None:
    """The issuer is active, its treasury key asks, the number is next, and `check_mint` agrees."""
    held = need_issuer(draft, operation.issuer, TREASURY, operation.key)
    need_minting(held, draft.clock_ms)
    use_number(draft, operation)
    check_backing(draft, operation.issuer, operation.amount)


def check_backing(draft: Draft, issuer: str, amount: int) -> None:
    """What quote, admission and execution ask alike; the mint is noted. Raises Invalid."""
    backing = backing_of(draft, issuer)
    if backing is None:
        raise DamagedChain(f"issuer '{issuer}' has no reserve")
    issuance.check_mint(amount, backing, draft.parameters)
    RESERVES.put(draft, issuance.minted(backing, amount, draft.period))


def need_minting(held: Licence, clock_ms: int) -> None:
    """Accused, suspended, winding down or past its end an issuer mints nothing; raises Invalid."""
    if held.state is not LicenceState.ACTIVE or clock_ms > held.grant.expires_ms:
        until = rfc3339(held.grant.expires_ms)
        detail = f"'{held.grant.id}' is {held.state.name.lower()}, licensed until {until}"
        raise Invalid(Reason.LICENCE_INACTIVE, f"{detail}, ledger clock {rfc3339(clock_ms)}")


def burn(draft: Draft, operation: Burn) -> None:
    """Any holder, whatever the state of the issuer."""
    held = RESERVES.get(draft, operation.asset)
    RESERVES.put(draft, issuance.burned(held, operation.asset, operation.amount))


def deposit_bond(draft: Draft, operation: DepositBond) -> None:
    """Anyone, in coins of another issuer that exist."""
    own = asset_id(draft.chain_id, operation.issuer)
    if draft.load(Reserve, own) is None:  # one that only applied might lapse with the coins
        raise Invalid(Reason.UNKNOWN_ISSUER, f"'{operation.issuer}' holds no licence to issue")
    if draft.load(Reserve, operation.asset) is None:
        raise Invalid(Reason.UNKNOWN_ASSET, operation.asset.hex())
    identity = Bond.identity(operation.issuer, operation.asset)
    held = draft.load(Bond, identity)
    after = bond.deposited(held, operation.issuer, own, operation.asset, operation.amount)
    draft.put(after, identity)


def withdraw_bond(draft: Draft, operation: WithdrawBond) -> None:
    """The treasury takes what need not stay; once none of the coins is left, all, whatever
    became of licence and hours. An issuer that is suspended, that has coins outstanding and issues
    no more, or does not cover them, takes nothing: what holders may be owed stays."""
    held = LICENCES.get(draft, name(operation.issuer))
    reserve = RESERVES.get(draft, asset_id(draft.chain_id, operation.issuer))
    if held is None or reserve is None:
        raise Invalid(Reason.UNKNOWN_ISSUER, f"'{operation.issuer}' never issued")
    need_role(held, TREASURY, operation.key)
    supply = reserve.supply + reserve.residual
    is_over = held.state is LicenceState.REVOKED or not held.grant.issuer
    if held.state is LicenceState.SUSPENDED or (is_over and supply):
        detail = f"'{operation.issuer}' is {held.state.name.lower()}"
        detail = f"{detail}, {format_amount(supply)} outstanding"
        raise Invalid(Reason.LICENCE_INACTIVE, f"{detail}: its bond stays")
    use_number(draft, operation)
    identity = Bond.identity(operation.issuer, operation.asset)
    before = draft.load(Bond, identity)
    after = bond.withdrawn(before, operation.issuer, operation.asset, operation.amount)
    if after is None:
        draft.remove(Bond, identity)
    else:
        draft.put(after, identity)
    backing = backing_of(draft, operation.issuer)
    if supply and backing and backing.reserve.solvency in (Solvency.DEFICIT, Solvency.CAGED):
        detail = f"'{operation.issuer}' is in {backing.reserve.solvency.name.lower()}"
        raise Invalid(Reason.NOT_HEALTHY, f"{detail}: its bond stays")
    needed = must_stay(draft, operation.issuer, supply)
    left = draft.all(Bond, Bond.prefix(operation.issuer))
    if bond.worth(left, sound_assets(draft), needed) < needed:
        detail = (
            f"the bond of '{operation.issuer}' would count for less than {format_amount(needed)}"
        )
        raise Invalid(Reason.SHORT_BOND, detail)


def must_stay(draft: Draft, issuer: str, supply: int) -> int:
    """What a bond must count for after a withdrawal: what is required, and the penalties of all
    challenges that run, so that each finds what it should."""
    running = CHALLENGES.all(draft, Bond.prefix(issuer))
    penalties = sum(item.penalty for item in running)
    return bond.required(supply, draft.economy.bond_ppm) + penalties
