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

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace

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
)
from consensus.replica_state import Restored
from consensus.view_change import Rules
from ledger import codec, transaction
from ledger.block import (
    COMMIT,
    PREPARE,
    Block,
    VotePayload,
    check_certificate,
    header_hash,
    vote_hash,
)
from ledger.reasons import Invalid
from ledger.transaction import Transaction
from node.signing import Key, is_ready_body
from node.vote_memory import GuardState, Kind, VoteMemory
from node.wal import Record, WriteAheadLog

NEVER = 1 << 62
"""An epoch that no chain reaches: how long the lost log matters is not known yet."""
SURE_EPOCHS = 2  # after so many, nothing that a lost log held can be asked for any more
RECOVERY_WINDOWS = 2  # votes after `recover` start this many windows above what is proved

OTHER_PROCESS = "another process runs with this key: stop it, keep one"

SignedMessage = Vote | ViewChange | NewView

log = logging.getLogger("marsa.guard")


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
    """One a process. `log` is None when it is missing or damaged; then `why` says which, and
    `new_log` makes one when votes are safe again."""

    def __init__(
        self,
        key: Key,
        rules: Rules,
        log: WriteAheadLog | None,
        records: Iterable[Record] = (),
        *,
        new_log: Callable[[], WriteAheadLog],
        why: str = "",
    ) -> None:
        self._key = key
        self._rules = rules
        self._memory = VoteMemory(log, records)
        self._new_log = new_log
        self._why = why
        self._withheld = ""
        self._staged: list[Signable] = []
        self._heard: dict[int, _Heard] = {}
        self.permission = Permission.WAITING
        self._own_above = self._state.vote_above
        """Every vote above this height that anybody saw is in this log."""
        self._begin_epoch()

    @property
    def public(self) -> bytes:
        """The key that signs here."""
        return self._key.public

    # What the engine asks.

    def enter_epoch(self, rules: Rules, height: int) -> None:
        """The epoch before is over with the block at `height`: nothing of it is signed any more."""
        self._rules = rules
        self._heard.clear()
        self._begin_epoch(height)
        is_sure = 0 < self._state.from_epoch <= rules.epoch
        if self.permission is Permission.FOLLOWING and is_sure:
            self._vote_above(height, view=0)

    @property
    def is_sure_next(self) -> bool:
        """Whether this guard will vote in the next epoch, as far as it knows today."""
        will = 0 < self._state.from_epoch <= self._rules.epoch + 1
        return self._is_fit and (self.permission is Permission.ALLOWED or will)

    @property
    def can_sign(self) -> bool:
        """The one answer to whether this node may vote now, whoever asks and after whatever."""
        return self.permission is Permission.ALLOWED and self._is_fit

    @property
    def _is_fit(self) -> bool:
        return self._key.is_at_hand and not self._withheld

    def withhold(self, why: str) -> None:
        """The machine is not fit to vote, whatever is permitted; empty when it is again."""
        self._withheld = why

    def sign_ready(self, body: Transaction) -> bytes:
        """Of a transaction that says nothing but that the validator is ready; raises Refused."""
        if not is_ready_body(body, self._rules.chain_id, self._key.public):
            raise AssertionError("the consensus key signs no other transaction")
        return self._key.sign(body)

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
        if self.permission is not Permission.ALLOWED or self._memory.log is None:
            raise Refused(self.permission.value)
        if not self._is_fit:
            raise Refused(self._withheld or self._key.trouble)
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
        self._memory.sync()
        staged, self._staged = self._staged, []
        return self._sign_all(staged)

    def committed(self, height: int) -> None:
        """Blocks up to `height` are final: what was kept for them may go, no vote follows."""
        self._memory.committed(height)

    def restored(self, height: int) -> Restored:
        """What the log holds above the chain's `height`, for the replica."""
        if self._state.epoch != self._rules.epoch:
            return Restored()
        proposals = []
        for (at, phase), block_hash in sorted(self._memory.votes.items()):
            block = self._memory.blocks.get(block_hash)
            if phase == PREPARE and at > height and block is not None:
                leaves = tuple(transaction.decode(raw).wtxid for raw in block.transactions)
                proposals.append((block.header, leaves))
        bodies = (self._memory.view_change, self._memory.new_view)
        here = [body for body in bodies if body is not None and body.view == self._state.view]
        again = self._sign_all(here)
        return Restored(
            view=self._state.view,
            view_change=next((item for item in again if isinstance(item, ViewChange)), None),
            new_view=next((item for item in again if isinstance(item, NewView)), None),
            prepared=tuple(
                entry for at, entry in sorted(self._memory.prepared.items()) if at > height
            ),
            proposals=tuple(proposals),
        )

    def block(self, block_hash: bytes) -> Block | None:
        """The body of a block that this member prepared and that is not known to be final."""
        return self._memory.blocks.get(block_hash)

    def hear(self, member: int, status: Status) -> bool:
        """A STATUS whose height is proved; True when it decided whether this guard votes."""
        if self.permission is Permission.ALLOWED:
            return self._hear_other_signer(status)
        mark = self._own_mark(status)
        order = mark.order if mark is not None and self._signed(mark) else None
        member_bit = 0 if self._member is None else 1 << self._member
        left = status.view > self._state.view and bool(status.view_changes & member_bit)
        self._heard[member] = _Heard(status.height, status.view, order, saw_leave=left)
        if self.permission is Permission.WAITING and len(self._heard) >= self._quorum:
            self.permission = self._decide()
            if self.permission is Permission.FOLLOWING:
                self._begin_anew()
                self._know_epoch()
            elif self._memory.is_fresh:  # from now on it is old enough to be believed
                self._begin(self._state)
            return True
        if self.permission is Permission.FOLLOWING:
            self._know_epoch()
        return False

    def _know_epoch(self) -> None:
        """Of q others, without this key itself, one is honest and in the last epoch but one at
        least that this key can have voted in."""
        if self._state.from_epoch == NEVER and len(self._heard_of_others()) >= self._quorum:
            self._begin(replace(self._state, from_epoch=self._rules.epoch + SURE_EPOCHS))

    def hear_self(self, height: int) -> bool:
        """A member counts among those that say where they stand; as `hear`."""
        if self.permission is not Permission.WAITING or self._member is None:
            return False
        own = Status(
            epoch=0,
            view=0,
            active=0,
            height=height,
            heard=0,
            certificate=(),
            held=(),
            view_changes=0,
            votes=(),
        )
        return self.hear(self._member, own)

    def distrust_key(self) -> bool:
        """Another process has this key: vote no more. True when that changed something."""
        self._heard.clear()  # what others said before knows nothing of what that one signs
        if self.permission is not Permission.ALLOWED:
            return False
        self._why = OTHER_PROCESS
        self.permission = Permission.FOLLOWING
        if self._state.from_epoch:
            self._begin(replace(self._state, from_epoch=0))
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
            return self._withheld or self._key.trouble
        from_epoch = self._state.from_epoch
        is_known = self._rules.epoch < from_epoch < NEVER
        later = f" or epoch {from_epoch}" if is_known else ""
        return f"{self.permission.value}{later}{': ' + self._why if self._why else ''}"

    def recover(self) -> None:
        """The operator's word: vote again, above all that this key can have signed.

        Needs the proved STATUS of q other members; raises Refused before.
        """
        if self.permission is not Permission.FOLLOWING:
            raise Refused("there is nothing to recover: " + self.permission.value)
        others = self._heard_of_others()
        if len(others) < self._quorum:
            detail = f"{len(others)} other validators answered, {self._quorum} are needed"
            raise Refused(f"{detail} to know what this key may have signed")
        marks = [heard.mark for heard in others if heard.mark is not None]
        height = max([heard.height for heard in others] + [mark[2] for mark in marks])
        # A view is a bare claim: the highest that one honest member at least has reached.
        claimed = sorted([heard.view for heard in others], reverse=True)
        view = max([claimed[self._rules.validators.f]] + [mark[1] for mark in marks])
        self._vote_above(height + RECOVERY_WINDOWS * self._rules.window, view)

    # Rules.

    @property
    def _state(self) -> GuardState:
        return self._memory.state

    @property
    def _member(self) -> int | None:
        """The place of this key in the present set; None while it has no seat."""
        return self._rules.validators.index_by_key.get(self._key.public)

    def _heard_of_others(self) -> list[_Heard]:
        return [heard for member, heard in self._heard.items() if member != self._member]

    def _begin_epoch(self, height: int = 0) -> None:
        epoch, held = self._rules.epoch, self._state
        if epoch > held.epoch:
            above = max(held.vote_above, height)
            self._memory.begin(GuardState(epoch, 0, 0, 0, above, 0, held.from_epoch))

    def _begin_anew(self) -> None:
        """A memory with gaps is durable from now on; `_know_epoch` says how long they matter."""
        if self._state.from_epoch <= self._rules.epoch:
            self._begin(replace(self._state, from_epoch=NEVER))

    def _begin(self, state: GuardState) -> None:
        if self._memory.log is None:
            self._memory.log = self._new_log()
        self._memory.is_fresh = False
        self._memory.begin(state)

    def _vote_above(self, height: int, view: int) -> None:
        """Begin anew, above all that may have been signed."""
        self._begin(GuardState(self._rules.epoch, view, height, COMMIT, height, view, 0))
        self._why = ""
        self._own_above = height
        self.permission = Permission.ALLOWED

    def _own_mark(self, status: Status) -> VoteMark | None:
        """The echo of this key's last vote. A liar's second one is not worth a signature."""
        return next((mark for mark in status.votes if mark.member == self._member), None)

    def _signed(self, mark: VoteMark) -> bool:
        """Whether an echo is of this key: anybody can claim, nobody can forge."""
        message = vote_hash(self._rules.chain_id, mark.payload)
        return self._rules.is_valid(self._key.public, message, mark.signature)

    @property
    def _quorum(self) -> int:
        return self._rules.validators.quorum

    def _decide(self) -> Permission:
        if self._memory.log is None:
            return Permission.FOLLOWING
        if self._rules.epoch < self._state.from_epoch:
            self._why = "the vote log began anew"
            return Permission.FOLLOWING
        others = self._heard_of_others()
        marks = [heard.mark for heard in others if heard.mark is not None]
        if self._memory.is_fresh:
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
        mark = self._own_mark(status)
        if mark is None:
            return False
        is_beyond = mark.order > self._state.order and mark.height > self._own_above
        held = self._memory.votes.get((mark.height, mark.phase))
        at_place = (mark.epoch, mark.view) == (self._state.epoch, self._state.view)
        differs = at_place and held not in (None, mark.block_hash)
        return (is_beyond or differs) and self._signed(mark) and self.distrust_key()

    def _stage_vote(self, request: VoteRequest, block: Block | None) -> None:
        payload = request.payload
        self._check_view(payload.epoch, payload.view)
        if payload.height <= self._state.vote_above:
            raise Refused(f"height {payload.height}, votes begin above {self._state.vote_above}")
        held = self._memory.votes.get((payload.height, payload.phase))
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
            if payload.block_hash not in self._memory.blocks:
                self._memory.append_block(block)
        else:
            self._memory.append(Kind.PREPARED, codec.encode_payload(self._proved(request)))
        self._memory.append(Kind.VOTE, codec.encode_payload(payload))

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

    def _sign_all(self, requests: Iterable[Signable]) -> list[SignedMessage]:
        """What the key refuses is as if it were lost on the way to the others."""
        signed = []
        for request in requests:
            try:
                signed.append(self._sign(request))
            except Refused as refusal:
                log.warning("vote refused: %s", refusal)
        return signed

    def _sign(self, request: Signable) -> SignedMessage:
        signature = self._key.sign(request)
        if isinstance(request, VotePayload):
            assert self._member is not None, "nobody without a seat is asked to vote"
            return make_vote(request, self._member, signature)
        if isinstance(request, ViewChangeBody):
            return ViewChange(request, signature)
        return NewView(request, signature)

    def _stage_view_change(self, body: ViewChangeBody) -> None:
        held = self._memory.view_change
        if held is not None and held.view == body.view == self._state.view:
            self._staged.append(held)
            return
        self._check_view(body.epoch, body.view)
        if body.view == self._state.view:
            raise Refused(f"votes were signed in view {body.view} already")
        if max(self._memory.prepared, default=0) > body.base.height + self._rules.window:
            raise Refused("the chain is another, and behind what this key prepared")
        self._memory.append(Kind.VIEW_CHANGE, codec.encode_payload(body))
        self._staged.append(body)

    def _stage_new_view(self, body: NewViewBody) -> None:
        held = self._memory.new_view
        if held is not None and held.view == body.view:
            self._staged.append(held)
            return
        self._check_view(body.epoch, body.view)
        self._memory.append(Kind.NEW_VIEW, codec.encode_payload(body))
        self._staged.append(body)

    def _check_view(self, epoch: int, view: int) -> None:
        if epoch != self._rules.epoch or epoch < self._state.epoch:
            now = max(self._rules.epoch, self._state.epoch)
            raise Refused(f"epoch {epoch}, this is epoch {now}")
        if view < max(self._state.view, self._state.view_min):
            raise Refused(f"view {view}, votes were signed in view {self._state.view}")
