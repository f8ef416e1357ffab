"""`marsa bench growth --pages`: what open pages of the explorer cost the node that they read.

A fixed load, a quarter of what the network takes, goes to all validators at fixed times, so that
every node has the same work with pages and without. Pages of one node (`cli.bench_readers`) are
open in every other window of time; the order turns from pair to pair, so that a drift hits both.
In each window the processor time of every node is taken. The cost of a pair is what the node that
is read took more with pages than without, less the median of what the others did, who have the same
machine and no pages. As a part of one core it is the part of a node's rate that it costs: a node
has one loop, on one core. Who leads has other work than the rest, by several percent of a core, so
that a pair counts only where nobody else began to lead in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import median

from cli import bench_target
from cli.bench_open import OpenRecord, offer
from cli.bench_readers import Reading, readers
from cli.bench_run import Plan, Run
from cli.bench_target import Target
from cli.devnet import control
from cli.errors import CliError, ExitCode, not_found
from cli.output import note
from cli.progress import Progress

PAIRS = 8
"""For which the load lasts. On a devnet an epoch, and with it who leads, lasts a minute."""
PAIRS_MIN = 3
"""That count."""
WARMUP_S = 5.0
SETTLE_S = 1.0
"""Between pages that come or go and the window."""
OPEN_S = 5.0
"""At most, for the process of pages to start and to open them."""
SHARE = 0.25
"""Of the peak. Half of it keeps all cores of a small machine busy, and what the nodes then take
follows from queues: windows differ by more than pages cost. Less load in more blocks costs more."""
SENDERS = 1
ACCOUNTS = 500


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of the load; processor time as a part of a core."""

    begin_s: float
    end_s: float
    read: float
    """Of the node that pages read."""
    others: tuple[float, ...]
    """Of every other node that runs, in the same order in each window."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Neighbours in time."""

    without: Window
    with_pages: Window

    @property
    def cost(self) -> float:
        """Of the pages, as a part of a core."""
        changes = [b - a for a, b in zip(self.without.others, self.with_pages.others, strict=True)]
        return self.with_pages.read - self.without.read - (median(changes) if changes else 0.0)


@dataclass(slots=True)
class Pages:
    """What was found."""

    pages: int
    node: str
    """That was read."""
    rate: float
    seconds: float
    validators: int
    pairs: list[Pair] = field(default_factory=list)
    left_out: int = 0
    """Pairs in which somebody else began to lead."""
    readings: list[Reading] = field(default_factory=list)
    """Of each time that pages were open in a pair that counts."""
    record: OpenRecord = field(default_factory=OpenRecord)

    @property
    def cost(self) -> float:
        return median([pair.cost for pair in self.pairs])

    def rates(self, windows: Sequence[Window]) -> tuple[float, float]:
        """Transactions and blocks a second of all these windows."""
        seconds = sum([item.end_s - item.begin_s for item in windows])
        transactions = _within([at for _, at in self.record.finals], windows)
        blocks = _within([at for at, _ in self.record.blocks], windows)
        return transactions / seconds, blocks / seconds

    def asked(self) -> tuple[float, float]:
        """Requests and events a second of all pages together."""
        seconds = sum([item.seconds for item in self.readings])
        requests = sum([item.requests for item in self.readings])
        return requests / seconds, sum([item.events for item in self.readings]) / seconds


def with_pages(target: Target, pages: int, seconds: float) -> Pages:
    """Raises CliError and what the clients raise."""
    # The last node: the first is the one whose blocks tell the load what is final.
    node = next(item for item in reversed(target.place.devnet.nodes) if item.api in target.urls)
    pids = _pids(target, node.name)
    run = Run(target, Plan(seconds, WARMUP_S, ACCOUNTS))
    rate = SHARE * run.peak().tps
    found = Pages(pages, node.name, rate, seconds, target.validators)
    whole_s = WARMUP_S + PAIRS * _pair_s(seconds)
    raws = run.prepare(int(rate * whole_s) + 1)
    note(f"{pages:,} pages read {node.name} at {node.api} half of the time")
    watch = _Watch(pids, node.api, found, whole_s)
    with (
        Progress(f"sending {rate:,.0f} a second", round(whole_s), "seconds") as progress,
        ThreadPoolExecutor(1) as pool,
    ):
        watching = pool.submit(watch.run)
        try:
            found.record = offer(
                target.urls,
                raws,
                rate=rate,
                seconds=whole_s,
                senders=SENDERS,
                offers_again=False,
                on_second=lambda second: _second(second, progress.reach, watching),
            )
        finally:
            watch.stop()
        watching.result()
    _check(found)
    return found


def _pids(target: Target, name: str) -> list[int]:
    """Of the node of this name, then of all others that run; raises CliError."""
    running = {node: process.pid for node, process in control.running(target.place).items()}
    if name not in running:
        hint = "start it with: marsa devnet up"
        raise not_found("node_down", f"{name} is no process of this devnet", hint)
    return [running.pop(name), *running.values()]


def _second(second: int, reach: Callable[[int], object], watching: Future[None]) -> None:
    """Also ends the load where the windows ended with an error."""
    reach(second)
    if watching.done():
        watching.result()


def _pair_s(seconds: float) -> float:
    return 2 * (SETTLE_S + seconds) + OPEN_S


