"""Starting, stopping and watching over the nodes of a devnet.

Whatever is waited for has a deadline and a reason that is shown. A start that fails stops what it
started and shows the last lines of the log of the node at fault. Nothing restarts a node by itself.
One command at a time changes a devnet.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cli.client import ApiProblem, Client, ClientError, Timeout, Unreachable
from cli.devnet import agents, faults, launch, logs, panel, processes, sockets
from cli.devnet.links import Rule
from cli.devnet.processes import Process
from cli.devnet.state import DevnetNode, Place
from cli.errors import CliError, ExitCode
from cli.home import home
from cli.output import Waiting, note
from cli.units import quoted
from node.api import schemas

READY_MS = 45_000
"""From the start of the processes to a certificate of block 1 on every node."""
SETTLE_S = 5.0
"""From then until each votes: longer than the status of others takes on a busy machine."""
CATCH_UP_MS = 60_000
STOP_S = 10.0
"""A node that does not end on SIGTERM within this gets SIGKILL; nothing is lost by that."""
PROBE_S = 1.0
"""A stopped process still accepts connections; it is not waited for longer."""
POLL_S = 0.02
LOG_LINES_SHOWN = 10
EARLIER_VERSION = ("an earlier version of marsa wrote", "the database has schema")
"""What a node says of a store that it reads no more."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """How one node fares. `height` and `view` are None where its API does not answer."""

    node: DevnetNode
    process: Process | None
    status: schemas.Status | None

    @property
    def alive(self) -> bool:
        return self.process is not None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    @property
    def height(self) -> int | None:
        return self.status.sync.height if self.status else None

    @property
    def view(self) -> int | None:
        return self.status.consensus.view if self.status else None

    @property
    def is_paused(self) -> bool:
        """Stopped by `devnet pause`: its process is there and does nothing."""
        return self.process is not None and processes.is_stopped(self.process)

    @property
    def state(self) -> str:
        """One word or two: down, paused, silent, catching up, no quorum, observing, no seat,
        following, primary, voting."""
        if self.process is None:
            return "down"
        if self.is_paused:
            return "paused"
        if self.status is None:
            return "silent"
        consensus = self.status.consensus
        if self.status.sync.catching_up:
            return "catching up"
        if consensus.connected < consensus.quorum:
            return "no quorum"
        if self.node.is_observer:
            return "observing"
        if not consensus.has_seat:
            return "no seat"
        if not consensus.is_voting:
            return "following"
        return "primary" if consensus.primary == self.node.licence else "voting"


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Only one command at a time changes a devnet; raises CliError when another one does."""
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home() / f".devnet-{name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CliError(
                "devnet_busy",
                f"another command is changing devnet '{name}' right now",
                hint="wait until it has ended, then try again",
                exit_code=ExitCode.CHECK_FAILED,
            ) from None
        yield


def look(place: Place) -> list[NodeState]:
    """The state of every node, asked of the operating system and of its API."""
    return [look_at(place, node) for node in place.devnet.nodes]


def running(place: Place) -> dict[str, Process]:
    """The processes that are alive, by node."""
    processes.reap()
    found = {node.name: processes.running(place.node_dir(node)) for node in place.devnet.nodes}
    return {name: process for name, process in found.items() if process is not None}


@dataclass(frozen=True, slots=True)
class Standing:
    """Which nodes run, which of these are paused, and what is done to links."""

    alive: frozenset[str]
    paused: tuple[DevnetNode, ...]
    rules: tuple[Rule, ...]


def standing(place: Place) -> Standing:
    """As it is now; `up_as` brings it back."""
    alive = running(place)
    paused = [
        node
        for node in place.devnet.nodes
        if node.name in alive and processes.is_stopped(alive[node.name])
    ]
    return Standing(frozenset(alive), tuple(paused), faults.rules_in_force(place))


def up_as(place: Place, before: Standing) -> None:
    """As `up`, of those nodes that ran, and then with the faults that there were."""
    up(place, [node for node in place.devnet.nodes if node.name in before.alive])
    names = {node.name for node in place.devnet.nodes}  # one that was retired had ways, too
    rules = [rule for rule in before.rules if {rule.source, rule.target} <= names]
    if rules:
        faults.change_links(place, rules)
    faults.pause(place, before.paused)


