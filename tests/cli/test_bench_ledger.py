"""`marsa bench apply` and `verify`: a chain of one, its parts and its coins; no network."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cli import bench_apply, bench_ceiling, bench_commands, bench_ledger, bench_verify
from cli.bench_ledger import PARTS, Clocks, OwnChain, PartClock
from cli.bench_transactions import transfer
from cli.errors import CliError
from ledger.crypto import SigningKey
from ledger.leveldb import LevelDB
from tests.cli.bench_devnet import FAUCET, seed_of
from tests.cli.conftest import Marsa
from tests.ledger.world import World, make_genesis


def own_chain(kv: LevelDB, world: World) -> OwnChain:
    return OwnChain(kv, world.genesis, SigningKey(seed_of(FAUCET)), accounts=7)


def test_every_part_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the end of the part before; what other threads did belongs to `append`, whenever."""
    reads = iter([(0, 0, 0, 0), (10, 12, 7, 1), (20, 13, 8, 1), (30, 16, 9, 2)])
    monkeypatch.setattr(Clocks, "read", lambda: Clocks(*map(float, next(reads))))
    clock = PartClock()
    for part in ("decode", "append", "decode"):
        clock.lap(part)
    # 9 and 9 of this thread, 5 and 2 of others; 10 and 0 of others; waiting for a core is left out.
    assert clock.spent_s == {"decode": 9 + 9, "append": 5 + 10 + 0 + 2}


def test_a_chain_is_filled_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coins that are drawn are the accounts' and can be spent; opened again nothing is made twice;
    with another genesis it is refused."""
    monkeypatch.setattr(bench_ledger, "FILL_OUTPUTS", 150)
    world, told = World(), list[int]()
    kv = LevelDB.create(tmp_path / "chain")
    chain = own_chain(kv, world)
    chain.fill(400, told.append)
    assert told == [0, 150, 300, 400]
    coins = chain.drawn(100)
    assert len({(coin.txid, coin.index) for coin in coins}) == 100
    chain.run_block([transfer(chain.terms, chain.owners, coin) for coin in coins])
    assert chain.held() == 500
    with pytest.raises(CliError, match="fewer than 500") as caught:
        chain.drawn(500)
    assert caught.value.code == "nothing_measured"
    kv.close()

    kv = LevelDB.open(tmp_path / "chain")
    chain = own_chain(kv, world)
    height = chain.chain.height
    chain.fill(450, told.append)
    assert (told[-1], chain.chain.height) == (500, height)
    with pytest.raises(CliError) as caught:
        own_chain(kv, World(make_genesis(5)))
    assert caught.value.code == "wrong_genesis"
    kv.close()


def test_apply_says_what_each_part_costs(
    marsa: Marsa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a new chain, and on a filled one that stays."""
    monkeypatch.setattr(bench_apply, "TRANSACTIONS", 40)
    monkeypatch.setattr(bench_apply, "WARMUP", 20)
    monkeypatch.setattr(bench_apply, "APPLY_BLOCK", 20)
    monkeypatch.setattr(bench_apply, "ACCOUNTS", 10)
    found = marsa("bench", "apply", "--json").json
    assert (found["outputs"], found["transactions"]) == (60, 40)
    assert all(found[f"{part}_us"] > 0 for part in PARTS)
    assert found["sum_us"] == pytest.approx(sum(found[f"{part}_us"] for part in PARTS), abs=0.1)

    monkeypatch.setattr(bench_commands.apply.params[0].type, "min", 100)
    place = tmp_path / "kept"
    for outputs in (500, 560):
        found = marsa("bench", "apply", "--outputs", 500, "--directory", place, "--json").json
        assert found["outputs"] == outputs
    assert "620 unspent" in marsa("bench", "apply", "--outputs", 560, "--directory", place).out


def test_a_rate_is_of_whole_rounds() -> None:
    """At least one, however short the time."""
    rounds: list[int] = []
    found = bench_verify.rate(lambda: rounds.append(1), 10, 0.0)
    assert (len(rounds), found > 0) == (1, True)

    def slow() -> None:
        time.sleep(0.01)

    assert bench_verify.rate(slow, 10, 0.02) <= 1_000


def test_verify_has_three_rates(marsa: Marsa, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the node's own verifier, and by libsodium in a process of its own."""
    monkeypatch.setattr(bench_verify, "TRANSFERS", 40)
    monkeypatch.setattr(bench_ceiling, "cores", lambda: 1)
    monkeypatch.setattr(bench_verify, "helpers_here", lambda: 1)
    found = marsa("bench", "verify", "--seconds", 1, "--json").json
    assert (found["cores"], found["workers"]) == (1, 2)
    assert min(found["one_core_per_s"], found["all_cores_per_s"], found["ceiling_per_s"]) > 0
    assert found["ratio"] == pytest.approx(
        found["all_cores_per_s"] / found["ceiling_per_s"], abs=0.01
    )
