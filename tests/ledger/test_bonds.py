"""Bonds: whose coins count, for how much, and what being short leads to."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.economy.bond import Bond, required, slash, worth
from ledger.economy.licence import Cause, LicenceState
from ledger.economy.reserve import Solvency
from ledger.genesis import GenesisBond
from ledger.operations import (
    Admit,
    Apply,
    Burn,
    DepositBond,
    Reinstate,
    Revoke,
    Suspend,
    WindDown,
    WithdrawBond,
)
from ledger.reasons import Reason
from ledger.transaction import Output, SignedTransaction
from tests.ledger.economy_world import EconomyWorld, lasting, short_lived, with_economy
from tests.ledger.world import COIN, DAY_MS, TIME_MS, grant, key, lock_of, make_genesis, sign

replace = msgspec.structs.replace
COINS = tuple(bytes([index]) * 32 for index in range(4))


def deposits(world: EconomyWorld, issuer: str, coin: str, amount: int = COIN) -> SignedTransaction:
    return world.spends("alice", DepositBond(issuer, world.asset(coin), amount), amount, coin)


def bond_of(world: EconomyWorld, issuer: str, coin: str) -> int:
    held = world.draft.load(Bond, Bond.identity(issuer, world.asset(coin)))
    return 0 if held is None else held.amount


def revoked(world: EconomyWorld, name: str) -> None:
    world.run(world.govern(Revoke(name, world.licence(name).version)))


# What a bond is worth.


@pytest.mark.parametrize(
    ("amounts", "sound", "value"),
    [
        ((50, 50), 2, 100),
        ((100, 0), 2, 50),
        ((100, 10), 2, 60),
        ((50, 50), 1, 50),
        ((50, 50), 0, 0),
        ((30, 30, 30), 3, 90),
        ((90, 90, 90), 3, 150),
    ],
)
def test_one_issuer_fills_at_most_half(amounts: tuple[int, ...], sound: int, value: int) -> None:
    """100 required; coins of unsound issuers count for nothing."""
    bonds = [Bond("a", COINS[index], amount) for index, amount in enumerate(amounts) if amount]
    assert worth(bonds, COINS[:sound], 100) == value


@given(st.integers(0, 10**15), st.integers(50_000, 500_000))
def test_the_required_bond_is_rounded_up(outstanding: int, share: int) -> None:
    """ceil(beta O): never a unit too little."""
    needed = required(outstanding, share)
    assert needed * 1_000_000 >= outstanding * share > (needed - 1) * 1_000_000 or not outstanding


@given(st.lists(st.integers(1, 10**6), max_size=4), st.integers(0, 5 * 10**6))
def test_a_slash_is_pro_rata_and_never_more_than_is_there(amounts: list[int], due: int) -> None:
    """Floored for each asset; what is missing goes unpaid."""
    bonds = [Bond("a", COINS[index], amount) for index, amount in enumerate(amounts)]
    total, taken = sum(amounts), slash(bonds, due)
    assert sum(part for _, part in taken) <= min(due, total)
    assert sum(part for _, part in taken) > min(due, total) - len(amounts) or not amounts
    for item, part in taken:
        assert part == item.amount * min(due, total) // total


# Deposits.


def test_a_bond_is_made_of_coins_of_others_that_exist() -> None:
    """Its own coin, an unknown one, an issuer that is none."""
    world = EconomyWorld()
    assert world.reason(deposits(world, "val0", "val0")) is Reason.OWN_COIN
    assert world.reason(deposits(world, "nobody", "val1")) is Reason.UNKNOWN_ISSUER
    before = bond_of(world, "val0", "val1")
    world.run(deposits(world, "val0", "val1", 7))
    assert bond_of(world, "val0", "val1") == before + 7


def test_nothing_is_put_up_for_an_application() -> None:
    """It may lapse, and then nobody could take the coins back; once granted it has a bond."""
    world = EconomyWorld()
    asked = grant("new", validator=False)
    world.run(world.spends("alice", Apply(asked), 0, "val0", "new/operations"))
    assert world.reason(deposits(world, "new", "val1")) is Reason.UNKNOWN_ISSUER
    world.run(world.govern(Admit(asked, 0)))
    world.run(deposits(world, "new", "val1"))


def test_what_nobody_put_up_mints_nothing() -> None:
    """val3 has hours and no bond; one coin fills half, a second one the rest."""
    world = EconomyWorld()
    assert world.reason(world.minting("val3", 10 * COIN)) is Reason.SHORT_BOND
    world.run(deposits(world, "val3", "val0", 10 * COIN))
    assert world.reason(world.minting("val3", 10 * COIN)) is Reason.SHORT_BOND
    world.run(deposits(world, "val3", "val1", COIN // 2))
    world.run(world.minting("val3", 10 * COIN))
    assert world.reason(world.minting("val3", 20)) is Reason.SHORT_BOND


# Coins of issuers in trouble.


@pytest.mark.parametrize("trouble", ["suspended", "revoked", "deficit"])
def test_coins_of_an_issuer_in_trouble_count_for_nothing(trouble: str) -> None:
    """val0's bond is half val1's: at once it mints nothing, while holders see no change."""
    world = EconomyWorld()
    if trouble == "deficit":
        world.run(*(world.attests(group, "val1", 1) for group in ("north", "south", "west")))
        world.until((world.clock_ms // 60_000 + 1_442) * 60_000)
        assert world.reserve("val1").solvency is Solvency.DEFICIT
    else:
        act = Suspend if trouble == "suspended" else Revoke
        world.run(world.govern(act("val1", 0)))
    before = world.reserve().reserve
    assert world.reason(world.minting()) is Reason.SHORT_BOND
    world.run(world.transfer("alice", "bob"))
    assert world.reserve().reserve == before
    world.next_period()
    held = world.reserve()
    assert (held.solvency, held.short_since_ms > 0) == (Solvency.HEALTHY, True)


def test_coins_of_the_accused_count_until_its_licence_ends_and_no_longer() -> None:
    """At its last moment they fill half of val0's bond, a millisecond later nothing."""
    good = lasting(make_genesis())
    expires_ms = TIME_MS + DAY_MS
    first = replace(good.licences[1], expires_ms=expires_ms)
    world = EconomyWorld(replace(good, licences=(good.licences[0], first, *good.licences[2:])))
    world.until(expires_ms - 1, world.accuse("val1"))
    world.run(world.minting())
    assert world.clock_ms == expires_ms
    assert world.reason(world.minting()) is Reason.SHORT_BOND
    world.run()
    assert world.licence("val1").state is LicenceState.ACCUSED


