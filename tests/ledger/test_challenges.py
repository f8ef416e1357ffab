"""Challenges: deposit, panel, verdict, who pays; and what all of it leaves alone."""

from __future__ import annotations

import pytest

from ledger.economy.bond import Bond, required
from ledger.economy.capacity import CapacityCommitment, CommitmentState
from ledger.economy.challenge import Challenge, deposit_needed
from ledger.economy.reserve import Solvency
from ledger.objects import load
from ledger.operations import OpenChallenge, RemoveAttestor, Rule
from ledger.reasons import Reason
from ledger.system import system_txid
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import (
    EconomyWorld,
    lasting,
    more,
    proposed,
    short_lived,
    well_bonded,
)
from tests.ledger.world import (
    COIN,
    DAY_MS,
    GROUPS,
    PANEL_GROUPS,
    PERIOD_MS,
    TIME_MS,
    key,
    lock_of,
    make_genesis,
)

NAME = CapacityCommitment.identity("val0", "capacity-val0")


def new_world() -> EconomyWorld:
    """Thirty days of hours: one percent of them is less than what alice has."""
    return EconomyWorld(lasting(make_genesis(), 30))


def share_of(at_stake: int) -> int:
    """One percent, rounded up: what a deposit is where the bond is larger."""
    return -(-at_stake // 100)


def needed(world: EconomyWorld) -> int:
    return share_of(world.reserve().reserve)


def challenges(
    world: EconomyWorld, amount: int = 0, coin: str = "val1", name: str = "capacity-val0"
) -> SignedTransaction:
    """alice doubts val0's hours; what comes back goes to carol."""
    amount = amount or needed(world)
    operation = OpenChallenge("val0", name, world.asset(coin), amount, lock_of("carol"))
    return world.spends("alice", operation, amount, coin)


def rules(
    world: EconomyWorld,
    group: str,
    upheld: bool,
    since_ms: int | None = None,
    of: str = "capacity-val0",
) -> SignedTransaction:
    held = load(world.state, Challenge, CapacityCommitment.identity("val0", of))
    if since_ms is None:
        since_ms = 0 if held is None else held.since_ms
    who = f"att-{group}"
    signer = f"attestor/{who}"
    vote = Rule(who, key(signer).public, "val0", of, upheld, since_ms)
    return world.does(vote, signer)


def contested(world: EconomyWorld) -> Challenge:
    world.run(challenges(world))
    held = load(world.state, Challenge, NAME)
    assert held is not None
    return held


def state_of(world: EconomyWorld) -> CommitmentState | None:
    held = world.capacity()
    return None if held is None else held.state


def amount_of(world: EconomyWorld, owner: str, coin: str) -> int:
    wanted = (world.asset(coin), lock_of(owner))
    found = world.state.outputs.values()
    return sum(item.amount for item in found if (item.asset, item.lock) == wanted)


def bonds(world: EconomyWorld) -> dict[str, int]:
    held = {item.asset: item.amount for item in world.draft.all(Bond, Bond.prefix("val0"))}
    return {name: held.get(world.asset(name), 0) for name in ("val1", "val2")}


# Opening.


def test_the_deposit_is_one_percent_of_the_contested_value() -> None:
    """One unit less is refused; it is held in the challenge, and counts as outstanding."""
    world = new_world()
    amount = needed(world)
    assert amount == -(-world.reserve().reserve // 100)
    assert world.reason(challenges(world, amount - 1)) is Reason.LOW_DEPOSIT
    supply = world.reserve("val1").supply
    held = contested(world)
    assert (held.deposit, held.decided_ms) == (amount, 0)
    assert world.reserve("val1").supply == supply


def test_hours_that_nobody_vouched_for_of_late_are_still_at_stake() -> None:
    """The commitment is stale and counts nothing: a challenge of one unit, which would shield it
    once its attestors speak again, is refused; the whole deposit is needed, and is the penalty."""
    world = new_world()
    world.until(world.clock_ms + 8 * DAY_MS)
    world.renew("val1")
    assert world.reserve().reserve == 0
    assert world.reason(challenges(world, 1)) is Reason.LOW_DEPOSIT
    left = 22 * DAY_MS // PERIOD_MS
    amount = share_of(900_000 * left)
    assert world.reason(challenges(world, amount - 1)) is Reason.LOW_DEPOSIT
    world.run(challenges(world, amount))
    held = load(world.state, Challenge, NAME)
    assert held is not None
    assert held.penalty == amount
    world.renew("val0")
    assert world.reserve().reserve == 900_000 * left


def test_what_is_only_promised_does_not_put_the_deposit_out_of_reach() -> None:
    """A thousand times the hours: as before. For twice as long: twice as much, and half of it is
    still needed when those days are all that is left and nobody has vouched for them."""
    world = short_lived(30)
    before, held = needed(world), world.capacity()
    assert held is not None
    end_ms = held.terms.to_ms
    world.run(world.amends("val0", "capacity-val0", 1_000 * 1_000_000, end_ms))
    assert world.reason(challenges(world, before - 1)) is Reason.LOW_DEPOSIT
    world.execution(1).add(challenges(world, before))
    world.run(world.amends("val0", "capacity-val0", 1_000 * 1_000_000, end_ms + 30 * DAY_MS))
    assert world.reason(challenges(world, 2 * before - 1)) is Reason.LOW_DEPOSIT
    world.execution(1).add(challenges(world, 2 * before))
    world.until(end_ms)
    world.run(*(world.attests(group, "val1") for group in GROUPS))
    assert world.reserve().reserve == 0
    assert world.reason(challenges(world, before - 1)) is Reason.LOW_DEPOSIT
    world.execution(1).add(challenges(world, before))


def test_without_attestors_all_that_the_machines_can_deliver_is_at_stake() -> None:
    """Two of three that vouched are gone: what the third said does not make the deposit small."""
    world = new_world()
    gone = [RemoveAttestor(f"att-{group}", 1) for group in GROUPS[:2]]
    others = [world.attests(group, "val1") for group in PANEL_GROUPS[:2]]
    world.run(world.govern(*gone), *others)
    amount = share_of(1_000_000 * 30 * DAY_MS // PERIOD_MS)
    assert world.reason(challenges(world, amount - 1)) is Reason.LOW_DEPOSIT
    world.run(challenges(world, amount))


@pytest.mark.parametrize(
    ("at_stake", "bond", "must", "amount"),
    [
        (0, 0, 0, COIN),
        (50 * COIN, 9 * COIN, 9 * COIN, COIN),
        (100 * COIN + 1, 9 * COIN, 0, COIN + 1),
        (10**12, 10**12, 0, 10**10),
        (10**18, 7 * COIN, 5 * COIN, 7 * COIN),
        (10**18, 5 * COIN, 7 * COIN, 7 * COIN),
        (10**18, 7, 5, COIN),
    ],
)
def test_a_deposit_is_a_share_never_above_the_bond_nor_below_a_coin(
    at_stake: int, bond: int, must: int, amount: int
) -> None:
    """Rounded up; of the bond what it holds or what it must hold, whichever is more."""
    assert deposit_needed(at_stake, 10_000, bond=bond, bond_needed=must) == amount


def test_the_larger_the_lie_the_less_it_pays_to_shield_it() -> None:
    """Hours worth more than all coins that exist: the deposit is the bond, of which the challenger
    gets all. Where the bond has gone since, it is what the bond must hold."""
    world = EconomyWorld(lasting(make_genesis()))
    at_stake, supply = world.reserve().reserve, world.reserve().supply
    held = sum(bonds(world).values())
    assert required(supply, 100_000) < held < share_of(at_stake)
    assert world.reason(challenges(world, held - 1)) is Reason.LOW_DEPOSIT
    world.run(challenges(world, held))
    world.run(*(rules(world, group, upheld=True) for group in PANEL_GROUPS[:3]))
    world.run()
    assert bonds(world) == {"val1": 0, "val2": 0}
    assert amount_of(world, "carol", "val1") == held + held // 2
    proposed(world)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    least = required(world.reserve().supply, 100_000)
    assert least < share_of(world.reserve().reserve)
    assert world.reason(challenges(world, least - 1, "val2", "more")) is Reason.LOW_DEPOSIT
    world.run(challenges(world, least, "val2", "more"))


def test_what_may_be_challenged_and_in_which_coins() -> None:
    """Nothing unknown, nothing twice; not in the issuer's own coin."""
    world = new_world()
    assert world.reason(challenges(world, name="nothing")) is Reason.UNKNOWN_COMMITMENT
    assert world.reason(challenges(world, coin="val0")) is Reason.OWN_COIN
    contested(world)
    assert world.reason(challenges(world, COIN)) is Reason.ALREADY_CONTESTED


def test_contested_hours_count_until_they_are_ruled_on() -> None:
    """R, band, minting, pledges and attestations go on."""
    world = new_world()
    before = world.reserve().reserve
    contested(world)
    assert state_of(world) is CommitmentState.CONTESTED
    assert (world.reserve().reserve, world.reserve().solvency) == (before, Solvency.HEALTHY)
    world.run(world.minting(), world.attests("north", "val0"), world.transfer("bob", "alice"))
    held = world.capacity()
    assert held is not None
    world.run(world.amends("val0", "capacity-val0", 1_100_000, held.terms.to_ms))
    world.run(world.pledges("val0", "capacity-val0", "one more"))


# Verdicts.


def test_upheld_the_commitment_is_void_and_the_bond_pays() -> None:
    """Three of five: deposit back, the penalty from the bond pro rata, hours gone, devices free."""
    world = new_world()
    held, before = contested(world), bonds(world)
    assert before["val1"] == before["val2"]
    world.run(*(rules(world, group, upheld=True) for group in PANEL_GROUPS[:2]))
    world.run(rules(world, PANEL_GROUPS[2], upheld=False))
    assert state_of(world) is CommitmentState.CONTESTED
    world.run(rules(world, PANEL_GROUPS[3], upheld=True))
    late = rules(world, PANEL_GROUPS[4], upheld=False)
    assert world.reason(late) is Reason.UNKNOWN_CHALLENGE
    world.run()
    assert state_of(world) is CommitmentState.VOID
    assert load(world.state, Challenge, NAME) is None
    half = held.deposit // 2
    assert bonds(world) == {name: amount - half for name, amount in before.items()}
    assert amount_of(world, "carol", "val1") == held.deposit + half
    assert amount_of(world, "carol", "val2") == half
    assert (world.reserve().reserve, world.reserve().solvency) == (0, Solvency.DEFICIT)
    height = world.state.head.header.height
    assert world.state.outputs[system_txid(height, 0), 0].amount == held.deposit
    promised = world.capacity("val1")
    assert promised is not None
    world.run(world.amends("val1", "capacity-val1", 1_100_000, promised.terms.to_ms))
    world.run(world.pledges("val1", "capacity-val1", "val0//1"))
    world.run(world.transfer("alice", "bob"))
    for tx in (
        world.attests("north", "val0"),
        world.pledges("val0", "capacity-val0", "one more"),
        world.amends("val0", "capacity-val0", 2_000_000, 0),
        challenges(world, COIN),
    ):
        assert world.reason(tx) is Reason.COMMITMENT_OVER


def test_a_larger_deposit_takes_no_more_from_the_bond() -> None:
    """What was needed is what the bond pays: nobody empties it by putting up more."""
    world = new_world()
    penalty, before = needed(world), bonds(world)
    world.run(challenges(world, 2 * penalty))
    held = load(world.state, Challenge, NAME)
    assert held is not None
    assert (held.deposit, held.penalty) == (2 * penalty, penalty)
    world.run(*(rules(world, group, upheld=True) for group in PANEL_GROUPS[:3]))
    world.run()
    assert bonds(world) == {name: amount - penalty // 2 for name, amount in before.items()}
    assert amount_of(world, "carol", "val1") == 2 * penalty + penalty // 2


def test_penalties_of_challenges_that_run_stay_in_the_bond() -> None:
    """With two of them both penalties stay beside what is required, to the unit; once one is
    dismissed its share can be taken out, and that of the other still stays."""
    world = EconomyWorld(well_bonded(lasting(make_genesis(), 30)))
    names = [f"more/{index}" for index in range(6)]
    world.run(
        world.commits(more(world, microhours=100_000, to_ms=TIME_MS + 30 * DAY_MS)),
        world.pledges("val0", "more", *names, version=0),
    )
    world.run(*(world.attests(group, "val0", 100_000, of="more") for group in GROUPS))
    world.run(challenges(world, 400 * COIN))
    world.run(challenges(world, 100 * COIN, "val2", "more"))
    first, second = (item.penalty for item in world.draft.all(Challenge))
    least = required(world.reserve().supply, 100_000)
    for running in (first + second, second):
        half = -(-(least + running) // 2)
        spare = bonds(world)["val1"] - half
        assert world.reason(world.withdraws("val0", "val1", spare + 1)) is Reason.SHORT_BOND
        for coin in ("val1", "val2"):
            world.run(world.withdraws("val0", coin, spare))
        if load(world.state, Challenge, NAME) is not None:
            world.run(*(rules(world, group, upheld=False) for group in PANEL_GROUPS[:3]))
            world.run()
    assert bonds(world) == {"val1": half, "val2": half}


def test_a_bond_pays_no_more_than_it_holds() -> None:
    """Two challenges, each for all of the bond: the first that is upheld takes it, the second finds
    nothing and has its deposit back."""
    world = EconomyWorld(well_bonded(lasting(make_genesis(), 30), 150))
    proposed(world)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    world.run(challenges(world, 500 * COIN))
    world.run(challenges(world, 300 * COIN, "val2", "more"))
    assert [item.penalty for item in world.draft.all(Challenge)] == 2 * [300 * COIN]
    world.run(*(rules(world, group, upheld=True) for group in PANEL_GROUPS[:3]))
    world.run()
    assert bonds(world) == {"val1": 0, "val2": 0}
    assert amount_of(world, "carol", "val1") == 650 * COIN
    assert amount_of(world, "carol", "val2") == 150 * COIN
    assert world.reserve().short_since_ms > 0
    world.run(*(rules(world, group, upheld=True, of="more") for group in PANEL_GROUPS[:3]))
    world.run()
    assert amount_of(world, "carol", "val1") == 650 * COIN
    assert amount_of(world, "carol", "val2") == 450 * COIN


def test_dismissed_the_deposit_is_the_issuers() -> None:
    """Three of five against: its treasury has it, everything else is as before."""
    world = new_world()
    before, bond = world.reserve().reserve, bonds(world)
    held = contested(world)
    world.run(*(rules(world, group, upheld=False) for group in PANEL_GROUPS[:3]))
    world.run()
    assert (state_of(world), world.reserve().reserve) == (CommitmentState.LIVE, before)
    assert bonds(world) == bond
    assert amount_of(world, "val0/treasury", "val1") == held.deposit
    assert amount_of(world, "carol", "val1") == 0
    world.run(challenges(world, coin="val2"))


@pytest.mark.parametrize("more", [1, 100 * COIN])
def test_what_was_deposited_beyond_the_need_is_never_lost(more: int) -> None:
    """Dismissed the issuer gets what was needed; the rest goes back to the challenger."""
    world = new_world()
    least = needed(world)
    world.run(challenges(world, amount=least + more))
    world.run(*(rules(world, group, upheld=False) for group in PANEL_GROUPS[:3]))
    world.run()
    assert amount_of(world, "val0/treasury", "val1") == least
    assert amount_of(world, "carol", "val1") == more


def test_a_silent_panel_changes_nothing() -> None:
    """At the last of seven days a vote still counts, then the deposit is back."""
    world = new_world()
    held = contested(world)
    world.run(*(rules(world, group, upheld=True) for group in PANEL_GROUPS[:2]))
    last_ms = held.since_ms + 7 * DAY_MS
    world.until(last_ms - 1)
    third = rules(world, PANEL_GROUPS[2], upheld=True)
    world.execution(1).add(third)
    assert world.reason(third, after_ms=2) is Reason.UNKNOWN_CHALLENGE
    world.run()
    assert state_of(world) is CommitmentState.CONTESTED
    world.run()
    assert state_of(world) is CommitmentState.LIVE
    assert amount_of(world, "carol", "val1") == held.deposit
    assert load(world.state, Challenge, NAME) is None


def test_a_verdict_at_the_last_moment_holds() -> None:
    """The third vote in the block of the deadline: void."""
    world = new_world()
    held = contested(world)
    world.run(*(rules(world, group, upheld=True) for group in PANEL_GROUPS[:2]))
    world.until(held.since_ms + 7 * DAY_MS, rules(world, PANEL_GROUPS[2], upheld=True))
    world.run()
    assert state_of(world) is CommitmentState.VOID


def test_no_number_of_devices_delays_a_verdict() -> None:
    """A proposal with six hundred devices lapses in the block of the third vote: the next one
    writes the commitment off and takes its hours out of R, whatever else is due."""
    world = EconomyWorld(well_bonded(lasting(make_genesis(), 30)))
    made = more(world, microhours=10_000_000)
    names = [f"more/{index}" for index in range(600)]
    world.run(world.commits(made))
    lapses_ms = world.clock_ms + 7 * DAY_MS
    for part in (names[:256], names[256:512], names[512:]):
        world.run(world.pledges("val0", "more", *part))
    world.until(lapses_ms - 10)
    world.renew()
    contested(world)
    world.until(lapses_ms + 1, *(rules(world, group, upheld=True) for group in PANEL_GROUPS[:3]))
    world.run()
    assert (state_of(world), world.reserve().reserve) == (CommitmentState.VOID, 0)


def test_a_commitment_that_ends_while_contested_waits_for_its_ruling() -> None:
    """It counts for nothing then; once ruled on it is over, and its devices are free."""
    world = short_lived(9)
    held = world.capacity()
    assert held is not None
    ends_ms = held.terms.to_ms
    world.until(ends_ms - 2 * DAY_MS)
    world.renew("val0", "val1", "val2")
    world.next_period()
    opened = contested(world)
    world.until(ends_ms + 1)
    assert (state_of(world), world.reserve().reserve) == (CommitmentState.CONTESTED, 0)
    world.until(opened.since_ms + 7 * DAY_MS + 1)
    world.run()
    assert state_of(world) is None
    world.next_period()
    world.next_period()
    assert load(world.state, CapacityCommitment, NAME) is None


def test_one_hostile_challenger_changes_nothing_for_holders() -> None:
    """Challenge after challenge is dismissed: R and bond as without, the issuer richer."""
    world, calm = new_world(), new_world()
    for coin in ("val1", "val2"):
        world.run(challenges(world, coin=coin))
        world.run(*(rules(world, group, upheld=False) for group in PANEL_GROUPS[:3]))
        world.run(world.transfer("alice", "bob"))
        for _ in range(2):
            calm.run()
        calm.run(calm.transfer("alice", "bob"))
        assert world.reserve().reserve == calm.reserve().reserve
        assert world.reserve().solvency is Solvency.HEALTHY
        assert bonds(world) == bonds(calm)
    world.run(world.minting())
