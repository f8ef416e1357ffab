"""What the stream of events tells, as typed structs. A `block` is a `schemas.BlockSummary`.

Imports msgspec alone, as `node.api.schemas` does.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from node.api.forms import Count, Hex, Hex32
from node.api.schemas import Answer

Topic = Literal["blocks", "transactions", "orders", "objects"]
TOPICS: tuple[Topic, ...] = ("blocks", "transactions", "orders", "objects")
Topics = Annotated[list[Topic], Meta(min_length=1, extra_json_schema={"uniqueItems": True})]


class TransactionEvent(Answer, frozen=True, kw_only=True):
    """A transaction became final. `locks` are those that its outputs and its signatures name; of an
    address, GET /v1/addresses/{address} tells the lock."""

    txid: Hex32
    height: Count
    index: Count
    """Its position in the block."""
    locks: list[Hex32]


class OrderEvent(Answer, frozen=True, kw_only=True):
    """An order was made, or something about it changed."""

    id: Hex32
    state: str
    height: Count


class ObjectEvent(Answer, frozen=True, kw_only=True):
    """A protocol object was made, changed or removed; GET /v1/objects/{key} has it."""

    type: str
    key: Hex
    height: Count
    removed: bool


class Gap(Answer, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """Events of the heights `from` to `to` are not told one by one. Where `from` is above the tip,
    the client was told more than this node has, by another node or of another chain."""

    first: Count
    last: Count
