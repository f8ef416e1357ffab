"""A devnet of four real validators, used as the README says."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cli.devnet import launch, processes
from node.disk import MERGING_NICE
from tests.functional.cluster import Cluster, hear_ctrl_c, until
from tests.functional.commands import MARSA, run_script

pytestmark = pytest.mark.functional

NICE_MAX = 19

FUNDS = 12_500_000_000
"""What an account holds at the beginning, in µ."""


def test_up_pay_down_and_up_again(cluster: Cluster) -> None:
    """From an empty directory to a final payment, with the script that users start; stopped and
    started, all of it is there."""
    cluster.run = run_script
    made = cluster.up()
    assert [node["name"] for node in made["nodes"]] == ["val0", "val1", "val2", "val3"]
    sent = cluster.send("5", "alice", "bob")
    assert (sent["status"], sent["amount"]) == ("final", "5000000")
    assert cluster.balance("bob") == FUNDS + 5_000_000
    assert cluster.balance("alice") == FUNDS - 5_000_000 - int(sent["fee"])
    funded = cluster.marsa("devnet", "fund", "carol", "1.5", "--json").json
    assert (funded["status"], funded["amount"]) == ("final", "1500000")
    nobody = ("--node", "http://127.0.0.1:1", "--json")
    assert cluster.marsa("devnet", "fund", "carol", "1", *nobody, code=3).error
    assert cluster.balance("carol") == FUNDS + 1_500_000
    assert cluster.marsa("devnet", "down", "--json").json["stopped"] == 4
    assert cluster.status()["missing"] == ["val0", "val1", "val2", "val3"]
    again = cluster.up()
    assert again["genesis_hash"] == made["genesis_hash"]
    assert cluster.balance("bob") == FUNDS + 5_000_000
    assert cluster.send("1", "bob", "alice")["status"] == "final"
    cluster.marsa("audit", "chain")


def roots_at_one_height(cluster: Cluster) -> list[str] | None:
    nodes = cluster.nodes().values()
    if len({node["height"] for node in nodes}) > 1:
        return None
    return [node["state_root"] for node in nodes]


def test_two_of_four_killed(cluster: Cluster) -> None:
    """Nothing commits and those who wait are told who is missing; with them back it goes on."""
    cluster.up()
    for name in ("val1", "val2"):
        cluster.marsa("devnet", "kill", name)
    height = cluster.nodes()["val0"]["height"]
    waiting = cluster.marsa(
        *("tx", "send", "bob", "5", "--from", "alice", "--wait", "3s", "--json"), code=4
    )
    for name in ("val1", "val2"):
        assert name in waiting.error["message"]
    assert cluster.nodes()["val0"]["height"] == height
    shown = cluster.marsa("devnet", "status")
    assert "missing: val1 (bolt), val2 (coral)" in shown.out
    peers = cluster.marsa("node", "peers", "--json").json["items"]
    assert {item["name"]: item["linked_ms"] is None for item in peers} == {
        "bolt": True,
        "coral": True,
        "delta": False,
    }
    found = cluster.marsa("doctor", "--node", cluster.api(0), "--json", code=9).json["findings"]
    told = {item["check"]: (item["verdict"], item["hint"]) for item in found}
    assert told["devnet default"] == ("warn", "marsa devnet restart val1")
    assert told["finality"] == ("fail", "marsa consensus show")
    for name in ("val1", "val2"):
        cluster.marsa("devnet", "restart", name)
    txid = waiting.error["details"]["txid"]
    cluster.marsa("tx", "wait", txid, "--wait", "10s")


def test_seven_validators(cluster: Cluster) -> None:
    """A larger set tolerates two faults: with two killed payments go on."""
    made = cluster.up("-n", "7")
    assert [node["issuer"] is None for node in made["nodes"]] == [False] * 4 + [True] * 3
    for name in ("val5", "val6"):
        cluster.marsa("devnet", "kill", name)
    assert cluster.send("5", "alice", "bob")["status"] == "final"


def test_deep_directory(cluster: Cluster) -> None:
    """The path of MARSA_HOME may be long: nothing depends on the length of a socket's path."""
    cluster.home = cluster.home / ("deep" * 20) / ("deeper" * 20)
    cluster.up()
    assert cluster.send("5", "alice", "bob")["status"] == "final"
    assert (cluster.node_dir("val0") / "admin.sock").is_socket()


