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
    linked_ms: Count | None
    """How long the link has held; null without one."""
    height: Count
    queued_bytes: Count
    dropped_frames: Count
    """What found no room in the queue of this link since it came up."""
    points: Count


class Peers(Answer, frozen=True, kw_only=True):
    items: list[Peer]


class Check(Answer, frozen=True, kw_only=True):
    """One named condition of readiness; `detail` says what is wrong, with figures."""

    name: str
    ok: bool
    detail: str
