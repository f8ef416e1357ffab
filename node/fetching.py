"""FETCH and GIVE: what a node asks of its peers when it lacks a body or whole blocks.

Answers prove themselves: a body by the roots of its header, a block by its certificate. So any
peer may give them, and a wrong answer only costs its sender.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger.block import (
    BLOCK_FRAME_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    Block,
    Certificate,
    RawTransaction,
)
from ledger.codec import Bytes32, UInt, Wire

RANGE_BLOCKS_MAX = 128  # blocks in one answer; its bytes are bounded by the frame as well
RANGE_BYTES_MAX = 1 << 20


class FetchTransactions(Wire, frozen=True, tag=1):
    """The named transactions (by wtxid) of a proposed block."""

    block_hash: Bytes32
    wtxids: Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=BLOCK_TRANSACTIONS_MAX)]


class FetchBody(Wire, frozen=True, tag=2):
    """A whole block by its hash, final or not."""

    block_hash: Bytes32


class FetchRange(Wire, frozen=True, tag=3):
    """Final blocks with certificates from height `start` to `end`, both included."""

    start: UInt
    end: UInt


class Fetch(Wire, frozen=True):
    """Message 30."""

    TYPE: ClassVar[int] = 30
    wanted: FetchTransactions | FetchBody | FetchRange


class GiveTransactions(Wire, frozen=True, tag=1):
    """Some of the transactions that were asked for."""

    block_hash: Bytes32
    transactions: Annotated[
        tuple[RawTransaction, ...], Meta(min_length=1, max_length=BLOCK_TRANSACTIONS_MAX)
    ]


class GiveBody(Wire, frozen=True, tag=2):
    """The block that was asked for."""

    block: Block


class FinalBlock(Wire, frozen=True):
    """A block with what makes it final."""

    block: Block
    certificate: Certificate


class GiveRange(Wire, frozen=True, tag=3):
    """Consecutive final blocks from the height that was asked for."""

    blocks: Annotated[tuple[FinalBlock, ...], Meta(min_length=1, max_length=RANGE_BLOCKS_MAX)]


class Give(Wire, frozen=True):
    """Message 31."""

    TYPE: ClassVar[int] = 31
    given: GiveTransactions | GiveBody | GiveRange


GIVE_BYTES_MAX = BLOCK_FRAME_BYTES_MAX
FETCH_BYTES_MAX = 128 * 1024
Wanted: TypeAlias = FetchTransactions | FetchBody | FetchRange
