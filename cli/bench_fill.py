"""A running devnet is filled with unspent outputs, through its API, and goes on where it stopped.

Its faucet is fanned out by transactions with 64 outputs, a part at a time, each final on every node
before the next begins: what fills the ledger is what any client could have sent, and all that nodes
keep of it is there. A file in the devnet's directory holds how far it came, and of each part the
coins that a load will spend, so that they are of every age.
"""

from __future__ import annotations

import secrets
from dataclasses import astuple
from pathlib import Path

import msgspec

from cli.bench_run import SEED_BYTES, Funds, Run
from cli.bench_transactions import FAN, Coin
from cli.client import Client
from cli.home import write_private
from cli.output import note
from cli.progress import Progress

FILE = "bench-growth.msgpack"
PART_COINS = 50_000
"""Made at once: what is kept in memory, and lost when it is stopped."""


class State(msgspec.Struct, kw_only=True):
    """The file."""

    chain_id: str
    seed: bytes
    """Of the accounts that hold the outputs."""
    few_tps: float
    """Throughput before anything was filled in."""
    outputs: int
    """Made so far."""
    coins: list[tuple[bytes, int, bytes, int, int]]
    """Of them, what a load will spend: the fields of `Coin`."""


class Fill:
    """One devnet, and how far it is filled."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._chain_id = run.target.params.chain_id
        self._file: Path = run.target.place.directory / FILE
        self.state = self._load()

    def begin(self, few_tps: float) -> State:
        """Nothing is filled in yet."""
        seed = secrets.token_bytes(SEED_BYTES)
        self.state = State(chain_id=self._chain_id, seed=seed, few_tps=few_tps, outputs=0, coins=[])
        self._save(self.state)
        return self.state

    def reach(self, state: State, outputs: int, needed: int) -> None:
        """Go on until so many are there, and of them so many to spend; raises CliError and what
        the clients raise."""
        with Progress("filling the ledger", outputs, "outputs") as progress:
            while state.outputs < outputs:
                part = min(PART_COINS, outputs - state.outputs)
                coins = self._make(state, part, progress)
                wanted = -(-needed * part // outputs)
                self._keep(state, coins[:: max(1, part // wanted)], part)
        missing = needed - len(state.coins)
        if missing > 0:
            note(f"the load spends {missing:,} more coins than were kept for it: these are new")
            self._keep(state, self._run.fund(missing, state.seed).coins, missing)

    def take(self, state: State, count: int) -> Funds:
        """What a load spends now, of every age; nobody gets these coins again."""
        step = max(1, len(state.coins) // count)
        taken = state.coins[::step]
        state.coins = []
        self._save(state)
        return Funds(self._run.terms, state.seed, [Coin(*item) for item in taken])

    def _make(self, state: State, part: int, progress: Progress) -> list[Coin]:
        def show(done: int) -> None:
            progress.reach(state.outputs + min(part, done * FAN))

        return self._run.fund(part, state.seed, show).coins

    def _keep(self, state: State, coins: list[Coin], made: int) -> None:
        state.coins += [astuple(coin) for coin in coins]
        state.outputs += made
        self._save(state)

    def _load(self) -> State | None:
        """None where there is no file, or it is of another chain or of another state of it."""
        if not self._file.exists():
            return None
        state = msgspec.msgpack.decode(self._file.read_bytes(), type=State)
        if state.chain_id != self._chain_id:
            return None
        with Client(self._run.target.urls[0]) as client:
            for txid, index, *_ in state.coins[-1:]:
                if client.outpoint(txid.hex(), index).status != "unspent":
                    return None
        return state

    def _save(self, state: State) -> None:
        write_private(self._file, msgspec.msgpack.encode(state), replace=True)
