"""`python -m tests.sim.run --seeds N`: seeds 0..N-1 on all cores. `--seed S --trace` replays S,
`--plan FILE --trace` a file of `regressions/`."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.sim.checkers import Violation
from tests.sim.cluster import Cluster, small_logs
from tests.sim.plan import Plan, draw_plan
from tests.sim.remembered import remembered_decoding, remembered_hashes, remembered_tree
from tests.sim.remembered_blocks import remembered_execution

FAILURES_SHOWN = 20
COMMAND = ".venv/bin/python -m tests.sim.run"
"""As it is typed at the root of the repository."""


class Regression(msgspec.Struct, forbid_unknown_fields=True):
    """A file of `regressions/`: a plan, and what it found."""

    found: str
    plan: Plan
    bug: str = ""
    """The planted one with which the plan still fails, where there is one."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one seed came to."""

    seed: int
    digest: str
    heights: int
    views: int
    events: int
    failure: str = ""

    @property
    def replay(self) -> str:
        return replay_of(self.seed)


def replay_of(seed: int) -> str:
    """What shows every event of a seed."""
    return f"{COMMAND} --seed {seed} --trace"


def replay_of_file(path: Path) -> str:
    """What shows every event of a plan that is kept in a file."""
    return f"{COMMAND} --plan {shlex.quote(str(path))} --trace"


def run_one(seed: int) -> Result:
    """One seed; a failure is a result."""
    return run_silently(draw_plan(seed))


def run_silently(plan: Plan, *, printed: bool = False) -> Result:
    """One plan. Nodes are silent meanwhile, and only then."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return run_plan(plan, printed=printed)
    finally:
        logging.disable(before)


def run_plan(plan: Plan, *, printed: bool = False) -> Result:
    """One plan, drawn or written down."""
    failure = ""
    with made(plan, printed=printed) as cluster:
        try:
            cluster.run()
        except Violation as violation:
            failure = f"{violation} (at {cluster.now_ms} ms)"
        except Exception as error:  # noqa: BLE001 - a checker that breaks is this seed's failure
            failure = f"{type(error).__name__}: {error} (at {cluster.now_ms} ms)"
    views = [node.engine.replica.state.view for node in cluster.live() if node.engine]
    return Result(
        plan.seed,
        cluster.trace.digest,
        cluster.checkers.height,
        max(views, default=0),
        cluster.trace.lines,
        failure,
    )


@contextmanager
def made(plan: Plan, *, printed: bool = False) -> Iterator[Cluster]:
    """The cluster of a plan, and all that is remembered while it runs."""
    with small_logs(plan.log_bytes_rotate), remembered_hashes():
        cluster = Cluster(plan, printed=printed)
        tree = remembered_tree(cluster.world.changes)
        with remembered_decoding(), tree, remembered_execution():
            yield cluster


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every seed passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--seed", type=int, help="run this seed alone")
    alone.add_argument("--plan", type=Path, help="run the plan of this file of regressions/ alone")
    parser.add_argument("--trace", action="store_true", help="of one alone: print every event")
    options = parser.parse_args(arguments)
    if options.plan is not None:
        regression = msgspec.json.decode(options.plan.read_bytes(), type=Regression)
        replay = replay_of_file(options.plan)
        return _run_alone(regression.plan, replay, printed=options.trace)
    if options.seed is not None:
        plan = draw_plan(options.seed)
        return _run_alone(plan, replay_of(options.seed), printed=options.trace)
    return _run_all(range(options.start, options.start + options.seeds))


def _run_alone(plan: Plan, replay: str, *, printed: bool) -> int:
    print(msgspec.json.encode(plan).decode())
    result = run_silently(plan, printed=printed)
    _report(result, replay)
    return 1 if result.failure else 0


def _run_all(seeds: range) -> int:
    started = time.monotonic()
    failed: list[Result] = []
    blocks = 0
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for done, result in enumerate(pool.imap_unordered(run_one, seeds), start=1):
            blocks += result.heights
            if result.failure:
                failed.append(result)
                print(file=sys.stderr)
                _report(result, result.replay)
            _show_progress(done, len(seeds), len(failed), started)
    print(file=sys.stderr)
    took = time.monotonic() - started
    print(f"{len(seeds)} seeds, {blocks} blocks, {len(failed)} failed, {took:.0f} s")
    for result in sorted(failed, key=lambda item: item.seed)[:FAILURES_SHOWN]:
        print(f"seed {result.seed}: {result.failure[:200]}")
    return 1 if failed else 0


def _show_progress(done: int, total: int, failed: int, started: float) -> None:
    """One line that renews itself on a terminal, ten lines in a file."""
    is_terminal = sys.stderr.isatty()
    if not is_terminal and done % max(1, total // 10):
        return
    rate = done / (time.monotonic() - started)
    line = f"{done}/{total} seeds, {failed} failed, {rate:.1f} seeds/s "
    print("\r" + line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)


def _report(result: Result, replay: str) -> None:
    if result.failure:
        print(f"FAILED seed {result.seed}: {result.failure}")
        print(f"  replay: {replay}")
    else:
        print(
            f"seed {result.seed}: {result.heights} blocks, view {result.views}, "
            f"{result.events} events, trace {result.digest}"
        )


if __name__ == "__main__":
    sys.exit(main())
