"""The pool of waiting transactions at its limits, and as a model of what may wait together."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import mempool, refusals
from ledger.block import (
    BLOCK_BYTES_MAX,
    BLOCK_OPERATIONS_MAX,
    BLOCK_SIGNATURES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    VotePayload,
)
from ledger.codec import encode_payload
from ledger.crypto import ZERO_HASH
from ledger.execution import FREE_PER_IDENTITY_MAX, FREE_SHARE, TROUBLED_SHARE, operations_max
from ledger.locks import After, All, Any, Before, Condition, Key
from ledger.mempool import (
    ASKED_OPERATIONS_MAX,
    BYTES_MAX,
    EXPIRY_SPARE,
    FINAL_MAX,
    RECHECKED_MAX,
    RECHECKED_OPERATIONS_MAX,
    RESENT_BYTES_MAX,
    RESENT_MAX,
    SENDER_MAX,
    TRANSACTIONS_MAX,
    WAITING_OPERATIONS_MAX,
    Mempool,
)
from ledger.operations import (
    Burn,
    EndEpoch,
    Evidence,
    Mint,
    Operation,
    ValidatorReady,
    count_of,
)
from ledger.pool_entry import RATE_UNIT
from ledger.reasons import Invalid, Reason
from ledger.refusals import REJECTED_MAX
from ledger.transaction import (
    NO_FEE,
    OPERATIONS_MAX,
    Fee,
    Input,
    KeySignature,
    SignedTransaction,
    Transaction,
    Witness,
)

ASSET = sha256(b"asset").digest()
TROUBLED_OPERATIONS = operations_max(TROUBLED_SHARE) // 2
MEMBER, OTHER_MEMBER = bytes([1]) * 32, bytes([2]) * 32


def key(number: int) -> bytes:
    return sha256(b"key" + number.to_bytes(4, "big")).digest()


def made(
    body: Transaction,
    keys: list[int],
    size: int,
    twist: bytes = b"",
    conditions: tuple[Condition, ...] = (),
) -> SignedTransaction:
    """A transaction as decoding gives it; the pool reads its size and never its bytes."""
    txid = sha256(encode_payload(body)).digest()
    signatures = tuple(KeySignature(key(number), bytes(64)) for number in keys)
    wtxid = sha256(txid + twist).digest()
    witness = Witness(conditions, signatures, ())
    count = count_of(body.operations)
    return SignedTransaction(bytes(size), body, witness, txid, wtxid, (), count)


def spend(
    *outputs: int,
    by: tuple[int, ...] | int | None = None,
    fee: int = 300,
    size: int = 300,
    expires: int = 10**9,
    twist: bytes = b"",
    conditions: tuple[Condition, ...] = (),
) -> SignedTransaction:
    """A payment that spends numbered outputs; each is its own sender's unless `by` says."""
    keys = [outputs[0]] if by is None else [by] if isinstance(by, int) else list(by)
    inputs = tuple(Input(key(number), 0, ASSET, 1000) for number in outputs)
    body = Transaction(1, ZERO_HASH, inputs, (), Fee(ASSET, fee), (), expires, b"")
    return made(body, keys, size, twist, conditions)


def mint(
    issuer: str,
    number: int,
    *,
    size: int = 200,
    signatures: int = 1,
    by: int = 0,
    lane: int = 0,
    amount: int = 5,
    pays_with: tuple[int, ...] = (),
    count: int = 1,
) -> SignedTransaction:
    """Licensed operations from a number on, free unless they spend outputs too."""
    operations = tuple(Mint(issuer, key(0), lane, number + n, amount) for n in range(count))
    inputs = tuple(Input(key(output), 0, ASSET, 1000) for output in pays_with)
    fee = Fee(ASSET, 300) if inputs else NO_FEE
    body = Transaction(1, ZERO_HASH, inputs, (), fee, operations, 10**9, b"")
    return made(body, list(range(by, by + signatures)), size)


def burn(
    output: int, *, by: int | None = None, fee: int = 300, count: int = 1
) -> SignedTransaction:
    """Operations of a holder, under no licence's quota, paid with a numbered output."""
    operations = tuple(Burn(ASSET, 1 + n) for n in range(count))
    inputs = (Input(key(output), 0, ASSET, 1000),)
    body = Transaction(1, ZERO_HASH, inputs, (), Fee(ASSET, fee), operations, 10**9, b"")
    return made(body, [output if by is None else by], 300)


