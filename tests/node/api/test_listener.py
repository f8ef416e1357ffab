"""Connections that never become a request, too many of them, too large ones: real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import uvloop

from cli import async_client
from node.api import listener as listener_module
from node.api import schemas
from node.api.listener import (
    BODIES_BYTES_MAX,
    BODY_BYTES_MAX,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    HEADER_BYTES_MAX,
    REQUEST_SECONDS,
    UNIX_PATH_BYTES_MAX,
    Limits,
    Listener,
    address_of,
)
from node.api.server import admin_app
from node.api.transactions import SUBMISSIONS_MAX
from node.config import ApiSection
from node.metrics import Metrics
from node.vote_guard import Refused
from tests.node.api.harness import DEADLINE_S, Api, Node, open_api, until

QUICK = Limits(request_seconds=0.15, answer_seconds=0.05)
STEADY = Limits(request_seconds=0.5, answer_seconds=0.4)
"""For what must succeed within the time."""
GET = b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/msgpack\r\nContent-Length: "
)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs one coroutine on a fresh loop of either kind; errors that only the loop saw fail."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
        unseen: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
            runner.run(coroutine)
        assert unseen == []

    return run_on_loop


@contextlib.asynccontextmanager
async def connect(
    api: Api, source: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    local = (source, 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port, local_addr=local)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """What comes before the node closes, which it must do in time; a reset is an end too."""
    data = b""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionResetError):
            while part := await reader.read(65_536):
                data += part
    return data


def test_limits_are_those_that_are_published() -> None:
    """The defaults are the documented figures; a wait fits into a request."""
    assert (CONNECTIONS_MAX, REQUEST_SECONDS) == (1_280, 10)
    assert (BODY_BYTES_MAX, HEADER_BYTES_MAX) == (1024 * 1024, 8 * 1024)
    assert Limits() == Limits(CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, REQUEST_SECONDS)
    assert CONNECTIONS_PER_ADDRESS_MAX * 2 == SUBMISSIONS_MAX
    assert CONNECTIONS_PER_ADDRESS_MAX * BODY_BYTES_MAX * 2 == BODIES_BYTES_MAX
    assert ApiSection().connections_per_address_max == CONNECTIONS_PER_ADDRESS_MAX
    assert async_client.CONNECTIONS_MAX <= CONNECTIONS_PER_ADDRESS_MAX
    assert schemas.WAIT_MS_MAX < REQUEST_SECONDS * 1_000


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET /v1/status HTTP/1.1\r\nHost: local",
        b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n",
        POST + b"1000\r\n\r\n",
        POST + b"1000\r\n\r\n" + bytes(10),
        POST + b"99999999\r\n\r\n",
        POST[:-16] + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        GET + b"GET /v1/st",
        GET + POST + b"1000\r\n\r\n" + bytes(10),
    ],
    ids=[
        "nothing",
        "one byte",
        "half a header",
        "headers without end",
        "no body",
        "half a body",
        "a body that is too large",
        "half a chunk",
        "a request and a half",
        "a request and half a body",
    ],
)
def test_request_that_never_becomes_whole_is_cut(run: Run, sent: bytes) -> None:
    """Sends a part of a request and waits: the node closes the connection."""

    async def scenario() -> None:
        async with open_api(limits=QUICK) as api, connect(api) as (reader, writer):
            writer.write(sent)
            await read_to_end(reader)
            await until(lambda: api.listener.connections == 0, "no connection is left")

    run(scenario())


def test_dripping_does_not_extend_the_time(run: Run) -> None:
    """Sends a byte of an endless header again and again: the connection is cut all the same."""

    async def scenario() -> None:
        async with open_api(limits=QUICK) as api, connect(api) as (reader, writer):
            writer.write(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: ")

            async def drip() -> None:
                # uvloop says RuntimeError where it was cut between the look and the write.
                with contextlib.suppress(ConnectionError, RuntimeError):
                    while not reader.at_eof():
                        writer.write(b"a")
                        await writer.drain()
                        await asyncio.sleep(0.01)

            async with asyncio.TaskGroup() as group:
                group.create_task(drip())
                await read_to_end(reader)

    run(scenario())


def test_whoever_does_not_read_is_cut(run: Run) -> None:
    """Asks for far more than the buffers hold and reads nothing: the connection is cut."""

    async def scenario() -> None:
        async with open_api(limits=QUICK) as api, connect(api) as (_reader, writer):
            transport: Any = writer.transport
            transport.pause_reading()
            request = b"GET /v1/issuers HTTP/1.1\r\nHost: localhost\r\n\r\n"

            async def ask() -> None:
                with contextlib.suppress(ConnectionError):
                    while api.listener.connections:
                        writer.write(request * 100)
                        async with asyncio.timeout(DEADLINE_S):
                            await writer.drain()

            async with asyncio.TaskGroup() as group:
                task = group.create_task(ask())
                await until(lambda: api.listener.connections == 0, "the connection is cut")
                task.cancel()

    run(scenario())


def test_slow_handler_answers_before_the_cut(run: Run) -> None:
    """Holds a submission longer than a request may last: 503 with a code, then all is well."""

    async def scenario() -> None:
        async with open_api(limits=STEADY) as api:
            api.node.hold = asyncio.Event()
            tx = api.node.world.transfer("alice", "bob")
            reply = await api.ask("/transactions", tx.raw)
            assert (reply.status, reply.code) == (503, "deadline")
            api.node.hold = None
            assert (await api.ask("/transactions", tx.raw)).status == 202

    run(scenario())


def test_connection_lives_as_long_as_it_is_used(run: Run) -> None:
    """Asks in sequence on one connection for twice its time: it is never cut between."""

    async def scenario() -> None:
        async with open_api(limits=STEADY) as api, connect(api) as (reader, writer):
            clock = asyncio.get_running_loop().time
            end = clock() + 2 * STEADY.request_seconds
            while clock() < end:
                writer.write(GET)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                (size,) = [
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ]
                await reader.readexactly(size)
            await read_to_end(reader)

    run(scenario())


def test_connections_are_bounded(run: Run) -> None:
    """Opens one more than allowed: it hears 503 at once; when one leaves there is room again."""

    async def scenario() -> None:
        async with (
            open_api(limits=Limits(connections_max=2)) as api,
            connect(api),
            connect(api) as (_, second),
        ):
            await until(lambda: api.listener.connections == 2, "two are open")
            async with connect(api) as (reader, _writer):
                answer = await read_to_end(reader)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1\r\n" in answer
            assert api.listener.refused == 1
            second.close()
            await until(lambda: api.listener.connections == 1, "one is left")
            async with connect(api) as (reader, writer):
                writer.write(GET)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    run(scenario())


def test_one_address_has_a_share(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 127.0.0.1 and 127.0.0.2 were other machines: one opens more than its share and hears
    429 while the other is served; when one of its own leaves there is room again."""
    monkeypatch.setattr(
        listener_module, "address_of", lambda transport: transport.get_extra_info("peername")[0]
    )

    async def scenario() -> None:
        async with (
            open_api(limits=Limits(connections_per_address_max=2)) as api,
            connect(api),
            connect(api) as (_, second),
        ):
            await until(lambda: api.listener.connections == 2, "two are open")
            async with connect(api) as (reader, _writer):
                answer = await read_to_end(reader)
            assert answer.startswith(b"HTTP/1.1 429 ")
            assert b"Retry-After: 1\r\n" in answer
            assert (api.listener.refused, api.listener.connections) == (1, 2)
            async with connect(api, "127.0.0.2") as (reader, writer):
                writer.write(GET)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            second.close()
            await until(lambda: api.listener.connections == 1, "one is left")
            async with connect(api) as (reader, writer):
                writer.write(GET)
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await until(lambda: api.listener.connections == 1, "it is gone")
        await until(lambda: not api.listener._by_address, "no address is remembered")

    run(scenario())


