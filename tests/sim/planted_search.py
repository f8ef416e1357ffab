"""Looking for one planted bug, in a process of its own, until somebody finds it.

Seeds are tried from 0 on; what an earlier run found is never asked. A find counts only when it is
one that the bug's file names: a wrong function that merely crashes would be found by anybody.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from tests.sim.plan import draw_plan
from tests.sim.planting import CANARY, Planted, load, plant
from tests.sim.run import run_plan

TEST_SECONDS_MAX = 120
DIGEST_SECONDS_MAX = 60
HASH_SEEDS = ("1", "2")
TWICE = "two runs"
"""The finder of what differs between two runs of one seed."""
TESTS_FAILED = 1
"""Pytest's answer when tests ran and some failed; others mean that it did not come so far."""


@dataclass(frozen=True, slots=True)
class Found:
    """Who found a bug and where; `finder` is empty where it lives."""

    name: str
    finder: str
    seed: int | None
    tried: int
    seconds: float
    detail: str = ""


def find(name: str) -> Found:
    """Plant the bug `name` here and look for it. This process must not be used again.

    A canary goes through its test and the checkers alike.
    """
    logging.disable(logging.CRITICAL)
    planted = load(name)
    if planted.test:
        found = _find_by_test(name, planted)
        if found.finder or found.detail or not name.startswith(CANARY):
            return found
    if planted.twice:
        return _find_by_two_runs(name, planted.seeds)
    plant(planted)
    return _find_by_checkers(name, planted)


def digest_of(name: str, seed: int) -> str:
    """What a run of the planted code comes to."""
    logging.disable(logging.CRITICAL)
    planted = load(name)
    plant(planted)
    return run_plan(planted.focus(draw_plan(seed))).digest


def _find_by_checkers(name: str, planted: Planted) -> Found:
    started = time.monotonic()
    for seed in range(planted.seeds):
        failure = run_plan(planted.focus(draw_plan(seed))).failure
        if failure:
            took = time.monotonic() - started
            checker = failure.partition(":")[0]
            if checker not in planted.checkers:
                detail = f"by {checker}, expected {', '.join(planted.checkers)}: {failure}"
                return Found(name, "", seed, seed + 1, took, detail)
            return Found(name, checker, seed, seed + 1, took, failure)
    return Found(name, "", None, planted.seeds, time.monotonic() - started)


def _find_by_test(name: str, planted: Planted) -> Found:
    started = time.monotonic()
    command = [sys.executable, "-m", "tests.sim.planting", name, planted.test]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=TEST_SECONDS_MAX
    )
    took = time.monotonic() - started
    if done.returncode == TESTS_FAILED:
        return Found(name, planted.test.rpartition("::")[2], None, 0, took)
    detail = "" if done.returncode == 0 else done.stdout[-500:] + done.stderr[-500:]
    return Found(name, "", None, 0, took, detail)


def _find_by_two_runs(name: str, seeds: int) -> Found:
    started = time.monotonic()
    for seed in range(seeds):
        digests = {_digest_elsewhere(name, seed, hash_seed) for hash_seed in HASH_SEEDS}
        if len(digests) > 1:
            return Found(name, TWICE, seed, seed + 1, time.monotonic() - started)
    return Found(name, "", None, seeds, time.monotonic() - started)


def _digest_elsewhere(name: str, seed: int, hash_seed: str) -> str:
    script = f"from tests.sim.planted_search import digest_of; print(digest_of({name!r}, {seed}))"
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=DIGEST_SECONDS_MAX,
    ).stdout.strip()
