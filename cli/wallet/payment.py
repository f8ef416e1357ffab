"""Which asset a payment is made in, and why it cannot be made. Pure.

Coins are coloured by issuer. Without a choice by the sender a payment takes the asset of which
most is held, if that covers amount and fee alone. The three ways in which money can be missing
differ, because what to do about them differs: there is not enough, it is in several assets, or it
is reserved for a payment on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.wallet.build import (
    Conditions,
    Draft,
    Part,
    Payment,
    Taken,
    Terms,
    burned,
    draft_exact,
    draft_merged,
    draft_mixed,
    draft_single,
)
from cli.wallet.selection import INPUTS_MAX, Coin, total
from ledger.amounts import format_amount
from ledger.times import rfc3339


@dataclass(frozen=True, slots=True)
class Holding:
    """What a sender has. Coins are all unspent ones, `reserved` those that a payment which is not
    final yet spends, with the time in ms at which it expires and they are free again."""

    name: str
    coins: tuple[Coin, ...]
    reserved: Mapping[tuple[bytes, int], int]
    conditions: Conditions
    issuers: Mapping[bytes, str]
    """Name of the issuer by asset, for sentences."""

    @property
    def free(self) -> tuple[Coin, ...]:
        return tuple(coin for coin in self.coins if coin.outpoint not in self.reserved)

    def asset_name(self, asset: bytes) -> str:
        return self.issuers.get(asset) or f"of asset {asset.hex()[:12]}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the sender asked for; with `to` None an operation takes it, which burns unless `taken`
    says otherwise."""

    amount: int
    to: bytes | None
    change_lock: bytes
    asset: bytes | None = None
    mix: bool = False
    taken: Taken = burned
    only: Collection[tuple[bytes, int]] = ()
    """Outpoints to spend, all of them, instead of a selection."""


def plan(terms: Terms, holding: Holding, wish: Wish) -> Draft:
    """The draft of what was asked for; raises CliError with what is missing."""
    seed = terms.expires_at_ms
    if wish.only:
        return _plan_given(terms, holding, wish)
    if wish.mix:
        payment = Payment((), wish.to, wish.change_lock, wish.taken)
        draft = draft_mixed(
            terms, holding.free, holding.conditions, wish.amount, payment, seed=seed
        )
        if draft is None:
            raise _missing(holding, wish.amount, holding.coins, "coins of all assets together")
        return draft
    asset = wish.asset if wish.asset is not None else _richest(holding.free or holding.coins)
    if asset is None:
        raise _why_not(terms, holding, wish)
    payment = Payment((Part(asset, wish.amount),), wish.to, wish.change_lock, wish.taken)
    draft = draft_single(terms, holding.free, holding.conditions, payment, seed=seed)
    if draft is None:
        raise _why_not(terms, holding, wish)
    return draft


def plan_merge(terms: Terms, holding: Holding, asset: bytes | None) -> Draft:
    """The smallest coins of one asset, as many as a transaction may spend, become one at the
    holder's first address; without a choice those of the asset in most coins.

    Raises CliError where there are not two that are free and worth more than spending them costs,
    with what their address costs: a signature.
    """
    worthy = [coin for coin in holding.free if coin.amount > terms.dust]
    count = Counter(coin.asset for coin in worthy if asset in (None, coin.asset))
    for most in sorted(count, key=lambda item: (-count[item], item)):
        own = _that_pay(terms, [coin for coin in worthy if coin.asset == most])
        chosen = _that_pay(terms, sorted(own)[:INPUTS_MAX])
        lock = next(iter(holding.conditions))
        draft = draft_merged(terms, chosen, holding.conditions, lock) if len(chosen) > 1 else None
        if draft is not None:
            return draft
    raise not_found(
        "nothing_to_merge",
        f"{holding.name} has no two coins of one issuer that are free and worth the fee",
        f"marsa wallet coins {holding.name}",
    )


def _that_pay(terms: Terms, coins: Sequence[Coin]) -> list[Coin]:
    """Without those of addresses that cost more than all their coins are worth."""
    left = Counter[bytes]()
    for coin in coins:
        left[coin.lock] += coin.amount - terms.dust
    return [coin for coin in coins if left[coin.lock] > terms.address_cost]


