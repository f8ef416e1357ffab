"""Bands: how an issuer's coin comes to stand, what it may do there, and the way back."""

from __future__ import annotations

import msgspec
import pytest

from ledger import execution
from ledger.economy.issuance import mint_cap
from ledger.economy.reserve import Solvency, margin_limit
from ledger.operations import Burn, RemoveAttestor, Suspend, WindDown
from ledger.reasons import Reason
from ledger.transaction import Input, SignedTransaction
from tests.ledger.economy_world import (
    EconomyWorld,
    lasting,
    short_lived,
    well_bonded,
    with_economy,
)
from tests.ledger.test_challenges import challenges, rules
from tests.ledger.world import (
    DAY_MS,
    GROUPS,
    PANEL_GROUPS,
    PERIOD_MS,
    TIME_MS,
    attest,
    commitment,
    key,
    make_genesis,
)

replace = msgspec.structs.replace
MARGIN = 200_000


def standing(world: EconomyWorld) -> Solvency:
    return world.reserve().solvency


def holders_go_on(world: EconomyWorld) -> None:
    """Whatever the band: coins move and burn."""
    world.run(world.transfer("alice", "bob"))
    world.run(world.spends("bob", Burn(world.asset(), 5), 5))


def full(world: EconomyWorld) -> None:
    """val0 mints to the margin."""
    reserve = world.reserve()
    spare = margin_limit(reserve.reserve, MARGIN) - reserve.supply
    if spare > 0:
        world.run(world.minting("val0", spare))


