"""The seeds of every test run: in parts, because each test file goes to one process.

One in twenty-five runs again in a process that orders its sets otherwise, and must leave the same
trace: else no failure could be replayed. A campaign runs one chunk in nine twice.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.sim.run import run_one

SEEDS = 2_000
PARTS = 4
CHUNK = 20
AGAIN_EVERY = 25
OTHER_HASH_SEED = "4711"
AGAIN_S_MAX = 300
SCRIPT = """
from tests.sim.run import run_one
for seed in {seeds}:
    print(run_one(seed).digest)
"""

_digests: dict[int, str] = {}


def part(number: int) -> range:
    """The seeds of one of the PARTS."""
    size = SEEDS // PARTS
    return range(number * size, (number + 1) * size)


def chunks(number: int) -> range:
    """Where the chunks of a part begin."""
    seeds = part(number)
    return range(seeds.start, seeds.stop, CHUNK)


def check_chunk(start: int) -> None:
    """Every seed passes every checker; the message of a failure holds the command to replay."""
    results = [run_one(seed) for seed in range(start, start + CHUNK)]
    _digests.update({result.seed: result.digest for result in results})
    failed = [f"{result.failure}\n{result.replay}" for result in results if result.failure]
    assert not failed, "\n".join(failed)
    assert all(result.heights > 1 for result in results)


def check_again(number: int) -> None:
    """One in so many of a part leaves the same traces under another hash seed."""
    seeds = list(part(number)[::AGAIN_EVERY])
    other = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(seeds=seeds)],
        env={**os.environ, "PYTHONHASHSEED": OTHER_HASH_SEED},
        capture_output=True,
        text=True,
        check=True,
        timeout=AGAIN_S_MAX,
    )
    here = [_digests[seed] if seed in _digests else run_one(seed).digest for seed in seeds]
    assert other.stdout.split() == here
