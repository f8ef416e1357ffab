"""`marsa bench growth` against a node with the real API: filled by it, listened to, and read."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import click
import pytest

from cli import bench_fill, bench_growth, bench_pages, bench_run, bench_target
from cli.bench_crowd import Heard, _read, crowd
from cli.bench_fill import Fill
from cli.bench_pages import Pages, Pair, Window, _pair_s, _Watch
from cli.bench_readers import Reading
from cli.bench_run import Plan, Run
from cli.devnet import control, processes
from cli.errors import CliError
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes for a few signatures, and parts of few coins."""
    monkeypatch.setattr(
        bench_run, "ProcessPoolExecutor", lambda cores, mp_context: ThreadPoolExecutor(cores)
    )
    monkeypatch.setattr(bench_growth, "WARMUP_S", 0.1)
    monkeypatch.setattr(bench_growth, "SETTLED_S", 0.1)
    monkeypatch.setattr(bench_fill, "PART_COINS", 100)


@pytest.fixture
def run(bench_node: LiveNode) -> Iterator[Run]:
    with click.Context(click.Command("growth")):
        yield Run(bench_target.find(None), Plan(1.0, 0.0, 5))


def test_a_fill_goes_on_where_it_stopped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a part it is stopped; another begins with that part, keeps coins of each, gives them
    once, and makes new ones for who comes again."""
    fund, parts = run.fund, list[int]()

    def stop_at_second(count: int, *more: object) -> object:
        parts.append(count)
        if len(parts) == 2:
            raise KeyboardInterrupt
        return fund(count, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "fund", lambda self, *given: stop_at_second(*given))
    first = Fill(run)
    assert first.state is None
    with pytest.raises(KeyboardInterrupt):
        first.reach(first.begin(7.0), 250, 25)

    second = Fill(run)
    assert second.state is not None
    assert (second.state.few_tps, second.state.outputs) == (7.0, 100)
    second.reach(second.state, 250, 25)
    assert parts == [100, 100, 100, 50]
    assert second.state.outputs == 250
    coins = second.take(second.state, 25).coins
    assert 25 <= len({(coin.txid, coin.index) for coin in coins}) <= 30
    assert Fill(run).state == second.state
    third = Fill(run)
    assert third.state is not None
    third.reach(third.state, 250, 25)
    assert len(third.state.coins) == 25
    assert not {item[:2] for item in third.state.coins} & {
        (coin.txid, coin.index) for coin in coins
    }


def test_a_file_of_another_chain_is_none(run: Run) -> None:
    """Nor is one whose coins are not there: the devnet was put back."""
    fill = Fill(run)
    state = fill.begin(7.0)
    fill.reach(state, 50, 10)
    assert Fill(run).state == state
    state.coins[-1] = (bytes(32), *state.coins[-1][1:])
    fill._save(state)
    assert Fill(run).state is None
    state.chain_id, state.coins = "00" * 32, []
    fill._save(state)
    assert Fill(run).state is None


def test_growth_of_outputs(marsa: Marsa, bench_node: LiveNode) -> None:
    """Two throughputs and what was kept; again, the first is remembered."""
    arguments = ("bench", "growth", "--outputs", 1_000, "--seconds", 1)
    found = marsa(*arguments, "--json").json
    assert found["outputs"] >= 1_000
    assert found["kept"] == pytest.approx(found["after_tps"] / found["before_tps"], abs=0.01)
    again = marsa(*arguments)
    remembered = re.search(r"before +([\d,]+) tx/s", again.out)
    assert remembered is not None, again.out
    assert float(remembered[1].replace(",", "")) == pytest.approx(found["before_tps"], abs=1)


def test_it_waits_until_nodes_are_idle(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured beside the merging of what was just written, a large ledger is a slow one."""
    spent_s = iter([0.0, 0.2, 0.4, 0.401, 9.0, 9.0])
    monkeypatch.setattr(bench_growth, "_spent_s", lambda target: next(spent_s))
    bench_growth.settle(run.target)
    assert next(spent_s) == 9.0
    monkeypatch.setattr(bench_growth, "SETTLE_S", 0.0)
    bench_growth.settle(run.target)


def test_growth_of_subscribers(marsa: Marsa, bench_node: LiveNode) -> None:
    """They hear blocks of the load, and none of them is lost."""
    found = marsa("bench", "growth", "--subscribers", 3, "--seconds", 1, "--json").json
    assert found["blocks_heard"] >= 3
    assert (found["subscribers"], found["lost"]) == (3, 0)


