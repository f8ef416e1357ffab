"""What the system does before any transaction: shares of fees, and outputs that nobody signed."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.codec import encode
from ledger.economy.reserve import Reserve
from ledger.errors import InvariantBroken
from ledger.execution import Execution
from ledger.invariants import recount
from ledger.locks import Key, lock_hash
from ledger.objects import FeePot, key_of, load, load_all
from ledger.operations import Admit, Remove
from ledger.reasons import Invalid, Reason
from ledger.system import FEE_POTS_A_BLOCK, system_actions, system_txid
from ledger.transaction import Input, asset_id
from ledger.view import BIRTH_ZERO, OutputEntry, Overlay
from tests.ledger.world import World, grant, key, lock_of, make_genesis

replace = msgspec.structs.replace


def pots(world: World) -> dict[tuple[int, bytes], int]:
    return {(pot.epoch, pot.asset): pot.amount for pot in load_all(world.state, FeePot)}


def shares(world: World) -> list[tuple[bytes, int, bytes]]:
    """Outputs of the system in the last block, (asset, amount, lock), by their place."""
    height = world.state.head.header.height
    txids = {system_txid(height, index) for index in range(FEE_POTS_A_BLOCK * 32)}
    found = [
        entry
        for (txid, index), entry in world.state.outputs.items()
        if txid in txids and index == 0
    ]
    found.sort(key=lambda entry: entry.leaf)
    return [(entry.asset, entry.amount, entry.lock) for entry in found]


def coin_of(asset: bytes, supply: int) -> Reserve:
    return replace(Reserve.empty(asset, "val0", 0), supply=supply)


def with_pots(world: World, count: int, amount: int) -> list[bytes]:
    """As many issuers more, each with coins in the past epoch's pot; their assets in order."""
    assets = sorted(asset_id(world.chain_id, f"issuer{index}") for index in range(count))
    for asset in assets:
        pot, reserve = FeePot(0, asset, amount), coin_of(asset, amount)
        world.state.stored[key_of(FeePot, FeePot.identity(0, asset))] = encode(pot)
        world.state.stored[key_of(Reserve, asset)] = encode(reserve)
    return assets


def test_fees_go_in_equal_shares_to_the_members_of_their_epoch() -> None:
    """Two assets among four: the next epoch's first block pays each treasury, by asset and then
    in the order of the members, and the pots are gone."""
    world = World()
    world.advance([world.transfer("alice", "bob"), world.transfer("bob", "carol", fee=2_400)])
    world.advance([world.transfer("bob", "carol", coin=world.coin("bob", "val1"))])
    assert set(pots(world)) == {(0, world.asset("val0")), (0, world.asset("val1"))}
    treasuries = [lock_of(f"{item.licence}/treasury") for item in world.validators.members]
    world.end_epoch()
    assert shares(world) == []
    world.advance()
    amounts = {world.asset("val0"): 1_100, world.asset("val1"): 500}
    assert shares(world) == [
        (asset, amounts[asset], lock) for asset in sorted(amounts) for lock in treasuries
    ]
    assert pots(world) == {}
    recount(world.state, world.state.outputs.items())
    world.advance()
    assert shares(world) == []


def test_what_does_not_divide_goes_on_in_the_present_pot() -> None:
    """2,003 among four leave 3, which the next fees join and the next members share."""
    world = World()
    asset = world.asset()
    world.advance([world.transfer("alice", "bob", fee=2_003)])
    world.end_epoch()
    world.advance([world.transfer("alice", "bob", fee=2_002)])
    assert [amount for _, amount, _ in shares(world)] == [500] * 4
    assert pots(world) == {(1, asset): 2_005}
    world.end_epoch()
    world.advance()
    assert [amount for _, amount, _ in shares(world)] == [501] * 4
    assert pots(world) == {(2, asset): 1}
    world.end_epoch()
    world.advance()
    assert shares(world) == []
    assert pots(world) == {(3, asset): 1}
    recount(world.state, world.state.outputs.items())


