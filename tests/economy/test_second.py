"""Random actions on rules, model and second implementation: the same to the byte."""

from __future__ import annotations

import pytest

from tests.economy.second_stage import SecondStage
from tests.economy.stream import Stream

ACTIONS = 300
"""The second implementation is naive: a fiftieth of a second each."""


@pytest.mark.parametrize("seed", [100, 101])
def test_both_implementations_agree_on_random_actions(seed: int) -> None:
    """Every answer with its reason, every object after every block, every tenth block its root."""
    stage = SecondStage()
    Stream(seed, stage).run(ACTIONS)
    assert len(stage.taken) > 12 and len(stage.refused) > 8
