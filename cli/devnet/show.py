"""A devnet in words and in JSON."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from cli.devnet.control import NodeState
from cli.devnet.links import Rule
from cli.devnet.state import DevnetNode, Place, accounts
from cli.output import table
from cli.units import counted
from ledger.validators import fault_limit, quorum_size


def up_json(place: Place, states: Sequence[NodeState]) -> dict[str, object]:
    """What `devnet up` answers."""
    return {
        "name": place.devnet.name,
        "genesis_hash": place.devnet.genesis_hash,
        "nodes": [
            {
                "name": item.node.name,
                "api": item.node.api,
                "ops": item.node.ops,
                "p2p": item.node.p2p,
                "pid": item.pid,
                "issuer": item.node.issuer,
            }
            for item in states
        ],
        "accounts": [{"name": item.name, "address": item.address} for item in accounts(place)],
    }


def up_text(place: Place, states: Sequence[NodeState]) -> str:
    devnet = place.devnet
    members = _members(states)
    observers = len(devnet.observers)
    following = f", {counted(observers, 'observer')}" if observers else ""
    rows = [[item.name, item.address] for item in accounts(place)]
    return "\n".join(
        (
            f"devnet '{devnet.name}': {members} validators, "
            f"{fault_limit(members)} may fail{following}, genesis {devnet.genesis_hash[:16]}…",
            "",
            nodes_table(states),
            "",
            table(("account", "address"), rows),
            "The keys of these accounts are PUBLIC: send nothing of value to them.",
            "",
            f"Explorer {devnet.nodes[0].api}/ui/",
            f"Panel    {_program()} devnet open{devnet.option}",
            f"Genesis  {place.directory / 'genesis.json'}",
            f"Health   {devnet.nodes[0].ops}/readyz",
            f"Next     {_program()} tx send bob 5 --from alice",
            f"Stop     {_program()} devnet down{devnet.option}",
        )
    )


def _program() -> str:
    """What to type: the bare name where the shell finds it, else the path that was started."""
    return "marsa" if shutil.which("marsa") else sys.argv[0]


def status_json(place: Place, states: Sequence[NodeState]) -> dict[str, object]:
    """What `devnet status` answers. `clock` is null while no API answers."""
    sync = next((item.status.sync for item in states if item.status), None)
    clock = None
    if sync is not None:
        clock = {"header_time_ms": sync.header_time_ms, "ledger_time_ms": sync.ledger_time_ms}
    return {
        "name": place.devnet.name,
        "genesis_hash": place.devnet.genesis_hash,
        "nodes": [state_json(item) for item in states],
        "missing": [item.node.name for item in states if not item.alive],
        "clock": clock,
    }


def state_json(item: NodeState) -> dict[str, object]:
    return {
        "name": item.node.name,
        "licence": item.node.licence,
        "role": item.node.role,
        "state": item.state,
        "height": item.height,
        "view": item.view,
        "pid": item.pid,
        "alive": item.alive,
        "state_root": item.status.sync.state_root if item.status else None,
        "warnings": item.status.warnings if item.status else [],
    }


def status_text(place: Place, states: Sequence[NodeState], rules: Sequence[Rule]) -> str:
    lines = [nodes_table(states)]
    sync = next((item.status.sync for item in states if item.status), None)
    if sync is not None:
        # They differ: the ledger clock moves at most 30 s over any gap.
        lines.append(f"header time {sync.header_time}, ledger clock {sync.ledger_time}")
    lines += [f"{item.node.name} {why}" for item in states if (why := _complaint(item))]
    lines += [
        f"{item.node.name} warning: {warning}"
        for item in states
        if item.status
        for warning in item.status.warnings
    ]
    paused = [item.node for item in states if item.is_paused]
    if paused:
        names = " ".join(node.name for node in paused)
        who = ", ".join(known_as(node) for node in paused)
        begin = f"marsa devnet resume {names}{place.devnet.option}"
        lines.append(f"paused: {who}; go on with: {begin}")
    if rules:
        cut = sum(rule.cut for rule in rules)
        slow = len(rules) - cut
        heal = f"marsa devnet heal{place.devnet.option}"
        ways = "1 way is" if cut == 1 else f"{cut} ways are"
        lines.append(f"links: {ways} cut, {slow} slow; open them with: {heal}")
    missing = missing_text(states, rules)
    return "\n".join([*lines, missing] if missing else lines)


def missing_text(states: Sequence[NodeState], rules: Sequence[Rule] = ()) -> str:
    """Who is missing, and whether the others can go on; empty when nobody is and they do."""
    absent = [item.node for item in states if not item.alive]
    is_moving = goes_on(states, rules)
    if not absent and is_moving:
        return ""
    running, hearing, members = len(_running(states)), _hearing(states, rules), _members(states)
    who = f"missing: {', '.join(known_as(node) for node in absent)}; " if absent else ""
    apart = f", {hearing} hear each other" if hearing < running else ""
    verdict = "they go on" if is_moving else "nothing is committed until enough are back"
    needed = quorum_size(members)
    return f"{who}{running} of {members} validators run{apart}, {needed} are needed: {verdict}"


def goes_on(states: Sequence[NodeState], rules: Sequence[Rule] = ()) -> bool:
    """Whether a quorum of validators runs, and hears each other."""
    return _hearing(states, rules) >= quorum_size(_members(states))


def _running(states: Sequence[NodeState]) -> list[str]:
    return [
        item.node.name
        for item in states
        if item.alive and not item.is_paused and _may_have_seat(item)
    ]


def _hearing(states: Sequence[NodeState], rules: Sequence[Rule]) -> int:
    """The most validators around one of them whose ways to it are open."""
    running = _running(states)
    cut = {frozenset((rule.source, rule.target)) for rule in rules if rule.cut}
    around = [sum(frozenset((one, other)) not in cut for other in running) for one in running]
    return max(around, default=0)


def _members(states: Sequence[NodeState]) -> int:
    """Of the latest epoch that a node tells; while none answers, nodes with a licence."""
    told = [item.status.consensus for item in states if item.status is not None]
    if told:
        return max(told, key=lambda consensus: consensus.epoch).validators
    return sum(not item.node.is_observer for item in states)


def _may_have_seat(item: NodeState) -> bool:
    return not item.node.is_observer and (item.status is None or item.status.consensus.has_seat)


def nodes_table(states: Sequence[NodeState]) -> str:
    rows = [
        [
            item.node.name,
            item.node.licence or "-",
            item.state,
            "-" if item.height is None else str(item.height),
            "-" if item.view is None else str(item.view),
            "-" if item.pid is None else str(item.pid),
            item.node.api,
        ]
        for item in states
    ]
    return table(("node", "licence", "state", "height", "view", "pid", "api"), rows)


def known_as(node: DevnetNode) -> str:
    return node.name if node.is_observer else f"{node.name} ({node.licence})"


def _complaint(item: NodeState) -> str:
    """Why a node that answers does not vote."""
    consensus = item.status.consensus if item.status else None
    return "" if consensus is None or consensus.is_voting else consensus.reason
