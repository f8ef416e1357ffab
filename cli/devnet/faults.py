"""Single faults of a devnet: nodes that stop where they are, links that are cut or slow.

Only processes that this devnet started are signalled. Links are cut by the devnet's forwarder
(`cli.devnet.forwarder`), which a devnet has that was made with --faults; no node knows of it.
"""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cli.devnet import processes, sockets
from cli.devnet.links import (
    REQUEST_S,
    ROUTES_NAME,
    SOCKET_NAME,
    Answer,
    Request,
    Route,
    Rule,
)
from cli.devnet.processes import Process
from cli.devnet.state import HOST, DevnetNode, Place, link_port
from cli.errors import CliError, ExitCode, usage_error
from ledger.amounts import parse_number
from node.files import write_atomic

LINKS_NAME = "links"
LOG_NAME = "forwarder.log"
FILE_MODE = 0o600
START_S = 15.0
"""For an interpreter of its own and its ports."""
STOP_S = 5.0
POLL_S = 0.02
ANSWER_BYTES_MAX = 1 << 20


# Nodes.


def pause(place: Place, nodes: Sequence[DevnetNode]) -> None:
    """SIGSTOP; all of them or, if one is down, none. Raises CliError."""
    _signal_all(place, nodes, signal.SIGSTOP)


def resume(place: Place, nodes: Sequence[DevnetNode]) -> None:
    """SIGCONT; raises CliError."""
    _signal_all(place, nodes, signal.SIGCONT)


def _signal_all(place: Place, nodes: Sequence[DevnetNode], number: signal.Signals) -> None:
    found = [(node, processes.running(place.node_dir(node))) for node in nodes]
    for node, process in found:
        if process is None:
            raise CliError(
                "node_down",
                f"{node.name} is down",
                hint=f"marsa devnet restart {node.name}{place.devnet.option}",
                exit_code=ExitCode.NOT_FOUND,
            )
    for _, process in found:
        if process is not None:
            processes.send(process, number)


# Links.


@dataclass(frozen=True, slots=True)
class Groups:
    """Nodes that hear each other, and not the nodes of other groups."""

    members: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return " / ".join(", ".join(group) for group in self.members)


def parse_groups(place: Place, text: str) -> Groups:
    """'0,1/2,3' or 'val0/val1,acme': nodes that are not named form one more group."""
    groups = [
        tuple(_node(place, name.strip()).name for name in part.split(","))
        for part in text.split("/")
    ]
    named = [name for group in groups for name in group]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise usage_error("bad_groups", f"{twice} is named twice in {text!r}")
    rest = tuple(node.name for node in place.devnet.nodes if node.name not in named)
    if rest:
        groups.append(rest)
    if len(groups) < 2:
        raise usage_error(
            "bad_groups",
            f"{text!r} leaves all nodes together",
            "part groups by /: marsa devnet partition 0,1/2,3",
        )
    return Groups(tuple(groups))


def find_nodes(place: Place, names: Sequence[str]) -> list[DevnetNode]:
    """By name, licence or number; each once."""
    return list(dict.fromkeys(_node(place, name) for name in names))


def _node(place: Place, text: str) -> DevnetNode:
    return place.node(text if parse_number(text) is None else f"val{text}")


def cut_rules(groups: Groups, *, one_way: bool = False) -> list[Rule]:
    """Cut every way between two groups; `one_way` only those out of the first."""
    return [
        Rule(source, target, cut=True)
        for here, group in enumerate(groups.members)
        for there, other in enumerate(groups.members)
        if here != there and (here == 0 or not one_way)
        for source in group
        for target in other
    ]


def slow_rules(place: Place, node: DevnetNode, *, delay_ms: int = 0, rate: int = 0) -> list[Rule]:
    """Both ways between `node` and every other one."""
    others = [other.name for other in place.devnet.nodes if other.name != node.name]
    pairs = [(node.name, other) for other in others] + [(other, node.name) for other in others]
    return [Rule(*pair, delay_ms=delay_ms, rate=rate) for pair in pairs]


def merge(rules: Iterable[Rule]) -> list[Rule]:
    """One rule a way: cut if any cuts it, with the longest delay; the later rate counts."""
    merged: dict[tuple[str, str], Rule] = {}
    for rule in rules:
        old = merged.get((rule.source, rule.target), rule)
        merged[rule.source, rule.target] = Rule(
            rule.source,
            rule.target,
            rule.cut or old.cut,
            max(rule.delay_ms, old.delay_ms),
            rule.rate or old.rate,
        )
    return list(merged.values())


