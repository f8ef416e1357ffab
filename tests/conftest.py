"""In continuous integration nothing is skipped: what cannot run there fails, with its reason.

No test is judged by the clock: examples of Hypothesis have no deadline, and may be slow to make.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("marsa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("marsa")


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