def test_terminal_shows_blocks_and_ctrl_c_stops(cluster: Cluster) -> None:
    """On a terminal `up` stays, a payment shows as a block, and Ctrl-C takes the nodes down."""
    master, slave = pty.openpty()
    command = [MARSA, "devnet", "up", "--no-issuers", "--base-port", str(cluster.base_port)]
    environment = cluster.environment
    child = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    os.close(slave)
    seen = read_until(master, "Ctrl-C stops")
    assert "alice" in seen
    cluster.send("5", "alice", "bob")
    read_until(master, "1 transaction ")
    child.send_signal(signal.SIGINT)
    read_until(master, "stopping")
    assert child.wait(30) == 0
    os.close(master)
    assert len(cluster.status()["missing"]) == 4


def read_until(terminal: int, words: str) -> str:
    """Everything up to `words`, without the terminal's control sequences."""
    os.set_blocking(terminal, False)
    data = b""
    deadline = time.monotonic() + 30
    while True:
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode("utf-8", errors="replace"))
        if words in text:
            return text
        assert time.monotonic() < deadline, text
        try:
            data += os.read(terminal, 65_536)
        except BlockingIOError:
            time.sleep(0.02)


def test_every_node_is_ready_when_up_returns(made: Any, lasting: Cluster) -> None:
    """`up` ends when block 1 has a certificate on every node: each vouches for it at once. The
    first of the tests that share a devnet."""
    for index in range(4):
        found = lasting.marsa("query", "block", "1", "--node", lasting.api(index), "--json").json
        assert len(found["certificate"]["signers"]) >= 3
    states = [node["state"] for node in lasting.nodes().values()]
    assert states == ["primary", "voting", "voting", "voting"]


def test_up_twice_changes_nothing(made: Any, lasting: Cluster) -> None:
    """On a running devnet `up` finds everything there and says the same."""
    assert lasting.up() == made


