"""What an order is refused for: each reason that the table of operations names, and replays."""

from __future__ import annotations

import msgspec
import pytest

from ledger.crypto import ZERO_HASH
from ledger.economy import book
from ledger.economy.capacity import MICROHOURS_MAX
from ledger.economy.dispute import Dispute
from ledger.economy.redemption import ORDER_LEAST, WINDOW_PERIODS_MAX, RedemptionState
from ledger.handlers.redemption import ask
from ledger.objects import Used, load
from ledger.reasons import Invalid, Reason
from ledger.redemption_operations import AcceptRedemption, CancelRedemption
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import proposed
from tests.ledger.redemption_world import RedemptionWorld, new_world
from tests.ledger.world import COIN, PERIOD_MS, key

FACTOR_OF_INFERENCE = 1_500_000
REPEATED = (
    Reason.SPENT_INPUT,
    Reason.WRONG_STATE,
    Reason.UNKNOWN_REDEMPTION,
    Reason.STALE_RECEIPT,
    Reason.REPLAYED_OPERATION,
    Reason.UNKNOWN_DISPUTE,
)


def test_an_order_names_a_commitment_that_is_there() -> None:
    """By its issuer and its name; whose coins they are conservation sees to."""
    world = new_world()
    assert world.reason(world.redeems(world.asks(commitment="more"))) is Reason.UNKNOWN_COMMITMENT
    asked = world.asks(issuer="val1")
    assert world.reason(world.redeems(asked)) is Reason.UNKNOWN_COMMITMENT


def test_hours_that_nobody_vouched_for_take_no_orders() -> None:
    """Proposed is no promise."""
    world = new_world()
    proposed(world)
    asked = world.asks(commitment="more")
    found = world.refusal(world.redeems(asked))
    assert (found.reason, found.detail) == (
        Reason.COMMITMENT_OVER,
        "'more' of 'val0' is proposed",
    )


def test_an_order_names_a_workload_that_its_commitment_serves() -> None:
    """No other: the class is what the commitment has, and nobody puts a worse one in its place."""
    world = new_world()
    found = world.refusal(world.redeems(world.asks(workload="fine-tuning")))
    assert found.reason is Reason.UNKNOWN_CLASS
    assert found.detail.endswith("serves inference, training, not fine-tuning")


def test_the_workload_decides_how_many_hours_a_coin_needs() -> None:
    """Rounded up: at a factor of 1.5 two thirds of an hour."""
    world = new_world()
    order = world.requested(COIN + 1, workload="inference")
    held = world.order(order)
    assert (held.factor, held.microhours) == (FACTOR_OF_INFERENCE, 666_668)


def test_many_open_orders_make_the_least_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doubles with each so many: here with each two."""
    monkeypatch.setattr(book, "ORDERS_A_DOUBLING", 2)
    world = new_world()
    for number in range(2):
        world.requested(ORDER_LEAST, f"session {number}")
    asked = world.asks(2 * ORDER_LEAST - 1)
    assert world.reason(world.redeems(asked)) is Reason.LOW_AMOUNT
    world.run(world.redeems(world.asks(2 * ORDER_LEAST)))


def test_a_hundredth_of_a_coin_is_the_least() -> None:
    world = new_world()
    assert world.reason(world.redeems(world.asks(ORDER_LEAST - 1))) is Reason.LOW_AMOUNT
    world.run(world.redeems(world.asks(ORDER_LEAST)))


def test_the_issuer_has_time_to_accept_and_a_period_more() -> None:
    """To the millisecond, as of the block that takes the order."""
    world = new_world()
    lead = world.draft.economy.accept_ms + PERIOD_MS
    asked = world.asks(start_by_ms=world.clock_ms + 1 + lead)
    early = msgspec.structs.replace(asked, start_by_ms=asked.start_by_ms - 1)
    assert world.reason(world.redeems(early)) is Reason.BAD_WINDOW
    world.run(world.redeems(asked))


@pytest.mark.parametrize(
    ("end_periods", "extra_ms"), [(13, 0), (12, 0), (16, 1), (WINDOW_PERIODS_MAX + 2, 0)]
)
def test_a_window_is_of_whole_periods_after_start_by_and_not_far(
    end_periods: int, extra_ms: int
) -> None:
    world = new_world()
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    asked = world.asks(end_ms=begins + end_periods * PERIOD_MS + extra_ms)
    assert world.reason(world.redeems(asked)) is Reason.BAD_WINDOW


def test_the_furthest_window_is_taken() -> None:
    """A hundred and sixty-eight periods."""
    world = new_world()
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    order = world.requested(end_ms=begins + WINDOW_PERIODS_MAX * PERIOD_MS)
    assert world.order(order).state is RedemptionState.REQUESTED


@pytest.mark.parametrize("late_ms", [-PERIOD_MS * 3, 1])
def test_who_waits_stops_while_the_order_can_still_begin(late_ms: int) -> None:
    """No later than the issuer's time before start-by, and not in the past."""
    world = new_world()
    asked = world.asks()
    latest = asked.start_by_ms - world.draft.economy.accept_ms - PERIOD_MS
    asked = msgspec.structs.replace(asked, queue_until_ms=latest + late_ms)
    assert world.reason(world.redeems(asked)) is Reason.BAD_WINDOW


