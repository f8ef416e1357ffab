"""An order is delivered on a devnet whose issuers serve by themselves."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.functional.cluster import Cluster, until
from tests.functional.commands import MARSA

pytestmark = pytest.mark.functional

COIN = 1_000_000


def outstanding(cluster: Cluster) -> int:
    shown = cluster.marsa("audit", "reserve", "--issuer", "acme", "--json").json
    (row,) = shown["issuers"]
    return int(row["outstanding"])


def order(cluster: Cluster, wanted: str) -> Any:
    return cluster.marsa("redeem", "status", wanted[:16], "--json").json["order"]


def test_coins_become_work_although_the_holder_is_killed(cluster: Cluster) -> None:
    """alice asks, acme accepts and serves by itself; her side is killed in the middle and goes on;
    what was delivered burns, in the order and in what is outstanding, and acme closes."""
    cluster.up()
    before = outstanding(cluster)
    wanted = ("--issuer", "acme", "--class", "cpu", "--workload", "hashing")
    asked = cluster.marsa("redeem", "submit", "0.5", "--from", "alice", *wanted, "--json").json
    receipt = cluster.home / "orders" / f"{asked['order']}.receipt"
    command = [str(MARSA), "redeem", "use", asked["order"]]
    using = subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until(receipt.exists, "the first receipt is signed")
    using.kill()
    using.communicate(timeout=10)
    done = cluster.marsa("redeem", "use", asked["order"], "--json").json
    assert done["schema"] == "marsa.redeem.use/1"
    assert (done["delivered"], done["units"]) == (str(COIN // 2), 2_000)

    def closing() -> Any:
        held = order(cluster, asked["order"])
        return held if held["state"] == "closing" else None

    held = until(closing, "the issuer posts the last receipt and closes")
    assert (held["burned"], held["remaining"]) == (str(COIN // 2), "0")
    assert held["receipt"] == done["receipt"]
    assert before - outstanding(cluster) == COIN // 2
    cluster.marsa("audit", "chain")
