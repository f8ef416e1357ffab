"""A validator that lost everything but its keys comes back by a snapshot, under load."""

from __future__ import annotations

import re
import shutil

import pytest

from cli.client import ApiProblem, Client, Unreachable
from node.app import init_node
from node.config import CONFIG_NAME, load
from tests.functional.cluster import Cluster, until
from tests.functional.load import Load, prepare
from tests.functional.test_members import faucet_of, roots_at_one_height

pytestmark = pytest.mark.functional

PAYMENTS = 1_200
NEAR = 5
"""The distance that the node is told to take a snapshot from: its chain has few blocks."""


def wipe(cluster: Cluster, name: str) -> None:
    """Chain and vote log are those of a new node; a few blocks behind count as far."""
    directory = cluster.node_dir(name)
    shutil.rmtree(directory / "chain")
    (directory / "votes.wal").unlink()
    init_node(load(directory))
    options = (directory / CONFIG_NAME).read_text()
    told, count = re.subn(
        r"(?m)^(?:# )?snapshot_distance = .*$", f"snapshot_distance = {NEAR}", options
    )
    assert count == 1
    (directory / CONFIG_NAME).write_text(told)


def end_epoch(cluster: Cluster) -> None:
    """Payments end epochs too, by their blocks: this may be over before the command is final."""
    ended = cluster.marsa("validator", "end-epoch", "--json", code=None)
    assert ended.code == 0 or ended.error["code"] == "wrong_epoch", ended


def test_a_wiped_validator_rejoins_by_snapshot_under_load(cluster: Cluster) -> None:
    """While payments run val3 loses its chain and its votes: it imports the state at the end of
    the last epoch, follows, votes again two epochs later; roots are equal, nothing is lost."""
    made = cluster.up()
    urls = [node["api"] for node in made["nodes"]]
    load_ = prepare(urls[:3], faucet_of(cluster), PAYMENTS)
    load_.start()
    until(lambda: (cluster.nodes()["val0"]["height"] or 0) >= NEAR + 5, "some blocks")
    end_epoch(cluster)
    cluster.marsa("devnet", "kill", "val3")
    wipe(cluster, "val3")
    cluster.marsa("devnet", "restart", "val3", code=None)  # it cannot vote yet
    log = cluster.node_dir("val3") / "node.log"
    until(lambda: "snapshot: whole at height" in log.read_text(), "val3 has a snapshot")
    base = int(re.findall(r"snapshot: whole at height (\d+)", log.read_text())[-1])
    assert base > NEAR
    check_pruned(urls[3], base)
    for _ in range(3):
        end_epoch(cluster)
    load_.join()
    until(lambda: cluster.nodes()["val3"]["state"] in ("voting", "primary"), "val3 votes")
    cluster.send("5", "alice", "bob", "--node", urls[3])
    assert len(until(lambda: roots_at_one_height(cluster), "all at one height")) == 1
    check_all_final(urls[0], load_)


def check_pruned(url: str, base: int) -> None:
    """The chain begins at the snapshot: blocks below are said to be pruned, not to be unknown."""
    with Client(url, timeout_s=5) as client:

        def why_not() -> str:
            try:
                client.block(base - 1)
            except ApiProblem as problem:
                return problem.code
            except Unreachable:
                return "it puts the snapshot in place"
            return ""

        until(lambda: why_not() == "pruned", "the snapshot is in place")
        assert client.certificate(base).height == base


def check_all_final(url: str, load_: Load) -> None:
    assert len(load_.final) > PAYMENTS // 2
    with Client(url) as client:
        for txid in load_.taken:
            assert client.transaction(txid).status == "final"
