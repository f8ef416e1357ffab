"""Fan-out and transfers of a load, held against the rules of the ledger."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.bench_transactions import (
    FAN,
    Coin,
    FanOut,
    Owners,
    SigningJob,
    amount_needed,
    fan_out,
    fund,
    sign_transfers,
)
from cli.wallet.build import Terms
from ledger import transaction
from ledger.transaction import SignedTransaction
from tests.ledger.world import World, key

SEED = b"a load"
ACCOUNTS = 7


def terms_of(world: World) -> Terms:
    return Terms(world.chain_id, world.fees, world.time_ms + 3_600_000)


def spread(world: World, count: int) -> tuple[bytes, FanOut]:
    """Alice is the faucet."""
    terms, owners = terms_of(world), Owners(SEED, ACCOUNTS)
    spent = world.coin("alice")
    coin = Coin(spent.txid, spent.index, spent.asset, spent.amount, 0)
    first, root = fund(terms, key("alice"), coin, owners, amount_needed(terms, count))
    return first, fan_out(terms, owners, root, count)


def checked(world: World, raws: list[bytes]) -> list[SignedTransaction]:
    txs = [transaction.decode(raw) for raw in raws]
    for tx in txs:
        transaction.check_stateless(tx, world.chain_id, world.fees)
        transaction.check_signatures(tx)
    return txs


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200])
def test_rules_take_every_transaction(count: int) -> None:
    """Executes the fan-out level by level on a real state, then one transfer for each coin."""
    world = World()
    first, plan = spread(world, count)
    world.advance(checked(world, [first]))
    for level in plan.levels:
        world.advance(checked(world, level))
    job = SigningJob(terms_of(world), SEED, ACCOUNTS, plan.coins)
    transfers = checked(world, sign_transfers(job))
    world.advance(transfers)
    assert len(transfers) == len(plan.coins) == count
    assert all((len(tx.body.inputs), len(tx.body.outputs)) == (1, 2) for tx in transfers)


@given(count=st.integers(1, 3 * FAN * FAN))
def test_need_grows_with_the_count_and_covers_each_transfer(count: int) -> None:
    """Pure arithmetic: what `count` coins need is above what they hold, by the fees alone."""
    terms = terms_of(World())
    one = amount_needed(terms, 1)
    needed = amount_needed(terms, count)
    assert needed >= count * one
    assert needed < amount_needed(terms, count + 1)
    assert needed - count * one <= count * 400 + 7_000


def test_coins_are_equal_and_spread_over_all_accounts() -> None:
    """1,000 coins over 7 accounts: one amount, and no account has two more than another."""
    _, plan = spread(World(), 1_000)
    owners = Counter(coin.owner for coin in plan.coins)
    assert len({coin.amount for coin in plan.coins}) == 1
    assert len(owners) == ACCOUNTS
    assert max(owners.values()) - min(owners.values()) <= 1
    assert [len(level) for level in plan.levels] == [1, 16]
