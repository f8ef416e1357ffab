"""What becomes final, as it does: server-sent events.

Within a height `block` is the last event and the only one with an `id`: whoever comes again with
the id that it saw last gets every event above that height. Without the topic `blocks` an id
without event stands in its place. Each event is encoded once for all who listen.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from ledger import transaction
from ledger.economy.redemption import Redemption
from ledger.kv import StorageError
from ledger.locks import lock_hash
from ledger.objects import decode
from ledger.transaction import SignedTransaction
from node.api.blocks import SLICE_TRANSACTIONS, block_summary
from node.api.event_schemas import (
    TOPICS,
    Gap,
    ObjectEvent,
    OrderEvent,
    Topic,
    Topics,
    TransactionEvent,
)
from node.api.forms import Count
from node.api.listener import ALWAYS, Connection
from node.api.object_names import OBJECT_NAMES
from node.api.problems import ApiCode, ApiError
from node.api.request import DEADLINE, SERVICES, Budget, read_number, read_query
from node.api.routes import EVENT_STREAM, Parameter, get
from node.api.services import Services
from node.events import BLOCKS_A_TURN, REPLAY_BLOCKS_MAX, Listener

SUBSCRIBERS_MAX = 1_024
"""Streams at once, below the number of connections: others get in."""
HEARTBEAT_S = 15.0
"""Without events so long, a comment says that the stream lives."""
STALLED_S = 45.0
"""Who took nothing for so long is cut."""
RETRY_MS = 2_000
"""After which a browser comes again."""
WRITE_BYTES = 64 * 1024
"""Of events, or a little more, that are put together for one write."""
ENCODED_BYTES_MAX = 8 * 1024 * 1024
"""Of events that are kept encoded."""
LAST_EVENT_ID = "Last-Event-ID"

_encoder = msgspec.json.Encoder()


class Encoded:
    """The events of the last blocks as bytes, by height and topic, each encoded once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held: OrderedDict[tuple[int, Topic], bytes] = OrderedDict()
        self._held_bytes = 0
        self._lock = asyncio.Lock()
        self._make: Mapping[Topic, Callable[[int], bytes | None]] = {
            "blocks": self._block,
            "orders": self._orders,
            "objects": self._objects,
        }

    async def get(self, height: int, topic: Topic) -> bytes | None:
        """All events of a topic in a block; None where they are not kept any more."""
        held = self._held.get((height, topic))
        if held is not None:
            return held
        if topic in self._make:
            return self._hold(height, topic, self._make[topic](height))
        async with self._lock:  # so that a thousand listeners read a block once
            held = self._held.get((height, topic))
            if held is not None:
                return held
            return self._hold(height, topic, await self._transactions(height))

    def _hold(self, height: int, topic: Topic, made: bytes | None) -> bytes | None:
        if made is not None and (height, topic) not in self._held:
            self._held[height, topic] = made
            self._held_bytes += len(made)
            while self._held_bytes > ENCODED_BYTES_MAX:
                self._held_bytes -= len(self._held.popitem(last=False)[1])
        return made

    def _block(self, height: int) -> bytes:
        summary = block_summary(self._services, height)
        return b"event: block\nid: %d\ndata: %b\n\n" % (height, _encoder.encode(summary))

    def _orders(self, height: int) -> bytes | None:
        changes = self._services.events.changes(height)
        if changes is None:
            return None
        orders = [decode(item.value, Redemption) for item in changes if item.value is not None]
        return b"".join(
            [
                _event(b"order", OrderEvent(id=x.id.hex(), state=_state(x), height=height))
                for x in orders
            ]
        )

    def _objects(self, height: int) -> bytes | None:
        changes = self._services.events.changes(height)
        if changes is None:
            return None
        found = [
            ObjectEvent(
                type=OBJECT_NAMES[item.key[0]],
                key=item.key.hex(),
                height=height,
                removed=item.is_removed,
            )
            for item in changes
        ]
        return b"".join([_event(b"object", item) for item in found])

    async def _transactions(self, height: int) -> bytes | None:
        block = self._services.chain.block(height)
        if block is None:
            return None
        made = []
        for index, raw in enumerate(block.transactions):
            if index and index % SLICE_TRANSACTIONS == 0:
                await asyncio.sleep(0)
            tx = transaction.decode(raw)
            told = TransactionEvent(
                txid=tx.txid.hex(), height=height, index=index, locks=_locks(tx)
            )
            made.append(_event(b"transaction", told))
        return b"".join(made)


ENCODED = web.AppKey("encoded events", Encoded)
STREAMS = web.AppKey("event streams", Budget)


def prepare(app: web.Application, services: Services) -> None:
    """What this route keeps."""
    app[ENCODED] = Encoded(services)
    app[STREAMS] = Budget("streams of events", SUBSCRIBERS_MAX)


async def get_events(request: web.Request) -> web.StreamResponse:
    """What becomes final, as it does, as server-sent events.

    From the next block on, or from the height above `after` or the header `Last-Event-ID`, which
    counts more. Within a height `block` is the last event and has the height as its `id`.
    """
    query = read_query(request)
    services = request.app[SERVICES]
    topics = _read_topics(query.get("topics"))
    height = services.chain.height
    for seen in (query.get("after"), request.headers.get(LAST_EVENT_ID)):
        if seen is not None:
            height = read_number(seen, "the last height")
    with request.app[STREAMS].take(1):
        listener = services.events.join(height)
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.on_lost = listener.leave
        try:
            return await _Stream(request, listener, topics).run()
        finally:
            services.events.leave(listener)
            if isinstance(connection, Connection):
                connection.on_lost = None