def test_hours_that_are_not_free_are_refused_to_who_does_not_wait() -> None:
    world = new_world()
    world.requested(14 * COIN, "one")
    found = world.refusal(world.redeems(world.asks(COIN, "two")))
    assert found.reason is Reason.NO_FREE_HOURS
    assert "1000000 µh are not free until" in found.detail


def test_nobody_waits_for_hours_that_no_commitment_has() -> None:
    """More than any may promise in a period; who owns so many coins does not matter here."""
    world = new_world()
    latest = world.asks().start_by_ms - world.draft.economy.accept_ms - PERIOD_MS
    ask(world.draft, world.asks(MICROHOURS_MAX, queue_until_ms=latest))
    with pytest.raises(Invalid) as caught:
        ask(world.draft, world.asks(MICROHOURS_MAX + 1, queue_until_ms=latest))
    assert caught.value.reason is Reason.NO_FREE_HOURS


def test_the_same_words_are_the_same_order() -> None:
    """Whoever pays: a copy with other coins is refused, one word more makes another order."""
    world = new_world()
    asked = world.asks()
    world.run(world.redeems(asked))
    assert world.reason(world.redeems(asked)) is Reason.REDEMPTION_EXISTS
    assert world.reason(world.redeems(asked, "bob")) is Reason.REDEMPTION_EXISTS
    world.run(world.redeems(msgspec.structs.replace(asked, amount=COIN + 1)))


def test_a_commitment_has_so_many_orders_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends makes room."""
    monkeypatch.setattr(book, "ORDERS_OF_COMMITMENT_MAX", 2)
    world = new_world()
    first = world.requested(COIN, "one")
    world.requested(COIN, "two")
    assert world.reason(world.redeems(world.asks(COIN, "three"))) is Reason.TOO_MANY
    world.run(world.cancels(first, "one"))
    world.requested(COIN, "three")


def test_coins_of_another_issuer_ask_for_nothing() -> None:
    """What the order holds is what the transaction does not hand on of that very coin."""
    world = new_world()
    asked = world.asks()
    for amount, coin in ((COIN, "val1"), (COIN - 1, "val0")):
        with pytest.raises(Invalid) as caught:
            world.run(world.spends("alice", asked, amount, coin))
        assert caught.value.reason is Reason.UNBALANCED


def test_orders_are_those_of_their_issuer() -> None:
    """An id that nobody has, or another's, is unknown: to each operation."""
    world = new_world()
    order = world.requested()
    nowhere = bytes(32)
    assert world.reason(world.cancels(nowhere)) is Reason.UNKNOWN_REDEMPTION
    assert world.reason(world.accepts(nowhere)) is Reason.UNKNOWN_REDEMPTION
    assert world.reason(world.readies(nowhere)) is Reason.UNKNOWN_REDEMPTION
    assert world.reason(world.closes(nowhere)) is Reason.UNKNOWN_REDEMPTION
    assert world.reason(world.posts(world.receipt(nowhere, 1, 1))) is Reason.UNKNOWN_REDEMPTION
    signer = "val1/operations"
    foreign = world.does(AcceptRedemption("val1", order, key(signer).public), signer)
    assert world.reason(foreign) is Reason.UNKNOWN_REDEMPTION
    cancel = world.does(CancelRedemption("val1", order, key("session").public), "session")
    assert world.reason(cancel) is Reason.UNKNOWN_REDEMPTION


