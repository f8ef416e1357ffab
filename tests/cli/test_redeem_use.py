"""`marsa redeem use`: what stands in its way, and when it does not wait."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import redeem_orders
from cli.errors import ExitCode
from tests.cli.conftest import Marsa
from tests.cli.devnet_node import write_json
from tests.cli.live_node import LiveNode
from tests.cli.redeem_world import SUBMIT, code_of, orders_node, passes, ready

DEADLINE_S = 20


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    yield from orders_node(marsa_home, monkeypatch)


@pytest.fixture
def order(marsa: Marsa, node: LiveNode) -> str:
    """alice's, for a coin."""
    return str(marsa(*SUBMIT, "--json").json["order"])


def test_an_order_is_used_by_one_process_at_a_time(
    marsa: Marsa, node: LiveNode, order: str
) -> None:
    """Two would sign one number twice. What stands in the way, and what nobody serves, is told."""
    ready(marsa, order)
    use = ("redeem", "use", order, "--check", "0")
    with (redeem_orders.orders_dir() / f"{order}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = marsa(*use, "--json")
        assert code_of(result) == (ExitCode.CHECK_FAILED, "in_use")
    result = marsa(*use, "--patience", "1ms", "--json")
    assert code_of(result) == (ExitCode.UNREACHABLE, "session_ended")
    path = redeem_orders.orders_dir() / f"{order}.receipt"
    path.write_bytes(b"\x93\x01")
    path.chmod(0o600)
    result = marsa(*use, "--json")
    assert code_of(result) == (ExitCode.CHECK_FAILED, "bad_file")
    assert str(path) in result.json["error"]["message"]


def test_units_are_not_signed_for_unseen_by_mistake(
    marsa: Marsa, node: LiveNode, order: str
) -> None:
    """Nothing here checks the units of such an order: told before anybody is waited for."""
    result = marsa("redeem", "use", order, "--json")
    assert code_of(result) == (ExitCode.USAGE, "no_job")
    assert "'training'" in result.json["error"]["message"]
    late = marsa("redeem", "use", order, "--job", "./mine", "--patience", "1ms", "--json")
    assert code_of(late) == (ExitCode.TIMEOUT, "not_ready")
    assert "'acme' is to accept it" in late.json["error"]["message"]


def test_an_order_that_is_over_is_waited_for_no_more(
    marsa: Marsa, node: LiveNode, order: str
) -> None:
    """Nobody answers at its endpoint, and then it is closed: `use` ends at once and says what
    became of the coins, in the middle of its patience as at its start."""
    ready(marsa, order)
    use = ("redeem", "use", order, "--check", "0", "--patience", "10m", "--json")
    command = [sys.executable, "-m", "cli.main", *use]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as using:
        lock = redeem_orders.orders_dir() / f"{order}.lock"
        deadline_s = time.monotonic() + DEADLINE_S
        while not lock.exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        marsa("redeem", "close", order)
        out, _ = using.communicate(timeout=DEADLINE_S)
    assert using.returncode == ExitCode.REJECTED
    said = json.loads(out)["error"]
    assert (said["code"], said["message"]) == (
        "order_over",
        f"order {order[:12]} is closing: 0.000000 of 1.000000 coins were delivered, "
        "1.000000 are not paid back yet",
    )
    passes(node, 90)
    assert "1.000000 came back" in marsa(*use).json["error"]["message"]


def test_files_of_an_order_are_removed_when_nodes_have_forgotten_it(
    marsa: Marsa, node: LiveNode, order: str
) -> None:
    """Not while it is open, nor in the hour in which `list` shows how it ended: then key, receipt
    and lock go, and `list` says so once. What a node keeps for longer keeps its key for longer."""
    directory = redeem_orders.orders_dir()
    for suffix in (".receipt", ".lock"):
        (directory / f"{order}{suffix}").touch()
    longer = marsa(*SUBMIT, "--start-by", "150m", "--within", "160m", "--json").json["order"]

    def files() -> set[str]:
        return {path.name for path in directory.iterdir()}

    before = files()
    passes(node, 1_800)
    listed = marsa("redeem", "list", "--json").json
    assert [item["state"] for item in listed["orders"]] == ["lapsed", "lapsed"]
    assert (listed["removed"], files()) == ([], before)
    passes(node, 3_600)
    said = f"over and forgotten, their keys and receipts are removed: {order[:12]}"
    assert said in marsa("redeem", "list").out.splitlines()
    assert files() == {f"{longer}.json"}
    assert marsa("redeem", "list", "--json").json["removed"] == []
    passes(node, 5_400)
    assert marsa("redeem", "list", "--json").json["removed"] == [longer]
    assert files() == set()


def test_submit_removes_them_too(marsa: Marsa, node: LiveNode, order: str) -> None:
    """For whoever never lists: what never arrived, and comes too late by now."""
    file = redeem_orders.path_of(order)
    late = {**json.loads(file.read_text()), "order": "ab" * 32, "end_ms": 1}
    write_json(redeem_orders.path_of("ab" * 32), late)
    young = marsa(*SUBMIT, "--json").json["order"]
    assert {path.stem for path in file.parent.iterdir()} == {order, young}
