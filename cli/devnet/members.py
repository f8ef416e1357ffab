"""A devnet that grows and shrinks: a new provider takes a seat, a validator gives its seat back.

Nothing here is special to a devnet but that the keys of all validators are at hand: the same
operations, signed by a quorum of operators, do it elsewhere. Seats change when an epoch ends, so
epochs are ended early. A new node votes two epochs after it began to follow (its vote log might
have been lost, as far as it can know), so that it takes two: the grant is final in the second, and
the node says at once that it is ready.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from cli import payments, validator
from cli.client import Client
from cli.devnet import control, launch, plan, processes
from cli.devnet.blueprint import PROVIDERS, Blueprint
from cli.devnet.control import NodeState
from cli.devnet.state import LINKED_NODES_MAX, NODES_MAX, DevnetNode, Place, make_node
from cli.errors import CliError, ExitCode, usage_error
from cli.genesis import read_genesis
from cli.nodes import Node, errors_mapped
from cli.output import Waiting, note
from ledger.genesis import Genesis
from ledger.operations import Admit, EndEpoch, Governance, Remove
from ledger.reasons import Reason
from ledger.validators import VALIDATORS_MAX, VALIDATORS_MIN, quorum_size
from node.api.epoch_schemas import Epoch, Licence

_NODE_NAME = re.compile(r"(val|obs)?[0-9]+")
"""What names a node, in full or by its number alone."""
ADD_MS = 90_000
RETIRE_MS = 60_000
FINAL_S = 15.0
"""For one operation of the validators."""
ASK_S = 5.0
"""What one request may wait for it."""
READY_S = 5.0
"""A new node that is not ready after so long needs one more epoch."""
POLL_S = 0.05
RETIRED = "retired"


class Step(Enum):
    """What brings a change of seats forward."""

    WAIT = "wait"
    END_EPOCH = "end epoch"
    ADMIT = "admit"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Added:
    """A validator that has joined."""

    place: Place
    node: DevnetNode
    state: NodeState
    epoch: int


@dataclass(frozen=True, slots=True)
class Retired:
    """A node that belongs to the devnet no more. `epoch` is None for one that had no seat."""

    place: Place
    node: DevnetNode
    epoch: int | None


def add(place: Place, licence: str | None) -> Added:
    """Make a node of a provider without a seat, start it, admit it, wait until it votes; go on with
    one that was interrupted before it had its seat."""
    with _asking(place) as governor:
        epoch = governor.client.epoch()
        provider = _choose(place, epoch, licence)
        _check_quorum_runs(place, epoch)
        genesis = read_genesis(place.directory / "genesis.json")
        blueprint = Blueprint.of(genesis)
        node = _node_of(place, provider)
        if node is None:
            place, node = _make(place, blueprint, genesis, provider)
            note(f"{node.name} is made: provider '{provider}', {place.node_dir(node)}")
        with Waiting(f"waiting until {node.name} votes", ADD_MS) as waiting:
            if node.name not in control.running(place):
                control.start(place, [node])
            _wait_following(place, node, waiting)
            operation = Admit(blueprint.newcomer(provider, genesis), _version(epoch, provider))
            state = _seat(place, node, governor, operation, waiting)
        _tell_observers(place)
        epoch = governor.client.epoch()
    return Added(place, node, state, epoch.number)


def retire(place: Place, node: DevnetNode) -> Retired:
    """Take a node's seat, wait until the others go on without it, stop it, set it aside."""
    if node.is_observer:
        return Retired(_set_aside(place, node), node, None)
    with _asking(place, but=node) as governor:
        epoch = governor.client.epoch()
        held = _held(epoch, node.licence)
        if held is not None and held.seat in ("seated", "leaving"):
            _check_may_leave(place, epoch, node)
        last = None
        if held is not None and held.seat != "none":
            if held.seat != "leaving":
                governor.decide(Remove(node.licence, held.version))
            with Waiting(f"waiting until {node.name} has no seat", RETIRE_MS) as waiting:
                last = _unseat(node, governor, waiting)
    return Retired(_set_aside(place, node), node, last)


def end_epoch(place: Place) -> int:
    """End the present epoch now; the height of its last block. Raises CliError."""
    with _asking(place) as governor:
        governor.end_epoch(governor.client.epoch().number)
        return governor.client.epoch().base_height


def next_step(epoch: Epoch, licence: str, *, since: int, ended: int, waited_s: float) -> Step:
    """What to do for a node that follows since epoch `since`, where `ended` was ended last.

    Pure. The grant comes one epoch after the node began to follow, so that the node is sure of its
    vote log by the next; where it was too slow, one more epoch is ended.
    """
    held = _held(epoch, licence)
    may_end = epoch.number > ended
    end = Step.END_EPOCH if may_end else Step.WAIT
    match "none" if held is None else held.seat:
        case "none":
            return Step.ADMIT if epoch.number > since else end
        case "waiting":
            return end if waited_s > READY_S else Step.WAIT
        case "ready":
            return end
        case _:
            return Step.DONE


# The chain.


