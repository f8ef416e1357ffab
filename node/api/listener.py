"""Sockets that wait for nobody: HTTP connections with limits on their number and their time.

One address has a share of the connections, and with it of all that requests take, for a connection
has one request at a time. This machine's own addresses have no share: its clients are its owner's,
and a reverse proxy brings everybody's requests and counts addresses itself.

aiohttp parses and answers; it has no deadline for a request that never becomes complete. Here a
connection must finish a request, from its first byte to the last byte of the answer, within
`request_seconds`, and be idle no longer than that, or it is cut. This holds for a client that
sends nothing, half a header or half a body, for one that drips, and for one that does not read.

A stream alone may take longer: it is cut when its client took nothing for a while.

Invariant: an open connection's `expires_at` is never more than `request_seconds` ahead, or, while
it streams, than it said when the client last took something.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from node.api import problems
from node.api.problems import ApiCode
from p2p.owners import is_own, owned

CONNECTIONS_MAX = 1_280
"""Of the public listener: of 64 KiB each they stay far below the memory of a node."""
CONNECTIONS_PER_ADDRESS_MAX = 16
"""Of one address: more than a browser opens; a quarter of the submissions and half of the bytes of
bodies that are taken at once, so that two addresses cannot shut the others out."""
REQUEST_SECONDS = 10.0
"""To receive, handle and answer one request; twice the longest wait that a client may ask for."""
ANSWER_SECONDS = 0.5
"""Of `REQUEST_SECONDS`, kept to tell the client that its time is over."""
HEADER_BYTES_MAX = 8 * 1024
HEADERS_MAX = 64
BODY_BYTES_MAX = 1024 * 1024
BODIES_BYTES_MAX = 32 * 1024 * 1024
"""Of all requests at once: a thousand connections must not hold a MiB each."""
READ_BUFFER_BYTES = 64 * 1024
LINGER_SECONDS = 2.0
"""After an early refusal: reads on, so that the client sees the answer rather than a reset."""
CLOSE_SECONDS = 1.0
"""A submission ends within it; a client that only waits asks another node."""
BACKLOG = 128
SERVER_NAME = "marsa"  # and neither version nor library
ALWAYS = {"Server": SERVER_NAME, "X-Content-Type-Options": "nosniff"}
"""Headers of every answer."""
UNIX_PATH_BYTES_MAX = 103  # of sockaddr_un on the platform with the least room, without the zero
_NEVER_SECONDS = 86_400.0  # aiohttp's own idle timer; ours fires long before

_END = b"\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable" + _END
_SHARE_FULL = b"HTTP/1.1 429 Too Many Requests" + _END

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a listener grants; tests shorten the times."""

    connections_max: int = CONNECTIONS_MAX
    connections_per_address_max: int = CONNECTIONS_PER_ADDRESS_MAX
    request_seconds: float = REQUEST_SECONDS
    answer_seconds: float = ANSWER_SECONDS


class Listener:
    """Serves one application on one TCP address or one Unix socket."""

    def __init__(self, app: web.Application, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.connections = 0
        self.refused = 0
        self._by_address: Counter[str] = Counter()
        self._runner = web.AppRunner(app)
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def start_tcp(self, host: str, port: int, *, public: bool = False) -> int:
        """Listen and return the port, which the system chooses for 0.

        An address that other machines reach needs `public`. Raises OSError where the address is
        taken or not of this machine.
        """
        if not public and not ip_address(host).is_loopback:
            detail = f"{host} is reachable from other machines; that needs the option 'public'"
            raise OSError(errno.EADDRNOTAVAIL, detail)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, backlog=BACKLOG)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def start_unix(self, path: Path) -> None:
        """Listen on a socket that only this user may open.

        A socket left by a process that died is replaced: the lock on the data directory, taken
        before, says that no other process lives there.
        """
        if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
            detail = f"{path} is longer than {UNIX_PATH_BYTES_MAX} bytes; use a shorter directory"
            raise OSError(errno.ENAMETOOLONG, detail)
        await self._runner.setup()
        sock = _bind_private(path)
        self._path = path
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._accept, sock=sock, backlog=BACKLOG)

    async def close(self) -> None:
        """Accept no more, give running requests `CLOSE_SECONDS` to end, and close all."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner.server is not None:
            self._runner.server.pre_shutdown()
            await self._runner.server.shutdown(CLOSE_SECONDS)
        await self._runner.cleanup()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def _accept(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or self.connections >= self.limits.connections_max:
            self.refused += 1
            return _Refusal(_FULL)
        return Connection(self, server)

    def take_share(self, address: str) -> bool:
        """False when the address has its share already; else it is held until `leave_share`."""
        if self._by_address[address] >= self.limits.connections_per_address_max:
            self.refused += 1
            return False
        self._by_address[address] += 1
        return True

    def leave_share(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


def address_of(transport: asyncio.BaseTransport) -> str:
    """Under which the peer is counted; empty for this machine itself, which is not."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):  # a Unix socket, or a peer that has gone
        return ""
    return "" if is_own(name[0]) else owned(name[0])


