"""One established link: a reader loop, a writer loop, a bounded queue between node and socket.

Reading. Each frame goes to `on_frame`, in order; after a slice of time the others have their turn.
When the node raises Invalid for one, the sender is charged points and the loop goes on; above the
limit the link closes. A frame that breaks the stream (a number that may not arrive here, a size
above its limit) closes it at once, because nothing after it has a known boundary.

Writing. `send` never waits. The writer joins what is queued, most urgent class first, into
batches. A full queue drops lower classes first, then the frame itself; a consensus message that
finds no room closes the link, because a peer that missed a vote without knowing is worse than
one that reconnects and asks. A peer that does not take what was written to it within `write_s` is
closed. No other peer notices.

The two loops end together: `close` makes both return.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ledger.reasons import Invalid
from p2p.frames import FrameReader, encode_frame
from p2p.handshake import Accepted, RefusedReason, read_refusal, refused_frame
from p2p.limits import DELIVER_SLICE_S, READ_BYTES, WRITE_BATCH_BYTES, LinkLimits
from p2p.points import BAD_FRAME_POINTS, Points
from p2p.send_queue import SendQueue
from p2p.streams import Stream
from p2p.wire import (
    CONSENSUS_LINK_SIZES,
    MESSAGES,
    PING,
    REFUSED,
    SYNC_LINK_SIZES,
    QueueClass,
)

Clock = Callable[[], float]
"""Seconds that only ever grow."""


@dataclass(frozen=True, slots=True)
class PeerStats:
    """What the node shows of a link."""

    name: str
    address: str
    direction: Literal["inbound", "outbound"]
    """`outbound` when this node dialled."""
    connected_s: float
    received_bytes: int
    sent_bytes: int
    queued_bytes: int
    dropped_frames: int
    points: int
    height: int


class Peer:
    """The other end of one link. Owned by the network, used by the node through `send`."""

    def __init__(
        self,
        identity: str,
        stream: Stream,
        accepted: Accepted,
        *,
        dialled: bool,
        limits: LinkLimits,
        clock: Clock,
        on_frame: Callable[[Peer, int, bytes], None],
    ) -> None:
        self.identity = identity
        self.link_key = accepted.link_key
        self.session = accepted.session
        self.may_consensus = accepted.may_consensus
        self.dialled = dialled
        self.address = stream.address
        self.height = accepted.height
        """As HELLO said."""
        self.since = clock()
        self.closed_because = ""
        """Why the link ended; empty while it is up."""
        self.has_misbehaved = False
        """The link was ended for what the peer sent."""
        self.refused_by_peer: RefusedReason | None = None
        """Why the other end refused the link after it had been up."""
        self.gone = asyncio.Event()
        """Set by the network when nothing of this link is left."""
        self._stream = stream
        self._limits = limits
        self._clock = clock
        self._on_frame = on_frame
        self._queue = SendQueue(limits.queue_bytes_max)
        self._wake = asyncio.Event()
        self._sizes = CONSENSUS_LINK_SIZES if accepted.may_consensus else SYNC_LINK_SIZES
        # Either end learns of a new licence with a block of its own: until then the one may take
        # for a consensus link what is a sync link to the other, and what it sends is passed over.
        self._readable = CONSENSUS_LINK_SIZES if accepted.link_key else SYNC_LINK_SIZES
        self.heard_at = self._sent_at = self.since
        self._writing_since: float | None = None
        self._points = Points(self.since)
        self._received_bytes = self._sent_bytes = 0

    def send(self, number: int, payload: bytes) -> bool:
        """Queue one message; False when it may not travel here, found no room or the link ended."""
        return self.carries(number) and self.send_frame(number, encode_frame(number, payload))

    def send_frame(self, number: int, frame: bytes) -> bool:
        """As `send`, for a frame that several peers share and this link carries."""
        if self.closed_because:
            return False
        queue_class = MESSAGES[number].queue_class
        if self._queue.put(queue_class, frame):
            self._wake.set()
            return True
        if queue_class is QueueClass.CONSENSUS:
            self.close("queue_full")
        return False

    def carries(self, number: int) -> bool:
        """The message may travel on a link of this kind."""
        return number in self._sizes

    def penalise(self, points: float, why: str) -> None:
        """Charge the sender of something bad; `why` is the reason of a close that follows."""
        if self._points.charge(points, self._clock()):
            self.has_misbehaved = True
            self.close(f"misbehaved: {why}")

    def close(self, why: str) -> None:
        """End the link now. Both loops return soon after; what was queued is lost."""
        if not self.closed_because:
            self.closed_because = why
            self._wake.set()
            self._stream.abort()

    def refuse(self, reason: RefusedReason) -> None:
        """End the link and tell the other end why."""
        if not self.closed_because:
            self.closed_because = f"refused: {reason.value}"
            self._wake.set()
            self._stream.farewell(refused_frame(reason))

    def tick(self) -> None:
        """Look at the three deadlines: silence, a stalled write, the next PING."""
        now = self._clock()
        if now - self.heard_at > self._limits.idle_s:
            self.close("idle")
        elif self._writing_since is not None and now - self._writing_since > self._limits.write_s:
            self.close("slow")
        elif now - self._sent_at >= self._limits.ping_s:
            self.send(PING, b"")

    def stats(self) -> PeerStats:
        """A snapshot for people and metrics."""
        return PeerStats(
            name=self.identity,
            address=self.address,
            direction="outbound" if self.dialled else "inbound",
            connected_s=self._clock() - self.since,
            received_bytes=self._received_bytes,
            sent_bytes=self._sent_bytes,
            queued_bytes=self._queue.size_bytes,
            dropped_frames=self._queue.dropped,
            points=round(self._points.current(self._clock())),
            height=self.height,
        )

    async def read(self) -> None:
        """Hand frames to the node until the link ends. Waits bounded by `tick`."""
        reader = self._stream.reader
        frames = FrameReader(self._readable)
        while not self.closed_because:
            try:
                data = await reader.read(READ_BYTES)
            except OSError as error:
                self.close(f"lost: {type(error).__name__}")
                return
            if not data:
                self.close("lost: closed by peer")
                return
            self.heard_at = self._clock()
            self._received_bytes += len(data)
            try:
                complete = frames.feed(data)
            except Invalid as invalid:
                self.has_misbehaved = True
                self.close(f"broken stream: {invalid}")
                return
            await self._deliver_all(complete)
            if len(data) == READ_BYTES:
                await asyncio.sleep(0)  # more is buffered: let the others have their turn

    async def write(self) -> None:
        """Write what is queued until the link ends. The wait in `drain` is bounded by `tick`."""
        writer, queue = self._stream.writer, self._queue
        while not self.closed_because:
            if not queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = queue.take(WRITE_BATCH_BYTES)
            self._sent_bytes += len(batch)
            self._sent_at = self._writing_since = self._clock()
            writer.write(batch)
            try:
                await writer.drain()
            except OSError as error:
                self.close(f"lost: {type(error).__name__}")
                return
            self._writing_since = None
            if queue:
                await asyncio.sleep(0)  # a long queue must not hold the loop

    async def _deliver_all(self, frames: Sequence[tuple[int, bytes]]) -> None:
        """In order; thousands of small ones that each cost a signature must not hold the loop."""
        end = self._clock() + DELIVER_SLICE_S
        for number, payload in frames:
            self._deliver(number, payload)
            if self._clock() >= end:
                await asyncio.sleep(0)
                end = self._clock() + DELIVER_SLICE_S

    def _deliver(self, number: int, payload: bytes) -> None:
        if self.closed_because or number == PING or not self.carries(number):
            return
        try:
            if number == REFUSED:
                self.refused_by_peer = read_refusal(payload)
                self.close(f"refused by peer: {self.refused_by_peer.value}")
            else:
                self._on_frame(self, number, payload)
        except Invalid as invalid:
            name = MESSAGES[number].name
            self.penalise(BAD_FRAME_POINTS, f"{name} {invalid.reason.value}")