def free(*operations: Operation) -> SignedTransaction:
    return made(Transaction(1, ZERO_HASH, (), (), NO_FEE, operations, 10**9, b""), [0], 300)


def evidence(accused: str) -> Evidence:
    first, second = (VotePayload(0, 1, 0, 1, key(number)) for number in sorted((1, 2), key=key))
    return Evidence(accused, key(0), first, bytes(64), second, bytes(64))


def accept(tx: SignedTransaction) -> None:
    """Rules that everything passes."""


def refuse(tx: SignedTransaction) -> None:
    raise Invalid(Reason.UNKNOWN_INPUT, "no such output")


def add(pool: Mempool, tx: SignedTransaction, *, now: int = 0, resent: bytes | None = None) -> None:
    pool.add(tx, check=accept, now_ms=now, resent_by=resent)


def reason_of(pool: Mempool, tx: SignedTransaction, *, resent: bytes | None = None) -> Reason:
    with pytest.raises(Invalid) as caught:
        add(pool, tx, resent=resent)
    return caught.value.reason


def check_empty(pool: Mempool) -> None:
    """Nothing is counted for what is gone."""
    assert len(pool) == 0
    assert pool.select() == []
    stats = pool.stats()
    assert (stats.transactions, stats.bytes, stats.operations) == (0, 0, 0)
    assert (stats.free, stats.resent, stats.oldest_since_ms) == (0, 0, None)
    assert pool.size_bytes == 0


# Admission.


def test_admitted_is_found_and_selected() -> None:
    """What got in is found by both ids, names its spender and leaves with the next block."""
    pool, tx = Mempool(), spend(1)
    add(pool, tx, now=7)
    assert pool.get(tx.txid) is tx
    assert pool.get_by_wtxid(tx.wtxid) is tx
    assert pool.get_by_wtxid(tx.txid) is None
    assert pool.spender((key(1), 0)) == tx.txid
    assert pool.oldest_since_ms == 7
    assert pool.select() == [tx]
    assert pool.drop_committed(1, [tx]) == []
    assert pool.final_height(tx.txid) == 1
    check_empty(pool)


def test_known_and_final_are_told_apart() -> None:
    """The same body again is known while it waits, whatever its witness, and final afterwards."""
    pool, tx, twin = Mempool(), spend(1), spend(1, twist=b"other witness")
    add(pool, tx)
    assert tx.txid == twin.txid
    assert reason_of(pool, tx) is Reason.ALREADY_KNOWN
    assert reason_of(pool, twin) is Reason.ALREADY_KNOWN
    assert pool.get_by_wtxid(twin.wtxid) is None
    pool.drop_committed(5, [tx])
    with pytest.raises(Invalid, match="final at height 5"):
        add(pool, tx)
    assert pool.rejection(tx.txid) is None


def test_double_spend_names_the_other() -> None:
    """Two that spend one output do not wait together; the refusal names who came first."""
    pool, first, second = Mempool(), spend(1, 2), spend(3, 2)
    add(pool, first)
    with pytest.raises(Invalid, match=f"{key(2).hex()}:0 is spent by {first.txid.hex()}") as caught:
        add(pool, second)
    assert caught.value.reason is Reason.DOUBLE_SPEND
    assert pool.get(first.txid) is first
    remembered = pool.rejection(second.txid)
    assert remembered is not None
    assert remembered.reason is Reason.DOUBLE_SPEND


def test_one_number_of_a_lane_waits_once() -> None:
    """Two mints with one number of one lane do not wait together, free or paying; others do."""
    pool = Mempool()
    add(pool, mint("alpha", 1))
    assert reason_of(pool, mint("alpha", 1, amount=6)) is Reason.REPLAYED_OPERATION
    assert reason_of(pool, mint("alpha", 1, pays_with=(4,))) is Reason.REPLAYED_OPERATION
    add(pool, mint("alpha", 1, lane=1))
    add(pool, mint("beta", 1))
    assert len(pool) == 3


