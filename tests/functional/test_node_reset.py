"""A node whose chain was deleted fetches it again, and its votes keep it from contradicting."""

from __future__ import annotations

import pytest

from tests.functional.cluster import Cluster, until

pytestmark = pytest.mark.functional


def test_reset_node_comes_back_and_votes(cluster: Cluster) -> None:
    """Refused while it runs and without a word of consent; then keys and votes are as they were,
    and it catches up and votes without `recover`, as long as it is needed."""
    cluster.up()
    for _ in range(3):
        cluster.send("5", "alice", "bob")
    directory = cluster.node_dir("val3")
    running = cluster.marsa("node", "reset", directory, "--yes", "--json", code=9).error
    assert running["code"] == "directory_in_use"
    cluster.marsa("devnet", "kill", "val3")
    kept = {
        name: (directory / name).read_bytes()
        for name in ("votes.wal", "keys/consensus.json", "keys/link.pem", "marsa.toml")
    }
    refused = cluster.marsa("node", "reset", directory, "--json", code=8).error
    assert refused["code"] == "confirmation_needed"
    for _ in range(2):  # the second time there is only genesis to delete
        told = cluster.marsa("node", "reset", directory, "--yes", "--json").json
        assert (told["name"], told["directory"]) == ("delta", str(directory))
    assert {name: (directory / name).read_bytes() for name in kept} == kept
    assert sorted(path.name for path in directory.glob(".chain*")) == []
    cluster.marsa("devnet", "restart", "val3")
    until(lambda: cluster.nodes()["val3"]["state"] in ("voting", "primary"), "val3 votes")
    cluster.marsa("devnet", "kill", "val1")
    assert cluster.send("5", "alice", "bob", "--wait", "20s")["status"] == "final"
    until(lambda: len(roots(cluster)) == 1, "one state root")


def roots(cluster: Cluster) -> set[str]:
    return {node["state_root"] for node in cluster.nodes().values() if node["alive"]}
