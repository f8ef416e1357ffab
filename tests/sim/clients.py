"""Clients: they pay, mint and burn, cheat at times, and ask again until an answer is final.

They know only what is final. A transaction goes to one node; while it is not final it goes to
another one every `RETRY_MS`. It is settled when it is final or when something final made it
impossible. Some transactions can never be final: those must be refused by the first node.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ledger.codec import AMOUNT_LIMIT
from ledger.locks import Key as KeyLock
from ledger.locks import lock_hash
from ledger.operations import Burn, Commit, Mint, Operation, PledgeDevices
from ledger.reasons import Reason
from ledger.transaction import NO_FEE, Fee, Input, Output, SignedTransaction, Transaction, asset_id
from tests.sim.checkers import Violation
from tests.sim.issuers import Issuers
from tests.sim.reference import Reference
from tests.sim.world import ACCOUNTS, SimWorld

RETRY_MS = 1_000
FEE = 2_000
LIFE_MS = 3_600_000
MINT = 1_000
DEPOSITS = 0.1
"""How often somebody puts up a part of a coin."""


@dataclass(slots=True)
class Asked:
    """A transaction that somebody wants to be final."""

    tx: SignedTransaction
    since_ms: int
    next_ms: int
    refused: str = ""
    is_forged: bool = False
    """No ledger may take it."""


class Clients:
    """All accounts; one stream of chance."""

    def __init__(self, world: SimWorld, reference: Reference, seed: int) -> None:
        self._world = world
        self._reference = reference
        self._rng = Random(f"clients/{seed}")
        self._owner_by_lock = {
            lock_hash(KeyLock(world.key(name).public)): name for name in ACCOUNTS
        }
        self._issuers = Issuers(world, reference, seed)
        self._busy: set[tuple[bytes, int]] = set()
        self.asked: dict[bytes, Asked] = {}
        self.settled = 0

    def make(self, now_ms: int, *, cheat: bool) -> list[SignedTransaction]:
        """One new transaction, or two that exclude each other; none while all coins are busy."""
        draw = self._rng.random()
        made = [self._mint()] if draw < 0.1 else self._spend(cheat=cheat, burn=draw > 0.9)
        for tx in made:
            self.asked[tx.txid] = Asked(tx, now_ms, now_ms)
        if cheat:
            for tx in self._forge():
                self.asked[tx.txid] = Asked(tx, now_ms, now_ms, is_forged=True)
        return made

    def manage(self, now_ms: int) -> None:
        """What issuers, attestors and those who put up bonds want; nothing at times."""
        rng = self._issuers.rng
        for operation, signers in self._issuers.wish():
            body = self._body([], [], NO_FEE, [operation], rng)
            tx = self._world.sign(body, [], signers)
            self.asked[tx.txid] = Asked(tx, now_ms, now_ms)
        free = self._free_coins() if rng.random() < DEPOSITS else []
        if free:
            outpoint = rng.choice(free)
            self._busy.add(outpoint)
            asset, amount, lock = coin = self._reference.coins[outpoint]
            operation = self._issuers.deposit(coin, FEE)
            rest = amount - FEE - operation.amount
            spent, fee = [Input(*outpoint, asset, amount)], Fee(asset, FEE)
            body = self._body(spent, [Output(asset, rest, lock)], fee, [operation], rng)
            tx = self._world.sign(body, [self._owner_by_lock[lock]], [])
            self.asked[tx.txid] = Asked(tx, now_ms, now_ms)

    def due(self, now_ms: int) -> list[Asked]:
        """What must be sent now, for the first time or again."""
        found = [item for item in self.asked.values() if item.next_ms <= now_ms]
        for item in found:
            item.next_ms = now_ms + RETRY_MS
        return found

    def refused(self, item: Asked, reason: str) -> None:
        """A node's answer. Only a mint can become impossible without anything final: where its
        issuer has no headroom or is accused of a lie, or where coins of an accused one, which count
        for nothing, are a part of its bond."""
        item.refused = reason
        if item.is_forged:
            if reason in (Reason.ALREADY_KNOWN.value, Reason.ALREADY_FINAL.value):
                raise Violation("admission", "clients", f"a forged transaction is {reason}")
            self.asked.pop(item.tx.txid, None)
        issuers = {op.issuer for op in item.tx.body.operations if isinstance(op, Mint)}
        barred = self._reference.epochs.barred
        is_barred = bool(issuers & barred) or self._is_revoked(item)
        is_stopped = reason == Reason.LICENCE_INACTIVE.value and is_barred
        is_short = reason == Reason.SHORT_BOND.value and bool(barred)
        if reason == Reason.ABOVE_HEADROOM.value or is_stopped or is_short:
            self.asked.pop(item.tx.txid, None)

    def _is_revoked(self, item: Asked) -> bool:
        """It is of an issuer that has no power left."""
        promising = [x for x in item.tx.body.operations if isinstance(x, Commit | PledgeDevices)]
        named = {x.terms.issuer if isinstance(x, Commit) else x.issuer for x in promising}
        return bool(named & self._reference.economy.revoked)

    def final(self, transactions: list[SignedTransaction]) -> None:
        """These are final: they and whatever they exclude are settled."""
        for tx in transactions:
            self.settled += self.asked.pop(tx.txid, None) is not None
        coins, lanes = self._reference.coins, self._reference.lanes
        for item in list(self.asked.values()):
            gone = any(spent.outpoint not in coins for spent in item.tx.body.inputs)
            used = any(
                isinstance(operation, Mint)
                and operation.number < lanes.get((operation.issuer, operation.lane), 0)
                for operation in item.tx.body.operations
            )
            past = any(map(self._reference.economy.is_past, item.tx.body.operations))
            if gone or used or past:
                del self.asked[item.tx.txid]

    def _spend(self, *, cheat: bool, burn: bool) -> list[SignedTransaction]:
        free = self._free_coins()
        if not free:
            return []
        outpoint = self._rng.choice(free)
        self._busy.add(outpoint)
        first = self._spend_coin(outpoint, burn=burn)
        return [first, self._spend_coin(outpoint, burn=False)] if cheat else [first]

    def _free_coins(self) -> list[tuple[bytes, int]]:
        """Coins that nothing asked for spends, large enough to be split."""
        coins = self._reference.coins
        self._busy &= coins.keys()
        return sorted(
            [
                outpoint
                for outpoint, (_, amount, lock) in coins.items()
                if amount > 10 * FEE and lock in self._owner_by_lock and outpoint not in self._busy
            ]
        )

    def _forge(self) -> list[SignedTransaction]:
        """One coin spent twice by one transaction; one that pays out 2^64 more than it has."""
        owned = [
            (outpoint, coin)
            for outpoint, coin in sorted(self._reference.coins.items())
            if coin[2] in self._owner_by_lock and coin[1] > FEE
        ]
        if not owned:
            return []
        outpoint, (asset, amount, lock) = self._rng.choice(owned)
        spent, fee = Input(*outpoint, asset, amount), Fee(asset, FEE)
        twice = self._body([spent, spent], [Output(asset, 2 * amount - FEE, lock)], fee, [])
        parts = [AMOUNT_LIMIT - 1] * 4 + [amount - FEE + 4]
        wrapped = self._body([spent], [Output(asset, part, lock) for part in parts], fee, [])
        owner = self._owner_by_lock[lock]
        return [self._world.sign(body, [owner], []) for body in (twice, wrapped)]

    def _spend_coin(self, outpoint: tuple[bytes, int], *, burn: bool) -> SignedTransaction:
        asset, amount, lock = self._reference.coins[outpoint]
        to = self._rng.choice(sorted(self._owner_by_lock))
        part = self._rng.randint(1, amount - FEE - 1)
        rest = amount - FEE - part
        outputs = [Output(asset, rest, lock)]
        operations: list[Operation] = []
        if burn:
            operations.append(Burn(asset, part))
        else:
            outputs.append(Output(asset, part, to))
        spent = Input(*outpoint, asset, amount)
        body = self._body([spent], outputs, Fee(asset, FEE), operations)
        return self._world.sign(body, [self._owner_by_lock[lock]], [])

    def _mint(self) -> SignedTransaction:
        licence = self._rng.choice([item.id for item in self._world.genesis.licences])
        signer = f"{licence}/treasury"
        number = self._reference.lanes.get((licence, 0), 0)
        asset = asset_id(self._world.chain_id, licence)
        operation = Mint(licence, self._world.key(signer).public, 0, number, MINT)
        to = self._rng.choice(sorted(self._owner_by_lock))
        body = self._body([], [Output(asset, MINT, to)], NO_FEE, [operation])
        return self._world.sign(body, [], [signer])

    def _body(
        self,
        inputs: list[Input],
        outputs: list[Output],
        fee: Fee,
        operations: list[Operation],
        rng: Random | None = None,
    ) -> Transaction:
        return Transaction(
            version=1,
            chain_id=self._world.chain_id,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            fee=fee,
            operations=tuple(operations),
            expires_at_ms=self._world.genesis.time_ms + LIFE_MS,
            memo=(rng or self._rng).randbytes(4),
        )
