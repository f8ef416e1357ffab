"""Validators on hosts of their own, as far as one machine can show it.

A `Host` is where commands run: this machine, or a network namespace with an address of its own on a
bridge. `marsa network init` makes the directories, `marsa node run` is what starts them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.cli.hosts_file import ISSUERS, write_hosts
from tests.functional.cluster import Cluster, until
from tests.functional.commands import COMMAND_S, MARSA, Ended, run_forked, run_script

TOOLS = ("ip", "unshare", "nsenter")
ETHERNET = "eth0"
NODE_STOP_S = 20
NODES_START_S = 90
"""Four interpreters start from nothing, and another one for each question."""


@dataclass(frozen=True, slots=True)
class Host:
    """One provider's host."""

    licence: str
    api: str
    enter: tuple[str, ...] = ()
    """What stands before a command that runs there."""


class Hosts:
    """A network of `marsa network init`, and a wallet with the coins of its holder."""

    def __init__(self, cluster: Cluster, hosts: Sequence[Host]) -> None:
        self.hosts = list(hosts)
        self.directory = cluster.home / "harbour"
        self._cluster = cluster
        self._password = cluster.home / "password"
        self._password.touch(mode=0o600)
        self._password.write_text("correct horse battery\n")

    def found(self, tables: Sequence[str]) -> None:
        """Make the network, and restore the wallet."""
        file = write_hosts(self._cluster.home / "hosts.toml", tables)
        self._cluster.marsa("network", "init", "--hosts", file, "--out", self.directory)
        words = self.directory / "holders" / "alice.words"
        password = ("--password-file", self._password)
        self._cluster.marsa("wallet", "import", "alice", "--words-file", words, *password)
        self._cluster.marsa("wallet", "new", "bob", *password)

    @contextmanager
    def running(self, at: Host) -> Iterator[subprocess.Popen[bytes]]:
        """The node of a host, as its operator starts it, until the end of the block."""
        directory = self.directory / "hosts" / at.licence
        command = [*at.enter, str(MARSA), "node", "run", str(directory)]
        with (directory / "node.log").open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=log, env=self._cluster.environment
            )
            try:
                yield child
            finally:
                child.terminate()
                child.wait(NODE_STOP_S)

    def marsa(self, at: Host, *arguments: object, code: int | None = 0) -> Ended:
        """A command that is typed on a host, to the node there."""
        command = [*at.enter, str(MARSA), *map(str, arguments), "--node", at.api, "--json"]
        run = run_script if at.enter else run_forked
        ended = run(command, self._cluster.environment)
        assert code is None or ended.code == code, (ended, self.logs())
        return ended

    def is_voting(self, at: Host) -> bool:
        """As its node says; not before it answers."""
        ended = self.marsa(at, "node", "status", code=None)
        return ended.code == 0 and bool(ended.json["consensus"]["is_voting"])

    def pay(self, at: Host) -> Any:
        """A payment that is sent to the node of this host, and is final."""
        password = ("--password-file", self._password)
        send = ("tx", "send", "bob", "5", "--from", "alice", *password, "--wait", "20s")
        return self.marsa(at, *send).json

    def mint(self, at: Host, issuer: str) -> Any:
        """New coins, with the issuer's treasury key from its file."""
        key = self.directory / "roles" / issuer
        mint = ("coin", "mint", "7", "--issuer", issuer, "--to", "bob", "--key")
        return self.marsa(at, *mint, key, "--wait", "20s").json

    def admit(self, at: Host, licence: str) -> Any:
        """A provider that made its keys itself: the authority licenses it, three operators
        and two keys of the regulator sign."""
        home = self._cluster.home
        keys, grant, ptx = (home / f"{licence}{end}" for end in ("-keys", ".json", ".ptx"))
        authority = self.directory / "authority" / "authority-key.pem"
        chain = ("--genesis", self.directory / "genesis.json")
        named = ("--id", licence, "--name", licence.capitalize(), "--keys", keys)
        self.marsa(at, "validator", "keys", "new", keys, "--id", licence)
        self.marsa(at, "validator", "grant", grant, *named, *chain, "--authority", authority)
        self.marsa(at, "validator", "admit", grant, *chain, "--ptx", ptx)
        for host in self.hosts[:3]:
            roles = self.directory / "roles" / host.licence / "roles.json"
            self.marsa(at, "tx", "sign", ptx, "--key", roles, *chain, "--yes")
        for number in (1, 2):
            held = self.directory / "regulator" / f"{number}.json"
            self.marsa(at, "tx", "sign", ptx, "--key", held, *chain, "--yes")
        return self.marsa(at, "tx", "submit", ptx).json

    def logs(self) -> str:
        """The ends of all logs, for whoever reads a failure."""
        files = sorted(self.directory.glob("hosts/*/node.log"))
        return "\n".join(f"{file.parent.name}: {file.read_text()[-1_000:]}" for file in files)