def test_those_who_worked_are_paid_and_not_those_who_came_after() -> None:
    """A member that leaves at the boundary gets its share, the one that takes its seat nothing."""
    world = World()
    world.advance([world.govern(Admit(grant("new"), 0)), world.transfer("alice", "bob")])
    world.advance([world.govern(Remove("val2", 0)), world.ready("new")])
    world.end_epoch()
    assert "new" in world.seats
    world.advance([world.transfer("alice", "bob")])
    assert {lock for _, _, lock in shares(world)} == {
        lock_of(f"val{index}/treasury") for index in range(4)
    }
    world.end_epoch()
    world.advance()
    paid = {lock for _, _, lock in shares(world)}
    assert lock_of("new/treasury") in paid
    assert lock_of("val2/treasury") not in paid


@pytest.mark.parametrize("count", [FEE_POTS_A_BLOCK - 1, FEE_POTS_A_BLOCK, FEE_POTS_A_BLOCK + 1])
def test_a_block_shares_so_many_pots_and_leaves_the_rest_to_the_next(count: int) -> None:
    """One below, at and above the cap: the first assets first, none twice, none lost."""
    world = World()
    world.end_epoch()
    assets = with_pots(world, count, 401)
    world.advance()
    first = shares(world)
    assert len(first) == 4 * min(count, FEE_POTS_A_BLOCK)
    assert [asset for asset, _, _ in first[::4]] == assets[:FEE_POTS_A_BLOCK]
    waiting = [asset for number, asset in pots(world) if number == 0]
    assert waiting == assets[FEE_POTS_A_BLOCK:]
    world.advance()
    assert len(first) + len(shares(world)) == 4 * count
    assert pots(world) == {(1, asset): 1 for asset in assets}


def test_pots_that_wait_over_a_boundary_are_older_and_come_first() -> None:
    """An epoch of one block: what it could not share goes before its own fees, whole."""
    world = World()
    world.end_epoch()
    assets = with_pots(world, FEE_POTS_A_BLOCK + 1, 400)
    world.end_epoch([world.transfer("alice", "bob")])
    assert [number for number, _ in pots(world)] == [0, 1]
    world.advance()
    assert [asset for asset, _, _ in shares(world)] == [assets[-1]] * 4 + [world.asset()] * 4
    assert pots(world) == {}


def test_rests_of_several_pots_of_one_asset_add_up() -> None:
    """An old pot and a younger one in one asset, shared in one block, leave 3 and 2."""
    world = World()
    world.end_epoch()
    late = with_pots(world, FEE_POTS_A_BLOCK + 1, 400)[-1]
    world.end_epoch()
    for number, amount in ((0, 403), (1, 402)):
        pot = FeePot(number, late, amount)
        world.state.stored[key_of(FeePot, FeePot.identity(number, late))] = encode(pot)
    world.state.stored[key_of(Reserve, late)] = encode(coin_of(late, 805))
    assert [number for number, asset in pots(world) if asset == late] == [0, 1]
    world.advance()
    assert [amount for asset, amount, _ in shares(world) if asset == late] == [100] * 8
    assert pots(world)[2, late] == 5


def test_a_share_is_spent_from_the_next_block_on() -> None:
    """In its own block nobody knows it, whatever stands before it; then it is a coin."""
    world = World()
    world.advance([world.transfer("alice", "bob", fee=40_000)])
    world.end_epoch()
    height = world.state.head.header.height + 1
    member = world.validators.members[0].licence
    owner, txid = f"{member}/treasury", system_txid(height, 0)
    spend = world.transfer(owner, "bob", 5, coin=Input(txid, 0, world.asset(), 10_000))
    execution: Execution = world.execution()
    for other in (world.transfer("alice", "bob"), world.transfer("bob", "carol")):
        with pytest.raises(Invalid) as caught:
            execution.add(spend)
        assert caught.value.reason is Reason.UNKNOWN_INPUT
        execution.add(other)
    changes = execution.finish()
    overlay = Overlay(world.state, changes)
    assert overlay.output((txid, 0)) == OutputEntry(
        world.asset(), 10_000, lock_hash(Key(key(owner).public)), height, _leaf(world), BIRTH_ZERO
    )
    following = Execution(
        overlay, time_ms=world.time_ms + 2_000, proposer=world.validators.members[0].key
    )
    following.add(spend)
    assert following.is_spent((txid, 0))
    following.finish()


