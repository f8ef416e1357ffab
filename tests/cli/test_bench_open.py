"""`marsa bench latency` and `overload`: an open loop against a node with the real API."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from cli import bench_latency, bench_load, bench_overload, bench_run, bench_target
from cli.async_client import AsyncClient
from cli.bench_latency import due_within
from cli.bench_open import OpenLoad, OpenRecord
from cli.bench_overload import Figures
from cli.bench_run import Plan, Run
from cli.bench_target import Usage
from cli.errors import CliError
from ledger.reasons import Invalid, Reason
from node.api.services import Submission
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode


class ModestNode(LiveNode):
    """Of every other submission it takes nothing but the last transaction."""

    reason = Reason.MEMPOOL_FULL
    is_full = False

    async def submit(self, raws: Sequence[bytes]) -> list[Submission]:
        self.is_full = not self.is_full
        if not self.is_full:
            return await super().submit(raws)
        refused = [Submission(None, refusal=Invalid(self.reason, "no room")) for _ in raws[1:]]
        return [*refused, *await super().submit(raws[-1:])]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes for a few signatures, and nothing before the time that counts."""
    monkeypatch.setattr(
        bench_run, "ProcessPoolExecutor", lambda cores, mp_context: ThreadPoolExecutor(cores)
    )
    monkeypatch.setattr(bench_latency, "WARMUP_S", 0.1)
    monkeypatch.setattr(bench_overload, "WARMUP_S", 0.1)
    monkeypatch.setattr(bench_overload, "RESERVE", 500)


@pytest.fixture
def raws(bench_node: LiveNode) -> list[bytes]:
    """Transfers whose coins are there."""
    return Run(bench_target.find(None), Plan(1.0, 0.0, 5)).prepare(40)


async def offered(node: LiveNode, raws: Sequence[bytes], rate: float, seconds: float) -> OpenRecord:
    async with AsyncClient(node.url) as client:
        load = OpenLoad(client, [client], raws, offers_again=False)
        return await load.run(rate, seconds, lambda second: None)


async def test_each_is_due_at_its_own_time(bench_node: LiveNode, raws: list[bytes]) -> None:
    """An even rate, whenever it went out; all of it becomes final, in no order."""
    record = await offered(bench_node, raws, 100.0, 0.4)
    due = sorted(due - record.started_s for due, _ in record.finals)
    assert due == pytest.approx([number / 100 for number in range(40)], abs=1e-6)
    assert (record.offered, dict(record.refused), record.undecided) == (40, {}, 0)
    assert all(final > due for due, final in record.finals)


async def test_what_is_refused_is_counted_by_code(bench_node: LiveNode, raws: list[bytes]) -> None:
    """It is gone, and what is due later has its own time still."""
    bench_node.__class__ = ModestNode
    record = await offered(bench_node, raws, 1_000.0, 0.04)
    refused = record.refused["mempool_full"]
    assert refused > 0
    assert (record.offered, len(record.finals)) == (40, 40 - refused)
    due = [round((due - record.started_s) * 1_000) for due, _ in record.finals]
    assert len(set(due)) == len(due)
    assert set(due) <= set(range(40))


async def test_what_is_refused_is_offered_again(bench_node: LiveNode, raws: list[bytes]) -> None:
    """By whom it may be; nobody's answer has a code too. Nothing is lost: it is final or waits."""
    bench_node.__class__ = ModestNode
    async with AsyncClient(bench_node.url) as client, AsyncClient("http://127.0.0.1:9") as gone:
        load = OpenLoad(client, [gone, client], raws, offers_again=True)
        record = await load.run(1_000.0, 0.5, lambda second: None)
    assert record.refused.keys() == {"mempool_full", "no_answer"}
    assert len(record.finals) == record.offered - record.refused.total() > 0
    assert len(record.finals) + len(load._waiting) == len(raws)