def test_rules_are_asked_last_and_their_refusal_is_remembered() -> None:
    """A refusal by the rules leaves no trace but the memory, and a later success clears that."""
    pool, tx = Mempool(), spend(1)
    with pytest.raises(Invalid, match="no such output"):
        pool.add(tx, check=refuse, now_ms=0)
    check_empty(pool)
    remembered = pool.rejection_by_wtxid(tx.wtxid)
    assert remembered == pool.rejection(tx.txid)
    assert remembered is not None
    assert (remembered.reason, remembered.detail) == (Reason.UNKNOWN_INPUT, "no such output")
    add(pool, tx)
    assert pool.rejection(tx.txid) is None
    assert pool.rejection_by_wtxid(tx.wtxid) is None


def test_sender_quota_and_the_fee_that_lifts_it() -> None:
    """One key waits SENDER_MAX times; one more needs a fee above the median; others still come."""
    pool = Mempool()
    for number in range(SENDER_MAX):
        add(pool, spend(number, by=7))
    assert reason_of(pool, spend(10_000, by=7)) is Reason.SENDER_QUOTA
    assert reason_of(pool, spend(10_000, by=(8, 7))) is Reason.SENDER_QUOTA
    assert pool.median_rate == RATE_UNIT
    assert pool.rejection(spend(10_000, by=7).txid) is None
    add(pool, spend(10_001, by=7, fee=301))
    add(pool, spend(10_002, by=8))
    pool.drop_committed(1, pool.select()[:2])
    add(pool, spend(10_003, by=7))
    assert reason_of(pool, spend(10_004, by=7)) is Reason.SENDER_QUOTA


