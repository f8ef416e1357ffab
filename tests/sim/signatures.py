"""Everything an honest key ever signs, over all its incarnations, and what it must never sign.

The guard's requests are noted as they come, by the hash that they sign; when the key signs a hash,
the request behind it is judged against all that this key signed before:

- nothing before its record is on the disk;
- one block hash for an (epoch, view, height, phase); one VIEW-CHANGE and one NEW-VIEW for a view;
- after `recover` no vote at a height where a vote may have been lost;
- never again in an earlier view;
- a VIEW-CHANGE takes along whatever was COMMITted above its base in an earlier view;
- no vote for a height while a block above it and the window is known to be final;
- a COMMIT follows one for its parent in the same view, or the parent may be decided.

Over all honest keys: where so many signed a COMMIT that the block may be decided somewhere, nobody
signs a PREPARE for another one in a later view. This sees a fork before any member decides.
"""

from __future__ import annotations

from collections.abc import Callable

from consensus.effects import VoteRequest
from consensus.messages import (
    NewViewBody,
    Signable,
    Status,
    ViewChangeBody,
    new_view_hash,
    view_change_hash,
)
from ledger.block import COMMIT, PREPARE, Block, VotePayload, vote_hash
from ledger.transaction import Transaction, sighash
from node.signing import HashKey
from node.vote_guard import VoteGuard
from tests.sim.reference import reference_quorum


class DoubleSigned(AssertionError):
    """An honest key contradicts itself."""


class SignedUnsynced(AssertionError):
    """A signature whose record the next power cut takes: it may be given again, for another."""


class LockedBlock(AssertionError):
    """Two blocks of one height may be decided."""


class CommitTooEarly(AssertionError):
    """A COMMIT leaves an ancestor behind."""


class VoteWhileBehind(AssertionError):
    """A vote below what is known to be final."""


class VotesUnrecovered(AssertionError):
    """A vote of a member that must follow until the operator says otherwise."""


class RecoveredTooLow(AssertionError):
    """Votes are allowed again at heights where this key has voted."""


class RecoveredBlind(AssertionError):
    """Votes are allowed again though no quorum said what this key may have signed."""


AtHeight = dict[tuple[int, int, int, bytes], set[int]]
"""(phase, epoch, view, block hash) -> who signed."""


class Locks:
    """Which blocks the honest members together may have decided.

    `enough` COMMITs of sound members of an epoch and those of all others, evil or weak, are a
    quorum.
    """

    def __init__(self, enough: Callable[[int], int]) -> None:
        self._enough = enough
        self._votes: dict[int, AtHeight] = {}

    def note(self, vote: VotePayload, member: int) -> None:
        """Raises LockedBlock."""
        at_height = self._votes.setdefault(vote.height, {})
        place = (vote.phase, vote.epoch, vote.view, vote.block_hash)
        signers = at_height.setdefault(place, set())
        if member not in signers:
            signers.add(member)
            self._check(vote, at_height)

    def may_be_decided(self, height: int) -> bool:
        """Whether some block at this height may be final somewhere."""
        return any(
            phase == COMMIT and len(signers) >= self._enough(epoch)
            for (phase, epoch, _, _), signers in self._votes.get(height, {}).items()
        )

    def _check(self, vote: VotePayload, at_height: AtHeight) -> None:
        height = vote.height
        for (phase, epoch, view, block_hash), signers in at_height.items():
            if phase != COMMIT or len(signers) < self._enough(epoch):
                continue
            for later_phase, later_epoch, later_view, other in at_height:
                is_later = (later_epoch, later_view) > (epoch, view)
                if later_phase == PREPARE and is_later and other != block_hash:
                    detail = f"may be decided in view {view}, another is prepared in {later_view}"
                    raise LockedBlock(f"a block at height {height} {detail}")


