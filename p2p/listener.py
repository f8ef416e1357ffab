"""Accepting TCP: who may hold a socket before it has proved anything.

The event loop's own TLS server would hide refusals and bound nothing, so this node accepts plain
sockets itself, counts them in total and by owner of their address until their handshake is over,
closes what is above the limits without a byte, and hands the others on.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable

from p2p.limits import LISTEN_BACKLOG, LinkLimits
from p2p.owners import owned
from p2p.refusals import Failure, Refusals

ACCEPT_RETRY_S = 0.1
"""After the system ran out of descriptors or buffers: others will end meanwhile."""

_OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class SocketSlots:
    """How many unauthenticated sockets there are, in total and by owner (`p2p.owners`)."""

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._by_owner: Counter[str] = Counter()
        self.total = 0

    def take(self, owner: str) -> bool:
        """False when a limit is reached; else the slot is held until `release`."""
        if (
            self.total >= self._limits.unauthenticated_max
            or self._by_owner[owner] >= self._limits.unauthenticated_per_address_max
        ):
            return False
        self.total += 1
        self._by_owner[owner] += 1
        return True

    def release(self, owner: str) -> None:
        self.total -= 1
        self._by_owner[owner] -= 1
        if not self._by_owner[owner]:
            del self._by_owner[owner]


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; OSError when the address is taken or is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
    sock.setblocking(False)
    return sock


async def accept_forever(
    listening: socket.socket,
    take: Callable[[str], bool],
    refusals: Refusals,
    on_socket: Callable[[socket.socket, str, str], None],
) -> None:
    """Hand each socket for whose owner `take` has a place to `on_socket(socket, owner, address)`,
    which gives both back. The owner is what `p2p.owners` makes of the address.

    Waits without a limit: nobody needs to come. Ends by cancellation only, and then holds no
    socket (`loop.sock_accept` can lose the one that it has just accepted).
    """
    while True:
        try:
            sock, name = listening.accept()
        except BlockingIOError:
            await _readable(listening)
            continue
        except ConnectionAbortedError:
            continue  # the client gave up between the kernel's accept and ours
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            refusals.note(Failure.TOO_MANY_SOCKETS, "*", str(error))
            await asyncio.sleep(ACCEPT_RETRY_S)
            continue
        sock.setblocking(False)
        owner, address = owned(name[0]), f"{name[0]}:{name[1]}"
        if take(owner):
            on_socket(sock, owner, address)
        else:
            sock.close()
            refusals.note(Failure.TOO_MANY_SOCKETS, address)
        await asyncio.sleep(0)  # a full backlog must not hold the loop


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
