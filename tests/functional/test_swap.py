"""Coins under a secret and a height on a devnet of real validators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.errors import ExitCode
from tests.functional.cluster import Cluster

pytestmark = pytest.mark.functional

BLOCKS = 12
"""Until the refund: more than blocks are made while a few commands run."""


def lock_coins(cluster: Cluster, folder: Path, refund_height: int) -> tuple[Path, Path]:
    """30 coins of alice's on a swap; the files of its secret and of its condition."""
    secret, file = folder / "swap.secret", folder / f"swap-{refund_height}.json"
    digest = cluster.marsa("tx", "secret", secret).out.strip()
    ways = [
        [{"type": "hash", "digest": digest}, {"type": "key", "key": "bob"}],
        [{"type": "after", "unit": 0, "value": refund_height}, {"type": "key", "key": "alice"}],
    ]
    parts = [{"type": "all", "parts": way} for way in ways]
    file.write_text(json.dumps({"type": "any", "parts": parts}))
    address = cluster.marsa("tx", "lock", "--condition", file).out.strip()
    assert cluster.send("30", "alice", address)["status"] == "final"
    return secret, file


def height(cluster: Cluster) -> int:
    return max(int(node["height"]) for node in cluster.nodes().values())


def test_a_swap_is_taken_and_another_refunded(cluster: Cluster, tmp_path: Path) -> None:
    """Bob takes the first with the secret. The second falls through: alice is refused with the
    height, waits for it, and has her coins back. Executed again from genesis all of it holds."""
    cluster.up()
    bob = cluster.balance("bob")
    secret, first = lock_coins(cluster, tmp_path, 1_000)
    take = tmp_path / "take.ptx"
    cluster.marsa("tx", "create", take, "bob", "29", "--condition", first)
    cluster.marsa("tx", "sign", take, "--from", "bob", "--secret", secret)
    assert cluster.marsa("tx", "submit", take, "--json").json["status"] == "final"
    assert cluster.balance("bob") == bob + 29_000_000

    refund_height = height(cluster) + BLOCKS
    _, second = lock_coins(cluster, tmp_path, refund_height)
    back = tmp_path / "back.ptx"
    cluster.marsa("tx", "create", back, "alice", "29", "--condition", second)
    cluster.marsa("tx", "sign", back, "--from", "alice")
    early = cluster.marsa("tx", "submit", back, "--json", code=ExitCode.REJECTED).json["error"]
    assert early["code"] == "not_yet"
    assert f"opens from height {refund_height}, this is " in early["message"]
    alice = cluster.balance("alice")
    while height(cluster) < refund_height - 1:
        assert cluster.send("1", "carol", "dave")["status"] == "final"
    assert cluster.marsa("tx", "submit", back, "--json").json["height"] >= refund_height
    assert cluster.balance("alice") == alice + 29_000_000
    cluster.marsa("audit", "chain")
