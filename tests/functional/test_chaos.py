"""Faults of a devnet by hand and by seed, and a verdict that finds a node which lies."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from cli.devnet import history, processes
from cli.devnet.history import Look, Pay
from tests.functional.cluster import Cluster, hear_ctrl_c, until
from tests.functional.commands import MARSA

pytestmark = pytest.mark.functional

BROKEN_NODE = Path(__file__).with_name("broken_node.py")
SEED = 38
"""In 20 s one way of a node is cut, one is restarted, and one is killed."""
HARD_SEED = 57
"""With --hard in 20 s: of three one way is cut and the fourth is isolated, then two halves are
parted and one of them is killed."""


@pytest.fixture(scope="module")
def faults(lasting: Cluster) -> None:
    """Its links can be cut; each test leaves all of them whole."""
    lasting.up("--faults")


def test_paused_node(cluster: Cluster) -> None:
    """Payments go on without it, `status` names it, and `down` ends it all the same."""
    cluster.up()
    assert cluster.marsa("devnet", "pause", "0", "--json").json["nodes"] == ["val0"]
    paused = cluster.nodes()["val0"]
    assert (paused["state"], paused["alive"], paused["height"]) == ("paused", True, None)
    refused = cluster.marsa("devnet", "up", "--json", code=9).error
    assert (refused["code"], refused["hint"]) == ("node_paused", "marsa devnet resume val0")
    assert "go on with: marsa devnet resume val0" in cluster.marsa("devnet", "status").out
    sent = cluster.send("5", "alice", "bob", "--node", cluster.api(1), "--wait", "20s")
    assert sent["status"] == "final"
    assert cluster.marsa("devnet", "resume", "--json").json["nodes"] == ["val0"]
    until(lambda: cluster.nodes()["val0"]["height"] == cluster.nodes()["val1"]["height"], "level")
    cluster.marsa("devnet", "pause", "val1", "bolt", "2")
    process = processes.running(cluster.node_dir("val2"))
    cluster.marsa("devnet", "down")
    assert not processes.is_alive(process)
    refused = cluster.marsa("devnet", "pause", "val2", "--json", code=6)
    assert refused.error["code"] == "node_down"


def test_links_of_a_devnet_without_forwarder(cluster: Cluster) -> None:
    """It is said how to get one; the devnet keeps its state and its choice."""
    cluster.up()
    sent = cluster.send("5", "alice", "bob")
    for words in (["partition", "0"], ["delay", "0", "1s"], ["heal"], ["chaos", "--seed", "1"]):
        failed = cluster.marsa("devnet", *words, "--json", code=2).error
        assert failed["code"] == "no_forwarder"
        assert failed["hint"] == "marsa devnet down && marsa devnet up --faults"
    running = cluster.marsa("devnet", "up", "--faults", "--json", code=2).error
    assert running["code"] == "devnet_running"
    cluster.marsa("devnet", "down")
    cluster.up("--faults")
    assert cluster.marsa("tx", "show", sent["txid"], "--json").json["status"] == "final"
    for groups, code, says in (
        ("0,1,2,3", 2, "bad_groups"),
        ("0/0", 2, "bad_groups"),
        ("0/x", 6, "unknown_node"),
    ):
        failed = cluster.marsa("devnet", "partition", groups, "--json", code=code).error
        assert failed["code"] == says
    cluster.marsa("devnet", "down")
    cluster.up()
    cluster.marsa("devnet", "heal")


def is_final_before(record: history.Record, end_ms: int) -> bool:
    return isinstance(record, Look) and record.outcome == "final" and record.end_ms < end_ms


def test_interrupted_chaos_heals(cluster: Cluster) -> None:
    """Ctrl-C while nodes are paused: the command ends with 130 and leaves everybody running."""
    cluster.up()
    words = ("devnet", "chaos", "--seed", "1", "--for", "60s", "--kinds", "pause,kill")
    child = subprocess.Popen(
        [MARSA, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=cluster.environment,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    until(lambda: disturbed(cluster), "a node is paused or down")
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    until(lambda: roots(cluster), "all nodes run and have one state root")
    assert cluster.send("5", "alice", "bob")["status"] == "final"


def disturbed(cluster: Cluster) -> bool:
    return any(node["state"] in ("paused", "down") for node in cluster.nodes().values())


def roots(cluster: Cluster) -> bool:
    nodes = cluster.nodes().values()
    found = {(node["height"], node["state_root"]) for node in nodes}
    return len(found) == 1 and all(node["state"] in ("voting", "primary") for node in nodes)


@pytest.mark.parametrize("hard", [(), ("--hard",)], ids=["soft", "hard"])
def test_chaos_finds_a_lie(cluster: Cluster, hard: tuple[str, ...]) -> None:
    """One node calls final what is only pending: the verdict is bad, names it, and exits with 9."""
    cluster.up()
    cluster.marsa("devnet", "kill", "val3")
    start_broken(cluster, "val3", "answer-early")
    until(lambda: cluster.nodes()["val3"]["state"] == "voting", "val3 votes")
    words = ("devnet", "chaos", "--seed", 1, "--for", "6s", "--kinds", "pause", *hard)
    result = cluster.marsa(*words, "--json", code=9).json
    assert (result["ok"], result["safe"]) == (False, False)
    told = [item["what"] for item in result["findings"] if item["rule"] == "finality"]
    assert any("val3 called" in what for what in told)
    assert not any(f"{name} called" in what for name in ("val0", "val1", "val2") for what in told)
    records = history.read(Path(result["history"]))
    lies = [item for item in records if isinstance(item, Look) and item.outcome == "final"]
    assert any(not item.block for item in lies)


def start_broken(cluster: Cluster, name: str, rule: str) -> None:
    """Start a node of this devnet with a rule broken; the devnet knows its process."""
    directory = cluster.node_dir(name)
    command: list[Any] = [sys.executable, BROKEN_NODE, rule, "node", "run", directory]
    with (directory / "node.log").open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    process = processes.identify(child.pid)
    assert process is not None
    processes.save(directory, process)
    child.returncode = 0  # whoever ends the devnet ends it


@pytest.mark.usefixtures("faults")
def test_chaos_is_clean(lasting: Cluster) -> None:
    """Twenty seconds of faults under load on four validators: every rule holds, and all are back.

    The schedule is the one that a dry run shows, and the history is on disk.
    """
    words = ("devnet", "chaos", "--seed", SEED, "--for", "20s", "--json")
    shown = lasting.marsa(*words, "--dry-run").json
    done = lasting.marsa(*words, code=None)
    result = done.json
    assert (done.code, result["ok"], result["findings"]) == (0, True, []), result
    assert result["schedule"]["steps"] == shown["steps"]
    assert result["final"] > 20
    assert result["command"] == f"marsa devnet chaos --seed {SEED} --for 20s"
    records = history.read(Path(result["history"]))
    happened = [record.fault for record in records if isinstance(record, history.Happening)]
    assert len(happened) == len(shown["steps"])
    assert any(isinstance(record, Pay) for record in records)
    until(lambda: roots(lasting), "all nodes run and have one state root")
    assert lasting.send("5", "alice", "bob")["status"] == "final"


@pytest.mark.usefixtures("faults")
def test_hard_chaos_is_safe_and_recovers(lasting: Cluster) -> None:
    """All four are disturbed at once, then two halves parted and one of them killed, so that
    nobody has a quorum: all that was told holds, and payments go on after it."""
    words = ("devnet", "chaos", "--seed", HARD_SEED, "--for", "20s", "--hard", "--json")
    done = lasting.marsa(*words, code=None)
    result = done.json
    assert (done.code, result["ok"], result["safe"], result["findings"]) == (0, True, True, [])
    assert result["command"] == f"marsa devnet chaos --seed {HARD_SEED} --for 20s --hard"
    steps = result["schedule"]["steps"]
    assert [step["fault"] for step in steps] == ["one-way", "isolate", "halves", "kill"]
    assert result["schedule"]["limit"] == 1
    records = history.read(Path(result["history"]))
    stops = [item for item in records if isinstance(item, history.Happening)]
    assert {item.node for item in stops} == {"val0", "val1", "val2", "val3"}
    parted = [item for item in stops if item.fault in ("halves", "kill")]
    begin, end = max(item.start_ms for item in parted), min(item.end_ms for item in parted)
    assert begin < end, "half of the validators dead, and the other half cut off from it"
    final = {item.txid for item in records if isinstance(item, Look) and item.outcome == "final"}
    early = {item.txid for item in records if is_final_before(item, end)}
    assert 0 < len(early) < len(final)
    until(lambda: roots(lasting), "all nodes run and have one state root")
    assert lasting.send("5", "alice", "bob")["status"] == "final"


@pytest.mark.usefixtures("faults")
def test_links_that_are_cut_and_slow(lasting: Cluster) -> None:
    """The rest of a network goes on without the one that is cut off, and it comes back. The last of
    those that share a devnet."""
    parted = lasting.marsa("devnet", "partition", "acme", "--json").json
    assert parted["groups"] == [["val0"], ["val1", "val2", "val3"]]
    assert {frozenset((way["source"], way["target"])) for way in lasting.status()["links"]} == {
        frozenset(("val0", other)) for other in parted["groups"][1]
    }
    assert "6 ways are cut, 0 slow" in lasting.marsa("devnet", "status").out
    looked = lasting.marsa("doctor", "--json").json["findings"]
    assert {
        (item["detail"], item["hint"]) for item in looked if item["check"] == "devnet default"
    } == {("6 ways between nodes are cut, 0 slow", "marsa devnet heal")}
    sent = lasting.send("5", "alice", "bob", "--node", lasting.api(1), "--wait", "20s")
    behind = lasting.marsa(
        "tx", "show", sent["txid"], "--node", lasting.api(0), "--json", code=None
    )
    assert behind.code == 6 or behind.json["status"] != "final"
    lasting.marsa("devnet", "heal")
    assert lasting.status()["links"] == []
    until(lambda: lasting.nodes()["val0"]["height"] == lasting.nodes()["val1"]["height"], "level")
    slow = lasting.marsa("devnet", "delay", "3", "50ms", "--rate", "512", "--json").json
    assert (slow["node"], slow["delay_ms"], slow["rate_kib"]) == ("val3", 50, 512)
    assert lasting.send("5", "alice", "bob")["status"] == "final"
    halved = lasting.marsa("devnet", "partition", "0,1/2,3", "--for", "300ms", "--json").json
    assert halved["groups"] == [["val0", "val1"], ["val2", "val3"]]
    assert lasting.send("5", "alice", "bob", "--wait", "20s")["status"] == "final"
    for node, delay in (("2", "20ms"), ("1", "0ms")):
        lasting.marsa("devnet", "delay", node, delay)
    ways = {(way["source"], way["target"]): way["delay_ms"] for way in lasting.status()["links"]}
    assert ways == {
        **dict.fromkeys(permutations(("val3", "val0"), 2), 50),
        **dict.fromkeys(permutations(("val2", "val3"), 2), 20),
        **dict.fromkeys(permutations(("val2", "val0"), 2), 20),
    }
    assert lasting.marsa("devnet", "heal", "--json").json["healed"] > 0
    links = processes.running(lasting.directory / "links")
    assert links is not None
    lasting.marsa("devnet", "down")
    assert not processes.is_alive(links)
