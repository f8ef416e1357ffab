"""The one predicate: what it reports, and that it changes nothing."""

from __future__ import annotations

import copy

import msgspec
import pytest

from ledger.crypto import ZERO_HASH
from ledger.economy.issuance import Lane
from ledger.economy.reserve import Reserve
from ledger.objects import decode, key_of
from ledger.operations import Burn, Mint
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.times import rfc3339
from ledger.transaction import LIFETIME_MS_MAX, Fee, Output
from ledger.transaction import decode as decode_transaction
from ledger.view import Overlay
from tests.ledger.economy_world import RAW_MOMENT, well_bonded
from tests.ledger.faults import Fault, judge
from tests.ledger.faults_membership import all_faults
from tests.ledger.world import COIN, World, key, lock_of, sign

WORLD = World()
STATE_FAULTS = [fault for fault in all_faults(WORLD) if fault.needs_state]


@pytest.mark.parametrize("fault", STATE_FAULTS, ids=lambda fault: fault.name)
def test_check_and_execution_give_the_same_reason(fault: Fault) -> None:
    """The predicate asked on the state alone says what a block in the making says."""
    with pytest.raises(Invalid) as caught:
        check_transaction(WORLD.state, decode_transaction(fault.raw), time_ms=WORLD.time_ms + 1_000)
    assert caught.value.reason is fault.reason
    assert not RAW_MOMENT.search(caught.value.detail), "moments are for people"


def test_effects_of_a_transfer_are_its_inputs() -> None:
    """Spent outputs with their entries; no object moves; the state is as before."""
    before = copy.deepcopy((WORLD.state.outputs, WORLD.state.stored))
    tx = WORLD.transfer("alice", "bob")
    effects = check_transaction(WORLD.state, tx, time_ms=WORLD.time_ms)
    ((outpoint, entry),) = effects.spent
    assert outpoint == tx.body.inputs[0].outpoint
    assert entry == WORLD.state.outputs[outpoint]
    assert not effects.objects
    assert (WORLD.state.outputs, WORLD.state.stored) == before


def test_effects_of_operations_are_judged_in_their_order() -> None:
    """Two mints in one lane, one in another, in one transaction: numbers and supply add up."""
    treasury = key("val1/treasury").public
    operations = [
        Mint("val1", treasury, 0, 0, 5),
        Mint("val1", treasury, 0, 1, 6),
        Mint("val1", treasury, 9, 0, 7),
    ]
    output = Output(WORLD.asset("val1"), 18, lock_of("alice"))
    tx = sign(WORLD.body([], [output], operations=operations), [], ["val1/treasury"])
    effects = check_transaction(WORLD.state, tx, time_ms=WORLD.time_ms)
    reserve = decode(effects.objects[key_of(Reserve, WORLD.asset("val1"))], Reserve)
    assert reserve.supply == WORLD.reserve("val1").supply + 18
    numbers = {
        lane: decode(effects.objects[key_of(Lane, Lane.identity("val1", "treasury", lane))], Lane)
        for lane in (0, 9)
    }
    assert {lane: item.next_number for lane, item in numbers.items()} == {0: 2, 9: 1}


def test_headroom_is_shared_by_the_operations_of_one_transaction() -> None:
    """Two mints that fit one by one and not together are refused."""
    world = World(well_bonded(WORLD.genesis))
    half = world.reserve("val0").headroom(world.genesis.parameters.margin_ppm) // 2 + 1
    treasury = key("val0/treasury").public
    operations = [Mint("val0", treasury, 0, 0, half), Mint("val0", treasury, 1, 0, half)]
    judge(world, world.mint("val0", half).raw)
    output = Output(world.asset(), 2 * half, lock_of("alice"))
    tx = sign(world.body([], [output], operations=operations), [], ["val0/treasury"])
    with pytest.raises(Invalid) as caught:
        check_transaction(world.state, tx, time_ms=world.time_ms)
    assert caught.value.reason is Reason.ABOVE_HEADROOM


def test_lifetime_is_inclusive_at_both_ends() -> None:
    """A transaction holds in a block at its expiry, and in one seven days before."""
    tx = WORLD.transfer("alice", "bob")
    expires_ms = tx.body.expires_at_ms
    for time_ms in (expires_ms, expires_ms - LIFETIME_MS_MAX):
        check_transaction(WORLD.state, tx, time_ms=time_ms)
    for time_ms, reason in (
        (expires_ms + 1, Reason.EXPIRED),
        (expires_ms - LIFETIME_MS_MAX - 1, Reason.EXPIRES_TOO_LATE),
    ):
        with pytest.raises(Invalid) as caught:
            check_transaction(WORLD.state, tx, time_ms=time_ms)
        assert caught.value.reason is reason
        assert f"at {rfc3339(expires_ms)}" in caught.value.detail


def test_a_second_spend_has_one_reason_wherever_the_first_is() -> None:
    """In the block in the making, in a block in flight, in a final block: spent_input."""
    world = World()
    coin = world.coin("alice")
    first = world.transfer("alice", "bob")
    second = world.transfer("alice", "carol", coin=coin)
    _, changes = world.make_block([first])

    execution = world.execution()
    execution.add(first)
    with pytest.raises(Invalid) as caught:
        judge(world, second.raw, execution)
    assert caught.value.reason is Reason.SPENT_INPUT

    in_flight = Overlay(world.state, changes)
    with pytest.raises(Invalid) as caught:
        check_transaction(in_flight, second, time_ms=world.time_ms + 2_000)
    assert caught.value.reason is Reason.SPENT_INPUT

    world.state.apply(changes)
    with pytest.raises(Invalid) as caught:
        judge(world, second.raw)
    assert caught.value.reason is Reason.SPENT_INPUT


def test_a_burn_of_an_unknown_asset_is_named() -> None:
    """Asked without the checks that need no state, the predicate still refuses."""
    coin = WORLD.coin("alice")
    body = WORLD.body([coin], [], fee=Fee(coin.asset, coin.amount), operations=[Burn(ZERO_HASH, 5)])
    with pytest.raises(Invalid) as caught:
        check_transaction(WORLD.state, sign(body, ["alice"]), time_ms=WORLD.time_ms)
    assert caught.value.reason is Reason.UNKNOWN_ASSET


def test_expired_licences_stop_minting_and_nothing_else() -> None:
    """The ledger clock passes the expiry of val0's licence: mint refused, transfer fine."""
    short = World()
    licences = tuple(
        msgspec.structs.replace(item, expires_ms=short.time_ms + 11_000)
        for item in short.genesis.licences
    )
    world = World(msgspec.structs.replace(short.genesis, licences=licences))
    judge(world, world.mint().raw)
    world.advance(after_ms=10_000)
    judge(world, world.mint().raw)
    world.advance(after_ms=1)
    with pytest.raises(Invalid) as caught:
        judge(world, world.mint().raw)
    assert caught.value.reason is Reason.LICENCE_INACTIVE
    judge(world, world.transfer("alice", "bob", COIN).raw)
