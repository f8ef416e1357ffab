"""What either side of a session may do. Pure.

The provider works for a tick, shows what it did and stops until it has a receipt for it; the holder
does some of the units again and signs for all, cumulative. So a provider whose holder vanishes has
worked one tick for nothing, and a holder never pays for a unit that it was not shown.

Units are counted, never time: `delivered = floor(units x 10^6 / units a coin)`. The meter is a hash
chain over the digests of all units, so that one root tells both sides that they counted the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ledger.amounts import UNITS_PER_COIN
from ledger.crypto import ZERO_HASH, SigningKey, tagged_hash, verify
from ledger.economy.redemption import Receipt, receipt_hash

UNITS_A_TICK_MAX = 4_096
"""What one tick may show; a faster job shows it in several."""

_meter = tagged_hash("delivery/meter")


class Fault(StrEnum):
    """Why a session ends before all is delivered; what the other side is told."""

    WRONG_ORDER = "wrong_order"
    WRONG_SIGNATURE = "wrong_signature"
    WRONG_RECEIPT = "wrong_receipt"
    WRONG_COUNT = "wrong_count"
    WRONG_METER = "wrong_meter"
    WRONG_UNIT = "wrong_unit"
    WRONG_LICENCE = "wrong_licence"
    NOT_READY = "not_ready"
    BUSY = "busy"


class Broken(Exception):
    """The other side did what it may not; `fault` is for machines."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Terms:
    """What both sides know of the order from the chain."""

    chain_id: bytes
    order: bytes
    session_key: bytes
    amount: int
    """In µ: what the order may bring at most; less than its coins where they are not covered."""
    units_a_coin: int

    @property
    def units(self) -> int:
        """Units that deliver all of it."""
        return -(-self.amount * self.units_a_coin // UNITS_PER_COIN)

    def delivered(self, units: int) -> int:
        """What so many units are worth, in µ."""
        return min(self.amount, units * UNITS_PER_COIN // self.units_a_coin)


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt with the holder's signature, and how many units it stands for."""

    receipt: Receipt
    signature: bytes
    units: int


@dataclass(frozen=True, slots=True)
class Tick:
    """What a provider shows after a tick: all units so far, the digests of the fresh ones, the
    meter's root after them, and the device time of all, in µh."""

    units: int
    digests: tuple[bytes, ...]
    meter_root: bytes
    microhours: int


def next_root(root: bytes, digests: Sequence[bytes]) -> bytes:
    """The meter after these units."""
    return _meter(root, *digests)


@dataclass(frozen=True, slots=True)
class ProviderSide:
    """A provider's view of one session."""

    units: int = 0
    meter_root: bytes = ZERO_HASH
    microhours: int = 0
    signed: SignedReceipt | None = None

    @property
    def delivered(self) -> int:
        """What the holder has signed for, in µ."""
        return self.signed.receipt.delivered if self.signed is not None else 0

    def is_done(self, terms: Terms) -> bool:
        return self.delivered >= terms.amount


def worked(side: ProviderSide, digests: Sequence[bytes], microhours: int) -> ProviderSide:
    """After one more tick; `microhours` in all."""
    return replace(
        side,
        units=side.units + len(digests),
        meter_root=next_root(side.meter_root, digests),
        microhours=max(side.microhours, microhours),
    )


def resumed(signed: SignedReceipt | None) -> ProviderSide:
    """A provider that comes back goes on from the highest receipt: what was worked after it, a tick
    at most, is lost."""
    if signed is None:
        return ProviderSide()
    receipt = signed.receipt
    return ProviderSide(signed.units, receipt.meter_root, receipt.microhours, signed)


def check_signed(terms: Terms, signed: SignedReceipt) -> None:
    """Of this order, signed by its session key, worth what its units are; raises Broken."""
    receipt = signed.receipt
    if receipt.order != terms.order:
        raise Broken(Fault.WRONG_ORDER, f"the receipt is of order {receipt.order.hex()}")
    if receipt.delivered != terms.delivered(signed.units) or receipt.number == 0:
        detail = f"{signed.units} units are {terms.delivered(signed.units)} µ"
        raise Broken(Fault.WRONG_RECEIPT, f"{detail}, the receipt says {receipt.delivered}")
    message = receipt_hash(terms.chain_id, receipt)
    if not verify(terms.session_key, message, signed.signature):
        raise Broken(Fault.WRONG_SIGNATURE, "not by the session key of the order")


def received(side: ProviderSide, terms: Terms, signed: SignedReceipt) -> ProviderSide:
    """The provider after a receipt; raises Broken unless it is the one for all that was shown."""
    check_signed(terms, signed)
    receipt = signed.receipt
    before = side.signed.receipt.number if side.signed is not None else 0
    if receipt.number <= before:
        detail = f"receipt {receipt.number} after {before}"
        raise Broken(Fault.WRONG_RECEIPT, detail)
    if signed.units != side.units or receipt.meter_root != side.meter_root:
        detail = f"a receipt for {signed.units} units, {side.units} were shown, or another meter"
        raise Broken(Fault.WRONG_METER, detail)
    return replace(side, signed=signed)


@dataclass(frozen=True, slots=True)
class HolderSide:
    """A holder's view: what it signed last, all that the next receipt builds on."""

    signed: SignedReceipt | None = None

    @property
    def units(self) -> int:
        return self.signed.units if self.signed is not None else 0

    @property
    def meter_root(self) -> bytes:
        return self.signed.receipt.meter_root if self.signed is not None else ZERO_HASH

    @property
    def number(self) -> int:
        return self.signed.receipt.number if self.signed is not None else 0

    @property
    def delivered(self) -> int:
        return self.signed.receipt.delivered if self.signed is not None else 0


def check_tick(side: HolderSide, terms: Terms, tick: Tick) -> None:
    """The count goes on from what was signed, and the meter with it; raises Broken. Whether the
    units themselves are right is for a sample to say."""
    fresh = tick.units - side.units
    if not 0 < fresh <= UNITS_A_TICK_MAX or fresh != len(tick.digests):
        detail = f"{tick.units} units after {side.units}, {len(tick.digests)} are shown"
        raise Broken(Fault.WRONG_COUNT, detail)
    if tick.units > terms.units:
        raise Broken(Fault.WRONG_COUNT, f"{tick.units} units, the order is for {terms.units}")
    if tick.meter_root != next_root(side.meter_root, tick.digests):
        raise Broken(Fault.WRONG_METER, f"the root after {tick.units} units is another")
    before = side.signed.receipt.microhours if side.signed is not None else 0
    if tick.microhours < before:
        raise Broken(Fault.WRONG_METER, f"device time runs back to {tick.microhours} µh")


def sign(side: HolderSide, terms: Terms, tick: Tick, key: SigningKey) -> SignedReceipt:
    """The receipt for a tick that was checked: the next number, all units so far.

    The caller stores it before it sends it: one number is never signed twice for two counts.
    """
    receipt = Receipt(
        terms.order,
        side.number + 1,
        terms.delivered(tick.units),
        tick.microhours,
        tick.meter_root,
    )
    return SignedReceipt(receipt, key.sign(receipt_hash(terms.chain_id, receipt)), tick.units)
