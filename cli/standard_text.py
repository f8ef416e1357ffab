"""What `marsa standard` shows to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.output import table
from cli.spans import ends_text
from cli.units import PPM, percent
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from node.api import standard_schemas as schemas


def shown(found: schemas.Standards) -> str:
    """The standard, its step, who lacks hours."""
    parts = [f"standard {found.active.version}, in force since {found.active.since}"]
    step = found.step
    if step is not None:
        left = ends_text(found.deadline_ms, found.ledger_time_ms)
        what = "lapses" if found.state == "draft" else "takes effect"
        cut = f"cuts factors by up to {percent(step.cut_ppm)}"
        parts.append(f"step to {step.standard.version}, {found.state}: {what} in {left}, {cut}")
    later = None if step is None else step.standard
    parts.append(_figures(found.active, later))
    if step is not None:
        parts.append(impact(found.issuers))
    return "\n\n".join(parts)


def listed(found: Sequence[schemas.Standard]) -> str:
    rows = [
        [
            str(item.version),
            item.since,
            item.until or "",
            ", ".join(f"{x.workload} {x.units}" for x in item.references),
        ]
        for item in found
    ]
    return table(("version", "since", "until", "units an hour"), rows)


def impact(issuers: Sequence[schemas.IssuerImpact]) -> str:
    """Coverage is the reserve in relation to what is outstanding."""
    rows = [
        [
            item.issuer,
            format_amount(int(item.outstanding)),
            _coverage(item.reserve, item.outstanding),
            _coverage(item.reserve_after, item.outstanding),
            format_amount(int(item.missing)),
            ", ".join(_hours(x) for x in item.hours) if int(item.missing) else "none",
        ]
        for item in issuers
    ]
    headings = ("issuer", "outstanding", "coverage", "after", "missing", "hours it needs")
    return table(headings, rows)


def _figures(active: schemas.Standard, later: schemas.Standard | None) -> str:
    """Units of each workload, then the factors of each class, and what becomes of them."""
    units = {item.workload: item.units for item in active.references}
    factors = {(x.device_class, x.workload): x.factor for x in active.factors}
    units_then = {item.workload: item.units for item in later.references} if later else units
    then = {(x.device_class, x.workload): x.factor for x in later.factors} if later else factors
    rows = [
        ["units an hour", name, _change(units.get(name), units_then[name])] for name in units_then
    ]
    rows += [
        [name, workload, _change(factors.get((name, workload)), then[name, workload])]
        for name, workload in then
    ]
    return table(("class", "workload", "figure"), rows)


def _change(before: int | None, after: int) -> str:
    if before == after:
        return str(after)
    return f"{'new' if before is None else before} -> {after}"


def _coverage(reserve: str, outstanding: str) -> str:
    return percent(int(reserve) * PPM // int(outstanding)) if int(outstanding) else "-"


def _hours(item: schemas.ClassHours) -> str:
    return f"{-(-int(item.microhours) // PPM)} h of {item.device_class}"
