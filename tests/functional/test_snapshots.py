"""A devnet as it was: all nodes together, with their votes, and able to go on."""

from __future__ import annotations

import re
from urllib.request import urlopen

import pytest

from tests.functional.cluster import Cluster, until

pytestmark = pytest.mark.functional


def test_snapshot_and_restore(cluster: Cluster) -> None:
    """What was paid after a snapshot is gone after going back to it, and payments go on."""
    cluster.up()
    kept = cluster.send("5", "alice", "bob")
    copied = cluster.marsa("devnet", "snapshot", "before", "--json").json
    before = cluster.balance("alice")
    lost = cluster.send("7", "alice", "bob")
    blocks = (lost["height"], cluster.status()["nodes"][0]["height"])
    refused = cluster.marsa("devnet", "restore", "before", "--json", code=8).error
    assert refused["code"] == "confirmation_needed"
    first = re.search(r"blocks (\d+) to (\d+) with their payments", refused["message"])
    assert first is not None, refused
    assert int(first[1]) <= blocks[0] and blocks[1] <= int(first[2])
    assert all(node["alive"] for node in cluster.nodes().values())
    back = cluster.marsa("devnet", "restore", "before", "--yes", "--json").json
    assert (back["snapshot"], back["running"]) == ("before", True)
    assert cluster.balance("alice") == before
    assert cluster.marsa("tx", "show", kept["txid"], "--json").json["status"] == "final"
    assert cluster.marsa("tx", "show", lost["txid"], "--json", code=None).json.get("status") in (
        None,
        "unknown",
    )
    until(lambda: states(cluster) == {"voting", "primary"}, "all vote")
    assert cluster.send("7", "alice", "bob")["status"] == "final"
    cluster.marsa("audit", "chain")
    assert not list(cluster.home.glob(".devnet-*.new"))
    assert copied["snapshot"] == "before"


def test_a_snapshot_leaves_everything_as_it_was(cluster: Cluster) -> None:
    """Who was down, paused or cut off is so again, and nobody else. A panel that no node has beside
    it is there when it is asked for."""
    cluster.up("--faults")
    cluster.marsa("devnet", "partition", "0", "--one-way")
    cluster.marsa("devnet", "pause", "1")
    cluster.marsa("devnet", "kill", "val2")

    def standing() -> tuple[dict[str, str], object]:
        nodes = {name: node["state"] for name, node in cluster.nodes().items()}
        links = cluster.status()["links"]
        shown = {name: found for name, found in nodes.items() if found in ("down", "paused")}
        return shown, sorted((way["source"], way["target"]) for way in links if way["cut"])

    def delays() -> int:
        return sum(way["delay_ms"] for way in cluster.status()["links"])

    before = standing()
    assert before == ({"val1": "paused", "val2": "down"}, [("val0", f"val{n}") for n in (1, 2, 3)])
    cluster.marsa("devnet", "delay", "3", "1ms")
    cluster.marsa("devnet", "snapshot", "hurt")
    assert (standing(), delays()) == (before, 6)
    cluster.marsa("devnet", "down")
    cluster.marsa("devnet", "restart", "val0")
    panel = cluster.marsa("devnet", "open", "--json").json["panel"]
    with urlopen(panel.partition("#")[0], timeout=5) as answer:
        assert answer.status == 200


def states(cluster: Cluster) -> set[str]:
    return {node["state"] for node in cluster.nodes().values()}


def test_wrong_names(cluster: Cluster) -> None:
    """A name that is taken, one that there is not, and one that would escape; the devnet runs on
    after each, and a stopped one stays down."""
    cluster.up()
    cluster.marsa("devnet", "snapshot", "before")
    taken = cluster.marsa("devnet", "snapshot", "before", "--json", code=2).error
    assert taken["code"] == "snapshot_exists"
    unknown = cluster.marsa("devnet", "restore", "after", "--json", code=6).error
    assert (unknown["code"], "before" in unknown["message"]) == ("unknown_snapshot", True)
    assert cluster.marsa("devnet", "snapshot", "../x", "--json", code=2).error["code"] == "bad_name"
    assert all(node["alive"] for node in cluster.nodes().values())
    cluster.marsa("devnet", "down")
    cluster.marsa("devnet", "snapshot", "after")
    # Nothing is lost: there is nothing to ask.
    assert not cluster.marsa("devnet", "restore", "after", "--json").json["running"]
    cluster.up()
    cluster.send("5", "alice", "bob")
    cluster.marsa("devnet", "down")
    refused = cluster.marsa("devnet", "restore", "after", "--json", code=8).error
    assert "blocks" in refused["message"]
    cluster.marsa("devnet", "reset", "--yes")
    refused = cluster.marsa("devnet", "restore", "after", "--json", code=8).error
    assert "for it has another genesis" in refused["message"]
    cluster.marsa("devnet", "restore", "after", "--yes")
    assert not any(node["alive"] for node in cluster.nodes().values())
