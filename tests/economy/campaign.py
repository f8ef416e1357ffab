"""`python -m tests.economy.campaign --actions 1000000`: many streams, resumable, with a report.

One seed is 5,000 actions. What is done stands in a file, a line a seed, so that the same command
goes on where it was stopped. The file belongs to one version of the code.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.economy.stage import Disagreement
from tests.economy.stream import Stream

ACTIONS_A_SEED = 5_000
ROOT = Path(__file__).parents[2]
CODE = ("ledger", "tests/economy", "tests/ledger")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when rules and model agreed everywhere, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.economy.campaign", description=__doc__)
    parser.add_argument("--actions", type=int, default=1_000_000, help="how many in all")
    parser.add_argument("--state", type=Path, default=ROOT / ".economy-campaign")
    options = parser.parse_args(arguments)
    options.state.mkdir(exist_ok=True)
    path = options.state / f"{_code()[:16]}.txt"
    done = {int(line.split()[0]) for line in _lines(path)}
    seeds = range(-(-options.actions // ACTIONS_A_SEED))
    due = [seed for seed in seeds if seed not in done]
    begun = time.monotonic()
    with multiprocessing.Pool() as pool, path.open("a") as kept:
        for count, line in enumerate(pool.imap_unordered(_run, due), start=1):
            kept.write(line + "\n")
            kept.flush()
            left_s = (time.monotonic() - begun) / count * (len(due) - count)
            shown = f"\r{len(seeds) - len(due) + count}/{len(seeds)} seeds, {left_s:.0f} s left "
            print(shown, end="", file=sys.stderr)
    print(file=sys.stderr)
    failed = [line for line in _lines(path) if " agreed " not in line]
    actions = sum(int(line.split()[-1]) for line in _lines(path) if " agreed " in line)
    print(f"{len(_lines(path))} seeds, {actions} actions, {len(failed)} disagreements")
    for line in failed:
        print(line)
    return 1 if failed else 0


def _run(seed: int) -> str:
    try:
        stage = Stream(seed).run(ACTIONS_A_SEED)
    except (Disagreement, AssertionError) as error:
        return f"{seed} {type(error).__name__}: {error}"
    return f"{seed} agreed {stage.actions}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _code() -> str:
    digest = sha256()
    for folder in CODE:
        for source in sorted((ROOT / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
