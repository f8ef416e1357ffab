"""Keys in trouble on real machines: the node says what it does and how to recover, and never votes
where it could contradict itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.devnet import processes
from cli.devnet.state import ports
from ledger import codec
from ledger.block import VotePayload
from ledger.parameters import WINDOW_MAX
from node.clock_check import SAMPLES
from node.vote_guard import Kind
from node.wal import INSTANCE_ID_BYTES, RECORD_BYTES_MAX, DiskLogFile, WriteAheadLog
from tests.functional.cluster import Cluster, until
from tests.functional.commands import MARSA

pytestmark = pytest.mark.functional

VICTIM, INDEX = "val3", 3
ELSEWHERE, FARTHER = 6, 5
"""The devnet's ports have room for seven nodes."""


def consensus_of(cluster: Cluster, index: int) -> Any:
    status = cluster.marsa("node", "status", "--node", cluster.api(index), "--json").json
    return status["consensus"]


def follows(cluster: Cluster, *words: str) -> None:
    """It follows without voting; its status and its log say why, and which command helps. The log
    begins with the start before."""
    until(lambda: cluster.nodes()[VICTIM]["state"] == "following", "it follows")
    found = consensus_of(cluster, INDEX)
    assert not found["is_voting"]
    log = log_of(cluster).read_text()
    for word in (*words, "marsa node recover"):
        assert word in found["reason"]
        assert word in log
    shown = cluster.marsa("node", "status", "--node", cluster.api(INDEX)).out
    assert "marsa node recover" in shown


def log_of(cluster: Cluster) -> Path:
    return cluster.node_dir(VICTIM) / "node.log"


def recovers(cluster: Cluster) -> None:
    """After the operator's word it votes again, above what it could have signed."""
    cluster.marsa("node", "recover", cluster.node_dir(VICTIM), "--yes")
    for _ in range(2 * WINDOW_MAX + 2):  # votes begin two windows above
        cluster.send("1", "alice", "bob")
    until(lambda: cluster.nodes()[VICTIM]["state"] == "voting", "it votes")


def keep_votes(cluster: Cluster) -> Path:
    """A directory with a copy of the victim's log, while it is down."""
    kept = cluster.home / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    shutil.copy(cluster.node_dir(VICTIM) / "votes.wal", kept)
    return kept


def assert_votes_are_above(cluster: Cluster, kept: Path) -> None:
    """What it signed since is above all that the lost log held."""
    lost = votes_in(kept)
    new = [vote for vote in votes_in(cluster.node_dir(VICTIM)) if vote not in lost]
    assert min(vote.height for vote in new) > max(vote.height for vote in lost)
    assert_no_evidence(cluster)


def image_of(cluster: Cluster) -> Path:
    """A copy of the victim's directory, taken while it is down, with votes in its log.

    Blocks become final without the slowest member; one that never voted follows after a start.
    """

    def has_voted() -> bool:
        cluster.send("1", "alice", "bob")
        return bool(votes_in(cluster.node_dir(VICTIM)))

    until(has_voted, "a vote of the victim")
    cluster.marsa("devnet", "kill", VICTIM)
    image = cluster.home / "image"
    passing = shutil.ignore_patterns("*.sock", "LOCK", "process.json", "node.log")
    shutil.copytree(cluster.node_dir(VICTIM), image, ignore=passing)
    cluster.marsa("devnet", "restart", VICTIM)
    until(lambda: cluster.nodes()[VICTIM]["state"] == "voting", "it votes")
    return image


@contextmanager
def running_elsewhere(cluster: Cluster, directory: Path, place: int = ELSEWHERE) -> Iterator[str]:
    """A process with the victim's key as on another machine: with ports and a home of its own. Its
    API's address."""
    api, operations, p2p = ports(cluster.base_port, place)
    environment = {**cluster.environment, "MARSA_HOME": str(directory / "home")}
    listen = {"api": api, "operations": operations, "p2p": p2p}
    command = [str(MARSA), "node", "run", str(directory)]
    for name, port in listen.items():
        command += ["--set", f"{name}.listen=127.0.0.1:{port}"]
    with (directory / "node.log").open("wb") as log:
        child = subprocess.Popen(command, stderr=log, env=environment)
        try:
            yield f"http://127.0.0.1:{api}"
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


def status_of(cluster: Cluster, api: str) -> Any:
    """What a node says of itself; nothing before it answers."""
    ended = cluster.marsa("node", "status", "--node", api, "--json", code=None)
    return ended.json if ended.code == 0 else {}


def said_by(cluster: Cluster, api: str) -> bool:
    """The copy knows from all three peers that it is not alone."""
    texts = status_of(cluster, api).get("warnings", [])
    return any(
        "another process runs with the key of this node: acme, bolt, coral" in text
        for text in texts
    )


def warnings_of(cluster: Cluster) -> list[str]:
    return [text for node in cluster.nodes().values() for text in node["warnings"]]