def up(place: Place, nodes: Sequence[DevnetNode] = ()) -> None:
    """Start those of the nodes (all) that are down and wait until they have block 1 and, a while,
    until they vote; raises CliError."""
    nodes = nodes or place.devnet.nodes
    alive = running(place)
    down = [node for node in nodes if node.name not in alive]
    start(place, down)
    try:
        with Waiting(f"starting {len(nodes)} nodes", READY_MS) as waiting:
            _wait_ready(place, nodes, waiting)
        agents.start(place)
        panel.start(place)
    except (CliError, KeyboardInterrupt):
        started = running(place)
        processes.stop([started[node.name] for node in down if node.name in started], STOP_S)
        if not alive:
            faults.stop_forwarder(place)
        raise


def down(place: Place) -> int:
    """Stop every node; how many were running."""
    alive = running(place)
    agents.stop(place)
    panel.stop(place)
    for process in processes.stop(alive.values(), STOP_S):
        note(f"pid {process.pid} did not end within {STOP_S:g} s and was killed")
    faults.stop_forwarder(place)
    return len(alive)


def kill(place: Place, node: DevnetNode) -> Process:
    """SIGKILL; raises CliError when the node is down."""
    process = running(place).get(node.name)
    if process is None:
        raise CliError(
            "node_down",
            f"{node.name} is down already",
            hint=f"marsa devnet restart {node.name}{place.devnet.option}",
            exit_code=ExitCode.NOT_FOUND,
        )
    processes.kill([process])
    return process


def restart(place: Place, node: DevnetNode) -> NodeState:
    """Stop the node if it runs, start it, and wait until it has what the others have and votes;
    raises CliError where it will not vote."""
    process = running(place).get(node.name)
    if process is not None:
        processes.stop([process], STOP_S)
    target = max((state.height or 0 for state in look(place)), default=0)
    start(place, [node])
    with Waiting(f"waiting for {node.name}", CATCH_UP_MS) as waiting:
        return _wait_voting(place, node, target, waiting)


def start(place: Place, nodes: Sequence[DevnetNode]) -> None:
    """Start nodes that are down, and wait for nothing; raises CliError."""
    sockets.check_free(place, nodes)
    faults.start_forwarder(place)
    launch.start([place.node_dir(node) for node in nodes])


def look_at(place: Place, node: DevnetNode) -> NodeState:
    """The state of one node."""
    process = processes.running(place.node_dir(node))
    status = None
    if process is not None and not processes.is_stopped(process):
        with contextlib.suppress(ClientError), Client(node.api, timeout_s=PROBE_S) as client:
            status = client.status()
    return NodeState(node, process, status)


def check_none_paused(place: Place) -> None:
    """Nobody is waited for who cannot answer; raises CliError."""
    paused = [name for name, process in running(place).items() if processes.is_stopped(process)]
    if paused:
        raise CliError(
            "node_paused",
            f"{', '.join(paused)} {'is' if len(paused) == 1 else 'are'} paused",
            hint=f"marsa devnet resume {' '.join(paused)}{place.devnet.option}",
            exit_code=ExitCode.CHECK_FAILED,
        )


def _wait_ready(place: Place, nodes: Sequence[DevnetNode], waiting: Waiting) -> None:
    with contextlib.ExitStack() as stack:
        clients = {
            node.name: stack.enter_context(Client(node.api, timeout_s=PROBE_S)) for node in nodes
        }
        pending = list(nodes)
        while pending := [node for node in pending if not _is_ready(clients[node.name])]:
            alive = running(place)
            gone = next((node for node in pending if node.name not in alive), None)
            if gone is not None:
                raise ended(place, gone, "ended while it was starting")
            reason = _why_not_ready(clients[pending[0].name])
            if waiting.left_ms == 0:
                what = f"was not ready within {READY_MS // 1_000} s: {reason}"
                raise not_ready(place, pending[0], what)
            ready = len(nodes) - len(pending)
            waiting.because(f"{ready} ready, {pending[0].name}: {reason}")
            time.sleep(POLL_S)
        _wait_settled(list(clients.values()), waiting)


