"""Answers to FETCH, from the chain, from what is in flight and from the snapshot that is held.

Whatever is asked for, the answer fits the frame of a GIVE: a frame above its limit would be a fault
of this node and end it. An answer may cost ten thousand times what its question cost the member
that asks, so `Allowance` bounds how long each may keep this node busy.
"""

from __future__ import annotations

from collections.abc import Callable

from ledger import codec
from ledger.block import BLOCK_BYTES_MAX, Block
from ledger.boundaries import Boundary, boundary_of
from ledger.chain import Chain
from ledger.transaction import SignedTransaction
from node.fetching import (
    RANGE_BLOCKS_MAX,
    RANGE_BYTES_MAX,
    FetchBody,
    FetchBoundaries,
    FetchChunk,
    FetchManifest,
    FetchRange,
    FetchTransactions,
    FinalBlock,
    GiveBody,
    GiveBoundaries,
    GiveChunk,
    GiveManifest,
    Given,
    GivePruned,
    GiveRange,
    GiveTransactions,
    Wanted,
)
from node.snapshot_held import HeldSnapshot

SERVING_BURST_S = 1.0
"""How far a member's debt may run ahead: a laggard asks in bursts."""

ALL_OTHERS = b"observers"
"""Who is no member shares one part with all that are none."""

FindTransaction = Callable[[bytes], SignedTransaction | None]
FindBlock = Callable[[bytes], Block | None]


class Allowance:
    """How long each member may keep this node busy with questions. Pure.

    One n-th of its time, so that f members together stay below a third. What a member asks beyond
    that is dropped: an honest one asks again, or asks somebody else.
    """

    def __init__(self) -> None:
        self._paid_until_s: dict[bytes, float] = {}

    def may_ask(self, member: bytes, now_s: float) -> bool:
        return self._paid_until_s.get(member, now_s) <= now_s + SERVING_BURST_S

    def charge(self, member: bytes, now_s: float, spent_s: float, *, shares: int) -> None:
        """An answer took `spent_s` of processor time, of which everybody has an equal share."""
        begins_s = max(now_s, self._paid_until_s.get(member, now_s))
        paid = {name: until_s for name, until_s in self._paid_until_s.items() if until_s > now_s}
        self._paid_until_s = paid | {member: begins_s + spent_s * shares}


def answer(
    wanted: Wanted,
    chain: Chain,
    snapshot: HeldSnapshot,
    find_transaction: FindTransaction,
    find_block: FindBlock,
) -> Given | None:
    """What this node can give of what is wanted; None when that is nothing.

    Who asks for a snapshot is told that there is none: it has to choose among many peers. Who asks
    for blocks that are pruned is told so: where all peers prune, only a snapshot leads on.
    """
    match wanted:
        case FetchTransactions(block_hash, wtxids):
            return _transactions(block_hash, wtxids, find_transaction, find_block)
        case FetchBody(block_hash):
            block = find_block(block_hash) or _final_block(chain, block_hash)
            return None if block is None else GiveBody(block)
        case FetchRange(start, end):
            return _range(chain, start, end)
        case FetchBoundaries(epoch, count):
            return GiveBoundaries(epoch, _boundaries(chain, epoch, count))
        case FetchManifest(epoch):
            manifest = snapshot.manifest(epoch)
            return GiveManifest(epoch, () if manifest is None else (manifest,))
        case FetchChunk(epoch, number):
            return GiveChunk(epoch, number, snapshot.chunk(epoch, number) or b"")


def _transactions(
    block_hash: bytes,
    wtxids: tuple[bytes, ...],
    find_transaction: FindTransaction,
    find_block: FindBlock,
) -> GiveTransactions | GiveBody | None:
    """Each once and together no more than a block holds: an honest proposal needs no more."""
    found: list[bytes] = []
    size = 0
    for tx in map(find_transaction, dict.fromkeys(wtxids)):
        if tx is not None and size + len(tx.raw) <= BLOCK_BYTES_MAX:
            found.append(tx.raw)
            size += len(tx.raw)
    if len(found) < len(wtxids):  # the pool forgot them, but the block may be at hand
        block = find_block(block_hash)
        if block is not None:
            return GiveBody(block)
    return GiveTransactions(block_hash, tuple(found)) if found else None


def _final_block(chain: Chain, block_hash: bytes) -> Block | None:
    height = chain.height_of(block_hash)
    return None if height is None else chain.block(height)


def _range(chain: Chain, start: int, end: int) -> GiveRange | GivePruned | None:
    if start <= chain.height and start < chain.bodies_from:
        return GivePruned(start, chain.bodies_from)
    blocks: list[FinalBlock] = []
    size = 0
    for height in range(max(1, start), min(end, chain.height, start + RANGE_BLOCKS_MAX - 1) + 1):
        block, certificate = chain.block(height), chain.certificate(height)
        if block is None or certificate is None:
            break
        item = FinalBlock(block, certificate)
        size += len(codec.encode_payload(item))
        if blocks and size > RANGE_BYTES_MAX:
            break
        blocks.append(item)
    return GiveRange(tuple(blocks)) if blocks else None


def _boundaries(chain: Chain, epoch: int, count: int) -> tuple[Boundary, ...]:
    found: list[Boundary] = []
    for number in range(epoch, epoch + count):
        boundary = boundary_of(chain, number)
        if boundary is None:
            break
        found.append(boundary)
    return tuple(found)
