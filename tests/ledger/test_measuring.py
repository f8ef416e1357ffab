"""How often hours are measured in a block that starts a period: once, but for what comes after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from ledger import backing
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.reserve import hours_of
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import EconomyWorld
from tests.ledger.test_spot_audits import FIRST, begin, seals, strikes
from tests.ledger.world import DAY_MS, PERIOD_MS, TIME_MS

ISSUERS = ("val0", "val1", "val2", "val3")


def measured(world: EconomyWorld, *txs: SignedTransaction) -> list[str]:
    """Whose hours the next block measures with these, sorted; it is not taken."""
    names: list[str] = []

    def counting(commitments: Iterable[CapacityCommitment], *more: Any) -> Any:
        held = list(commitments)
        names.extend({item.terms.issuer for item in held})
        return hours_of(held, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backing, "hours_of", counting)
        execution = world.execution(after_ms=1)
        for tx in txs:
            execution.add(tx)
        execution.finish()
    return sorted(names)


def test_lower_figures_that_fall_due_everywhere_are_measured_once() -> None:
    """They change every commitment, before all are measured; a word in the same block is measured
    once more, of its issuer alone, and counts."""
    world = EconomyWorld()
    for issuer in ISSUERS:
        world.run(*(world.attests(group, issuer, 800_000) for group in ("south", "west")))
    world.until(TIME_MS + DAY_MS + PERIOD_MS - 1)
    before = {issuer: world.reserve(issuer).reserve for issuer in ISSUERS}
    word = world.attests("south", "val1")
    assert measured(world, word) == sorted((*ISSUERS, "val1"))
    world.run(word)
    assert all(world.reserve(name).reserve < before[name] - 900_000 for name in ("val0", "val2"))
    assert world.reserve("val1").reserve == before["val1"] - 900_000


def test_a_strike_for_silence_measures_nothing_again() -> None:
    """Strikes change attestors, not what their words count for."""
    world = EconomyWorld()
    world.run(seals(world, "north", FIRST + 1))
    begin(world, FIRST + 2)
    world.until((FIRST + 3) * PERIOD_MS - 1)
    assert measured(world) == sorted(ISSUERS)
    begin(world, FIRST + 3)
    assert strikes(world, "north") == 1
