"""`marsa bench tps` on a small scale: its parts by figures, the whole against a real API."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli import bench_ceiling, bench_run, bench_target
from cli.bench_load import Record
from cli.bench_run import (
    Figures,
    Plan,
    Sample,
    UsageFigures,
    Window,
    cut_window,
    percentile,
    usage_within,
)
from cli.bench_target import Position, Usage, views_left
from cli.client import Client
from cli.client_errors import ApiProblem, Timeout
from cli.devnet import processes
from cli.errors import CliError
from ledger import genesis as genesis_rules
from tests.cli.bench_devnet import FAUCET, seed_of
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode
from tests.ledger.world import World

FIELDS = {
    *("schema", "tps", "p50_ms", "p99_ms", "seconds", "transactions", "validators"),
    *("ceiling_tps", "ratio", "rss_mb_max", "load_average"),
}


def test_percentiles_are_values_that_occurred() -> None:
    """The nearest rank of 1 to 100, of one value, of two."""
    hundred = [float(value) for value in range(1, 101)]
    assert [percentile(hundred, rank) for rank in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7.0
    assert [percentile([1.0, 2.0], rank) for rank in (50, 51)] == [1.0, 2.0]


def test_the_window_leaves_out_warm_up_and_the_end_of_the_load() -> None:
    """Finals before the warm-up's end and after the last sending do not count."""
    finals = [(100.0, 101.0), (104.0, 106.0), (107.0, 108.0), (109.0, 112.5)]
    record = Record(100.0, 112.0, finals, [(101.0, 1), (106.0, 1), (108.0, 1), (112.5, 1)])
    window = cut_window(record, Plan(seconds=60, warmup=5, accounts=2))
    assert (window.begin_s, window.end_s, window.seconds) == (105.0, 112.0, 7.0)
    assert window.latencies_s == [1.0, 2.0]
    assert window.blocks == [(106.0, 1), (108.0, 1)]
    with pytest.raises(CliError) as caught:
        cut_window(record, Plan(seconds=60, warmup=20, accounts=2))
    assert caught.value.code == "nothing_measured"


def test_usage_is_of_the_window_alone() -> None:
    """The largest node inside the window; processor time between its first and last look."""
    samples = [
        Sample(0.0, 0.0, (Usage(9_000_000, 9_000_000, 1.0),)),
        Sample(10.0, 5.0, (Usage(1_024, 512, 10.0), Usage(2_048, 256, 20.0))),
        Sample(20.0, 6.0, (Usage(3_072, 512, 15.0), Usage(2_048, 1_024, 30.0))),
        Sample(30.0, 9.0, (Usage(9_000_000, 9_000_000, 99.0),)),
    ]
    found = usage_within(samples, Window(5.0, 25.0, [], []))
    assert found is not None
    assert (found.rss_mib, found.anonymous_mib) == (3.0, 1.0)
    assert (found.nodes_cores, found.generator_cores) == (1.5, 0.1)
    assert usage_within(samples, Window(5.0, 15.0, [], [])) is None


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system has no /proc")
def test_usage_of_a_process_and_of_none() -> None:
    """This process has memory and has worked; a pid that cannot be has no figures."""
    own = bench_target.usage_of(os.getpid())
    assert own is not None
    assert own.resident_kib > own.anonymous_kib > 0
    assert own.cpu_s > 0
    assert bench_target.usage_of(2**22 + 1) is None


def test_views_are_counted_over_epochs() -> None:
    """Each epoch begins at view 0: one left in it counts, though the one before stood as high."""
    at = [Position(2, 1, 10), Position(2, 1, 11), Position(2, 3, 12)]
    assert views_left(at) == 2
    assert views_left([*at, Position(3, 0, 13), Position(3, 1, 14), Position(3, 1, 14)]) == 3
    assert views_left([*at, Position(3, 3, 13), Position(5, 2, 15)]) == 2 + 3 + 2


