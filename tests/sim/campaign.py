"""`python -m tests.sim.campaign --seeds 100000`: many seeds, resumable, with a report.

Half of the processes run under one PYTHONHASHSEED and half under another. One chunk of seeds in
nine runs under both; a seed that leaves two different traces is a failure like any other. What is
done is kept in a directory after every chunk, so that the same command goes on where it was
interrupted. The state belongs to one version of the code that a run loads: seeds that an older
version passed prove nothing about this one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import Pool
from pathlib import Path

import msgspec

from tests.sim.resumable import fingerprint, of_another_version, save
from tests.sim.run import Result, replay_of, run_one

CHUNK = 20
TWICE_EVERY = 9
"""Of so many chunks one runs twice. Odd: so both halves of the processes have as much to do."""
HASH_SEEDS = ("1", "4711")
ROOT = Path(__file__).parents[2]
BAR_WIDTH = 30


class Failure(msgspec.Struct, frozen=True):
    """A seed that broke something."""

    seed: int
    what: str


Chunk = tuple[int, int]
"""A range of seeds, the end excluded."""


class State(msgspec.Struct):
    """What a campaign has done, as it stands in its directory."""

    code: str
    done: list[Chunk] = []
    """Ascending."""
    twice: int = 0
    """How many of the seeds ran twice."""
    blocks: int = 0
    views: int = 0
    events: int = 0
    busy_s: float = 0
    failures: list[Failure] = []

    @property
    def seeds(self) -> int:
        return sum(end - start for start, end in self.done)

    def covers(self, chunk: Chunk) -> bool:
        return any(start <= chunk[0] and chunk[1] <= end for start, end in self.done)

    def take(self, chunk: Chunk, results: list[Result], again: list[Result]) -> None:
        """Count a chunk; `again` are its results under the other hash seed, if it ran twice."""
        digests = {other.seed: other.digest for other in again}
        self.twice += len(again)
        for one in results:
            self.blocks += one.heights
            self.views += one.views
            self.events += one.events
            other = digests.get(one.seed, one.digest)
            if one.failure:
                self.failures.append(Failure(one.seed, one.failure))
            elif one.digest != other:
                what = f"two traces: {one.digest} and, under another hash seed, {other}"
                self.failures.append(Failure(one.seed, what))
        joined: list[Chunk] = []
        for start, end in sorted([*self.done, chunk]):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        self.done = joined


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every seed passed, 1 when one failed, 2 when there is nothing to go on with."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.campaign", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100_000, help="how many seeds")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--state", type=Path, default=ROOT / ".sim-campaign", help="where to keep")
    options = parser.parse_args(arguments)
    path = options.state / "state.json"
    state = _load(path)
    if state is None:
        print(of_another_version(path))
        return 2
    stop = options.start + options.seeds
    chunks = [(at, min(at + CHUNK, stop)) for at in range(options.start, stop, CHUNK)]
    due = [chunk for chunk in chunks if not state.covers(chunk)]
    try:
        _run(state, path, due, total=len(chunks))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 1
    report = _report(state)
    (options.state / "report.txt").write_text(report)
    print(report, end="")
    return 1 if state.failures else 0


def _run(state: State, path: Path, due: list[Chunk], *, total: int) -> None:
    count = max(1, (os.cpu_count() or 1) // len(HASH_SEEDS))
    begun = time.monotonic()
    busy_s = state.busy_s
    with _pool(HASH_SEEDS[0], count) as one, _pool(HASH_SEEDS[1], count) as other:
        pools = [
            pool.imap(_run_chunk, [chunk for chunk in due if half in _halves(chunk)])
            for half, pool in enumerate((one, other))
        ]
        for number, chunk in enumerate(due, start=1):
            results, *again = [next(pools[half]) for half in _halves(chunk)]
            state.take(chunk, results, again[0] if again else [])
            state.busy_s = busy_s + time.monotonic() - begun
            save(msgspec.json.encode(state), path)
            left_s = (time.monotonic() - begun) / number * (len(due) - number)
            _show(state, total - len(due) + number, total, left_s)
    print(file=sys.stderr)


def _halves(chunk: Chunk) -> tuple[int, ...]:
    """Which halves of the processes run a chunk: one of them in turn, or both."""
    number = chunk[0] // CHUNK
    half = number % len(HASH_SEEDS)
    return (half,) if number % TWICE_EVERY else (half, 1 - half)


def _run_chunk(chunk: Chunk) -> list[Result]:
    return [run_one(seed) for seed in range(*chunk)]


@contextmanager
def _pool(hash_seed: str, count: int) -> Iterator[Pool]:
    """Processes that order their sets by this seed: they take it from the environment."""
    kept = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = hash_seed
    try:
        pool = multiprocessing.get_context("spawn").Pool(count)
    finally:
        del os.environ["PYTHONHASHSEED"]
        if kept is not None:
            os.environ["PYTHONHASHSEED"] = kept
    with pool:
        yield pool


def _load(path: Path) -> State | None:
    """What was done so far; None when another version of the code did it."""
    code = fingerprint()
    if not path.exists():
        return State(code)
    state = msgspec.json.decode(path.read_bytes(), type=State)
    return state if state.code == code else None


def _show(state: State, done: int, total: int, left_s: float) -> None:
    """A bar that renews itself on a terminal, a hundred lines in a file."""
    is_terminal = sys.stderr.isatty()
    if not is_terminal and done % max(1, total // 100):
        return
    filled = BAR_WIDTH * done // total
    bar = "#" * filled + "." * (BAR_WIDTH - filled)
    line = (
        f"[{bar}] {100 * done / total:5.1f} %  {len(state.failures)} failed  {left_s:.0f} s left "
    )
    print("\r" + line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)


def _report(state: State) -> str:
    lines = [
        f"code      {state.code}",
        f"seeds     {state.seeds}, {state.twice} of them under two hash seeds",
        f"blocks    {state.blocks}",
        f"views     {state.views} changed",
        f"events    {state.events}",
        f"time      {state.busy_s:.0f} s",
        f"failures  {len(state.failures)}",
    ]
    for failure in sorted(state.failures, key=lambda item: item.seed):
        lines.append(f"seed {failure.seed}: {failure.what}")
        lines.append(f"  replay: {replay_of(failure.seed)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
