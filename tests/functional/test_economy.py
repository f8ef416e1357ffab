"""The compute coin on a devnet: hours become coins, orders freeze, agents keep capacity fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.devnet import processes
from cli.devnet.blueprint import ATTESTORS, PERIOD_MS
from tests.functional.cluster import Cluster, until

pytestmark = pytest.mark.functional

COMMIT = (
    *("capacity", "commit", "--issuer", "acme", "--id", "west", "--class", "h100x8"),
    *("--region", "west-1", "--workloads", "inference,training", "--machines", "20"),
    *("--for", "90d", "--json"),
)


def coverage(cluster: Cluster) -> int:
    """Of acme, proved by the header's signatures."""
    shown = cluster.marsa("audit", "reserve", "--issuer", "acme", "--json").json
    return int(shown["issuers"][0]["coverage_ppm"])


def commitment(cluster: Cluster) -> Any:
    return cluster.marsa("capacity", "show", "acme", "west", "--json").json["commitment"]


def test_hours_become_coins(cluster: Cluster) -> None:
    """Without agents: promised, pledged, attested by two groups it is live; coverage rises with it
    and falls with a mint; words age with the ledger clock, and nobody renews them."""
    cluster.up("--no-issuers")
    assert processes.running(cluster.directory / "agents") is None
    before = coverage(cluster)
    assert cluster.marsa(*COMMIT).json["status"] == "final"
    cluster.marsa("capacity", "pledge", "acme", "west", "--machines", "20")
    assert commitment(cluster)["state"] == "proposed"
    for name in ("meridian", "vantage"):
        cluster.marsa("capacity", "attest", "acme", "west", "--attestor", name)
    shown = commitment(cluster)
    assert (shown["state"], shown["counted_microhours"]) == ("live", shown["microhours"])
    backed = coverage(cluster)
    assert backed > before
    assert cluster.marsa("coin", "quote", "1000", "--issuer", "acme", "--json").json["allowed"]
    cluster.marsa("coin", "mint", "1000", "--issuer", "acme", "--to", "alice")
    assert before < coverage(cluster) < backed
    ages = [item["age_ms"] for item in shown["attestations"]]

    def have_aged() -> bool:
        cluster.send("0.1", "bob", "carol")  # a block, with which the ledger clock moves
        found = commitment(cluster)["attestations"]
        return all(item["age_ms"] > age + 1_000 for item, age in zip(found, ages, strict=True))

    until(have_aged, "attestations are older than before")
    assert cluster.marsa("capacity", "audits", "--json").json["audits"]["rounds"] == []


def test_a_frozen_account_does_not_pay(cluster: Cluster, tmp_path: Path) -> None:
    """Ordered by validators and regulator, refused as `frozen` by every node, lifted, paid."""
    made = cluster.up("--no-issuers")
    document = tmp_path / "order.txt"
    document.write_text("by order of the court")
    order = ("compliance", "order", "case-7", "--target", "alice", "--reference", document)
    assert cluster.marsa(*order, "--for", "30d", "--json").json["status"] == "final"
    pay = ("tx", "send", "bob", "5", "--from", "alice", "--json")
    heights = until(lambda: at_one_height(cluster), "all nodes at one height")
    assert heights >= 2
    for node in made["nodes"]:
        refused = cluster.marsa(*pay, "--node", node["api"], code=5)
        assert refused.error["code"] == "frozen"
    assert cluster.send("5", "bob", "alice")["status"] == "final"
    cluster.marsa("compliance", "lift", "case-7")
    assert cluster.send("5", "alice", "bob")["status"] == "final"
    cluster.marsa("audit", "chain")


def at_one_height(cluster: Cluster) -> int | None:
    found = {node["height"] for node in cluster.nodes().values()}
    return found.pop() if len(found) == 1 else None


def test_agents_run_as_long_as_the_devnet(cluster: Cluster) -> None:
    """Every attestor has sealed its nonce within a period; `down` ends the agents, `up` brings
    them back, and `up --no-issuers` ends them alone."""
    cluster.up()
    agents = cluster.directory / "agents"
    assert processes.running(agents) is not None
    until(lambda: sealed(cluster) >= set(ATTESTORS), "nonces are sealed", PERIOD_MS / 1_000)
    cluster.marsa("devnet", "down")
    assert processes.running(agents) is None
    cluster.up()
    assert processes.running(agents) is not None
    cluster.up("--no-issuers")
    assert cluster.nodes()["val0"]["alive"]
    assert processes.running(agents) is None


def sealed(cluster: Cluster) -> set[str]:
    rounds = cluster.marsa("capacity", "audits", "--json").json["audits"]["rounds"]
    return {item["attestor"] for found in rounds for item in found["sealed"]}
