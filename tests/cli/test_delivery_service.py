"""A provider's service against a live node: which orders it takes, and which it leaves alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.delivery.jobs import BUILT_IN, REFERENCE_JOB, Jobs
from cli.delivery.service import Keys, Plan, Service
from cli.errors import CliError
from cli.redeem_serve import read_jobs
from ledger.crypto import SigningKey
from tests.cli.conftest import Marsa
from tests.cli.devnet_node import BLUEPRINT
from tests.cli.live_node import LiveNode
from tests.cli.redeem_world import WANTED, orders_node, shown

CPU = ("--class", "cpu", "--workload", "hashing")


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    yield from orders_node(marsa_home, monkeypatch)


def service(node: LiveNode, directory: Path, jobs: Jobs = BUILT_IN) -> Service:
    keys = [SigningKey(BLUEPRINT.role_seed("acme", role)) for role in ("operations", "metering")]
    economy = BLUEPRINT.genesis.parameters.economy
    plan = Plan(
        chain_id=node.world.chain_id,
        keys=[Keys("acme", *keys)],
        apis=[node.url],
        directory=directory,
        listen=("127.0.0.1", 0),
        endpoint="",
        jobs=jobs,
        period_ms=BLUEPRINT.genesis.parameters.period_ms,
        tick_ms=economy.tick_ms,
    )
    return Service(plan)


def submit(marsa: Marsa, *wanted: str) -> str:
    asked = ("redeem", "submit", "1", "--from", "alice", "--issuer", "acme", *wanted, "--json")
    return str(marsa(*asked).json["order"])


def look(service: Service, times: int = 1) -> None:
    for _ in range(times):
        service._look("127.0.0.1:9000", bytes([7]) * 32)


def test_what_it_cannot_do_is_left_alone_and_said_once(
    marsa: Marsa, node: LiveNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The job that is built in does one workload: an order for another is not accepted, one line
    says so, and no session of it is served."""
    caplog.set_level(logging.INFO, "marsa.delivery")
    able, unable = submit(marsa, *CPU), submit(marsa, *WANTED)
    served = service(node, tmp_path)
    look(served, 3)
    assert shown(marsa, able)["state"] == "ready"
    assert shown(marsa, unable)["state"] == "requested"
    lines = [line for line in caplog.messages if unable in line]
    assert lines == [f"left alone order={unable}: no --job for its workload 'training'"]
    found = served._find(bytes.fromhex(able))
    assert found is not None
    assert found.job == REFERENCE_JOB
    train = read_jobs(["training=./train --fast"])
    other = service(node, tmp_path, train)
    look(other, 3)
    assert shown(marsa, unable)["state"] == "ready"
    found = other._find(bytes.fromhex(unable))
    assert found is not None
    assert found.job == ("./train", "--fast")
    assert other._find(bytes.fromhex(able)) is None


def test_jobs_by_workload() -> None:
    """A command for a workload, and one for all others; without any, the small one."""
    assert read_jobs([]).of("hashing") == (sys.executable, "-m", "cli.delivery.job")
    assert read_jobs([]).of("training") is None
    every = read_jobs(["python3 job.py --mode=fast"])
    assert every.of("hashing") == every.of("video") == ("python3", "job.py", "--mode=fast")
    mapped = read_jobs(["training=./train 'a b'", "./rest"])
    assert (mapped.of("training"), mapped.of("video")) == (("./train", "a b"), ("./rest",))
    assert str(mapped) == "training,*"
    for wrong in (["training=a", "training=b"], ["a", "b"], ["training="], ["x='"], [" "]):
        with pytest.raises(CliError) as error:
            read_jobs(wrong)
        assert error.value.code == "bad_command"