class _Governor:
    """A node that answers, and the keys of all validators."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._node = Node(client)

    def decide(self, operation: Governance) -> None:
        """Sign with a quorum's keys, send, wait until it is final; raises CliError."""
        tx = validator.approved_by_devnet(self._node, self.client.epoch(), operation)
        payments.submit_signed(self._node, tx, None)
        found = self.client.transaction(tx.txid.hex(), wait_s=ASK_S)
        deadline_s = time.monotonic() + FINAL_S
        while found.status == "pending" and time.monotonic() < deadline_s:
            found = self.client.transaction(tx.txid.hex(), wait_s=ASK_S)
        if found.status == "rejected":
            code = found.code or "rejected"
            raise CliError(code, f"{operation.name}: {found.detail}", exit_code=ExitCode.REJECTED)
        if found.status != "final":
            raise payments.outcome_unknown(tx.txid.hex(), f"{operation.name} is not final yet")
        note(f"{operation.name} is final in block {found.height}")

    def end_epoch(self, number: int) -> None:
        """One that ends by itself meanwhile has ended as well."""
        try:
            self.decide(EndEpoch(number))
        except CliError as error:
            if error.code != Reason.WRONG_EPOCH.value:
                raise


@contextmanager
def _asking(place: Place, *, but: DevnetNode | None = None) -> Iterator[_Governor]:
    states = [item for item in control.look(place) if item.node != but]
    found = next((item for item in states if item.status and item.status.consensus.has_seat), None)
    if found is None:
        raise CliError(
            "unreachable",
            f"no {'other ' if but else ''}validator of devnet '{place.devnet.name}' answers",
            hint=f"marsa devnet up{place.devnet.option}",
            exit_code=ExitCode.UNREACHABLE,
        )
    with errors_mapped(), Client(found.node.api) as client:
        yield _Governor(client)


def _seat(
    place: Place, node: DevnetNode, governor: _Governor, operation: Admit, waiting: Waiting
) -> NodeState:
    since, ended = governor.client.epoch().number, -1
    changed_s, seen = time.monotonic(), ""
    while True:
        epoch = governor.client.epoch()
        held = _held(epoch, node.licence)
        seat = f"epoch {epoch.number}, " + ("not admitted" if held is None else held.seat)
        if seat != seen:
            changed_s, seen = time.monotonic(), seat
        waiting.because(seat)
        step = next_step(
            epoch,
            node.licence,
            since=since,
            ended=ended,
            waited_s=time.monotonic() - changed_s,
        )
        if step is Step.ADMIT:
            governor.decide(operation)
        elif step is Step.END_EPOCH:
            governor.end_epoch(epoch.number)
            ended = epoch.number
        elif step is Step.DONE:
            state = _alive(place, node)
            if state.status is not None and state.status.consensus.is_voting:
                return state
        _pause(place, node, waiting)


def _unseat(node: DevnetNode, governor: _Governor, waiting: Waiting) -> int:
    """The first epoch without it."""
    ended = -1
    while True:
        epoch = governor.client.epoch()
        held = _held(epoch, node.licence)
        if held is None or held.seat == "none":
            return epoch.number
        waiting.because(f"epoch {epoch.number}, {held.seat}")
        if epoch.number > ended:
            governor.end_epoch(epoch.number)
            ended = epoch.number
        if waiting.left_ms == 0:
            raise CliError(
                "timeout",
                f"{node.name} still has its seat: {waiting.reason}",
                hint="marsa validator status",
                exit_code=ExitCode.TIMEOUT,
            )
        time.sleep(POLL_S)


def _wait_following(place: Place, node: DevnetNode, waiting: Waiting) -> None:
    """It has the chain, and heard from a quorum where that stands."""

    def follows(state: NodeState) -> bool:
        if state.status is None:
            waiting.because("its API does not answer yet")
            return False
        consensus = state.status.consensus
        waiting.because(consensus.reason)
        linked = consensus.connected >= consensus.quorum
        return linked and not state.status.sync.catching_up and consensus.reason != "catching up"

    _wait(place, node, waiting, follows)


def _wait(
    place: Place, node: DevnetNode, waiting: Waiting, is_done: Callable[[NodeState], bool]
) -> None:
    while not is_done(_alive(place, node)):
        _pause(place, node, waiting)


def _pause(place: Place, node: DevnetNode, waiting: Waiting) -> None:
    if waiting.left_ms == 0:
        what = f"does not vote after {ADD_MS // 1_000} s: {waiting.reason}"
        raise control.not_ready(place, node, what)
    time.sleep(POLL_S)


def _tell_observers(place: Place) -> None:
    """The new node dials all validators; observers are dialled by nobody, and have to dial it."""
    alive = control.running(place)
    for node in place.devnet.observers:
        if node.name in alive:
            processes.send(alive[node.name], signal.SIGUSR1)


def _alive(place: Place, node: DevnetNode) -> NodeState:
    processes.reap()
    state = control.look_at(place, node)
    if not state.alive:
        raise control.ended(place, node, "ended while it was joining")
    return state


def _node_of(place: Place, licence: str) -> DevnetNode | None:
    return next((node for node in place.devnet.nodes if node.licence == licence), None)


