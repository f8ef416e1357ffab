"""The forwarder over real sockets: open, cut each way, slow, full, and its control socket."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from cli.devnet import forwarder
from cli.devnet.faults import Groups, cut_rules, merge
from cli.devnet.forwarder import Forwarder
from cli.devnet.links import ROUTES_NAME, SOCKET_NAME, Answer, Request, Route, Rule

DEADLINE_S = 10
SHORT_S = 0.2
"""Nothing comes within this: the time that a test gives to what must not happen."""
KERNEL_BYTES_MAX = 32 << 20
"""What the buffers of two sockets on loopback take."""


@dataclass
class World:
    """Node `a` reaches node `b`, which sends back what it hears, through a forwarder."""

    forwarder: Forwarder
    route: Route
    heard: list[bytes]
    accepted: int = 0

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(forwarder.HOST, self.route.port)

    def set(self, *rules: Rule, heal: bool = False) -> None:
        self.forwarder.apply(Request(heal=heal, rules=rules))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An echo behind a forwarder."""
    heard: list[bytes] = []
    made: list[World] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made[0].accepted += 1
        while data := await reader.read(4096):
            heard.append(data)
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, forwarder.HOST, 0)
    port = server.sockets[0].getsockname()[1]
    route = Route("a", "b", free_port(), port)
    made.append(World(Forwarder(), route, heard))
    await made[0].forwarder.listen([route])
    yield made[0]
    await made[0].forwarder.close()
    server.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((forwarder.HOST, 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def within(wanted: Awaitable[bytes]) -> bytes:
    return await asyncio.wait_for(wanted, DEADLINE_S)


async def nothing(wanted: Awaitable[bytes]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wanted, SHORT_S)


async def test_bytes_pass_both_ways(world: World) -> None:
    """An open link passes everything in order, more than it may hold, and the end."""
    reader, writer = await world.dial()
    data = bytes(range(256)) * 4096 * 8
    assert len(data) > forwarder.READ_BYTES * forwarder.CHUNKS_MAX

    async def write() -> None:
        writer.write(data)
        await writer.drain()

    _, back = await asyncio.gather(write(), within(reader.readexactly(len(data))))
    assert back == data
    writer.close()
    await until(lambda: world.forwarder.connections == 0)


async def test_cut_holds_back_and_healing_delivers(world: World) -> None:
    """What was said during a cut comes when it is over: nothing is lost, nothing closed."""
    reader, writer = await world.dial()
    writer.write(b"one")
    assert await within(reader.readexactly(3)) == b"one"
    world.set(*cut_rules(Groups((("a",), ("b",)))))
    writer.write(b"two")
    await nothing(reader.readexactly(3))
    assert world.heard == [b"one"]
    world.set(heal=True)
    assert await within(reader.readexactly(3)) == b"two"
    writer.close()


async def test_a_port_goes_to_the_route_that_is_listed_now(world: World) -> None:
    """A node that was retired gives its ports to the next one, whose ways are plain; a port that
    somebody else has is told, and what was served goes on."""
    world.set(Rule("a", "b", cut=True))
    old = world.route
    world.route = Route("c", "b", old.port, old.to_port)
    await world.forwarder.listen([world.route])
    assert world.forwarder.rules == ()
    with pytest.raises(KeyError):
        world.set(Rule("a", "b", cut=True))
    reader, writer = await world.dial()
    writer.write(b"one")
    assert await within(reader.readexactly(3)) == b"one"
    writer.close()
    with pytest.raises(OSError):
        await world.forwarder.listen([world.route, Route("d", "b", old.to_port, old.to_port)])
    reader, writer = await world.dial()
    writer.write(b"two")
    assert await within(reader.readexactly(3)) == b"two"
    writer.close()


async def test_cut_of_one_way(world: World) -> None:
    """`a` is heard by `b` and hears nothing of it, and the other way round."""
    reader, writer = await world.dial()
    world.set(Rule("b", "a", cut=True))
    writer.write(b"one")
    await until(lambda: world.heard == [b"one"])
    await nothing(reader.readexactly(3))
    world.set(Rule("a", "b", cut=True), heal=True)
    assert await within(reader.readexactly(3)) == b"one"
    writer.write(b"two")
    await nothing(reader.readexactly(3))
    assert world.heard == [b"one"]
    world.set(heal=True)
    assert await within(reader.readexactly(3)) == b"two"
    writer.close()


async def test_dialling_during_a_cut_waits(world: World) -> None:
    """Nobody is reached through a cut, of one way or both; after it the connection is there."""
    world.set(Rule("b", "a", cut=True))
    reader, writer = await world.dial()
    writer.write(b"one")
    await nothing(reader.readexactly(3))
    assert world.accepted == 0
    world.set(heal=True)
    assert await within(reader.readexactly(3)) == b"one"
    writer.close()


async def test_death_is_not_heard_through_a_cut(world: World) -> None:
    """The end of a connection travels like its bytes."""
    reader, writer = await world.dial()
    writer.write(b"one")
    assert await within(reader.readexactly(3)) == b"one"
    world.set(Rule("a", "b", cut=True))
    writer.write(b"two")
    writer.close()
    other, more = await world.dial()
    await nothing(other.read())
    assert world.heard == [b"one"]
    assert world.forwarder.connections == 2
    more.close()
    world.set(heal=True)
    await until(lambda: world.forwarder.connections == 0)


async def test_delay(world: World) -> None:
    """Each way takes its time, and order stays."""
    reader, writer = await world.dial()
    world.set(Rule("a", "b", delay_ms=100), Rule("b", "a", delay_ms=100))
    began = time.monotonic()
    writer.write(b"one")
    await asyncio.sleep(0.01)
    writer.write(b"two")
    assert await within(reader.readexactly(6)) == b"onetwo"
    assert time.monotonic() - began >= 0.2
    writer.close()


async def test_rate(world: World) -> None:
    """So many bytes a second pass, not more."""
    reader, writer = await world.dial()
    world.set(Rule("a", "b", rate=100_000))
    began = time.monotonic()
    writer.write(bytes(40_000))
    assert len(await within(reader.readexactly(40_000))) == 40_000
    assert time.monotonic() - began >= 0.2
    writer.close()


async def test_what_is_held_is_bounded(world: World) -> None:
    """A sender into a cut is not read for ever: beyond the limit it waits."""
    _, writer = await world.dial()
    world.set(Rule("a", "b", cut=True))
    held = forwarder.READ_BYTES * forwarder.CHUNKS_MAX

    written: list[int] = []

    async def write_on() -> bytes:
        while True:
            writer.write(bytes(1 << 16))
            await writer.drain()
            written.append(1 << 16)

    await nothing(write_on())
    assert held <= sum(written) < held + KERNEL_BYTES_MAX
    writer.close()


async def test_last_words_are_heard(world: World) -> None:
    """A side that says much and closes at once is heard to its last byte."""
    words = bytes(range(256)) * 8_192

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(say, forwarder.HOST, 0)
    route = Route("b", "a", free_port(), server.sockets[0].getsockname()[1])
    await world.forwarder.listen([route])
    reader, writer = await asyncio.open_connection(forwarder.HOST, route.port)
    assert await within(reader.read(-1)) == words
    writer.close()
    server.close()


async def test_connections_are_bounded(world: World) -> None:
    """Beyond the limit of a route a connection is closed; those before it live."""
    world.set(Rule("a", "b", cut=True))
    kept = [await world.dial() for _ in range(forwarder.CONNECTIONS_A_ROUTE_MAX)]
    await until(lambda: world.forwarder.connections == forwarder.CONNECTIONS_A_ROUTE_MAX)
    reader, writer = await world.dial()
    assert await within(reader.read()) == b""
    writer.close()
    world.set(heal=True)
    for reader, writer in kept:
        writer.write(b"one")
        assert await within(reader.readexactly(3)) == b"one"
        writer.close()


async def test_node_that_is_down_closes(world: World) -> None:
    """Whoever dials a node that is down sees a close, as without a forwarder a refusal."""
    route = Route("b", "a", free_port(), free_port())
    await world.forwarder.listen([route])
    reader, writer = await asyncio.open_connection(forwarder.HOST, route.port)
    assert await within(reader.read()) == b""
    writer.close()


async def test_unknown_way_changes_nothing(world: World) -> None:
    """A rule for nodes that there are not leaves all rules as they were."""
    world.set(Rule("a", "b", cut=True))
    with pytest.raises(KeyError):
        world.set(Rule("a", "x", cut=True), heal=True)
    assert world.forwarder.rules == (Rule("a", "b", cut=True),)


def test_rules_of_groups() -> None:
    """Every way between two groups, and only those out of the first one for one way."""
    groups = Groups((("a",), ("b", "c")))
    assert {(rule.source, rule.target) for rule in cut_rules(groups)} == {
        ("a", "b"),
        ("a", "c"),
        ("b", "a"),
        ("c", "a"),
    }
    one_way = {(rule.source, rule.target) for rule in cut_rules(groups, one_way=True)}
    assert one_way == {("a", "b"), ("a", "c")}
    assert merge([Rule("a", "b", cut=True), Rule("a", "b", delay_ms=5)]) == [
        Rule("a", "b", cut=True, delay_ms=5)
    ]


def test_process_answers_on_its_socket_and_ends_on_sigterm(tmp_path: Path) -> None:
    """One line in, one answer out, a wrong one named; SIGTERM ends it and takes the socket."""
    routes = [Route("a", "b", free_port(), free_port())]
    (tmp_path / ROUTES_NAME).write_bytes(msgspec.json.encode(routes))
    command = [sys.executable, "-m", "cli.devnet.forwarder", str(tmp_path)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    path = tmp_path / SOCKET_NAME
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        rule = Rule("a", "b", delay_ms=5)
        assert ask(path, msgspec.json.encode(Request(rules=(rule,)))).rules == (rule,)
        assert ask(path, b'{"heal": true}').rules == ()
        wrong = b'{"rules": [{"source": "a", "target": "x", "cut": true}]}'
        assert "('a', 'x')" in ask(path, wrong).error
        assert "delay_ms" in ask(path, b'{"rules": [{"source": "a", "delay_ms": -1}]}').error
        assert ask(path, b"\xff{").error
    finally:
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, said) == (0, b"")
    assert not path.exists()


def ask(path: Path, line: bytes) -> Answer:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(DEADLINE_S)
        link.connect(str(path))
        link.sendall(line + b"\n")
        data = b""
        while part := link.recv(65_536):
            data += part
    return msgspec.json.decode(data, type=Answer)
