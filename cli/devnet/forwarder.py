"""The links of a devnet, led through one process that can cut, delay and narrow each of them.

A node that dials another one reaches a port of this process, one for each pair and direction of
dialling, and its bytes are passed on. What is asked for is a rule for each *way*: from one node to
another, whoever dialled. Bytes are never dropped, since links are TLS: a way that is cut holds them
back, as the retransmissions of TCP would, and a connection made meanwhile waits as a lost SYN does.
An end of a connection travels like its bytes: who is cut off does not hear that the other died.

Rules come over a Unix socket in its directory, one JSON line each, and are forgotten when it ends.
It ends with the devnet. It costs about as much processor as the links themselves do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import msgspec
import uvloop

from cli.devnet.links import REQUEST_S, ROUTES_NAME, SOCKET_NAME, Answer, Request, Route, Rule
from node.supervise import Services

SOCKET_MODE = 0o600
HOST = "127.0.0.1"
READ_BYTES = 16 * 1024
CHUNKS_MAX = 256
"""Held back on one way of one connection, 4 MiB: then its sender is not read any more."""
CONNECTIONS_A_ROUTE_MAX = 16
"""Of one node to another. A node holds one link and dials once more at a time; those it gave up
during a cut are still here until the way is open."""
REQUEST_BYTES_MAX = 1 << 20
"""Of one line of the control socket: far above a rule for each of 182 ways."""
FLUSH_S = 1.0
"""For the last bytes to somebody who does not read."""


@dataclass
class Way:
    """From one node to another: the rule, and who waits for it to change."""

    rule: Rule
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, rule: Rule) -> None:
        self.rule = rule
        if rule.cut:
            self.open.clear()
        else:
            self.open.set()


class _Ended(Exception):
    """A connection is over."""


class Forwarder:
    """All links of one devnet. Runs on one event loop; `run` ends it."""

    def __init__(self) -> None:
        self._ways: dict[tuple[str, str], Way] = {}
        self._servers: dict[Route, asyncio.Server] = {}
        self._open: dict[Route, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        return sum(self._open.values())

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Of the ways that are not plain."""
        return tuple(way.rule for way in self._ways.values() if not way.rule.is_plain)

    async def listen(self, routes: Iterable[Route]) -> None:
        """Serve these and no others; what is served already goes on. Raises OSError for a port that
        is taken: what comes before it is served."""
        routes = list(routes)
        for route in self._servers.keys() - set(routes):  # a node that came later has its port
            self._servers.pop(route).close()
        pairs = {frozenset((route.source, route.target)) for route in routes}
        self._ways = {pair: way for pair, way in self._ways.items() if frozenset(pair) in pairs}
        for route in routes:
            if route in self._servers:
                continue
            for source, target in ((route.source, route.target), (route.target, route.source)):
                way = self._ways.setdefault((source, target), Way(Rule(source, target)))
                way.set(way.rule)

            async def accept(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: Route = route
            ) -> None:
                task = asyncio.current_task()
                assert task is not None
                self._tasks.add(task)
                try:
                    await self._accept(route, reader, writer)
                except asyncio.CancelledError:
                    pass  # by `close` alone, and this is the whole task
                finally:
                    self._tasks.discard(task)

            self._servers[route] = await asyncio.start_server(
                accept, HOST, route.port, limit=READ_BYTES, reuse_address=True
            )

    def apply(self, request: Request) -> None:
        """Raises KeyError for a way that there is not; then nothing was changed."""
        ways = [(self._ways[rule.source, rule.target], rule) for rule in request.rules]
        if request.heal:
            for way in self._ways.values():
                way.set(Rule(way.rule.source, way.rule.target))
        for way, rule in ways:
            way.set(rule)

    async def close(self) -> None:
        """End every connection, whatever its rules."""
        for server in self._servers.values():
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)

    async def _accept(
        self, route: Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        count = self._open.get(route, 0)
        self._open[route] = count + 1
        try:
            if count < CONNECTIONS_A_ROUTE_MAX:
                await self._connect(route, reader, writer)
        finally:
            self._open[route] -= 1
            await _close(writer)

    async def _connect(
        self, route: Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Dial the target once both ways are open, then carry bytes until one side ends."""
        there = self._ways[route.source, route.target]
        back = self._ways[route.target, route.source]
        await there.open.wait()
        await back.open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(
                HOST, route.to_port, limit=READ_BYTES
            )
        except OSError:  # the node is down: its dialler sees a close, and dials again
            return
        try:
            async with asyncio.TaskGroup() as group:
                services = Services(group)
                for way, source, sink in (
                    (there, reader, far_writer),
                    (back, far_reader, writer),
                ):
                    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
                    services.spawn("take", _take(way, source, held))
                    services.spawn("give", _give(way, sink, held))
        except* _Ended:
            pass
        finally:
            await _close(far_writer)


async def _take(
    way: Way, source: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]
) -> None:
    """Read, and note when it is due. The end is an empty part."""
    clock = asyncio.get_running_loop().time
    while True:
        try:
            data = await source.read(READ_BYTES)
        except OSError:
            data = b""
        await held.put((clock() + way.rule.delay_ms / 1_000, data))
        if not data:
            return


async def _give(
    way: Way, sink: asyncio.StreamWriter, held: asyncio.Queue[tuple[float, bytes]]
) -> None:
    """Pass on what is due while the way is open; raises _Ended at the end."""
    clock = asyncio.get_running_loop().time
    while True:
        due, data = await held.get()
        if due > clock():
            await asyncio.sleep(due - clock())
        await way.open.wait()
        if not data:
            sink.close()  # what was passed on before is still written: a refusal and its close
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await sink.wait_closed()
            raise _Ended
        try:
            sink.write(data)
            await sink.drain()
        except OSError:
            raise _Ended from None
        if way.rule.rate:
            await asyncio.sleep(len(data) / way.rule.rate)


async def _close(writer: asyncio.StreamWriter) -> None:
    """At once: what was to be flushed was."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# The process.


async def serve(directory: Path) -> None:
    """Forward and answer on the control socket until SIGTERM. `directory` is where this process
    is: the path of a socket may have some 100 bytes only."""
    forwarder = Forwarder()
    await forwarder.listen(_routes(directory))

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(REQUEST_S):
                line = await reader.readline()
                writer.write(msgspec.json.encode(await _answer(forwarder, directory, line)))
                await writer.drain()
        writer.close()

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    path = directory / SOCKET_NAME
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(control, SOCKET_NAME, limit=REQUEST_BYTES_MAX)
    path.chmod(SOCKET_MODE)
    await ended.wait()
    server.close()
    await forwarder.close()
    path.unlink(missing_ok=True)


async def _answer(forwarder: Forwarder, directory: Path, line: bytes) -> Answer:
    error = ""
    try:
        request = msgspec.json.decode(line, type=Request)
        if request.reload:
            await forwarder.listen(_routes(directory))
        forwarder.apply(request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        error = str(wrong)
    except KeyError as wrong:
        error = f"there is no way {wrong}"
    except OSError as wrong:
        error = wrong.strerror or str(wrong)
    return Answer(forwarder.rules, forwarder.connections, error)


def _routes(directory: Path) -> list[Route]:
    return msgspec.json.decode((directory / ROUTES_NAME).read_bytes(), type=list[Route])


def main() -> NoReturn:
    """`python -m cli.devnet.forwarder DIRECTORY`"""
    directory = Path(sys.argv[1])
    os.chdir(directory)
    os.umask(0o077)
    uvloop.run(serve(directory))
    sys.exit(0)


if __name__ == "__main__":
    main()
