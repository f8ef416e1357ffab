"""Whether the standard in force is that of genesis or follows from it by steps that keep the rules.

- versions count on from that of genesis without a gap; each begins when the one before ends, at the
  start of a period, and not before the spacing is over;
- no throughput falls, each workload of a factor has one, and no other workload;
- every factor goes on, at `ceil(factor x T_old / T_new)`; new ones stand behind;
- none falls by more than the share delta, which is at most the margin.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from cli.verify_bytes import named
from cli.verify_chain import Trust
from cli.verify_hours import PPM, Objects
from cli.verify_layouts import PARAMETERS, PAST_STANDARD, STANDARD


def fault_of_steps(objects: Objects, trust: Trust) -> str:
    """What does not follow; empty where all does."""
    parameters = named(PARAMETERS, objects[PARAMETERS.name][0])
    past = [named(PAST_STANDARD, item) for item in objects[PAST_STANDARD.name]]
    versions = [*(item.standard for item in past), named(STANDARD, objects[STANDARD.name][0])]
    first = objects[PAST_STANDARD.name][0][0] if past else objects[STANDARD.name][0]
    if first != trust.rules[STANDARD.name][0]:
        return f"version {versions[0].version} is not that of the genesis file"
    ends = [item.until_ms for item in past]
    if ends != [item.since_ms for item in versions[1:]]:
        return "a version does not begin when the one before ends"
    for before, after in pairwise(versions):
        fault = _fault_of_step(before, after, parameters)
        if fault:
            return f"from version {before.version} to {after.version}: {fault}"
    return ""


def _fault_of_step(before: Any, after: Any, parameters: Any) -> str:
    economy = parameters.economy
    if after.version != before.version + 1:
        return "a version is missing"
    if after.since_ms % parameters.period_ms:
        return "it took effect within a period"
    if after.since_ms < before.since_ms + economy.step_spacing_ms:
        return "it came before the spacing was over"
    units = {item.workload: item.units for item in before.references}
    then = {item.workload: item.units for item in after.references}
    if any(then.get(name, 0) < figure for name, figure in units.items()):
        return "a throughput falls"
    if {item.workload for item in after.factors} != then.keys():
        return "workloads of factors and references differ"
    kept = [item for item, _ in zip(after.factors, before.factors, strict=False)]
    names = [(item.device_class, item.workload) for item in kept]
    if names != [(item.device_class, item.workload) for item in before.factors]:
        return "a factor is missing"
    for old, new in zip(before.factors, kept, strict=True):
        what = f"factor {old.device_class}/{old.workload}"
        if new.factor != -(-old.factor * units[old.workload] // then[old.workload]):
            return f"{what} does not follow from the throughput"
        if (old.factor - new.factor) * PPM > old.factor * min(
            economy.step_ppm, parameters.margin_ppm
        ):
            return f"{what} falls too far"
    return ""
