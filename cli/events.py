"""The events of a node, without a hole: streams that come again after whatever broke them.

Events of one height are held back until the height is told whole, so that a stream which broke in
its midst repeats none. What a node cannot tell any more comes as a `Gap`: whoever follows a state
reads it anew then. Both iterators go on for ever, and end with a ClientError when the node was away
for `PATIENCE_S`, or refused.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlencode, urlsplit

from cli.client_errors import UNEXPECTED, ApiProblem, Unreachable, read_answer, read_problem
from node.api.event_schemas import Gap, ObjectEvent, OrderEvent, Topic, TransactionEvent
from node.api.schemas import BlockSummary

if TYPE_CHECKING:
    import aiohttp

SILENCE_S = 45.0
"""Three heartbeats: a stream that says nothing for so long is dead."""
PATIENCE_S = 60.0
RETRY_S = 2.0
"""Until the node says how long."""
RETRY_S_MAX = 60.0
LINE_BYTES_MAX = 1024 * 1024
HEIGHT_EVENTS_MAX = 100_000
"""Of one height; a block has fewer transactions and changes fewer objects. Bounds a foreign
server."""
PROBLEM_BYTES_MAX = 64 * 1024
READ_BYTES = 64 * 1024

Told: TypeAlias = BlockSummary | TransactionEvent | OrderEvent | ObjectEvent | Gap
_KINDS: dict[bytes, type[Told]] = {
    b"block": BlockSummary,
    b"transaction": TransactionEvent,
    b"order": OrderEvent,
    b"object": ObjectEvent,
    b"gap": Gap,
}


@dataclass(frozen=True, slots=True)
class Event:
    """`height` is that of the block; of a gap the last height that is told of no more."""

    name: str
    height: int
    value: Told


class Parser:
    """Bytes of a stream in, events of whole heights out. One for all streams of an iterator."""

    def __init__(self, after: int | None) -> None:
        self.last = after
        """Everything up to this height was told; None before the first word of a node."""
        self.retry_s = RETRY_S
        self._rest = b""
        self._fields: dict[bytes, bytes] = {}
        self._held: list[tuple[str, Told]] = []

    def begin(self) -> None:
        """Another stream: what was told of a height by halves is told again."""
        self._rest, self._fields, self._held = b"", {}, []

    def feed(self, data: bytes) -> list[Event]:
        """Raises ApiProblem for what no node says."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = [event for line in lines for event in self._line(line)]
        if len(self._rest) > LINE_BYTES_MAX or len(self._held) > HEIGHT_EVENTS_MAX:
            raise _strange("an event without end")
        return found

    def _line(self, line: bytes) -> list[Event]:
        if line:
            name, _, value = line.partition(b":")
            if name:  # else it is a comment
                self._fields[name] = value.removeprefix(b" ")
            return []
        fields, self._fields = self._fields, {}
        if b"retry" in fields:
            self.retry_s = min(_number(fields[b"retry"]) / 1_000, RETRY_S_MAX)
        kind = _KINDS.get(fields.get(b"event", b""))
        if kind is not None:
            told = read_answer(fields.get(b"data", b""), kind)
            self._held.append((fields[b"event"].decode("ascii"), told))
        if b"id" not in fields:
            return []
        self.last = _number(fields[b"id"])
        held, self._held = self._held, []
        return [Event(name, self.last, told) for name, told in held]


def listen(url: str, topics: Sequence[Topic], after: int | None) -> Iterator[Event]:
    """On the standard library; blocks until there is something."""
    parser, away_since = Parser(after), None
    while True:
        try:
            for event in _stream(url, topics, parser):
                away_since = None
                if event is not None:
                    yield event
        except (OSError, http.client.HTTPException) as error:
            away_since = away_since or time.monotonic()
            _check_patience(url, away_since, parser, error)
        except ApiProblem as problem:
            away_since = away_since or time.monotonic()
            _check_problem(problem, away_since)
        time.sleep(parser.retry_s)


def _stream(url: str, topics: Sequence[Topic], parser: Parser) -> Iterator[Event | None]:
    """One stream until it ends; None for a sign of life."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=SILENCE_S)
    try:
        target = parts.path.rstrip("/") + _target(topics, parser)
        connection.request("GET", target, headers={"Accept": "text/event-stream"})
        response = connection.getresponse()
    except BaseException:
        connection.close()
        raise
    with closing(connection), closing(response):
        if response.status != http.client.OK:
            data = response.read(PROBLEM_BYTES_MAX)
            raise read_problem(response.status, data, response.headers.get("Retry-After", ""))
        parser.begin()
        while data := response.read1(READ_BYTES):
            yield None
            yield from parser.feed(data)


async def listen_async(
    session: aiohttp.ClientSession, url: str, topics: Sequence[Topic], after: int | None
) -> AsyncIterator[Event]:
    """The same over aiohttp."""
    import asyncio

    import aiohttp

    parser, away_since = Parser(after), None
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    while True:
        try:
            target = url.rstrip("/") + _target(topics, parser)
            async with session.get(target, timeout=timeout, allow_redirects=False) as response:
                if response.status != http.client.OK:
                    data = await response.content.read(PROBLEM_BYTES_MAX)
                    retry_after = response.headers.get("Retry-After", "")
                    raise read_problem(response.status, data, retry_after)
                parser.begin()
                async for data in response.content.iter_any():
                    away_since = None
                    for event in parser.feed(data):
                        yield event
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            away_since = away_since or time.monotonic()
            _check_patience(url, away_since, parser, error)
        except ApiProblem as problem:
            away_since = away_since or time.monotonic()
            _check_problem(problem, away_since)
        await asyncio.sleep(parser.retry_s)


def _target(topics: Sequence[Topic], parser: Parser) -> str:
    query = {"topics": ",".join(topics)}
    if parser.last is not None:
        query["after"] = str(parser.last)
    return f"/v1/events?{urlencode(query, safe=',')}"


def _check_patience(url: str, since_s: float, parser: Parser, error: Exception) -> None:
    """A node that never answered is not waited for; one that did may be starting again."""
    if parser.last is None or time.monotonic() - since_s > PATIENCE_S:
        raise Unreachable(url, str(error) or type(error).__name__) from None


def _check_problem(problem: ApiProblem, since_s: float) -> None:
    """Only a node that asks for patience gets it."""
    if not problem.retry_after_s or time.monotonic() - since_s > PATIENCE_S:
        raise problem


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise _strange(f"{text[:20]!r} is no number")
    return int(text)


def _strange(what: str) -> ApiProblem:
    return ApiProblem(http.client.OK, UNEXPECTED, what)