def test_sender_quota_counts_operations_and_no_fee_lifts_it_for_them() -> None:
    """SENDER_MAX operations of a key wait, in however few transactions: it fills a sixteenth of
    their room, whatever it pays. Others still come; its payments and operations share the quota;
    free ones and what validators send again count as before."""
    pool, each = Mempool(), OPERATIONS_MAX
    for number in range(SENDER_MAX // each):
        add(pool, burn(number, by=7, count=each))
    assert SENDER_MAX * 16 == WAITING_OPERATIONS_MAX
    for fee in (300, 10_000):
        assert reason_of(pool, burn(9_000, by=7, fee=fee)) is Reason.SENDER_QUOTA
    assert reason_of(pool, spend(9_000, by=7)) is Reason.SENDER_QUOTA
    add(pool, spend(9_001, by=7, fee=301))
    add(pool, burn(9_002, by=8, count=each))
    add(pool, burn(9_003, by=7, count=each), resent=MEMBER)
    for number in range(FREE_PER_IDENTITY_MAX):
        add(pool, mint("alpha", number * each, count=each))
    pool.drop_committed(1, pool.select()[:1])
    assert reason_of(pool, burn(9_004, by=7, count=each)) is Reason.SENDER_QUOTA
    add(pool, burn(9_004, by=7, count=each - 1))
    pool.drop_committed(2, pool.pending(TRANSACTIONS_MAX))
    check_empty(pool)


def test_median_is_that_of_the_paying() -> None:
    """The median takes one number per paying transaction; an empty pool has median 0."""
    pool = Mempool()
    assert pool.median_rate == 0
    pool.drop_committed(1, [])
    for number, fee in enumerate((300, 900, 600)):
        add(pool, spend(number, fee=fee))
    add(pool, mint("alpha", 1))
    assert pool.median_rate == 2 * RATE_UNIT
    pool.drop_committed(2, [spend(1, fee=900)])
    assert pool.median_rate == 2 * RATE_UNIT
    pool.drop_committed(3, [spend(2, fee=600)])
    assert pool.median_rate == RATE_UNIT


def test_free_quota_is_per_identity() -> None:
    """FREE_PER_IDENTITY_MAX free ones of a licence wait, re-sent ones included; paying ones too."""
    pool = Mempool()
    for number in range(FREE_PER_IDENTITY_MAX):
        add(pool, mint("alpha", number))
    assert reason_of(pool, mint("alpha", 99)) is Reason.FREE_QUOTA
    assert reason_of(pool, mint("alpha", 99), resent=MEMBER) is Reason.FREE_QUOTA
    add(pool, mint("alpha", 99, pays_with=(1,)))
    add(pool, mint("beta", 0))
    assert pool.stats().free == FREE_PER_IDENTITY_MAX + 1
    pool.drop_committed(1, [mint("alpha", 0)])
    add(pool, mint("alpha", 100))


def test_pool_limit_in_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool takes its last transaction and refuses the next until one leaves."""
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 50)
    pool = Mempool()
    for number in range(50):
        add(pool, spend(number))
    assert reason_of(pool, spend(50)) is Reason.MEMPOOL_FULL
    assert pool.rejection(spend(50).txid) is None
    pool.drop_committed(1, [spend(0)])
    add(pool, spend(50))
    assert TRANSACTIONS_MAX == 20_000


def test_pool_limit_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool is filled to its last byte and takes no further one."""
    monkeypatch.setattr(mempool, "BYTES_MAX", 1000)
    pool = Mempool()
    add(pool, spend(1, size=600))
    assert reason_of(pool, spend(2, size=401)) is Reason.MEMPOOL_FULL
    add(pool, spend(2, size=400))
    assert reason_of(pool, spend(3, size=1)) is Reason.MEMPOOL_FULL
    assert pool.stats().bytes == 1000
    assert BYTES_MAX == 32 * 1024 * 1024


def test_waiting_operations_are_limited_and_keep_nobody_else_out() -> None:
    """One more operation than WAITING_OPERATIONS_MAX is refused, whoever pays for it; payments,
    free ones and what a validator sends again get in, and one that left makes room."""
    pool, each = Mempool(), OPERATIONS_MAX
    waiting = [burn(n, count=each) for n in range(WAITING_OPERATIONS_MAX // each - 1)]
    waiting += [burn(80_000 + n) for n in range(each)]
    for tx in waiting:
        add(pool, tx)
    assert reason_of(pool, burn(90_000)) is Reason.MEMPOOL_FULL
    assert pool.rejection(burn(90_000).txid) is None
    add(pool, burn(90_000), resent=MEMBER)
    others = [spend(90_001), mint("alpha", 0), free(EndEpoch(0)), free(evidence("beta"))]
    for tx in others:
        add(pool, tx)
    pool.drop_committed(1, waiting[:1])
    add(pool, burn(90_002, count=each))
    assert reason_of(pool, burn(90_003)) is Reason.MEMPOOL_FULL
    pool.drop_committed(2, pool.pending(TRANSACTIONS_MAX))
    check_empty(pool)


def test_free_ones_get_into_a_full_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the number nor the bytes of those that pay keep them out, nor they those."""
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 3)
    monkeypatch.setattr(mempool, "BYTES_MAX", 1000)
    pool = Mempool()
    for tx in (mint("alpha", 0), spend(1, size=500), free(EndEpoch(0)), spend(2, size=500)):
        add(pool, tx)
    assert reason_of(pool, spend(3, size=1)) is Reason.MEMPOOL_FULL
    add(pool, free(evidence("alpha")))
    pool.drop_committed(1, [spend(1, size=500)])
    for number in (4, 5):
        add(pool, spend(number, size=1))
    assert reason_of(pool, spend(6, size=1)) is Reason.MEMPOOL_FULL
    add(pool, mint("beta", 0))
    assert pool.stats().free == 4
    pool.drop_committed(2, pool.pending(10))
    check_empty(pool)


def test_resent_ones_have_room_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pool and a sender above his quota keep no re-sent one out; a full room does."""
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", SENDER_MAX)
    pool = Mempool()
    for number in range(SENDER_MAX):
        add(pool, spend(number, by=7))
    for number in range(1000, 1000 + RESENT_MAX):
        add(pool, spend(number, by=7), resent=MEMBER)
    assert reason_of(pool, spend(5000, by=7), resent=MEMBER) is Reason.MEMPOOL_FULL
    add(pool, spend(5000, by=7), resent=OTHER_MEMBER)
    assert pool.stats().resent == RESENT_MAX + 1
    pool.drop_committed(1, [spend(1000, by=7)])
    add(pool, spend(5001, by=7), resent=MEMBER)
    assert reason_of(pool, spend(1, by=7), resent=MEMBER) is Reason.ALREADY_KNOWN


def test_room_of_resent_ones_is_bounded_in_bytes() -> None:
    """One validator's room ends at RESENT_BYTES_MAX, whatever the number."""
    pool = Mempool()
    part = RESENT_BYTES_MAX // 4
    for number in range(4):
        add(pool, spend(number, size=part), resent=MEMBER)
    assert reason_of(pool, spend(9, size=1), resent=MEMBER) is Reason.MEMPOOL_FULL
    pool.drop_committed(1, [spend(0, size=part)])
    add(pool, spend(9, size=part), resent=MEMBER)
    assert (pool.size_bytes, pool.stats().bytes) == (RESENT_BYTES_MAX, 0)


# Selection.


def test_first_come_first_served() -> None:
    """The order of arrival decides, not the fee; what is in flight is left out."""
    pool, txs = Mempool(), [spend(number, fee=300 + number * 7 % 5) for number in range(20)]
    for tx in txs:
        add(pool, tx)
    assert pool.select() == txs
    skip = {tx.txid for tx in txs[::2]}
    assert pool.select(skip=skip) == txs[1::2]
    assert pool.select() == txs
    assert pool.pending(3) == txs[:3]


def test_block_limit_in_transactions() -> None:
    """A block is full at BLOCK_TRANSACTIONS_MAX."""
    pool, txs = Mempool(), [spend(number) for number in range(BLOCK_TRANSACTIONS_MAX + 1)]
    for tx in txs:
        add(pool, tx)
    assert pool.select() == txs[:-1]


def test_block_limit_in_bytes() -> None:
    """A block is filled to BLOCK_BYTES_MAX; the first that does not fit ends it."""
    for size, count in ((BLOCK_BYTES_MAX // 4, 4), (BLOCK_BYTES_MAX // 4 + 1, 3)):
        pool, txs = Mempool(), [spend(number, size=size) for number in range(6)]
        for tx in [*txs, spend(9, size=1)]:
            add(pool, tx)
        assert pool.select() == txs[:count]


def test_block_limit_in_signatures() -> None:
    """A block holds BLOCK_SIGNATURES_MAX signatures and not one more."""
    pool, each = Mempool(), 64
    count = BLOCK_SIGNATURES_MAX // each
    for number in range(count):
        add(pool, spend(number, by=tuple(range(number * each, (number + 1) * each))))
    rest = BLOCK_SIGNATURES_MAX - count * each
    add(pool, spend(50_000, by=tuple(range(90_000, 90_000 + rest))))
    add(pool, spend(50_001))
    assert len(pool.select()) == count + 1


def test_payments_go_on_where_operations_are_full() -> None:
    """A block holds BLOCK_OPERATIONS_MAX operations. From the first transaction that finds no room
    for its own, those with operations wait for the next, small ones too, and payments do not."""
    pool, each = Mempool(), OPERATIONS_MAX
    dear = [
        mint("alpha", n * each, count=each, pays_with=(90_000 + n,))
        for n in range(BLOCK_OPERATIONS_MAX // each)
    ]
    one = mint("beta", 0, pays_with=(80_000,), by=1)
    late = [
        mint("beta", 1, count=each, pays_with=(80_001,), by=1),
        mint("gamma", 0),
        mint("delta", 0),
    ]
    before, after = spend(1), spend(2)
    for tx in [dear[0], one, *dear[1:], before, *late, after]:
        add(pool, tx)
    assert pool.select() == [dear[0], one, *dear[1:-1], before, after]
    assert pool.select(skip={tx.txid for tx in [one, *dear]}) == [before, *late, after]


def test_fees_of_issuers_in_trouble_fill_their_share_only() -> None:
    """They take a tenth of the operations and keep nobody else from the rest."""
    pool, each = Mempool(), TROUBLED_OPERATIONS
    troubled = [mint("alpha", n * each, count=each, pays_with=(90_000 + n,)) for n in range(9)]
    for tx in troubled:
        add(pool, tx)
    assert pool.select(troubled={ASSET}) == troubled[:2]
    assert pool.select() == troubled
    free = mint("beta", 0)
    add(pool, free)
    assert pool.select(troubled={ASSET}) == [*troubled[:2], free]


def test_what_fails_leaves_its_room_to_other_operations() -> None:
    """Copies that fail while a block is built keep no operation behind them out, free or not, until
    ASKED_OPERATIONS_MAX were asked about; a payment that fails uses up its room."""
    pool, each = Mempool(), OPERATIONS_MAX
    dead = [burn(n, count=each) for n in range(ASKED_OPERATIONS_MAX // each - 2)]
    dead += [mint(f"dead{n}", 0, count=each) for n in range(BLOCK_OPERATIONS_MAX // each)]
    good = [burn(80_000, count=each), mint("alpha", 0), spend(80_001)]
    for tx in [*dead[:-16], *good, *dead[-16:]]:
        add(pool, tx)
    asked: list[SignedTransaction] = []

    def take(tx: SignedTransaction) -> bool:
        asked.append(tx)
        return tx in good

    assert pool.select(take=take) == good
    assert sum(len(tx.body.operations) for tx in asked) <= ASKED_OPERATIONS_MAX
    payments = Mempool()
    for n in range(BLOCK_TRANSACTIONS_MAX + 5):
        add(payments, spend(n))
    asked.clear()
    assert payments.select(take=take) == []
    assert len(asked) == BLOCK_TRANSACTIONS_MAX


def test_free_ones_of_others_hold_back_no_evidence_and_no_seat() -> None:
    """Behind more free operations than a block takes, government goes first, then evidence and
    claims of seats that stand alone, each in the order of arrival."""
    pool, each = Mempool(), OPERATIONS_MAX
    crowd = [mint(f"i{n}", 0, count=each) for n in range(BLOCK_OPERATIONS_MAX // FREE_SHARE)]
    accused, ready = free(evidence("alpha")), free(ValidatorReady("beta", key(1), 1, key(2)))
    beside = free(evidence("gamma"), Mint("delta", key(0), 0, 9, 5))
    ends, payment = free(EndEpoch(0)), spend(1)
    for tx in [payment, *crowd, beside, ready, accused, ends]:
        add(pool, tx)
    taken = (BLOCK_OPERATIONS_MAX // FREE_SHARE - 3) // each
    assert pool.select() == [ends, ready, accused, payment, *crowd[:taken]]
    pool.drop_committed(1, [ends, ready, accused])
    assert pool.select()[0] == payment


def test_free_ones_fill_their_share_only() -> None:
    """Free ones stop at their share of operations, signatures and bytes; paying ones go on."""
    cases = (
        (200, 1, BLOCK_OPERATIONS_MAX // FREE_SHARE),
        (200, 64, BLOCK_SIGNATURES_MAX // FREE_SHARE // 64),
        (16_000, 1, BLOCK_BYTES_MAX // FREE_SHARE // 16_000),
    )
    for size, signatures, expected in cases:
        pool = Mempool()
        for identity in range(BLOCK_TRANSACTIONS_MAX // FREE_SHARE // FREE_PER_IDENTITY_MAX + 1):
            for number in range(FREE_PER_IDENTITY_MAX):
                add(pool, mint(f"i{identity}", number, size=size, signatures=signatures))
        paying = [spend(number) for number in range(5)]
        for tx in paying:
            add(pool, tx)
        chosen = pool.select()
        assert len(chosen) == expected + 5
        assert chosen[expected:] == paying


# What blocks and time take away.


def test_final_conflicts_leave() -> None:
    """A final block takes along what spends its inputs or repeats its numbers, naming itself."""
    pool = Mempool()
    loser, bystander, repeated = spend(1, 2), spend(3), mint("alpha", 1)
    for tx in (loser, bystander, repeated):
        add(pool, tx)
    winner, other = spend(2, by=50), mint("alpha", 1, amount=9)
    dropped = pool.drop_committed(4, [winner, other])
    assert [(item.txid, item.reason) for item in dropped] == [
        (loser.txid, Reason.SPENT_INPUT),
        (repeated.txid, Reason.REPLAYED_OPERATION),
    ]
    assert winner.txid.hex() in dropped[0].detail
    assert pool.rejection(loser.txid) == dropped[0]
    assert pool.select() == [bystander]
    assert pool.spender((key(1), 0)) is None
    add(pool, spend(1))


def test_expiry() -> None:
    """A transaction waits through its last millisecond and is gone in the next."""
    pool, soon, late = Mempool(), spend(1, expires=100), spend(2, expires=200)
    add(pool, late)
    add(pool, soon)
    assert pool.drop_expired(100) == []
    dropped = pool.drop_expired(101)
    assert [(item.txid, item.reason) for item in dropped] == [(soon.txid, Reason.EXPIRED)]
    assert pool.rejection(soon.txid) == dropped[0]
    assert pool.drop_expired(101) == []
    assert pool.select() == [late]


def test_expiry_queue_stays_small() -> None:
    """Names of those that left do not pile up, and expiry still works after they are cleared."""
    pool = Mempool()
    add(pool, spend(0, expires=50))
    for number in range(1, 3 * EXPIRY_SPARE):
        tx = spend(number, expires=10**6)
        add(pool, tx)
        assert len(pool._expiries) <= 2 * len(pool) + EXPIRY_SPARE
        pool.drop_committed(number, [tx])
    assert [item.txid for item in pool.drop_expired(51)] == [spend(0, expires=50).txid]


def test_locks_that_close_are_asked_about_again() -> None:
    """A `before` anywhere in a lock makes it one that a block may overtake; `after` does not."""
    pool, plain = Mempool(), Key(key(1))
    closing = spend(1, conditions=(plain, Any((plain, All((Before(0, 9), plain))))))
    opening = spend(2, conditions=(plain, All((After(0, 9), plain))))
    for tx in (opening, closing):
        add(pool, tx)
    assert pool.drop_refused(accept) == []
    assert pool.drop_refused(refuse) == [pool.rejection(closing.txid)]
    assert pool.select() == [opening]


def test_mints_are_asked_about_again() -> None:
    """A mint that the moved state refuses leaves with its reason; payments are not asked about;
    one call looks at RECHECKED_OPERATIONS_MAX of them at most, the next at those behind them: who
    stands first keeps nobody from being asked about."""
    pool, payment, most = Mempool(), spend(1), RECHECKED_OPERATIONS_MAX
    mints = [mint(f"i{n // 16}", n) for n in range(RECHECKED_MAX + 2)]
    for tx in [payment, *mints]:
        add(pool, tx)
    asked: list[SignedTransaction] = []
    for _ in range(RECHECKED_MAX // most + 1):
        assert pool.drop_refused(asked.append) == []
    assert asked == [*mints, *mints[: most - 2]]
    rest = mints[most - 2 :][:most]
    assert pool.drop_refused(refuse) == [pool.rejection(tx.txid) for tx in rest]
    while pool.drop_refused(refuse):
        pass
    assert pool.select() == [payment]


def test_operations_of_holders_are_asked_about_again() -> None:
    """Who stands under no quota is overtaken too: an application for a name that another got, a
    challenge of what is over, a bond that came twice."""
    pool, payment, held = Mempool(), spend(1), burn(2)
    for tx in (payment, held):
        add(pool, tx)
    assert pool.drop_refused(accept) == []
    assert pool.drop_refused(refuse) == [pool.rejection(held.txid)]
    assert pool.select() == [payment]


def test_many_operations_in_one_are_asked_about_as_many() -> None:
    """After a block RECHECKED_OPERATIONS_MAX operations are asked about, in however few
    transactions; locks that close are asked about behind them."""
    pool, each = Mempool(), OPERATIONS_MAX
    dear = [mint(f"i{n}", 0, count=each) for n in range(RECHECKED_OPERATIONS_MAX // each + 3)]
    closing = [
        spend(n, conditions=(Any((Key(key(n)), Before(0, 9))),)) for n in range(RECHECKED_MAX)
    ]
    for tx in [*dear, *closing]:
        add(pool, tx)
    asked: list[SignedTransaction] = []
    pool.drop_refused(asked.append)
    most = RECHECKED_OPERATIONS_MAX // each
    assert asked == [*dear[:most], *closing[: RECHECKED_MAX - len(dear)]]


def test_reject_takes_only_the_very_witness_away() -> None:
    """A bad witness of a waiting body is remembered by itself; the good one keeps its place."""
    pool, good, bad = Mempool(), spend(1), spend(1, twist=b"bad")
    add(pool, good)
    pool.reject(bad, Invalid(Reason.BAD_SIGNATURE, "by key 1"))
    assert pool.get(good.txid) is good
    assert pool.rejection_by_wtxid(bad.wtxid) is not None
    assert pool.rejection_by_wtxid(good.wtxid) is None
    pool.reject(good, Invalid(Reason.ABOVE_HEADROOM, "mint of 5"))
    check_empty(pool)
    remembered = pool.rejection(good.txid)
    assert remembered is not None
    assert remembered.reason is Reason.ABOVE_HEADROOM


def test_memory_of_refusals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest refusals go first, by both ids; one that comes again counts as new."""
    monkeypatch.setattr(refusals, "REJECTED_MAX", 3)
    pool = Mempool()
    error = Invalid(Reason.BAD_SIGNATURE, "")
    txs = [spend(number) for number in range(4)]
    for tx in [*txs[:3], txs[0], txs[3]]:
        pool.reject(tx, error)
    kept = [tx for tx in txs if pool.rejection(tx.txid) is not None]
    assert kept == [txs[0], txs[2], txs[3]]
    assert kept == [tx for tx in txs if pool.rejection_by_wtxid(tx.wtxid) is not None]
    assert pool.stats().rejected_remembered == 3
    twin = spend(2, twist=b"other")
    pool.reject(twin, error)
    pool.reject(spend(8), error)
    pool.reject(spend(9), error)
    found = pool.rejection(twin.txid)
    assert found is not None
    assert found.wtxid == twin.wtxid
    assert REJECTED_MAX == 10_000


def test_memory_of_final_ones_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest final ones are forgotten first; the chain knows those."""
    monkeypatch.setattr(mempool, "FINAL_MAX", 3)
    pool = Mempool()
    txs = [spend(number) for number in range(5)]
    pool.drop_committed(1, txs[:2])
    pool.drop_committed(2, txs[2:])
    assert [pool.final_height(tx.txid) for tx in txs] == [None, None, 2, 2, 2]
    assert FINAL_MAX == 20_000


def test_oldest_and_pending_by_age() -> None:
    """Who waits since when is told by arrival; what left is not counted."""
    pool = Mempool()
    txs = [spend(number) for number in range(5)]
    for number, tx in enumerate(txs):
        add(pool, tx, now=number * 10)
    assert pool.pending(10, since_ms_max=20) == txs[:3]
    assert pool.pending(2, since_ms_max=20) == txs[:2]
    pool.drop_committed(1, txs[:2])
    assert pool.oldest_since_ms == 20
    assert pool.pending(10, since_ms_max=19) == []
    ends, accused = free(EndEpoch(0)), free(evidence("alpha"))
    add(pool, accused, now=25)
    add(pool, ends, now=30)
    assert pool.pending(10, since_ms_max=29) == [accused, txs[2]]
    assert pool.pending(3) == [ends, accused, txs[2]]


# Everything together.


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_pool_equals_a_naive_list(seed: int) -> None:
    """Random arrivals, blocks and expiries: the pool holds what a plain list of rules holds."""
    random, pool = Random(seed), Mempool()
    waiting: list[SignedTransaction] = []
    final: set[bytes] = set()
    spent: set[bytes] = set()
    time = 0

    def inputs(tx: SignedTransaction) -> set[bytes]:
        return {item.txid for item in tx.body.inputs}

    for _ in range(80):
        action = random.random()
        if action < 0.7:
            count = random.randrange(1, 3)
            outputs = random.sample(range(30), count)
            tx = spend(*outputs, expires=time + random.randrange(40), size=random.randrange(1, 99))
            taken = any(inputs(tx) & inputs(other) for other in waiting)
            known = tx.txid in final or any(tx.txid == other.txid for other in waiting)
            try:
                add(pool, tx, now=time, resent=random.choice([None, MEMBER]))
            except Invalid:
                assert taken or known
            else:
                assert not taken
                assert not known
                waiting.append(tx)
        elif action < 0.9:
            block = random.sample(waiting, random.randrange(len(waiting) + 1))
            rival = spend(random.randrange(30), by=77)
            if not any(inputs(rival) & inputs(tx) for tx in block):
                block.append(rival)
            pool.drop_committed(time, block)
            final |= {tx.txid for tx in block}
            spent = set().union(*(inputs(tx) for tx in block))
            waiting = [tx for tx in waiting if not inputs(tx) & spent]
        else:
            time += random.randrange(20)
            pool.drop_expired(time)
            waiting = [tx for tx in waiting if tx.body.expires_at_ms >= time]
        assert pool.select() == waiting
        assert pool.size_bytes == sum(len(tx.raw) for tx in waiting)
        stats = pool.stats()
        assert stats.transactions + stats.resent == len(pool) == len(waiting)
    pool.drop_committed(time, waiting)
    check_empty(pool)
    assert (pool._claims, pool._by_owner, pool._by_member) == ({}, {}, {})
    assert (pool._bytes_by_member, pool._txid_by_wtxid, pool._rechecked) == ({}, {}, {})
    assert (pool._early, pool.payments) == ({}, {})
