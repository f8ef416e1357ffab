"""`marsa bench tps` on a small scale: its parts by figures, the whole against a real API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from cli import bench_ceiling, bench_run, bench_target, payments
from cli.bench_load import Record
from cli.bench_run import Plan, Sample, Window, cut_window, percentile, usage_within
from cli.bench_target import Usage
from cli.devnet.state import Devnet, DevnetNode
from cli.errors import CliError
from ledger import genesis as genesis_rules
from ledger.address import encode_address
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import TIME_MS, World, lock_of

FAUCET = "alice"
FIELDS = {
    *("schema", "tps", "p50_ms", "p99_ms", "seconds", "transactions", "validators"),
    *("ceiling_tps", "ratio", "rss_mb_max"),
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


def test_the_ceiling_runs_blocks_of_the_size_seen(tmp_path: Path) -> None:
    """One process, 30 transfers in blocks of 10 on a chain of its own, of which nothing stays."""
    setting = bench_ceiling.Setting(
        genesis=genesis_rules.dump(World().genesis),
        faucet_seed=_seed(FAUCET),
        transactions=25,
        block_transactions=10,
        accounts=5,
        directory=str(tmp_path),
    )
    assert bench_ceiling.measure(setting, 1) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    """A devnet of one live node, whose faucet is alice."""
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    monkeypatch.setattr(bench_run, "PROBE_TRANSACTIONS", 30)
    monkeypatch.setattr(bench_run, "UNDER_WAY_MAX", 100)
    monkeypatch.setattr(bench_run, "CEILING_TRANSACTIONS", 20)
    monkeypatch.setattr(bench_ceiling, "cores", lambda: 1)
    with live_node() as node:
        member = DevnetNode("val0", "val0", "val0", node.url, node.url, "127.0.0.1:1")
        devnet = Devnet(
            name="default",
            genesis_hash=node.world.chain_id.hex(),
            base_port=8640,
            seed=None,
            period_ms=60_000,
            accounts=2,
            nodes=(member,),
        )
        directory = marsa_home / "devnets" / "default"
        (directory / "nodes" / "val0").mkdir(parents=True)
        _write(directory / "devnet.json", devnet)
        address = encode_address(lock_of(FAUCET), "mrst")
        account = {"name": "faucet", "address": address, "seed": _seed(FAUCET).hex()}
        _write(directory / "accounts.json", [account])
        (directory / "genesis.json").write_bytes(genesis_rules.dump(node.world.genesis))
        yield node


def _seed(name: str) -> bytes:
    """As `tests.ledger.world.key` derives it."""
    return sha256(name.encode()).digest()


def _write(file: Path, value: object) -> None:
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(value))


def test_tps_from_beginning_to_end(marsa: Marsa, node: LiveNode) -> None:
    """Funds, signs, drives and measures for a second: the exact JSON, and it adds up."""
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
    assert figures["rss_mb_max"] is None


def test_tps_without_a_devnet(marsa: Marsa, node: LiveNode, marsa_home: Path) -> None:
    """The node's chain belongs to no devnet here, so there is no faucet: 6, with a hint."""
    (marsa_home / "devnets" / "default" / "devnet.json").unlink()
    (marsa_home / "devnets" / "default").rename(marsa_home / "elsewhere")
    result = marsa("bench", "tps", "--node", node.url, "--json")
    assert (result.code, result.json["error"]["code"]) == (6, "unknown_devnet")
    assert "MARSA_HOME" in result.json["error"]["hint"]
    result = marsa("bench", "tps", "--json")
    assert (result.code, result.json["error"]["code"]) == (6, "unknown_devnet")


def test_tps_with_an_empty_faucet(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More transfers than the faucet's largest coin could pay for."""
    monkeypatch.setattr(bench_run, "PROBE_TRANSACTIONS", 10_000_000)
    result = marsa("bench", "tps", "--json")
    assert (result.code, result.json["error"]["code"]) == (5, "insufficient_funds")
