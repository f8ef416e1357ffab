"""Redemption: a holder turns coins into metered compute, and nobody can stall it.

    (none) -> QUEUED -> REQUESTED -> ACCEPTED -> READY -> ACTIVE -> CLOSING -> SETTLED
    QUEUED, REQUESTED -> CANCELLED      by the holder, or at the queue's end
    REQUESTED -> LAPSED                 the issuer was silent: refund and penalty
    ACCEPTED -> FAILED                  no endpoint by start-by: refund and penalty
    READY -> SETTLED                    never begun: refund
    CLOSING -> DISPUTED -> RULED        by a panel

The coins of an order lie in it. A receipt is signed by the holder's session key and cumulative: the
highest number wins, whatever order receipts come in, and what it adds is burned while the hours
leave the reserve. What is left goes back to the refund lock when the order ends, which happens
once; every state but the ends has a deadline, and an end is forgotten a while later.

Hours are reserved by the commitment that the order names (`ledger.economy.book`). What a coin
brings is the better for the holder of request and start: a standard that rises gives it more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger import codec
from ledger.amounts import format_amount
from ledger.codec import Amount, AmountOrZero, Bytes32, Slug, UInt, Wire
from ledger.crypto import ZERO_HASH, tagged_hash
from ledger.economy.capacity import MICROHOURS_MAX, MicroHours
from ledger.economy.parameters import EconomyParameters
from ledger.economy.standard import FACTOR_MAX, UNITS_MAX
from ledger.reasons import Invalid, Reason
from ledger.times import HOUR_MS, rfc3339

ORDER_LEAST = 10_000
"""The smallest order, in µ: a hundredth of a coin."""
WINDOW_PERIODS_MAX = 168
"""How many periods ahead an order's window may end: a week of hours."""
ORDER_KEPT_MS = HOUR_MS
"""How long an order that ended is still told of, and at least until its start-by: by then nobody
can ask for the same one again. Its transactions stand in the blocks."""
ENDPOINT_BYTES_MAX = 128

Endpoint = Annotated[str, Meta(pattern=r"^[!-~]*\Z", max_length=ENDPOINT_BYTES_MAX)]
"""Where the provider serves: host and port, printable ASCII; empty before there is one."""
FactorOf = Annotated[int, Meta(ge=1, le=FACTOR_MAX)]
Units = Annotated[int, Meta(ge=1, le=UNITS_MAX)]

_order_id = tagged_hash("redemption")
_receipt_hash = tagged_hash("redemption/receipt")


class RedemptionState(IntEnum):
    """Where an order stands; from CANCELLED on it has ended."""

    QUEUED = 1
    REQUESTED = 2
    ACCEPTED = 3
    READY = 4
    ACTIVE = 5
    CLOSING = 6
    DISPUTED = 7
    CANCELLED = 8
    LAPSED = 9
    FAILED = 10
    SETTLED = 11
    RULED = 12


RESERVING = (
    RedemptionState.REQUESTED,
    RedemptionState.ACCEPTED,
    RedemptionState.READY,
    RedemptionState.ACTIVE,
    RedemptionState.CLOSING,
    RedemptionState.DISPUTED,
)
"""States in which hours are kept for the order."""
DELIVERING = (
    RedemptionState.READY,
    RedemptionState.ACTIVE,
    RedemptionState.CLOSING,
    RedemptionState.DISPUTED,
)
"""States in which a receipt counts: until the order has ended the highest one is looked for."""


class Receipt(Wire, frozen=True):
    """What the holder has received so far, cumulative; signed by the session key of the order.

    `delivered` is in µ of the coin, `microhours` the device time that it took, `meter_root` commits
    to the meter's log.
    """

    order: Bytes32
    number: UInt
    delivered: Amount
    microhours: UInt
    meter_root: Bytes32


