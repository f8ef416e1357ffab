"""A devnet for your own tests: with Marsa installed, pytest has the fixture `marsa_devnet`.

    def test_a_payment(marsa_devnet):
        paid = marsa_devnet.marsa("tx", "send", "bob", "5", "--from", "alice")
        assert marsa_devnet.client().transaction(paid["txid"]).status == "final"

One devnet of real validators serves all tests of a run (of a worker with pytest-xdist) and is gone
afterwards. `marsa_devnet_options` says what `marsa devnet up` is told; a conftest.py may have a
fixture of its own of this name. pytest loads this file in every run, so it imports little.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cli.client import Client

COMMAND_S = 120
"""Of one command; a devnet takes some seconds to start, and a minute to give up."""
BASE_PORT_FIRST = 21_000
"""Above those of devnets that people start, below those of outgoing connections."""
PORTS_A_WORKER = 300
WORKERS_APART_MAX = 32
NODES_MAX = 8
_RUN = "from cli.main import main; main()"


class MarsaFailed(Exception):
    """A command ended badly. `code` is its exit code, `error` what --json says of it."""

    def __init__(self, arguments: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"marsa {' '.join(arguments)} ended with {code}: {output}")
        self.code = code
        try:
            self.error: dict[str, Any] = json.loads(output)["error"]
        except (ValueError, KeyError, TypeError):
            self.error = {}


@dataclass(frozen=True)
class Devnet:
    """A devnet that runs. `accounts` are funded, and their keys are in `home`."""

    home: Path
    urls: tuple[str, ...]
    """Of the APIs, in the order of the nodes."""
    accounts: Mapping[str, str]
    """Addresses by name."""
    genesis_hash: str

    @property
    def url(self) -> str:
        return self.urls[0]

    def client(self, node: int = 0) -> Client:
        """A client of a node; close it, or use it in a `with`."""
        from cli.client import Client

        return Client(self.urls[node])

    def marsa(self, *arguments: object) -> Any:
        """What a command prints with --json; raises MarsaFailed."""
        words = [str(item) for item in arguments]
        return _marsa(self.home, words)


@pytest.fixture(scope="session")
def marsa_devnet_options() -> Sequence[str]:
    """Further options of `marsa devnet up`, like ("--seed", "7")."""
    return ()


@pytest.fixture(scope="session")
def marsa_devnet(marsa_devnet_options: Sequence[str]) -> Iterator[Devnet]:
    """Four validators with funded accounts, final within tens of milliseconds."""
    # Short, for there are sockets below it whose paths have a limit.
    home = Path(tempfile.mkdtemp(prefix="marsa-"))
    try:
        up = ["devnet", "up", "--base-port", str(_base_port()), *marsa_devnet_options]
        made = _marsa(home, up)
        yield Devnet(
            home=home,
            urls=tuple([node["api"] for node in made["nodes"]]),
            accounts={item["name"]: item["address"] for item in made["accounts"]},
            genesis_hash=made["genesis_hash"],
        )
    finally:
        if (home / "devnets").exists():
            _marsa(home, ["devnet", "down"])
        shutil.rmtree(home)


def _marsa(home: Path, words: Sequence[str]) -> Any:
    kept = {name: item for name, item in os.environ.items() if not name.startswith("MARSA_")}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *words, "--json"],
        env={**kept, "MARSA_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise MarsaFailed(words, done.returncode, done.stdout or done.stderr)
    return json.loads(done.stdout)


def _base_port() -> int:
    """Workers look for ports in ranges of their own, else two would find the same ones free."""
    from cli.devnet.sockets import free_base_port
    from cli.devnet.state import PORTS_STRIDE

    number = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "0"
    first = BASE_PORT_FIRST + int(number) % WORKERS_APART_MAX * PORTS_A_WORKER
    found = free_base_port(first - PORTS_STRIDE, NODES_MAX)
    if found is None:
        raise RuntimeError(f"no ports for a devnet are free from {first} on")
    return found