def assert_only_the_original_votes(cluster: Cluster, image: Path, api: str) -> None:
    assert not status_of(cluster, api)["consensus"]["is_voting"]
    assert "Stop one of the two" in cluster.marsa("node", "status", "--node", api).out
    assert "another process runs with the key of this node: " in (image / "node.log").read_text()
    nodes = cluster.nodes()
    assert nodes[VICTIM]["state"] in ("voting", "primary")
    assert nodes[VICTIM]["warnings"] == []
    for peer in ("val0", "val1", "val2"):
        assert any("two processes run with the key of delta" in t for t in nodes[peer]["warnings"])
    assert "val0 warning: two processes" in cluster.marsa("devnet", "status").out
    links = (cluster.node_dir(VICTIM) / "node.log").read_text()
    assert "refused by peer: key_in_use" not in links.rpartition("started height")[2]
    assert_one_vote_a_slot(cluster.node_dir(VICTIM), image)
    assert_no_evidence(cluster)


def assert_one_vote_a_slot(*directories: Path) -> None:
    """The logs of all processes that had the key: what they signed for one slot is one block."""
    signed: dict[tuple[int, int, int, int], bytes] = {}
    for directory in directories:
        for vote in votes_in(directory):
            slot = (vote.epoch, vote.view, vote.height, vote.phase)
            assert signed.setdefault(slot, vote.block_hash) == vote.block_hash, slot
    assert signed


def votes_in(directory: Path) -> list[VotePayload]:
    """What the log of a node holds, read from a copy: the node may be writing."""
    copy = directory / "votes.read"
    shutil.copyfile(directory / "votes.wal", copy)
    log, records = WriteAheadLog.open(DiskLogFile(copy))
    log.close()
    copy.unlink()
    return [
        codec.decode_payload(record.payload, VotePayload, size_max=RECORD_BYTES_MAX)
        for record in records
        if record.kind == Kind.VOTE
    ]


def assert_no_evidence(cluster: Cluster) -> None:
    """No member has seen two votes of one key for one slot."""
    for name in cluster.nodes():
        assert "evidence member" not in (cluster.node_dir(name) / "node.log").read_text()


@contextmanager
def running_with_clock_off(cluster: Cluster, directory: Path, hours: int) -> Iterator[None]:
    """The node of a devnet, with its own ports, in a process that believes in another hour."""
    script = str(Path(__file__).with_name("skewed_node.py"))
    command = [sys.executable, script, str(hours * 3_600), "node", "run", str(directory)]
    with (directory / "node.log").open("ab") as log:
        child = subprocess.Popen(command, stderr=log, env=cluster.environment)
        try:
            process = processes.identify(child.pid)
            assert process is not None
            processes.save(directory, process)
            yield
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


def test_two_processes_with_one_key(cluster: Cluster) -> None:
    """An older copy runs beside the original: the peers stay with the original, which goes on
    voting; the copy never votes, and everybody says so."""
    cluster.up()
    image = image_of(cluster)
    for _ in range(3):
        cluster.send("1", "alice", "bob")
    with running_elsewhere(cluster, image) as api:
        until(lambda: said_by(cluster, api), "the copy says that it is one")
        for _ in range(3):
            assert cluster.send("1", "alice", "bob", "--node", cluster.api(0))["status"] == "final"
        assert_only_the_original_votes(cluster, image, api)


def test_two_identical_copies(cluster: Cluster) -> None:
    """Key, chain and log of votes are the same, and the chain stands still: nothing on the disks
    tells them apart, the links do."""
    cluster.up()
    image = image_of(cluster)
    with running_elsewhere(cluster, image) as api:
        until(lambda: said_by(cluster, api), "the copy says that it is one")
        for _ in range(3):
            cluster.send("1", "alice", "bob", "--node", cluster.api(0))
        assert_only_the_original_votes(cluster, image, api)


def test_two_copies_start_together(cluster: Cluster) -> None:
    """Neither is the original, both dial at once while the chain stands still: one votes, or none
    until the other is gone; whoever is left votes."""
    cluster.up()
    image = image_of(cluster)
    cluster.marsa("devnet", "kill", VICTIM)
    twin = cluster.home / "twin"
    shutil.copytree(image, twin)
    with running_elsewhere(cluster, twin, FARTHER) as other:
        with running_elsewhere(cluster, image) as api:

            def told() -> list[str]:
                return [place for place in (api, other) if status_of(cluster, place)["warnings"]]

            until(lambda: status_of(cluster, api) and status_of(cluster, other), "both answer")
            until(told, "one is told")
            for _ in range(3):
                cluster.send("1", "alice", "bob", "--node", cluster.api(0))
            voting = [status_of(cluster, p)["consensus"]["is_voting"] for p in (api, other)]
            assert sum(voting) <= 1
            assert_one_vote_a_slot(image, twin)
        until(lambda: status_of(cluster, other)["consensus"]["connected"] == 4, "it is linked")
        assert_one_vote_a_slot(image, twin)
    assert_no_evidence(cluster)


