"""A market for the measurement of redemption: holders, issuers and a chain of one in LevelDB.

16 commitments of four issuers, each with three attestations; 256 purses, of which each pays for a
transaction a block. An order is 0.1 coins; windows end with 156 different periods, so that books
are as long as they come. All is signed beforehand; what is measured is what a node does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from bench.sweep import BLOCK_MS, Run
from cli.bench_ledger import Clocks
from ledger import transaction
from ledger.address import encode_address
from ledger.block import COMMIT, Block, VotePayload, make_certificate
from ledger.codec import encode_payload
from ledger.economy.redemption import WINDOW_PERIODS_MAX, Receipt, order_id, receipt_hash
from ledger.execution import Execution
from ledger.genesis import Allocation, Genesis
from ledger.genesis_state import genesis_state
from ledger.operations import Operation
from ledger.redemption_operations import (
    AcceptRedemption,
    CancelRedemption,
    PostReceipt,
    ReadyRedemption,
    Redeem,
)
from ledger.times import DAY_MS
from ledger.transaction import Fee, Input, Output, SignedTransaction
from tests.ledger.redemption_world import CERTIFICATE, ENDPOINT, METER
from tests.ledger.world import (
    COIN,
    GROUPS,
    PERIOD_MS,
    TIME_MS,
    World,
    attest,
    commitment,
    key,
    lock_of,
    make_genesis,
    sign,
)

ISSUERS = 4
COMMITMENTS = 4
"""Of each issuer."""
PAYERS = 256
PURSE = 200 * COIN
BOND_COINS = 2_000
FEE = 30_000
AMOUNT = COIN // 10
ALL_HOURS = 900_000 * WINDOW_PERIODS_MAX
"""Coins, in µ, for all that a commitment has until the last window ends."""
START_BY = 12
"""Periods from genesis: an issuer has ten to accept an order, and one to prepare."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is done next needs of it; `session` names its key."""

    id: bytes
    issuer: str
    session: str


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that a block took: decoding and rules without state, signatures, execution with all
    roots, and one synced batch with all indexes."""

    operations: int
    rules: float
    signatures: float
    execution: float
    append: float

    @property
    def total(self) -> float:
        return self.rules + self.signatures + self.execution + self.append


class Market(Run):
    """The chain, and builders of what both sides of an order do."""

    def __init__(self, directory: Path) -> None:
        genesis = market_genesis()
        super().__init__(directory, genesis, genesis_state(genesis))
        self._world = World(genesis)
        self._purses = [self._world.coin(f"payer{lane}", issuer(lane)) for lane in range(PAYERS)]
        self._asked = 0
        self._receipts: dict[bytes, int] = {}

    # What is done.

    def redeem(self, lane: int, **changes: Any) -> tuple[Order, SignedTransaction]:
        """An order of the issuer of this purse; the commitments of each take turns."""
        number, self._asked = self._asked, self._asked + 1
        session = f"session{number}"
        turn = number // PAYERS % COMMITMENTS
        end = START_BY + 1 + number // ISSUERS % (WINDOW_PERIODS_MAX - START_BY)
        asked = Redeem(
            issuer=issuer(lane),
            commitment=f"c{turn}",
            workload="training",
            amount=AMOUNT,
            session_key=key(session).public,
            refund_lock=lock_of(session),
            start_by_ms=TIME_MS + START_BY * PERIOD_MS,
            end_ms=TIME_MS + end * PERIOD_MS,
            queue_until_ms=0,
        )
        asked = msgspec.structs.replace(asked, **changes)
        order = order_id(self._world.chain_id, encode_payload(asked))
        return Order(order, asked.issuer, session), self._paid(lane, [asked], asked.amount)

    def cancel(self, lane: int, order: Order) -> SignedTransaction:
        done = CancelRedemption(order.issuer, order.id, key(order.session).public)
        return self._paid(lane, [done], 0, order.session)

    def accept(self, lane: int, orders: Sequence[Order]) -> SignedTransaction:
        signer = f"{orders[0].issuer}/operations"
        public = key(signer).public
        done = [AcceptRedemption(order.issuer, order.id, public) for order in orders]
        return self._paid(lane, done, 0, signer)

    def ready(self, lane: int, orders: Sequence[Order]) -> SignedTransaction:
        signer = f"{orders[0].issuer}/operations"
        public, shown = key(signer).public, (ENDPOINT, CERTIFICATE)
        done = [ReadyRedemption(order.issuer, order.id, public, *shown) for order in orders]
        return self._paid(lane, done, 0, signer)

    def post(self, lane: int, orders: Sequence[Order]) -> SignedTransaction:
        """The next receipt of each: it says that a hundredth more was delivered."""
        signer = f"{orders[0].issuer}/metering"
        done = []
        for order in orders:
            number = self._receipts[order.id] = self._receipts.get(order.id, 0) + 1
            delivered = number * AMOUNT // 100
            receipt = Receipt(order.id, number, delivered, delivered, METER)
            holder = key(order.session)
            word = holder.sign(receipt_hash(self._world.chain_id, receipt))
            public = key(signer).public
            done.append(PostReceipt(order.issuer, public, receipt, holder.public, word))
        return self._paid(lane, done, 0, signer)

    def _paid(
        self, lane: int, operations: Sequence[Operation], amount: int, *signers: str
    ) -> SignedTransaction:
        """The change is what the purse pays with next."""
        owner, coin = f"payer{lane}", self._purses[lane]
        left = Output(coin.asset, coin.amount - amount - FEE, lock_of(owner))
        body = self._world.body(
            [coin], [left], fee=Fee(coin.asset, FEE), operations=operations, life_ms=DAY_MS
        )
        tx = sign(body, [owner], signers)
        self._purses[lane] = Input(tx.txid, 0, left.asset, left.amount)
        return tx

    # What it costs.

    def costs(self, txs: Sequence[SignedTransaction]) -> Costs:
        """All that a node does with a block of these for itself."""
        fees = self._world.fees
        clocks = [Clocks.read()]
        read = [transaction.decode(tx.raw) for tx in txs]
        for tx in read:
            transaction.check_stateless(tx, self._world.chain_id, fees)
        clocks.append(Clocks.read())
        for tx in read:
            transaction.check_signatures(tx)
        clocks.append(Clocks.read())
        time_ms = self.chain.head.header.time_ms + BLOCK_MS
        execution = Execution(self.chain, time_ms=time_ms, proposer=self.proposer)
        for tx in read:
            execution.add(tx)
        changes = execution.finish()
        clocks.append(Clocks.read())
        header = changes.head.header
        block = Block(header, tuple([tx.raw for tx in read]))
        vote = VotePayload(header.epoch, COMMIT, 0, header.height, changes.head.hash)
        certificate = make_certificate(vote, self.signatures)
        self.chain.append(block, certificate, changes, read)
        clocks.append(Clocks.read())
        spent = [after.cost_since(before) for before, after in pairwise(clocks)]
        return Costs(sum(len(tx.body.operations) for tx in read), *spent)


def issuer(lane: int) -> str:
    """Whose coin lies in this purse."""
    return f"val{lane % ISSUERS}"


def market_genesis() -> Genesis:
    names = [f"val{number}" for number in range(ISSUERS)]
    made = make_genesis(
        ISSUERS, (), epoch_blocks=100_000, epoch_ms=DAY_MS, bond_coins=BOND_COINS, all_bonded=True
    )
    figures = {f"att-{group}": 900_000 for group in GROUPS}
    commitments = []
    for name in names:
        for number in range(COMMITMENTS):
            item = commitment(name, name=f"c{number}")
            terms = msgspec.structs.replace(item.terms, region=f"region-{number}")
            item = msgspec.structs.replace(item, terms=terms)
            commitments.append(attest(made.nonce, item, figures))
    allocations = [
        Allocation(issuer(lane), PURSE, encode_address(lock_of(f"payer{lane}"), "mrst"))
        for lane in range(PAYERS)
    ]
    return msgspec.structs.replace(
        made, commitments=tuple(commitments), allocations=tuple(allocations)
    )
