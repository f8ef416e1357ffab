"""All links of a node: one listener, one dialler a configured peer, one table of who is there.

The network starts no task itself: `spawn` does. The coroutines given to it are

- `p2p-listen`, `p2p-tick`, `p2p-dial-<name>`: end by cancellation only;
- `p2p-serve-<address>` and `p2p-write-<identity>`: end with their link.

An exception from any of them is a fault of this node and must end the process; nothing that a
peer does raises one. Stopping a node means cancelling them, then `close`: each ends its socket on
the way out, and `close` ends those of coroutines that were cancelled before their first step.
Calls to the owner are synchronous and come from these coroutines, never from inside `send` or
`broadcast`, so that the owner is not re-entered.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.reasons import Invalid
from p2p.backoff import Backoff
from p2p.frames import encode_frame
from p2p.handshake import (
    Accepted,
    LocalNode,
    Refused,
    RefusedReason,
    Role,
    hello_frame,
    judge,
    refused_frame,
)
from p2p.licence_cert import LicenceCertificate, read_licence_certificate
from p2p.limits import LinkLimits
from p2p.listener import SocketSlots, accept_forever, bind
from p2p.peer import Clock, Peer, PeerStats
from p2p.peer_table import PeerTable, Placed
from p2p.points import BAD_FRAME_POINTS
from p2p.refusals import Failure, Refusals
from p2p.streams import Stream, accept_tls, dial_tls, read_frame
from p2p.wire import HANDSHAKE_SIZES

SEEN_S = 15.0
"""A second process dials again within redial_max_s and handshake_s; unseen for so long it ended."""

Spawn = Callable[[str, Coroutine[Any, Any, None]], object]
"""Start a named coroutine under the node's TaskGroup."""

log = logging.getLogger(__name__)


class Owner(Protocol):
    """What the network asks of the node. `on_frame` may raise Invalid: the sender pays for it."""

    def admit(self, link_key: bytes) -> str | RefusedReason: ...
    def height(self) -> int: ...
    def on_link_up(self, peer: Peer) -> None: ...
    def on_link_down(self, peer: Peer) -> None: ...
    def on_frame(self, peer: Peer, number: int, payload: bytes) -> None: ...

    def on_key_in_use(self) -> None:
        """A peer refused this process because it is linked with another one of the same key."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer listens."""

    host: str
    port: int


