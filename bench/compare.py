"""What a transfer costs one node here beside another commit, measured in turn.

Run: make bench-compare BASE=<commit>
The commit is checked out into a temporary work tree with packages of its own. `bench/transfer.py`
then runs in both, five times in turn, so that other work on the machine slows both alike. It ends
with exit code 1 where the median here is more than a tenth above that of the commit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent.parent
SCRIPT = HERE / "bench" / "transfer.py"
ROUNDS = 5
RATIO_MAX = 1.10
RUN_S_MAX = 600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the commit to compare with")
    base = parser.parse_args().base
    with checked_out(base) as there:
        places = {base: there, "here": HERE}
        found: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(ROUNDS):
            for name, place in places.items():
                found[name].append(cost_us(place))
    for name, costs in found.items():
        low, middle, high = min(costs), median(costs), max(costs)
        print(f"{name:12} {low:8.1f} {middle:8.1f} {high:8.1f} us a transfer (min, median, max)")
    ratio = median(found["here"]) / median(found[base])
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"ratio of medians {ratio:.3f}, at most {RATIO_MAX:.2f}; load average {load}")
    return int(ratio > RATIO_MAX)


def cost_us(place: Path) -> float:
    """One run of the script with the code and the packages of a work tree."""
    done = subprocess.run(
        [place / ".venv/bin/python", SCRIPT],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(place)},
        check=True,
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
    )
    return float(done.stdout)


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A work tree of the commit, set up, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory) / "base"
        git("worktree", "add", "--detach", str(place), commit)
        try:
            subprocess.run([place / ".ci/setup"], cwd=place, check=True, timeout=RUN_S_MAX)
            yield place
        finally:
            git("worktree", "remove", "--force", str(place))


def git(*arguments: str) -> None:
    subprocess.run(["git", "-C", HERE, *arguments], check=True, timeout=RUN_S_MAX)


if __name__ == "__main__":
    sys.exit(main())
