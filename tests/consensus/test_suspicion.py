"""The causes against a primary that goes on deciding, at their borders."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from hashlib import sha256
from random import Random

import pytest

from consensus.suspicion import (
    DECIDED_MAX,
    REST_MS,
    ROOMY_BLOCKS,
    WINDOW_MS,
    WINDOWS_MAX,
    BlockFill,
    PassedOver,
    Throughput,
    Waiting,
)
from ledger import execution
from ledger.block import (
    BLOCK_TRANSACTIONS_MAX,
    TRANSACTION_OPERATIONS_MAX,
)
from ledger.execution import FREE_SHARE, TROUBLED_SHARE, Kind, kind_of, operations_max
from ledger.mempool import RESENT_MAX, Mempool
from ledger.operations import Mint
from ledger.parameters import PPM
from ledger.reasons import Invalid
from ledger.transaction import OPERATIONS_MAX, Fee, Output, SignedTransaction
from tests.ledger.test_mempool import ASSET, add, mint, spend
from tests.ledger.world import World, key, lock_of, sign

T_MS = 2_000
FIRST = sha256(b"first").digest()
EVERY = frozenset(Kind)
ROOMY = BlockFill(0, EVERY, Counter())


def resent_twice(kind: Kind = Kind.PAYMENT) -> PassedOver:
    """The first transaction's second re-send is at 2 T."""
    watch = PassedOver()
    for at_ms in (T_MS, 2 * T_MS):
        watch.on_resent([Waiting(FIRST, kind)], at_ms)
    return watch


def accused(watch: PassedOver, at_ms: int) -> list[bytes]:
    return list(watch.accusing(at_ms, T_MS))


def test_blocks_with_room_and_time_accuse() -> None:
    """Eight blocks with room and T since the second re-send: one less of either is too little."""
    watch = resent_twice()
    for _ in range(ROOMY_BLOCKS - 1):
        watch.on_decided(ROOMY)
    assert accused(watch, 100 * T_MS) == []
    watch.on_decided(ROOMY)
    assert accused(watch, 3 * T_MS - 1) == []
    assert accused(watch, 3 * T_MS) == [FIRST]


def test_one_resend_accuses_nobody() -> None:
    """Blocks before the second re-send do not count, however many."""
    watch = PassedOver()
    watch.on_resent([Waiting(FIRST, Kind.PAYMENT)], T_MS)
    for _ in range(10 * ROOMY_BLOCKS):
        watch.on_decided(ROOMY)
    watch.on_resent([Waiting(FIRST, Kind.PAYMENT)], 2 * T_MS)
    assert accused(watch, 100 * T_MS) == []


@pytest.mark.parametrize("kind", Kind)
def test_full_blocks_accuse_nobody(kind: Kind) -> None:
    """A block without room for its kind says nothing, whatever room it has for others."""
    watch = resent_twice(kind)
    for _ in range(10 * ROOMY_BLOCKS):
        watch.on_decided(BlockFill(0, EVERY - {kind}, Counter({kind: 1})))
    assert accused(watch, 100 * T_MS) == []


@pytest.mark.parametrize("kind", Kind)
def test_full_parts_of_others_are_no_excuse(kind: Kind) -> None:
    """A payment has room where operations fill theirs, and so on."""
    watch = resent_twice(kind)
    for _ in range(ROOMY_BLOCKS):
        watch.on_decided(BlockFill(PPM, frozenset((kind,)), Counter()))
    assert accused(watch, 3 * T_MS) == [FIRST]


@pytest.mark.parametrize("kind", Kind)
def test_more_of_its_kind_than_could_stand_before_it(kind: Kind) -> None:
    """Full blocks alone: only more than a full pool and four blocks of its kind accuse."""
    watch = resent_twice(kind)
    others = Counter(dict.fromkeys(EVERY - {kind}, DECIDED_MAX))
    watch.on_decided(BlockFill(PPM, frozenset(), others))
    watch.on_decided(BlockFill(PPM, frozenset(), others))
    watch.on_decided(BlockFill(PPM, frozenset(), Counter({kind: DECIDED_MAX})))
    assert accused(watch, 2 * T_MS) == []
    watch.on_decided(BlockFill(PPM, frozenset(), Counter({kind: 1})))
    assert accused(watch, 2 * T_MS) == [FIRST]


