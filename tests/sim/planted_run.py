"""`python -m tests.sim.planted_run [NAME...]`: every planted bug must be found.

Each bug gets a process of its own, on all cores. What was found is written to `planted/found.json`
beside the time it took; from there comes the order in which bugs are taken, the longest first, and
nothing else: every run searches the seeds from 0 on. A canary that breaks nothing must live, one
that screams must die, or the list means nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tests.sim.planted_search import Found, find
from tests.sim.planting import FOLDER, names

FOUND_FILE = FOLDER / "found.json"
HARMLESS, LOUD = "canary_harmless", "canary_loud"


class Hint(msgspec.Struct, frozen=True):
    """What the last whole run says of one bug."""

    finder: str
    seed: int | None
    seconds: float


def read_hints(path: Path = FOUND_FILE) -> dict[str, Hint]:
    """By name; empty before the first run."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Hint])


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all bugs are found and both canaries behave."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.planted_run", description=__doc__)
    parser.add_argument("names", nargs="*", help="bugs to look for; all when none is named")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - {*names(), HARMLESS, LOUD})
    if unknown:
        parser.error(
            f"no planted bug is called {', '.join(unknown)}; there are {', '.join(names())}"
        )
    started = time.monotonic()
    found = search(options.names or [*names(), HARMLESS, LOUD])
    took = time.monotonic() - started
    bugs = [item for item in found if item.name not in (HARMLESS, LOUD)]
    lives = [item for item in bugs if not item.finder]
    wrong_canaries = [item.name for item in found if _is_wrong_canary(item)]
    print(f"{len(bugs) - len(lives)} of {len(bugs)} found, {took:.0f} s")
    for name in wrong_canaries:
        print(f"FAILED {name}: the search itself cannot be believed")
    for item in lives:
        print(f"FAILED {item.name}: nobody found it in {item.tried} seeds {item.detail}")
    if not options.names and not lives and not wrong_canaries:
        _write_hints(bugs)
    return 1 if lives or wrong_canaries else 0


def search(wanted: Sequence[str]) -> list[Found]:
    """Look for all, each in a fresh process; prints a line a bug as it comes."""
    hints = read_hints()
    longest_first = sorted(
        wanted, key=lambda name: -hints[name].seconds if name in hints else float("-inf")
    )
    context = multiprocessing.get_context("spawn")
    found = []
    with context.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        for item in pool.imap_unordered(find, longest_first, chunksize=1):
            found.append(item)
            print(_line(item), flush=True)
    return found


def _is_wrong_canary(item: Found) -> bool:
    return (item.name == HARMLESS and bool(item.finder or item.detail)) or (
        item.name == LOUD and not item.finder
    )


def _line(item: Found) -> str:
    seed = "" if item.seed is None else f"seed {item.seed}"
    finder = item.finder or "NOT FOUND"
    return f"{item.name:<30} {item.seconds:5.1f} s  {seed:<9} {finder}"


def _write_hints(found: Sequence[Found]) -> None:
    """Only where somebody else, or at another seed, finds a bug: times differ with each run."""
    hints = {
        item.name: Hint(item.finder, item.seed, round(item.seconds, 1))
        for item in sorted(found, key=lambda item: item.name)
    }
    if _finds(hints) != _finds(read_hints()):
        FOUND_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(hints)) + b"\n")


def _finds(hints: Mapping[str, Hint]) -> dict[str, tuple[str, int | None]]:
    return {name: (item.finder, item.seed) for name, item in hints.items()}


if __name__ == "__main__":
    sys.exit(main())
