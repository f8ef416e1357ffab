"""Events through both clients: whole heights, once each, whatever breaks; and strange servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from socketserver import BaseRequestHandler

import pytest

from cli import events
from cli.async_client import AsyncClient
from cli.client import ApiProblem, Client, ClientError, Unreachable
from cli.events import Event, Parser
from node.api.event_schemas import Gap, ObjectEvent, Topic, TransactionEvent
from node.api.schemas import BlockSummary
from tests.cli.test_client import handling, scripted, serving
from tests.node.api.harness import DEADLINE_S

BLOCK = (
    b'{"height":%d,"hash":"' + b"ab" * 32 + b'","time_ms":1,"time":"t","proposer":"p",'
    b'"transactions":0,"view":0,"signers":[]}'
)
SENT = b'{"txid":"' + b"cd" * 32 + b'","height":%d,"index":0,"locks":[]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

Take = Callable[[str, Sequence[Topic], int | None, int], list[Event]]


def take(url: str, topics: Sequence[Topic], after: int | None, count: int) -> list[Event]:
    with Client(url) as client:
        return list(islice(client.events(topics, after=after), count))


def take_async(url: str, topics: Sequence[Topic], after: int | None, count: int) -> list[Event]:
    async def run() -> list[Event]:
        found: list[Event] = []
        async with AsyncClient(url) as client, asyncio.timeout(DEADLINE_S):
            stream = client.events(topics, after=after)
            async for event in stream:
                found.append(event)
                if len(found) == count:
                    break
            await stream.aclose()  # type: ignore[attr-defined]
        return found

    return asyncio.run(run())


both = pytest.mark.parametrize("take", [take, take_async])


def block_event(height: int) -> bytes:
    return b"event: block\nid: %d\ndata: %b\n\n" % (height, BLOCK % height)


def sent_event(height: int) -> bytes:
    return b"event: transaction\ndata: %b\n\n" % (SENT % height)


@contextmanager
def streams(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives each connection the next answer and closes it, and what it was asked."""
    asked: list[bytes] = []
    left = list(answers)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.request.recv(65_536).split(b"\r\n")[0])
            if left:
                self.request.sendall(left.pop(0))

    with handling(Handler) as url:
        yield url, asked


@both
def test_a_node_is_listened_to(take: Take) -> None:
    """Past blocks of a real node, typed: transactions and objects before their block."""
    with serving() as served:
        tx = served.node.world.transfer("alice", "bob")
        served.call(lambda: served.node.decide([tx]))
        served.call(lambda: served.node.decide([]))
        found = take(served.url, ("blocks", "transactions"), 0, 3)
        objects = take(served.url, ("objects",), 0, 2)
    assert [(item.name, item.height) for item in found] == [
        ("transaction", 1),
        ("block", 1),
        ("block", 2),
    ]
    first, second, _ = [item.value for item in found]
    assert isinstance(first, TransactionEvent)
    assert first.txid == tx.txid.hex()
    assert isinstance(second, BlockSummary)
    assert second.transactions == 1
    assert all(isinstance(item.value, ObjectEvent) for item in objects)


@both
def test_a_broken_stream_is_taken_up_without_a_hole_or_a_repetition(take: Take) -> None:
    """It breaks in the midst of a height, after its first half was sent: that half is told once,
    with the other, after the next stream began above the last whole height."""
    quick = HEAD + b"retry: 1\nid: 4\n\n"
    with streams(
        quick + block_event(5) + sent_event(6) + b"event: blo",
        quick + sent_event(6) + block_event(6),
    ) as (url, asked):
        found = take(url, ("blocks", "transactions"), 4, 3)
    assert [(item.name, item.height) for item in found] == [
        ("block", 5),
        ("transaction", 6),
        ("block", 6),
    ]
    assert [line.split()[1] for line in asked] == [
        b"/v1/events?topics=blocks,transactions&after=4",
        b"/v1/events?topics=blocks,transactions&after=5",
    ]


@both
def test_a_stream_without_events_goes_on_where_it_began(take: Take) -> None:
    """The first words say where the node stood: nothing that came meanwhile is lost."""
    with streams(
        HEAD + b"retry: 1\nid: 7\n\n", b"", HEAD + b": heartbeat\nid: 9\n\n", HEAD + block_event(10)
    ) as (url, asked):
        found = take(url, ("blocks",), None, 1)
    assert [item.height for item in found] == [10]
    assert [line.split()[1].partition(b"topics=blocks")[2] for line in asked] == [
        b"",
        b"&after=7",
        b"&after=7",
        b"&after=9",
    ]