@contextmanager
def all_voting(network: Hosts) -> Iterator[dict[Host, subprocess.Popen[bytes]]]:
    """Every node runs and votes."""
    with ExitStack() as stack:
        running = {host: stack.enter_context(network.running(host)) for host in network.hosts}
        for host in network.hosts:
            until(partial(network.is_voting, host), f"{host.licence} votes", NODES_START_S)
        yield running


def assert_works(network: Hosts, running: dict[Host, subprocess.Popen[bytes]]) -> None:
    """A payment is final and known everywhere, an issuer mints; it goes on without one of them."""
    first, *others = network.hosts
    paid = network.pay(first)
    assert paid["status"] == "final"
    for host in others:
        shown = network.marsa(host, "tx", "wait", paid["txid"]).json
        assert shown["height"] == paid["height"]
    assert network.mint(first, ISSUERS[0])["status"] == "final"
    running[others[-1]].kill()
    running[others[-1]].wait(NODE_STOP_S)
    for host in (first, others[0]):
        assert network.pay(host)["status"] == "final"


@contextmanager
def namespaces(addresses: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
    """A network namespace for each address, on one bridge: how to enter each.

    A namespace lives as long as the process in it, and those end with this one, however it ends:
    nothing has a name that could stay behind. Skips where the user may not make any.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (util-linux and iproute2) for network namespaces")
    with ExitStack() as stack:
        switch = _enter(stack.enter_context(_namespace()))
        _run(switch, "ip link add br0 type bridge")
        _run(switch, "ip link set br0 up")
        found = []
        for number, address in enumerate(addresses):
            process = stack.enter_context(_namespace())
            inside = _enter(process)
            pair = f"type veth peer name {ETHERNET} netns {process}"
            _run(switch, f"ip link add port{number} {pair}")
            _run(switch, f"ip link set port{number} master br0 up")
            _run(inside, "ip link set lo up")
            _run(inside, f"ip address add {address}/24 dev {ETHERNET}")
            _run(inside, f"ip link set {ETHERNET} up")
            found.append(inside)
        yield found


@contextmanager
def _namespace() -> Iterator[int]:
    """The process that holds one open: it reads what nobody writes."""
    command = ["unshare", "--net", "sh", "-c", "echo inside; exec cat"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        if not child.stdout.readline():  # it has ended instead
            pytest.skip(
                f"this user may not make a network namespace: {child.stderr.read().strip()}"
            )
        try:
            yield child.pid
        finally:
            child.stdin.close()  # the end of what it reads, and so its own


def _enter(process: int) -> tuple[str, ...]:
    return ("nsenter", "--target", str(process), "--net")


def _run(inside: tuple[str, ...], command: str) -> None:
    done = subprocess.run(
        [*inside, *command.split()], capture_output=True, text=True, check=False, timeout=COMMAND_S
    )
    if done.returncode != 0:
        pytest.skip(f"this machine cannot do `{command}`: {done.stderr.strip()}")