@pytest.mark.usefixtures("made")
def test_panel_of_a_devnet(lasting: Cluster) -> None:
    """`open` says where it is and under which key; a node that it kills is gone, and comes back; it
    ends with the devnet and comes back with it, under the same key."""
    found = lasting.marsa("devnet", "open", "--json").json
    assert found["explorer"] == f"{lasting.api(0)}/ui/"
    address, _, key = found["panel"].partition("#")

    def ask(path: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        request = urllib.request.Request(address + path, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    assert [item["alive"] for item in ask("state")["nodes"]] == [True] * 4
    assert ask("actions", b'{"action": "kill", "nodes": ["val2"]}')["ok"]
    assert not lasting.nodes()["val2"]["alive"]
    assert "missing: val2" in ask("state")["trouble"]
    assert ask("actions", b'{"action": "restart", "nodes": ["val2"]}')["ok"]
    assert lasting.nodes()["val2"]["state"] == "voting"
    lasting.marsa("devnet", "down")
    with pytest.raises(urllib.error.URLError):
        ask("state")
    lasting.up()
    assert all(node["state"] in {"primary", "voting"} for node in lasting.nodes().values())
    assert lasting.marsa("devnet", "open", "--json").json == found
    assert ask("state")["done"] == []


@pytest.mark.usefixtures("made")
def test_primary_killed(lasting: Cluster) -> None:
    """Without it the next payment is final in ten seconds; it comes back with equal roots."""
    nodes = lasting.nodes()
    (first,) = [name for name, node in nodes.items() if node["state"] == "primary"]
    before = nodes[first]
    killed = lasting.marsa("devnet", "kill", first, "--json").json
    assert (killed["node"], killed["pid"]) == (first, before["pid"])
    sent = lasting.send("5", "alice", "bob", "--wait", "10s")
    assert sent["status"] == "final"
    states = lasting.nodes()
    gone = states.pop(first)
    assert (gone["state"], gone["alive"]) == ("down", False)
    assert all(node["view"] > before["view"] for node in states.values())
    back = lasting.marsa("devnet", "restart", first, "--json").json
    assert back["height"] >= sent["height"]
    roots = until(lambda: roots_at_one_height(lasting), "all nodes at one height")
    assert len(set(roots)) == 1
    assert lasting.send("5", "bob", "alice")["status"] == "final"


def test_reset_begins_a_new_chain(made: Any, lasting: Cluster) -> None:
    """A running devnet runs on until `reset` is confirmed, then runs again with another genesis and
    all funds back."""
    lasting.send("5", "alice", "bob")
    asked = lasting.marsa("devnet", "reset", "--json", code=8).error
    assert asked["code"] == "confirmation_needed"
    assert all(node["alive"] for node in lasting.nodes().values())
    after = lasting.marsa("devnet", "reset", "--yes", "--json").json
    assert after["genesis_hash"] != made["genesis_hash"]
    assert lasting.balance("alice") == FUNDS
    assert lasting.send("5", "alice", "bob")["status"] == "final"


@pytest.mark.usefixtures("made")
def test_node_started_by_an_interpreter_of_its_own(lasting: Cluster) -> None:
    """What systems without fork do: the node joins as the others do."""
    lasting.marsa("devnet", "kill", "val3")
    launch.spawn(lasting.node_dir("val3"))
    until(lambda: lasting.nodes()["val3"]["state"] == "voting", "val3 votes")


@pytest.mark.usefixtures("made")
def test_lost_vote_log(lasting: Cluster) -> None:
    """A node whose memory of votes is gone follows without voting until the operator's word."""
    height = lasting.send("5", "alice", "bob")["height"]
    lasting.marsa("devnet", "kill", "val3")
    (lasting.node_dir("val3") / "votes.wal").unlink()
    checked = lasting.marsa("node", "check", lasting.node_dir("val3"), "--json").json
    assert (checked["ok"], checked["votes"]) == (True, False)
    assert "votes.wal is missing" in checked["reason"]
    failed = lasting.marsa("devnet", "restart", "val3", "--json", code=9).error
    assert (failed["code"], failed["details"]["node"]) == ("not_voting", "val3")
    assert failed["details"]["height"] >= height
    assert "votes.wal is missing" in failed["message"]
    assert f"marsa node recover {lasting.node_dir('val3')}" in failed["hint"]
    assert lasting.nodes()["val3"]["state"] == "following"
    refused = lasting.marsa("node", "recover", lasting.node_dir("val3"), "--json", code=8)
    assert "only copy" in refused.error["message"]
    told = lasting.marsa("node", "recover", lasting.node_dir("val3"), "--yes", "--json").json
    assert (told["licence"], told["accepted"]) == ("delta", True)
    for _ in range(4):
        lasting.send("1", "alice", "bob")
    until(lambda: lasting.nodes()["val3"]["state"] == "voting", "val3 votes")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
@pytest.mark.usefixtures("made")
def test_a_thread_of_each_node_gives_way_to_the_others(lasting: Cluster) -> None:
    """LevelDB's."""
    for node in lasting.nodes().values():
        own = os.getpriority(os.PRIO_PROCESS, node["pid"])
        threads = [int(path.name) for path in Path(f"/proc/{node['pid']}/task").iterdir()]
        lower = [os.getpriority(os.PRIO_PROCESS, thread) - own for thread in threads]
        assert sorted(lower)[-2:] == [0, min(MERGING_NICE, NICE_MAX - own)]


@pytest.mark.usefixtures("made")
def test_killed_launcher_leaves_the_nodes(lasting: Cluster) -> None:
    """Nodes belong to nobody's session: each leads its own, and `down` finds them all. The last
    of the tests that share a devnet."""
    for node in lasting.nodes().values():
        assert os.getsid(node["pid"]) == node["pid"]
        found = processes.running(lasting.node_dir(node["name"]))
        assert found is not None
        assert found.pid == node["pid"]
    lasting.marsa("devnet", "down")
    assert all(not node["alive"] for node in lasting.nodes().values())