class SignatureBook:
    """One honest member's memory, which no crash reaches."""

    def __init__(
        self, chain_id: bytes, member: int, locks: Locks, *, is_weak: bool = False
    ) -> None:
        self._chain_id = chain_id
        self._member = member
        self._locks = locks
        self._is_weak = is_weak
        self._asked: dict[bytes, Signable] = {}
        self._allowed: set[bytes] = set()
        self._votes: dict[tuple[int, int, int, int], bytes] = {}
        self._highest = 0
        """Of all votes there ever were, also those of which the memory was lost."""
        self._whole: dict[tuple[str, int, int], Signable] = {}
        self._view = (0, 0)
        self.signed = 0
        self.forgets = False
        """Its machine lost what it wrote: it counts among the f, and may contradict itself."""
        self.must_follow = False
        """Its log is unreadable or new, and must know that: no signature before `recovered`."""
        self._above = 0

    def ask(self, request: Signable) -> None:
        """The guard is asked for this; whether it signs is seen at the key."""
        if isinstance(request, VotePayload):
            message = vote_hash(self._chain_id, request)
        elif isinstance(request, ViewChangeBody):
            message = view_change_hash(self._chain_id, request)
        else:
            message = new_view_hash(self._chain_id, request)
        self._asked[message] = request

    def allow(self, message: bytes) -> None:
        """The key may sign this, which is no vote."""
        self._allowed.add(message)

    def sign(self, message: bytes) -> None:
        """The key signs; raises DoubleSigned."""
        if message in self._allowed:
            return
        request = self._asked.get(message)
        if request is None:
            raise DoubleSigned(f"signed {message.hex()}, which nobody asked for")
        self.signed += 1
        if self.must_follow and self._epoch_of(request) > self._view[0]:
            self._renew(0)  # nothing that was lost can be asked for in an epoch of its own
        if self.must_follow:
            raise VotesUnrecovered(f"member {self._member} signs without the memory of its votes")
        if isinstance(request, VotePayload):
            self._highest = max(self._highest, request.height)
        if self.forgets:
            return
        if isinstance(request, VotePayload):
            self._note_vote(request)
        else:
            self._note_whole(request)

    @staticmethod
    def _epoch_of(request: Signable) -> int:
        return request.epoch

    def forget(self) -> None:
        """Its log is an older one, which cannot know it; whatever lay there before is gone."""
        self.forgets, self.must_follow = True, False

    def recovered(self, above: int) -> None:
        """The operator said `recover`: votes begin above a height; raises RecoveredTooLow."""
        if above < self._highest:
            raise RecoveredTooLow(f"votes begin above {above}, there is one at {self._highest}")
        self._renew(above)

    def _renew(self, above: int) -> None:
        """A memory without gaps begins."""
        self.forgets = self.must_follow = False
        self._votes.clear()
        self._whole.clear()
        self._view = (0, 0)
        self._above = above

    def _note_vote(self, vote: VotePayload) -> None:
        if vote.height <= self._above:
            raise RecoveredTooLow(f"a vote at {vote.height}, they begin above {self._above}")
        place = (vote.epoch, vote.view, vote.height, vote.phase)
        first = self._votes.setdefault(place, vote.block_hash)
        if first != vote.block_hash:
            raise DoubleSigned(f"two hashes at (epoch, view, height, phase) {place}")
        self._advance(vote.epoch, vote.view)
        if not self._is_weak:
            self._locks.note(vote, self._member)
        below = (vote.epoch, vote.view, vote.height - 1, COMMIT)
        leaves_parent = (
            vote.phase == COMMIT and vote.height > self._above + 1 and below not in self._votes
        )
        if leaves_parent and not self._locks.may_be_decided(vote.height - 1):
            raise CommitTooEarly(f"height {vote.height} in view {vote.view}")

    def _note_whole(self, body: ViewChangeBody | NewViewBody) -> None:
        place = (type(body).__name__, body.epoch, body.view)
        is_new = place not in self._whole
        if self._whole.setdefault(place, body) != body:
            raise DoubleSigned(f"two different {place}")
        if is_new:
            self._advance(body.epoch, body.view)
            if isinstance(body, ViewChangeBody):
                self._check_takes_along(body)

    def _advance(self, epoch: int, view: int) -> None:
        if (epoch, view) < self._view:
            raise DoubleSigned(f"signed in {epoch, view} after {self._view}")
        self._view = (epoch, view)

    def _check_takes_along(self, body: ViewChangeBody) -> None:
        views = {entry.header.height: entry.certificate.view for entry in body.entries}
        for (epoch, view, height, phase), _ in self._votes.items():
            left_out = phase == COMMIT and view < body.view and height > body.base.height
            if epoch == body.epoch and left_out and views.get(height, -1) < view:
                detail = f"VIEW-CHANGE to {body.view} without height {height} of view {view}"
                raise DoubleSigned(detail)


class WatchedKey:
    """A key that tells its book what it signs, and looks whether the guard remembers it."""

    def __init__(self, key: HashKey, book: SignatureBook) -> None:
        self._key = key
        self._book = book
        self.guard: WatchedGuard | None = None

    @property
    def public(self) -> bytes:
        return self._key.public

    def sign(self, message: bytes) -> bytes:
        self._book.sign(message)
        log = None if self.guard is None else self.guard._memory.log
        if log is not None and log._pending:
            raise SignedUnsynced(f"{len(log._pending)} records wait for a sync")
        return self._key.sign(message)


class WatchedGuard(VoteGuard):
    """The node's guard; what it is asked is noted, and what it heard of final blocks."""

    book: SignatureBook
    heard_height = 0
    heard_from: set[int]

    def hear(self, member: int, status: Status) -> bool:
        """The replica found the height proved."""
        self.heard_height = max(self.heard_height, status.height)
        if member != self._member:
            self.heard_from.add(member)
        return super().hear(member, status)

    def sign_ready(self, body: Transaction) -> bytes:
        """No vote: it binds nobody."""
        self.book.allow(sighash(body))
        return super().sign_ready(body)

    def recover(self) -> None:
        """Refused before a quorum of the others answered."""
        super().recover()
        if len(self.heard_from) < reference_quorum(self._rules.validators.n):
            raise RecoveredBlind(f"member {self._member} heard {sorted(self.heard_from)} only")

    def stage(
        self,
        request: VoteRequest | ViewChangeBody | NewViewBody,
        *,
        synced: bool,
        block: Block | None = None,
    ) -> None:
        self.book.ask(request.payload if isinstance(request, VoteRequest) else request)
        if isinstance(request, VoteRequest):
            height = request.payload.height
            if self.heard_height >= height + self._rules.window:
                raise VoteWhileBehind(f"height {height}, final is {self.heard_height}")
        super().stage(request, synced=synced, block=block)
