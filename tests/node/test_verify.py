"""Signatures are verified once, and only good ones are remembered."""

from __future__ import annotations

import threading

import pytest

from ledger import crypto
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from node import verify
from node.verify import TOGETHER_MIN, Verifier
from tests.ledger.world import World

KEY, OTHER, MESSAGE, SIGNATURE = b"k" * 32, b"o" * 32, b"m" * 32, b"s" * 64


class Counting:
    """A verification that counts its calls; only `KEY` signs."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, key: bytes, message: bytes, signature: bytes) -> bool:
        self.calls += 1
        return key == KEY


def test_good_vote_is_verified_once() -> None:
    """The second look at the same triple costs no verification."""
    counting = Counting()
    verifier = Verifier(counting)
    assert verifier.is_valid(KEY, MESSAGE, SIGNATURE)
    assert verifier.is_valid(KEY, MESSAGE, SIGNATURE)
    assert counting.calls == 1


def test_any_other_part_is_verified_anew() -> None:
    """A good triple vouches for nothing that differs from it."""
    counting = Counting()
    verifier = Verifier(counting)
    assert verifier.is_valid(KEY, MESSAGE, SIGNATURE)
    assert verifier.is_valid(KEY, b"n" * 32, SIGNATURE)
    assert verifier.is_valid(KEY, MESSAGE, b"t" * 64)
    assert not verifier.is_valid(OTHER, MESSAGE, SIGNATURE)
    assert counting.calls == 4


def test_bad_signature_is_never_remembered() -> None:
    """A flood of bad ones neither passes later nor takes room."""
    counting = Counting()
    verifier = Verifier(counting)
    for _ in range(3):
        assert not verifier.is_valid(OTHER, MESSAGE, SIGNATURE)
    assert counting.calls == 3


def test_memory_is_bounded_and_forgetting_only_costs_time(monkeypatch) -> None:
    """With room for four, the first of many is verified again, and is still good."""
    monkeypatch.setattr(verify, "VOTES_REMEMBERED", 4)
    counting = Counting()
    verifier = Verifier(counting)
    for number in range(10):
        assert verifier.is_valid(KEY, bytes((number,)) * 32, SIGNATURE)
    calls = counting.calls
    assert verifier.is_valid(KEY, bytes(32), SIGNATURE)
    assert counting.calls == calls + 1
    assert verifier.is_valid(KEY, bytes((9,)) * 32, SIGNATURE)
    assert counting.calls == calls + 1


HELPERS = 2


class Threads:
    """libsodium, and who called it; each of three waits for the others once."""

    def __init__(self, *, waits: bool) -> None:
        self.barrier = threading.Barrier(HELPERS + 1, timeout=10) if waits else None
        self.by_thread: dict[int, int] = {}

    def __call__(self, key: bytes, message: bytes, signature: bytes) -> bool:
        own = threading.get_ident()
        self.by_thread[own] = self.by_thread.get(own, 0) + 1
        if self.barrier is not None and self.by_thread[own] == 1:
            self.barrier.wait()
        return crypto.verify(key, message, signature)


def payments(count: int) -> list[SignedTransaction]:
    world = World()
    return [world.transfer("alice", "bob", 1 + number) for number in range(count)]


def forged(tx: SignedTransaction) -> SignedTransaction:
    other = World().transfer("alice", "bob", 999)
    return SignedTransaction(tx.raw, tx.body, other.witness, tx.txid, b"f" * 32, tx.locks, 0)


def test_many_are_shared_among_threads() -> None:
    """All of them work at once, each on a part; afterwards nothing is verified again."""
    threads, txs = Threads(waits=True), payments(TOGETHER_MIN)
    verifier = Verifier(threads, helpers=HELPERS)
    verifier.check_transactions(txs)
    assert len(threads.by_thread) == HELPERS + 1
    assert sum(threads.by_thread.values()) == len(txs)
    verifier.check_transactions(txs)
    verifier.check_transaction(txs[0])
    assert sum(threads.by_thread.values()) == len(txs)


@pytest.mark.parametrize("count", [TOGETHER_MIN - 1, TOGETHER_MIN, TOGETHER_MIN + 1])
@pytest.mark.parametrize("helpers", [0, HELPERS])
def test_one_bad_one_is_found_wherever_it_stands(count: int, helpers: int) -> None:
    """And none of its block is remembered as good; few are left to the caller alone."""
    txs = payments(count)
    for place in (0, 1, count - 1):
        threads = Threads(waits=False)
        verifier = Verifier(threads, helpers=helpers)
        block = [*txs[:place], forged(txs[place]), *txs[place + 1 :]]
        with pytest.raises(Invalid) as caught:
            verifier.check_transactions(block)
        assert caught.value.reason is Reason.BAD_SIGNATURE
        if not helpers or count < TOGETHER_MIN:
            assert set(threads.by_thread) == {threading.get_ident()}
        seen = sum(threads.by_thread.values())
        verifier.check_transaction(txs[0 if place else 1])
        assert sum(threads.by_thread.values()) == seen + 1
