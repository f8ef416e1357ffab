"""Steps of the standard: it follows the performance of the day, and no step breaks a coin.

    (none) -> DRAFT -> NOTICED -> ACTIVE | WITHDRAWN;  DRAFT -> (none), lapsed

A proposal names the next version, higher throughputs of workloads, and factors of classes or
workloads that are new. Factors in force follow from it: ceil(old x T_old / T_new). No throughput
falls, no factor goes, none is cut by more than delta, and delta is at most the margin h. Hence, in
integers: O <= floor((1 - h) R) before a step implies O <= R after. For with X the sum of hours and
factors, of which R is the floor, O <= (1 - h) R <= (1 - delta) X <= X', and O is an integer. It
needs the one floor on the sum: a floor for each commitment would lose up to 1 µ for each.

The numbers of a noticed step are frozen, and only validators can withdraw it. It takes effect at
the start of a period: that of its end, never before notice and spacing are over. Whoever reads the
standard in that period reads the new one, because nothing comes before it in the first block.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise
from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.codec import UInt, Wire
from ledger.economy.parameters import EconomyParameters
from ledger.economy.standard import (
    FACTORS_MAX,
    WORKLOADS_MAX,
    Factor,
    Factors,
    Reference,
    References,
    Standard,
    Version,
    check_standard,
    factor_table,
    units_table,
)
from ledger.reasons import Invalid, Reason

PPM = 1_000_000
"""As in `ledger.parameters`, which builds on operations, and they on this."""
ADDED_MAX = 64
"""New factors in one proposal: with all references and 32 signatures it fits a transaction."""

Raised = Annotated[tuple[Reference, ...], Meta(max_length=WORKLOADS_MAX)]
Added = Annotated[tuple[Factor, ...], Meta(max_length=ADDED_MAX)]


class StepState(IntEnum):
    """How far an open step is. One that took effect, lapsed or was withdrawn is gone."""

    DRAFT = 1
    """The system's own advice: binds nobody, any proposal takes its place."""
    NOTICED = 2


class StandardStep(Wire, frozen=True):
    """The open step; there is at most one. It holds the whole of the standard to come."""

    TYPE: ClassVar[int] = 59
    state: StepState
    version: Version
    since_ms: UInt
    ends_ms: UInt
    """The start of a period, on the ledger clock: then a draft lapses and a noticed step takes
    effect."""
    factors: Factors
    references: References

    @property
    def standard(self) -> Standard:
        """What is in force once it takes effect."""
        return Standard(self.version, self.factors, self.references, self.ends_ms)


def propose(
    standard: Standard,
    raised: Raised,
    added: Added,
    *,
    clock_ms: int,
    period_ms: int,
    economy: EconomyParameters,
) -> StandardStep:
    """The step that a proposal opens; raises Invalid."""
    _check_shape(standard, raised, added)
    units = units_table(standard.references)
    after = units | units_table(raised)
    for item in raised:
        if item.units <= units.get(item.workload, 0):
            raise _falls(item.workload, units[item.workload], item.units)
    factors = (*[_stepped(item, units, after) for item in standard.factors], *added)
    earliest = max(clock_ms + economy.notice_ms, standard.since_ms + economy.step_spacing_ms)
    opened = StandardStep(
        state=StepState.NOTICED,
        version=standard.version + 1,
        since_ms=clock_ms,
        ends_ms=-(-earliest // period_ms) * period_ms,
        factors=factors,
        references=tuple([Reference(name, after[name]) for name in sorted(after)]),
    )
    check_step(standard, opened, economy.step_ppm)
    return opened


def check_step(standard: Standard, held: StandardStep, step_ppm: int) -> None:
    """What any step obeys, whoever made it: the next version, whole in itself, no throughput falls,
    no factor goes or is cut by more than the share delta, exactly; raises Invalid."""
    if held.version != standard.version + 1:
        raise Invalid(Reason.WRONG_VERSION, f"a step from {standard.version} to {held.version}")
    check_standard(held.factors, held.references)
    after, factors = units_table(held.references), factor_table(held.factors)
    for reference in standard.references:
        if after.get(reference.workload, 0) < reference.units:
            units = after.get(reference.workload, 0)
            raise _falls(reference.workload, reference.units, units)
    for old in standard.factors:
        new = factors.get((old.device_class, old.workload), 0)
        if new * PPM < old.factor * (PPM - step_ppm):
            what = f"factor '{old.device_class}/{old.workload}' falls from {old.factor} to {new}"
            raise Invalid(Reason.CUT_TOO_LARGE, f"{what}, by more than {step_ppm} ppm")


def cut_ppm(standard: Standard, factors: Factors) -> int:
    """The largest share of a factor that is cut, rounded up."""
    after = factor_table(factors)
    return max(
        -(-(item.factor - after[item.device_class, item.workload]) * PPM // item.factor)
        for item in standard.factors
    )


def _check_shape(standard: Standard, raised: Raised, added: Added) -> None:
    pairs = [(item.device_class, item.workload) for item in added]
    if not raised and not added:
        raise Invalid(Reason.BAD_STANDARD, "a step raises a throughput or adds a factor")
    if not all(a.workload < b.workload for a, b in pairwise(raised)):
        raise Invalid(Reason.BAD_STANDARD, "throughputs ascend by workload, each once")
    if not all(a < b for a, b in pairwise(pairs)):
        raise Invalid(Reason.BAD_STANDARD, "factors ascend by class and workload, each once")
    if len(standard.factors) + len(added) > FACTORS_MAX:
        raise Invalid(Reason.TOO_MANY, f"a standard has at most {FACTORS_MAX} factors")
    if len({item.workload for item in (*standard.references, *raised)}) > WORKLOADS_MAX:
        raise Invalid(Reason.TOO_MANY, f"a standard has at most {WORKLOADS_MAX} workloads")


def _falls(workload: str, before: int, after: int) -> Invalid:
    detail = f"'{workload}' stands at {before} units an hour, {after} are not more"
    return Invalid(Reason.REFERENCE_FALLS, detail)


def _stepped(item: Factor, units: dict[str, int], after: dict[str, int]) -> Factor:
    """Rounded up: no factor is cut by more than the throughput rose."""
    old, new = units[item.workload], after[item.workload]
    return Factor(item.device_class, item.workload, -(-item.factor * old // new))