async def test_a_node_that_decides_nothing_is_waited_for_so_long(
    bench_node: LiveNode, raws: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it took and never decided is told; nothing is raised."""
    monkeypatch.setattr(bench_load, "STALL_S", 0.05)
    bench_node.is_deciding = False
    record = await offered(bench_node, raws, 100.0, 0.3)
    assert record.undecided > 0
    assert record.finals == []
    with pytest.raises(CliError) as caught:
        due_within(record, 0.0, record.sending_ended_s)
    assert caught.value.code == "nothing_measured"


def test_latency_counts_what_was_due_within() -> None:
    """Until it was final, be that after the end; in ascending order."""
    record = OpenRecord(finals=[(0.9, 1.0), (1.0, 3.5), (1.9, 2.0), (2.0, 2.1)])
    assert due_within(record, 1.0, 2.0) == pytest.approx([100.0, 2_500.0])


def test_latency_at_light_load(marsa: Marsa, bench_node: LiveNode) -> None:
    """Every transfer, in JSON and as text."""
    arguments = ("bench", "latency", "--rate", 40, "--seconds", 1)
    found = marsa(*arguments, "--json").json
    assert (found["transactions"], found["rate"], found["share"]) == (40, 40, None)
    assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["max_ms"]
    assert "40 tx/s: 40 transfers in 1 s" in marsa(*arguments).out


def test_latency_at_a_share_of_the_peak(marsa: Marsa, bench_node: LiveNode) -> None:
    """The rate is that share of what was measured just before."""
    found = marsa("bench", "latency", "--share", "0.2", "--seconds", 1, "--json").json
    assert found["rate"] == pytest.approx(0.2 * found["peak_tps"], abs=0.1)
    assert found["transactions"] == pytest.approx(found["rate"], rel=0.1)
    assert found["left"] == 0


@pytest.mark.parametrize("share", ["0", "0.0", "1.1", "80", "nan", "-0.5", "0,8"])
def test_a_share_is_a_part_of_one(marsa: Marsa, share: str) -> None:
    """Anything else is refused with how to write it."""
    result = marsa("bench", "latency", f"--share={share}", "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "usage")
    assert "like 0.8" in result.json["error"]["message"]


def test_one_latency_at_a_time(marsa: Marsa) -> None:
    """Both together are refused before anything is done."""
    result = marsa("bench", "latency", "--share", "0.8", "--rate", 10, "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "two_measurements")


def test_overload_says_what_is_left(marsa: Marsa, bench_node: LiveNode) -> None:
    """No view changes, nothing is left undecided, and the figures add up."""
    result = marsa("bench", "overload", "--seconds", 1, "--json")
    assert result.code == 0, result.err
    found = result.json
    assert found["offered_tps"] > 0
    assert found["kept"] == pytest.approx(found["goodput_tps"] / found["peak_tps"], abs=0.01)
    assert (found["view_changes"], found["undecided"], found["rss_mb"]) == (0, 0, None)


def test_both_forms_of_overload(marsa: Marsa, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the memory of the largest node; each of three verdicts is told."""
    figures = Figures(
        peak_tps=1_000.0,
        offered_tps=9_900.0,
        goodput_tps=850.0,
        seconds=20.0,
        refused={"busy": 3_000, "mempool_full": 70_000},
        undecided=5,
        view_changes=2,
        validators=4,
        usage=Usage(200 * 1_024, 150 * 1_024, 9.0),
    )
    monkeypatch.setattr(bench_target, "find", lambda given: None)
    monkeypatch.setattr(bench_overload, "measure", lambda target, seconds: figures)
    result = marsa("bench", "overload", "--json")
    assert (result.code, result.json["rss_mb"], result.json["kept"]) == (9, 200.0, 0.85)
    assert "views changed 2 times" in result.err
    assert "5 transfers were taken and are not final" in result.err
    assert "other reasons" not in result.err
    text = marsa("bench", "overload").out
    assert "offered       9,900 tx/s, 9.9 times the peak" in text
    assert "refused       3,000 busy, 70,000 mempool_full" in text


def test_overload_that_is_refused_for_another_reason(
    marsa: Marsa, bench_node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are there, and the verdict is bad."""
    measured = bench_overload.offer

    def spoil(*arguments: object, **options: object) -> OpenRecord:
        bench_node.__class__ = ModestNode
        bench_node.reason = Reason.EXPIRED  # type: ignore[attr-defined]
        return measured(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(bench_overload, "offer", spoil)
    result = marsa("bench", "overload", "--seconds", 1, "--json")
    assert result.code == 9
    assert result.json["refused"].keys() == {"expired"}
    assert "other reasons than want of room: expired" in result.err