def test_a_bond_that_counts_again_is_short_no_more() -> None:
    """The issuer of its coins is reinstated within the thirty days."""
    world = EconomyWorld()
    world.run(world.govern(Suspend("val1", 0)))
    world.next_period()
    assert world.reserve().short_since_ms
    world.run(world.govern(Reinstate("val1", 1)))
    world.next_period()
    assert world.reserve().short_since_ms == 0
    world.run(world.minting())


# Being short.


def test_a_bond_that_stays_short_suspends_and_touches_no_holder() -> None:
    """At the last of thirty days active, a millisecond later suspended for its bond; nothing but
    minting stops, and what nobody ends is revoked after 180 days."""
    world = EconomyWorld()
    revoked(world, "val1")
    world.next_period()
    since_ms = world.reserve().short_since_ms
    assert since_ms == world.clock_ms
    for day in (3, 6, 9, 12, 15, 18, 21, 24, 27):
        world.until(since_ms + day * DAY_MS)
        world.renew("val0", "val2")
    world.until(since_ms + 30 * DAY_MS)
    assert world.licence("val0").state is LicenceState.ACTIVE
    world.run()
    held = world.licence("val0")
    assert (held.state, held.cause) == (LicenceState.SUSPENDED, Cause.BOND)
    assert world.reason(world.minting()) is Reason.LICENCE_INACTIVE
    assert world.reserve().solvency is Solvency.HEALTHY
    world.run(world.transfer("alice", "bob"))
    world.until(held.since_ms + 180 * DAY_MS)
    assert world.licence("val0").state is LicenceState.SUSPENDED
    world.run()
    assert world.licence("val0").state is LicenceState.REVOKED