class Redemption(Wire, frozen=True):
    """One order. Identity: its id."""

    TYPE: ClassVar[int] = 54
    id: Bytes32
    issuer: Slug
    commitment: Slug
    workload: Slug
    asset: Bytes32
    amount: Amount
    """Coins that moved into the order, in µ."""
    burned: AmountOrZero
    """Of these delivered."""
    residual: AmountOrZero
    """Of these turned into a claim because the issuer did not cover its coins."""
    state: RedemptionState
    since_ms: UInt
    """When `state` began, on the ledger clock."""
    is_paid: bool
    """Ended, and what was left is paid back."""
    session_key: Bytes32
    """Signs receipts, and whatever the holder wants of the order."""
    refund_lock: Bytes32
    factor: FactorOf
    units: Units
    """Of the workload's reference job: so many are one coin."""
    microhours: MicroHours
    """Needed for the whole amount; kept from REQUESTED on."""
    start_by_ms: UInt
    end_ms: UInt
    """The end of its window, exclusive: a whole period."""
    queue_until_ms: UInt
    """How long it waits for free hours; 0 where it was not to wait."""
    place: UInt
    """Its place in the queue of its commitment."""
    endpoint: Endpoint
    session_hash: Bytes32
    """Of the certificate that the endpoint shows; zero before there is one."""
    number: UInt
    """Of the highest receipt; 0 before the first."""
    used_microhours: UInt
    """Device time of what was delivered: that of the highest receipt, or its share of it where the
    coins brought less than the receipt says."""
    meter_root: Bytes32

    @property
    def has_ended(self) -> bool:
        return self.state >= RedemptionState.CANCELLED

    @property
    def remaining(self) -> int:
        """Neither delivered nor claimed, in µ."""
        return self.amount - self.burned - self.residual

    @property
    def held(self) -> int:
        """Coins that lie in it now: after it was paid out none."""
        return 0 if self.is_paid else self.remaining

    @property
    def reserved(self) -> int:
        """µh that are still kept for it."""
        if self.state not in RESERVING:
            return 0
        return self.microhours - hours_delivered(self.burned, self.factor)