def test_each_step_wants_the_key_of_its_role() -> None:
    """The holder's session key, the issuer's operations key, its metering key; no other."""
    world = new_world()
    order = world.requested()
    for stranger in ("bob", "val0/operations", "other session"):
        assert world.reason(world.cancels(order, stranger)) is Reason.WRONG_ROLE_KEY
    for stranger in ("session", "val0/metering", "val0/treasury", "val1/operations"):
        assert world.reason(world.accepts(order, stranger)) is Reason.WRONG_ROLE_KEY
    world.run(world.accepts(order))
    for stranger in ("session", "val0/metering", "val1/operations"):
        assert world.reason(world.readies(order, stranger)) is Reason.WRONG_ROLE_KEY
    world.run(world.readies(order))
    receipt = world.receipt(order, 1, 1)
    for stranger in ("session", "val0/operations", "val1/metering"):
        tx = world.posts(receipt, signer=stranger)
        assert world.reason(tx) is Reason.WRONG_ROLE_KEY
    world.run(world.posts(receipt))
    for stranger in ("val0/operations", "bob", "val1/metering"):
        assert world.reason(world.closes(order, stranger)) is Reason.WRONG_ROLE_KEY


def test_each_step_wants_its_state() -> None:
    """None is taken twice, and none is left out."""
    world = new_world()
    order = world.requested()
    receipt = world.receipt(order, 1, 1)
    assert world.reason(world.readies(order)) is Reason.WRONG_STATE
    assert world.reason(world.posts(receipt)) is Reason.WRONG_STATE
    assert world.reason(world.closes(order)) is Reason.WRONG_STATE
    world.run(world.accepts(order))
    assert world.reason(world.accepts(order)) is Reason.WRONG_STATE
    assert world.reason(world.posts(receipt)) is Reason.WRONG_STATE
    world.run(world.readies(order))
    assert world.reason(world.readies(order)) is Reason.WRONG_STATE
    assert world.reason(world.cancels(order)) is Reason.WRONG_STATE


@pytest.mark.parametrize("changes", [{"endpoint": ""}, {"session_hash": ZERO_HASH}])
def test_a_service_has_an_endpoint_and_a_certificate(changes: dict[str, object]) -> None:
    world = new_world()
    order = world.requested()
    world.run(world.accepts(order))
    assert world.reason(world.readies(order, **changes)) is Reason.BAD_ENDPOINT


def lived(world: RedemptionWorld) -> list[SignedTransaction]:
    """All that may happen to one order, to the ruling."""
    asked = world.asks()
    order = world.id_of(asked)
    done = [world.redeems(asked)]
    world.run(done[-1])
    for make in (
        lambda: world.accepts(order),
        lambda: world.readies(order),
        lambda: world.posts(world.receipt(order, 1, 1)),
        lambda: world.closes(order),
        lambda: world.posts(world.receipt(order, 2, 2)),
        lambda: world.disputes(order, COIN),
    ):
        done.append(make())
        world.run(done[-1])
    opened = load(world.state, Dispute, order)
    assert opened is not None
    votes = [world.rules(order, name, upheld=False) for name in opened.panel[:3]]
    world.run(*votes)
    return [*done, *votes]


@pytest.mark.parametrize("later_ms", [1, 4_000_000])
def test_no_operation_of_an_order_comes_twice(later_ms: int) -> None:
    """The very bytes again: while the order is there, and when it is forgotten. The state needs no
    word of any of them."""
    world = new_world()
    done = lived(world)
    world.run()
    assert world.draft.all(Used) == []
    world.until(world.clock_ms + later_ms)
    for tx in done:
        assert world.reason(tx) in REPEATED


def test_a_cancelled_order_is_not_cancelled_again() -> None:
    """Nor by the same bytes, nor in the same block."""
    world = new_world()
    cancels = world.cancels(world.requested())
    assert world.reason(cancels, cancels) is Reason.WRONG_STATE
    world.run(cancels)
    assert world.reason(cancels) is Reason.WRONG_STATE
