"""Everything a replica remembers, with the questions that several handlers ask of it.

Bounds: slots and parked messages exist only for heights up to committed + window + another one
(of `PARK_HEIGHTS` at least) and views up to view + `PARK_VIEWS`, one a sender, view, height and
kind; of VIEW-CHANGE and SUSPECT only the latest of each member is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from consensus.effects import Evidence, Now, Output
from consensus.messages import (
    Commit,
    NewView,
    PreparedEntry,
    PrePrepare,
    Suspect,
    ViewChange,
    Vote,
    VoteMark,
)
from consensus.slot import Slot
from consensus.view_change import CheckedViewChange, Rules
from ledger.block import Certificate, Header, VotePayload, header_hash
from ledger.reasons import Reason

DOUBLINGS_MAX = 16  # beyond any chain's limit on T; keeps the shift small
STATUS_MS = 1_000
SUSPECT_LIFE_MS = 10_000  # a suspicion that is not repeated fades
PAUSE_MS = 2 * STATUS_MS  # STATUS brings a step each second: who made none so long stood still
START_WAIT_MS = 30_000  # how long block 1 waits for the last members
PARK_VIEWS = 16
PARK_HEIGHTS = 2

Parkable: TypeAlias = PrePrepare | Vote


class ReplicaBroken(AssertionError):
    """A quorum stands behind a block that fails here: this node must stop, not choose."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What the guard's log still knows after a restart.

    `proposals` are the blocks (header and leaves) that this member prepared in `view`.
    """

    view: int = 0
    view_change: ViewChange | None = None
    new_view: NewView | None = None
    prepared: tuple[PreparedEntry, ...] = ()
    proposals: tuple[tuple[Header, tuple[bytes, ...]], ...] = ()


@dataclass(slots=True)
class ReplicaState:
    """One mutable value, owned by `Replica`; `member` is None for one that only follows."""

    rules: Rules
    member: int | None
    committed: Header
    committed_hash: bytes
    committed_certificate: Certificate | None
    started_ms: int
    view: int = 0
    active: bool = True
    # Votes are allowed by the guard, above a height and from a view on.
    voting: bool = False
    vote_above: int = 0
    vote_view_min: int = 0
    # The current view.
    slots: dict[int, Slot] = field(default_factory=dict)
    derived_top: int = 0
    new_view: NewView | None = None
    asked_view_change: bool = False
    asked_new_view: bool = False
    # What outlives a view.
    prepared: dict[int, PreparedEntry] = field(default_factory=dict)
    certified: dict[int, Certificate] = field(default_factory=dict)
    executed: dict[bytes, tuple[Header, Reason | None]] = field(default_factory=dict)
    parked: dict[tuple[int, int, int, int], Parkable] = field(default_factory=dict)
    unpark_due: bool = False
    view_changes: dict[int, CheckedViewChange] = field(default_factory=dict)
    suspects: dict[int, tuple[Suspect, int]] = field(default_factory=dict)
    marks: dict[int, VoteMark] = field(default_factory=dict)
    # The world as reported.
    connected: frozenset[int] = frozenset()
    status_from: set[int] = field(default_factory=set)
    heard_by: dict[int, int] = field(default_factory=dict)  # from STATUS: bitmaps, by member
    known_height: int = 0
    target: Certificate | None = None  # that of the known height, while it lies above ours
    pending_since_ms: int | None = None
    # Timers, monotonic milliseconds.
    failed_views: int = 0
    stepped_ms: int = 0
    awake_ms: int = 0  # since when no pause of this process was noticed
    progress_ms: int = 0
    quorum_ms: int | None = None  # when q VIEW-CHANGEs for the awaited view were held
    next_status_ms: int = 0
    next_suspect_ms: int = 0
    next_catch_up_ms: int = 0  # 0: nothing is missed yet
    answered_ms: dict[int, int] = field(default_factory=dict)
    view_changes_booked_ms: dict[int, int] = field(default_factory=dict)  # as `changing` looks at
    bad_primary: str = ""  # until it decides something right
    distrust: str = ""  # whatever it decides; told from outside
    # What follows from the rules, the view and the committed block, and is asked at every turn.
    quorum: int = field(init=False)
    window: int = field(init=False)
    primary: int = field(init=False)
    height: int = field(init=False)
    heights_open: range = field(init=False)
    """Heights that may be proposed and voted on now."""
    near_height: int = field(init=False)
    """Up to here messages are kept: who makes a window final may propose the next one at once."""

    def __post_init__(self) -> None:
        self.quorum = self.rules.validators.quorum
        self.window = self.rules.window
        self.primary = self.primary_of(self.view)
        self._stand_at(self.committed.height)

    def primary_of(self, view: int) -> int:
        return self.rules.validators.primary(view)

    @property
    def synced(self) -> bool:
        """q members told where they stand and nothing beyond the window is known to be final."""
        heard = len(self.status_from) >= self.quorum
        return heard and self.known_height <= self.height + self.window

    @property
    def timeout_ms(self) -> int:
        """T, doubled for each view that failed since the last commit, up to the chain's limit.

        Without the limit a long outage would prolong itself.
        """
        timing = self.rules.timing
        if self.failed_views == 0:
            return timing.view_timeout_ms
        doubled = timing.view_timeout_ms << min(self.failed_views, DOUBLINGS_MAX)
        return min(doubled, timing.view_timeout_ms_max)

    def may_vote(self, height: int) -> bool:
        return (
            self.member is not None
            and self.voting
            and self.synced
            and height > self.vote_above
            and self.view >= self.vote_view_min
        )

    def slot(self, height: int) -> Slot:
        found = self.slots.get(height)
        if found is None:
            found = self.slots[height] = Slot()
        return found

    def parent_of(self, height: int) -> tuple[bytes, Header] | None:
        """Hash and header of the block that a proposal at `height` must continue.

        None where it is not known here, or ends this epoch: nothing in flight outlives an epoch.
        """
        if height == self.height + 1:
            parent = self.committed_hash, self.committed
        else:
            below = self.slots.get(height - 1)
            if below is None or below.proposal is None:
                return None
            parent = below.proposal.block_hash, below.proposal.header
        is_of_this_epoch = parent[1].next_validators_hash == self.rules.validators.hash
        return parent if is_of_this_epoch else None

    def payload(self, phase: int, height: int, block_hash: bytes) -> VotePayload:
        return VotePayload(self.rules.epoch, phase, self.view, height, block_hash)

    def mark(self, vote: Vote) -> None:
        """Remember the highest vote of a member: its guard asks for it after a restart."""
        mark = VoteMark(
            vote.signer,
            vote.epoch,
            vote.view,
            vote.height,
            vote.phase,
            vote.block_hash,
            vote.signature,
        )
        held = self.marks.get(vote.signer)
        if held is None or mark.order > held.order:
            self.marks[vote.signer] = mark

    def park(self, sender: int, message: Parkable) -> None:
        """Keep what comes early: one message a sender, view, height and kind.

        A proposal, which may list a whole block, only from the primary of its view.
        """
        height = message.header.height if isinstance(message, PrePrepare) else message.height
        if isinstance(message, PrePrepare) and sender != self.primary_of(message.view):
            return
        near_view = self.view <= message.view <= self.view + PARK_VIEWS
        if near_view and self.height < height <= self.near_height:
            self.parked[(sender, message.view, height, message.TYPE)] = message

    def leave_view(self, view: int, now: Now) -> None:
        """Stop voting in the old view; nothing that was prepared is forgotten."""
        self._enter(view, now)
        self.active = False
        self.failed_views += 1

    def enter_view(self, new_view: NewView, derived_top: int, now: Now) -> None:
        """Begin to vote in the view that `new_view` proves."""
        self._enter(new_view.body.view, now)
        self.active = True
        self.new_view = new_view
        self.derived_top = derived_top

    def commit(self, header: Header, certificate: Certificate, now: Now) -> None:
        """`header` is final: everything at or below it is done with."""
        height = header.height
        self.committed = header
        self.committed_hash = certificate.block_hash
        self.committed_certificate = certificate
        self._stand_at(height)
        if height >= self.known_height:
            self.known_height = height
            self.target = None
        self.failed_views = 0
        self.progress_ms = now.monotonic_ms
        self.bad_primary = ""
        self.unpark_due = True
        self.slots = {key: slot for key, slot in self.slots.items() if key > height}
        self.prepared = {key: entry for key, entry in self.prepared.items() if key > height}
        self.certified = {key: proof for key, proof in self.certified.items() if key > height}
        self.next_catch_up_ms = 0
        self.executed = {
            block_hash: (block, reason)
            for block_hash, (block, reason) in self.executed.items()
            if block.height > height
        }
        self.parked = {key: item for key, item in self.parked.items() if key[2] > height}

    def learn_certificate(self, certificate: Certificate) -> None:
        """A verified COMMIT certificate above the committed height."""
        if certificate.height > self.known_height:
            self.known_height = certificate.height
            self.target = certificate
        if certificate.height in self.heights_open:
            self.certified.setdefault(certificate.height, certificate)

    def conflict(self, first: Vote, out: Output, second: Vote) -> None:
        """Two votes that no honest member signs both."""
        out.evidence.append(Evidence(first, second))
        of_view = second.view == self.view and not isinstance(second, Commit)
        if of_view and second.signer == self.primary:
            self.bad_primary = "two proposals for one height"

    def _stand_at(self, height: int) -> None:
        self.height = height
        self.heights_open = range(height + 1, height + self.window + 1)
        self.near_height = height + self.window + max(self.window, PARK_HEIGHTS)

    def _enter(self, view: int, now: Now) -> None:
        prepared = {entry.certificate.block_hash for entry in self.prepared.values()}
        self.executed = {key: item for key, item in self.executed.items() if key in prepared}
        self.view = view
        self.primary = self.primary_of(view)
        self.slots = {}
        self.derived_top = 0
        self.new_view = None
        self.asked_view_change = False
        self.asked_new_view = False
        self.quorum_ms = None
        self.progress_ms = now.monotonic_ms
        self.next_suspect_ms = 0
        self.bad_primary = ""
        self.distrust = ""
        self.unpark_due = True
        self.parked = {key: item for key, item in self.parked.items() if key[1] >= view}


def initial_state(
    rules: Rules,
    member: int | None,
    head: Header,
    certificate: Certificate | None,
    restored: Restored,
    now: Now,
) -> ReplicaState:
    """The state at start: the chain's head and what the guard's log remembers.

    In a view above 0 the replica waits for the view's NEW-VIEW, which its peers send again.
    """
    state = ReplicaState(
        rules=rules,
        member=member,
        committed=head,
        committed_hash=header_hash(head),
        committed_certificate=certificate,
        started_ms=now.monotonic_ms,
        view=restored.view,
        active=restored.view == 0,
        known_height=head.height,
        stepped_ms=now.monotonic_ms,
        progress_ms=now.monotonic_ms,
        next_status_ms=now.monotonic_ms,
    )
    for entry in restored.prepared:
        if entry.header.height > head.height:
            state.prepared[entry.header.height] = entry
    return state
