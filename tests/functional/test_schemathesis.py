"""Thousands of requests made from the description of the interface, against a running node.

Right ones must be answered as described or refused for what no description can say, wrong ones
refused, and no answer may be a fault of the node or another than described. `docs/TESTING.md` has
the command that goes on for longer.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from node.api.server import ROUTES
from tests.functional.cluster import Cluster
from tests.functional.commands import MARSA

pytestmark = pytest.mark.functional

ROOT = Path(__file__).parents[2]
EXAMPLES = 2
"""Of each route, made by chance, after those at the edges of every parameter."""
KEPT = ROOT / ".hypothesis"
"""Where tables of all characters are: to make them takes two seconds."""
RUN_S = 420
JSON = 'format = "json"'
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_the_node_is_as_it_is_described(cluster: Cluster, tmp_path: Path) -> None:
    """A chain with a payment and an order, and a node that says all it can, in JSON; afterwards it
    goes on and has met no bug, nor do its own words break."""
    up = cluster.up("--detach", "--no-issuers")
    settings = cluster.node_dir("val0") / "marsa.toml"
    text = settings.read_text()
    for old, new in (('# level = "info"', 'level = "debug"'), ('# format = "key=value"', JSON)):
        assert old in text
        text = text.replace(old, new)
    settings.write_text(text)
    file = cluster.node_dir("val0") / "node.log"
    cluster.marsa("devnet", "kill", "val0")
    begins = file.stat().st_size
    cluster.marsa("devnet", "restart", "val0")
    cluster.send("5", "alice", "bob")
    asked = ("redeem", "submit", "1", "--from", "alice", "--class", "cpu", "--workload", "hashing")
    cluster.marsa(*asked)
    program = str(MARSA.with_name("st"))
    address = f"{up['nodes'][0]['api']}/v1/openapi.json"
    done = subprocess.run(
        [program, "--config-file", CONFIG, "run", address, "--max-examples", str(EXAMPLES)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HYPOTHESIS_STORAGE_DIRECTORY": str(KEPT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stdout[-8_000:]
    assert "No issues found" in done.stdout
    assert f"Tested: {len(ROUTES) - 1}\n" in done.stdout  # it leaves out what it reads them from
    log = file.read_bytes()[begins:].decode()
    assert "api_fault" not in log
    assert "Traceback" not in log
    said = [json.loads(line) for line in log.splitlines()]
    assert {item["node"] for item in said} == {"acme"}
    cluster.send("5", "alice", "bob")