def test_hours_that_pass_lead_from_healthy_over_warn_to_deficit() -> None:
    """At the margin healthy; a period later above it, WARN; once R is below O, DEFICIT."""
    world = EconomyWorld(well_bonded(make_genesis()))
    full(world)
    assert standing(world) is Solvency.HEALTHY
    assert world.reason(world.minting("val0", 1)) is Reason.ABOVE_HEADROOM
    world.next_period()
    assert standing(world) is Solvency.WARN
    found = world.refusal(world.minting("val0", 1))
    assert (found.reason, found.detail) == (Reason.NOT_HEALTHY, "'val0' is in warn")
    holders_go_on(world)
    reserve = world.reserve()
    periods = (reserve.reserve - reserve.supply) // 900_001
    last = (world.clock_ms // PERIOD_MS + periods) * PERIOD_MS
    world.until(world.clock_ms + 3 * DAY_MS)
    world.renew("val0", figure=900_001)  # before the figures decay
    world.until(last)
    assert (standing(world), world.reserve().coverage_ppm >= 1_000_000) == (Solvency.WARN, True)
    world.next_period()
    assert standing(world) is Solvency.DEFICIT
    assert world.reason(world.minting("val0", 1)) is Reason.NOT_HEALTHY
    holders_go_on(world)


def test_a_deficit_is_cured_up_to_its_last_moment() -> None:
    """Hours within seven days make it healthy; that it was in deficit is over."""
    world = short_lived()
    assert standing(world) is Solvency.DEFICIT
    world.until(world.reserve().since_ms + 7 * DAY_MS)
    assert standing(world) is Solvency.DEFICIT


def test_a_deficit_that_is_not_cured_is_caged_for_good() -> None:
    """One millisecond after seven days; no hours bring it back, and holders go on."""
    world = short_lived()
    ends_ms = world.reserve().since_ms + 7 * DAY_MS
    world.until(ends_ms + 1)
    held = world.reserve()
    assert (held.solvency, held.since_ms) == (Solvency.CAGED, ends_ms)
    world.run(*_more_hours(world))
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    world.next_period()
    assert world.reserve().reserve > world.reserve().supply
    assert standing(world) is Solvency.CAGED
    assert world.reason(world.minting("val0", 1)) is Reason.NOT_HEALTHY
    holders_go_on(world)


def _more_hours(world: EconomyWorld) -> list[SignedTransaction]:
    item = commitment("val0", name="more", days=300)
    now = (world.clock_ms // PERIOD_MS) * PERIOD_MS
    terms = replace(item.terms, region="us-east", from_ms=now, to_ms=now + 300 * DAY_MS)
    commits = world.commits(terms)
    names = [f"more/{index}" for index in range(60)]
    return [commits, world.pledges("val0", "more", *names, version=0)]


def test_new_hours_cure_a_deficit() -> None:
    """Committed, pledged and attested by two groups: healthy at the end of that very block."""
    world = short_lived()
    world.run(*_more_hours(world))
    world.run(world.attests("north", "val0", of="more"))
    assert standing(world) is Solvency.DEFICIT
    world.run(world.attests("south", "val0", of="more"))
    assert standing(world) is Solvency.HEALTHY
    world.run(world.minting("val0", 1))


def test_burning_cures_a_deficit() -> None:
    """O falls below R: alice burns what is too much."""
    world = EconomyWorld(well_bonded(make_genesis()))
    figures = world.reserve().supply // (30 * DAY_MS // PERIOD_MS) - 1
    for _ in range(2):
        world.run(*(world.attests(group, "val0", figures) for group in GROUPS))
        world.until((world.clock_ms + DAY_MS) // PERIOD_MS * PERIOD_MS + PERIOD_MS)
    assert standing(world) is Solvency.DEFICIT
    held = world.reserve()
    excess = held.supply - held.reserve
    world.run(world.spends("alice", Burn(world.asset(), excess - 1), excess - 1))
    assert standing(world) is Solvency.DEFICIT
    world.run(world.spends("alice", Burn(world.asset(), 1), 1))
    assert standing(world) is Solvency.WARN


def test_too_little_due_in_seven_days_is_warn_and_never_deficit() -> None:
    """Hours that begin later cover everything, and none of them is due soon."""
    good = make_genesis()
    item = commitment("val0", days=300)
    terms = replace(item.terms, from_ms=TIME_MS + 8 * DAY_MS)
    later = attest(good.nonce, replace(item, terms=terms), {f"att-{g}": 900_000 for g in GROUPS})
    world = EconomyWorld(replace(good, commitments=(later, *good.commitments[1:])))
    held = world.reserve()
    assert (held.solvency, held.deliverable) == (Solvency.WARN, 0)
    assert held.headroom(MARGIN) > 0
    assert world.reason(world.minting("val0", 1)) is Reason.NOT_HEALTHY
    holders_go_on(world)
    lambda_ms = -(-held.supply * 50_000 // 1_000_000 // 900_000) * PERIOD_MS
    world.until(TIME_MS + DAY_MS + lambda_ms - PERIOD_MS)
    assert standing(world) is Solvency.WARN
    world.next_period()
    assert standing(world) is Solvency.HEALTHY


def test_the_cap_of_a_period_is_shared_by_its_mints_in_their_order() -> None:
    """2 % of R: two mints use it up, whatever their lanes; the next period has a new one."""
    world = EconomyWorld(with_economy(well_bonded(lasting(make_genesis())), mint_cap_ppm=2_000))
    held = world.reserve()
    cap = mint_cap(held, held.supply, world.genesis.parameters)
    assert cap == held.reserve * 2 // 1_000
    first, second = world.minting("val0", cap - 5), world.minting("val0", 6, lane=1)
    assert world.reason(first, second) is Reason.ABOVE_MINT_CAP
    assert world.reason(world.minting("val0", cap + 1)) is Reason.ABOVE_MINT_CAP
    world.run(first, world.minting("val0", 5, lane=1))
    assert world.reason(world.minting("val0", 1)) is Reason.ABOVE_MINT_CAP
    world.next_period()
    world.run(world.minting("val0", 1))


def test_headroom_in_one_block_goes_to_who_comes_first() -> None:
    """Two that fit alone and not together: the later is refused in either order."""
    world = EconomyWorld(well_bonded(make_genesis()))
    spare = world.reserve().headroom(MARGIN)
    one, other = world.minting("val0", spare - 5), world.minting("val0", 6, lane=1)
    assert world.reason(one, other) is Reason.ABOVE_HEADROOM
    assert world.reason(other, one) is Reason.ABOVE_HEADROOM


def test_hours_that_fell_earlier_in_the_block_back_no_mint() -> None:
    """A commitment is void, its attestors are removed, one contradicts: each time the reserve of
    the block before would have done, and the mint is refused in that very block."""
    world = EconomyWorld(well_bonded(lasting(make_genesis(), 30)))
    mint = world.minting("val0", 1)
    gone = world.govern(*(RemoveAttestor(f"att-{group}", 1) for group in ("north", "south")))
    assert world.reason(gone, mint) is Reason.NOT_HEALTHY
    assert world.reason(world.attests("north", "val0", 5), mint) is Reason.MINT_FROZEN
    held = world.reserve()
    taken = world.withdraws("val0", "val1", 1)
    assert world.reason(gone, taken) is Reason.NOT_HEALTHY
    world.run(challenges(world))
    world.run(*(rules(world, group, upheld=True) for group in PANEL_GROUPS[:3]))
    assert world.reserve().reserve == held.reserve
    assert world.reason(world.minting("val0", 1)) is Reason.NOT_HEALTHY


def test_hours_that_came_earlier_in_the_block_back_a_mint() -> None:
    """Attested by the second group, then minted: healthy by what is so far."""
    world = short_lived()
    world.run(*_more_hours(world))
    world.run(world.attests("north", "val0", of="more"))
    assert standing(world) is Solvency.DEFICIT
    world.run(world.attests("south", "val0", of="more"), world.minting("val0", 1))
    assert standing(world) is Solvency.HEALTHY


def test_a_burn_in_the_same_block_makes_room_for_a_mint() -> None:
    """After the burn it fits, before it does not."""
    world = EconomyWorld(well_bonded(make_genesis()))
    full(world)
    burn, mint = world.spends("alice", Burn(world.asset(), 9), 9), world.minting("val0", 9)
    assert world.reason(mint) is Reason.ABOVE_HEADROOM
    world.run(burn, mint)


def test_bands_follow_from_figures_in_every_state_of_the_licence() -> None:
    """Suspended or winding down, an issuer is judged as before."""
    signer = "val0/operations"
    for suspends in (True, False):
        world = EconomyWorld(well_bonded(make_genesis()))
        full(world)
        stop = WindDown("val0", key(signer).public, 0)
        world.run(world.govern(Suspend("val0", 0)) if suspends else world.does(stop, signer))
        world.next_period()
        assert standing(world) is Solvency.WARN


def test_fees_in_coins_of_an_issuer_in_deficit_fill_a_tenth_of_a_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With room for twenty transactions two are taken at par; those in sound coins pass on."""
    monkeypatch.setattr(execution, "BLOCK_TRANSACTIONS_MAX", 20)
    world = short_lived()
    txs, coin = [], world.coin("alice")
    for owner, to in (("alice", "bob"), ("bob", "carol"), ("carol", "dave")):
        txs.append(world.transfer(owner, to, coin.amount - 3_000, coin=coin))
        coin = Input(txs[-1].txid, 0, coin.asset, coin.amount - 3_000)
    assert world.reason(*txs) is Reason.TROUBLED_FEE
    sound = world.transfer("bob", "carol", coin=world.coin("bob", "val1"))
    world.run(*txs[:2], sound)
    world.run(txs[2])
