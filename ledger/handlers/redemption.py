"""Orders: asked for, accepted, served, closed, disputed."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.amounts import format_amount
from ledger.backing import Yardstick
from ledger.codec import encode_payload
from ledger.crypto import ZERO_HASH
from ledger.draft import Draft
from ledger.economy import book, redemption
from ledger.economy import dispute as disputes
from ledger.economy import panel as panels
from ledger.economy.book import Book
from ledger.economy.capacity import MICROHOURS_MAX, CapacityCommitment
from ledger.economy.dispute import Dispute
from ledger.economy.redemption import Rate, Redemption, RedemptionState
from ledger.handlers.common import (
    drawn_panel,
    need_attestor,
    need_deposit,
    need_licence,
    need_role,
    need_sound,
    voted,
)
from ledger.operations import OPERATIONS
from ledger.reasons import Invalid, Reason
from ledger.redeeming import at_present_rate, deliver, rate_of, room_for, tell, write
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
from ledger.registers import COMMITMENTS, DISPUTES, REDEMPTIONS
from ledger.times import rfc3339
from ledger.transaction import asset_id

METERING = "metering"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an order would get: quote, admission and execution ask alike."""

    rate: Rate
    microhours: int
    is_free: bool
    """Whether nobody waits and the hours are free now; else it waits."""


def redeem(draft: Draft, operation: Redeem) -> None:
    """Coins move into an order, which keeps its hours or waits for them."""
    asked = ask(draft, operation)
    order = redemption.order_id(draft.chain_id, encode_payload(operation))
    if draft.load(Redemption, order) is not None:
        raise Invalid(Reason.REDEMPTION_EXISTS, f"order {order.hex()} was asked for")
    state = RedemptionState.REQUESTED if asked.is_free else RedemptionState.QUEUED
    made = Redemption(
        id=order,
        issuer=operation.issuer,
        commitment=operation.commitment,
        workload=operation.workload,
        asset=asset_id(draft.chain_id, operation.issuer),
        amount=operation.amount,
        burned=0,
        residual=0,
        state=state,
        since_ms=draft.clock_ms,
        is_paid=False,
        session_key=operation.session_key,
        refund_lock=operation.refund_lock,
        factor=asked.rate.factor,
        units=asked.rate.units,
        microhours=asked.microhours,
        start_by_ms=operation.start_by_ms,
        end_ms=operation.end_ms,
        queue_until_ms=operation.queue_until_ms,
        place=0,
        endpoint="",
        session_hash=ZERO_HASH,
        number=0,
        used_microhours=0,
        meter_root=ZERO_HASH,
    )
    write(draft, None, made)


def ask(draft: Draft, operation: Redeem) -> Asked:
    """Whether the order can be taken, and at what; raises Invalid with the figures."""
    where = f"'{operation.commitment}' of '{operation.issuer}'"
    identity = CapacityCommitment.identity(operation.issuer, operation.commitment)
    held = COMMITMENTS.get(draft, identity)
    if held is None:
        raise Invalid(Reason.UNKNOWN_COMMITMENT, f"there is no commitment {where}, or it is over")
    if not held.counts:
        raise Invalid(Reason.COMMITMENT_OVER, f"{where} is {held.state.name.lower()}")
    if operation.workload not in held.terms.workloads:
        served = ", ".join(held.terms.workloads)
        raise Invalid(Reason.UNKNOWN_CLASS, f"{where} serves {served}, not {operation.workload}")
    kept = draft.load(Book, identity)
    if kept is not None:
        book.check_full(kept)
    least = book.least_amount(kept)
    if operation.amount < least:
        detail = f"{format_amount(operation.amount)} coins, with so many open orders the least is"
        raise Invalid(Reason.LOW_AMOUNT, f"{detail} {format_amount(least)}")
    redemption.check_window(
        start_by_ms=operation.start_by_ms,
        end_ms=operation.end_ms,
        queue_until_ms=operation.queue_until_ms,
        clock_ms=draft.clock_ms,
        period_ms=draft.parameters.period_ms,
        accept_ms=draft.economy.accept_ms,
    )
    rate = rate_of(draft, held, operation.workload)
    microhours = redemption.hours_needed(operation.amount, rate.factor)
    waiting = kept.queued if kept is not None else 0
    detail = f"{microhours} µh are not free until {rfc3339(operation.end_ms)}"
    if microhours <= MICROHOURS_MAX:
        yardstick = Yardstick.of(draft)
        is_free = not waiting and room_for(draft, held, microhours, operation.end_ms, yardstick)
        if is_free or operation.queue_until_ms:
            return Asked(rate, microhours, is_free)
        if waiting:
            detail = f"{waiting} wait for hours; behind them it may wait too, until a deadline"
    raise Invalid(Reason.NO_FREE_HOURS, f"{where}: {detail}")


def cancel(draft: Draft, operation: CancelRedemption) -> None:
    """Free, as long as nobody accepted."""
    held = _need_order(draft, operation.order, operation.issuer)
    _need_session(held, operation.key)
    _need(draft, held, RedemptionState.QUEUED, RedemptionState.REQUESTED)
    write(draft, held, redemption.entered(held, RedemptionState.CANCELLED, draft.clock_ms))


def accept(draft: Draft, operation: AcceptRedemption) -> None:
    """At what is better for the holder by now."""
    held = _need_order(draft, operation.order, operation.issuer)
    need_role(need_licence(draft, held.issuer), OPERATIONS, operation.key)
    _need(draft, held, RedemptionState.REQUESTED)
    after = redemption.entered(
        at_present_rate(draft, held), RedemptionState.ACCEPTED, draft.clock_ms
    )
    write(draft, held, after)


