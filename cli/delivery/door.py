"""The provider's port: who may hold a connection before it has proved anything.

Anybody reaches it, and only a signature by an order's session key tells a holder from a stranger.
So strangers have few places, in all and for each address, from the first byte of TLS on, and little
time. Whoever comes gets one: where none is left, the oldest stranger of the address that has most
is cut, so that nobody keeps a holder out by waiting in silence. Who has proved to hold an order
leaves the strangers' places: sessions are counted apart (`provider.SESSIONS_MAX`), and no stranger
can take their place.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

from cli.delivery.frames import Link, SessionEnded, bye_of
from cli.delivery.rules import Broken
from p2p.listener import accept_forever
from p2p.refusals import Failure, Refusals
from p2p.streams import accept_tls

STRANGERS_MAX = 64
"""Connections of whom it is not known yet whether they hold an order."""
STRANGERS_PER_ADDRESS_MAX = 16
"""Of these, from one address, or one network of IPv6."""
STRANGER_S = 5.0
"""For TLS and both words of a holder together."""

Proved = TypeVar("Proved")
Spawn: TypeAlias = Callable[[str, Coroutine[Any, Any, None]], None]
"""`node.supervise.Services.spawn`."""


class Strangers:
    """Places by owner of an address (`p2p.owners`), the oldest first.

    `cut` ends whoever loses its place.
    """

    def __init__(self) -> None:
        self._by_owner: dict[str, dict[object, Callable[[], object]]] = {}
        self.total = 0

    def room_for(self, owner: str) -> bool:
        """Make a place for one more of this owner; False where nobody had to go for it."""
        if len(self._by_owner.get(owner, ())) >= STRANGERS_PER_ADDRESS_MAX:
            crowded = owner
        elif self.total >= STRANGERS_MAX:
            crowded = max(self._by_owner, key=lambda name: len(self._by_owner[name]))
        else:
            return False
        oldest, cut = next(iter(self._by_owner[crowded].items()))
        self.leave(crowded, oldest)
        cut()
        return True

    def enter(self, owner: str, who: object, cut: Callable[[], object]) -> None:
        self._by_owner.setdefault(owner, {})[who] = cut
        self.total += 1

    def leave(self, owner: str, who: object) -> None:
        """Nothing happens where it lost its place before."""
        places = self._by_owner.get(owner, {})
        if places.pop(who, None) is None:
            return
        self.total -= 1
        if not places:
            del self._by_owner[owner]


class Door(Generic[Proved]):
    """`prove` hears a stranger out and raises Broken or SessionEnded; `serve` has whom it let in,
    for as long as it takes, and raises neither."""

    def __init__(
        self,
        prove: Callable[[Link], Awaitable[Proved]],
        serve: Callable[[Link, Proved], Awaitable[None]],
    ) -> None:
        self._prove = prove
        self._serve = serve
        self._strangers = Strangers()
        self._refusals = Refusals(time.monotonic)
        self._untouched: set[socket.socket] = set()
        """Accepted, and their tasks have not begun: nobody else would close them."""

    async def stand_open(
        self, listening: socket.socket, context: ssl.SSLContext, spawn: Spawn
    ) -> None:
        """Until it is cancelled; each connection is a task of its own, which `spawn` starts."""

        def on_socket(sock: socket.socket, owner: str, address: str) -> None:
            self._untouched.add(sock)
            spawn(f"delivery-{address}", self._meet(sock, owner, address, context))

        try:
            with listening:
                await accept_forever(listening, self._admit, self._refusals, on_socket)
        finally:
            for sock in self._untouched:
                sock.close()

    def _admit(self, owner: str) -> bool:
        if self._strangers.room_for(owner):
            self._refusals.note(Failure.TOO_MANY_SOCKETS, owner)
        return True

    async def _meet(
        self, sock: socket.socket, owner: str, address: str, context: ssl.SSLContext
    ) -> None:
        """The accepting loop pauses between two sockets, so this begins before the next is
        admitted, and takes the place that was made."""
        self._untouched.discard(sock)
        task = asyncio.current_task()
        assert task is not None  # `spawn` made one.
        self._strangers.enter(owner, task, task.cancel)
        try:
            met = await self._heard_out(sock, address, context)
        finally:
            self._strangers.leave(owner, task)
        if met is not None:
            await self._serve(*met)

    async def _heard_out(
        self, sock: socket.socket, address: str, context: ssl.SSLContext
    ) -> tuple[Link, Proved] | None:
        """None where it proved nothing, or not in time: the connection is gone then."""
        link, met = None, None
        try:
            async with asyncio.timeout(STRANGER_S):
                stream = await accept_tls(sock, address, context, STRANGER_S)
                link = Link(stream.reader, stream.writer)
                met = link, await self._prove(link)
        except TimeoutError:
            self._refusals.note(Failure.HANDSHAKE_TIMEOUT, address)
        except OSError as error:
            self._refusals.note(Failure.TLS_REFUSED, address, str(error))
        except SessionEnded as ended:
            self._refusals.note(Failure.HANDSHAKE_BROKEN, address, str(ended))
        except Broken as broken:
            assert link is not None  # Somebody said something.
            self._refusals.note(Failure.HANDSHAKE_BROKEN, address, str(broken))
            await link.end(bye_of(broken))
        finally:
            if met is None and link is not None:
                link.abort()
        return met
