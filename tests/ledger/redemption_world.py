"""Orders within reach of a test: alice redeems coins of val0, whose keys answer."""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.codec import encode_payload
from ledger.economy.book import Book
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.redemption import Receipt, Redemption, order_id, receipt_hash
from ledger.objects import load
from ledger.redemption_operations import (
    AcceptRedemption,
    CancelRedemption,
    CloseRedemption,
    DisputeRedemption,
    PostReceipt,
    ReadyRedemption,
    Redeem,
    RuleRedemption,
)
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import EconomyWorld, lasting
from tests.ledger.world import (
    COIN,
    GROUPS,
    PERIOD_MS,
    TIME_MS,
    attest,
    commitment,
    key,
    lock_of,
    make_genesis,
)

ENDPOINT = "127.0.0.1:9000"
CERTIFICATE = bytes([7]) * 32
METER = bytes([9]) * 32


class RedemptionWorld(EconomyWorld):
    """Builders of what both sides of an order do; `session` names the holder's key for it."""

    def asks(self, amount: int = COIN, session: str = "session", **changes: Any) -> Redeem:
        """alice's coins of val0; to begin within thirteen periods, over after sixteen."""
        begins = self.clock_ms // PERIOD_MS * PERIOD_MS
        made = Redeem(
            issuer="val0",
            commitment="capacity-val0",
            workload="training",
            amount=amount,
            session_key=key(session).public,
            refund_lock=lock_of("carol"),
            start_by_ms=begins + 13 * PERIOD_MS,
            end_ms=begins + 16 * PERIOD_MS,
            queue_until_ms=0,
        )
        return msgspec.structs.replace(made, **changes)

    def id_of(self, asked: Redeem) -> bytes:
        return order_id(self.chain_id, encode_payload(asked))

    def redeems(self, asked: Redeem, owner: str = "alice") -> SignedTransaction:
        return self.spends(owner, asked, asked.amount, asked.issuer)

    def requested(self, amount: int = COIN, session: str = "session", **changes: Any) -> bytes:
        """A block with an order; its id."""
        asked = self.asks(amount, session, **changes)
        self.run(self.redeems(asked))
        return self.id_of(asked)

    def order(self, order: bytes) -> Redemption:
        found = load(self.state, Redemption, order)
        assert found is not None
        return found

    def book(self, issuer: str = "val0") -> Book | None:
        identity = CapacityCommitment.identity(issuer, f"capacity-{issuer}")
        return load(self.state, Book, identity)

    def cancels(self, order: bytes, session: str = "session") -> SignedTransaction:
        return self.does(CancelRedemption("val0", order, key(session).public), session)

    def accepts(self, order: bytes, signer: str = "val0/operations") -> SignedTransaction:
        return self.does(AcceptRedemption("val0", order, key(signer).public), signer)

    def readies(
        self, order: bytes, signer: str = "val0/operations", **changes: Any
    ) -> SignedTransaction:
        made = ReadyRedemption("val0", order, key(signer).public, ENDPOINT, CERTIFICATE)
        return self.does(msgspec.structs.replace(made, **changes), signer)

    def receipt(self, order: bytes, number: int, delivered: int, **changes: Any) -> Receipt:
        made = Receipt(order, number, delivered, delivered, METER)
        return msgspec.structs.replace(made, **changes)

    def posts(
        self, receipt: Receipt, session: str = "session", signer: str = "val0/metering"
    ) -> SignedTransaction:
        holder = key(session)
        signature = holder.sign(receipt_hash(self.chain_id, receipt))
        operation = PostReceipt("val0", key(signer).public, receipt, holder.public, signature)
        return self.does(operation, signer)

    def closes(self, order: bytes, signer: str = "session") -> SignedTransaction:
        return self.does(CloseRedemption("val0", order, key(signer).public), signer)

    def disputes(
        self,
        order: bytes,
        amount: int,
        *,
        signer: str = "session",
        claimed: int | None = None,
        coin: str = "val1",
        owner: str = "alice",
    ) -> SignedTransaction:
        if claimed is None:
            claimed = self.order(order).burned
        operation = DisputeRedemption(
            "val0",
            order,
            key(signer).public,
            claimed,
            self.asset(coin),
            amount,
            lock_of("dave"),
        )
        return self.spends(owner, operation, amount, coin, signer)

    def rules(self, order: bytes, attestor: str, *, upheld: bool) -> SignedTransaction:
        signer = f"attestor/{attestor}"
        operation = RuleRedemption(attestor, key(signer).public, order, upheld)
        return self.does(operation, signer)

    def ready_order(self, amount: int = COIN, session: str = "session", **changes: Any) -> bytes:
        """An order whose service stands."""
        order = self.requested(amount, session, **changes)
        self.run(self.accepts(order))
        self.run(self.readies(order))
        return order

    def active_order(self, amount: int = COIN, delivered: int = COIN // 4) -> bytes:
        """An order of which some is delivered."""
        order = self.ready_order(amount)
        self.run(self.posts(self.receipt(order, 1, delivered)))
        return order

    def amount_of(self, owner: str, coin: str = "val0") -> int:
        wanted = (self.asset(coin), lock_of(owner))
        found = self.state.outputs.values()
        return sum(item.amount for item in found if (item.asset, item.lock) == wanted)


def new_world(days: int = 30) -> RedemptionWorld:
    """Hours for a month, of which none is promised twice."""
    return RedemptionWorld(lasting(make_genesis(), days))


def ending_world(
    periods: int, workloads: tuple[str, ...] = ("inference", "training")
) -> RedemptionWorld:
    """The hours of val0 are over after so many periods."""
    genesis = lasting(make_genesis(), 30)
    made = commitment("val0")
    end_ms = TIME_MS + periods * PERIOD_MS
    made = msgspec.structs.replace(
        made, terms=msgspec.structs.replace(made.terms, to_ms=end_ms, workloads=workloads)
    )
    made = attest(genesis.nonce, made, {f"att-{group}": 900_000 for group in GROUPS})
    commitments = (made, *genesis.commitments[1:])
    return RedemptionWorld(msgspec.structs.replace(genesis, commitments=commitments))
