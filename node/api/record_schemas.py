"""What the HTTP API answers about the past, and what a search finds.

Imports msgspec alone, as `node.api.schemas` does.
"""

from __future__ import annotations

from typing import Literal

from node.api.forms import Amount, Count, Hex32, Hex64
from node.api.schemas import Answer

Kind = Literal[
    "block", "transaction", "address", "licence", "issuer", "asset", "order", "commitment"
]


class Found(Answer, frozen=True, kw_only=True):
    """Something that goes by what was searched for. `name` is what its route calls it, `link` the
    route's path."""

    kind: Kind
    name: str
    link: str


class Search(Answer, frozen=True, kw_only=True):
    """What there is; one text may be the name of several things."""

    query: str
    items: list[Found]


class VoteShown(Answer, frozen=True, kw_only=True):
    """A vote as it was signed; `phase` 1 is PREPARE, 2 is COMMIT."""

    epoch: Count
    phase: Count
    view: Count
    height: Count
    block_hash: Hex32
    signature: Hex64


class EvidenceShown(Answer, frozen=True, kw_only=True):
    """Two votes of one key that contradict each other, in a final block.

    `votes` is null where the node does not keep the block's transactions any more; `state` and
    `cause` are those of the licence now.
    """

    licence: str
    state: str
    cause: str
    txid: Hex32
    height: Count
    time_ms: Count
    time: str
    key: Hex32 | None
    votes: list[VoteShown] | None


class EpochShown(Answer, frozen=True, kw_only=True):
    """An epoch; of the present one `last_height` and what follows are null."""

    number: Count
    first_height: Count
    last_height: Count | None
    last_hash: Hex32 | None
    last_time_ms: Count | None
    last_time: str | None
    members: list[str]
    """Licences, in the order of their index."""


class IssuerPoint(Answer, frozen=True, kw_only=True):
    """Ratios end at a thousandfold."""

    issuer: str
    status: str
    outstanding: Amount
    reserve: Amount
    coverage_ppm: Count
    deliverability_ppm: Count


class ReservePoint(Answer, frozen=True, kw_only=True):
    """How issuers stood after a block."""

    height: Count
    time_ms: Count
    time: str
    issuers: list[IssuerPoint]


class ReserveHistory(Answer, frozen=True, kw_only=True):
    """From the oldest to now. Nothing proves the past; GET /v1/reserve proves the present."""

    points: list[ReservePoint]
