"""When the system itself drafts a step: work that was delivered outran what the standard expects.

Of each class and workload a period's receipts tell how many coins of work were delivered, and in
how much time of its devices. The ratio of the two to the factor says by how much those devices
outran the standard. The standard of a workload rises with the median of these ratios over device
time: what half of the time delivers is mainstream, and fewer than half of the devices move nothing,
however fast they say they are. Below the trigger there is no draft, and none cuts a factor by more
than delta. A draft binds nobody (`ledger.economy.step`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ledger.economy.parameters import EconomyParameters
from ledger.economy.standard import (
    UNITS_MAX,
    FactorTable,
    Reference,
    Standard,
    factor_table,
)
from ledger.economy.step import PPM, StandardStep, StepState, propose
from ledger.economy.throughput import Throughput


def draft(
    standard: Standard,
    delivered: Iterable[Throughput],
    *,
    clock_ms: int,
    period_ms: int,
    economy: EconomyParameters,
) -> StandardStep | None:
    """The step that the past period asks for, which lapses after as long as a notice takes; None
    where throughput did not outrun the standard by the trigger. What is of no class or workload
    of the standard, or took no time, tells nothing."""
    found, factors = list(delivered), factor_table(standard.factors)
    raised = []
    for item in standard.references:
        ratio_ppm = _median_ppm(item.workload, found, factors)
        most = min(item.units * PPM // (PPM - economy.step_ppm), UNITS_MAX)
        units = min(item.units * ratio_ppm // PPM, most)
        if ratio_ppm >= PPM + economy.trigger_ppm and units > item.units:
            raised.append(Reference(item.workload, units))
    if not raised:
        return None
    step = propose(
        standard, tuple(raised), (), clock_ms=clock_ms, period_ms=period_ms, economy=economy
    )
    ends_ms = -(-(clock_ms + economy.notice_ms) // period_ms) * period_ms
    return msgspec.structs.replace(step, state=StepState.DRAFT, ends_ms=ends_ms)


def _median_ppm(workload: str, delivered: Iterable[Throughput], factors: FactorTable) -> int:
    """The ratio that at least half of the device time of a workload does not exceed; 0 where
    nothing was delivered. Rounded down."""
    ratios = sorted(
        (item.amount * PPM * PPM // (item.microhours * factor), item.microhours)
        for item in delivered
        if item.workload == workload and item.microhours
        for factor in [factors.get((item.device_class, workload), 0)]
        if factor
    )
    total = sum(microhours for _, microhours in ratios)
    passed = 0
    for ratio_ppm, microhours in ratios:
        passed += microhours
        if 2 * passed >= total:
            return ratio_ppm
    return 0
