"""A devnet of real processes for one test, driven by the command line as a user drives it.

Every wait is for a condition and has a deadline. Whatever a test does, its processes are gone
when it ends.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.devnet import processes, sockets
from cli.devnet.state import ports
from tests.functional.commands import MARSA, Ended, run_forked

DEADLINE_S = 30
BASE_PORT_FIRST = 10_000
BESIDE = ("links", "agents", "delivery", "panel")
"""Directories of processes that are no nodes."""
BASE_PORTS_A_WORKER = 2_400
"""Below the ports that systems give to outgoing connections; test workers have ranges apart."""


class Cluster:
    """One MARSA_HOME with a devnet called `default` in it."""

    def __init__(self, home: Path, nodes_max: int = 7) -> None:
        self.home = home
        self.run: Callable[[Sequence[str], Mapping[str, str]], Ended] = run_forked
        self.base_port = free_base_port(nodes_max)

    @property
    def directory(self) -> Path:
        return self.home / "devnets" / "default"

    def node_dir(self, name: str) -> Path:
        return self.directory / "nodes" / name

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: item for key, item in os.environ.items() if not key.startswith("MARSA_")}
        return {**kept, "MARSA_HOME": str(self.home)}

    def marsa(self, *arguments: object, code: int | None = 0) -> Ended:
        """Run a command; it must end with `code`, unless that is None."""
        ended = self.run([str(MARSA), *map(str, arguments)], self.environment)
        assert code is None or ended.code == code, ended
        return ended

    def up(self, *arguments: object) -> Any:
        """`devnet up`, then its JSON."""
        options = () if self.directory.exists() else ("--base-port", self.base_port)
        return self.marsa("devnet", "up", *options, *arguments, "--json").json

    def send(self, amount: str, sender: str, to: str, *more: object) -> Any:
        """A payment that is final within ten seconds."""
        return self.marsa("tx", "send", to, amount, "--from", sender, *more, "--json").json

    def status(self) -> Any:
        return self.marsa("devnet", "status", "--json").json

    def nodes(self) -> dict[str, Any]:
        return {node["name"]: node for node in self.status()["nodes"]}

    def balance(self, name: str) -> int:
        """All coins of an account together, in µ."""
        found = self.marsa("wallet", "balance", name, "--json").json
        return sum(int(item["amount"]) for item in found["balances"])

    def api(self, index: int) -> str:
        return f"http://127.0.0.1:{ports(self.base_port, index)[0]}"

    def end(self) -> None:
        """Kill whatever still runs."""
        devnets = self.home / "devnets"
        beside = [path for name in BESIDE for path in devnets.glob(f"*/{name}")]
        directories = [*devnets.glob("*/nodes/*"), *beside]
        alive = [processes.running(directory) for directory in directories]
        processes.kill([process for process in alive if process is not None])


def hear_ctrl_c() -> None:
    """For a child: a shell that runs the tests in its background lets them ignore the signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S) -> Any:
    """Ask again until the answer is true, and return it. Most questions are commands: in between
    is four times the time that one takes, and the processor is others'."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        answer = condition()
        if answer:
            return answer
        now = time.monotonic()
        assert now < deadline, f"not within {seconds} s: {what}"
        time.sleep(max(0.05, 4 * (now - asked)))


def free_base_port(nodes_max: int) -> int:
    """A base port from which so many nodes have free ports now, in this test worker's range."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = BASE_PORT_FIRST + worker * BASE_PORTS_A_WORKER
    found = sockets.free_base_port(first - sockets.PORTS_STRIDE, nodes_max)
    assert found is not None
    return found
