"""What goes wrong on a machine: each time a sentence that says what to do, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cli.accounts import PublicAccount
from cli.client import Client
from cli.devnet import processes
from tests.functional.cluster import Cluster, until
from tests.functional.load import prepare

pytestmark = pytest.mark.functional

PAYMENTS = 1_500
FINAL_BEFORE_KILL = 200
BLOCK_BYTES = 4_096
LOG_ROOM_BYTES = 64 << 10
"""What a file takes of a tmpfs at a time."""


def faucet_of(cluster: Cluster) -> PublicAccount:
    data = (cluster.directory / "accounts.json").read_bytes()
    accounts = msgspec.json.decode(data, type=list[PublicAccount])
    return next(account for account in accounts if account.name == "faucet")


def kill_all(cluster: Cluster) -> None:
    """SIGKILL for every node at once."""
    found = [processes.running(path) for path in (cluster.directory / "nodes").iterdir()]
    alive = [process for process in found if process is not None]
    for process in alive:
        os.kill(process.pid, signal.SIGKILL)
    assert processes.wait_gone(alive, 10) == []


def test_all_killed_under_load(cluster: Cluster) -> None:
    """kill -9 of all nodes under load: what was reported final is there, at the same height."""
    made = cluster.up()
    urls = [node["api"] for node in made["nodes"]]
    load = prepare(urls, faucet_of(cluster), PAYMENTS)
    load.start()
    until(lambda: len(load.final) >= FINAL_BEFORE_KILL, "payments are final under load")
    kill_all(cluster)
    load.join()
    assert len(load.final) < PAYMENTS, "the load was over before the nodes were killed"
    cluster.up()
    for url in urls:
        with Client(url) as client:
            for txid, height in load.final.items():
                found = client.transaction(txid)
                assert (found.status, found.height) == ("final", height)
    cluster.marsa("audit", "chain")
    assert cluster.send("5", "alice", "bob")["status"] == "final"


def test_port_in_use(cluster: Cluster) -> None:
    """The port and its owner are named before anything starts; another base port works."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", cluster.base_port + 2))
        taken.listen()
        failed = cluster.marsa("devnet", "up", "--base-port", cluster.base_port, "--json", code=9)
        assert failed.error["code"] == "port_in_use"
        assert str(cluster.base_port + 2) in failed.error["message"]
        assert str(os.getpid()) in failed.error["message"]
        command = failed.error["hint"].split()
        assert command[:3] == ["marsa", "devnet", "up"]
        cluster.marsa(*command[1:], "--json")
    assert cluster.send("5", "alice", "bob")["status"] == "final"


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST", "table"])
def test_damaged_data_directory(cluster: Cluster, name: str) -> None:
    """A node with a damaged database says so and stays down; the others lose nothing."""
    cluster.up()
    cluster.send("5", "alice", "bob")
    cluster.marsa("devnet", "down")
    damage(cluster.node_dir("val1") / "chain", name)
    failed = cluster.marsa("devnet", "up", "--json", code=1)
    assert failed.error["details"]["node"] == "val1"
    assert "Traceback" not in "\n".join(failed.error["details"]["log"])
    assert "error[storage]" in failed.error["details"]["log"][-1]
    for other in ("val0", "val2", "val3"):
        cluster.marsa("devnet", "restart", other)
    assert cluster.send("1", "alice", "bob")["height"] >= 3


def damage(chain: Path, name: str) -> None:
    """Lose the pointer to everything, or flip bytes in the middle of a file."""
    if name == "CURRENT":
        (chain / name).unlink()
        return
    pattern = "MANIFEST-*" if name == "MANIFEST" else "lookups/*.l[do][bg]"
    file = max(chain.glob(pattern), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xFF for byte in data[middle : middle + 64])
    file.write_bytes(data)


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own that is soon full; making one takes the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    size = f"size={getattr(request, 'param', 6)}m"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", place]
    if sys.platform != "linux" or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_full_disk(cluster: Cluster, small_disk: Path) -> None:
    """A write that fails ends the node with a sentence; with space again it loses nothing."""
    cluster.up()
    cluster.marsa("devnet", "down")
    node, moved = cluster.node_dir("val3"), small_disk / "val3"
    shutil.move(node, moved)
    node.symlink_to(moved)
    config = moved / "marsa.toml"
    text = config.read_text().replace("# reject_below_mib = 1024", "reject_below_mib = 0")
    config.write_text(text.replace("# stop_voting_below_mib = 256", "stop_voting_below_mib = 0"))
    cluster.up()
    log = moved / "node.log"
    subprocess.run(  # the log lies there too: its last words have room
        ["fallocate", "--keep-size", "--length", str(log.stat().st_size + LOG_ROOM_BYTES), log],
        check=True,
    )
    filling = small_disk / "filling"
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(BLOCK_BYTES)):
            pass
    for _ in range(3):
        assert cluster.send("1", "alice", "bob")["status"] == "final"
    until(lambda: not cluster.nodes()["val3"]["alive"], "val3 stops")
    last = log.read_text().splitlines()[-1]
    assert "No space left on device" in last
    assert "check the disk" in last
    filling.unlink()
    back = cluster.marsa("devnet", "restart", "val3", "--json").json
    assert back["height"] >= 4
    assert cluster.send("1", "alice", "bob")["status"] == "final"


