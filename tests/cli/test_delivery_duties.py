"""What an issuer owes its orders: decided from what is seen, so that it goes on after any stop."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import msgspec

from cli.delivery.duties import Issuer, OrderSeen, by_signer, duties
from cli.delivery.rules import HolderSide, SignedReceipt, Tick, next_root, sign
from cli.delivery.service import seen_of
from ledger.redemption_operations import (
    AcceptRedemption,
    CloseRedemption,
    OnRedemption,
    PostReceipt,
    ReadyRedemption,
)
from tests.cli.delivery_world import SESSION, TERMS

PERIOD_MS = 60_000
NOW_MS = 10 * PERIOD_MS
ISSUER = Issuer("val0", bytes([1]) * 32, bytes([2]) * 32, "127.0.0.1:8940", bytes([3]) * 32)


def seen(state: str, number: int = 0, burned: int = 0) -> OrderSeen:
    return OrderSeen(
        id=TERMS.order,
        issuer="val0",
        state=state,
        session_key=TERMS.session_key,
        amount=TERMS.amount,
        burned=burned,
        number=number,
        units_a_coin=TERMS.units_a_coin,
        workload="hashing",
    )


def held(units: int, number: int = 1) -> SignedReceipt:
    digests = (bytes(32),) * units
    tick = Tick(units, digests, next_root(bytes(32), digests), 1)
    made = sign(HolderSide(), TERMS, tick, SESSION)
    return replace(made, receipt=msgspec.structs.replace(made.receipt, number=number))


def due(
    order: OrderSeen,
    receipt: SignedReceipt | None = None,
    posted_ms: int = NOW_MS,
    *,
    is_able: bool = True,
) -> list[OnRedemption]:
    return duties(
        ISSUER,
        order,
        receipt,
        is_able=is_able,
        posted_ms=posted_ms,
        now_ms=NOW_MS,
        period_ms=PERIOD_MS,
    )


def owed(
    order: OrderSeen,
    receipt: SignedReceipt | None = None,
    posted_ms: int = NOW_MS,
    *,
    is_able: bool = True,
) -> list[type[OnRedemption]]:
    return [type(item) for item in due(order, receipt, posted_ms, is_able=is_able)]


def test_what_was_asked_for_is_accepted_and_served() -> None:
    assert owed(seen("requested")) == [AcceptRedemption]
    assert owed(seen("accepted")) == [ReadyRedemption]
    for state in ("queued", "ready", "settled", "lapsed"):
        assert owed(seen(state)) == []


def test_what_nobody_here_can_work_is_promised_to_nobody() -> None:
    """Receipts that are held already are posted all the same."""
    assert owed(seen("requested"), is_able=False) == []
    assert owed(seen("accepted"), is_able=False) == []
    assert owed(seen("active", number=1), held(20, number=5), 0, is_able=False) == [PostReceipt]


def test_the_first_receipt_is_posted_at_once_and_others_once_a_period() -> None:
    assert owed(seen("ready"), held(10)) == [PostReceipt]
    later = held(20, number=5)
    assert owed(seen("active", number=1), later) == []
    assert owed(seen("active", number=1), later, posted_ms=NOW_MS - PERIOD_MS) == [PostReceipt]
    assert owed(seen("active", number=5), later, posted_ms=0) == []


def test_the_last_receipt_closes_the_session() -> None:
    whole = held(TERMS.units, number=9)
    assert owed(seen("active", number=5), whole) == [PostReceipt, CloseRedemption]
    assert owed(seen("active", number=9), whole) == [CloseRedemption]
    assert owed(seen("closing", number=9), whole) == []


def test_a_closing_or_disputed_order_gets_the_highest_receipt() -> None:
    """Whoever closed it: what was signed for counts until the end."""
    for state in ("closing", "disputed"):
        assert owed(seen(state, number=1), held(20, number=5)) == [PostReceipt]


def test_each_is_signed_by_the_key_that_the_rules_ask_for() -> None:
    found = due(seen("ready"), held(TERMS.units), posted_ms=0) + due(seen("requested"))
    by_key = by_signer(ISSUER, {TERMS.order: found})
    assert [type(item) for item in by_key[ISSUER.operations_key]] == [AcceptRedemption]
    assert [type(item) for item in by_key[ISSUER.metering_key]] == [PostReceipt, CloseRedemption]


def test_a_receipt_above_what_coins_bring_by_now_is_the_last() -> None:
    """A deficit deepened: of the holder's last word less was burned than it says. It is posted, the
    chain counts what the coins bring, and the session is closed."""
    shown = SimpleNamespace(
        id=TERMS.order.hex(),
        issuer="val0",
        state="active",
        session_key=TERMS.session_key.hex(),
        burned="7",
        deliverable="900",
        receipt=1,
        units=4_000,
        workload="hashing",
    )
    order = seen_of(shown)
    assert order.amount == 907
    assert owed(order, held(TERMS.units, number=2)) == [PostReceipt, CloseRedemption]
    after = replace(order, burned=907, number=2, amount=907)
    assert owed(after, held(TERMS.units, number=2)) == [CloseRedemption]
