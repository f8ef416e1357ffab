"""Where what the engine says goes: links by licence, for the engine knows members by key."""

from __future__ import annotations

from node.directory import Directory
from p2p import wire
from p2p.network import Network


class NetworkOutbox:
    """The engine's outbox over real links: peers by key, links by licence."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.network: Network | None = None

    def send(self, to: bytes | None, number: int, payload: bytes) -> None:
        if self.network is None:
            return
        if to is None:
            self.network.broadcast(number, payload)
        elif number == wire.RESENT and self.network.is_observer:
            self.network.send(self._directory.identity(to), wire.TXS, payload)
        else:
            self.network.send(self._directory.identity(to), number, payload)
