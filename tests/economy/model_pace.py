"""How fast devices are by their receipts, and the step that follows, in the model.

As in `model`, nothing is shared with the rules; there are fractions where those round.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.economy.model_values import PPM, Ask, StepModel

if TYPE_CHECKING:
    from tests.economy.model import Model

Told = dict[tuple[str, str], tuple[int, int]]
"""µ and µh of a period, by class and workload."""


def hear(model: Model, item: Ask, work: int, time: int) -> None:
    """A receipt adds so many µ and µh: it is no more than so fast, and no more than so slow."""
    held = model.commitments.get(item.place)
    if held is None or held.state not in ("live", "contested"):
        return
    place = (held.line[1], item.work)
    hour = Fraction(model.factors[place], PPM)
    work = work * item.units // model.units[item.work]
    time = min(time, int(2 * work / hour))
    work = min(work, int(time * hour * Fraction(PPM + 2 * model.times.trigger, PPM)))
    if work:
        before = model.told.get(place, (0, 0))
        model.told[place] = (before[0] + work, before[1] + time)


def advise(model: Model, told: Told) -> None:
    """A draft, where half of the time was fast enough."""
    units = dict(model.units)
    for work, before in model.units.items():
        speed = int(_middle(model, told, work) * PPM)
        if speed >= PPM + model.times.trigger:
            most = int(before / Fraction(PPM - model.times.step, PPM))
            units[work] = max(before, min(before * speed // PPM, most))
    if units == model.units:
        return
    factors = {
        place: -(-factor * model.units[place[1]] // units[place[1]])
        for place, factor in model.factors.items()
    }
    ends = -(-(model.clock + model.times.notice) // model.times.period) * model.times.period
    model.step = StepModel(units, factors, model.clock, ends, "draft")


def _middle(model: Model, told: Told, work: str) -> Fraction:
    """What half of the time was no faster than, over what the standard expects."""
    speeds = {
        place: Fraction(amount, time) * PPM / model.factors[place]
        for place, (amount, time) in told.items()
        if place[1] == work
    }
    total = sum(told[place][1] for place in speeds)
    reached = [
        speed
        for speed in speeds.values()
        if 2 * sum(told[place][1] for place, other in speeds.items() if other <= speed) >= total
    ]
    return min(reached, default=Fraction(0))
