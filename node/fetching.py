"""FETCH and GIVE: what a node asks of its peers when it lacks a body, blocks or the whole state.

Answers prove themselves: a body by the roots of its header, a block by its certificate, a piece of
a snapshot by the last block of its epoch. So any peer may give them, and a wrong answer only costs
its sender.
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
from ledger.boundaries import Boundary
from ledger.codec import Bytes32, UInt, Wire
from ledger.snapshot import CHUNK_BYTES_MAX, Manifest

RANGE_BLOCKS_MAX = 128  # blocks in one answer; its bytes are bounded by the frame as well
RANGE_BYTES_MAX = 1 << 20
BOUNDARIES_MAX = 64  # ends of epochs in one answer: 384 KiB, and 20 ms of work for whoever gives it


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


class FetchBoundaries(Wire, frozen=True, tag=4):
    """The last blocks of at most `count` epochs from `epoch` on."""

    epoch: UInt
    count: Annotated[int, Meta(ge=1, le=BOUNDARIES_MAX)]


class FetchManifest(Wire, frozen=True, tag=5):
    """What the snapshot at the end of an epoch consists of."""

    epoch: UInt


class FetchChunk(Wire, frozen=True, tag=6):
    """One chunk of the snapshot at the end of an epoch."""

    epoch: UInt
    number: UInt


Wanted: TypeAlias = (
    FetchTransactions | FetchBody | FetchRange | FetchBoundaries | FetchManifest | FetchChunk
)


class Fetch(Wire, frozen=True):
    """Message 30."""

    TYPE: ClassVar[int] = 30
    wanted: Wanted


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


class GiveBoundaries(Wire, frozen=True, tag=4):
    """Ends of consecutive epochs from the one that was asked for; empty: it has none."""

    epoch: UInt
    boundaries: Annotated[tuple[Boundary, ...], Meta(max_length=BOUNDARIES_MAX)]


class GiveManifest(Wire, frozen=True, tag=5):
    """The manifest that was asked for; empty: its sender has no snapshot of that epoch."""

    epoch: UInt
    manifest: Annotated[tuple[Manifest, ...], Meta(max_length=1)]


class GiveChunk(Wire, frozen=True, tag=6):
    """The encoded chunk that was asked for; empty: its sender has it no more."""

    epoch: UInt
    number: UInt
    data: Annotated[bytes, Meta(max_length=CHUNK_BYTES_MAX)]


class GivePruned(Wire, frozen=True, tag=7):
    """Of the range that was asked for the first block, at `start`, is final, and its body is not
    here any more; `lowest` is the first that is."""

    start: UInt
    lowest: UInt


Given: TypeAlias = (
    GiveTransactions | GiveBody | GiveRange | GiveBoundaries | GiveManifest | GiveChunk | GivePruned
)


class Give(Wire, frozen=True):
    """Message 31."""

    TYPE: ClassVar[int] = 31
    given: Given


GIVE_BYTES_MAX = BLOCK_FRAME_BYTES_MAX
FETCH_BYTES_MAX = 128 * 1024