def change_links(place: Place, rules: Iterable[Rule] = (), *, heal: bool = False) -> Answer:
    """Ask the forwarder; raises CliError where there is none. Observers have no way to each
    other, so that a rule for it means nothing."""
    linked = {node.name for node in place.devnet.validators}
    meant = tuple(rule for rule in rules if {rule.source, rule.target} & linked)
    return _ask(place, Request(heal=heal, rules=meant))


def rules_in_force(place: Place) -> tuple[Rule, ...]:
    """The ways that are not plain; none where there is no forwarder."""
    return () if running(place) is None else change_links(place).rules


def need_forwarder(place: Place) -> None:
    """Raises CliError that says how to get one."""
    name = place.devnet.name
    option = place.devnet.option
    if not place.devnet.faults:
        raise CliError(
            "no_forwarder",
            f"the links of devnet '{name}' cannot be cut or delayed: nodes are linked directly",
            hint=f"marsa devnet down{option} && marsa devnet up{option} --faults",
            exit_code=ExitCode.USAGE,
        )
    if running(place) is None:
        raise CliError(
            "forwarder_down",
            f"the forwarder of devnet '{name}' is not running",
            hint=f"marsa devnet up{option}",
            exit_code=ExitCode.UNREACHABLE,
        )


# The forwarder's process.


def running(place: Place) -> Process | None:
    return processes.running(_directory(place))


def start_forwarder(place: Place) -> None:
    """Start it where the devnet has one and it does not run; raises CliError. One that runs
    learns of new nodes."""
    if not place.devnet.faults:
        return
    directory = _directory(place)
    directory.mkdir(mode=0o700, exist_ok=True)
    routes = routes_of(place)
    write_atomic(directory / ROUTES_NAME, msgspec.json.encode(routes), FILE_MODE)
    if running(place) is not None:
        _ask(place, Request(reload=True))
        return
    sockets.check_ports_free(place, [route.port for route in routes])
    command = [sys.executable, "-m", "cli.devnet.forwarder", str(directory.resolve())]
    (directory / SOCKET_NAME).unlink(missing_ok=True)
    with (directory / LOG_NAME).open("wb") as log:
        process = processes.spawn(directory, command, log)
    _wait_ready(place, process)


def stop_forwarder(place: Place) -> None:
    process = running(place)
    if process is not None:
        processes.stop([process], STOP_S)


def routes_of(place: Place) -> list[Route]:
    """One for each pair of nodes and direction of dialling; nobody dials an observer."""
    devnet = place.devnet
    return [
        Route(here.name, there.name, link_port(devnet, here, there), _port(there))
        for here in devnet.nodes
        for there in devnet.validators
        if here.name != there.name
    ]


def _port(node: DevnetNode) -> int:
    return int(node.p2p.removeprefix(f"{HOST}:"))


def log_of(place: Place) -> Path:
    return _directory(place) / LOG_NAME


def _directory(place: Place) -> Path:
    return place.directory / LINKS_NAME


def _wait_ready(place: Place, process: Process | None) -> None:
    deadline = time.monotonic() + START_S
    while not (_directory(place) / SOCKET_NAME).exists():
        if not processes.is_alive(process) or time.monotonic() > deadline:
            log = log_of(place)
            raise CliError(
                "start_failed",
                f"the forwarder of devnet '{place.devnet.name}' did not start",
                hint=f"what it said: {log}",
            )
        time.sleep(POLL_S)
        processes.reap()


def _ask(place: Place, request: Request) -> Answer:
    need_forwarder(place)
    data = bytearray()
    with (
        tempfile.TemporaryDirectory(prefix="marsa-") as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link,
    ):
        # The path of a socket may have some 100 bytes only; that of a devnet may be longer.
        near = Path(short) / "l"
        near.symlink_to(_directory(place).resolve())
        link.settimeout(REQUEST_S)
        try:
            link.connect(str(near / SOCKET_NAME))
            link.sendall(msgspec.json.encode(request) + b"\n")
            while part := link.recv(ANSWER_BYTES_MAX):
                data += part
            answer = msgspec.json.decode(bytes(data), type=Answer)
        except (OSError, msgspec.DecodeError) as error:
            raise CliError(
                "forwarder_failed",
                f"the forwarder of devnet '{place.devnet.name}' gave no answer: {error}",
                hint=f"what it said: {log_of(place)}",
                exit_code=ExitCode.UNREACHABLE,
            ) from None
    if answer.error:
        raise CliError("forwarder_refused", answer.error)
    return answer