def test_another_kind_is_watched_anew() -> None:
    """The issuer of its fee fell into deficit: what had room for its like before says nothing."""
    watch = resent_twice()
    for _ in range(ROOMY_BLOCKS):
        watch.on_decided(ROOMY)
    watch.on_resent([Waiting(FIRST, Kind.TROUBLED)], 3 * T_MS)
    assert accused(watch, 100 * T_MS) == []


def test_what_waits_no_more_is_forgotten() -> None:
    """Absent from one round, it begins anew; so does everything with another primary."""
    for forget in (lambda watch: watch.on_resent([], 3 * T_MS), lambda watch: watch.forget()):
        watch = resent_twice()
        for _ in range(ROOMY_BLOCKS):
            watch.on_decided(ROOMY)
        forget(watch)
        assert len(watch) == 0
        watch.on_resent([Waiting(FIRST, Kind.PAYMENT)], 4 * T_MS)
        assert accused(watch, 100 * T_MS) == []


def run(watch: Throughput, start_ms: int, windows: int, ppm: int, *, waits: bool = True) -> int:
    """So many windows with a block of `ppm` in the middle of each; the time after the last."""
    for index in range(windows):
        begin_ms = start_ms + index * WINDOW_MS
        watch.look(begin_ms, full_block_waits=waits)
        watch.on_decided(BlockFill(ppm, EVERY, Counter()))
        watch.look(begin_ms + WINDOW_MS // 2, full_block_waits=waits)
    end_ms = start_ms + windows * WINDOW_MS
    watch.look(end_ms, full_block_waits=waits)
    return end_ms


def test_less_than_half_of_the_best_is_slow_for_one_window() -> None:
    """Half is enough, less is not; the suspicion lasts as long as the next window."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 3, 1_000, waits=False)
    at_ms = run(watch, at_ms, 2, 500)
    assert not watch.is_slow(at_ms)
    at_ms = run(watch, at_ms, 1, 499)
    assert watch.is_slow(at_ms)
    assert watch.is_slow(at_ms + WINDOW_MS - 1)
    assert not watch.is_slow(at_ms + WINDOW_MS)


def test_nobody_is_slow_while_little_waits() -> None:
    """A full block must wait through the whole window, from its first moment to its last."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 3, 1_000)
    watch.look(at_ms, full_block_waits=True)
    watch.look(at_ms + WINDOW_MS - 1, full_block_waits=False)
    at_ms += WINDOW_MS
    watch.look(at_ms, full_block_waits=True)
    assert not watch.is_slow(at_ms)
    at_ms = run(watch, at_ms, 1, 0)
    assert watch.is_slow(at_ms)


def test_low_throughput_is_a_cause_once_in_ten_minutes() -> None:
    """The second suspicion comes with the first window that ends ten minutes later."""
    watch = Throughput(0)
    at_ms = first_ms = run(watch, run(watch, 0, 2, 1_000), 1, 0)
    assert watch.is_slow(at_ms)
    watch.forget()
    assert not watch.is_slow(at_ms)
    while at_ms < first_ms + REST_MS - WINDOW_MS:
        at_ms = run(watch, at_ms, 1, 0)
        assert not watch.is_slow(at_ms)
    assert watch.is_slow(run(watch, at_ms, 1, 0))


def test_best_is_forgotten_after_an_hour() -> None:
    """What was possible once is no measure for ever."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 2, 1_000)
    at_ms = run(watch, at_ms, WINDOWS_MAX, 1, waits=False)
    assert not watch.is_slow(run(watch, at_ms, 2, 1))


def test_windows_that_are_not_its_own_judge_nobody() -> None:
    """A window in which the primary changed, and one that this machine slept through."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 2, 1_000)
    watch.look(at_ms, full_block_waits=True)
    watch.forget()
    watch.look(at_ms + WINDOW_MS, full_block_waits=True)
    assert not watch.is_slow(at_ms + WINDOW_MS)
    at_ms += 3 * WINDOW_MS
    watch.look(at_ms, full_block_waits=True)
    assert not watch.is_slow(at_ms)


def test_fill_is_that_of_the_fullest_limit() -> None:
    """By number, by signatures or by bytes, whichever is nearest to its limit."""
    world = World()
    tx = world.transfer("alice", "bob", 1_000)
    fill = BlockFill.of([tx], ())
    assert fill.decided == Counter({Kind.PAYMENT: 1})
    assert fill.roomy == EVERY
    assert fill.whole_ppm == max(
        PPM // BLOCK_TRANSACTIONS_MAX, PPM // 4_000, len(tx.raw) * PPM // 1_048_576
    )
    mint = world.mint("val0", 1_000)
    assert BlockFill.of([mint, tx], ()).decided == Counter({Kind.PAYMENT: 1, Kind.FREE: 1})
    assert BlockFill.of([], ()).roomy == EVERY


def minting(world: World, count: int, *, pays: bool) -> SignedTransaction:
    """So many mints in one transaction; of a block's filling it shows only how many there are."""
    coin, asset = world.coin("val0/treasury"), world.asset()
    public = key("val0/treasury").public
    operations = [Mint("val0", public, 0, number, 1) for number in range(count)]
    inputs, fee = ([coin], Fee(asset, 10)) if pays else ([], Fee(bytes(32), 0))
    body = world.body(inputs, [Output(asset, 1, lock_of("bob"))], fee=fee, operations=operations)
    return sign(body, ["val0/treasury"] if pays else [], ["val0/treasury"])


@pytest.mark.parametrize(
    ("kind", "share"),
    [(Kind.OPERATION, 1), (Kind.FREE, FREE_SHARE), (Kind.TROUBLED, TROUBLED_SHARE)],
)
def test_operations_have_room_while_any_transaction_would_fit(kind: Kind, share: int) -> None:
    """One more than leaves room for the largest transaction, and it is full for its kind; payments
    have room whatever operations there are."""
    world = World()
    world.advance([world.transfer("alice", "val0/treasury")])
    pays, troubled = kind is not Kind.FREE, {world.asset()} if kind is Kind.TROUBLED else set()
    most = operations_max(share) - TRANSACTION_OPERATIONS_MAX
    large, small = minting(world, OPERATIONS_MAX, pays=pays), minting(world, 1, pays=pays)
    txs = [large] * (most // OPERATIONS_MAX) + [small] * (most % OPERATIONS_MAX)
    fill = BlockFill.of(txs, troubled)
    assert kind in fill.roomy
    full = BlockFill.of([*txs, small], troubled)
    assert kind not in full.roomy
    assert Kind.PAYMENT in full.roomy
    assert full.decided == Counter({kind: len(txs) + 1})


def test_room_for_operations_is_that_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a block holds fewer of them, one has no room sooner: it is the same limit."""
    txs = [mint("alpha", 0, count=OPERATIONS_MAX)] * 2
    assert Kind.FREE not in BlockFill.of(txs, ()).roomy
    assert Kind.OPERATION in BlockFill.of(txs, ()).roomy
    monkeypatch.setattr(execution, "BLOCK_OPERATIONS_MAX", 2 * OPERATIONS_MAX)
    assert Kind.OPERATION not in BlockFill.of(txs, ()).roomy


@pytest.mark.parametrize("troubled", [set(), {ASSET}])
def test_who_takes_what_came_first_is_never_accused(troubled: set[bytes]) -> None:
    """Blocks full of operations, free ones beside them and payments between: whatever is passed
    over for want of room waits for many blocks that have room for others."""
    rng, pool, watch = Random("first come"), Mempool(), PassedOver()
    for number in range(300):
        if number < 100:
            for n in range(number * 50, number * 50 + rng.choice((5, 50))):
                count = rng.choice((1, 3, *(OPERATIONS_MAX,) * 6))
                pays_with = (90_000 + n,) if rng.random() < 0.8 else ()
                issuer = f"i{n}" if pays_with else f"free{number % 40}-{n % 9}"
                tx = mint(issuer, n * OPERATIONS_MAX, count=count, pays_with=pays_with)
                with suppress(Invalid):  # a quota of the pool
                    add(pool, tx if rng.random() < 0.9 else spend(n))
        at_ms = (number + 1) * T_MS
        late = pool.pending(RESENT_MAX)
        watch.on_resent([Waiting(tx.txid, kind_of(tx, troubled)) for tx in late], at_ms)
        block = pool.select(troubled=troubled)
        watch.on_decided(BlockFill.of(block, troubled))
        pool.drop_committed(number, block)
        assert [txid for txid in accused(watch, at_ms + T_MS) if pool.get(txid)] == []
    assert len(pool) == 0
