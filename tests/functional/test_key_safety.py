"""Keys in trouble on real machines: the node says what it does and how to recover, and never votes
where it could contradict itself."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.devnet.state import ports
from node.wal import INSTANCE_ID_BYTES, DiskLogFile, WriteAheadLog
from tests.functional.cluster import MARSA, Cluster, until

pytestmark = pytest.mark.functional

VICTIM, INDEX = "val3", 3
ELSEWHERE = 6
"""The devnet's ports have room for seven nodes."""


def consensus_of(cluster: Cluster, index: int) -> Any:
    status = cluster.marsa("node", "status", "--node", cluster.api(index), "--json").json
    return status["consensus"]


def follows(cluster: Cluster, *words: str) -> None:
    """It follows without voting; its status and its log say why, and which command helps."""
    until(lambda: cluster.nodes()[VICTIM]["state"] == "following", "it follows")
    found = consensus_of(cluster, INDEX)
    assert not found["is_voting"]
    log = (cluster.node_dir(VICTIM) / "node.log").read_text()
    for word in (*words, "marsa node recover"):
        assert word in found["reason"]
        assert word in log
    shown = cluster.marsa("node", "status", "--node", cluster.api(INDEX)).out
    assert "marsa node recover" in shown


def recovers(cluster: Cluster) -> None:
    """After the operator's word it votes again, above what it could have signed."""
    cluster.marsa("node", "recover", cluster.node_dir(VICTIM), "--yes")
    for _ in range(4):
        cluster.send("1", "alice", "bob")
    until(lambda: cluster.nodes()[VICTIM]["state"] == "voting", "it votes")


def image_of(cluster: Cluster) -> Path:
    """A copy of the victim's directory, taken while it is down."""
    cluster.marsa("devnet", "kill", VICTIM)
    image = cluster.home / "image"
    passing = shutil.ignore_patterns("*.sock", "LOCK", "process.json", "node.log")
    shutil.copytree(cluster.node_dir(VICTIM), image, ignore=passing)
    cluster.marsa("devnet", "restart", VICTIM)
    until(lambda: cluster.nodes()[VICTIM]["state"] == "voting", "it votes")
    return image


@contextmanager
def running_elsewhere(cluster: Cluster, directory: Path) -> Iterator[str]:
    """A second process with the victim's key, on ports of its own; its API's address."""
    api, operations, p2p = ports(cluster.base_port, ELSEWHERE)
    listen = {"api": api, "operations": operations, "p2p": p2p}
    command = [str(MARSA), "node", "run", str(directory)]
    for name, port in listen.items():
        command += ["--set", f"{name}.listen=127.0.0.1:{port}"]
    with (directory / "node.log").open("wb") as log:
        child = subprocess.Popen(command, stderr=log, env=cluster.environment)
        try:
            yield f"http://127.0.0.1:{api}"
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


def test_restored_old_directory(cluster: Cluster) -> None:
    """A backup of yesterday, database and log of votes together: the echo finds it."""
    cluster.up()
    image = image_of(cluster)
    for _ in range(3):
        cluster.send("1", "alice", "bob")
    cluster.marsa("devnet", "kill", VICTIM)
    for name in ("chain", "votes.wal"):
        place = cluster.node_dir(VICTIM) / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.move(image / name, place)
    cluster.marsa("devnet", "restart", VICTIM)
    follows(cluster, "older than votes")
    recovers(cluster)


@pytest.mark.parametrize("what", ["damaged", "fresh"])
def test_log_that_is_not_what_was_written(cluster: Cluster, what: str) -> None:
    """A byte flipped within it, or a new one in its place on a chain that has blocks."""
    cluster.up()
    cluster.send("5", "alice", "bob")
    cluster.marsa("devnet", "kill", VICTIM)
    path = cluster.node_dir(VICTIM) / "votes.wal"
    if what == "damaged":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    else:
        path.unlink()
        WriteAheadLog.create(DiskLogFile(path), bytes(INSTANCE_ID_BYTES)).close()
    cluster.marsa("devnet", "restart", VICTIM)
    follows(cluster, "damaged" if what == "damaged" else "fresh")
    recovers(cluster)


def test_two_processes_with_one_key(cluster: Cluster) -> None:
    """A copied directory runs beside the original: the echo of the original's votes keeps it from
    voting, and it says so; the chain goes on, and the original votes once the copy is gone."""
    cluster.up()
    image = image_of(cluster)
    for _ in range(3):
        cluster.send("1", "alice", "bob")
    with running_elsewhere(cluster, image) as api:

        def consensus() -> Any:
            ended = cluster.marsa("node", "status", "--node", api, "--json", code=None)
            return ended.json["consensus"] if ended.code == 0 else {"reason": ""}

        until(lambda: "older than votes" in consensus()["reason"], "the copy hears the echo")
        for _ in range(3):
            assert cluster.send("1", "alice", "bob", "--node", cluster.api(0))["status"] == "final"
            assert not consensus()["is_voting"]
    until(lambda: cluster.nodes()[VICTIM]["state"] == "voting", "the original votes")