def test_this_machine_has_no_share(run: Run) -> None:
    """From loopback, where proxies and a devnet's clients are: more than the share are served."""

    async def scenario() -> None:
        limits = Limits(connections_per_address_max=1)
        async with open_api(limits=limits) as api, connect(api), connect(api) as (reader, writer):
            writer.write(GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            assert api.listener.connections == 2

    run(scenario())


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("127.0.0.1", 5), ""),
        (("127.9.9.9", 5), ""),
        (("::1", 5, 0, 0), ""),
        (("::ffff:127.0.0.1", 5, 0, 0), ""),
        ("", ""),
        (None, ""),
        (("192.0.2.7", 5), "192.0.2.7"),
        (("::ffff:192.0.2.7", 5, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3::4", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
    ],
)
def test_an_address_is_what_one_owner_has(peer: object, address: str) -> None:
    """This machine is not counted, an IPv4 address alone, an IPv6 address with its network."""
    transport = SimpleNamespace(get_extra_info=lambda name: peer)
    assert address_of(transport) == address


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400, b"bad_request"),
        (b"HELLO\r\n\r\n", 400, b"bad_request"),
        (b"GET /v1/status HTTP/1.1\r\nno colon\r\n\r\n", 400, b"bad_request"),
        (b"GET /v1/status HTTP/1.0\r\n\r\n", 421, b"host_not_allowed"),
        (
            b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            b"bad_request",
        ),
        (
            b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9_000 + b"\r\n\r\n",
            431,
            b"headers_too_large",
        ),
        (
            b"GET /v1/status?" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            431,
            b"headers_too_large",
        ),
    ],
    ids=["TLS", "no HTTP", "no colon", "no host", "smuggling", "long header", "long line"],
)
def test_what_is_not_our_http_gets_a_problem(
    run: Run, request_bytes: bytes, status: int, code: bytes
) -> None:
    """Sends bytes that are not HTTP, or too much of it: a problem in our shape, never a 500."""

    async def scenario() -> None:
        async with open_api(limits=QUICK) as api, connect(api) as (reader, writer):
            writer.write(request_bytes)
            answer = await read_to_end(reader)
            assert answer.startswith(b"HTTP/1.%d %d " % (answer[7] - 48, status)), answer
            assert b'"code":"' + code + b'"' in answer
            assert (await api.ask("/status")).status == 200

    run(scenario())