def _bind_private(path: Path) -> socket.socket:
    """A Unix socket that never exists with rights for others."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


class _Refusal(asyncio.Protocol):
    """Says that there is no room, and goes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _writable(transport).write(self._answer)
        transport.close()


class Connection(web.RequestHandler):
    """aiohttp's protocol with a clock; see the module's invariant."""

    __slots__ = (
        "_address",
        "_clock",
        "_is_counted",
        "_is_idle",
        "_link",
        "_listener",
        "_timer",
        "expires_at",
        "on_lost",
    )

    def __init__(self, listener: Listener, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=_NEVER_SECONDS,
            access_log=None,  # type: ignore[arg-type]  # it takes None, its annotation does not
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_SECONDS,
            read_bufsize=READ_BUFFER_BYTES,
            auto_decompress=False,
        )
        self._listener = listener
        self._clock = loop
        self._timer: asyncio.TimerHandle | None = None
        self._link: asyncio.WriteTransport | None = None
        self._is_idle = False
        self._is_counted = False
        self._address = ""
        self.expires_at = loop.time() + listener.limits.request_seconds
        """Loop time at which this connection is cut unless a request ends before."""
        self.on_lost: Callable[[], None] | None = None
        """Called when the connection ends, however it does."""

    def hold(self, seconds: float) -> None:
        """A stream goes on: the connection is cut after so long, unless this is called again."""
        self.expires_at = self._clock.time() + seconds

    @property
    def address(self) -> str:
        """Under which the client is counted; empty for this machine itself."""
        return self._address

    @property
    def answer_by(self) -> float:
        """Loop time by which the answer has to begin."""
        return self.expires_at - self._listener.limits.answer_seconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        address = address_of(transport)
        if address and not self._listener.take_share(address):
            refusal = _Refusal(_SHARE_FULL)
            transport.set_protocol(refusal)
            refusal.connection_made(transport)
            return
        self._address = address
        self._listener.connections += 1
        self._is_counted = True
        self._link = _writable(transport)
        super().connection_made(transport)
        self._renew()
        self._timer = self._clock.call_at(self.expires_at, self._on_timer)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_counted:
            self._listener.connections -= 1
            self._is_counted = False
            if self._address:
                self._listener.leave_share(self._address)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.on_lost is not None:
            self.on_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_idle:
            self._is_idle = False
            self._renew()
        super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; then the next request has its own time."""
        result = await super().finish_response(request, resp, start_time)
        self._is_idle = True
        self._renew()
        return result

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Bytes that are not HTTP, and bugs of ours: a problem either way, then the end."""
        if request.writer.output_size > 0:
            raise ConnectionError("half of an answer was sent already")
        if isinstance(exc, LineTooLong):
            detail = f"a header or the request line exceeds {HEADER_BYTES_MAX} bytes"
            response = problems.answer(ApiCode.HEADERS_TOO_LARGE, detail)
        elif status < 500:
            response = problems.answer(ApiCode.BAD_REQUEST, "this is not an HTTP/1.1 request")
        elif isinstance(exc, ConnectionError):
            response = problems.answer(ApiCode.BAD_REQUEST, "the connection broke")
        else:
            log.error("api_fault method=%s path=%s", request.method, request.path, exc_info=exc)
            response = problems.answer(ApiCode.INTERNAL, "the node met a bug of its own")
        response.headers["Server"] = SERVER_NAME
        response.force_close()
        return response

    def _renew(self) -> None:
        self.expires_at = self._clock.time() + self._listener.limits.request_seconds

    def _on_timer(self) -> None:
        # One timer a connection, moved when it fires: a timer for each request would cost more
        # than the request's own bookkeeping.
        if self._clock.time() < self.expires_at:
            self._timer = self._clock.call_at(self.expires_at, self._on_timer)
            return
        self._timer = None
        if self._link is not None:
            self._link.abort()


def _writable(transport: asyncio.BaseTransport) -> asyncio.WriteTransport:
    # Those of uvloop have the methods of the class and do not inherit from it.
    return cast(asyncio.WriteTransport, transport)
