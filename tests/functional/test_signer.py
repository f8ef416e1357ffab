"""A validator whose consensus key is in another process: it votes, says when it cannot, goes on."""

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
from node.signer import KEY_NAME, SOCKET_NAME
from tests.functional.cluster import Cluster, until
from tests.functional.commands import MARSA

pytestmark = pytest.mark.functional

VICTIM, INDEX, ELSEWHERE = "val3", 3, 6
OTHER_NODES = ("val0", "val1", "val2")


def signer_dir(cluster: Cluster) -> Path:
    return cluster.home / "signer"


def move_key(cluster: Cluster) -> str:
    """Stop the victim, give its key to a signer's directory; above what the key may have signed."""
    status = cluster.marsa("node", "status", "--node", cluster.api(0), "--json").json
    consensus = status["consensus"]
    cluster.marsa("devnet", "kill", VICTIM)
    directory = signer_dir(cluster)
    directory.mkdir(mode=0o700)
    node = cluster.node_dir(VICTIM)
    shutil.move(node / "keys" / KEY_NAME, directory / KEY_NAME)
    config = node / "marsa.toml"
    line = f'signer = "{directory / SOCKET_NAME}"'
    text = config.read_text().replace('# signer = ""', line)
    assert line in text
    config.write_text(text)
    return f"{consensus['epoch']}/{consensus['view']}/{status['sync']['height']}"


@contextmanager
def signing(cluster: Cluster, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`marsa validator signer`, ready."""
    command = [str(MARSA), "validator", "signer", str(signer_dir(cluster)), *options]
    log = (cluster.home / "signer.log").open("a")
    with (
        log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=cluster.environment
        ) as child,
    ):
        try:
            assert child.stdout is not None
            assert "signs with key" in child.stdout.readline(), (
                cluster.home / "signer.log"
            ).read_text()
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


def status_of(cluster: Cluster, api: str) -> Any:
    ended = cluster.marsa("node", "status", "--node", api, "--json", code=None)
    return ended.json if ended.code == 0 else {}


def votes(cluster: Cluster) -> bool:
    """The victim says that it votes; that it does is seen where the others need its votes."""
    return bool(status_of(cluster, cluster.api(INDEX)).get("consensus", {}).get("is_voting"))


def pay(cluster: Cluster) -> None:
    cluster.send("1", "alice", "bob", "--node", cluster.api(0))


def reason(cluster: Cluster) -> str:
    found: str = status_of(cluster, cluster.api(INDEX)).get("consensus", {}).get("reason", "")
    return found


def test_a_validator_with_a_signer(cluster: Cluster) -> None:
    """Moved to a signer it votes, so that one of the others may stop; without its signer the others
    go on and it says why; with it again it votes; a copy of the node gets no signature."""
    cluster.up()
    pay(cluster)
    above = move_key(cluster)
    genesis = str(cluster.directory / "genesis.json")
    refused = cluster.marsa("validator", "signer", signer_dir(cluster), "--json", code=9)
    assert refused.error["code"] == "no_memory"
    begin = ("--recover-above", above, "--genesis", genesis, "--yes")
    with signing(cluster, *begin) as child:
        cluster.marsa("devnet", "restart", VICTIM, code=None)
        until(lambda: votes(cluster), "it votes")
        place = f"signer {signer_dir(cluster) / SOCKET_NAME}"
        assert status_of(cluster, cluster.api(INDEX))["node"]["key"] == place
        for _ in range(10):  # beyond the heights that the signer passes over
            pay(cluster)
        cluster.marsa("devnet", "kill", "val2")
        pay(cluster)  # three of four are left: its votes decide
        cluster.marsa("devnet", "restart", "val2")
        until(lambda: cluster.nodes()["val2"]["state"] in ("voting", "primary"), "val2 votes")
        with_copy(cluster)
        child.kill()
        child.wait(20)
    until(lambda: "signer" in reason(cluster), "it says why it does not vote")
    log = (cluster.node_dir(VICTIM) / "node.log").read_text()
    assert "not voting: the signer at" in log
    pay(cluster)
    assert not votes(cluster)
    with signing(cluster):
        until(lambda: votes(cluster), "it votes again")
        cluster.marsa("devnet", "kill", "val1")
        pay(cluster)
    until(lambda: not votes(cluster), "the signer ended in good order")


def with_copy(cluster: Cluster) -> None:
    """A copy of the node's directory, on its own ports, with the same signer: it is named."""
    image = cluster.home / "image"
    passing = shutil.ignore_patterns("*.sock", "LOCK", "process.json", "node.log")
    shutil.copytree(cluster.node_dir(VICTIM), image, ignore=passing)
    api, operations, p2p = ports(cluster.base_port, ELSEWHERE)
    command = [str(MARSA), "node", "run", str(image)]
    for name, port in {"api": api, "operations": operations, "p2p": p2p}.items():
        command += ["--set", f"{name}.listen=127.0.0.1:{port}"]
    with (image / "node.log").open("wb") as log:
        child = subprocess.Popen(command, stderr=log, env=cluster.environment)
        try:
            until(
                lambda: "two nodes with one key" in (image / "node.log").read_text(),
                "the copy is told by the signer",
            )
            pay(cluster)
            assert votes(cluster)
            found = status_of(cluster, f"http://127.0.0.1:{api}")
            assert not found["consensus"]["is_voting"]
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)
    assert "two nodes with one key" in (cluster.home / "signer.log").read_text()
