"""The clients of a chaos run: they pay each other, read, and write down what they are told.

Each client has a key of its own. Coins wander: a payment spends one coin and gives all of it, less
the fee, to another client, so their number stays and their sum falls by fees alone. Every eighth
payment is tried twice, to two clients through two nodes at once: at most one may ever be final.
A payment without a final answer is handed over again, byte for byte, through other nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cli.async_client import AsyncClient
from cli.bench_transactions import Coin, Owners, fee_at_most, spend
from cli.client import ApiProblem, ClientError
from cli.devnet.history import Balance, Found, Handed, History, Look, Pay, Tip
from cli.wallet.build import Terms
from ledger.address import encode_address
from ledger.block import header_hash
from ledger.crypto import SigningKey
from ledger.locks import Key, lock_hash
from ledger.reasons import Invalid, Reason
from ledger.transaction import Output
from node.api.convert import read_header
from node.api.schemas import TransactionStatus
from node.supervise import Services

CLIENTS = 6
COINS = 48
"""Together: one transaction makes them all."""
COIN = 1_000_000
"""In µ: worth some thousand fees."""
PAYMENTS_A_SECOND = 40.0
"""Of all clients together. Enough to catch what is rare, and little for two cores."""
WORKERS = 12
"""Payments under way at once: with some of them stuck the others go on."""
RIVAL_EVERY = 8
REQUEST_S = 3.0
LOST_S = 0.1
"""After a question without an answer: a node that is down refuses at once."""
WAIT_S = 2.0
"""A node holds its answer back for so long."""
TIP_EVERY_S = 0.25
BALANCE_EVERY_S = 0.5
LIFETIME_MS = 24 * 3_600_000
_ROOM = frozenset((Reason.MEMPOOL_FULL.value, Reason.SENDER_QUOTA.value, Reason.FREE_QUOTA.value))


@dataclass(frozen=True, slots=True)
class Wish:
    """One signed payment of a whole coin."""

    raw: bytes
    txid: str
    coin: Coin
    to: int
    amount: int

    @property
    def becomes(self) -> Coin:
        return Coin(bytes.fromhex(self.txid), 0, self.coin.asset, self.amount, self.to)

    @property
    def spends(self) -> str:
        return f"{self.coin.txid.hex()}:{self.coin.index}"


def fund(terms: Terms, faucet: SigningKey, coin: Coin, owners: Owners) -> tuple[bytes, list[Coin]]:
    """One transaction that gives each client its coins, the rest back to the faucet."""
    given = [Output(coin.asset, COIN, owners.locks[i % len(owners)]) for i in range(COINS)]
    rest = coin.amount - COINS * COIN - fee_at_most(terms.fees, COINS + 1)
    raw, txid = spend(
        terms, faucet, coin, [*given, Output(coin.asset, rest, lock_hash(Key(faucet.public)))]
    )
    return raw, [Coin(txid, i, coin.asset, COIN, i % len(owners)) for i in range(COINS)]


@dataclass(slots=True)
class Figures:
    """For whoever watches."""

    final: int = 0
    refused: int = 0
    lost: int = 0
    rivals: int = 0
    height: int = 0


@dataclass
class Clients:
    """All clients over open connections. `run` until cancelled; then `unsettled` is what has no
    final answer yet."""

    terms: Terms
    owners: Owners
    nodes: Mapping[str, AsyncClient]
    history: History
    started_s: float
    """Of the monotonic clock: what the history counts from."""
    hrp: str
    figures: Figures = field(default_factory=Figures)
    unsettled: dict[str, list[Wish]] = field(default_factory=dict)
    """By the outpoint that they spend."""
    _dice: random.Random = field(default_factory=random.Random)
    _free: asyncio.Queue[Coin] = field(default_factory=asyncio.Queue)

    def now_ms(self) -> int:
        return int((time.monotonic() - self.started_s) * 1_000)

    async def run(self, coins: Sequence[Coin]) -> None:
        for coin in coins:
            self._free.put_nowait(coin)
        async with asyncio.TaskGroup() as group:
            services = Services(group)
            for number in range(WORKERS):
                services.spawn(f"pay-{number}", self._pay_forever())
            for name in self.nodes:
                services.spawn(f"tips-{name}", self._read_tips(name))
            services.spawn("balances", self._read_balances())

    # Payments.

    async def _pay_forever(self) -> None:
        while True:
            began = time.monotonic()
            coin = await self._free.get()
            wishes = [self.wish(coin)]
            names = self._dice.sample(list(self.nodes), 2)
            if self._dice.randrange(RIVAL_EVERY) == 0:
                wishes.append(self.wish(coin, 2))
                self.figures.rivals += 1
            self.unsettled[wishes[0].spends] = wishes
            await asyncio.gather(*map(self.hand_over, wishes, names[: len(wishes)]))
            won = await self._await_final(wishes)
            del self.unsettled[won.spends]
            self._free.put_nowait(won.becomes)
            pause = WORKERS / PAYMENTS_A_SECOND - (time.monotonic() - began)
            await asyncio.sleep(max(pause, 0))

    def any_free(self) -> Coin | None:
        """A coin that no payment is under way with, for good."""
        return None if self._free.empty() else self._free.get_nowait()

    def wish(self, coin: Coin, step: int = 1) -> Wish:
        """Pay it to the client so many steps on."""
        to = (coin.owner + step) % len(self.owners)
        amount = coin.amount - fee_at_most(self.terms.fees, 1)
        outputs = [Output(coin.asset, amount, self.owners.locks[to])]
        raw, txid = spend(self.terms, self.owners.keys[coin.owner], coin, outputs)
        return Wish(raw, txid.hex(), coin, to, amount)

    async def _await_final(self, wishes: Sequence[Wish]) -> Wish:
        while True:
            for wish in wishes:
                name = self._any_node()
                wait_s = WAIT_S / len(wishes)
                if (await self.look(wish.txid, name, wait_s=wait_s)).outcome == "final":
                    self.figures.final += 1
                    return wish
            await asyncio.gather(*(self.hand_over(wish, self._any_node()) for wish in wishes))

    async def hand_over(self, wish: Wish, name: str) -> Pay:
        """Submit and write down what came of it."""
        start_ms, code = self.now_ms(), ""
        outcome: Handed
        try:
            (result,) = await self.nodes[name].submit_batch([wish.raw])
            outcome, code = result.status, result.code or ""
        except ApiProblem as problem:
            outcome, code = "refused", problem.code
        except ClientError:
            outcome = "lost"
        self.figures.refused += outcome == "refused" and code not in _ROOM
        self.figures.lost += outcome == "lost"
        pay = Pay(
            node=name,
            start_ms=start_ms,
            end_ms=self.now_ms(),
            client=wish.coin.owner,
            txid=wish.txid,
            spends=wish.spends,
            outcome=outcome,
            code=code,
        )
        self.history.add(pay)
        if outcome == "lost":
            await asyncio.sleep(LOST_S)
        return pay

    async def look(self, txid: str, name: str, *, wait_s: float = 0.0) -> Look:
        """Ask where a transaction stands and write the answer down."""
        start_ms, height, block, code = self.now_ms(), None, "", ""
        outcome: Found = "lost"
        try:
            found = await self.nodes[name].transaction(txid, wait_s=wait_s)
            outcome, height, block = found.status, found.height, _block_of(found)
            code = found.code or ""
        except ApiProblem as problem:
            code = problem.code
        except ClientError:
            await asyncio.sleep(LOST_S)
        look = Look(
            node=name,
            start_ms=start_ms,
            end_ms=self.now_ms(),
            txid=txid,
            outcome=outcome,
            height=height,
            block=block,
            code=code,
        )
        self.history.add(look)
        return look

    def _any_node(self) -> str:
        return self._dice.choice(list(self.nodes))

    # Reads.

    async def _read_tips(self, name: str) -> None:
        while True:
            await self.tip(name)
            await asyncio.sleep(TIP_EVERY_S)

    async def tip(self, name: str) -> Tip | None:
        """The last block of a node; None where no answer came."""
        start_ms = self.now_ms()
        try:
            sync = (await self.nodes[name].status()).sync
        except ClientError:
            return None
        tip = Tip(
            node=name,
            start_ms=start_ms,
            end_ms=self.now_ms(),
            height=sync.height,
            block=sync.hash,
            state_root=sync.state_root,
        )
        self.history.add(tip)
        self.figures.height = max(self.figures.height, tip.height)
        return tip

    async def _read_balances(self) -> None:
        while True:
            await asyncio.sleep(BALANCE_EVERY_S)
            with contextlib.suppress(ClientError):
                await self._read_balance(self._any_node(), self._dice.randrange(len(self.owners)))

    async def _read_balance(self, name: str, client: int) -> None:
        start_ms = self.now_ms()
        address = encode_address(self.owners.locks[client], self.hrp)
        found = await self.nodes[name].address(address)
        self.history.add(
            Balance(
                node=name,
                start_ms=start_ms,
                end_ms=self.now_ms(),
                client=client,
                height=found.height,
                amount=sum(int(item.amount) for item in found.balances),
            )
        )


def _block_of(found: TransactionStatus) -> str:
    """The hash of the header that the answer's proof leads to; empty without a proof."""
    if found.proof is None:
        return ""
    try:
        return header_hash(read_header(found.proof.header)).hex()
    except Invalid:
        return ""
