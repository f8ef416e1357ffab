"""The reserve of a real network in a file, checked when the network is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.cluster import Cluster

pytestmark = pytest.mark.functional


def test_a_bundle_is_verified_when_every_node_is_down(cluster: Cluster, tmp_path: Path) -> None:
    """One node writes it after a mint, a second after the validators changed; with the devnet
    down both hold with the genesis file alone. Another chain's genesis is refused by name, and
    so is a changed byte."""
    cluster.up()
    early, late = tmp_path / "early.reserve", tmp_path / "late.reserve"
    cluster.marsa("coin", "mint", "1000", "--issuer", "acme", "--to", "alice")
    cluster.marsa("audit", "reserve", "--bundle", early, "--node", cluster.api(1))
    cluster.marsa("devnet", "add")
    cluster.marsa("coin", "mint", "7", "--issuer", "bolt", "--to", "alice")
    options = ("--since", early, "--bundle", late, "--node", cluster.api(2), "--json")
    shown = cluster.marsa("audit", "reserve", *options).json
    changes = {row["issuer"]: row["outstanding_change"] for row in shown["issuers"]}
    assert changes == {"acme": "0", "bolt": "7000000", "coral": "0", "delta": "0"}
    assert shown["objects"]["added"] == ["licence ember"]
    assert "reserve bolt" in shown["objects"]["changed"]
    cluster.marsa("devnet", "down")
    genesis = cluster.directory / "genesis.json"
    for file, members in ((early, 4), (late, 5)):
        found = cluster.marsa("audit", "verify-bundle", file, "--genesis", genesis, "--json").json
        assert found["ok"], found
        assert len(found["signers"]) == {4: 3, 5: 4}[members]
        steps = {item["what"]: item["found"] for item in found["checks"]}
        assert f"has {members} validators" in steps["validators"]
    assert found["issuers"] == [
        {name: item for name, item in row.items() if not name.endswith(("_change", "_before"))}
        for row in shown["issuers"]
    ]
    assert "every issuer's coins are covered" in verify(cluster, late, genesis, 0)
    other = Path(__file__).parents[2] / "genesis.json"
    assert "error[wrong_chain]" in verify(cluster, late, other, 9)
    data = bytearray(late.read_bytes())
    data[len(data) // 2] ^= 1
    late.write_bytes(data)
    assert "error[" in verify(cluster, late, genesis, 9)


def verify(cluster: Cluster, file: Path, genesis: Path, code: int) -> str:
    done = cluster.marsa("audit", "verify-bundle", file, "--genesis", genesis, code=code)
    assert "Traceback" not in done.err
    return done.out + done.err
