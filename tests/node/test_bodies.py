"""Bodies put together from the pool, fetched where missing, given up when not wanted."""

from __future__ import annotations

import msgspec
import pytest

from ledger.block import Block, Header, header_hash
from ledger.execution import check_body
from ledger.merkle import merkle_root
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from node import bodies as bodies_module
from node.bodies import GRACE_MS, RETRY_MS, Bodies
from node.fetching import FetchBody, FetchTransactions, GiveBody, GiveTransactions
from tests.consensus.kit import Kit
from tests.ledger.world import World

KIT = Kit(4)
WORLD = World()
TXS = [WORLD.transfer("alice", "bob"), WORLD.transfer("bob", "alice")]
LEAVES = tuple(tx.wtxid for tx in TXS)


def header_of(txs: list[SignedTransaction]) -> Header:
    return msgspec.structs.replace(KIT.header(), tx_root=merkle_root([tx.wtxid for tx in txs]))


HEADER = header_of(TXS)
HASH = header_hash(HEADER)


def make(pool: list[SignedTransaction]) -> Bodies:
    held = {tx.wtxid: tx for tx in pool}
    return Bodies(held.get, (0, 2, 3))


def test_what_the_pool_holds_is_whole_at_once() -> None:
    """In the order of the list; handed out once; nothing is asked."""
    bodies = make(list(reversed(TXS)))
    bodies.want(HASH, HEADER, LEAVES, (0,), 0)
    assert bodies.requests(GRACE_MS) == []
    (whole,) = bodies.complete()
    assert whole.transactions() == TXS
    assert bodies.complete() == []


def test_what_is_missing_is_asked_of_one_after_another() -> None:
    """After a grace first of the sources, then of everybody, every half second and no sooner."""
    bodies = make(TXS[:1])
    bodies.want(HASH, HEADER, LEAVES, (2,), 0)
    assert bodies.requests(GRACE_MS - 1) == []
    asked = []
    for now_ms in range(GRACE_MS, GRACE_MS + 4 * RETRY_MS, RETRY_MS // 5):
        asked += bodies.requests(now_ms)
    assert [member for member, _ in asked] == [2, 0, 2, 3]
    assert {wanted for _, wanted in asked} == {FetchTransactions(HASH, (LEAVES[1],))}


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_what_breaks_the_limit_of_a_block_is_held_no_longer(
    monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    """Two transactions around the limit and a third that never comes: above it, the block is handed
    out as it is, so that it fails; at it, or below, the third is waited for."""
    third = WORLD.transfer("alice", "bob", 5)
    txs = [*TXS, third]
    monkeypatch.setattr(bodies_module, "BODY_BYTES_MAX", sum(len(tx.raw) for tx in TXS) + spare)
    bodies = make([])
    header = header_of(txs)
    bodies.want(HASH, header, tuple(tx.wtxid for tx in txs), (0,), 0)
    bodies.give_transactions(GiveTransactions(HASH, tuple(tx.raw for tx in TXS)))
    found = bodies.complete()
    if spare >= 0:
        assert found == []
        return
    (assembly,) = found
    with pytest.raises(Invalid) as caught:
        check_body(header, [tx.wtxid for tx in assembly.transactions()])
    assert caught.value.reason is Reason.BAD_BODY


def test_the_missing_ones_arrive() -> None:
    """From the pool or as an answer, now or later; those of another block are ignored."""
    bodies = make([])
    bodies.want(HASH, HEADER, LEAVES, (0,), 0)
    bodies.give_transactions(GiveTransactions(HASH, (TXS[1].raw,)))
    assert bodies.complete() == []
    bodies.give_transactions(GiveTransactions(bytes(32), (TXS[0].raw,)))
    assert bodies.complete() == []
    bodies.give_transactions(GiveTransactions(HASH, (TXS[0].raw,)))
    assert bodies.complete()[0].transactions() == TXS


def test_a_transaction_of_no_block_is_its_senders_fault() -> None:
    """Invalid by name; what came before it is kept, and another peer completes the body."""
    bodies = make([])
    bodies.want(HASH, HEADER, LEAVES, (0,), 0)
    stranger = WORLD.transfer("alice", "bob", 5)
    with pytest.raises(Invalid) as caught:
        bodies.give_transactions(GiveTransactions(HASH, (TXS[1].raw, stranger.raw)))
    assert caught.value.reason is Reason.BAD_BODY
    assert bodies.requests(GRACE_MS) == [(0, FetchTransactions(HASH, (TXS[0].wtxid,)))]
    bodies.give_transactions(GiveTransactions(HASH, (TXS[0].raw,)))
    assert bodies.complete()[0].transactions() == TXS


def test_bytes_that_are_no_transaction_are_their_senders_fault() -> None:
    """Invalid; the body stays wanted."""
    bodies = make([])
    bodies.want(HASH, HEADER, LEAVES, (0,), 0)
    with pytest.raises(Invalid):
        bodies.give_transactions(GiveTransactions(HASH, (b"nonsense",)))
    assert bodies.requests(GRACE_MS) != []


def test_with_the_header_alone_the_whole_body_is_asked_for() -> None:
    """After a view change nobody has a list; a body of another root is its sender's fault."""
    bodies = make([])
    bodies.want(HASH, HEADER, None, (3, 1), 0)
    assert bodies.requests(0) == [(3, FetchBody(HASH))]
    with pytest.raises(Invalid) as caught:
        bodies.give_body(GiveBody(Block(HEADER, (TXS[0].raw,))), HASH)
    assert caught.value.reason is Reason.BAD_BODY
    assert bodies.complete() == []
    assert bodies.requests(RETRY_MS) != []
    bodies.give_body(GiveBody(Block(HEADER, tuple(tx.raw for tx in TXS))), HASH)
    assert bodies.complete()[0].transactions() == TXS


def test_a_list_that_comes_later_is_used() -> None:
    """A PRE-PREPARE after a header."""
    bodies = make(TXS)
    bodies.want(HASH, HEADER, None, (0,), 0)
    assert bodies.complete() == []
    bodies.want(HASH, HEADER, LEAVES, (0,), 0)
    assert len(bodies.complete()) == 1


def test_no_deadline_without_a_question_to_ask() -> None:
    """A whole body that waits for its parent wakes nobody."""
    bodies = make([])
    bodies.want(HASH, HEADER, LEAVES, (0,), 0)
    assert bodies.deadline_ms() == GRACE_MS
    bodies.requests(GRACE_MS)
    assert bodies.deadline_ms() == GRACE_MS + RETRY_MS
    bodies.give_transactions(GiveTransactions(HASH, tuple(tx.raw for tx in TXS)))
    (whole,) = bodies.complete()
    bodies.put_back(whole)
    assert bodies.deadline_ms() is None
    assert bodies.complete() == [whole]


def test_final_heights_need_no_body() -> None:
    """Dropped with the decision."""
    bodies = make([])
    bodies.want(HASH, HEADER, LEAVES, (0,), 0)
    bodies.drop_through(HEADER.height - 1)
    assert bodies.requests(GRACE_MS) != []
    bodies.drop_through(HEADER.height)
    assert bodies.requests(10 * RETRY_MS) == []