def _is_ready(client: Client) -> bool:
    """Block 1 is final on this node, and it is where the others are."""
    try:
        client.certificate(1)
        return not client.status().sync.catching_up
    except (ApiProblem, Unreachable, Timeout):
        return False


def _wait_settled(clients: Sequence[Client], waiting: Waiting) -> None:
    """Until each votes, if it will. Who hears no quorum in time may never do, because a link is cut
    or its licence was revoked, and keeps nobody."""
    end = time.monotonic() + SETTLE_S
    while not all(_has_settled(client) for client in clients) and time.monotonic() < end:
        waiting.because("all ready, some still find out where the others are")
        time.sleep(POLL_S)


def _has_settled(client: Client) -> bool:
    try:
        return has_heard_quorum(client.status().consensus)
    except ClientError:
        return False


def has_heard_quorum(consensus: schemas.Consensus) -> bool:
    """It votes, or what keeps it from that does not pass with the status of others."""
    from node.vote_guard import Permission

    return consensus.is_voting or not (
        consensus.connected < consensus.quorum
        or consensus.reason == "catching up"
        or consensus.reason.startswith(Permission.WAITING.value)
    )


def _why_not_ready(client: Client) -> str:
    from cli.payments import describe_consensus

    try:
        return describe_consensus(client.status())
    except ClientError:
        return "its API does not answer yet"


def _wait_voting(place: Place, node: DevnetNode, target: int, waiting: Waiting) -> NodeState:
    from node.vote_guard import Permission

    while True:
        processes.reap()
        state = look_at(place, node)
        if not state.alive:
            raise ended(place, node, "ended while it was starting")
        if state.status is not None:
            sync, consensus = state.status.sync, state.status.consensus
            is_caught_up = sync.height >= target and not sync.catching_up
            if is_caught_up and (consensus.is_voting or not consensus.has_seat):
                return state
            if is_caught_up and consensus.reason.startswith(Permission.FOLLOWING.value):
                raise _not_voting(place, state, consensus.reason)
            if len(running(place)) < consensus.quorum:
                # Alone it cannot learn where the others are, and they are not there.
                return state
            height = f"height {sync.height} of {max(target, sync.height)}"
            waiting.because(consensus.reason if is_caught_up else height)
        else:
            waiting.because("its API does not answer yet")
        if waiting.left_ms == 0:
            what = f"did not catch up and vote within {CATCH_UP_MS // 1_000} s: {waiting.reason}"
            raise not_ready(place, node, what)
        time.sleep(POLL_S)


def _not_voting(place: Place, state: NodeState, reason: str) -> CliError:
    node = state.node
    return CliError(
        "not_voting",
        f"{node.name} is up (pid {state.pid}), height {state.height}, but {reason}",
        hint=f"if that is as it should be: marsa node recover {quoted(place.node_dir(node))}",
        exit_code=ExitCode.CHECK_FAILED,
        details={"node": node.name, "pid": state.pid, "height": state.height, "reason": reason},
    )


def ended(place: Place, node: DevnetNode, what: str) -> CliError:
    """The error for a node whose process is gone; its log is shown. A chain of an earlier version
    has all its nodes here: no peer is left to copy it from."""
    log, hint = _show_log(place, node), _whole_log(place, node)
    if log and any(words in log[-1] for words in EARLIER_VERSION):
        hint = f"all its nodes begin anew with: marsa devnet reset{place.devnet.option}"
    return CliError(
        "node_failed", f"{node.name} {what}", hint=hint, details={"node": node.name, "log": log}
    )


def not_ready(place: Place, node: DevnetNode, what: str) -> CliError:
    """The error for a node that runs and does not do in time what it was started for."""
    return CliError(
        "node_not_ready",
        f"{node.name} {what}",
        hint=_whole_log(place, node),
        exit_code=ExitCode.TIMEOUT,
        details={"node": node.name, "log": _show_log(place, node)},
    )


def _whole_log(place: Place, node: DevnetNode) -> str:
    return f"its whole log: {logs.of_node(place, node).path}"


def _show_log(place: Place, node: DevnetNode) -> list[str]:
    lines = logs.tail(logs.of_node(place, node), LOG_LINES_SHOWN)
    note(f"--- the last lines of {node.name}'s log", verbosity=-1)
    for line in lines:
        note(line, verbosity=-1)
    return lines