class Stream:
    """An answer that comes in pieces."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


@pytest.mark.parametrize("size", [1, 2, 7, 11, 12, 13, 500])
async def test_blocks_are_heard_across_pieces(size: int) -> None:
    """Each once, wherever the stream is cut; its end is told."""
    data = b"retry: 2000\n\n" + b"event: block\ndata: {}\nid: 1\n\n: alive\n\n" * 9
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    heard = Heard()
    await _read(Stream(pieces), heard)  # type: ignore[arg-type]
    assert (heard.blocks, heard.lost) == (9, 1)


def test_a_crowd_needs_a_node() -> None:
    """Where nobody answers it says so, and who waits is not kept waiting."""
    nowhere = crowd("http://127.0.0.1:9", 2)
    with pytest.raises(CliError, match="clients cannot listen") as caught, nowhere:
        raise AssertionError("nobody is there")
    assert caught.value.code == "no_listeners"


@pytest.mark.parametrize(
    "more",
    [(), ("--outputs", "1000", "--subscribers", "3"), ("--pages", "3", "--subscribers", "3")],
)
def test_one_growth_at_a_time(marsa: Marsa, more: tuple[str, ...]) -> None:
    """None and two are refused before anything is done."""
    result = marsa("bench", "growth", *more, "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "two_measurements")


def test_growth_of_pages(
    marsa: Marsa, bench_node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page asks and hears while it is open, and the pairs say what the process took, less what
    another one did, which is this one's parent here."""
    pids = {"val1": os.getppid(), "val0": os.getpid()}
    alive = {name: processes.identify(pid) for name, pid in pids.items()}
    monkeypatch.setattr(control, "running", lambda place: dict(alive))
    monkeypatch.setattr(bench_pages, "PAIRS_MIN", 1)
    monkeypatch.setattr(bench_pages, "PAIRS", 2)
    monkeypatch.setattr(bench_pages, "OPEN_S", 2.0)
    monkeypatch.setattr(bench_pages, "WARMUP_S", 0.1)
    monkeypatch.setattr(bench_pages, "SETTLE_S", 0.0)
    arguments = ("bench", "growth", "--pages", 1, "--seconds", 1)
    found = marsa(*arguments, "--json").json
    assert (found["pages"], found["node"], found["lost"], found["refused"]) == (1, "val0", 0, {})
    assert found["events_per_second"] > 0
    assert len(found["pairs"]) >= 1
    assert found["left_out"] == 0
    for pair in found["pairs"]:
        own = pair["with_percent"] - pair["without_percent"]
        (before,), (after,) = pair["others_without_percent"], pair["others_with_percent"]
        assert pair["cost_percent"] == pytest.approx(own - (after - before), abs=0.02)
    for name in ("tps", "blocks_per_second"):
        assert sum([pair[one][name] for pair in found["pairs"] for one in ("with", "without")]) > 0


def test_the_cost_of_a_pair_leaves_out_what_hits_every_node() -> None:
    """Three other nodes, of which one does something else meanwhile."""
    without = Window(0.0, 10.0, 0.20, (0.20, 0.18, 0.30))
    with_pages = Window(10.0, 20.0, 0.24, (0.21, 0.19, 0.10))
    assert Pair(without, with_pages).cost == pytest.approx(0.03)


def test_a_pair_in_which_the_lead_changed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three; pages are open first in every other pair."""
    leads, order = iter([(0, 0), (0, 0), (0, 0), (1, 0), (1, 0), (1, 0)]), list[bool]()
    found = Pages(2, "val0", 100.0, 1.0, 4)
    watch = _Watch([os.getpid()], "", found, 3 * _pair_s(1.0))
    clock = iter([0.0, 1.0, 2.0, 1e12])
    monkeypatch.setattr(watch, "_lead", lambda: next(leads))
    monkeypatch.setattr(bench_pages, "WARMUP_S", 0.0)
    monkeypatch.setattr(bench_pages, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    def window(is_open: bool) -> tuple[Window, Reading]:
        order.append(is_open)
        return Window(0.0, 1.0, 0.2 + 0.1 * is_open, ()), Reading(seconds=1.0, requests=5 * is_open)

    monkeypatch.setattr(watch, "_window", window)
    watch.run()
    assert order == [False, True, True, False, False, True]
    assert (len(found.pairs), found.left_out) == (2, 1)
    assert found.cost == pytest.approx(0.1)
    assert found.asked() == (5.0, 0.0)


def test_pages_need_a_node_that_runs(marsa: Marsa, bench_node: LiveNode) -> None:
    """Before the load: nothing tells what a node takes that is no process of the devnet."""
    result = marsa("bench", "growth", "--pages", 1, "--seconds", 1, "--json")
    assert (result.code, result.json["error"]["code"]) == (6, "node_down")
