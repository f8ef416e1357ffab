"""Numbers of the compute coin that all nodes of a chain share, each inside bounds that are code.

Times are in milliseconds of the ledger clock unless a line says otherwise. A devnet shortens them;
none may be below a minute but the tick of a session.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ledger.codec import Wire
from ledger.times import DAY_MS, HOUR_MS, MINUTE_MS

YEAR_MS = 365 * DAY_MS
STEP_PPM_MAX = 400_000
AUDIT_DEVICES_MIN = 59
"""Finds one of twenty fakes with 95 %; 149 find one of fifty."""

_Week = Annotated[int, Meta(ge=MINUTE_MS, le=7 * DAY_MS)]
_Month = Annotated[int, Meta(ge=MINUTE_MS, le=30 * DAY_MS)]
_Year = Annotated[int, Meta(ge=MINUTE_MS, le=YEAR_MS)]
_HalfYear = Annotated[int, Meta(ge=MINUTE_MS, le=180 * DAY_MS)]


class EconomyParameters(Wire, frozen=True):
    """What licences, capacity, reserve, bonds and orders are measured by. Shares in ppm."""

    deliverability_ppm: Annotated[int, Meta(ge=10_000, le=250_000)]
    """Lambda: an issuer whose hours of the next 7 days are less of its outstanding does not mint;
    up to twice this share its cap a period shrinks in proportion."""
    mint_cap_ppm: Annotated[int, Meta(ge=1_000, le=1_000_000)]
    """Of the reserve, a period."""
    bond_ppm: Annotated[int, Meta(ge=50_000, le=500_000)]
    """Beta: a bond is worth so much of what is outstanding."""
    deposit_ppm: Annotated[int, Meta(ge=1_000, le=100_000)]
    """Of the contested value, deposited by whoever challenges."""
    attestation_life_ms: _Month
    """An attestation counts in full for half its life and decays over the other half."""
    lower_ms: _Week
    """A lower figure by one of those who are counted takes effect after so long."""
    proposal_ms: _Month
    contest_ms: _Month
    cure_ms: _Month
    """In deficit for so long: caged."""
    bond_cure_ms: _HalfYear
    """Short of bond for so long: suspended."""
    application_ms: _HalfYear
    suspension_ms: _HalfYear
    rotation_ms: _Month
    """From the announcement of a role key to its first day."""
    regulator_rotation_ms: _HalfYear
    winddown_ms: Annotated[int, Meta(ge=MINUTE_MS, le=10 * YEAR_MS)]
    """Coins still outstanding so long after a wind-down began: caged."""
    order_ms_max: _HalfYear
    """Of header time: the longest life of a compliance order."""
    audit_devices: Annotated[int, Meta(ge=AUDIT_DEVICES_MIN, le=1_000)]
    """Devices of an issuer that are drawn a period, in the mean."""
    accept_ms: _Week
    """An issuer that has not accepted an order after so long pays a penalty."""
    closing_ms: _Week
    """How long the other side of a closing order may answer."""
    tick_ms: Annotated[int, Meta(ge=1_000, le=HOUR_MS)]
    """How often a session exchanges a receipt: what either side may lose is two of them."""
    penalty_ppm: Annotated[int, Meta(ge=1_000, le=200_000)]
    """Of an order that its issuer missed; twice as much with each further strike."""
    penalty_ppm_max: Annotated[int, Meta(ge=1_000, le=200_000)]
    forgive_ms: _Month
    """One strike is forgiven after so long."""
    step_ppm: Annotated[int, Meta(ge=0, le=STEP_PPM_MAX)]
    """Delta: no factor is cut by more in one step of the standard; at most the margin."""
    step_spacing_ms: _Year
    """From one version of the standard to the next, at the least."""
    notice_ms: _Year
    """From the notice of a step to its effect, at the least."""
    trigger_ppm: Annotated[int, Meta(ge=10_000, le=1_000_000)]
    """By so much throughput in receipts outruns the standard before the system drafts a step."""
