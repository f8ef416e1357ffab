"""What a node says about itself alone: its links, and whether it is ready."""

from __future__ import annotations

from typing import Literal

from node.api.forms import Count
from node.api.schemas import Answer


class Peer(Answer, frozen=True, kw_only=True):
    name: str
    """A licence; a follower without one has a number of this node's."""
    role: str
    """`validator` of the epoch, `licensed` without a seat, or `observer`."""
    address: str
    direction: Literal["inbound", "outbound", "none"]
    connected: bool
    since_ms: Count | None
    """Of this node's wall clock; null without a link."""
    height: Count
    queued_bytes: Count
    """What waits to be sent to it."""
    points: Count
    """For what it did wrong; they fade, and with too many the link is cut."""


class Peers(Answer, frozen=True, kw_only=True):
    items: list[Peer]


class Check(Answer, frozen=True, kw_only=True):
    """One named condition of readiness; `detail` says what is wrong, with figures."""

    name: str
    ok: bool
    detail: str
