"""Thousands of requests made from the description of the interface, against a running node.

Right ones must be answered as described or refused for what no description can say, wrong ones
refused, and no answer may be a fault of the node or another than described. `docs/TESTING.md` has
the command that goes on for longer.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.functional.cluster import Cluster
from tests.functional.commands import MARSA

pytestmark = pytest.mark.functional

ROOT = Path(__file__).parents[2]
EXAMPLES = 2
"""Of each route, made by chance, after those at the edges of every parameter."""
RUN_S = 420
OPTIONS = (
    *("--exclude-path", "/v1/events"),  # a stream has no end
    *("--exclude-checks", "positive_data_acceptance"),  # `tests/functional/described.py` has it
    *("--phases", "examples,coverage,fuzzing"),
    *("--suppress-health-check", "all"),
    *("--request-timeout", "10"),
    *("--warnings", "off"),
    *("--seed", "1"),
    "--continue-on-failure",
    "--no-color",
)


def test_the_node_is_as_it_is_described(cluster: Cluster, tmp_path: Path) -> None:
    """A chain with a payment and an order; afterwards the node goes on and has met no bug."""
    up = cluster.up("--detach", "--no-issuers")
    cluster.send("5", "alice", "bob")
    asked = ("redeem", "submit", "1", "--from", "alice", "--class", "cpu", "--workload", "hashing")
    cluster.marsa(*asked)
    program = str(MARSA.with_name("st"))
    address = f"{up['nodes'][0]['api']}/v1/openapi.json"
    hooks = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.functional.described"}
    done = subprocess.run(
        [program, "run", address, "--max-examples", str(EXAMPLES), *OPTIONS],
        cwd=tmp_path,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stdout[-8_000:]
    assert "No issues found" in done.stdout
    assert "Tested: 5" in done.stdout
    assert "api_fault" not in cluster.marsa("devnet", "logs", "val0").out
    cluster.send("5", "alice", "bob")
