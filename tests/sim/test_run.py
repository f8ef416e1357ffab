"""Running seeds leaves nothing behind."""

from __future__ import annotations

import logging

from tests.sim.run import run_one


def test_a_seed_silences_nodes_only_while_it_runs() -> None:
    """Other tests in the process still see what is logged."""
    assert run_one(0).failure == ""
    assert logging.root.manager.disable == logging.NOTSET
