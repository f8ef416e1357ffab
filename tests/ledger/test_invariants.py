"""The recount finds what the rules would never do: each claim of a state, falsified once."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger.codec import Wire, encode
from ledger.economy.bond import Bond
from ledger.economy.capacity import CapacityCommitment, CommitmentState, Device, LowerFigure
from ledger.economy.due import Due, DueKind
from ledger.economy.reserve import Reserve, Solvency
from ledger.errors import InvariantBroken
from ledger.execution import Execution
from ledger.invariants import check_supply_equation, recount
from ledger.objects import FeePot, key_of, load_all
from ledger.view import Head
from tests.ledger.world import MemoryState, World

replace = msgspec.structs.replace


def worked() -> World:
    world = World()
    world.advance([world.transfer("alice", "bob"), world.mint()])
    return world


def test_a_worked_state_recounts() -> None:
    """After transfers, fees and a mint everything adds up."""
    world = worked()
    recount(world.state, world.state.outputs.items())


def richer_output(state: MemoryState) -> None:
    outpoint, entry = next(iter(state.outputs.items()))
    state.outputs[outpoint] = replace(entry, amount=entry.amount + 1)


def lost_output(state: MemoryState) -> None:
    del state.outputs[next(iter(state.outputs))]


def revived_output(state: MemoryState) -> None:
    commitments = state.head.commitments
    leaf = next(i for i in range(commitments.outputs.count) if commitments.spent.is_spent(i))
    outpoint, entry = next(iter(state.outputs.items()))
    state.outputs[outpoint] = replace(entry, leaf=leaf)


def emptied_pot(state: MemoryState) -> None:
    pot = load_all(state, FeePot)[0]
    key = key_of(FeePot, FeePot.identity(pot.epoch, pot.asset))
    state.stored[key] = encode(replace(pot, amount=0))


def change_reserve(state: MemoryState, **changes: object) -> None:
    old = load_all(state, Reserve)[0]
    state.stored[key_of(Reserve, old.asset)] = encode(replace(old, **changes))


def change_commitment(stored: MemoryState, /, **changes: object) -> None:
    old = load_all(stored, CapacityCommitment)[0]
    stored.stored[key_of(CapacityCommitment, old.key)] = encode(replace(old, **changes))


def contradicted(state: MemoryState) -> None:
    first, *rest = load_all(state, CapacityCommitment)[0].attestations
    lower = (LowerFigure(1, first.since_ms),)
    change_commitment(state, attestations=(replace(first, lower=lower), *rest))


def drop_first(state: MemoryState, kind: type[Wire]) -> None:
    del state.stored[min(key for key in state.stored if key.startswith(key_of(kind)))]


def misplaced_bond(state: MemoryState) -> None:
    held = load_all(state, Bond)[0]
    drop_first(state, Bond)
    state.stored[key_of(Bond, Bond.identity("val3", held.asset))] = encode(held)


def own_bond(state: MemoryState) -> None:
    held = next(item for item in load_all(state, Bond) if item.issuer == "val0")
    assets = {item.issuer: item.asset for item in load_all(state, Reserve)}
    other = next(
        item
        for item in load_all(state, Bond)
        if item.asset == assets["val0"] and item.issuer == "val1"
    )
    del state.stored[key_of(Bond, Bond.identity("val1", other.asset))]
    own = replace(other, issuer=held.issuer)
    state.stored[key_of(Bond, Bond.identity("val0", own.asset))] = encode(own)


def uncalled_deadline(state: MemoryState) -> None:
    due = Due(1, DueKind.LICENCE, b"nobody")
    state.stored[key_of(Due, due.identity)] = encode(due)


def lost_challenge(state: MemoryState) -> None:
    change_commitment(state, state=CommitmentState.CONTESTED)


def other_root(state: MemoryState) -> None:
    head = state.head
    commitments = head.commitments
    after, _ = commitments.advance(created=[], spent=[], objects={}, supply_root=bytes(32))
    state.head = Head(head.header, head.hash, after)


@pytest.mark.parametrize(
    ("falsify", "says"),
    [
        (richer_output, "supply equation"),
        (lost_output, "unspent outputs"),
        (revived_output, "flagged as spent"),
        (emptied_pot, "supply equation"),
        (lambda state: change_reserve(state, supply=1), "supply equation"),
        (lambda state: change_reserve(state, reserve=1), "recounted"),
        (lambda state: change_reserve(state, deliverable=1), "recounted"),
        (lambda state: change_reserve(state, solvency=Solvency.WARN), "band of"),
        (lambda state: change_reserve(state, solvency=Solvency.DEFICIT), "band of"),
        (contradicted, "freeze of"),
        (lambda state: change_reserve(state, is_frozen=True), "freeze of"),
        (other_root, "supply root"),
        (misplaced_bond, "bond of"),
        (own_bond, "bond of 'val0' in coins of 'val0'"),
        (lambda state: drop_first(state, Bond), "supply equation"),
        (lambda state: change_commitment(state, devices=61), "61 devices, 60 are pledged"),
        (lambda state: change_commitment(state, born=1), "60 devices, 0 are pledged"),
        (lambda state: drop_first(state, Device), "60 devices, 59 are pledged"),
        (lambda state: change_commitment(state, devices_before=1), "1 devices before"),
        (lambda state: change_commitment(state, pledged_in=1), "0 devices before 1, 0 are"),
        (lost_challenge, "contested or challenged"),
        (lambda state: drop_first(state, Due), "is not noted"),
        (uncalled_deadline, "is of nothing"),
    ],
)
def test_each_falsified_claim_is_found(falsify: Callable[[MemoryState], None], says: str) -> None:
    """One claim of a good state is changed behind the rules' back."""
    world = worked()
    falsify(world.state)
    with pytest.raises(InvariantBroken, match=says):
        recount(world.state, world.state.outputs.items())


def test_nobody_finishes_a_block_that_breaks_the_supply_equation() -> None:
    """An execution whose outputs were tampered with in memory does not finish; the figures show."""
    world = World()
    execution: Execution = world.execution()
    tx = world.transfer("alice", "bob")
    execution.add(tx)
    created = execution._created
    created[tx.txid, 0] = replace(created[tx.txid, 0], amount=7)
    with pytest.raises(InvariantBroken, match=f"asset {world.asset().hex()}: outputs -"):
        execution.finish()


def test_the_equation_holds_for_each_asset_alone() -> None:
    """A surplus in one asset does not make up for a lack in another."""
    check_supply_equation({b"a": 5}, {b"a": 2, b"b": 1}, {b"a": 7, b"b": 1})
    with pytest.raises(InvariantBroken, match="asset 61: outputs 6, held in objects 0, supply 5"):
        check_supply_equation({b"a": 6, b"b": 4}, {}, {b"a": 5, b"b": 5})
