"""The guard owns the consensus key: nothing is signed that contradicts what was signed before.

It outlives crashes through its log: what was asked is checked, logged, made durable, and only then
signed. The log holds what was asked and no signature: Ed25519 gives the same one again. Refused is
an earlier epoch or view, a second hash for one (view, height, phase), a height that is final, a
COMMIT without its prepared certificate, and any vote while this node is not synced.

At every start it first hears where q members stand (this one included). They echo the highest
vote of this key that they saw. A log that is fresh on a running chain, missing, damaged or behind
the echo may have forgotten votes: then this member follows and does not vote until the operator's
`marsa node recover`, which allows votes only above everything that could have been signed. The same
befalls one that votes when the echo shows a vote that it never gave: somebody else has its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from consensus.effects import VoteRequest
from consensus.messages import (
    NewView,
    NewViewBody,
    PreparedEntry,
    Signable,
    Status,
    ViewChange,
    ViewChangeBody,
    Vote,
    VoteMark,
    make_vote,
    new_view_hash,
    view_change_hash,
)
from consensus.replica_state import Restored
from consensus.view_change import Rules
from ledger import codec, transaction
from ledger.block import (
    BLOCK_FRAME_BYTES_MAX,
    COMMIT,
    PREPARE,
    Block,
    VotePayload,
    check_certificate,
    header_hash,
    vote_hash,
)
from ledger.codec import UInt, Wire
from ledger.reasons import Invalid
from node.wal import RECORD_BYTES_MAX, Record, WriteAheadLog

BLOCKS_A_HEIGHT_MAX = 8  # bodies kept for one height while views fail, the oldest go first
RECOVERY_WINDOWS = 2  # votes after `recover` start this many windows above what is proved

OTHER_PROCESS = "another process runs with this key: stop it, keep one"

SignedMessage = Vote | ViewChange | NewView


class Kind(int, Enum):
    """Kinds of records; append-only."""

    BLOCK = 1
    VOTE = 2
    PREPARED = 3
    VIEW_CHANGE = 4
    NEW_VIEW = 5
    STATE = 6


class GuardState(Wire, frozen=True):
    """What a rotation keeps of everything that is over, and what `recover` decided."""

    epoch: UInt
    view: UInt
    height: UInt
    phase: Annotated[int, Meta(ge=0, le=COMMIT)]
    vote_above: UInt
    view_min: UInt

    @property
    def order(self) -> tuple[int, int, int, int]:
        return (self.epoch, self.view, self.height, self.phase)


NOTHING_SIGNED = GuardState(0, 0, 0, 0, 0, 0)


class Key(Protocol):
    """What signs: an Ed25519 key, or a process that holds one."""

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


class Permission(Enum):
    """Whether this guard signs."""

    WAITING = "waiting for the status of a quorum"
    ALLOWED = "voting"
    FOLLOWING = "not voting until 'marsa node recover'"


class Refused(Exception):
    """The guard will not sign; the text says why. Nothing was logged."""


@dataclass(frozen=True, slots=True)
class _Heard:
    height: int
    view: int
    mark: tuple[int, int, int, int] | None
    saw_leave: bool
    """Says that this key left the view in which this log last voted."""


class VoteGuard:
    """One a process. `log` is None when it is missing or damaged; then `why` says which."""

    def __init__(
        self,
        key: Key,
        member: int,
        rules: Rules,
        log: WriteAheadLog | None,
        records: Iterable[Record] = (),
        *,
        why: str = "",
    ) -> None:
        self._key = key
        self._member = member
        self._rules = rules
        self._log = log
        self._why = why
        self._state = NOTHING_SIGNED
        self._fresh = True
        self._votes: dict[tuple[int, int], bytes] = {}  # (height, phase) -> hash, in this view
        self._prepared: dict[int, PreparedEntry] = {}
        self._blocks: dict[bytes, Block] = {}
        self._view_change: ViewChangeBody | None = None
        self._new_view: NewViewBody | None = None
        self._staged: list[Signable] = []
        self._heard: dict[int, _Heard] = {}
        self.permission = Permission.WAITING
        for record in records:
            self._replay(record)
        self._own_above = self._state.vote_above
        """Every vote above this height that anybody saw is in this log."""

    # What the engine asks.

    def stage(
        self,
        request: VoteRequest | ViewChangeBody | NewViewBody,
        *,
        synced: bool,
        block: Block | None = None,
    ) -> None:
        """Check and log one request; `flush` makes it durable and hands the signature out.

        `block` is the body that a PREPARE vouches for. Raises Refused.
        """
        if self.permission is not Permission.ALLOWED or self._log is None:
            raise Refused(self.permission.value)
        if not synced:
            raise Refused("this node is not synced")
        if isinstance(request, VoteRequest):
            self._stage_vote(request, block)
        elif isinstance(request, ViewChangeBody):
            self._stage_view_change(request)
        else:
            self._stage_new_view(request)

    def flush(self) -> list[SignedMessage]:
        """One fdatasync for all that was staged; only then is any of it signed."""
        if not self._staged:
            return []
        assert self._log is not None
        self._log.sync()
        if self._log.must_rotate:
            self._log.rotate(self._kept_records())
        staged, self._staged = self._staged, []
        return [self._sign(item) for item in staged]

    def committed(self, height: int) -> None:
        """Blocks up to `height` are final: what was kept for them may go, no vote follows."""
        above = max(self._state.vote_above, height)
        self._state = msgspec.structs.replace(self._state, vote_above=above)
        self._votes = {key: value for key, value in self._votes.items() if key[0] > height}
        self._prepared = {key: entry for key, entry in self._prepared.items() if key > height}
        self._blocks = {
            key: block for key, block in self._blocks.items() if block.header.height > height
        }

    def restored(self, height: int) -> Restored:
        """What the log holds above the chain's `height`, for the replica."""
        proposals = []
        for (at, phase), block_hash in sorted(self._votes.items()):
            block = self._blocks.get(block_hash)
            if phase == PREPARE and at > height and block is not None:
                leaves = tuple(transaction.decode(raw).wtxid for raw in block.transactions)
                proposals.append((block.header, leaves))
        view_change, new_view = self._view_change, self._new_view
        return Restored(
            view=self._state.view,
            view_change=None if view_change is None else self._sign_view_change(view_change),
            new_view=None if new_view is None else self._sign_new_view(new_view),
            prepared=tuple(entry for at, entry in sorted(self._prepared.items()) if at > height),
            proposals=tuple(proposals),
        )

    def block(self, block_hash: bytes) -> Block | None:
        """The body of a block that this member prepared and that is not known to be final."""
        return self._blocks.get(block_hash)

    def hear(self, member: int, status: Status) -> bool:
        """A STATUS whose height is proved; True when it decided whether this guard votes."""
        if self.permission is Permission.ALLOWED:
            return self._hear_other_signer(status)
        marks = [mark.order for mark in status.votes if self._signed(mark)]
        left = status.view > self._state.view and bool(status.view_changes >> self._member & 1)
        self._heard[member] = _Heard(
            status.height, status.view, marks[0] if marks else None, saw_leave=left
        )
        if self.permission is Permission.WAITING and len(self._heard) >= self._quorum:
            self.permission = self._decide()
            return True
        return False

    def distrust_key(self) -> bool:
        """Another process has this key: vote no more. True when that changed something."""
        self._heard.clear()  # what others said before knows nothing of what that one signs
        if self.permission is not Permission.ALLOWED:
            return False
        self._why = OTHER_PROCESS
        self.permission = Permission.FOLLOWING
        return True

    @property
    def vote_above(self) -> int:
        return self._state.vote_above

    @property
    def view_min(self) -> int:
        return self._state.view_min

    @property
    def fault(self) -> str:
        """What is wrong with the log or the key, as far as it is known; empty when nothing is."""
        return self._why

    @property
    def reason(self) -> str:
        """A sentence on why this guard does not vote, empty when it does."""
        if self.permission is Permission.ALLOWED:
            return ""
        return f"{self.permission.value}{': ' + self._why if self._why else ''}"

    def recover(self, new_log: Callable[[], WriteAheadLog]) -> None:
        """The operator's word: vote again, above all that this key can have signed.

        Needs the proved STATUS of q other members; raises Refused before. `new_log` makes a log
        where this node has none.
        """
        if self.permission is not Permission.FOLLOWING:
            raise Refused("there is nothing to recover: " + self.permission.value)
        others = [heard for member, heard in self._heard.items() if member != self._member]
        if len(others) < self._quorum:
            detail = f"{len(others)} other validators answered, {self._quorum} are needed"
            raise Refused(f"{detail} to know what this key may have signed")
        marks = [heard.mark for heard in others if heard.mark is not None]
        height = max([heard.height for heard in others] + [mark[2] for mark in marks])
        # A view is a bare claim: the highest that one honest member at least has reached.
        claimed = sorted([heard.view for heard in others], reverse=True)
        view = max([claimed[self._rules.validators.f]] + [mark[1] for mark in marks])
        above = height + RECOVERY_WINDOWS * self._rules.window
        log = self._log if self._log is not None else new_log()
        self._log = log
        self._state = GuardState(self._rules.epoch, view, height, COMMIT, above, view)
        self._votes.clear()
        log.append(Kind.STATE, codec.encode_payload(self._state))
        log.sync()
        self._why = ""
        self._own_above = above
        self.permission = Permission.ALLOWED

    # Rules.

    def _signed(self, mark: VoteMark) -> bool:
        """Whether an echo is of this key: anybody can claim, nobody can forge."""
        message = vote_hash(self._rules.chain_id, mark.payload)
        return mark.member == self._member and self._rules.is_valid(
            self._key.public, message, mark.signature
        )

    @property
    def _quorum(self) -> int:
        return self._rules.validators.quorum

    def _decide(self) -> Permission:
        if self._log is None:
            return Permission.FOLLOWING
        others = [heard for member, heard in self._heard.items() if member != self._member]
        marks = [heard.mark for heard in others if heard.mark is not None]
        if self._fresh:
            if marks or any(heard.height > 0 for heard in others):
                self._why = "the vote log is fresh, and the chain has blocks already"
                return Permission.FOLLOWING
            return Permission.ALLOWED
        if marks and max(marks) > self._state.order:
            self._why = "the vote log is older than votes that others saw: a restored copy?"
            return Permission.FOLLOWING
        if sum(heard.saw_leave for heard in others) > self._rules.validators.f:
            self._why = "the vote log is older than a view that this key left: a restored copy?"
            return Permission.FOLLOWING
        return Permission.ALLOWED

    def _hear_other_signer(self, status: Status) -> bool:
        """Votes are logged before they are signed: one beyond the log was signed elsewhere."""
        for mark in status.votes:
            is_beyond = mark.order > self._state.order and mark.height > self._own_above
            held = self._votes.get((mark.height, mark.phase))
            differs = held not in (None, mark.block_hash) and mark.view == self._state.view
            if mark.member == self._member and (is_beyond or differs) and self._signed(mark):
                return self.distrust_key()
        return False

    def _stage_vote(self, request: VoteRequest, block: Block | None) -> None:
        payload = request.payload
        self._check_view(payload.epoch, payload.view)
        if payload.height <= self._state.vote_above:
            raise Refused(f"height {payload.height}, votes begin above {self._state.vote_above}")
        held = self._votes.get((payload.height, payload.phase))
        if payload.view == self._state.view and held is not None:
            if held != payload.block_hash:
                raise Refused(f"another block was signed at height {payload.height}")
        else:
            self._log_vote(request, block)
        self._staged.append(payload)

    def _log_vote(self, request: VoteRequest, block: Block | None) -> None:
        payload = request.payload
        if payload.phase == PREPARE:
            if block is None or header_hash(block.header) != payload.block_hash:
                raise Refused("a PREPARE without the body that it vouches for")
            if payload.block_hash not in self._blocks:
                self._append_block(block)
        else:
            self._append(Kind.PREPARED, codec.encode_payload(self._proved(request)))
        self._append(Kind.VOTE, codec.encode_payload(payload))

    def _proved(self, request: VoteRequest) -> PreparedEntry:
        payload, entry = request.payload, request.prepared
        same = entry is not None and (
            (entry.certificate.view, entry.certificate.height, entry.certificate.block_hash)
            == (payload.view, payload.height, payload.block_hash)
        )
        if entry is None or not same:
            raise Refused("a COMMIT without its prepared certificate")
        rules = self._rules
        try:
            check_certificate(
                entry.certificate, rules.chain_id, rules.validators, PREPARE, rules.is_valid
            )
        except Invalid as error:
            raise Refused(f"a COMMIT whose prepared certificate is bad: {error}") from None
        return entry

    def _sign(self, request: Signable) -> SignedMessage:
        if isinstance(request, VotePayload):
            signature = self._key.sign(vote_hash(self._rules.chain_id, request))
            return make_vote(request, self._member, signature)
        if isinstance(request, ViewChangeBody):
            return self._sign_view_change(request)
        return self._sign_new_view(request)

    def _sign_view_change(self, body: ViewChangeBody) -> ViewChange:
        return ViewChange(body, self._key.sign(view_change_hash(self._rules.chain_id, body)))

    def _sign_new_view(self, body: NewViewBody) -> NewView:
        return NewView(body, self._key.sign(new_view_hash(self._rules.chain_id, body)))

    def _stage_view_change(self, body: ViewChangeBody) -> None:
        held = self._view_change
        if held is not None and held.view == body.view == self._state.view:
            self._staged.append(held)
            return
        self._check_view(body.epoch, body.view)
        if body.view == self._state.view:
            raise Refused(f"votes were signed in view {body.view} already")
        if max(self._prepared, default=0) > body.base.height + self._rules.window:
            raise Refused("the chain is another, and behind what this key prepared")
        self._append(Kind.VIEW_CHANGE, codec.encode_payload(body))
        self._staged.append(body)

    def _stage_new_view(self, body: NewViewBody) -> None:
        held = self._new_view
        if held is not None and held.view == body.view:
            self._staged.append(held)
            return
        self._check_view(body.epoch, body.view)
        self._append(Kind.NEW_VIEW, codec.encode_payload(body))
        self._staged.append(body)

    def _check_view(self, epoch: int, view: int) -> None:
        if epoch != self._rules.epoch:
            raise Refused(f"epoch {epoch}, this is epoch {self._rules.epoch}")
        if view < max(self._state.view, self._state.view_min):
            raise Refused(f"view {view}, votes were signed in view {self._state.view}")

    # The log.

    def _append(self, kind: Kind, payload: bytes) -> None:
        assert self._log is not None
        record = Record(kind, payload)
        self._log.append(kind, payload)
        self._replay(record)

    def _append_block(self, block: Block) -> None:
        """As `_append`, without reading back what is at hand: a megabyte."""
        assert self._log is not None
        self._log.append(Kind.BLOCK, codec.encode_payload(block))
        self._keep_block(block)

    def _replay(self, record: Record) -> None:
        """Take up one record, when it is written and when it is read again."""
        self._fresh = False
        match Kind(record.kind):
            case Kind.BLOCK:
                block = codec.decode_payload(record.payload, Block, size_max=BLOCK_FRAME_BYTES_MAX)
                self._keep_block(block)
            case Kind.VOTE:
                vote = codec.decode_payload(record.payload, VotePayload, size_max=RECORD_BYTES_MAX)
                self._enter(vote.view)
                self._votes[vote.height, vote.phase] = vote.block_hash
                self._raise(vote.epoch, vote.view, vote.height, vote.phase)
            case Kind.PREPARED:
                entry = codec.decode_payload(
                    record.payload, PreparedEntry, size_max=RECORD_BYTES_MAX
                )
                self._prepared[entry.header.height] = entry
            case Kind.VIEW_CHANGE:
                self._view_change = codec.decode_payload(
                    record.payload, ViewChangeBody, size_max=RECORD_BYTES_MAX
                )
                self._enter(self._view_change.view)
            case Kind.NEW_VIEW:
                self._new_view = codec.decode_payload(
                    record.payload, NewViewBody, size_max=RECORD_BYTES_MAX
                )
                self._enter(self._new_view.view)
            case Kind.STATE:
                self._votes.clear()
                self._state = codec.decode_payload(
                    record.payload, GuardState, size_max=RECORD_BYTES_MAX
                )

    def _keep_block(self, block: Block) -> None:
        """The body must be had while anybody may hold its certificate, in bounds."""
        prepared = {entry.certificate.block_hash for entry in self._prepared.values()}
        rivals = [
            key
            for key, held in self._blocks.items()
            if held.header.height == block.header.height and key not in prepared
        ]
        if len(rivals) >= BLOCKS_A_HEIGHT_MAX:
            del self._blocks[rivals[0]]
        self._blocks[header_hash(block.header)] = block

    def _enter(self, view: int) -> None:
        if view > self._state.view:
            self._votes.clear()
            self._raise(self._rules.epoch, view, 0, 0)

    def _raise(self, epoch: int, view: int, height: int, phase: int) -> None:
        mark = max(self._state.order, (epoch, view, height, phase))
        self._state = GuardState(*mark, self._state.vote_above, self._state.view_min)

    def _kept_records(self) -> list[Record]:
        """What must survive a rotation: the state, then everything above the last final block."""
        records = [Record(Kind.STATE, codec.encode_payload(self._state))]
        for block in self._blocks.values():
            records.append(Record(Kind.BLOCK, codec.encode_payload(block)))
        for (height, phase), block_hash in self._votes.items():
            payload = VotePayload(self._state.epoch, phase, self._state.view, height, block_hash)
            records.append(Record(Kind.VOTE, codec.encode_payload(payload)))
        for entry in self._prepared.values():
            records.append(Record(Kind.PREPARED, codec.encode_payload(entry)))
        if self._view_change is not None:
            records.append(Record(Kind.VIEW_CHANGE, codec.encode_payload(self._view_change)))
        if self._new_view is not None:
            records.append(Record(Kind.NEW_VIEW, codec.encode_payload(self._new_view)))
        return records
