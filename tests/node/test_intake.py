"""The way into the pool: check says what admission would say."""

from __future__ import annotations

import pytest

from consensus.effects import Now
from ledger import mempool
from ledger.chain import Chain
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.mempool import WANT_OF_ROOM, Mempool
from ledger.operations import Reinstate, Suspend
from ledger.reasons import Invalid, Reason
from node.intake import Intake
from node.verify import Verifier
from tests.ledger.world import World
from tests.node.api.harness import Node


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def intake(world: World) -> Intake:
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    return Intake(chain, Mempool(), Verifier(), world.genesis.parameters.fees)


def now(world: World) -> Now:
    return Now(5_000, world.genesis.time_ms + 1_000)


def test_check_refuses_the_rival_of_a_waiting_transaction(world: World, intake: Intake) -> None:
    """Two spends of one coin: after the first is admitted, check and admit refuse the second."""
    first, second = world.transfer("alice", "bob", 1_000), world.transfer("alice", "bob", 2_000)
    intake.check(second, now(world))
    intake.admit(first, now(world))
    for refuse in (intake.check, intake.admit):
        with pytest.raises(Invalid) as caught:
            refuse(second, now(world))
        assert caught.value.reason is Reason.DOUBLE_SPEND
    intake.check(first, now(world))


def test_second_copy_is_known(world: World, intake: Intake) -> None:
    """The very same transaction again is ALREADY_KNOWN, not a conflict with itself."""
    tx = world.transfer("alice", "bob", 1_000)
    intake.admit(tx, now(world))
    with pytest.raises(Invalid) as caught:
        intake.admit(tx, now(world))
    assert caught.value.reason is Reason.ALREADY_KNOWN


def test_bad_signature_is_verified_once(world: World) -> None:
    """The memory of refusals answers for the same bytes without another verification."""
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    calls = []

    def refuse(key: bytes, message: bytes, signature: bytes) -> bool:
        calls.append(key)
        return False

    intake = Intake(chain, Mempool(), Verifier(refuse), world.genesis.parameters.fees)
    tx = world.transfer("alice", "bob", 1_000)
    for _ in range(3):
        with pytest.raises(Invalid) as caught:
            intake.admit(tx, now(world))
        assert caught.value.reason is Reason.BAD_SIGNATURE
    assert len(calls) == 1


@pytest.mark.parametrize("limit", ["TRANSACTIONS_MAX", "BYTES_MAX", "SENDER_MAX"])
def test_want_of_room_is_told_before_a_signature_is_verified(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Or whoever offers ten times too much would take the time of what gets in. Nothing is
    remembered of it: with room again it gets in."""
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    calls = []

    def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
        calls.append(key)
        return True

    pool = Mempool()
    intake = Intake(chain, pool, Verifier(is_valid), world.genesis.parameters.fees)
    monkeypatch.setattr(mempool, "SENDER_MAX", 1)
    intake.admit(world.transfer("alice", "bob", 1_000), now(world))
    monkeypatch.setattr(mempool, limit, 1)
    second = world.transfer("bob" if limit != "SENDER_MAX" else "alice", "carol", 1_000)
    with pytest.raises(Invalid) as caught:
        intake.admit(second, now(world))
    assert caught.value.reason in WANT_OF_ROOM
    assert len(calls) == 1
    assert pool.rejection(second.txid) is None


def test_a_copy_of_what_is_final_stays_refused_by_a_pool_that_forgot() -> None:
    """A node that restarted, or that imported a snapshot and has no block of it, knows by the state
    alone that a suspension was carried, though it was ended since."""
    node = Node()
    suspend = node.world.govern(Suspend("val1", 0))
    node.decide([suspend])
    node.decide([node.world.govern(Reinstate("val1", 1))])
    intake = Intake(node.chain, Mempool(), Verifier(), node.world.genesis.parameters.fees)
    for refuse in (intake.check, intake.admit):
        with pytest.raises(Invalid) as caught:
            refuse(suspend, now(node.world))
        assert caught.value.reason is Reason.ALREADY_FINAL
