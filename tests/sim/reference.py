"""A naive ledger: what a final block must mean, in dictionaries, without the node's rules.

It knows outputs by (txid, index), counts supply per asset and refuses what contradicts either.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ledger import transaction
from ledger.block import Block, Header
from ledger.locks import Key as KeyLock
from ledger.locks import lock_hash
from ledger.merkle import merkle_root
from ledger.operations import Burn, Mint, Operation
from ledger.system import system_txid
from ledger.transaction import SignedTransaction, asset_id
from tests.sim.reference_economy import EconomyBook
from tests.sim.reference_epochs import EpochBook
from tests.sim.world import SimWorld

Coin = tuple[bytes, int, bytes]
"""Asset, amount, lock."""


def reference_quorum(n: int) -> int:
    """The least number of which any two share a member that is not among f = (n - 1) // 3."""
    f = (n - 1) // 3
    return next(size for size in range(n + 1) if 2 * size - n > f)


class NotValid(AssertionError):
    """A final block does what no ledger allows."""


@dataclass
class Reference:
    """The state after the last block that was applied."""

    world: SimWorld
    coins: dict[tuple[bytes, int], Coin] = field(default_factory=dict)
    supply: Counter[bytes] = field(default_factory=Counter)
    height_by_txid: dict[bytes, int] = field(default_factory=dict)
    lanes: dict[tuple[str, int], int] = field(default_factory=dict)
    height: int = 0

    def __post_init__(self) -> None:
        self.time_ms = self.world.genesis.time_ms
        self.epochs = EpochBook(self.world)
        self.economy = EconomyBook(self.world)
        for outpoint, entry in self.world.changes.created.items():
            self.coins[outpoint] = (entry.asset, entry.amount, entry.lock)
            self.supply[entry.asset] += entry.amount

    def apply(self, block: Block) -> list[SignedTransaction]:
        """Move on by one block; raises NotValid."""
        self.height += 1
        transactions = [transaction.decode(raw) for raw in block.transactions]
        self._check_header(block.header, [tx.wtxid for tx in transactions])
        paid = dict(enumerate(self.epochs.shares()))
        for tx in transactions:
            self._apply(tx, block.header.time_ms)
        for action, coin in paid.items():
            self.coins[system_txid(self.height, action), 0] = coin
        ends = self.epochs.end_block(block.header, self.world.genesis.parameters)
        if block.header.ends_epoch != ends:
            raise NotValid(f"height {self.height} ends an epoch: {block.header.ends_epoch}")
        if block.header.next_validators_hash != self.epochs.sets[-1].hash:
            raise NotValid(f"height {self.height} names other validators for the next")
        self.time_ms = block.header.time_ms
        total = self.epochs.held() + self.economy.held()
        for asset, amount, _ in self.coins.values():
            total[asset] += amount
        if +total != +self.supply:
            raise NotValid(f"supply {self.supply}, counted {total}")
        return transactions

    def _check_header(self, header: Header, wtxids: list[bytes]) -> None:
        """All but the state's root, which is compared with what is stored, and the parent."""
        if header.height != self.height:
            raise NotValid(f"height {header.height} after {self.height - 1}")
        if header.proposer not in self.epochs.keys:
            raise NotValid(f"height {self.height} is by {header.proposer.hex()}, no member")
        if header.chain_id != self.world.chain_id:
            raise NotValid(f"height {self.height} is of chain {header.chain_id.hex()}")
        if header.epoch != self.epochs.number:
            raise NotValid(f"height {self.height} is of epoch {header.epoch}")
        if header.validators_hash != self.epochs.sets[-1].hash:
            raise NotValid(f"height {self.height} names other validators")
        if header.tx_root != merkle_root(wtxids):
            raise NotValid(f"height {self.height} holds another list than its header says")
        if header.time_ms <= self.time_ms:
            raise NotValid(f"height {self.height} is not later than the one before")

    def _apply(self, tx: SignedTransaction, time_ms: int) -> None:
        body = tx.body
        name = tx.txid.hex()[:8]
        if tx.txid in self.height_by_txid:
            raise NotValid(f"{name} is final at {self.height_by_txid[tx.txid]} already")
        if body.chain_id != self.world.chain_id or body.expires_at_ms < time_ms:
            raise NotValid(f"{name} is of another chain or expired")
        signers = self._signers(tx)
        left: Counter[bytes] = Counter()
        for item in body.inputs:
            coin = self.coins.pop(item.outpoint, None)
            if coin is None or coin[:2] != (item.asset, item.amount):
                raise NotValid(f"{name} spends {item.outpoint}, which is {coin}")
            if coin[2] not in {lock_hash(KeyLock(key)) for key in signers}:
                raise NotValid(f"{name} spends a coin without its owner's signature")
            left[item.asset] += item.amount
        for operation in body.operations:
            fault = self.economy.operate(operation, signers, left, self.height)
            if fault:
                raise NotValid(f"{name}: {fault}")
            self._operate(operation, left, name)
        left[body.fee.asset] -= body.fee.amount
        self.epochs.collect(Counter({body.fee.asset: body.fee.amount}))
        for index, output in enumerate(body.outputs):
            left[output.asset] -= output.amount
            self.coins[tx.txid, index] = (output.asset, output.amount, output.lock)
        if any(left.values()):
            raise NotValid(f"{name} does not balance: {left}")
        self.height_by_txid[tx.txid] = self.height

    def _operate(self, operation: Operation, left: Counter[bytes], name: str) -> None:
        if not isinstance(operation, Mint | Burn):
            self.epochs.operate(operation, self.height)
            return
        if isinstance(operation, Burn):
            left[operation.asset] -= operation.amount
            self.supply[operation.asset] -= operation.amount
            return
        if operation.issuer in self.epochs.barred:
            raise NotValid(f"{name} mints for {operation.issuer}, who lied")
        lane = (operation.issuer, operation.lane)
        if operation.number != self.lanes.get(lane, 0):
            raise NotValid(f"{name} has number {operation.number} in lane {lane}")
        self.lanes[lane] = operation.number + 1
        asset = asset_id(self.world.chain_id, operation.issuer)
        left[asset] += operation.amount
        self.supply[asset] += operation.amount

    def _signers(self, tx: SignedTransaction) -> set[bytes]:
        message = transaction.sighash(tx.body)
        for item in tx.witness.signatures:
            if not self.world.is_valid(item.key, message, item.signature):
                raise NotValid(f"{tx.txid.hex()[:8]} bears a wrong signature")
        return {item.key for item in tx.witness.signatures}