@both
def test_a_gap_is_an_event(take: Take) -> None:
    gap = b'event: gap\nid: 90\ndata: {"from":5,"to":90}\n\n'
    with streams(HEAD + gap + block_event(91)) as (url, _):
        found = take(url, ("blocks",), 4, 2)
    assert found[0] == Event("gap", 90, Gap(first=5, last=90))
    assert found[1].height == 91


@both
def test_a_refusal_ends_it(take: Take) -> None:
    with serving() as served, pytest.raises(ApiProblem) as caught:
        take(served.url, ("nothing",), None, 1)  # type: ignore[arg-type]
    assert caught.value.code == "bad_request"


@both
def test_a_busy_node_is_asked_again(take: Take) -> None:
    """It is full, says when to come, and then tells."""
    body = b'{"type":"t","title":"t","status":429,"code":"busy","detail":"d","hint":"h"}'
    busy = b"HTTP/1.1 429 X\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with streams(HEAD + b"retry: 1\nid: 1\n\n", busy, HEAD + block_event(2)) as (url, asked):
        assert [item.height for item in take(url, ("blocks",), None, 1)] == [2]
    assert len(asked) == 3


@both
def test_nobody_there_is_unreachable_at_once_and_after_a_while(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that never answered; and one that told something and then went for good."""
    monkeypatch.setattr(events, "PATIENCE_S", 0.05)
    with streams() as (url, _), pytest.raises(Unreachable):
        take(url, ("blocks",), None, 1)
    with pytest.raises(Unreachable):
        take(url, ("blocks",), None, 1)
    with streams(HEAD + b"retry: 10\nid: 1\n\n") as (url, asked):
        with pytest.raises(Unreachable):
            take(url, ("blocks",), None, 1)
        assert len(asked) > 1


@both
@pytest.mark.parametrize(
    "said",
    [
        b"event: block\nid: 5\ndata: {}\n\n",
        b"event: block\nid: x\ndata: %b\n\n" % (BLOCK % 5),
        b"event: block\nid: -5\ndata: %b\n\n" % (BLOCK % 5),
        b"event: block\nid: 5\n\n",
        b"retry: soon\n\n",
        b"x" * (events.LINE_BYTES_MAX + 100_000),
    ],
    ids=["no block", "no height", "negative", "no data", "no number", "no end"],
)
def test_a_foreign_stream_is_an_unexpected_answer(take: Take, said: bytes) -> None:
    with streams(HEAD + said) as (url, _), pytest.raises(ApiProblem) as caught:
        take(url, ("blocks",), None, 1)
    assert caught.value.code == "unexpected_answer"


@both
def test_a_server_that_is_no_node_is_an_error(take: Take) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    with scripted(answer) as url, pytest.raises(ClientError):
        take(url, ("blocks",), None, 1)


def test_a_silent_stream_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No heartbeat for too long counts as a break: both come again."""
    monkeypatch.setattr(events, "SILENCE_S", 0.1)
    monkeypatch.setattr(events, "RETRY_S", 0.01)
    with serving() as served:
        served.call(lambda: served.node.decide([]))
        for way in (take, take_async):
            thread = threading.Timer(0.4, served.call, (lambda: served.node.decide([]),))
            tip = served.node.chain.height
            thread.start()
            assert [x.height for x in way(served.url, ("blocks",), tip, 1)] == [tip + 1]
            thread.join()


def test_the_parser_reads_bytes_in_any_cut() -> None:
    """Cut at every byte, and one byte at a time: the same events."""
    text = (
        b": hello\nretry: 5\nid: 1\n\n"
        + sent_event(2)
        + block_event(2)
        + b"event: unheard\ndata: of\n\n"
        + b"id: 3\n\n: heartbeat\n\n"
        + block_event(4)
    )
    whole = Parser(None)
    expected = whole.feed(text)
    assert [(item.name, item.height) for item in expected] == [
        ("transaction", 2),
        ("block", 2),
        ("block", 4),
    ]
    assert (whole.last, whole.retry_s) == (4, 0.005)
    for cut in range(len(text)):
        parser = Parser(None)
        assert parser.feed(text[:cut]) + parser.feed(text[cut:]) == expected
    slow = Parser(None)
    assert [event for byte in text for event in slow.feed(bytes([byte]))] == expected


def test_the_parser_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that no id ends, and a wait of days that a server asks for."""
    monkeypatch.setattr(events, "HEIGHT_EVENTS_MAX", 10)
    with pytest.raises(ApiProblem):
        Parser(None).feed(sent_event(1) * 12)
    parser = Parser(None)
    parser.feed(b"retry: 999999999\n\n")
    assert parser.retry_s == events.RETRY_S_MAX
