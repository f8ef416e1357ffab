"""In continuous integration nothing is skipped: what cannot run there fails, with its reason.

No test is judged by the clock: examples of Hypothesis have no deadline, and may be slow to make.

Processes take files in the order of `FIRST`: what takes longest begins first, so that none of them
is left alone with it in the end, and tests that mostly wait for other processes run beside those
that only calculate.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

FIRST = (
    "tests/sim/test_seeds_first.py",
    "tests/sim/test_seeds_second.py",
    "tests/functional",
    "tests/ui",
    "tests/sim",
    "tests/economy",
)
ROOT = Path(__file__).parents[1]

settings.register_profile("marsa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("marsa")


ALLOCATED_MAX = 20_000
"""So many new objects before cycles among them are looked for; Python begins with 700."""


def pytest_collection_finish() -> None:
    """All that was imported and collected stays: it is not searched for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATED_MAX)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _turn(item.path))


def _turn(path: Path) -> int:
    """The place in `FIRST`; all others come last."""
    name = path.relative_to(ROOT).as_posix()
    return next((turn for turn, first in enumerate(FIRST) if name.startswith(first)), len(FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped in continuous integration: {reason}"
    return report