def hours_needed(amount: int, factor: int) -> int:
    """µh that deliver `amount`, rounded up."""
    return -(-amount * 1_000_000 // factor)


def hours_delivered(amount: int, factor: int) -> int:
    """µh that a delivery of `amount` takes, rounded down. Of the reserve each takes its own, so
    that it loses no more than the coins burned: floored on their sum, the last of many small ones
    could take more than it burns."""
    return amount * 1_000_000 // factor


def order_id(chain_id: bytes, request: bytes) -> bytes:
    """The id of an order, by the canonical bytes of the operation that asks for it: known before
    it is sent, and a copy of it is the same order."""
    return _order_id(chain_id, request)


def receipt_hash(chain_id: bytes, receipt: Receipt) -> bytes:
    """The 32 bytes that the session key signs."""
    return _receipt_hash(chain_id, codec.encode_payload(receipt))


def deadline(held: Redemption, parameters: EconomyParameters) -> int | None:
    """The last moment of the present state; disputed it is the dispute that has one. What ended
    unpaid is due at once."""
    match held.state:
        case RedemptionState.QUEUED:
            return held.queue_until_ms
        case RedemptionState.REQUESTED:
            return held.since_ms + parameters.accept_ms
        case RedemptionState.ACCEPTED:
            return held.start_by_ms
        case RedemptionState.READY | RedemptionState.ACTIVE:
            return held.end_ms
        case RedemptionState.CLOSING:
            return held.since_ms + parameters.closing_ms
        case RedemptionState.DISPUTED:
            return None
        case _:
            if not held.is_paid:
                return held.since_ms
            return max(held.since_ms + ORDER_KEPT_MS, held.start_by_ms)


def matured(held: Redemption, clock_ms: int) -> Redemption:
    """As of the clock: a session past its window is closing since then. All other deadlines pay,
    and so wait for the sweep."""
    if held.state is RedemptionState.ACTIVE and clock_ms > held.end_ms:
        return entered(held, RedemptionState.CLOSING, held.end_ms)
    return held


def entered(held: Redemption, state: RedemptionState, clock_ms: int) -> Redemption:
    return msgspec.structs.replace(held, state=state, since_ms=clock_ms)


def need_state(
    held: Redemption, states: tuple[RedemptionState, ...], clock_ms: int, moment: int | None
) -> None:
    """Whether it is in one of these states and that is not over; raises Invalid."""
    where = f"order {held.id.hex()} is {held.state.name.lower()}"
    if held.state not in states:
        wanted = " or ".join(state.name.lower() for state in states)
        raise Invalid(Reason.WRONG_STATE, f"{where}, needed is {wanted}")
    if moment is not None and clock_ms > moment:
        detail = f"{where} until {rfc3339(moment)}, the ledger clock is {rfc3339(clock_ms)}"
        raise Invalid(Reason.WRONG_STATE, detail)


def check_window(
    *,
    start_by_ms: int,
    end_ms: int,
    queue_until_ms: int,
    clock_ms: int,
    period_ms: int,
    accept_ms: int,
) -> None:
    """The issuer has time to accept and to prepare, the window is of whole periods and not far,
    and whoever waits stops while the order can still begin. Raises Invalid(BAD_WINDOW)."""
    lead = accept_ms + period_ms
    clock = f"the ledger clock is {rfc3339(clock_ms)}"
    if start_by_ms < clock_ms + lead:
        detail = f"start by {rfc3339(start_by_ms)} is less than {lead} ms ahead, {clock}"
        raise Invalid(Reason.BAD_WINDOW, detail)
    if end_ms % period_ms or end_ms <= start_by_ms:
        detail = f"the window ends at {rfc3339(end_ms)}: not after {rfc3339(start_by_ms)},"
        raise Invalid(Reason.BAD_WINDOW, f"{detail} or no whole period of {period_ms} ms")
    if end_ms > clock_ms + WINDOW_PERIODS_MAX * period_ms:
        detail = f"the window ends at {rfc3339(end_ms)}, more than {WINDOW_PERIODS_MAX} periods"
        raise Invalid(Reason.BAD_WINDOW, f"{detail} of {period_ms} ms ahead, {clock}")
    if queue_until_ms and not clock_ms <= queue_until_ms <= start_by_ms - lead:
        detail = f"it waits until {rfc3339(queue_until_ms)}, the latest is"
        raise Invalid(Reason.BAD_WINDOW, f"{detail} {rfc3339(start_by_ms - lead)}, {clock}")


@dataclass(frozen=True, slots=True)
class Rate:
    """What a coin brings by one version of the standard: `factor` is that of the device class,
    `units` are of the workload's reference job."""

    factor: int
    units: int


def at_better(held: Redemption, rate: Rate) -> Redemption:
    """The order at what is better for its holder, with the hours that it then needs. One that
    would need more of them than any commitment can promise stays as it is: so no sequence of steps
    makes hours that do not fit where they are kept, be the factors of genesis what they may."""
    factor = min(held.factor, rate.factor)
    microhours = hours_needed(held.amount, factor)
    if microhours > MICROHOURS_MAX:
        return held
    return msgspec.structs.replace(
        held, factor=factor, units=max(held.units, rate.units), microhours=microhours
    )


def ready(held: Redemption, *, endpoint: str, session_hash: bytes, clock_ms: int) -> Redemption:
    """Whoever holds the session key finds the service there; raises Invalid(BAD_ENDPOINT)."""
    if not endpoint or session_hash == ZERO_HASH:
        raise Invalid(Reason.BAD_ENDPOINT, "an endpoint and the hash of its certificate are needed")
    held = entered(held, RedemptionState.READY, clock_ms)
    return msgspec.structs.replace(held, endpoint=endpoint, session_hash=session_hash)


def check_receipt(held: Redemption, receipt: Receipt) -> None:
    """A higher number with more delivered, and no more than was ordered; raises Invalid. Repeated
    and late ones are stale."""
    if receipt.delivered > held.amount:
        detail = f"{format_amount(receipt.delivered)} delivered, order {held.id.hex()} is of"
        raise Invalid(Reason.ABOVE_ORDER, f"{detail} {format_amount(held.amount)}")
    if receipt.number <= held.number:
        detail = f"receipt {receipt.number} of order {held.id.hex()}, {held.number} is posted"
        raise Invalid(Reason.STALE_RECEIPT, detail)
    if receipt.delivered <= held.burned or receipt.microhours < held.used_microhours:
        detail = f"receipt {receipt.number}: {format_amount(receipt.delivered)} delivered in"
        detail = f"{detail} {receipt.microhours} µh, posted are {format_amount(held.burned)} in"
        raise Invalid(Reason.STALE_RECEIPT, f"{detail} {held.used_microhours}")


def consumed(held: Redemption, fresh: int, cost: int) -> Redemption:
    """The order after `fresh` µ more, for which `cost` of its coins go: more than were delivered
    where the issuer does not cover its coins."""
    assert fresh <= cost <= held.remaining  # Nobody delivers more than the coins bring.
    return msgspec.structs.replace(
        held, burned=held.burned + fresh, residual=held.residual + cost - fresh
    )


def posted(held: Redemption, after: Redemption, receipt: Receipt) -> Redemption:
    """The order after a receipt of which that much was delivered by it; raises Invalid where that
    is nothing. The same receipt counts later, when its coins bring more."""
    counted, fresh = after.burned - held.burned, receipt.delivered - held.burned
    if not counted:
        detail = f"{format_amount(held.remaining)} coins are left of order {held.id.hex()}"
        raise Invalid(Reason.NOT_HEALTHY, f"{detail}, and now they bring nothing")
    more = (receipt.microhours - held.used_microhours) * counted // fresh
    return msgspec.structs.replace(
        after,
        number=receipt.number,
        used_microhours=held.used_microhours + more,
        meter_root=receipt.meter_root,
    )


def cost_of(delivered: int, covered: int, outstanding: int) -> int:
    """What a delivery takes of an order, in µ, rounded up: `outstanding` coins for each `covered`
    ones. So the coverage of all others stays as it was, whoever comes first."""
    return -(-delivered * outstanding // covered)


def deliverable(remaining: int, covered: int, outstanding: int) -> int:
    """The most that so many coins bring: floor(a R / O)."""
    return remaining * covered // outstanding