def test_a_bond_topped_up_in_time_is_short_no_more() -> None:
    """Coins of a third issuer fill the other half, to the last unit."""
    world = EconomyWorld()
    world.run(deposits(world, "val3", "val0", 20 * COIN))
    world.run(deposits(world, "val3", "val2", 20 * COIN))
    world.run(world.minting("val3", 140 * COIN, to="alice"))
    revoked(world, "val1")
    world.next_period()
    since_ms = world.reserve().short_since_ms
    assert since_ms
    half = -(-required(world.reserve().supply, 100_000) // 2)
    world.run(deposits(world, "val0", "val3", half - 1))
    assert world.reserve().short_since_ms == since_ms
    world.run(deposits(world, "val0", "val3", 1))
    assert world.reserve().short_since_ms == 0
    world.run(world.minting("val0", 1))


def test_a_bond_whose_coins_count_again_at_the_last_moment_suspends_nobody() -> None:
    """Their issuer is reinstated within the last period of the thirty days: what is due is swept
    before anybody judges val0 again, and its bond is asked for then."""
    world = EconomyWorld()
    world.run(world.govern(Suspend("val1", 0)))
    world.next_period()
    since_ms = world.reserve().short_since_ms
    for day in range(3, 30, 3):
        world.until(since_ms + day * DAY_MS)
        world.renew("val0", "val1", "val2")
    ends_ms = since_ms + 30 * DAY_MS
    world.until(ends_ms - 1_000)
    world.run(world.govern(Reinstate("val1", 1)))
    assert world.reserve().short_since_ms == since_ms
    world.run(after_ms=ends_ms + 1 - world.clock_ms)
    assert world.licence("val0").state is LicenceState.ACTIVE
    assert world.reserve().short_since_ms == 0


# Withdrawals.


def test_only_what_is_not_required_is_taken_back() -> None:
    """Down to half of the requirement in each of two coins, and not a unit more."""
    world = EconomyWorld()
    half = -(-required(world.reserve().supply, 100_000) // 2)
    spare = bond_of(world, "val0", "val1") - half
    assert world.reason(world.withdraws("val0", "val1", spare + 1)) is Reason.SHORT_BOND
    world.run(world.withdraws("val0", "val1", spare))
    assert world.reason(world.withdraws("val0", "val1", 1)) is Reason.SHORT_BOND
    assert world.reason(world.minting()) is Reason.SHORT_BOND


def test_nobody_takes_back_more_than_there_is_or_of_another_issuer() -> None:
    """More than the bond holds, a coin that it does not hold, by another key."""
    world = EconomyWorld()
    amount = bond_of(world, "val0", "val1")
    assert world.reason(world.withdraws("val0", "val1", amount + 1)) is Reason.SHORT_BOND
    assert world.reason(world.withdraws("val0", "val3", 1)) is Reason.SHORT_BOND
    asset = world.asset("val1")
    other = WithdrawBond("val0", key("val1/treasury").public, 0, 0, asset, 1)
    body = world.body([], [Output(asset, 1, lock_of("bob"))], operations=[other])
    assert world.reason(sign(body, [], ["val1/treasury"])) is Reason.WRONG_ROLE_KEY


@pytest.mark.parametrize("act", [Suspend, Revoke])
def test_a_suspended_or_revoked_issuer_takes_nothing(act: type) -> None:
    """What holders may be owed stays."""
    world = EconomyWorld()
    world.run(world.govern(act("val0", 0)))
    assert world.reason(world.withdraws("val0", "val1", 1)) is Reason.LICENCE_INACTIVE


def renewed(name: str) -> Admit:
    """As one that issues no more."""
    return Admit(grant(name, issuer=False), 0)


def few_coins(coins: int = 0) -> EconomyWorld:
    """val3 has a bond, and so many coins of it are with alice."""
    made = with_economy(lasting(make_genesis()), winddown_ms=DAY_MS)
    bonds = [GenesisBond("val3", other, COIN) for other in ("val0", "val1")]
    world = EconomyWorld(replace(made, bonds=(*made.bonds, *bonds)))
    if coins:
        world.run(world.minting("val3", coins * COIN))
    return world


@pytest.mark.parametrize("end", [Revoke("val3", 0), renewed("val3")])
def test_who_issues_no_more_takes_all_once_no_coin_is_left(end: Revoke | Admit) -> None:
    """Nothing is owed to anybody then; as long as one coin is out, nothing is taken."""
    world = few_coins(1)
    world.run(world.govern(end))
    assert world.reason(world.withdraws("val3", "val0", 1)) is Reason.LICENCE_INACTIVE
    world.run(world.spends("alice", Burn(world.asset("val3"), COIN), COIN, "val3"))
    world.run(world.withdraws("val3", "val0", COIN))
    world.run(world.withdraws("val3", "val1", COIN))
    assert bond_of(world, "val3", "val0") == bond_of(world, "val3", "val1") == 0


def test_a_caged_coin_of_which_none_is_left_keeps_no_bond() -> None:
    """Its holders waited too long for the end of a wind-down, and burned it after all."""
    world = few_coins(1)
    signer = "val3/operations"
    world.run(world.does(WindDown("val3", key(signer).public, 0), signer))
    world.until(world.clock_ms + 2 * DAY_MS)
    assert world.reserve("val3").solvency is Solvency.CAGED
    assert world.reason(world.withdraws("val3", "val0", 1)) is Reason.NOT_HEALTHY
    world.run(world.spends("alice", Burn(world.asset("val3"), COIN), COIN, "val3"))
    world.next_period()
    assert world.licence("val3").state is LicenceState.CLOSED
    world.run(world.withdraws("val3", "val0", COIN))


@pytest.mark.parametrize("solvency", [Solvency.DEFICIT, Solvency.CAGED])
def test_an_issuer_that_does_not_cover_its_coins_takes_nothing(solvency: Solvency) -> None:
    """However large its bond is."""
    world = short_lived()
    if solvency is Solvency.CAGED:
        world.until(world.reserve().since_ms + 7 * DAY_MS + 1)
    held = world.reserve()
    assert held.solvency is solvency
    assert bond_of(world, "val0", "val1") > required(held.supply, 100_000)
    assert world.reason(world.withdraws("val0", "val1", 1)) is Reason.NOT_HEALTHY


def test_a_bond_frees_itself_with_the_coins_that_are_burned() -> None:
    """Less outstanding, less required: the difference can be taken, both in one block."""
    world = EconomyWorld()
    half = -(-required(world.reserve().supply, 100_000) // 2)
    world.run(world.withdraws("val0", "val1", bond_of(world, "val0", "val1") - half))
    burn = world.spends("alice", Burn(world.asset(), 200 * COIN), 200 * COIN)
    take = world.withdraws("val0", "val1", 10 * COIN)
    assert world.reason(take) is Reason.SHORT_BOND
    world.run(burn, take)