class Network:
    """Links with the configured peers and with whoever is admitted when they dial."""

    def __init__(
        self,
        local: LocalNode,
        owner: Owner,
        spawn: Spawn,
        *,
        client_tls: ssl.SSLContext,
        peers: Mapping[str, Endpoint],
        limits: LinkLimits,
        clock: Clock = time.monotonic,
    ) -> None:
        self._local = local
        self._owner = owner
        self._spawn = spawn
        self._client_tls = client_tls
        self._endpoints = dict(peers)
        self._limits = limits
        self._clock = clock
        self._refusals = Refusals(clock)
        self._slots = SocketSlots(limits)
        self._table: PeerTable[Peer] = PeerTable(
            local.link_key,
            sync_links_max=limits.sync_links_max,
            race_s=limits.handshake_s,
            alive_s=limits.alive_s,
        )
        self._rivals: dict[str, tuple[str, float]] = {}  # licensed identity -> address, when
        self._key_refusals: dict[str, float] = {}  # configured or admitted peer -> when
        self._announced: set[Peer] = set()
        self._observers = itertools.count(1)
        self._sockets: set[socket.socket] = set()  # no coroutine has taken them over yet

    def listen(self, host: str, port: int, server_tls: ssl.SSLContext) -> int:
        """Bind and accept from now on; the port that was bound. OSError when it is taken."""
        listening = bind(host, port)
        self._sockets.add(listening)
        self._spawn("p2p-listen", self._accept(listening, server_tls))
        bound: int = listening.getsockname()[1]
        return bound

    def start(self) -> None:
        """Dial every configured peer, for ever, and watch the deadlines of all links."""
        self._spawn("p2p-tick", self._tick_forever())
        for name in sorted(self._endpoints):
            self._spawn(f"p2p-dial-{name}", self._dial_forever(name, self._endpoints[name]))

    def dial_too(self, peers: Mapping[str, Endpoint]) -> list[str]:
        """Dial those among `peers` that were not known at the start; their names."""
        new = sorted(peers.keys() - self._endpoints.keys())
        for name in new:
            self._endpoints[name] = peers[name]
            self._spawn(f"p2p-dial-{name}", self._dial_forever(name, peers[name]))
        return new

    def close(self) -> None:
        """The last call, after every coroutine of the network has ended."""
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def send(self, identity: str, number: int, payload: bytes) -> bool:
        """Queue a message for one peer; False when it is not linked or has no room."""
        peer = self._table.get(identity)
        return peer is not None and peer.send(number, payload)

    def broadcast(self, number: int, payload: bytes) -> int:
        """Queue a message for every peer whose link carries it; for how many it was queued."""
        frame = encode_frame(number, payload)
        return sum(
            peer.carries(number) and peer.send_frame(number, frame) for peer in self._table.links()
        )

    def push(self, number: int, payload: bytes) -> int:
        """Queue a message for every validator; for how many it was queued.

        An observer has no consensus links, and links with validators alone.
        """
        frame = encode_frame(number, payload)
        return sum(
            peer.carries(number) and peer.send_frame(number, frame)
            for peer in self._table.links()
            if self.is_observer or peer.may_consensus
        )

    def penalise(self, identity: str, why: str) -> None:
        """Charge a peer for a message that proved bad after it was taken."""
        peer = self._table.get(identity)
        if peer is not None:
            peer.penalise(BAD_FRAME_POINTS, why)

    def peers(self) -> list[Peer]:
        """Every link that is up, by identity."""
        return list(self._table.links())

    def look_again(self) -> None:
        """What the owner admits has changed: links of another kind than now end."""
        if self.is_observer:
            return
        for peer in self._table.links():
            answer = self._owner.admit(peer.link_key) if peer.link_key else None
            if isinstance(answer, RefusedReason):
                if peer.may_consensus:
                    peer.refuse(answer)
            elif answer is not None and not peer.may_consensus:
                peer.close("licensed now")

    def linked(self) -> list[str]:
        """Identities of all that are linked; an observer has a name that is no licence."""
        return [peer.identity for peer in self._table.links()]

    def stats(self) -> list[PeerStats]:
        """A snapshot of every link, by identity."""
        return [peer.stats() for peer in self._table.links()]

    def refusals(self) -> dict[str, int]:
        """How many were turned away, by name, since the node started."""
        return self._refusals.counts()

    def key_in_use_at(self) -> list[str]:
        """Peers that lately refused this process as the second one of its key."""
        now = self._clock()
        return sorted(name for name, at in self._key_refusals.items() if now - at < SEEN_S)

    def rivals(self) -> dict[str, str]:
        """Peers whose key a second process lately showed here, with the address of that one."""
        now = self._clock()
        return {name: address for name, (address, at) in self._rivals.items() if now - at < SEEN_S}

    @property
    def is_observer(self) -> bool:
        """Shows no licence, and only follows."""
        return self._local.role is Role.OBSERVER

    @property
    def unauthenticated(self) -> int:
        """Accepted sockets whose handshake is not over."""
        return self._slots.total

    # Accepting

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext) -> None:
        def on_socket(sock: socket.socket, owner: str, address: str) -> None:
            self._sockets.add(sock)
            self._spawn(f"p2p-serve-{address}", self._serve(sock, owner, address, tls))

        self._sockets.discard(listening)
        with listening:
            await accept_forever(listening, self._slots.take, self._refusals, on_socket)

    async def _serve(
        self, sock: socket.socket, owner: str, address: str, tls: ssl.SSLContext
    ) -> None:
        self._sockets.discard(sock)
        peer = None
        try:
            async with asyncio.timeout(self._limits.handshake_s):
                peer = await self._welcome(sock, address, tls)
        except TimeoutError:
            self._refusals.note(Failure.HANDSHAKE_TIMEOUT, address)
        finally:
            self._slots.release(owner)
        if peer is not None:
            await self._run(peer)

    async def _welcome(self, sock: socket.socket, address: str, tls: ssl.SSLContext) -> Peer | None:
        try:
            stream = await accept_tls(sock, address, tls, self._limits.handshake_s)
        except OSError as error:
            self._refusals.note(Failure.TLS_REFUSED, address, str(error))
            return None
        return await self._meet(stream, expected=None)

    # Dialling

    async def _dial_forever(self, name: str, endpoint: Endpoint) -> None:
        limits = self._limits
        backoff = Backoff(limits.redial_min_s, limits.redial_max_s, random.random)
        while True:
            peer = self._table.get(name)
            if peer is not None:
                # The other end dialled. Waits without a limit: the link has deadlines of its own.
                await peer.gone.wait()
            else:
                peer = await self._dial(name, endpoint)
                if peer is not None:
                    await self._run(peer)
            if peer is not None and self._clock() - peer.since > limits.redial_max_s:
                backoff.reset()
            await asyncio.sleep(backoff.wait_s())

    async def _dial(self, name: str, endpoint: Endpoint) -> Peer | None:
        handshake_s = self._limits.handshake_s
        try:
            async with asyncio.timeout(handshake_s):
                stream = await self._connect(name, endpoint)
                return None if stream is None else await self._meet(stream, expected=name)
        except TimeoutError:
            self._refusals.note(Failure.DIAL_FAILED, name, f"no answer in {handshake_s} s")
            return None

    async def _connect(self, name: str, endpoint: Endpoint) -> Stream | None:
        host, port, tls = endpoint.host, endpoint.port, self._client_tls
        try:
            return await dial_tls(host, port, tls, self._limits.handshake_s)
        except OSError as error:
            self._refusals.note(Failure.DIAL_FAILED, name, str(error))
            return None

    # Meeting

    async def _meet(self, stream: Stream, *, expected: str | None) -> Peer | None:
        """Exchange HELLO; the peer, entered and announced, or None with the stream ended.

        `expected` is the configured name behind the address that was dialled, None on the
        listening end. Nothing is awaited once the peer is entered. Errors of the stream are
        caught where it is read, so that an error of the owner is never taken for one.
        """
        peer = None
        hello = hello_frame(self._local, self._owner.height())
        try:
            if expected is not None:
                stream.writer.write(hello)
            verdict = await self._hear(stream)
            entered = (
                self._enter(stream, verdict, expected) if isinstance(verdict, Accepted) else verdict
            )
            if isinstance(entered, Refused):
                await self._refuse(stream, entered, expected)
            elif entered is not None:
                if expected is None:
                    stream.writer.write(hello)
                self._announce(entered)
                peer = entered
        finally:
            if peer is None:
                stream.abort()
        return peer

    async def _hear(self, stream: Stream) -> Accepted | Refused | None:
        """What to make of the other end's first message; None when there was no such thing."""
        try:
            number, payload = await read_frame(stream.reader, HANDSHAKE_SIZES)
            certificate = self._certificate(stream)
        except (Invalid, EOFError, OSError) as error:
            # A listener that rejects this node's certificate inside TLS looks like this too.
            self._refusals.note(Failure.HANDSHAKE_BROKEN, stream.address, str(error))
            return None
        try:
            return judge(self._local, certificate, number, payload, self._owner.admit)
        except Invalid as invalid:
            self._refusals.note(Failure.HANDSHAKE_BROKEN, stream.address, str(invalid))
            return None

    def _announce(self, peer: Peer) -> None:
        self._announced.add(peer)
        self._key_refusals.pop(peer.identity, None)
        log.info("link_up peer=%s address=%s", peer.identity, peer.address)
        self._owner.on_link_up(peer)

    def _certificate(self, stream: Stream) -> LicenceCertificate | None:
        """What the other end showed; None also for what is signed but no licence certificate."""
        data = stream.peer_certificate()
        if data is None:
            return None
        try:
            return read_licence_certificate(data, self._local.authority_key)
        except Invalid as invalid:
            log.info("certificate_unusable address=%s detail=%s", stream.address, invalid)
            return None

    def _enter(self, stream: Stream, accepted: Accepted, expected: str | None) -> Peer | Refused:
        if expected not in (None, accepted.identity or accepted.licence_id):
            return Refused(RefusedReason.LICENCE_UNKNOWN, by_peer=False)
        identity = accepted.identity or f"observer:{next(self._observers)}"
        peer = Peer(
            identity,
            stream,
            accepted,
            dialled=expected is not None,
            limits=self._limits,
            clock=self._clock,
            on_frame=self._owner.on_frame,
        )
        placed = self._table.place(peer)
        if not isinstance(placed, Placed):
            if placed is RefusedReason.KEY_IN_USE:
                self._rivals[identity] = (stream.address, self._clock())
            return Refused(placed, by_peer=False, identity=identity)
        if placed.replaced is not None:
            is_same = placed.replaced.session == peer.session
            placed.replaced.refuse(RefusedReason.DUPLICATE if is_same else RefusedReason.KEY_IN_USE)
            self._leave(placed.replaced)
        return peer

    async def _refuse(self, stream: Stream, refused: Refused, expected: str | None) -> None:
        who = expected or stream.address
        if refused.by_peer:
            self._refusals.note(Failure.REFUSED_BY_PEER, who, refused.reason.value)
            if expected is not None:
                self._on_refused_by_peer(expected, refused.reason)
            return
        self._refusals.note(refused.reason, who, refused.identity)
        stream.farewell(refused_frame(refused.reason))
        with suppress(OSError):  # it ends either way
            await stream.writer.wait_closed()

    # Living

    async def _run(self, peer: Peer) -> None:
        self._spawn(f"p2p-write-{peer.identity}", peer.write())
        try:
            await peer.read()
        finally:
            peer.close("stopped")
            self._leave(peer)
            peer.gone.set()

    def _leave(self, peer: Peer) -> None:
        self._table.remove(peer)
        if peer.has_misbehaved:
            self._table.hold_off(peer, self._clock() + self._limits.hold_off_s)
        if peer in self._announced:
            self._announced.remove(peer)
            log.info("link_down peer=%s because=%s", peer.identity, peer.closed_because)
            self._owner.on_link_down(peer)
        if peer.refused_by_peer is not None and peer.may_consensus:  # a stranger may say anything
            self._on_refused_by_peer(peer.identity, peer.refused_by_peer)

    def _on_refused_by_peer(self, name: str, reason: RefusedReason) -> None:
        if reason is RefusedReason.KEY_IN_USE:
            self._key_refusals[name] = self._clock()
            self._owner.on_key_in_use()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(self._limits.tick_s)
            for peer in self._table.links():
                peer.tick()
