"""Random steps of the standard, most of them small: classes that devices may be of do not end."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from ledger import operations as ops
from ledger.economy.standard import Factor, Reference
from tests.economy.model import Model
from tests.economy.model_values import PPM

if TYPE_CHECKING:
    from tests.economy.stage import Stage

CLASSES = ("gpu-80g", "gpu-24g", "gpu-new")
"""The last is unknown until a step brings it."""
WORKLOADS = ("inference", "training", "video")


def act(stage: Stage, rng: Random) -> None:
    """Validators propose a step, or withdraw the one that is noticed."""
    model, held = stage.model, stage.model.step
    operation: ops.OnStandard
    if held is not None and rng.random() < 0.4:
        since = held.since + (rng.random() < 0.3)
        operation = ops.WithdrawStandard(since)
        stage.act(
            operation,
            lambda: model.withdraw_step(since),
            signers=stage.world.approvers(operation),
        )
        return
    proposed = proposal(model, rng)
    raised = {item.workload: item.units for item in proposed.raised}
    added = {(x.device_class, x.workload): x.factor for x in proposed.added}
    stage.act(
        proposed,
        lambda: model.propose(proposed.version, raised, added),
        signers=stage.world.approvers(proposed),
    )


def proposal(model: Model, rng: Random) -> ops.ProposeStandard:
    """A rise of some workloads, at times too much or none; at times something new."""
    version = model.standard + (1 if rng.random() < 0.95 else rng.choice((0, 2)))
    chosen = [work for work in sorted(model.units) if rng.random() < 0.6]
    raised = {work: _rise(model, work, rng) for work in chosen}
    added: dict[tuple[str, str], int] = {}
    if rng.random() < 0.2:
        place = (rng.choice(CLASSES), rng.choice(WORKLOADS))
        added[place] = rng.randint(1, 2 * PPM)
        if place[1] not in model.units and rng.random() < 0.8:
            raised[place[1]] = rng.randint(1, 5_000)
    return ops.ProposeStandard(
        version,
        tuple(Reference(work, raised[work]) for work in sorted(raised)),
        tuple(Factor(*place, added[place]) for place in sorted(added)),
    )


def _rise(model: Model, work: str, rng: Random) -> int:
    """By how much, in the mean a hundredth; at times exactly as much as may be, or one beyond."""
    units = model.units[work]
    draw = rng.random()
    if draw < 0.1:  # 1 / (1 - 15 %) = 20 / 17, rounded down and up
        return units * PPM // (PPM - model.times.step) + rng.choice((0, 1))
    if draw < 0.15:
        return max(1, units - rng.choice((0, 1)))
    if draw < 0.2:
        return units * 2
    return units + max(1, units * rng.randint(1, 20) // 1_000)
