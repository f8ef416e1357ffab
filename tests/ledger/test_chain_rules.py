"""Pool, rules and chain together: real genesis, real signatures, on LevelDB and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from ledger.block import (
    COMMIT,
    Block,
    Certificate,
    VotePayload,
    check_certificate,
    make_certificate,
    vote_hash,
)
from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.execution import Execution, execute_block
from ledger.full_audit import audit_full
from ledger.genesis_state import genesis_state
from ledger.invariants import recount
from ledger.kv import KeyValue, MemoryKV
from ledger.leveldb import LevelDB
from ledger.mempool import Mempool
from ledger.operations import EndEpoch, Remove, Suspend
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import SignedTransaction
from ledger.view import Changes, Head, Overlay, View
from tests.ledger.world import COIN, World, key, lock_of, sign

Reopen = Callable[[], KeyValue]


@pytest.fixture(params=["memory", "leveldb"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """Opens the store of the test, which is new at the first call and kept from then on."""
    opened: list[KeyValue] = []

    def open_again() -> KeyValue:
        if request.param == "memory":
            kv: KeyValue = opened[-1].copy() if opened else MemoryKV()  # type: ignore[attr-defined]
        elif opened:
            opened[-1].close()
            kv = LevelDB.open(tmp_path / "db")
        else:
            kv = LevelDB.create(tmp_path / "db")
        opened.append(kv)
        return kv

    yield open_again
    opened[-1].close()


def build(view: View, txs: list[SignedTransaction], proposer: bytes) -> tuple[Block, Changes]:
    execution = Execution(view, time_ms=view.head.header.time_ms + 1_000, proposer=proposer)
    for tx in txs:
        execution.add(tx)
    changes = execution.finish()
    return Block(changes.head.header, tuple(tx.raw for tx in txs)), changes


def certify(world: World, head: Head) -> Certificate:
    """Commits of a quorum, really signed."""
    payload = VotePayload(0, COMMIT, 0, head.header.height, head.hash)
    message = vote_hash(world.chain_id, payload)
    signers = {
        index: key(f"{member.licence}/consensus").sign(message)
        for index, member in enumerate(world.validators.members[: world.validators.quorum])
    }
    return make_certificate(payload, signers)


def is_final(pool: Mempool, chain: Chain, tx: SignedTransaction) -> bool:
    found = chain.transaction(tx.txid)
    return found is not None and pool.get(tx.txid) is None


def test_transactions_from_pool_to_disk(reopen: Reopen) -> None:
    """Payments and mints wait, go into blocks, are final; the store opens, counts and audits."""
    world, pool = World(), Mempool()
    chain = Chain.create(reopen(), genesis_state(world.genesis))
    proposer = world.validators.members[0].key
    for number in range(4):
        txs = [
            world.transfer("alice", "bob", COIN * (number + 1)),
            world.transfer("bob", "carol", COIN, coin=world.coin("bob", "val1")),
            world.mint("val2", 7 * COIN, number=number),
        ]
        check = partial(check_transaction, chain, time_ms=chain.head.header.time_ms + 1)
        for tx in txs:
            pool.add(tx, check=check, now_ms=number)
        block, changes = build(chain, pool.select(), proposer)
        again = execute_block(chain, block, txs)
        assert again.head == changes.head
        certificate = certify(world, changes.head)
        check_certificate(certificate, world.chain_id, world.validators, COMMIT)
        chain.append(block, certificate, changes, txs)
        world.state.apply(changes)
        assert pool.drop_committed(chain.height, txs) == []
        assert all(is_final(pool, chain, tx) for tx in txs)
        chain = Chain.open(reopen())
        assert chain.head == world.state.head
        assert dict(chain.outputs()) == world.state.outputs
        assert dict(chain.objects(b"")) == world.state.stored
        audit_boot(chain)
        recount(chain, chain.outputs())
    assert list(audit_full(chain))
    balance = chain.indexes.balance(lock_of("bob"), world.asset("val0"))
    assert balance.amount == 1_000 * COIN + (1 + 2 + 3 + 4) * COIN


def test_spent_input_is_told_from_unknown() -> None:
    """After a block the chain says of its inputs that they are spent; of others that it never
    heard of them; the pool gives the same reasons."""
    world, pool = World(), Mempool()
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    first, rival = world.transfer("alice", "bob"), world.transfer("alice", "carol")
    later = world.transfer("alice", "dave")
    check = partial(check_transaction, chain, time_ms=chain.head.header.time_ms + 1)
    pool.add(rival, check=check, now_ms=0)
    block, changes = build(chain, [first], world.validators.members[0].key)
    chain.append(block, certify(world, changes.head), changes)
    dropped = pool.drop_committed(1, [first])
    assert [(item.txid, item.reason) for item in dropped] == [(rival.txid, Reason.SPENT_INPUT)]
    with pytest.raises(Invalid) as spent:
        pool.add(later, check=check, now_ms=0)
    assert spent.value.reason is Reason.SPENT_INPUT
    foreign = World()
    foreign.advance([foreign.transfer("alice", "bob")])
    foreign.advance([foreign.transfer("bob", "dave", 5, coin=foreign.coin("bob", "val1"))])
    unknown = foreign.transfer("dave", "bob", 1, coin=foreign.coin("bob", "val1"))
    with pytest.raises(Invalid) as missing:
        pool.add(unknown, check=check, now_ms=0)
    assert missing.value.reason is Reason.UNKNOWN_INPUT


def test_what_the_validators_decided_is_dropped_once_it_cannot_hold_any_more() -> None:
    """Two transactions on one version of a licence, one on the epoch, evidence twice: the blocks
    that take the first of each and end the epoch drop the others, with the reason of the state."""
    world, pool = World(), Mempool()
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    taken = [world.govern(Remove("val0", 0)), world.govern(EndEpoch(0)), world.accuse("val1")]
    approvers = [f"val{index}/operations" for index in range(3)]
    waiting = [
        world.govern(Suspend("val0", 0)),
        world.accuse("val1", view=5),
        sign(world.body(operations=[EndEpoch(0)], memo=b"again"), [], approvers),
        world.govern(Suspend("val2", 0)),
    ]
    for tx in (*taken, *waiting):
        check = partial(check_transaction, chain, time_ms=chain.head.header.time_ms + 1)
        pool.add(tx, check=check, now_ms=0)
    block, changes = build(chain, taken, world.validators.members[0].key)
    chain.append(block, certify(world, changes.head), changes)
    pool.drop_committed(1, taken)
    dropped = pool.drop_refused(
        lambda tx: check_transaction(chain, tx, time_ms=chain.head.header.time_ms + 1)
    )
    assert [(item.txid, item.reason) for item in dropped] == [
        (waiting[0].txid, Reason.WRONG_VERSION),
        (waiting[1].txid, Reason.LICENCE_INACTIVE),
        (waiting[2].txid, Reason.WRONG_EPOCH),
    ]
    assert pool.select() == [waiting[3]]


def test_overlay_and_chain_lead_to_the_same_block() -> None:
    """A second block built over an overlay is the one built after the first was appended."""
    world = World()
    chain = Chain.create(MemoryKV(), genesis_state(world.genesis))
    proposer = world.validators.members[0].key
    first, first_changes = build(chain, [world.transfer("alice", "bob")], proposer)
    world.state.apply(first_changes)
    txs = [world.transfer("alice", "carol"), world.transfer("bob", "alice", COIN // 2)]
    early, early_changes = build(Overlay(chain, first_changes), txs, proposer)
    chain.append(first, certify(world, first_changes.head), first_changes)
    late, late_changes = build(chain, txs, proposer)
    assert early == late
    chain.append(early, certify(world, early_changes.head), early_changes)
    assert chain.head == late_changes.head
    recount(chain, chain.outputs())
