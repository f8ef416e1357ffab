"""What a signer may sign after what it has signed: its own memory, beside that of the node.

It knows no chain: it cannot tell whether a block is right or a COMMIT is due. What it can tell is
whether a request contradicts an earlier one, whatever the node that asks has become:

- one hash for an (epoch, view, height, phase); one VIEW-CHANGE and one NEW-VIEW for a view;
- nothing of an earlier epoch, or of an earlier view of an epoch;
- no VIEW-CHANGE into a view in which it voted; a NEW-VIEW after its own VIEW-CHANGE only;
- no vote at or below a height that the operator named when the memory began anew.

The same request again gets the same signature. Everything new is on the disk before `note` returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from consensus.messages import NewViewBody, Signable, ViewChangeBody
from ledger import codec
from ledger.block import VotePayload
from ledger.codec import Bytes32, UInt, Wire
from ledger.parameters import WINDOW_MAX
from ledger.reasons import Invalid, Reason
from node.vote_guard import RECOVERY_WINDOWS, Refused
from node.wal import RECORD_BYTES_MAX, Record, WriteAheadLog

HEIGHTS_KEPT = 64
"""Of one view, far above the window: what lies deeper below the highest vote is refused."""
RECOVERY_HEIGHTS = RECOVERY_WINDOWS * WINDOW_MAX
"""Votes start so far above the height that the operator saw: others may have been on their way."""


class Kind(int, Enum):
    """Kinds of records; append-only."""

    BEGIN = 1
    FLOOR = 2
    VOTE = 3
    VIEW_CHANGE = 4
    NEW_VIEW = 5


class Begin(Wire, frozen=True):
    """The first record: whose memory this is."""

    chain_id: Bytes32
    public: Bytes32


class Floor(Wire, frozen=True):
    """Votes above `height` only, in no view before this one; VIEW-CHANGEs beyond it only."""

    epoch: UInt
    view: UInt
    height: UInt


class Whole(Wire, frozen=True):
    """A VIEW-CHANGE or NEW-VIEW that was signed, by the hash that was."""

    epoch: UInt
    view: UInt
    hash: Bytes32


class SignerMemory:
    """One a signer. The votes, VIEW-CHANGE and NEW-VIEW that it holds are of its present view."""

    def __init__(self, log: WriteAheadLog, records: Iterable[Record]) -> None:
        """Raises Invalid for records that no signer wrote."""
        self._log = log
        self._votes: dict[tuple[int, int], bytes] = {}  # (height, phase) -> hash
        self._top = 0  # highest of these heights
        self._view_change: bytes | None = None
        self._new_view: bytes | None = None
        self._begin: Begin | None = None
        self.epoch = self.view = self.above = 0
        for record in records:
            self._take(record)
        if self._begin is None:
            raise Invalid(Reason.MALFORMED, "it does not say whose memory it is")

    @classmethod
    def create(cls, log: WriteAheadLog, begin: Begin, floor: Floor) -> SignerMemory:
        """A memory in a new log, which binds the key from `floor` on."""
        records = [_record(Kind.BEGIN, begin), _record(Kind.FLOOR, floor)]
        log.rotate(records)
        return cls(log, records)

    @property
    def begin(self) -> Begin:
        assert self._begin is not None, "checked when it was read"
        return self._begin

    @property
    def position(self) -> tuple[int, int, int]:
        """Epoch, view and highest height of its votes."""
        return self.epoch, self.view, max(self._top, self.above)

    def raise_floor(self, floor: Floor) -> None:
        """The operator's word: nothing at or below this. It only ever forbids more."""
        self._write(Kind.FLOOR, floor)

    def note(self, request: Signable, message: bytes) -> None:
        """`message`, the request's hash, may be signed when this returns; raises Refused."""
        here = (self.epoch, self.view)
        if (request.epoch, request.view) < here:
            at = f"epoch {request.epoch}, view {request.view}"
            raise Refused(f"{at}: this key signed in epoch {self.epoch}, view {self.view}")
        is_new_view = (request.epoch, request.view) > here
        if isinstance(request, VotePayload):
            self._note_vote(request, is_first=is_new_view)
        elif isinstance(request, ViewChangeBody):
            self._note_view_change(request, message, is_first=is_new_view)
        else:
            self._note_new_view(request, message, is_first=is_new_view)

    def close(self) -> None:
        self._log.close()

    def _note_vote(self, vote: VotePayload, *, is_first: bool) -> None:
        if vote.height <= self.above:
            raise Refused(f"height {vote.height}: this signer votes above {self.above} only")
        if not is_first:
            if vote.height <= self._top - HEIGHTS_KEPT:
                raise Refused(f"height {vote.height}, far below a vote at {self._top}")
            held = self._votes.get((vote.height, vote.phase))
            if held == vote.block_hash:
                return
            if held is not None:
                raise Refused(f"another block was signed at height {vote.height}")
        self._write(Kind.VOTE, vote)

    def _note_view_change(self, body: ViewChangeBody, message: bytes, *, is_first: bool) -> None:
        if body.base.chain_id != self.begin.chain_id:
            raise Refused("a VIEW-CHANGE on top of another chain")
        if is_first:
            self._write(Kind.VIEW_CHANGE, Whole(body.epoch, body.view, message))
        elif self._view_change is None:
            raise Refused(f"a VIEW-CHANGE into view {body.view}, where this key may have voted")
        elif self._view_change != message:
            raise Refused(f"another VIEW-CHANGE into view {body.view} was signed")

    def _note_new_view(self, body: NewViewBody, message: bytes, *, is_first: bool) -> None:
        if is_first or self._view_change is None:
            raise Refused(f"a NEW-VIEW of view {body.view} without a VIEW-CHANGE of this key")
        if self._new_view is None:
            self._write(Kind.NEW_VIEW, Whole(body.epoch, body.view, message))
        elif self._new_view != message:
            raise Refused(f"another NEW-VIEW of view {body.view} was signed")

    # The log.

    def _write(self, kind: Kind, item: Wire) -> None:
        record = _record(kind, item)
        self._log.append(record.kind, record.payload)
        self._log.sync()
        self._take(record)
        if self._log.must_rotate:
            self._log.rotate(self._kept())

    def _take(self, record: Record) -> None:
        payload = record.payload
        if record.kind == Kind.BEGIN:
            self._begin = codec.decode_payload(payload, Begin, size_max=RECORD_BYTES_MAX)
        elif record.kind == Kind.FLOOR:
            floor = codec.decode_payload(payload, Floor, size_max=RECORD_BYTES_MAX)
            self._enter(floor.epoch, floor.view)
            self.above = max(self.above, floor.height)
        elif record.kind == Kind.VOTE:
            vote = codec.decode_payload(payload, VotePayload, size_max=RECORD_BYTES_MAX)
            self._enter(vote.epoch, vote.view)
            self._keep_vote(vote)
        elif record.kind in (Kind.VIEW_CHANGE, Kind.NEW_VIEW):
            whole = codec.decode_payload(payload, Whole, size_max=RECORD_BYTES_MAX)
            self._enter(whole.epoch, whole.view)
            if record.kind == Kind.VIEW_CHANGE:
                self._view_change = whole.hash
            else:
                self._new_view = whole.hash
        else:
            raise Invalid(Reason.MALFORMED, f"a record of kind {record.kind}")

    def _enter(self, epoch: int, view: int) -> None:
        if (epoch, view) > (self.epoch, self.view):
            self.epoch, self.view = epoch, view
            self._votes.clear()
            self._top = 0
            self._view_change = self._new_view = None

    def _keep_vote(self, vote: VotePayload) -> None:
        self._votes[vote.height, vote.phase] = vote.block_hash
        if vote.height > self._top:
            self._top = vote.height
            lowest = self._top - HEIGHTS_KEPT
            self._votes = {key: held for key, held in self._votes.items() if key[0] > lowest}

    def _kept(self) -> list[Record]:
        """What must survive a rotation: everything that `note` looks at."""
        records = [
            _record(Kind.BEGIN, self.begin),
            _record(Kind.FLOOR, Floor(self.epoch, self.view, self.above)),
        ]
        for kind, held in (
            (Kind.VIEW_CHANGE, self._view_change),
            (Kind.NEW_VIEW, self._new_view),
        ):
            if held is not None:
                records.append(_record(kind, Whole(self.epoch, self.view, held)))
        for (height, phase), block_hash in self._votes.items():
            vote = VotePayload(self.epoch, phase, self.view, height, block_hash)
            records.append(_record(Kind.VOTE, vote))
        return records


def _record(kind: Kind, item: Wire) -> Record:
    return Record(int(kind), codec.encode_payload(item))
