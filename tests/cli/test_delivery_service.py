"""A provider's service against a live node: which orders it takes, and which it leaves alone."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.client import ApiProblem, Client
from cli.delivery import tidy
from cli.delivery.jobs import BUILT_IN, REFERENCE_JOB, Jobs
from cli.delivery.service import Keys, Plan, Service
from cli.delivery.tidy import Tidying
from cli.errors import CliError
from cli.redeem_serve import read_jobs
from ledger.crypto import SigningKey
from ledger.redemption_operations import AcceptRedemption
from tests.cli.conftest import Marsa
from tests.cli.devnet_node import BLUEPRINT
from tests.cli.live_node import LiveNode
from tests.cli.redeem_world import WANTED, orders_node, passes, shown
from tests.ledger.world import TIME_MS

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


def write(directory: Path, order: str) -> None:
    """A receipt, when the node's clock began."""
    path = directory / f"{order}.receipt"
    path.touch()
    os.utime(path, (TIME_MS / 1_000,) * 2)


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


def test_receipts_of_orders_that_are_over_are_removed(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """Those of an open order stay, and those of one that the node knows nothing of, which may be
    behind, for as long as the longest window is; what else lies there is nobody's business."""
    cancelled, still_open, unknown = submit(marsa, *CPU), submit(marsa, *CPU), "ab" * 32
    marsa("redeem", "cancel", cancelled)
    passes(node, 1)
    for order in (cancelled, still_open, unknown):
        write(tmp_path, order)
    (tmp_path / "notes.receipt").touch()
    tidying = Tidying(tmp_path, 60_000)

    def left() -> set[str]:
        with Client(node.url) as client:
            tidying.go_on(client, {bytes.fromhex(still_open)})
        return {path.name.removesuffix(".receipt") for path in tmp_path.iterdir() if path.is_file()}

    assert left() == {still_open, unknown, "notes"}
    passes(node, 168 * 60 + 60)
    assert left() == {still_open, "notes"}


def test_all_receipts_have_their_turn(
    marsa: Marsa, node: LiveNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some at a time, and those that stay keep no other from being looked at."""
    monkeypatch.setattr(tidy, "ASKED_MAX", 2)
    ended = submit(marsa, *CPU)
    marsa("redeem", "cancel", ended)
    passes(node, 1)
    for order in (*(f"{number:02x}" * 32 for number in range(4)), ended):
        write(tmp_path, order)
    tidying = Tidying(tmp_path, 60_000)
    with Client(node.url) as client:
        for _ in range(3):
            tidying.go_on(client, ())
    assert not (tmp_path / f"{ended}.receipt").exists()
    assert len(list(tmp_path.glob("*.receipt"))) == 4


@pytest.mark.parametrize(
    ("status", "code", "sent"), [(422, "wrong_state", 3), (503, "deadline", 1)]
)
def test_what_may_have_been_taken_is_not_sent_in_parts(
    node: LiveNode, tmp_path: Path, status: int, code: str, sent: int
) -> None:
    """Refused together, each goes alone; where the node gave up in the middle nothing follows
    until the orders were looked at again."""
    raws: list[bytes] = []

    class Says:
        def submit(self, raw: bytes) -> None:
            raws.append(raw)
            raise ApiProblem(status, code, "so it is")

    key = SigningKey(BLUEPRINT.role_seed("acme", "operations"))
    operations = [AcceptRedemption("acme", bytes([number]) * 32, key.public) for number in (1, 2)]
    with contextlib.suppress(ApiProblem):
        service(node, tmp_path)._send(Says(), operations, key, TIME_MS)  # type: ignore[arg-type]
    assert len(raws) == sent
