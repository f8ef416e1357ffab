"""A seed is one run, whatever the process: else no failure could be replayed."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.sim.run import run_one

SEEDS = range(0, 300, 10)
"""A tenth of those of every test run."""
SCRIPT = """
from tests.sim.run import run_one
for seed in {seeds}:
    print(run_one(seed).digest)
"""


def test_trace_is_the_same_under_another_hash_seed() -> None:
    """Runs a tenth of the seeds here and in a process that orders its sets otherwise."""
    other = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(seeds=list(SEEDS))],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert other.stdout.split() == [run_one(seed).digest for seed in SEEDS]


def test_seeds_differ() -> None:
    """Two seeds are two runs: the digest covers what happened."""
    assert run_one(1).digest != run_one(2).digest
