"""Sixteen validators on one machine agree on a payment; two cores are enough."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cluster import Cluster, until

pytestmark = pytest.mark.functional

NODES = 16


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """As everywhere, with ports for all."""
    home = Path(tempfile.mkdtemp(prefix="marsa-"))
    made = Cluster(home, NODES)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(home)


def test_sixteen_validators(cluster: Cluster) -> None:
    """Up, a payment that is final on all sixteen with equal state roots, and down again."""
    made = cluster.up("-n", NODES)
    assert len(made["nodes"]) == NODES
    paid = cluster.send("5", "alice", "bob")
    assert paid["status"] == "final"

    def root_of_all() -> bool:
        nodes = cluster.nodes().values()
        heights, roots = ({node[key] for node in nodes} for key in ("height", "state_root"))
        return len(heights) == len(roots) == 1 and min(heights) >= paid["height"]

    until(root_of_all, "all sixteen hold the payment in one state")
    assert all(node["state"] in ("voting", "primary") for node in cluster.nodes().values())
    cluster.marsa("devnet", "down")
    assert len(cluster.status()["missing"]) == NODES
