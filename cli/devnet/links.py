"""What is said to a devnet's forwarder (`cli.devnet.forwarder`), and where."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

SOCKET_NAME = "control.sock"
ROUTES_NAME = "routes.json"
DELAY_MS_MAX = 60_000
RATE_MAX = 1 << 30
"""Bytes a second."""
REQUEST_S = 5.0
"""For one request and its answer."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How bytes from one node to another fare."""

    source: str
    target: str
    cut: bool = False
    delay_ms: Annotated[int, Meta(ge=0, le=DELAY_MS_MAX)] = 0
    rate: Annotated[int, Meta(ge=0, le=RATE_MAX)] = 0
    """Bytes a second; 0 is no limit."""

    @property
    def is_plain(self) -> bool:
        return not (self.cut or self.delay_ms or self.rate)


class Route(msgspec.Struct, frozen=True):
    """Where one node reaches another: connections to `port` are led on to `to_port`."""

    source: str
    target: str
    port: int
    to_port: int


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the control socket takes: first open all, if asked to, then set these rules; and read
    the routes again, which may be others than before."""

    heal: bool = False
    rules: tuple[Rule, ...] = ()
    reload: bool = False


class Answer(msgspec.Struct, frozen=True):
    """The rules that hold now, those of plain ways left out."""

    rules: tuple[Rule, ...]
    connections: int
    error: str = ""