def _check(found: Pages) -> None:
    """Raises CliError where too little of the load can be compared."""
    windows = [one for pair in found.pairs for one in (pair.without, pair.with_pages)]
    ended_s = max([one.end_s for one in windows], default=0.0)
    is_short = len(found.pairs) < PAIRS_MIN or ended_s > found.record.sending_ended_s
    if is_short or not found.record.finals:
        raise CliError(
            "nothing_measured",
            f"of {len(found.pairs) + found.left_out} pairs {len(found.pairs)} can be compared, and"
            f" {PAIRS_MIN} are needed: others began to lead, or the load ended early",
            hint="measure in shorter windows: --seconds 5",
            exit_code=ExitCode.CHECK_FAILED,
        )


class _Watch:
    """Takes the windows, in a thread of its own beside the load."""

    def __init__(self, pids: Sequence[int], url: str, found: Pages, whole_s: float) -> None:
        self._pids = pids
        self._url = url
        self._found = found
        self._until_s = time.monotonic() + whole_s
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        """As many pairs as there is time for; raises CliError and what a client raises."""
        self._stopped.wait(WARMUP_S)
        number = 0
        while time.monotonic() + _pair_s(self._found.seconds) < self._until_s:
            before = self._lead()
            taken = {is_open: self._window(is_open) for is_open in _order(number)}
            if self._stopped.is_set():
                return
            number += 1
            if self._lead() != before:
                self._found.left_out += 1
                continue
            (without, _), (with_pages, reading) = taken[False], taken[True]
            self._found.pairs.append(Pair(without, with_pages))
            self._found.readings.append(reading)

    def _lead(self) -> tuple[int, int]:
        """The epoch and the view, which say who leads."""
        found = bench_target.position([self._url])
        return found.epoch, found.view

    def _window(self, is_open: bool) -> tuple[Window, Reading]:
        pages = readers(self._url, self._found.pages) if is_open else nullcontext(Reading())
        with pages as reading:
            self._stopped.wait(SETTLE_S)
            begin_s, before = time.monotonic(), self._used()
            self._stopped.wait(self._found.seconds)
            end_s, after = time.monotonic(), self._used()
        read, *others = [(b - a) / (end_s - begin_s) for a, b in zip(before, after, strict=True)]
        return Window(begin_s, end_s, read, tuple(others)), reading

    def _used(self) -> list[float]:
        """Seconds of processor time of each node since its start, the read one first."""
        looks = [bench_target.usage_of(pid) for pid in self._pids]
        found = [look.cpu_s for look in looks if look is not None]
        if len(found) < len(looks):
            raise CliError(
                "nothing_measured",
                "the system does not tell what a node takes, or a node ended",
                hint="this needs Linux, and nodes that go on: marsa devnet status",
                exit_code=ExitCode.CHECK_FAILED,
            )
        return found


def _order(number: int) -> tuple[bool, bool]:
    """Whether pages are open in the first and the second window of a pair."""
    return (False, True) if number % 2 == 0 else (True, False)


def _within(moments: Sequence[float], windows: Sequence[Window]) -> int:
    return sum([any(one.begin_s <= at < one.end_s for one in windows) for at in moments])


def figures(found: Pages) -> dict[str, object]:
    """Of `--json`; percents are of one core."""
    requests, events = found.asked()
    return {
        "pages": found.pages,
        "node": found.node,
        "cost_percent": _percent(found.cost),
        "pairs": [
            {
                "cost_percent": _percent(pair.cost),
                "without_percent": _percent(pair.without.read),
                "with_percent": _percent(pair.with_pages.read),
                "others_without_percent": [_percent(item) for item in pair.without.others],
                "others_with_percent": [_percent(item) for item in pair.with_pages.others],
                "without": _rates(found, pair.without),
                "with": _rates(found, pair.with_pages),
            }
            for pair in found.pairs
        ],
        "left_out": found.left_out,
        "rate": round(found.rate, 1),
        "requests_per_second": round(requests, 1),
        "events_per_second": round(events, 1),
        "lost": sum([item.lost for item in found.readings]),
        "refused": dict(found.record.refused),
        "seconds": found.seconds,
        "validators": found.validators,
    }


def _rates(found: Pages, window: Window) -> dict[str, float]:
    transactions, blocks = found.rates([window])
    return {"tps": round(transactions, 1), "blocks_per_second": round(blocks, 1)}


def _percent(part: float) -> float:
    return round(100 * part, 2)


def lines(found: Pages) -> list[tuple[str, str]]:
    """The same to read."""
    requests, events = found.asked()
    costs = ", ".join([f"{pair.cost:.2%}" for pair in found.pairs])
    told = [
        ("cost", f"{found.cost:.2%} of a core of {found.node} for {found.pages:,} pages"),
        ("each pair", f"{costs}; {found.left_out} left out, as others began to lead in them"),
        ("asked", f"{requests:,.1f} requests and {events:,.1f} events a second by all pages"),
    ]
    for name, windows in (
        ("without", [pair.without for pair in found.pairs]),
        ("with", [pair.with_pages for pair in found.pairs]),
    ):
        transactions, blocks = found.rates(windows)
        own = median([item.read for item in windows])
        text = f"{own:.1%} of a core at {transactions:,.0f} tx/s in {blocks:,.1f} blocks a second"
        told.append((name, text))
    lost = sum([item.lost for item in found.readings])
    if lost or found.record.refused:
        told.append(("lost", f"{lost:,} of the pages; {found.record.refused.total():,} transfers"))
    told.append(("network", f"{found.validators} validators, {found.seconds:g} s each time"))
    return told