@pytest.mark.parametrize("small_disk", [64], indirect=True)
def test_nearly_full_disk(cluster: Cluster, small_disk: Path) -> None:
    """Below the limit a validator follows without voting and says why; a new epoch changes nothing,
    free space does."""
    cluster.up()
    cluster.marsa("devnet", "down")
    node, moved = cluster.node_dir("val3"), small_disk / "val3"
    shutil.move(node, moved)
    node.symlink_to(moved)
    config = moved / "marsa.toml"
    text = config.read_text().replace("# reject_below_mib = 1024", "reject_below_mib = 24")
    config.write_text(text.replace("# stop_voting_below_mib = 256", "stop_voting_below_mib = 24"))
    cluster.up()
    filling = small_disk / "filling"
    filling.write_bytes(bytes(shutil.disk_usage(small_disk).free - (16 << 20)))

    def reason() -> str:
        shown = cluster.marsa("node", "status", "--node", cluster.api(3), "--json").json
        return "" if shown["consensus"]["is_voting"] else str(shown["consensus"]["reason"])

    until(lambda: "MiB of disk are free, 24 MiB are needed" in reason(), "val3 stops voting")
    cluster.marsa("validator", "end-epoch", "--node", cluster.api(0))
    until(lambda: cluster.marsa("validator", "status", "--json").json["epoch"]["number"], "epoch 1")
    height = cluster.send("1", "alice", "bob", "--node", cluster.api(0))["height"]
    until(lambda: cluster.nodes()["val3"]["height"] >= height, "val3 follows into the epoch")
    assert "MiB of disk are free" in reason()
    filling.unlink()
    until(lambda: not reason(), "val3 votes again")


@pytest.mark.usefixtures("made")
def test_second_process_on_one_directory(lasting: Cluster) -> None:
    """The second one ends at once and names the first; the first goes on."""
    pid = lasting.nodes()["val0"]["pid"]
    second = lasting.marsa("node", "run", lasting.node_dir("val0"), "--json", code=9)
    assert second.error["code"] == "directory_in_use"
    assert str(pid) in second.error["message"]
    assert lasting.nodes()["val0"]["pid"] == pid
    assert lasting.send("5", "alice", "bob")["status"] == "final"


@pytest.mark.usefixtures("made")
def test_wrong_genesis(lasting: Cluster) -> None:
    """`up` names the node at fault, shows its log, stops what it started; mended, it goes on."""
    height = lasting.send("5", "alice", "bob")["height"]
    lasting.marsa("devnet", "down")
    file = lasting.node_dir("val1") / "genesis.json"
    right = file.read_bytes()
    file.write_text(lasting.marsa("genesis", "new", "--devnet").out)
    failed = lasting.marsa("devnet", "up", "--json", code=1)
    assert failed.error["details"]["node"] == "val1"
    assert any("wrong_genesis" in line for line in failed.error["details"]["log"])
    assert len(lasting.status()["missing"]) == 4
    found = lasting.marsa("node", "check", lasting.node_dir("val1"), "--json", code=9)
    assert found.error["code"] == "wrong_genesis"
    file.write_bytes(right)
    lasting.up()
    assert lasting.send("1", "alice", "bob")["height"] > height


@pytest.mark.usefixtures("made")
def test_little_space_left(lasting: Cluster) -> None:
    """Below the first limit transactions are refused by name, below the second no node starts."""
    node = lasting.node_dir("val0")
    lasting.marsa("devnet", "kill", "val0")
    config = node / "marsa.toml"
    text = config.read_text()
    config.write_text(text.replace("# reject_below_mib = 1024", "reject_below_mib = 1048576"))
    lasting.marsa("devnet", "restart", "val0")
    refused = lasting.marsa(
        *("tx", "send", "bob", "5", "--from", "alice", "--node", lasting.api(0), "--json"), code=5
    )
    assert refused.error["code"] == "low_disk_space"
    assert lasting.send("5", "carol", "bob", "--node", lasting.api(1))["status"] == "final"
    lasting.marsa("devnet", "kill", "val0")
    full = lasting.marsa(
        *("node", "check", node, "--set", "storage.stop_voting_below_mib=1048576", "--json"),
        code=9,
    )
    assert full.error["code"] == "disk_full"
    assert "MiB" in full.error["message"]
    config.write_text(text)
    lasting.marsa("devnet", "restart", "val0")


@pytest.mark.usefixtures("made")
def test_readable_key(lasting: Cluster) -> None:
    """A node whose key others may read does not start, and the error holds the command."""
    lasting.marsa("devnet", "kill", "val2")
    key = lasting.node_dir("val2") / "keys" / "consensus.json"
    key.chmod(0o644)
    failed = lasting.marsa("devnet", "restart", "val2", "--json", code=1)
    assert f"chmod 600 {key}" in failed.error["details"]["log"][-1]
    key.chmod(0o600)
    lasting.marsa("devnet", "restart", "val2")