def _leaf(world: World) -> int:
    """The place of the next block's first output."""
    return world.state.head.commitments.outputs.count


def test_outputs_of_the_system_stand_before_those_of_transactions() -> None:
    """Leaves of a block: shares in their order, then the outputs of its transactions."""
    world = World()
    world.advance([world.transfer("alice", "bob", fee=4_000)])
    world.end_epoch()
    count, tx = _leaf(world), world.transfer("bob", "carol")
    _, changes = world.make_block([tx])
    height = world.state.head.header.height + 1
    names = [(system_txid(height, index), 0) for index in range(4)] + [(tx.txid, 0), (tx.txid, 1)]
    assert [changes.created[name].leaf for name in names] == list(range(count, count + 6))
    assert all(changes.created[name].height == height for name in names)


def test_nothing_is_shared_in_the_first_epoch() -> None:
    """There is no past epoch: fees wait, and genesis names no payees."""
    world = World()
    world.advance([world.transfer("alice", "bob")])
    assert world.epoch.payees == ()
    assert system_actions(world.state, world.time_ms + 1).outputs == ()
    world.advance()
    assert pots(world) == {(0, world.asset()): 2_000}


@settings(deadline=None, max_examples=25)
@given(
    st.integers(4, 8),
    st.lists(st.tuples(st.integers(2_000, 2_100), st.booleans()), min_size=1, max_size=8),
)
def test_no_unit_of_a_fee_is_lost_or_made(n: int, plan: list[tuple[int, bool]]) -> None:
    """Random fees over random epochs: what was paid lies in treasuries and pots, the rest of
    each pot below the number of members; the equation holds after each block."""
    world = World(make_genesis(n))
    paid = 0
    for fee, ends in plan:
        tx = world.transfer("alice", "bob", fee=fee)
        paid += fee
        world.advance([tx])
        if ends:
            world.end_epoch()
        recount(world.state, world.state.outputs.items())
    world.end_epoch()
    world.advance()
    locks = {lock_of(f"val{index}/treasury"): index for index in range(n)}
    got: Counter[int] = Counter()
    for entry in world.state.outputs.values():
        if entry.lock in locks:
            got[locks[entry.lock]] += entry.amount
    left = sum(pots(world).values())
    assert sum(got.values()) + left == paid
    assert left < n
    assert len(set(got.values())) == 1
    recount(world.state, world.state.outputs.items())


def test_the_recount_sums_pots_of_one_asset() -> None:
    """A pot that waits and the present one are in one asset; a unit missing in either is found."""
    world = World()
    asset = world.asset()
    world.advance([world.transfer("alice", "bob")])
    world.end_epoch([world.transfer("alice", "bob")])
    whole = load(world.state, FeePot, FeePot.identity(0, asset))
    assert whole is not None
    for number, amount in ((0, 1_000), (1, whole.amount - 1_000)):
        pot = FeePot(number, asset, amount)
        world.state.stored[key_of(FeePot, FeePot.identity(number, asset))] = encode(pot)
    recount(world.state, world.state.outputs.items())
    for number in (0, 1):
        name = key_of(FeePot, FeePot.identity(number, asset))
        data = world.state.stored.pop(name)
        with pytest.raises(InvariantBroken, match="supply equation"):
            recount(world.state, world.state.outputs.items())
        world.state.stored[name] = data
