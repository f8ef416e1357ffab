"""TLS byte streams on both event loops, and reading one frame from them.

Accepted sockets arrive here as plain TCP and are upgraded, so that what fails inside TLS comes
back to the caller as an error and can be counted. A stream is owned by one coroutine, which ends
it: `abort` at once, `farewell` after a last frame.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from p2p.frames import HEADER_BYTES, read_header
from p2p.limits import CLOSE_S, READ_BYTES, WRITE_BUFFER_BYTES


@dataclass(frozen=True, slots=True)
class Stream:
    """An established TLS connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str
    """host:port of the other end, for people."""

    def peer_certificate(self) -> bytes | None:
        """DER, already verified by TLS; None when the other end showed none."""
        tls: ssl.SSLObject = self.writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True)

    def abort(self) -> None:
        """End it now; what was not yet sent is lost."""
        with suppress(AttributeError):  # of Python 3.11.2, where TLS was closed twice before
            self.writer.transport.abort()

    def farewell(self, frame: bytes) -> None:
        """Send one last frame and close; the transport drops the socket after CLOSE_S."""
        if not self.writer.is_closing():
            self.writer.write(frame)
            self.writer.close()


async def accept_tls(
    sock: socket.socket, address: str, context: ssl.SSLContext, handshake_s: float
) -> Stream:
    """Upgrade an accepted socket; OSError (ssl.SSLError is one) when TLS fails.

    The socket belongs to the event loop from here on, which closes it on failure too. The caller
    bounds the whole handshake in time; `handshake_s` only keeps the event loop's own, much longer
    limit from applying.
    """
    loop = asyncio.get_running_loop()
    reader, protocol = _stream_protocol(loop)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol,
        sock,
        ssl=context,
        ssl_handshake_timeout=2 * handshake_s,
        ssl_shutdown_timeout=CLOSE_S,
    )
    return _stream(loop, transport, reader, protocol, address)


async def dial_tls(host: str, port: int, context: ssl.SSLContext, handshake_s: float) -> Stream:
    """Connect and shake hands; OSError when the host, TCP or TLS fails. Bounded by the caller."""
    loop = asyncio.get_running_loop()
    reader, protocol = _stream_protocol(loop)
    transport, _ = await loop.create_connection(
        lambda: protocol,
        host,
        port,
        ssl=context,
        server_hostname="",  # no name is sent and none is checked
        ssl_handshake_timeout=2 * handshake_s,
        ssl_shutdown_timeout=CLOSE_S,
    )
    return _stream(loop, transport, reader, protocol, f"{host}:{port}")


async def read_frame(reader: asyncio.StreamReader, sizes: Mapping[int, int]) -> tuple[int, bytes]:
    """One frame; Invalid for a header that `sizes` forbids, EOFError when the stream ends."""
    number, size = read_header(await reader.readexactly(HEADER_BYTES), sizes)
    return number, await reader.readexactly(size)


def _stream_protocol(
    loop: asyncio.AbstractEventLoop,
) -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    reader = asyncio.StreamReader(limit=READ_BYTES, loop=loop)
    return reader, asyncio.StreamReaderProtocol(reader, loop=loop)


def _stream(
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    reader: asyncio.StreamReader,
    protocol: asyncio.StreamReaderProtocol,
    address: str,
) -> Stream:
    transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
    with suppress(OSError):  # the connection is gone already: the first read will say so
        # A vote leaves when it is written, not when the previous one was acknowledged.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Stream(reader, asyncio.StreamWriter(transport, protocol, reader, loop), address)