def test_client_that_leaves_in_the_middle_is_no_fault(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Closes after half a body and after a long question: nothing is logged as an error."""

    async def scenario() -> None:
        async with open_api() as api:
            async with connect(api) as (_, writer):
                writer.write(POST + b"1000\r\n\r\n" + bytes(10))
                await writer.drain()
                await until(lambda: api.listener.connections == 1, "it is there")
            await until(lambda: api.listener.connections == 0, "it is gone")

    run(scenario())
    assert [item for item in caplog.records if item.levelname in ("ERROR", "CRITICAL")] == []


def admin_listener(
    node: Node,
    on_shutdown: Callable[[], None] = lambda: None,
    on_recover: Callable[[], None] = lambda: None,
) -> Listener:
    return Listener(admin_app(node.services, Metrics(), on_shutdown, on_recover))


def refuse(asked: list[str]) -> None:
    """A guard that can be recovered once."""
    if "recover" in asked:
        raise Refused("this node votes already")
    asked.append("recover")


async def test_listener_keeps_to_this_machine() -> None:
    """Binds an address that others reach: refused without `public`, before anything listens."""
    listener = admin_listener(Node())
    with pytest.raises(OSError, match="'public'"):
        await listener.start_tcp("0.0.0.0", 0)
    await listener.close()


async def test_port_in_use_is_an_error_of_this_machine() -> None:
    """Binds a port twice: OSError, for the composition root to turn into a sentence."""
    async with open_api() as api:
        second = admin_listener(api.node)
        with pytest.raises(OSError, match="in use"):
            await second.start_tcp("127.0.0.1", api.port)
        await second.close()


async def test_admin_socket_is_the_owners_alone(tmp_path: Path) -> None:
    """Opens the socket over a stale one: rights 0600, every order works, it goes away."""
    path, asked = tmp_path / "admin.sock", []
    path.write_bytes(b"left by a process that died")
    listener = admin_listener(Node(), lambda: asked.append("shutdown"), lambda: refuse(asked))
    await listener.start_unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession(connector=connector, base_url="http://node/") as session:
        async with session.get("status") as response:
            assert (await response.json())["node"]["name"] == "val0"
        async with session.get("shutdown") as response:
            assert response.status == 405
        assert asked == []
        for order, status in (("recover", 202), ("recover", 409), ("shutdown", 202)):
            async with session.post(order) as response:
                assert response.status == status
    assert asked == ["recover", "shutdown"]
    await listener.close()
    assert not path.exists()


async def test_admin_path_that_is_too_long_is_a_sentence(tmp_path: Path) -> None:
    """Asks for a path longer than a socket may have: OSError that says what to do."""
    listener = admin_listener(Node())
    with pytest.raises(OSError, match="use a shorter directory"):
        await listener.start_unix(tmp_path / ("x" * UNIX_PATH_BYTES_MAX))
    await listener.close()


async def test_close_lets_a_running_request_end() -> None:
    """Closes while a submission is inside: it still gets its answer, later ones no connection."""
    async with open_api() as api:
        api.node.hold = asyncio.Event()
        tx = api.node.world.transfer("alice", "bob")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(api.ask("/transactions", tx.raw))
            await until(lambda: api.node.held == 1, "the request is inside")
            closing = group.create_task(api.listener.close())
            api.node.hold.set()
            await closing
        assert running.result().status == 202
        with pytest.raises(aiohttp.ClientConnectorError):
            await api.ask("/status")