def test_views_are_asked_for_again_of_a_busy_node(
    bench_node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a node that is behind with its work answers is no end; any other refusal is."""
    monkeypatch.setattr(bench_target, "ASK_EVERY_S", 0.0)
    before = bench_target.position([bench_node.url])
    bench_node.inside(bench_node.decide)
    status, problems = Client.status, [ApiProblem(503, "deadline", ""), Timeout("it", 10.0)]

    def busy(client: Client) -> object:
        if problems:
            raise problems.pop()
        return status(client)

    monkeypatch.setattr(Client, "status", busy)
    assert bench_target.views_since([bench_node.url], before) == 0
    assert problems == []
    problems.append(ApiProblem(503, "storage", ""))
    with pytest.raises(ApiProblem, match="storage"):
        bench_target.position([bench_node.url])


def test_the_ceiling_runs_blocks_of_the_size_seen(tmp_path: Path) -> None:
    """One process, 30 transfers in blocks of 10 on a chain of its own, of which nothing stays."""
    setting = bench_ceiling.Setting(
        genesis=genesis_rules.dump(World().genesis),
        faucet_seed=seed_of(FAUCET),
        transactions=25,
        block_transactions=10,
        accounts=5,
        directory=str(tmp_path),
    )
    assert bench_ceiling.measure(setting, 1) > 0
    assert list(tmp_path.iterdir()) == []


def test_tps_from_beginning_to_end(marsa: Marsa, bench_node: LiveNode, marsa_home: Path) -> None:
    """Funds, signs, drives and measures for a second: the exact JSON, and it adds up. The node is
    in this process, whose memory is then that of the node."""
    own = processes.identify(os.getpid())
    assert own is not None
    processes.save(marsa_home / "devnets" / "default" / "nodes" / "val0", own)
    result = marsa(
        *("bench", "tps", "--seconds", 1, "--warmup", "100ms", "--accounts", 5, "--json")
    )
    assert result.code == 0, result.err
    figures = result.json
    assert set(figures) == FIELDS
    assert figures["schema"] == "marsa.bench.tps/1"
    assert figures["transactions"] > 0
    assert figures["tps"] == pytest.approx(figures["transactions"] / figures["seconds"], rel=0.2)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["ratio"] == pytest.approx(figures["tps"] / figures["ceiling_tps"], rel=0.05)
    assert figures["validators"] == 4
    assert (figures["rss_mb_max"] or 0) > 0 or not Path("/proc/self/status").is_file()


def test_both_forms_of_tps(marsa: Marsa, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the nodes and the generator took; a view that was left is a verdict."""
    figures = Figures(
        tps=1_000.0,
        p50_ms=500.0,
        p99_ms=900.0,
        seconds=60.0,
        transactions=60_000,
        validators=4,
        cores=2,
        cost_us=250.0,
        block_transactions=400,
        view_changes=1,
        refused_for_room=7,
        usage=UsageFigures(149.0, 107.0, 1.5, 0.25),
    )
    monkeypatch.setattr(bench_target, "find", lambda given: None)
    monkeypatch.setattr(bench_run.Run, "measure", lambda self: figures)
    result = marsa("bench", "tps", "--json")
    assert (result.code, result.json["rss_mb_max"], result.json["ratio"]) == (9, 149.0, 0.5)
    assert "views changed 1 times" in result.err
    text = marsa("bench", "tps").out
    assert "memory        149 MiB a node at most, 107 MiB without mapped files" in text
    assert "nodes         1.50 cores in all, 375 µs a transfer on each" in text


def test_tps_without_a_devnet(marsa: Marsa, bench_node: LiveNode, marsa_home: Path) -> None:
    """The node's chain belongs to no devnet here, so there is no faucet: 6, with a hint."""
    (marsa_home / "devnets" / "default" / "devnet.json").unlink()
    (marsa_home / "devnets" / "default").rename(marsa_home / "elsewhere")
    result = marsa("bench", "tps", "--node", bench_node.url, "--json")
    assert (result.code, result.json["error"]["code"]) == (6, "unknown_devnet")
    assert "MARSA_HOME" in result.json["error"]["hint"]
    result = marsa("bench", "tps", "--json")
    assert (result.code, result.json["error"]["code"]) == (6, "unknown_devnet")


def test_tps_with_an_empty_faucet(
    marsa: Marsa, bench_node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More transfers than the faucet's largest coin could pay for."""
    monkeypatch.setattr(bench_run, "PROBE_TRANSACTIONS", 10_000_000)
    result = marsa("bench", "tps", "--json")
    assert (result.code, result.json["error"]["code"]) == (5, "insufficient_funds")