class _Stream:
    """One answer that goes on until the client or the node ends."""

    def __init__(self, request: web.Request, listener: Listener, topics: list[Topic]) -> None:
        self._request = request
        self._services = request.app[SERVICES]
        self._encoded = request.app[ENCODED]
        self._listener = listener
        self._topics = topics
        self._response = web.StreamResponse(
            headers={**ALWAYS, "Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        self._clock = asyncio.get_running_loop().time
        self._beat_at = 0.0

    async def run(self) -> web.StreamResponse:
        await self._response.prepare(self._request)
        self._request[DEADLINE].reschedule(None)
        events, listener = self._services.events, self._listener
        try:
            await self._send(b"retry: %d\n%b" % (RETRY_MS, _mark(listener.height)))
            while not (events.is_closed or listener.is_gone):
                await self._tell()
                await events.turn(listener, max(0.0, self._beat_at - self._clock()))
                if self._clock() >= self._beat_at:
                    await self._send(b": heartbeat\n" + _mark(listener.height))
        except ConnectionError:
            pass  # the client has gone
        except StorageError as fault:  # the answer has begun: no problem can be sent any more
            self._services.watch.fail(fault)
        return self._response

    async def _tell(self) -> None:
        """What a turn allows of what the listener was not told, in few writes."""
        chain, height = self._services.chain, self._listener.height
        told: list[bytes] = []
        for _ in range(BLOCKS_A_TURN):
            if height == chain.height:
                break
            found = None if self._is_too_far(height) else await self._told_of(height + 1)
            if found is None:
                await self._write(told, height)
                await self._skip()
                return
            told.append(found)
            height += 1
            if sum(map(len, told)) >= WRITE_BYTES:
                await self._write(told, height)
                told = []
        await self._write(told, height)

    async def _told_of(self, height: int) -> bytes | None:
        """All that is told of a block; None where some of it is not kept any more."""
        parts = [await self._encoded.get(height, topic) for topic in self._topics]
        found = [part for part in parts if part is not None]
        if len(found) < len(parts):
            return None
        if "blocks" not in self._topics and any(found):
            found.append(_mark(height))
        return b"".join(found)

    async def _write(self, told: list[bytes], height: int) -> None:
        """What is told up to a height, which may be nothing."""
        if any(told):
            await self._send(b"".join(told))
        self._listener.height = height

    def _is_too_far(self, height: int) -> bool:
        chain = self._services.chain
        behind = chain.height - height
        return not 0 < behind <= REPLAY_BLOCKS_MAX or height + 1 < chain.first_listed

    async def _skip(self) -> None:
        """To the tip, with word of what is left out."""
        height, tip = self._listener.height, self._services.chain.height
        first, last = (tip + 1, height) if height > tip else (height + 1, tip)
        self._services.events.gaps += 1
        self._listener.height = tip
        data = _encoder.encode(Gap(first=first, last=last))
        await self._send(b"event: gap\nid: %d\ndata: %b\n\n" % (tip, data))

    async def _send(self, data: bytes) -> None:
        await self._response.write(data)
        now = self._clock()
        self._beat_at = now + HEARTBEAT_S
        connection = self._request.protocol
        if isinstance(connection, Connection):
            connection.hold(STALLED_S)


def _read_topics(text: str | None) -> list[Topic]:
    """In the order in which a height is told: `blocks` last."""
    if text is None:
        return ["blocks"]
    wanted = text.split(",")
    unknown = [name for name in wanted if name not in TOPICS]
    if unknown or len(wanted) != len(set(wanted)):
        known = ", ".join(TOPICS)
        raise ApiError(ApiCode.BAD_REQUEST, f"topics is a list of some of: {known}; each once")
    return [topic for topic in reversed(TOPICS) if topic in wanted]


def _event(name: bytes, value: msgspec.Struct) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name, _encoder.encode(value))


def _mark(height: int) -> bytes:
    """An id without an event: what a client that comes again has seen."""
    return b"id: %d\n\n" % height


def _state(order: Redemption) -> str:
    return order.state.name.lower()


def _locks(tx: SignedTransaction) -> list[str]:
    """Of the outputs that it makes and of the conditions under which it spends, each once."""
    spent = [lock_hash(condition) for condition in tx.witness.conditions]
    made = [output.lock for output in tx.body.outputs]
    return list(dict.fromkeys([lock.hex() for lock in spent + made]))


ROUTES = (
    get(
        "/v1/events",
        get_events,
        None,
        Parameter(
            "topics", Topics, "What to tell, separated by commas; `blocks` without it.", "blocks"
        ),
        Parameter("after", Count, "Every event above this height comes first."),
        headers=(
            Parameter(LAST_EVENT_ID, Count, "The same; browsers send it when they come again."),
        ),
        media_type=EVENT_STREAM,
        weight=20,
    ),
)
