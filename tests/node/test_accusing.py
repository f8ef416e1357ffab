"""Accusations: what a replica finds becomes a transaction that every node takes, once an epoch."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from consensus.effects import Evidence as Conflict
from consensus.messages import Vote, make_vote
from ledger import transaction
from ledger.block import COMMIT, PREPARE, VotePayload, vote_hash
from ledger.economy.licence import LicenceState
from ledger.kv import MemoryKV
from ledger.operations import Evidence
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import SignedTransaction
from ledger.witnesses import Witnesses
from node import accusing
from node.accountability import Accountability
from node.accusing import LIFETIME_MS, Accusations
from tests.ledger.world import World, key

SIGNER = 2


@pytest.fixture
def world() -> World:
    return World()


def vote(world: World, mark: int, *, phase: int = COMMIT, signer: int = SIGNER) -> Vote:
    """Of the block whose hash repeats `mark`."""
    payload = VotePayload(0, phase, 3, 9, bytes((mark,)) * 32)
    name = world.validators.members[signer].licence
    signature = key(f"{name}/consensus").sign(vote_hash(world.chain_id, payload))
    return make_vote(payload, signer, signature)


@pytest.mark.parametrize("phase", [PREPARE, COMMIT])
def test_an_accusation_holds_on_the_chain(world: World, phase: int) -> None:
    """Whichever vote came first: the same transaction, which passes every check and accuses."""
    votes = [vote(world, mark, phase=phase) for mark in (7, 200)]
    made = []
    for first, second in permutations(votes):
        accusations = Accusations(world.chain_id)
        tx = accusations.make(Conflict(first, second), world.validators, wall_ms=world.time_ms)
        assert tx is not None
        made.append(tx.raw)
        transaction.check_stateless(tx, world.chain_id, world.fees)
        transaction.check_signatures(tx)
        check_transaction(world.state, tx, time_ms=world.time_ms + 1)
    assert made[0] == made[1]
    world.advance([transaction.decode(made[0])])
    licence = world.validators.members[SIGNER].licence
    assert world.licence(licence).state is LicenceState.ACCUSED
    later = Accusations(world.chain_id).make(
        Conflict(*votes), world.validators, wall_ms=world.time_ms
    )
    assert later is not None
    for again, reason in (
        (transaction.decode(made[0]), Reason.ALREADY_FINAL),
        (later, Reason.LICENCE_INACTIVE),
    ):
        with pytest.raises(Invalid) as caught:
            check_transaction(world.state, again, time_ms=world.time_ms + 1)
        assert caught.value.reason is reason


def test_once_a_member_and_epoch(world: World) -> None:
    """More votes of one member make no more transactions; another member or epoch does."""
    accusations = Accusations(world.chain_id)
    conflict = Conflict(vote(world, 1), vote(world, 2))
    other = Conflict(vote(world, 1, signer=0), vote(world, 2, signer=0))
    later = msgspec.structs.replace(world.validators, epoch=1)
    made = [
        accusations.make(conflict, world.validators, wall_ms=1),
        accusations.make(Conflict(vote(world, 3), vote(world, 4)), world.validators, wall_ms=2),
        accusations.make(other, world.validators, wall_ms=3),
        accusations.make(conflict, later, wall_ms=4),
    ]
    assert [item is not None for item in made] == [True, False, True, True]
    assert made[0] is not None
    assert made[0].body.expires_at_ms == 1 + LIFETIME_MS
    (operation,) = made[0].body.operations
    assert isinstance(operation, Evidence)
    assert operation.licence == world.validators.members[SIGNER].licence


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Three epochs: with room for two the first is forgotten and would be accused again."""
    monkeypatch.setattr(accusing, "ACCUSED_MAX", limit)
    accusations = Accusations(world.chain_id)
    conflict = Conflict(vote(world, 1), vote(world, 2))
    sets = [msgspec.structs.replace(world.validators, epoch=epoch) for epoch in range(3)]
    for validators in sets:
        assert accusations.make(conflict, validators, wall_ms=1) is not None
    assert len(accusations) == min(3, limit)
    assert accusations.make(conflict, sets[2], wall_ms=1) is None
    assert (accusations.make(conflict, sets[0], wall_ms=1) is None) == (limit >= 3)


def test_what_found_no_room_is_offered_after_the_next_block(world: World) -> None:
    """For want of room or disk it waits for a block, in the node as in the simulator; what got in,
    or is refused for good, is offered once."""
    held = Accountability(world.chain_id, Witnesses(MemoryKV()))
    full, late, bad, _ = txs = [world.accuse(f"val{number}") for number in range(4)]
    answers = {
        full.txid: Reason.FREE_QUOTA,
        late.txid: Reason.LOW_DISK_SPACE,
        bad.txid: Reason.NO_CONFLICT,
    }
    seen: list[bytes] = []

    def submit(tx: SignedTransaction) -> Reason | None:
        seen.append(tx.txid)
        return answers.get(tx.txid)

    held.accusations += txs
    assert held.offer(submit)
    assert not held.offer(submit)
    assert seen == [tx.txid for tx in txs]
    for _ in range(2):
        held.block_came()
        assert held.offer(submit)
    assert seen[4:] == [full.txid, late.txid] * 2
    answers.clear()
    held.block_came()
    assert held.offer(submit)
    held.block_came()
    assert not held.offer(submit)
