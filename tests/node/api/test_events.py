"""The stream of events: what it tells, where it goes on, and what listeners cost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest

from ledger.kv import StorageError
from ledger.objects import LedgerClock
from node import events as listeners
from node.api import events, schemas
from node.api.event_schemas import Gap, ObjectEvent, OrderEvent, TransactionEvent
from node.api.listener import CONNECTIONS_MAX, Limits
from node.api.object_names import OBJECT_NAMES
from node.api.schemas import Page
from tests.ledger.world import COIN, lock_of
from tests.node.api.harness import DEADLINE_S, Api, Node, RedeemingNode, open_api, until
from tests.test_wire_types import wire_structs


class Event(NamedTuple):
    """`name` is empty for an id without an event, and for a comment, which is then the data."""

    name: str
    id: str | None
    data: bytes

    def read(self, cls: type[Any]) -> Any:
        return msgspec.json.decode(self.data, type=cls)


@contextlib.asynccontextmanager
async def listen(api: Api, query: str = "", last: int | None = None) -> AsyncIterator[Stream]:
    """A stream after its first words."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    suffix = f"?{query}" if query else ""
    async with api.session.get(f"{api.url}/v1/events{suffix}", headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Server"] == "marsa"
        stream = Stream(response)
        first = await stream.next()
        assert first.data == b"2000"
        yield stream


class Stream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> Event:
        """The next event; `name` is `retry` for the first words."""
        name, number, data = "", None, b""
        async with asyncio.timeout(DEADLINE_S):
            while line := (await self._response.content.readline()).removesuffix(b"\n"):
                field, _, value = line.partition(b": ")
                match field:
                    case b"event":
                        name = value.decode()
                    case b"id":
                        number = value.decode()
                    case b"data" | b"" | b"retry":
                        data = value
                    case _:
                        raise AssertionError(line)
        return Event(name, number, data)

    async def some(self, count: int) -> list[Event]:
        return [await self.next() for _ in range(count)]

    async def block(self) -> Event:
        """The next one that is no heartbeat."""
        while (event := await self.next()).name != "block":
            assert event.data == b"heartbeat"
        return event

    async def at_end(self) -> bool:
        async with asyncio.timeout(DEADLINE_S):
            return await self._response.content.read() == b""


async def test_a_block_event_is_an_item_of_the_list() -> None:
    """Two blocks while a stream is open: told in order, with the heights as ids."""
    async with open_api() as api, listen(api) as stream:
        world = api.node.world
        api.node.decide([world.transfer("alice", "bob"), world.mint()])
        api.node.decide([])
        told = await stream.some(2)
        page = await api.read("/blocks", Page[schemas.BlockSummary])
    assert [(item.name, item.id) for item in told] == [("block", "1"), ("block", "2")]
    assert [item.read(schemas.BlockSummary) for item in told] == page.items[1::-1]
    assert page.items[1].transactions == 2


async def test_within_a_height_the_block_is_last_and_has_the_id() -> None:
    """All topics of a block with two transactions: whoever saw the id saw everything."""
    async with open_api() as api:
        world = api.node.world
        sent, minted = world.transfer("alice", "bob"), world.mint()
        async with listen(api, "topics=objects,blocks,transactions,orders") as stream:
            api.node.decide([sent, minted])
            told = []
            while not told or told[-1].name != "block":
                told.append(await stream.next())
    names = [item.name for item in told]
    assert names == sorted(names, key=["object", "transaction", "block"].index)
    assert [item.id for item in told] == [None] * (len(told) - 1) + ["1"]
    first, second = [item.read(TransactionEvent) for item in told if item.name == "transaction"]
    assert (first.txid, first.height, first.index) == (sent.txid.hex(), 1, 0)
    assert (second.txid, second.height, second.index) == (minted.txid.hex(), 1, 1)
    assert set(first.locks) == {lock_of("alice").hex(), lock_of("bob").hex()}
    objects = [item.read(ObjectEvent) for item in told if item.name == "object"]
    assert {item.type for item in objects} >= {"ledger_clock", "reserve", "lane"}
    clock = next(item for item in objects if item.type == "ledger_clock")
    expected = ObjectEvent(
        type="ledger_clock", key=bytes([LedgerClock.TYPE]).hex(), height=1, removed=False
    )
    assert clock == expected


async def test_an_order_is_told_in_each_state() -> None:
    """Asked for, accepted, made ready; removed objects are told as such."""
    node = RedeemingNode()
    async with open_api(node) as api, listen(api, "topics=orders") as stream:
        order = node.order(2 * COIN)
        node.decide([node.world.accepts(order)])
        node.decide([node.world.readies(order)])
        told = await stream.some(6)
    states = ["requested", "accepted", "ready"]
    assert [item.read(OrderEvent) for item in told[::2]] == [
        OrderEvent(id=order.hex(), state=state, height=height)
        for height, state in enumerate(states, start=1)
    ]
    assert [(item.name, item.id) for item in told[1::2]] == [("", "1"), ("", "2"), ("", "3")]


@pytest.mark.parametrize("way", ["header", "after", "header before after"])
async def test_a_stream_goes_on_above_a_height(way: str) -> None:
    """Five blocks, a client that saw two: three and up from the store, then live ones."""
    async with open_api() as api:
        for _ in range(5):
            api.node.decide([])
        query = {"header": "", "after": "after=2", "header before after": "after=0"}[way]
        async with listen(api, query, None if way == "after" else 2) as stream:
            past = await stream.some(3)
            api.node.decide([])
            live = await stream.next()
    assert [item.id for item in past] == ["3", "4", "5"]
    assert live.id == "6"


async def test_transactions_are_told_from_the_store() -> None:
    """The same events for who comes again as for who was there."""
    async with open_api() as api, listen(api, "topics=transactions") as first:
        api.node.decide([api.node.world.transfer("alice", "bob")])
        there = await first.some(2)
        held = api.app[events.ENCODED]._held
        assert len(held) == 1
        held.clear()
        async with listen(api, "topics=transactions&after=0") as second:
            assert await second.some(2) == there
    assert there[0].name == "transaction"
    assert (there[1].name, there[1].id) == ("", "1")


@pytest.mark.parametrize(
    "query",
    [
        "topics=",
        "topics=block",
        "topics=blocks,",
        "topics=blocks,blocks",
        "after=-1",
        "after=x",
        "since=1",
        "after=1&after=2",
    ],
)
async def test_a_wrong_question_is_a_problem(query: str) -> None:
    async with open_api() as api:
        reply = await api.ask(f"/events?{query}")
        assert (reply.status, reply.code) == (400, "bad_request")
        for path, seen in (("/events", "1.5"), ("/events?after=x", "1")):
            bad = await api.ask(path, headers={"Last-Event-ID": seen})
            assert (bad.status, bad.code) == (400, "bad_request")
        assert len(api.node.events) == 0


async def test_too_far_back_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block more than is told: a gap up to the tip, whose id leads on; one less: no gap."""
    monkeypatch.setattr(events, "REPLAY_BLOCKS_MAX", 3)
    async with open_api() as api:
        for _ in range(4):
            api.node.decide([])
        async with listen(api, "after=0") as stream:
            gap = await stream.next()
            api.node.decide([])
            live = await stream.next()
        async with listen(api, "after=2") as stream:
            near = await stream.some(3)
    assert (gap.name, gap.id, gap.read(Gap)) == ("gap", "4", Gap(first=1, last=4))
    assert msgspec.json.decode(gap.data) == {"from": 1, "to": 4}
    assert live.id == "5"
    assert [item.name for item in near] == ["block"] * 3


async def test_more_than_this_node_has_is_a_gap() -> None:
    """A client of a chain that was made anew, or of a node that is ahead: told, then live."""
    async with open_api() as api:
        api.node.decide([])
        async with listen(api, last=9) as stream:
            gap = await stream.next()
            api.node.decide([])
            live = await stream.next()
    assert (gap.id, gap.read(Gap)) == ("1", Gap(first=2, last=9))
    assert (live.name, live.id) == ("block", "2")


async def test_changes_that_are_not_held_are_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are in the store; changes of objects are held of late blocks alone."""
    async with open_api() as api:
        for _ in range(3):
            api.node.decide([])
        monkeypatch.setattr(listeners, "RECENT_BYTES_MAX", 1)
        api.node.decide([])
        assert api.node.events.first_recent == 5
        async with listen(api, "topics=objects&after=3") as stream:
            gap = await stream.next()
        async with listen(api, "topics=blocks&after=3") as stream:
            block = await stream.next()
    assert gap.read(Gap) == Gap(first=4, last=4)
    assert block.name == "block"


async def test_the_changes_that_are_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By blocks and by bytes; what is held is of the last blocks."""
    node = Node()
    monkeypatch.setattr(listeners, "REPLAY_BLOCKS_MAX", 3)
    for _ in range(5):
        node.decide([])
    assert node.events.first_recent == 3
    assert node.events.changes(2) is None
    assert node.events.changes(6) is None
    assert all(node.events.changes(height) for height in (3, 4, 5))


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What goes to all streams, write by write."""
    made: list[bytes] = []
    send = events._Stream._send

    async def note(stream: events._Stream, data: bytes) -> None:
        made.append(data)
        await send(stream, data)

    monkeypatch.setattr(events._Stream, "_send", note)
    return made


async def heights_of(stream: Stream, count: int) -> list[str | None]:
    """Of the next blocks, whatever else is told."""
    found: list[str | None] = []
    while len(found) < count:
        event = await stream.next()
        found += [event.id] if event.name == "block" else []
    return found


async def test_blocks_that_come_fast_are_told_together(
    monkeypatch: pytest.MonkeyPatch, writes: list[bytes]
) -> None:
    """One that comes alone at once; four before the next round begins, which is here when this test
    says so, in one write of it, other topics too."""
    monkeypatch.setattr(listeners, "ROUND_S", 10 * DEADLINE_S)
    async with open_api() as api, listen(api, "topics=blocks,objects") as stream:
        writes.clear()
        api.node.decide([])
        assert await heights_of(stream, 1) == ["1"]
        for _ in range(4):
            api.node.decide([])
            await asyncio.sleep(0)
        api.node.events._may_go_on.set()
        assert await heights_of(stream, 4) == ["2", "3", "4", "5"]
    assert [data.count(b"event: block") for data in writes] == [1, 4]
    assert all(b"event: object" in data for data in writes)


async def test_who_is_far_behind_waits_for_no_round(
    monkeypatch: pytest.MonkeyPatch, writes: list[bytes]
) -> None:
    """Four turns and more of old blocks, in a write each: told without a rest between rounds."""
    monkeypatch.setattr(listeners, "ROUND_S", 10 * DEADLINE_S)
    monkeypatch.setattr(events, "WRITE_BYTES", 1 << 30)
    monkeypatch.setattr(listeners, "BLOCKS_A_TURN", 4)
    monkeypatch.setattr(events, "BLOCKS_A_TURN", 4)
    async with open_api() as api:
        for _ in range(18):
            api.node.decide([])
        async with listen(api, "after=0") as stream:
            told = [(await stream.block()).id for _ in range(16)]
    assert told == [str(height) for height in range(1, 17)]
    assert [data.count(b"event: block") for data in writes][1:] == [4, 4, 4, 4]


@pytest.fixture
def large_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of half a MiB each, so that some fill every buffer between node and client."""
    summary = events.block_summary

    def enlarge(services: Any, height: int) -> schemas.BlockSummary:
        return msgspec.structs.replace(summary(services, height), proposer="x" * 524_288)

    monkeypatch.setattr(events, "block_summary", enlarge)


def connect_deaf(api: Api) -> socket.socket:
    """A stream of which nothing is read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.connect(("127.0.0.1", api.port))
    raw.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    raw.setblocking(False)
    return raw


@pytest.mark.usefixtures("large_events")
async def test_a_slow_client_gets_a_gap_and_costs_no_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reads nothing until the socket is full and many more blocks have come: it is told of the gap,
    and of every height but those, once and in order."""
    monkeypatch.setattr(events, "REPLAY_BLOCKS_MAX", 8)
    monkeypatch.setattr(listeners, "ROUND_S", 0.0)  # or more than these would come between two
    async with open_api() as api:
        raw = connect_deaf(api)
        await until(lambda: len(api.node.events) == 1, "the stream is open")
        (listener,) = api.node.events._listeners
        while api.node.chain.height - listener.height <= 2 * 8:
            api.node.decide([])
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(sock=raw)
        told = b""
        async with asyncio.timeout(DEADLINE_S):
            while b"event: gap" not in told:
                told += await reader.read(65_536)
            api.node.decide([])
            last = b"event: block\nid: %d\n" % api.node.chain.height
            while last not in told:
                told += await reader.read(65_536)
        writer.close()
        tip = api.node.chain.height
    heights = [int(part.split(b"\n")[0]) for part in told.split(b"event: block\nid: ")[1:]]
    gap = msgspec.json.decode(told.split(b"event: gap")[1].split(b"data: ")[1].split(b"\n")[0])
    told_or_skipped = heights + list(range(gap["from"], gap["to"] + 1))
    assert sorted(told_or_skipped) == list(range(1, tip + 1))
    assert heights == sorted(heights)
    assert api.node.events.gaps == 1


@pytest.mark.usefixtures("large_events")
async def test_who_takes_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never reads, and one that does: the first loses its stream."""
    monkeypatch.setattr(events, "STALLED_S", 0.5)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    async with open_api() as api, listen(api, "topics=orders") as reading:
        raw = connect_deaf(api)
        await until(lambda: len(api.node.events) == 2, "both listen")
        for _ in range(20):
            api.node.decide([])
        await until(lambda: len(api.node.events) == 1, "the deaf client is cut")
        assert (await reading.next()).data == b"heartbeat"
        raw.close()


async def test_a_quiet_stream_lives_beyond_the_deadline_of_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten heartbeats of a chain that stands still take longer than a request may; then a block."""
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    limits = Limits(request_seconds=0.2, answer_seconds=0.1)
    async with open_api(limits=limits) as api, listen(api) as stream:
        beats = await stream.some(10)
        api.node.decide([])
        told = await stream.block()
    assert {(item.name, item.id, item.data) for item in beats} == {("", "0", b"heartbeat")}
    assert told.name == "block"


async def test_streams_are_limited_and_a_slot_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are allowed: the third is told to come later, and gets in when one has left."""
    monkeypatch.setattr(events, "SUBSCRIBERS_MAX", 2)
    async with open_api() as api, listen(api):
        async with listen(api):
            full = await api.ask("/events")
        await until(lambda: len(api.node.events) == 1, "the slot is free")
        async with listen(api) as again:
            api.node.decide([])
            assert (await again.next()).id == "1"
    assert (full.status, full.code) == (429, "busy")


async def test_nothing_is_built_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a block is encoded once for three listeners."""
    built = []

    def count(services: Any, height: int) -> schemas.BlockSummary:
        built.append(height)
        return summary(services, height)

    summary = events.block_summary
    monkeypatch.setattr(events, "block_summary", count)
    async with open_api() as api:
        api.node.decide([])
        assert built == []
        async with listen(api) as first, listen(api) as second, listen(api) as third:
            api.node.decide([])
            told = [await stream.next() for stream in (first, second, third)]
    assert built == [2]
    assert len(set(told)) == 1


async def test_what_is_kept_encoded_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less room than two blocks take: who comes later is told the same."""
    monkeypatch.setattr(events, "ENCODED_BYTES_MAX", 400)
    async with open_api() as api:
        for _ in range(6):
            api.node.decide([])
        async with listen(api, "after=0") as stream:
            first = await stream.some(6)
        held = api.app[events.ENCODED]
        assert held._held_bytes == sum(map(len, held._held.values())) <= 400
        async with listen(api, "after=0") as stream:
            assert await stream.some(6) == first


async def test_a_thousand_listeners_are_told() -> None:
    """A thousand streams of one node: every one gets every block; others get answers meanwhile."""
    assert events.SUBSCRIBERS_MAX >= 1_000
    assert events.SUBSCRIBERS_MAX < CONNECTIONS_MAX
    connector = aiohttp.TCPConnector(limit=0)
    async with open_api() as api, contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        api.session, before = session, api.session
        opened = [stack.enter_async_context(listen(api)) for _ in range(1_000)]
        streams = [await one for one in opened]
        for _ in range(3):
            api.node.decide([])
        api.session = before
        assert (await api.ask("/status")).status == 200
        for stream in streams:
            told = [(await stream.block()).id for _ in range(3)]
            assert told == ["1", "2", "3"]


async def test_streams_end_with_the_node() -> None:
    """The end is an end of the body, not of the connection in its midst."""
    async with open_api() as api, listen(api) as stream:
        api.node.decide([])
        assert (await stream.next()).id == "1"
        api.node.events.close()
        assert await stream.at_end()
        await until(lambda: len(api.node.events) == 0, "nobody listens any more")


async def test_storage_that_fails_under_a_stream_stops_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stream ends, and the process is told why."""
    fault = StorageError("the disk is gone")

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(events, "block_summary", fail)
    async with open_api() as api, listen(api) as stream:
        api.node.decide([])
        assert await stream.at_end()
        assert api.node.faults == [fault]


def test_every_kind_of_object_has_a_name() -> None:
    """Whatever is stored under a type byte from 32 on, but genesis, which is none of the state."""
    kinds = {
        cls.TYPE: cls.__name__
        for cls in wire_structs()
        if "TYPE" in vars(cls) and cls.__module__.startswith("ledger") and cls.TYPE >= 32
    }
    assert {number for number, name in kinds.items() if name != "Genesis"} == set(OBJECT_NAMES)
    assert len(set(OBJECT_NAMES.values())) == len(OBJECT_NAMES)
