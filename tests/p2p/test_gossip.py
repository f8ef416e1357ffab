"""Gossip: everything once, in order, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.block import TRANSACTION_BYTES_MAX
from ledger.codec import encode_payload
from ledger.reasons import Invalid
from p2p import gossip
from p2p.gossip import (
    BATCH_BYTES,
    BATCH_TRANSACTIONS_MAX,
    PENDING_BYTES_MAX,
    Gossip,
    read_batch,
)
from p2p.wire import MESSAGES, TXS


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=50), max_size=40))
def test_everything_once_and_in_order(pushed: list[bytes]) -> None:
    """What was pushed is handed out once, in its order; then nothing waits."""
    core = Gossip()
    for transaction in pushed:
        assert core.push(transaction)
    assert [raw for payload in core.take() for raw in read_batch(payload)] == pushed
    assert core.take() == []
    assert core.pending_bytes == 0


def test_batches_respect_size_and_count() -> None:
    """Large transactions fill batches by bytes, small ones by count; all within a frame."""
    core = Gossip()
    for _ in range(20):
        core.push(bytes(TRANSACTION_BYTES_MAX))
    for _ in range(2 * BATCH_TRANSACTIONS_MAX):
        core.push(b"x")
    payloads = core.take()
    batches = [read_batch(payload) for payload in payloads]
    assert sum(map(len, batches)) == 20 + 2 * BATCH_TRANSACTIONS_MAX
    for payload, batch in zip(payloads, batches, strict=True):
        assert len(batch) <= BATCH_TRANSACTIONS_MAX
        assert sum(map(len, batch)) <= BATCH_BYTES
        assert len(payload) <= MESSAGES[TXS].size_max


def test_the_seen_cache_is_bounded_and_remembers_the_recent() -> None:
    """After far more keys than it holds, the last half is remembered and the first is new."""
    core = Gossip(seen_max=100)
    keys = [number.to_bytes(32, "big") for number in range(1000)]
    assert all(core.is_new(key) for key in keys)
    assert not any(core.is_new(key) for key in keys[-50:])
    assert core.is_new(keys[0])
    assert len(core._seen) <= 100


def test_forgotten_keys_are_new_again() -> None:
    """A refusal of the moment does not shut a transaction out."""
    core = Gossip()
    assert core.is_new(b"key")
    assert not core.is_new(b"key")
    core.forget(b"key")
    assert core.is_new(b"key")


def test_pending_is_bounded() -> None:
    """Above the limit `push` refuses; after a `take` there is room again."""
    core = Gossip()
    for _ in range(PENDING_BYTES_MAX // TRANSACTION_BYTES_MAX):
        assert core.push(bytes(TRANSACTION_BYTES_MAX))
    assert not core.push(b"x")
    core.take()
    assert core.push(b"x")


@pytest.mark.parametrize("size", [0, TRANSACTION_BYTES_MAX + 1])
def test_transaction_sizes(size: int) -> None:
    """Nothing empty and nothing above the limit enters a batch."""
    with pytest.raises(Invalid):
        Gossip().push(bytes(size))


@pytest.mark.parametrize(
    "transactions",
    [[], [b""], [bytes(TRANSACTION_BYTES_MAX + 1)], [b"x"] * (BATCH_TRANSACTIONS_MAX + 1), ["x"]],
    ids=["none", "empty", "large", "many", "text"],
)
def test_bad_batches(transactions: list[object]) -> None:
    """A batch that breaks a limit is Invalid as a whole."""
    with pytest.raises(Invalid):
        read_batch(encode_payload([transactions]))


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_garbage_is_invalid_or_a_batch(payload: bytes) -> None:
    """Random bytes: Invalid, or a batch that encodes to the same bytes."""
    try:
        transactions = read_batch(payload)
    except Invalid:
        return
    assert encode_payload(gossip.Batch(transactions)) == payload
