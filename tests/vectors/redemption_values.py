"""Values for `wire.json`: operations and objects of redemption."""

from __future__ import annotations

from ledger.codec import Wire
from ledger.crypto import ZERO_HASH
from ledger.economy.book import Book, Kept, Place
from ledger.economy.conduct import Conduct
from ledger.economy.dispute import Dispute
from ledger.economy.due import Due, DueKind
from ledger.economy.panel import Vote
from ledger.economy.redemption import Receipt, Redemption, RedemptionState
from ledger.economy.residual import ResidualClaim
from ledger.economy.throughput import Throughput
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
from tests.ledger.world import World, key
from tests.vectors.economy_values import HASH, LAST, MOST

HERE = ("val0", "capacity-val0", "training")


def redemption_operations() -> list[Wire]:
    """One of each, with the ends of their fields."""
    signer = key("session").public
    receipt = Receipt(HASH, LAST, MOST, LAST, HASH)
    return [
        Redeem(*HERE, MOST, signer, HASH, 0, LAST, 0),
        Redeem(*HERE, 1, signer, HASH, LAST, 0, LAST),
        CancelRedemption("val0", HASH, signer),
        AcceptRedemption("val0", HASH, signer),
        ReadyRedemption("val0", HASH, signer, "", ZERO_HASH),
        ReadyRedemption("val0", HASH, signer, "~" * 128, HASH),
        receipt,
        PostReceipt("val0", signer, receipt, signer, bytes(64)),
        CloseRedemption("val0", HASH, signer),
        DisputeRedemption("val0", HASH, signer, 0, HASH, MOST, HASH),
        RuleRedemption("att-north", signer, HASH, True),
    ]


def redemption_values(world: World) -> list[Wire]:
    """What a state holds of orders."""
    asset, session, vote = world.asset("val0"), key("session").public, Vote("att-north", True)
    waiting = Redemption(
        *(HASH, *HERE, asset, 1, 0, 0, RedemptionState.QUEUED, 1, False, session, HASH),
        *(1, 1, 0, LAST, LAST, LAST, LAST, "", ZERO_HASH, 0, 0, ZERO_HASH),
    )
    ruled = Redemption(
        *(HASH, *HERE, asset, MOST, MOST, 0, RedemptionState.RULED, LAST, True, session, HASH),
        *(1_000_000_000, 1 << 40, 1 << 40, 0, 0, 0, 0, "[::1]:9000", HASH, LAST, LAST, HASH),
    )
    return [
        waiting,
        ruled,
        Dispute(HASH, False, 0, asset, 1, HASH, 0, (), (), 0),
        Dispute(HASH, True, MOST, asset, MOST, HASH, LAST, ("att-north",), (vote,), LAST),
        Conduct.clean("val0", 0),
        Conduct("val0", LAST, LAST, LAST, LAST, MOST, MOST),
        Kept(LAST, 1),
        Book.empty("val0", "capacity-val0"),
        Book("val0", "capacity-val0", (Kept(0, LAST),), 1, 1, LAST, LAST, LAST),
        Place(HASH),
        ResidualClaim("val0", HASH, MOST),
        Throughput("gpu-80g", "training", 0, 0),
        Throughput("gpu-80g", "training", LAST, LAST),
        Due(0, DueKind.DISPUTE, HASH),
        Due(LAST, DueKind.QUEUE, b"val0\0capacity-val0"),
    ]
