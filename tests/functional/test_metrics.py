"""Metrics as Prometheus wants them, by its own tool, on a live scrape of a node that works."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request

import pytest

from tests.functional.cluster import Cluster

pytestmark = pytest.mark.functional


def test_metrics_are_as_prometheus_wants_them(cluster: Cluster) -> None:
    """Names, types, units and help of everything that a validator tells after a payment."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: it is part of Debian's package prometheus")
    node = cluster.up()["nodes"][0]
    cluster.send("5", "alice", "bob")
    with urllib.request.urlopen(f"{node['ops']}/metrics", timeout=10) as reply:
        scrape = reply.read()
    assert b"marsa_consensus_height" in scrape
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=scrape,
        capture_output=True,
        timeout=60,
        check=False,
    )
    told = (done.stdout + done.stderr).decode()
    assert (done.returncode, told) == (0, "")
