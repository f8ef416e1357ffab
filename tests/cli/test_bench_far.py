"""`marsa bench catchup --blocks` and `--snapshot`: its parts by figures, and what it prints."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import click
import pytest

from cli import bench_target
from cli.bench_catchup import WARMUP_S, CatchUp, Look
from cli.bench_far import BlocksFigures, FarBench, SnapshotFigures, figures
from cli.bench_load import Record
from cli.devnet import launch, members, processes
from cli.devnet.processes import Process
from cli.errors import CliError
from cli.output import note
from tests.cli.conftest import Marsa

BLOCKS = BlocksFigures("val3", CatchUp(seconds=100.0, blocks=10_000, transactions=90_000))
SNAPSHOT = SnapshotFigures(
    node="val3",
    outputs=1_000_000,
    seconds=60.0,
    before_tps=1_000.0,
    meanwhile_tps=850.0,
)


def test_a_snapshot_is_timed_until_its_height_is_there() -> None:
    """From the first answer; the network's rate meanwhile is that until then, and not after."""
    finals = [(0.0, WARMUP_S + at / 10) for at in range(100)]  # 10 s of 10 a second
    finals += [(0.0, WARMUP_S + 10 + at / 8) for at in range(160)]  # then 8
    finals += [(0.0, WARMUP_S + 30 + at) for at in range(10)]
    record = Record(0.0, WARMUP_S + 40, finals)
    looks = [Look(WARMUP_S + at, height) for at, height in ((10, 5), (20, 5), (30, 40))]
    found = figures("val3", 99, record, looks, 40)
    assert found.seconds == 20.0
    assert (found.before_tps, found.meanwhile_tps, found.kept) == (10.0, 8.0, 0.8)


def test_who_had_the_blocks_took_no_snapshot() -> None:
    """It caught up otherwise before its first answer: no figure."""
    with pytest.raises(CliError) as caught:
        figures("val3", 99, Record(), [Look(0.0, 40), Look(1.0, 41)], 40)
    assert caught.value.code == "nothing_measured"


def test_both_forms_of_both_answers(monkeypatch: pytest.MonkeyPatch, marsa: Marsa) -> None:
    """JSON has every figure; the text has those that are asked about."""
    monkeypatch.setattr(bench_target, "find", lambda given: None)
    monkeypatch.setattr(FarBench, "__init__", lambda self, target, accounts: None)
    monkeypatch.setattr(FarBench, "blocks", lambda self, count: BLOCKS)
    monkeypatch.setattr(FarBench, "snapshot", lambda self, outputs: SNAPSHOT)
    found = marsa("bench", "catchup", "--blocks", "10000", "--json").json
    assert found["schema"] == "marsa.bench.catchup.blocks/1"
    assert (found["seconds"], found["blocks_per_second"]) == (100.0, 100.0)
    text = marsa("bench", "catchup", "--blocks", "10000").out
    assert "90,000 transfers in 10,000 blocks, 100.0 s" in text
    found = marsa("bench", "catchup", "--snapshot", "1000000", "--json").json
    assert found["schema"] == "marsa.bench.catchup.snapshot/1"
    assert (found["seconds"], found["kept"]) == (60.0, 0.85)
    assert len(found["load_average"]) == 2
    text = marsa("bench", "catchup", "--snapshot", "1000000").out
    assert "1,000,000 outputs in 60.0 s" in text
    assert "850 tx/s meanwhile, 1,000 before: 85%" in text


def test_an_epoch_ends_beside_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, which may say what it does as the command itself may."""

    def end(place: object) -> int:
        note("it is over")
        return 7

    monkeypatch.setattr(members, "end_epoch", end)
    bench = object.__new__(FarBench)
    bench._place = None  # type: ignore[assignment]
    with click.Context(click.Command("bench")):
        assert asyncio.run(bench._end_epoch()) == 7


def test_one_measurement_at_a_time(marsa: Marsa) -> None:
    """Both together are refused before anything is done."""
    result = marsa("bench", "catchup", "--blocks", "100", "--snapshot", "1000")
    assert result.code == 2
    assert "two measurements" in result.err


def test_a_node_is_started_with_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as its command line has it; the file of the node is not touched."""
    started: list[list[str]] = []

    class Child:
        pid, returncode = 2, None

        def __init__(self, command: list[str], **options: object) -> None:
            started.append(command)

    monkeypatch.setattr(subprocess, "Popen", Child)
    monkeypatch.setattr(processes, "identify", lambda pid: Process(2, "now"))
    launch.spawn(tmp_path, ("sync.snapshot_distance=0", "log.level=debug"))
    assert started[0][-4:] == ["--set", "sync.snapshot_distance=0", "--set", "log.level=debug"]
