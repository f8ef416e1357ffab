"""Ports of the forwarder, groups of nodes in words, and processes that were stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.devnet import faults, plan, processes
from cli.devnet.blueprint import PROVIDERS
from cli.devnet.state import (
    DEFAULT_BASE_PORT,
    LINKED_NODES_MAX,
    PORTS_STRIDE,
    Devnet,
    Place,
    link_address,
    link_port,
    make_node,
)
from cli.errors import CliError

DEADLINE_S = 10


def place(count: int = 4, *, observers: int = 0, linked: bool = True) -> Place:
    """A devnet that is on no disk."""
    validators = [
        make_node(f"val{index}", index, DEFAULT_BASE_PORT, licence=PROVIDERS[index])
        for index in range(count)
    ]
    followers = [
        make_node(f"obs{index}", count + index, DEFAULT_BASE_PORT) for index in range(observers)
    ]
    devnet = Devnet(
        name="default",
        genesis_hash="00",
        base_port=DEFAULT_BASE_PORT,
        seed=None,
        period_ms=60_000,
        accounts=2,
        faults=linked,
        nodes=(*validators, *followers),
    )
    return Place(Path("nowhere"), devnet)


def test_ports_of_links_are_apart() -> None:
    """As many nodes as may be: all ports differ, also from those of nodes, within one stride."""
    found = place(LINKED_NODES_MAX)
    routes = faults.routes_of(found)
    nodes = [port for node in found.devnet.nodes for port in node.ports]
    taken = [route.port for route in routes] + nodes
    assert len(routes) == LINKED_NODES_MAX * (LINKED_NODES_MAX - 1)
    assert len(set(taken)) == len(taken)
    assert all(DEFAULT_BASE_PORT <= port < DEFAULT_BASE_PORT + PORTS_STRIDE for port in taken)


def test_port_of_a_pair_stays_when_others_come() -> None:
    """Nodes that run need no new settings when one is added."""
    few, many = place(4).devnet, place(5).devnet
    for here in few.nodes:
        for there in few.nodes:
            if here != there:
                assert link_port(few, here, there) == link_port(many, here, there)


def test_without_forwarder_nodes_are_dialled_directly() -> None:
    """The address of a peer is its own, and there is a port for it only with --faults."""
    direct, led = place(linked=False).devnet, place().devnet
    here, there = direct.nodes[:2]
    assert link_address(direct, here, there) == there.p2p
    assert link_address(led, here, there) == f"127.0.0.1:{link_port(led, here, there)}"


def test_nobody_dials_an_observer() -> None:
    """It dials every validator, through ports of its own."""
    routes = faults.routes_of(place(4, observers=1))
    assert {route.target for route in routes if route.source == "obs0"} == {
        "val0",
        "val1",
        "val2",
        "val3",
    }
    assert not any(route.target == "obs0" for route in routes)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("0,1/2,3", (("val0", "val1"), ("val2", "val3"))),
        ("0", (("val0",), ("val1", "val2", "val3"))),
        ("val0/bolt", (("val0",), ("val1",), ("val2", "val3"))),
        (" 3 , 2 / 1,0", (("val3", "val2"), ("val1", "val0"))),
    ],
)
def test_groups_in_words(text: str, groups: tuple[tuple[str, ...], ...]) -> None:
    """Numbers, names and licences; whoever is not named belongs together."""
    assert faults.parse_groups(place(), text).members == groups


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0,1,2,3", "bad_groups"),
        ("0/0,1", "bad_groups"),
        ("val0/acme", "bad_groups"),
        ("0/4", "unknown_node"),
        ("", "unknown_node"),
        ("/", "unknown_node"),
        ("²/1", "unknown_node"),
    ],
)
def test_groups_that_are_none(text: str, code: str) -> None:
    """One group, a node twice, or a node that there is not."""
    with pytest.raises(CliError) as caught:
        faults.parse_groups(place(), text)
    assert caught.value.code == code


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("count", [LINKED_NODES_MAX, LINKED_NODES_MAX + 1])
def test_limit_of_linked_nodes(count: int, linked: bool) -> None:
    """One more than there are ports for is refused with the way out; without links any number."""
    if linked and count > LINKED_NODES_MAX:
        with pytest.raises(CliError, match="too_many_nodes"):
            plan.check_links(count, faults=linked)
    else:
        plan.check_links(count, faults=linked)


def test_forwarder_that_is_not_there() -> None:
    """Without --faults it is said how to get one, with it that it is down."""
    for linked, code in ((False, "no_forwarder"), (True, "forwarder_down")):
        with pytest.raises(CliError) as caught:
            faults.need_forwarder(place(linked=linked))
        assert caught.value.code == code
        assert caught.value.hint.startswith("marsa devnet")
    assert faults.rules_in_force(place()) == ()


def test_stopped_process_is_seen_and_ended() -> None:
    """SIGSTOP shows as stopped and alive; `stop` ends it without waiting for its time to pass."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    process = processes.identify(child.pid)
    assert process is not None
    assert not processes.is_stopped(process)
    processes.send(process, signal.SIGSTOP)
    deadline = time.monotonic() + DEADLINE_S
    while not processes.is_stopped(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert processes.is_alive(process)
    assert processes.stop([process], DEADLINE_S) == []
    assert not processes.is_alive(process)
    child.wait(DEADLINE_S)
