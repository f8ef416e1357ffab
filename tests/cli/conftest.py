"""A fresh MARSA_HOME for each test, and the command line run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli import bench_ceiling, bench_run, output, payments
from cli.main import run
from cli.node_setup import init
from tests.cli.bench_devnet import bench_devnet
from tests.cli.devnet_node import BLUEPRINT
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS
from tests.output_schemas import check, noting


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output, which is as its schema says."""
        check(self.out)
        return json.loads(self.out)


Marsa = Callable[..., Result]
BENCH_BLOCK_S = 0.05
"""With 100 transfers under way: some 2,000 a second at most."""


@pytest.fixture(autouse=True)
def marsa_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MARSA_HOME; nothing of the user's environment reaches a test."""
    home = tmp_path / "marsa-home"
    monkeypatch.setenv("MARSA_HOME", str(home))
    monkeypatch.delenv("MARSA_NODE", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return home


@pytest.fixture(autouse=True)
def noted_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """What commands write is noted while the files of its schemas are made."""
    monkeypatch.setattr(output, "json_text", noting(output.json_text))


@pytest.fixture
def marsa(capfd: pytest.CaptureFixture[str]) -> Marsa:
    """Run `marsa ARGUMENTS…` without a terminal."""

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Result(int(code), out, err)

    return call


@pytest.fixture
def bench_node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    """A devnet of one live node, and what benchmarks do before they measure made small.

    Its blocks take their time, as those of a network do: what a load sends in a second, and what is
    signed for it before, is then not as much as this machine can do.
    """
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    monkeypatch.setattr(bench_run, "PROBE_TRANSACTIONS", 30)
    monkeypatch.setattr(bench_run, "UNDER_WAY_MAX", 100)
    monkeypatch.setattr(bench_run, "CEILING_TRANSACTIONS", 20)
    monkeypatch.setattr(bench_run, "SAMPLE_EVERY_S", 0.02)
    monkeypatch.setattr(bench_ceiling, "cores", lambda: 1)
    with bench_devnet(marsa_home) as node:
        node.block_s = BENCH_BLOCK_S
        yield node


@pytest.fixture
def observer(tmp_path: Path) -> Path:
    """The directory of a node that only follows, with some options in its file."""
    path = tmp_path / "watcher"
    addresses, peers = {"api": "127.0.0.1:18640"}, {"acme": "[::1]:1"}
    init(path, BLUEPRINT.genesis, "watcher", None, addresses=addresses, peers=peers)
    return path


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """A 0600 file with a password that is long enough."""
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text("correct horse battery\n")
    return file