def ready(draft: Draft, operation: ReadyRedemption) -> None:
    """The service stands."""
    held = _need_order(draft, operation.order, operation.issuer)
    need_role(need_licence(draft, held.issuer), OPERATIONS, operation.key)
    _need(draft, held, RedemptionState.ACCEPTED)
    after = redemption.ready(
        at_present_rate(draft, held),
        endpoint=operation.endpoint,
        session_hash=operation.session_hash,
        clock_ms=draft.clock_ms,
    )
    write(draft, held, after)


def post_receipt(draft: Draft, operation: PostReceipt) -> None:
    """The highest number wins; what it adds is burned, as far as the coins bring it, and tells how
    fast the devices are. With the first one what a coin brings is settled."""
    receipt = operation.receipt
    held = _need_order(draft, receipt.order, operation.issuer)
    need_role(need_licence(draft, held.issuer), METERING, operation.key)
    if operation.session_key != held.session_key:
        detail = f"{operation.session_key.hex()} is not the session key of {held.id.hex()}"
        raise Invalid(Reason.BAD_RECEIPT, detail)
    _need(draft, held, *redemption.DELIVERING)
    redemption.check_receipt(held, receipt)
    after = deliver(draft, at_present_rate(draft, held), receipt.delivered)
    after = redemption.posted(held, after, receipt)
    tell(draft, held, after)
    if after.state is RedemptionState.READY:
        after = redemption.entered(after, RedemptionState.ACTIVE, draft.clock_ms)
    write(draft, held, after)


def close(draft: Draft, operation: CloseRedemption) -> None:
    """The holder ends a session that it may begin or has begun, the issuer one that has begun."""
    held = _need_order(draft, operation.order, operation.issuer)
    if operation.key == held.session_key:
        _need(draft, held, RedemptionState.READY, RedemptionState.ACTIVE)
    else:
        need_role(need_licence(draft, held.issuer), METERING, operation.key)
        _need(draft, held, RedemptionState.ACTIVE)
    write(draft, held, redemption.entered(held, RedemptionState.CLOSING, draft.clock_ms))


def dispute(draft: Draft, operation: DisputeRedemption) -> None:
    """A deposit in a sound coin; the panel is drawn by the block before. The holder's deposit is
    measured by the whole order, as is the penalty that it asks for."""
    held = _need_order(draft, operation.order, operation.issuer)
    by_issuer = operation.key != held.session_key
    if by_issuer:
        need_role(need_licence(draft, held.issuer), METERING, operation.key)
    _need(draft, held, RedemptionState.CLOSING)
    _check_claim(held, operation.claimed, by_issuer=by_issuer)
    need_sound(draft, operation.asset)
    contested = operation.claimed - held.burned if by_issuer else held.amount
    needed = disputes.deposit_needed(contested, draft.economy.deposit_ppm)
    need_deposit(operation.amount, needed)
    opened = Dispute(
        order=held.id,
        by_issuer=by_issuer,
        claimed=operation.claimed,
        asset=operation.asset,
        deposit=operation.amount,
        refund_lock=operation.refund_lock,
        since_ms=draft.clock_ms,
        panel=drawn_panel(draft, (), held.id),
        votes=(),
        decided_ms=0,
    )
    DISPUTES.put(draft, opened)
    write(draft, held, redemption.entered(held, RedemptionState.DISPUTED, draft.clock_ms))


def _check_claim(held: Redemption, claimed: int, *, by_issuer: bool) -> None:
    """The issuer claims more than the highest receipt, and no more than the order; the holder says
    what it was served, and no more than that: a receipt that is posted before its word changes
    nothing about it."""
    least, most = (held.burned + 1, held.burned + held.remaining) if by_issuer else (0, held.burned)
    if not least <= claimed <= most:
        detail = f"{format_amount(claimed)} delivered, from {format_amount(least)} to"
        raise Invalid(Reason.ABOVE_ORDER, f"{detail} {format_amount(most)} may be claimed")


def rule(draft: Draft, operation: RuleRedemption) -> None:
    """A vote on the dispute about an order, of which there is one at most."""
    need_attestor(draft, operation.attestor, operation.key)
    held = DISPUTES.get(draft, operation.order)
    if held is None or draft.clock_ms > panels.deadline(held, draft.economy):
        detail = f"nobody disputes order {operation.order.hex()}, or it is over"
        raise Invalid(Reason.UNKNOWN_DISPUTE, detail)
    DISPUTES.put(draft, voted(draft, held, (), operation.attestor, upheld=operation.upheld))


def _need_order(draft: Draft, order: bytes, issuer: str) -> Redemption:
    held = REDEMPTIONS.get(draft, order)
    if held is None or held.issuer != issuer:
        raise Invalid(Reason.UNKNOWN_REDEMPTION, f"'{issuer}' has no order {order.hex()}")
    return held


def _need_session(held: Redemption, key: bytes) -> None:
    if key != held.session_key:
        detail = f"{key.hex()} is not the session key of order {held.id.hex()}"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)


def _need(draft: Draft, held: Redemption, *states: RedemptionState) -> None:
    """In one of these states, whose deadline has not passed; disputed it is that of the dispute."""
    moment = REDEMPTIONS.deadline(draft, held)
    opened = DISPUTES.get(draft, held.id)
    if opened is not None:
        moment = DISPUTES.deadline(draft, opened)
    redemption.need_state(held, states, draft.clock_ms, moment)