def _plan_given(terms: Terms, holding: Holding, wish: Wish) -> Draft:
    coins = [coin for coin in holding.coins if coin.outpoint in wish.only]
    for txid, index in wish.only:
        if not any(coin.outpoint == (txid, index) for coin in coins):
            raise not_found(
                "unknown_coin",
                f"{holding.name} has no unspent coin {txid.hex()}:{index}",
                f"marsa wallet coins {holding.name}",
            )
    assets = sorted({coin.asset for coin in coins})
    if len(coins) > INPUTS_MAX or len(assets) > 1 or wish.asset not in (None, assets[0]):
        raise usage_error(
            "bad_coins",
            f"{len(coins)} coins of {len(assets)} assets are given",
            f"give at most {INPUTS_MAX} coins, all of the asset that is sent",
        )
    payment = Payment((Part(assets[0], wish.amount),), wish.to, wish.change_lock, wish.taken)
    draft = draft_exact(terms, coins, holding.conditions, payment)
    if draft is None:
        found = f"{format_amount(total(coins))} in the given coins"
        raise _insufficient(holding.name, found, wish.amount)
    return draft


def _why_not(terms: Terms, holding: Holding, wish: Wish) -> CliError:
    asset = wish.asset if wish.asset is not None else _richest(holding.coins)
    if asset is None:
        return _insufficient(holding.name, "no coins at all", wish.amount)
    own = [coin for coin in holding.coins if coin.asset == asset]
    is_reserved = any(coin.outpoint in holding.reserved for coin in own)
    is_short = total(own) <= wish.amount + terms.tolerance and not is_reserved
    if wish.asset is None and is_short and total(holding.free) > max(wish.amount, total(own)):
        largest = f"{format_amount(total(own))} {holding.asset_name(asset)}"
        return CliError(
            "insufficient_single_asset",
            f"no single asset of {holding.name} covers {format_amount(wish.amount)} and the fee; "
            f"the largest is {largest}, all together are {format_amount(total(holding.free))}",
            hint="repeat the command with --mix to pay with several assets",
            exit_code=ExitCode.REJECTED,
            details={"held": _by_asset(holding)},
        )
    return _missing(holding, wish.amount, own, holding.asset_name(asset))


def _missing(holding: Holding, amount: int, coins: Sequence[Coin], what: str) -> CliError:
    """Reserved, too many to fit, or not there."""
    free = [coin for coin in coins if coin.outpoint not in holding.reserved]
    largest = sorted(free, reverse=True)[:INPUTS_MAX]
    if total(free) > amount and total(largest) <= amount:
        return CliError(
            "too_many_coins",
            f"{format_amount(amount)} needs more than {INPUTS_MAX} coins of {holding.name}",
            hint=f"send at most about {format_amount(total(largest))} at once",
            exit_code=ExitCode.REJECTED,
        )
    if total(free) < total(coins) and total(coins) > amount:
        return _reserved(holding, coins, total(coins) - total(free), what)
    found = f"{format_amount(total(coins))} {what}"
    return _insufficient(holding.name, found, amount, details={"held": _by_asset(holding)})


def _reserved(holding: Holding, coins: Sequence[Coin], reserved: int, what: str) -> CliError:
    """A payment that waits for signatures may hold its coins for days."""
    until_ms = max(holding.reserved.get(coin.outpoint, 0) for coin in coins)
    return CliError(
        "funds_reserved",
        f"{holding.name} has {format_amount(total(coins))} {what}, "
        f"of which {format_amount(reserved)} is reserved for payments that are not final",
        hint=f"send again when they are; what never is, is free by {rfc3339(until_ms)}",
        exit_code=ExitCode.REJECTED,
        details={
            "reserved": str(reserved),
            "reserved_until_ms": until_ms,
            "held": _by_asset(holding),
        },
    )


def _insufficient(
    name: str, found: str, amount: int, details: Mapping[str, object] | None = None
) -> CliError:
    return CliError(
        "insufficient_funds",
        f"{name} has {found}; {format_amount(amount)} and the fee are needed",
        hint=f"marsa wallet balance {name}",
        exit_code=ExitCode.REJECTED,
        details={"needed": str(amount), **(details or {})},
    )


def _richest(coins: Sequence[Coin]) -> bytes | None:
    held = Counter[bytes]()
    for coin in coins:
        held[coin.asset] += coin.amount
    return min(held, key=lambda asset: (-held[asset], asset), default=None)


def _by_asset(holding: Holding) -> list[dict[str, str]]:
    held = Counter[bytes]()
    for coin in holding.coins:
        held[coin.asset] += coin.amount
    return [
        {"asset": asset.hex(), "issuer": holding.issuers.get(asset, ""), "amount": str(held[asset])}
        for asset in sorted(held)
    ]