def _held(epoch: Epoch, licence: str) -> Licence | None:
    return next((item for item in epoch.licences if item.id == licence), None)


def _version(epoch: Epoch, licence: str) -> int:
    held = _held(epoch, licence)
    return 0 if held is None else held.version


# What is refused.


def _choose(place: Place, epoch: Epoch, licence: str | None) -> str:
    """The provider that joins: the one that was asked for, or the next of those with names."""
    devnet = place.devnet
    own = None if licence is None else _node_of(place, licence)
    nodes_max = LINKED_NODES_MAX if devnet.faults else NODES_MAX
    has_room = own is not None or len(devnet.nodes) < nodes_max
    if not has_room or epoch.n >= VALIDATORS_MAX:
        raise usage_error(
            "too_many_nodes",
            f"devnet '{devnet.name}' has {len(devnet.nodes)} nodes and {epoch.n} validators; "
            f"it has room for {nodes_max} nodes, and a set for {VALIDATORS_MAX} validators",
            f"retire one first: marsa devnet retire NODE{devnet.option}",
        )
    known = {item.id for item in epoch.licences} | {node.licence for node in devnet.nodes}
    if licence is None:
        return next(name for name in PROVIDERS if name not in known)
    held = _held(epoch, licence)
    if _NODE_NAME.fullmatch(licence):
        raise usage_error(
            "bad_name",
            f"'{licence}' is how nodes are called",
            "choose another provider, or leave the name out",
        )
    if own is not None and held is not None and held.seat in ("seated", "leaving"):
        raise usage_error(
            "node_exists",
            f"devnet '{devnet.name}' has a node of '{licence}', {own.name}",
            "choose another provider, or leave the name out",
        )
    has_seat = held is not None and own is None and held.seat != "none"
    if held is not None and (has_seat or held.state not in ("applied", "active")):
        raise CliError(
            Reason.HAS_SEAT.value,
            f"'{licence}' cannot be admitted: its licence is {held.state}, its seat {held.seat}",
            hint="choose another provider, or leave the name out",
            exit_code=ExitCode.REJECTED,
        )
    return licence


def _check_quorum_runs(place: Place, epoch: Epoch) -> None:
    there = len(_seated_running(place, epoch))
    if there < epoch.quorum:
        raise CliError(
            "no_quorum",
            f"{there} of {epoch.n} validators run, {epoch.quorum} must decide who joins",
            hint=f"marsa devnet up{place.devnet.option}",
            exit_code=ExitCode.REJECTED,
        )


def _check_may_leave(place: Place, epoch: Epoch, node: DevnetNode) -> None:
    left = epoch.n - 1
    if left < VALIDATORS_MIN:
        raise CliError(
            "too_few_validators",
            f"{node.name} cannot go: {epoch.n} validators are the least with which one may fail",
            hint=f"add another one first: marsa devnet add{place.devnet.option}",
            exit_code=ExitCode.REJECTED,
        )
    there = len(_seated_running(place, epoch) - {node.licence})
    if there < quorum_size(left):
        raise CliError(
            "no_quorum",
            f"{node.name} cannot go: {there} of the {left} others run, {quorum_size(left)} "
            "are needed to go on",
            hint=f"marsa devnet up{place.devnet.option}",
            exit_code=ExitCode.REJECTED,
        )


def _seated_running(place: Place, epoch: Epoch) -> set[str]:
    alive = control.running(place)
    licences = {node.licence for node in place.devnet.validators if node.name in alive}
    return licences & {member.licence for member in epoch.members}


# On disk.


def _make(
    place: Place, blueprint: Blueprint, genesis: Genesis, provider: str
) -> tuple[Place, DevnetNode]:
    """A directory with a chain at height 0, and the devnet with the node in it."""
    devnet = place.devnet
    taken = {devnet.index_of(node) for node in devnet.nodes}
    index = next(number for number in range(NODES_MAX) if number not in taken)
    issuer = provider if blueprint.newcomer(provider, genesis).issuer else None
    node = make_node(
        f"val{_next_number(place)}", index, devnet.base_port, licence=provider, issuer=issuer
    )
    plan.write_node(
        Place(place.directory, plan.devnet_with(devnet, [*devnet.nodes, node])),
        blueprint,
        genesis,
        node,
    )
    launch.initialise_nodes([place.node_dir(node)])
    return plan.with_nodes(place, [*devnet.nodes, node]), node


def _next_number(place: Place) -> int:
    """After all there ever were: a name never means two nodes."""
    found = [*place.nodes_dir.glob("val*"), *(place.directory / RETIRED).glob("val*")]
    return 1 + max(int(path.name.removeprefix("val")) for path in found)


def _set_aside(place: Place, node: DevnetNode) -> Place:
    """Stop it, and keep its directory out of the way."""
    process = control.running(place).get(node.name)
    if process is not None:
        processes.stop([process], control.STOP_S)
    source, retired = place.node_dir(node), place.directory / RETIRED
    changed = plan.with_nodes(place, [item for item in place.devnet.nodes if item != node])
    retired.mkdir(mode=0o700, exist_ok=True)
    source.rename(retired / node.name)
    return changed
