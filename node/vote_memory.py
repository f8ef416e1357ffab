"""What a key signed lately, as its log holds it: the memory of `node.vote_guard`.

Everything of the present view that may bind a later vote, and nothing of an earlier epoch: no vote
of that can be asked for again. A record is taken up by the same code when it is written and when it
is read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from consensus.messages import NewViewBody, PreparedEntry, ViewChangeBody
from ledger import codec
from ledger.block import BLOCK_FRAME_BYTES_MAX, COMMIT, Block, VotePayload, header_hash
from ledger.codec import UInt, Wire
from ledger.errors import StorageError
from node.wal import RECORD_BYTES_MAX, Record, WriteAheadLog

BLOCKS_A_HEIGHT_MAX = 4  # bodies kept for one height while views fail, the oldest go first


class Kind(int, Enum):
    """Kinds of records; append-only."""

    BLOCK = 1
    VOTE = 2
    PREPARED = 3
    VIEW_CHANGE = 4
    NEW_VIEW = 5
    STATE = 6


class GuardState(Wire, frozen=True):
    """The highest vote, and from where on votes are allowed at all."""

    epoch: UInt
    view: UInt
    height: UInt
    phase: Annotated[int, Meta(ge=0, le=COMMIT)]
    vote_above: UInt
    view_min: UInt
    from_epoch: UInt
    """A memory that may have gaps votes from here on; 0 where there was none."""

    @property
    def order(self) -> tuple[int, int, int, int]:
        return (self.epoch, self.view, self.height, self.phase)


NOTHING_SIGNED = GuardState(0, 0, 0, 0, 0, 0, 0)


class VoteMemory:
    """Owned by one guard. `log` is None when it is missing or damaged: then nothing is added."""

    def __init__(self, log: WriteAheadLog | None, records: Iterable[Record]) -> None:
        self.log = log
        self.state = NOTHING_SIGNED
        self.is_fresh = True
        self.votes: dict[tuple[int, int], bytes] = {}  # (height, phase) -> hash, in this view
        self.prepared: dict[int, PreparedEntry] = {}
        self.blocks: dict[bytes, Block] = {}
        self.view_change: ViewChangeBody | None = None
        self.new_view: NewViewBody | None = None
        for record in records:
            self._replay(record)

    def append(self, kind: Kind, payload: bytes) -> None:
        """Log a record and take it up; `sync` makes it durable."""
        assert self.log is not None
        self.log.append(kind, payload)
        self._replay(Record(kind, payload))

    def append_block(self, block: Block) -> None:
        """As `append`, without reading back what is at hand: a megabyte."""
        assert self.log is not None
        self.log.append(Kind.BLOCK, codec.encode_payload(block))
        self._keep_block(block)

    def sync(self) -> None:
        """One fdatasync for all that was appended."""
        assert self.log is not None
        self.log.sync()
        if self.log.must_rotate:
            self.log.rotate(self._kept_records())

    def begin(self, state: GuardState) -> None:
        """Forget all that `state` makes impossible to sign. A fresh log stays fresh."""
        if self.log is None or self.is_fresh:
            self._take_state(state)
        else:
            self.append(Kind.STATE, codec.encode_payload(state))
            self.sync()

    def committed(self, height: int) -> None:
        """Blocks up to `height` are final: what was kept for them may go, no vote follows."""
        above = max(self.state.vote_above, height)
        self.state = replace(self.state, vote_above=above)
        self.votes = {key: value for key, value in self.votes.items() if key[0] > height}
        self.prepared = {key: entry for key, entry in self.prepared.items() if key > height}
        self.blocks = {
            key: block for key, block in self.blocks.items() if block.header.height > height
        }

    def _replay(self, record: Record) -> None:
        self.is_fresh = False
        match _kind_of(record):
            case Kind.BLOCK:
                block = codec.decode_payload(record.payload, Block, size_max=BLOCK_FRAME_BYTES_MAX)
                self._keep_block(block)
            case Kind.VOTE:
                vote = codec.decode_payload(record.payload, VotePayload, size_max=RECORD_BYTES_MAX)
                self._enter(vote.epoch, vote.view)
                self.votes[vote.height, vote.phase] = vote.block_hash
                self._raise(vote.epoch, vote.view, vote.height, vote.phase)
            case Kind.PREPARED:
                entry = codec.decode_payload(
                    record.payload, PreparedEntry, size_max=RECORD_BYTES_MAX
                )
                self.prepared[entry.header.height] = entry
            case Kind.VIEW_CHANGE:
                self.view_change = codec.decode_payload(
                    record.payload, ViewChangeBody, size_max=RECORD_BYTES_MAX
                )
                self._enter(self.view_change.epoch, self.view_change.view)
            case Kind.NEW_VIEW:
                self.new_view = codec.decode_payload(
                    record.payload, NewViewBody, size_max=RECORD_BYTES_MAX
                )
                self._enter(self.new_view.epoch, self.new_view.view)
            case Kind.STATE:
                state = codec.decode_payload(record.payload, GuardState, size_max=RECORD_BYTES_MAX)
                self._take_state(state)

    def _take_state(self, state: GuardState) -> None:
        if state.epoch > self.state.epoch:
            self.prepared = {}
            self.blocks = {}
            self.view_change = self.new_view = None
        self.votes.clear()
        self.state = state

    def _keep_block(self, block: Block) -> None:
        """The body must be had while anybody may hold its certificate, in bounds."""
        prepared = {entry.certificate.block_hash for entry in self.prepared.values()}
        rivals = [
            key
            for key, held in self.blocks.items()
            if held.header.height == block.header.height and key not in prepared
        ]
        if len(rivals) >= BLOCKS_A_HEIGHT_MAX:
            del self.blocks[rivals[0]]
        self.blocks[header_hash(block.header)] = block

    def _enter(self, epoch: int, view: int) -> None:
        if (epoch, view) > (self.state.epoch, self.state.view):
            self.votes.clear()
            self._raise(epoch, view, 0, 0)

    def _raise(self, epoch: int, view: int, height: int, phase: int) -> None:
        epoch, view, height, phase = max(self.state.order, (epoch, view, height, phase))
        self.state = replace(self.state, epoch=epoch, view=view, height=height, phase=phase)

    def _kept_records(self) -> list[Record]:
        """What must survive a rotation: the state, then everything above the last final block."""
        records = [Record(Kind.STATE, codec.encode_payload(self.state))]
        for block in self.blocks.values():
            records.append(Record(Kind.BLOCK, codec.encode_payload(block)))
        for (height, phase), block_hash in self.votes.items():
            payload = VotePayload(self.state.epoch, phase, self.state.view, height, block_hash)
            records.append(Record(Kind.VOTE, codec.encode_payload(payload)))
        for entry in self.prepared.values():
            records.append(Record(Kind.PREPARED, codec.encode_payload(entry)))
        if self.view_change is not None:
            records.append(Record(Kind.VIEW_CHANGE, codec.encode_payload(self.view_change)))
        if self.new_view is not None:
            records.append(Record(Kind.NEW_VIEW, codec.encode_payload(self.new_view)))
        return records


def _kind_of(record: Record) -> Kind:
    """Raises StorageError: a record that was read whole and is not known is no damage."""
    try:
        return Kind(record.kind)
    except ValueError:
        raise StorageError(
            f"The vote log holds a record of kind {record.kind}, which this program does not know. "
            "Start the program that wrote it."
        ) from None
