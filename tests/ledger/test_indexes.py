"""Pages, balances and lines of history, at their borders."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from ledger import schema
from ledger.chain import Chain
from ledger.indexes import BALANCES_MAX, PAGE_MAX, Batch, Coin, HistoryLine, add_indexes
from ledger.kv import MemoryKV
from ledger.schema import DamagedChain, Movement
from ledger.transaction import Output
from tests.ledger.chain_world import ASSETS, LOCKS, World

A, B = ASSETS
ALICE, BOB, CAROL, _ = LOCKS


def busy_chain() -> tuple[World, Chain]:
    """One address with 20 coins in two assets and a history over many blocks."""
    world, random = World(), Random(9)
    chain = Chain.create(
        MemoryKV(), world.genesis([(0, number % 2, 10 + number) for number in range(20)])
    )
    for _ in range(12):
        made = world.random_block(random, 3)
        chain.append(made.block, made.certificate, made.changes)
    return world, chain


def coin_pages(chain: Chain, lock: bytes, asset: bytes, limit: int) -> list[Coin]:
    found: list[Coin] = []
    start = None
    while True:
        page = chain.indexes.coins(lock, asset=asset, start=start, limit=limit)
        assert len(page.items) <= limit
        found += page.items
        if page.next_start is None:
            return found
        start = page.next_start


def history_pages(chain: Chain, lock: bytes, limit: int) -> list[HistoryLine]:
    found: list[HistoryLine] = []
    start = None
    while True:
        page = chain.indexes.history(lock, start=start, limit=limit)
        assert len(page.items) <= limit
        found += page.items
        if page.next_start is None:
            return found
        start = page.next_start


@pytest.mark.parametrize("limit", [1, 2, 3, 7, PAGE_MAX])
def test_pages_of_any_size_give_the_same_rows(limit: int) -> None:
    """Coins by asset and age, history newest first: pages neither lose nor repeat a row."""
    world, chain = busy_chain()
    for lock in LOCKS:
        expected = [
            Coin(outpoint, entry) for outpoint, entry in world.outputs.items() if entry.lock == lock
        ]
        expected.sort(key=lambda coin: (coin.entry.asset, coin.entry.leaf))
        assert coin_pages(chain, lock, b"", limit) == expected
        for asset in ASSETS:
            narrow = [coin for coin in expected if coin.entry.asset == asset]
            assert coin_pages(chain, lock, asset, limit) == narrow
        lines = history_pages(chain, lock, limit)
        assert lines == history_pages(chain, lock, PAGE_MAX)
        assert len(lines) == sum(1 for item in world.history if item[0] == lock)


@pytest.mark.parametrize("limit", [0, -1, PAGE_MAX + 1])
def test_page_limits(limit: int) -> None:
    """A page has 1 to PAGE_MAX rows; the API checks what a client asks for before it comes here."""
    _, chain = busy_chain()
    with pytest.raises(AssertionError):
        chain.indexes.coins(ALICE, limit=limit)
    with pytest.raises(AssertionError):
        chain.indexes.history(ALICE, limit=limit)


def test_a_cursor_that_nobody_gave_stays_inside_the_address() -> None:
    """Whatever bytes a client sends as a cursor, only rows of the address asked for come back."""
    world, chain = busy_chain()
    random = Random(3)
    for _ in range(50):
        start = random.randbytes(random.randrange(60))
        for coin in chain.indexes.coins(ALICE, start=start, limit=PAGE_MAX).items:
            assert coin.entry.lock == ALICE
        own = {item[3] for item in world.history if item[0] == ALICE}
        for line in chain.indexes.history(ALICE, start=start, limit=PAGE_MAX).items:
            assert line.txid in own


def test_lines_of_history() -> None:
    """A genesis output, a payment with change, and a coin that comes and goes in one block."""
    world = World()
    chain = Chain.create(MemoryKV(), world.genesis([(0, 0, 100)]))
    (genesis,) = world.outputs
    pay = world.transfer([genesis], [Output(A, 30, BOB), Output(A, 70, ALICE)], {})
    made = {(pay.txid, 0): pay.body.outputs[0]}
    forward = world.transfer([(pay.txid, 0)], [Output(A, 30, CAROL)], made)
    block = world.make([pay, forward], {})
    chain.append(block.block, block.certificate, block.changes)

    def history(lock: bytes) -> tuple[HistoryLine, ...]:
        return chain.indexes.history(lock, limit=10).items

    assert history(ALICE) == (
        HistoryLine(1, 0, pay.txid, (Movement(A, 70, 100),)),
        HistoryLine(0, None, genesis[0], (Movement(A, 100, 0),)),
    )
    assert history(BOB) == (
        HistoryLine(1, 1, forward.txid, (Movement(A, 0, 30),)),
        HistoryLine(1, 0, pay.txid, (Movement(A, 30, 0),)),
    )
    assert history(CAROL) == (HistoryLine(1, 1, forward.txid, (Movement(A, 30, 0),)),)
    assert chain.indexes.balances(BOB) == ()
    assert chain.indexes.coins(BOB, limit=10).items == ()
    assert chain.indexes.balance(CAROL, A).amount == 30
    assert chain.indexes.balance(CAROL, B).amount == 0
    assert chain.indexes.spender((pay.txid, 0)) == (1, 1)
    assert chain.indexes.spender(genesis) == (1, 0)
    assert chain.indexes.place(forward.txid) == (1, 1)


def test_balance_that_comes_to_nought_leaves_no_record() -> None:
    """Spending the last coin of an asset deletes the balance instead of storing a zero."""
    world, kv = World(), MemoryKV()
    chain = Chain.create(kv, world.genesis([(0, 0, 5), (0, 1, 6)]))
    outpoint = next(point for point, entry in world.outputs.items() if entry.asset == A)
    made = world.make([world.transfer([outpoint], [Output(A, 5, BOB)], {})], {})
    chain.append(made.block, made.certificate, made.changes)
    assert kv.get(schema.balance_key(ALICE, A)) is None
    assert [item.asset for item in chain.indexes.balances(ALICE)] == [B]


def test_balance_that_would_turn_negative_is_damage() -> None:
    """An index that knows less than is spent is found before anything is written."""
    world, kv = World(), MemoryKV()
    chain = Chain.create(kv, world.genesis([(0, 0, 5)]))
    (outpoint,) = world.outputs
    kv.write({schema.balance_key(ALICE, A): schema.balance_value(4, 1)}, ())
    made = world.make([world.transfer([outpoint], [Output(A, 5, BOB)], {})], {})
    rows = list(kv.scan(b"", limit=1000))
    with pytest.raises(DamagedChain, match="the balance of lock"):
        chain.append(made.block, made.certificate, made.changes)
    assert list(kv.scan(b"", limit=1000)) == rows


def test_balances_above_64_bits_are_kept() -> None:
    """Sums of many outputs do not wrap: balances are stored in 128 bits."""
    world = World()
    changes = world.genesis([(0, 0, 2**62 - 1)] * 5)
    batch = Batch({}, [])
    add_indexes(batch, lambda key: None, changes, ())
    stored = batch.puts[schema.balance_key(ALICE, A)]
    assert schema.read_balance(stored) == (5 * (2**62 - 1), 5)
    doubled = Batch({}, [])
    add_indexes(doubled, batch.puts.get, dataclasses.replace(changes, spent={}), ())
    assert schema.read_balance(doubled.puts[schema.balance_key(ALICE, A)])[1] == 10


def test_balances_have_a_limit() -> None:
    """An address that holds more assets than the limit shows the first ones."""
    kv = MemoryKV()
    chain = Chain.create(kv, World().genesis([(1, 0, 1)]))
    assets = [number.to_bytes(32, "big") for number in range(BALANCES_MAX + 1)]
    kv.write({schema.balance_key(ALICE, asset): schema.balance_value(1, 1) for asset in assets}, ())
    assert [item.asset for item in chain.indexes.balances(ALICE)] == assets[:BALANCES_MAX]
