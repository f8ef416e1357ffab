"""What each state of the story behind `redemption.json` refuses, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledger.crypto import ZERO_HASH
from ledger.reasons import Reason
from ledger.redemption_operations import RuleRedemption
from ledger.transaction import SignedTransaction
from tests.ledger.world import COIN, PERIOD_MS, key
from tests.vectors.epoch_plan import Refusals

if TYPE_CHECKING:
    from tests.vectors.redemption_plan import Story

CENT = COIN // 100
ISSUER = "val0/operations"
NOBODY = b"\x07" * 32


def after_asking(story: Story) -> Refusals:
    world, orders = story.world, story.orders
    asked = world.asks(30 * CENT, "other")
    begins, later = world.clock_ms // PERIOD_MS * PERIOD_MS, asked.start_by_ms

    def other(name: str, reason: Reason, **changes: Any) -> tuple[str, SignedTransaction, Reason]:
        return (name, world.redeems(world.asks(30 * CENT, "other", **changes)), reason)

    window = Reason.BAD_WINDOW
    again = world.asks(
        50 * CENT, "cancel", start_by_ms=begins + 4 * PERIOD_MS, end_ms=begins + 6 * PERIOD_MS
    )
    return [
        other("of no commitment", Reason.UNKNOWN_COMMITMENT, commitment="none"),
        other("of a proposed one", Reason.COMMITMENT_OVER, commitment="extra"),
        other("of another workload", Reason.UNKNOWN_CLASS, workload="rendering"),
        ("a small order", world.redeems(world.asks(9_999)), Reason.LOW_AMOUNT),
        other("to begin at once", window, start_by_ms=world.clock_ms + 2 * PERIOD_MS),
        other("over within a period", window, end_ms=later + PERIOD_MS - 1),
        other("over before it begins", window, end_ms=later),
        other("in a year", window, end_ms=begins + 170 * PERIOD_MS),
        other("waits for too long", window, queue_until_ms=later - 2 * PERIOD_MS + 1),
        other("has waited", window, queue_until_ms=1),
        ("more than there is", world.redeems(world.asks(20 * COIN)), Reason.NO_FREE_HOURS),
        ("the same order again", world.redeems(again, "carol"), Reason.REDEMPTION_EXISTS),
        ("cancelled by another", world.cancels(orders["main"], "bob"), Reason.WRONG_ROLE_KEY),
        ("no such order", world.accepts(NOBODY), Reason.UNKNOWN_REDEMPTION),
        (
            "accepted by metering",
            world.accepts(orders["main"], "val0/metering"),
            Reason.WRONG_ROLE_KEY,
        ),
        ("ready at once", world.readies(orders["main"]), Reason.WRONG_STATE),
    ]


def after_waiting(story: Story) -> Refusals:
    world, orders = story.world, story.orders
    return [
        ("accepted while it waits", world.accepts(orders["waits"]), Reason.WRONG_STATE),
        ("cancelled after acceptance", world.cancels(orders["main"], "main"), Reason.WRONG_STATE),
        ("cancelled again", world.cancels(orders["cancel"], "cancel"), Reason.WRONG_STATE),
        ("nowhere", world.readies(orders["fail"], endpoint=""), Reason.BAD_ENDPOINT),
        (
            "behind no certificate",
            world.readies(orders["fail"], session_hash=ZERO_HASH),
            Reason.BAD_ENDPOINT,
        ),
    ]


def after_readiness(story: Story) -> Refusals:
    world, orders = story.world, story.orders
    receipt = world.receipt(orders["main"], 1, 50 * CENT)
    above = world.receipt(orders["idle"], 1, 51 * CENT)
    unserved = world.receipt(orders["fail"], 1, CENT)
    return [
        (
            "closed by the issuer before it began",
            world.closes(orders["idle"], "val0/metering"),
            Reason.WRONG_STATE,
        ),
        ("a receipt of somebody else", world.posts(receipt, "idle"), Reason.BAD_RECEIPT),
        (
            "a receipt posted by operations",
            world.posts(receipt, "main", "val0/operations"),
            Reason.WRONG_ROLE_KEY,
        ),
        ("a receipt of what nobody serves", world.posts(unserved, "fail"), Reason.WRONG_STATE),
        ("more than the order", world.posts(above, "idle"), Reason.ABOVE_ORDER),
        (
            "past those who wait",
            world.redeems(world.asks(30 * CENT, "other")),
            Reason.NO_FREE_HOURS,
        ),
        (
            "disputed too soon",
            world.disputes(orders["idle"], COIN, signer="idle"),
            Reason.WRONG_STATE,
        ),
    ]


def after_receipt(story: Story) -> Refusals:
    world, order = story.world, story.orders["main"]
    stale = Reason.STALE_RECEIPT
    return [
        ("the same receipt again", story.post("main", 1, 51), stale),
        ("no more than before", story.post("main", 2, 50), stale),
        (
            "less time than before",
            world.posts(world.receipt(order, 2, 51 * CENT, microhours=1), "main"),
            stale,
        ),
        ("accepted too late", world.accepts(story.orders["lapse"]), Reason.WRONG_STATE),
    ]


def before_disputes(story: Story) -> Refusals:
    world = story.world
    return [
        ("closed by nobody", story.close("bad", "val0/operations"), Reason.WRONG_ROLE_KEY),
        ("closed again", story.close("main"), Reason.WRONG_STATE),
        (
            "disputed while served",
            world.disputes(story.orders["bad"], COIN, signer="bad"),
            Reason.WRONG_STATE,
        ),
    ]


def in_closing(story: Story) -> Refusals:
    world, bad, more = story.world, story.orders["bad"], story.orders["more"]
    meter, above = "val0/metering", Reason.ABOVE_ORDER

    def claims(cents: int) -> SignedTransaction:
        return world.disputes(more, 3 * CENT, signer=meter, claimed=cents * CENT)

    return [
        ("by neither side", world.disputes(bad, COIN, signer=ISSUER), Reason.WRONG_ROLE_KEY),
        ("more than it signed", world.disputes(bad, COIN, signer="bad", claimed=11 * CENT), above),
        ("as much as was signed", claims(10), above),
        ("more than the order", claims(31), above),
        ("a small deposit", world.disputes(bad, 2 * CENT - 1, signer="bad"), Reason.LOW_DEPOSIT),
    ]


def in_dispute(story: Story) -> Refusals:
    world, bad = story.world, story.orders["bad"]
    seats = {story.seat("bad", place) for place in range(5)}
    names = sorted(item.id for item in world.genesis.attestors if item.id not in seats)
    signer = f"attestor/{story.seat('bad', 2)}"
    wrong = RuleRedemption(story.seat("bad", 2), key("bob").public, bad, True)
    nobody = RuleRedemption("nobody", key("bob").public, bad, True)
    return [
        (
            "ruled again",
            world.rules(bad, story.seat("bad", 0), upheld=False),
            Reason.REPLAYED_OPERATION,
        ),
        ("ruled by another", world.rules(bad, names[0], upheld=True), Reason.NOT_ON_PANEL),
        ("ruled by a thief", world.does(wrong, "bob"), Reason.WRONG_ROLE_KEY),
        ("ruled by nobody", world.does(nobody, "bob"), Reason.UNKNOWN_ATTESTOR),
        (
            "nobody disputes it",
            world.rules(story.orders["main"], signer.partition("/")[2], upheld=True),
            Reason.UNKNOWN_DISPUTE,
        ),
    ]


def after_verdicts(story: Story) -> Refusals:
    world = story.world
    word = world.rules(story.orders["bad"], story.seat("bad", 3), upheld=False)
    return [("ruled after the verdict", word, Reason.UNKNOWN_DISPUTE)]


def in_deficit(story: Story) -> Refusals:
    """More than was ordered is none, however little the coins bring."""
    return [("more than was ordered", story.post("waits", 3, 501), Reason.ABOVE_ORDER)]


def closing_in_deficit(story: Story) -> Refusals:
    poor = story.world.disputes(story.orders["poor"], COIN, signer="poor")
    return [("a deposit in a coin in trouble", poor, Reason.UNKNOWN_ASSET)]


def uncovered(story: Story) -> Refusals:
    return [("of coins that nothing covers", story.post("waits", 5, 102), Reason.NOT_HEALTHY)]


def without_a_panel(story: Story) -> Refusals:
    world, waits = story.world, story.orders["waits"]
    return [
        ("no panel", world.disputes(waits, COIN, signer="waits", coin="val1"), Reason.NO_PANEL),
    ]
