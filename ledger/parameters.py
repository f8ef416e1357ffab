"""Parameters of a chain: fixed by genesis, held in the state, inside bounds that are code.

A bound keeps a typing mistake in genesis from making a chain on which nobody can transact.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.codec import Wire
from ledger.economy.parameters import EconomyParameters
from ledger.objects import CLOCK_STEP_MS_MAX
from ledger.transaction import FeeSchedule

PPM = 1_000_000
MARGIN_PPM_MAX = 400_000
PERIOD_MS_MIN = 60_000
GROUPS_MIN = 2
GROUPS_MAX = 16
WINDOW_MAX = 4
"""Heights in flight that a chain may have; more gains nothing once links are kept busy. What a
VIEW-CHANGE or STATUS may list is bounded by it too."""
VIEW_TIMEOUT_MS_MAX = 60_000
"""Where doubling ends at the latest: a chain that was down for long must not need as long again."""

EPOCH_MS_MAX = 7 * 24 * 3_600_000

_Fee = Annotated[int, Meta(ge=1, le=1_000_000)]
_Interval = Annotated[int, Meta(ge=1, le=1_000)]
_Heartbeat = Annotated[int, Meta(ge=100, le=CLOCK_STEP_MS_MAX)]
_Timeout = Annotated[int, Meta(ge=100, le=VIEW_TIMEOUT_MS_MAX)]
_EpochBlocks = Annotated[int, Meta(ge=1, le=1_000_000)]
_EpochTime = Annotated[int, Meta(ge=1_000, le=EPOCH_MS_MAX)]


class Parameters(Wire, frozen=True):
    """Numbers that all nodes of a chain share. Times in milliseconds, fees in µ."""

    TYPE: ClassVar[int] = 34
    fee_per_byte: _Fee
    fee_per_signature: _Fee
    fee_per_new_output: _Fee
    margin_ppm: Annotated[int, Meta(ge=0, le=MARGIN_PPM_MAX)]
    """h: minting leaves outstanding at or below (1 - h) of the reserve."""
    period_ms: Annotated[int, Meta(ge=PERIOD_MS_MIN, le=86_400_000)]
    """The unit of delivery."""
    attestation_groups: Annotated[int, Meta(ge=GROUPS_MIN, le=GROUPS_MAX)]
    """k: so many independent groups must attest before an hour counts."""
    window: Annotated[int, Meta(ge=1, le=WINDOW_MAX)]
    """W: heights in flight at once."""
    block_interval_ms: _Interval
    """At most so long after the first pending transaction an idle primary proposes."""
    heartbeat_ms: _Heartbeat
    """An idle chain makes a block so often; no longer than the ledger clock moves a block."""
    view_timeout_ms: _Timeout
    view_timeout_ms_max: _Timeout
    """Where doubling per failed view ends."""
    epoch_blocks: _EpochBlocks
    epoch_ms: _EpochTime
    """An epoch ends with the first block that has so many blocks and so much header time of the
    epoch behind it."""
    economy: EconomyParameters

    @property
    def fees(self) -> FeeSchedule:
        return FeeSchedule(self.fee_per_byte, self.fee_per_signature, self.fee_per_new_output)