def test_copy_takes_over_while_the_original_sleeps(cluster: Cluster) -> None:
    """The original is frozen until its peers give its place to the copy: when it wakes up, it
    votes no more, and says why; the copy gone, `recover` brings it back."""
    cluster.up()
    image = image_of(cluster)
    pid = cluster.nodes()[VICTIM]["pid"]
    with running_elsewhere(cluster, image) as api:
        until(lambda: said_by(cluster, api), "the copy says that it is one")
        os.kill(pid, signal.SIGSTOP)
        until(lambda: status_of(cluster, api)["consensus"]["connected"] == 4, "it is linked")
        for _ in range(3):
            cluster.send("1", "alice", "bob", "--node", cluster.api(0))
        os.kill(pid, signal.SIGCONT)
        until(lambda: not consensus_of(cluster, INDEX)["is_voting"], "it votes no more")
        reason = consensus_of(cluster, INDEX)["reason"]
        assert "marsa node recover" in reason
        assert "another process runs with this key: stop it, keep one" in reason
        assert reason in (cluster.node_dir(VICTIM) / "node.log").read_text()
        assert any("key of this node" in text for text in cluster.nodes()[VICTIM]["warnings"])
        told = ("node", "recover", cluster.node_dir(VICTIM), "--wait", "2s", "--yes")
        assert cluster.marsa(*told, "--json", code=5).error["code"] == "not_recoverable"
        assert_one_vote_a_slot(cluster.node_dir(VICTIM), image)
    until(lambda: consensus_of(cluster, INDEX)["connected"] == 4, "it is linked again")
    recovers(cluster)
    assert_one_vote_a_slot(cluster.node_dir(VICTIM), image)
    assert_no_evidence(cluster)


@pytest.mark.usefixtures("made")
def test_restored_old_directory(lasting: Cluster) -> None:
    """A backup of yesterday, database and log of votes together: the echo finds it."""
    image = image_of(lasting)
    for _ in range(3):
        lasting.send("1", "alice", "bob")
    lasting.marsa("devnet", "kill", VICTIM)
    kept = keep_votes(lasting)
    for name in ("chain", "votes.wal"):
        place = lasting.node_dir(VICTIM) / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.move(image / name, place)
    shutil.rmtree(image)
    log_of(lasting).write_bytes(b"")
    lasting.marsa("devnet", "restart", VICTIM, code=9)
    follows(lasting, "older than votes")
    recovers(lasting)
    assert_votes_are_above(lasting, kept)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("what", ["damaged", "missing", "fresh"])
def test_log_that_is_not_what_was_written(lasting: Cluster, what: str) -> None:
    """A byte flipped within it, gone, or a new one in its place on a chain that has blocks."""
    shutil.rmtree(image_of(lasting))  # taken when it had votes
    lasting.marsa("devnet", "kill", VICTIM)
    kept = keep_votes(lasting)
    path = lasting.node_dir(VICTIM) / "votes.wal"
    if what == "damaged":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    else:
        path.unlink()
    if what == "fresh":
        WriteAheadLog.create(DiskLogFile(path), bytes(INSTANCE_ID_BYTES)).close()
    log_of(lasting).write_bytes(b"")
    lasting.marsa("devnet", "restart", VICTIM, code=9)
    follows(lasting, what)
    recovers(lasting)
    assert_votes_are_above(lasting, kept)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("hours", [-1, 1])
def test_clock_is_off(lasting: Cluster, hours: int) -> None:
    """A validator comes back an hour early or late, and it is its turn to propose: it says so, the
    others go on, no slot is signed twice; with the right time it is a member as before."""
    lasting.send("1", "alice", "bob")
    victim = next(item for item in lasting.status()["nodes"] if item["state"] == "primary")["name"]
    index = int(victim.removeprefix("val"))
    other = lasting.api((index + 1) % 4)
    lasting.marsa("devnet", "kill", victim)
    directory = lasting.node_dir(victim)
    with running_with_clock_off(lasting, directory, hours):
        direction = "behind" if hours < 0 else "ahead of"
        until(lambda: status_of(lasting, lasting.api(index)), "it answers")
        until(lambda: consensus_of(lasting, index)["connected"] == 4, "it is linked")
        for _ in range(SAMPLES + 1):
            assert lasting.send("1", "alice", "bob", "--node", other)["status"] == "final"

        def warning() -> Any:
            """A block that it was late for is no sample: it gets others while it is asked."""
            lasting.send("1", "alice", "bob", "--node", other)
            texts = lasting.nodes()[victim]["warnings"]
            return next((text for text in texts if "clock of this machine" in text), None)

        text = until(warning, "it says that its clock is off")
        assert f" s {direction} the blocks of the chain" in text
        assert 3_590 <= int(text.split(" s ")[0].split()[-1]) <= 3_610
        assert "set it right" in text
        assert text.partition(" s ")[2] in (directory / "node.log").read_text()
        shown = lasting.marsa("node", "status", "--node", lasting.api(index)).out
        assert "warning: the clock of this machine is " in shown
        assert text.partition(" s ")[2] in shown
    lasting.marsa("devnet", "restart", victim)
    for _ in range(2):
        lasting.send("1", "alice", "bob", "--node", other)
    until(lambda: lasting.nodes()[victim]["state"] in ("voting", "primary"), "it votes again")
    assert not warnings_of(lasting)
    assert_one_vote_a_slot(directory)
    assert_no_evidence(lasting)
