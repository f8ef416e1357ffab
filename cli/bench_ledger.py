"""A chain of one on LevelDB: all that a node does with a block for itself, and what that costs.

Blocks become final because nobody else is asked, and certificates carry signatures of zeros. The
genesis is that of a network, so rules, fees and objects are those of nodes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.bench_transactions import Coin, Owners, amount_needed, fan_out, fund
from cli.errors import CliError, ExitCode
from cli.wallet.build import Terms
from ledger import schema, transaction
from ledger.block import (
    BLOCK_BYTES_MAX,
    COMMIT,
    Block,
    VotePayload,
    make_certificate,
)
from ledger.chain import Chain
from ledger.crypto import SIGNATURE_BYTES, ZERO_HASH, SigningKey, tagged_hash
from ledger.execution import Execution
from ledger.genesis import Genesis, chain_id
from ledger.genesis_state import genesis_state
from ledger.indexes import PAGE_MAX
from ledger.leveldb import LevelDB
from ledger.locks import Key, lock_hash
from ledger.transaction import SignedTransaction
from ledger.view import Changes, Outpoint

LIFETIME_MS = 3_600_000
SEED = bytes(32)
"""Of the accounts of the measurement's own chains."""
SCHEDULE_FILE = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds on a core, nanoseconds in the queue for one, times it got one."""
PARTS = ("decode", "rules", "signature", "state", "roots", "append")
"""Of the work on a block, in order; `rules` are those without state, `state` those with it."""
FILL_OUTPUTS = 50_000
"""Made at once while a chain is filled: what is kept in memory, and lost when it is stopped."""

SETTLE_S = 120.0
SETTLED_S = 0.5
SETTLED_SHARE = 0.02
"""Of a core, for so long: other threads have nothing to do."""
DRAWS_MAX = 20
"""For each coin that is wanted: among many coins nearly every draw finds one."""
NOWHERE: Outpoint = (ZERO_HASH, 0)

_place = tagged_hash("bench-place")


@dataclass(frozen=True, slots=True)
class Clocks:
    """In seconds: wall, all threads at work, this one at work, this one queued for a core."""

    wall_s: float
    process_s: float
    thread_s: float
    queued_s: float

    @classmethod
    def read(cls) -> Clocks:
        queued_s = 0.0
        if SCHEDULE_FILE.is_file():
            queued_s = int(SCHEDULE_FILE.read_text("ascii").split()[1]) / 1e9
        return cls(time.perf_counter(), time.process_time(), time.thread_time(), queued_s)

    def cost_since(self, before: Clocks) -> float:
        """What all threads worked, and what this one neither worked nor queued for a core."""
        return self.own_since(before) + self.others_since(before)

    def own_since(self, before: Clocks) -> float:
        """What this thread worked, and what it neither worked nor queued for a core."""
        worked = self.thread_s - before.thread_s
        idle = self.wall_s - before.wall_s - worked - (self.queued_s - before.queued_s)
        return worked + max(0.0, idle)

    def others_since(self, before: Clocks) -> float:
        """What all other threads worked."""
        return self.process_s - before.process_s - (self.thread_s - before.thread_s)


@dataclass(slots=True)
class PartClock:
    """Seconds of each part so far. Only LevelDB has threads beside this one, which merge what was
    appended: whenever they work, it is a cost of that part."""

    spent_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _last: Clocks = field(default_factory=lambda: Clocks.read())

    def lap(self, part: str) -> None:
        """This part ends now; it began where the one before ended."""
        now = Clocks.read()
        self.spent_s[part] += now.own_since(self._last)
        self.spent_s["append"] += now.others_since(self._last)
        self._last = now


class OwnChain:
    """One chain, and accounts of its own that hold what it is filled with."""

    def __init__(self, kv: LevelDB, genesis: Genesis, faucet: SigningKey, accounts: int) -> None:
        """On an empty store a chain is begun; else the one there goes on. Raises CliError for one
        of another genesis, and StorageError."""
        is_new = next(kv.scan(b"", limit=1), None) is None
        self.chain = Chain.create(kv, genesis_state(genesis)) if is_new else Chain.open(kv)
        if self.chain.chain_id != chain_id(genesis):
            raise CliError(
                "wrong_genesis",
                f"the chain there, {self.chain.chain_id.hex()[:16]}…, has another genesis",
                hint="choose another directory",
                exit_code=ExitCode.CHECK_FAILED,
            )
        self._fees = genesis.parameters.fees
        self._faucet = faucet
        self._owners = Owners(SEED, accounts)
        self._proposer = genesis.validators.members[0].key
        self._signatures = {
            index: bytes(SIGNATURE_BYTES) for index in range(genesis.validators.quorum)
        }

    @property
    def terms(self) -> Terms:
        expires_at_ms = self.chain.head.header.time_ms + LIFETIME_MS
        return Terms(self.chain.chain_id, self._fees, expires_at_ms)

    @property
    def owners(self) -> Owners:
        return self._owners

    def run_block(
        self, raws: Sequence[bytes], lap: Callable[[str], object] = lambda part: None
    ) -> None:
        """All that a node does with a block of these transactions for itself."""
        txs = [transaction.decode(raw) for raw in raws]
        lap("decode")
        for tx in txs:
            transaction.check_stateless(tx, self.chain.chain_id, self._fees)
        lap("rules")
        for tx in txs:
            transaction.check_signatures(tx)
        lap("signature")
        time_ms = self.chain.head.header.time_ms + 1
        execution = Execution(self.chain, time_ms=time_ms, proposer=self._proposer)
        for tx in txs:
            execution.add(tx)
        lap("state")
        changes = execution.finish()
        lap("roots")
        self._append(raws, txs, changes)
        lap("append")

    def prepare(self, count: int) -> list[Coin]:
        """Fund accounts: so many new coins, each enough for a transfer."""
        terms = self.terms
        needed = amount_needed(terms, count)
        raw, root = fund(terms, self._faucet, self._purse(), self._owners, needed)
        self.run_block([raw])
        spread = fan_out(terms, self._owners, root, count)
        for level in spread.levels:
            for raws in _blocks_of(level):
                self.run_block(raws)
        return spread.coins

    def fill(self, outputs: int, on_made: Callable[[int], object]) -> None:
        """Until the accounts hold so many coins, those included that they hold already."""
        while (made := self.held()) < outputs:
            on_made(made)
            self.prepare(min(FILL_OUTPUTS, outputs - made))
        on_made(made)
        _settle()

    def held(self) -> int:
        """How many coins the accounts hold."""
        indexes = self.chain.indexes
        balances = [item for lock in self._owners.locks for item in indexes.balances(lock)]
        return sum([item.coins for item in balances])

    def drawn(self, count: int) -> list[Coin]:
        """So many of the coins that `fill` made, evenly among all: of any age, anywhere in the
        store. Raises CliError where it does not hold many more."""
        owner_of = {lock: index for index, lock in enumerate(self._owners.locks)}
        least = amount_needed(self.terms, 1)
        found: dict[Outpoint, Coin] = {}
        for number in range(DRAWS_MAX * count):
            outpoint = self._drawn(number)
            entry = self.chain.output(outpoint)
            if entry is not None and entry.lock in owner_of and entry.amount >= least:
                owner = owner_of[entry.lock]
                found[outpoint] = Coin(*outpoint, entry.asset, entry.amount, owner)
                if len(found) == count:
                    return list(found.values())
        raise CliError(
            "nothing_measured",
            f"of {self.held():,} coins fewer than {count:,} could be drawn",
            hint="fill a chain further, or another one: --outputs 1000000 --directory NEW",
            exit_code=ExitCode.CHECK_FAILED,
        )

    def _drawn(self, number: int) -> Outpoint:
        """An output, by the order in which outputs were made."""
        place = int.from_bytes(_place(number.to_bytes(8, "big"))[:8], "big")
        start = schema.output_key(place % self.chain.head.commitments.outputs.count)
        found = next(self.chain.scan(schema.OUTPUT, start=start), None)
        return NOWHERE if found is None else schema.read_output(found[1])[0]

    def _purse(self) -> Coin:
        """The faucet's largest coin."""
        page = self.chain.indexes.coins(lock_hash(Key(self._faucet.public)), limit=PAGE_MAX)
        coin = max(page.items, key=lambda item: item.entry.amount)
        return Coin(*coin.outpoint, coin.entry.asset, coin.entry.amount, 0)

    def _append(
        self, raws: Sequence[bytes], txs: Sequence[SignedTransaction], changes: Changes
    ) -> None:
        head = changes.head
        payload = VotePayload(0, COMMIT, 0, head.header.height, head.hash)
        certificate = make_certificate(payload, self._signatures)
        self.chain.append(Block(head.header, tuple(raws)), certificate, changes, txs)


def _settle() -> None:
    """Until LevelDB has merged what was written: a ledger that grew over months is not behind."""
    deadline_s = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline_s:
        before = Clocks.read()
        time.sleep(SETTLED_S)
        if Clocks.read().others_since(before) < SETTLED_SHARE * SETTLED_S:
            return


def _blocks_of(raws: Sequence[bytes]) -> Iterator[list[bytes]]:
    per_block = max(1, BLOCK_BYTES_MAX // max(map(len, raws)))
    for start in range(0, len(raws), per_block):
        yield list(raws[start : start + per_block])
