"""Catching up by a snapshot: whom to ask for what. A plan, without clock, socket or store.

One attempt goes through three steps.

1. Walk: the last blocks of epochs, from the one in which this chain stands to the newest that
   anybody has. Each certificate is checked against the set that the step before proved. The walk
   is over when every peer says, or will not say, that the next epoch has not ended.
2. Manifest: whoever holds the snapshot at the end of the newest of these epochs.
3. Chunks: from all of them at once, each as fast as its share of the asked node's time allows. A
   few questions ahead, for what a busy node makes in one turn waits for no further question.

What a peer claims decides nothing; whatever it gives is proved. A peer that gives something wrong
is never asked again in this process, one that is silent or slower than `ANSWER_MS` is passed over
for `REST_MS`; all others go on. Peers are named by their link keys, for that is what the authority
signed: one that comes back under another name is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ledger.block import Header, IsValid
from ledger.boundaries import Boundary, check_boundary
from ledger.reasons import Invalid, Reason
from ledger.snapshot import Manifest, check_manifest
from ledger.validators import ValidatorSet
from node.fetching import (
    BOUNDARIES_MAX,
    FetchBoundaries,
    FetchChunk,
    FetchManifest,
    GiveBoundaries,
    GiveChunk,
    GiveManifest,
)
from node.serving import Allowance

ANSWER_MS = 10_000
"""The largest chunk within this is 77 KB/s, the floor: who is slower is passed over."""
QUESTIONS_AHEAD = 3
"""Chunks that one peer is asked for at once; a node makes two of them at most in one turn."""
REST_MS = 30_000
"""How long a peer that did not answer in time is left alone."""
WINDOW_MS = 60_000
WINDOW_CHUNKS_MIN = 15
"""In a window, of all peers together; with fewer the attempt ends. Else the only peer that still
has an old snapshot could give one chunk in ten seconds for hours, while others have a newer one."""
PEERS_MAX = 64
"""Peers whose conduct is remembered; no more are linked."""

Question = FetchBoundaries | FetchManifest | FetchChunk
Answer = GiveBoundaries | GiveManifest | GiveChunk


class Stage(Enum):
    """How far an attempt is."""

    WALK = "walk"
    MANIFEST = "manifest"
    CHUNKS = "chunks"
    NOTHING_NEWER = "nothing newer"
    """No epoch ended above this chain's height."""
    NOBODY_HAS_IT = "nobody has it"
    """Every peer said that it does not hold this snapshot, or no longer."""
    TOO_SLOW = "too slow"
    """What the peers give together is below the floor."""


def claimed_height(claims: Mapping[bytes, int], f: int) -> int:
    """What at least one honest peer claims, where at most `f` of them lie; 0 for too few."""
    heights = sorted(claims.values(), reverse=True)
    return heights[f] if len(heights) > f else 0


def exaggerating(claims: Mapping[bytes, int], f: int, distance: int) -> list[bytes]:
    """Peers that claim so much more than others do that it is not believed."""
    believed = claimed_height(claims, f)
    return [key for key, height in claims.items() if height >= believed + distance]


@dataclass(slots=True)
class _Peer:
    asked: list[Question] = field(default_factory=list)
    """More than one only where all are for chunks."""
    waits_since_ms: int = 0
    """For the next answer: since the question or the answer before."""
    asked_last_ms: int = -1
    rests_until_ms: int = 0
    ended_before: int = -1
    """The epoch that has not ended, as it said, or did not say in time."""
    has: bool | None = None
    """The snapshot; None: not asked yet."""


class Conduct:
    """Who was caught lying, for as long as the process lives: a new attempt does not forget."""

    def __init__(self) -> None:
        self._liars: dict[bytes, None] = {}

    def __contains__(self, peer: bytes) -> bool:
        return peer in self._liars

    def refuse(self, peer: bytes) -> None:
        if len(self._liars) < PEERS_MAX:
            self._liars[peer] = None


class SnapshotPlan:
    """One attempt. `validators` are those of the epoch of the block after this chain's last."""

    def __init__(
        self,
        chain_id: bytes,
        validators: ValidatorSet,
        height: int,
        conduct: Conduct,
        is_valid: IsValid,
    ) -> None:
        self._chain_id = chain_id
        self._height = height
        self.is_valid = is_valid
        self._conduct = conduct
        self._peers: dict[bytes, _Peer] = {}
        self._allowance = Allowance()
        self._next = validators
        self._proved: tuple[Header, ValidatorSet] | None = None
        self._slow: deque[bytes] = deque(maxlen=PEERS_MAX)
        self._walked: list[Boundary] = []
        self._window_from_ms: int | None = None
        self._window_chunks = 0
        self.stage = Stage.WALK
        self.manifest: Manifest | None = None

    @property
    def target(self) -> Header | None:
        """The last block of the newest epoch that is proved to have ended."""
        return None if self._proved is None else self._proved[0]

    @property
    def validators(self) -> ValidatorSet:
        """Of the target's epoch."""
        if self._proved is None:
            raise AssertionError("no epoch is proved to have ended")
        return self._proved[1]

    @property
    def is_over(self) -> bool:
        """This attempt leads nowhere."""
        return self.stage in (Stage.NOTHING_NEWER, Stage.NOBODY_HAS_IT, Stage.TOO_SLOW)

    def note_links(self, linked: Collection[bytes]) -> None:
        """Who is linked now. Questions to whoever left are asked again of others."""
        kept = {key: item for key, item in self._peers.items() if key in linked}
        wanted = [key for key in linked if key not in kept and key not in self._conduct]
        self._peers = kept | {key: _Peer() for key in wanted[: PEERS_MAX - len(kept)]}

    def resume(self, manifest: Manifest) -> None:
        """The manifest is checked and its chunks are being imported."""
        self.manifest = manifest
        self.stage = Stage.CHUNKS

    def requests(self, missing: Collection[int], now_ms: int) -> list[tuple[bytes, Question]]:
        """Whom to ask for what now; `missing` are the chunks to come, once there is a manifest."""
        self._give_up_late(now_ms)
        if self.stage is Stage.WALK and self._is_walked(now_ms):
            is_newer = self.target is not None and self.target.height > self._height
            self.stage = Stage.MANIFEST if is_newer else Stage.NOTHING_NEWER
            return []  # the caller opens its store first
        if self.stage is Stage.CHUNKS:
            self._judge_speed(now_ms)
        found: list[tuple[bytes, Question]] = []
        # Who waited longest first: else some that are silent, each rested when the last of them is
        # given up, would be asked in turn for ever.
        peers = sorted(self._peers.items(), key=lambda item: item[1].asked_last_ms)
        for _ in range(QUESTIONS_AHEAD):
            for key, peer in peers:
                if not self._may_be_asked(key, peer, now_ms):
                    continue
                question = self._question(peer, missing)
                if question is not None:
                    if not peer.asked:
                        peer.waits_since_ms = now_ms
                    peer.asked.append(question)
                    peer.asked_last_ms = now_ms
                    found.append((key, question))
        self._end_if_nobody()
        return found

    def take_slow(self) -> list[bytes]:
        """Peers that were passed over since the last call, for the log."""
        slow = list(self._slow)
        self._slow.clear()
        return slow

    def take_walked(self) -> list[Boundary]:
        """What the last answer proved of the walk, in order; whoever imports keeps it."""
        walked, self._walked = self._walked, []
        return walked

    def expects(self, peer: bytes, answer: Answer) -> bool:
        """Whether it answers a question that this peer was asked and that is not given up."""
        held = self._peers.get(peer)
        return held is not None and any(_is_answer(answer, question) for question in held.asked)

    def give(self, peer: bytes, answer: Answer, now_ms: int) -> GiveChunk | None:
        """Take an answer that is expected; raises Invalid for one that `refuse` must follow.

        A chunk comes back: whoever imports it finds out whether it is right.
        """
        held = self._peers[peer]
        asked_ms, held.waits_since_ms = held.waits_since_ms, now_ms
        held.asked.remove(next(item for item in held.asked if _is_answer(answer, item)))
        if not isinstance(answer, GiveChunk):  # whoever gives chunks paces itself
            took_s = (now_ms - asked_ms) / 1_000
            self._allowance.charge(peer, asked_ms / 1_000, took_s, shares=self._next.n)
        match answer:
            case GiveBoundaries():
                self._walk(held, answer)
            case GiveManifest():
                self._choose(held, answer)
            case GiveChunk() if answer.data:
                self._window_chunks += 1
                return answer
            case GiveChunk():
                held.has = False
        return None

    def refuse(self, peer: bytes) -> None:
        """It gave something wrong: whatever it was asked is asked of others."""
        self._conduct.refuse(peer)
        self._peers.pop(peer, None)

    # Inside.

    def _may_be_asked(self, key: bytes, peer: _Peer, now_ms: int) -> bool:
        ahead = QUESTIONS_AHEAD if self.stage is Stage.CHUNKS and peer.has else 1
        is_able = len(peer.asked) < ahead and now_ms >= peer.rests_until_ms
        return is_able and self._allowance.may_ask(key, now_ms / 1_000)

    def _give_up_late(self, now_ms: int) -> None:
        for key, peer in self._peers.items():
            if peer.asked and now_ms >= peer.waits_since_ms + ANSWER_MS:
                if isinstance(peer.asked[0], FetchBoundaries):
                    peer.ended_before = peer.asked[0].epoch
                peer.asked.clear()
                peer.rests_until_ms = now_ms + REST_MS
                self._slow.append(key)

    def _question(self, peer: _Peer, missing: Collection[int]) -> Question | None:
        if self.stage is Stage.WALK:
            if peer.ended_before == self._next.epoch or self._is_walking():
                return None
            return FetchBoundaries(self._next.epoch, BOUNDARIES_MAX)
        target = self.target
        if target is None or self.is_over or peer.has is False:
            return None
        if peer.has is None:
            return FetchManifest(target.epoch)
        number = self._unasked(missing)
        return None if number is None else FetchChunk(target.epoch, number)

    def _is_walking(self) -> bool:
        """One question at a time moves the walk: the next depends on its answer."""
        return any(isinstance(question, FetchBoundaries) for question in self._all_asked())

    def _unasked(self, missing: Collection[int]) -> int | None:
        asked = {item.number for item in self._all_asked() if isinstance(item, FetchChunk)}
        return next((number for number in missing if number not in asked), None)

    def _all_asked(self) -> Iterator[Question]:
        return (question for peer in self._peers.values() for question in peer.asked)

    def _is_walked(self, now_ms: int) -> bool:
        """All that can be asked have said that no further epoch has ended."""
        able = [item for item in self._peers.values() if now_ms >= item.rests_until_ms]
        return bool(able) and all(item.ended_before == self._next.epoch for item in able)

    def _judge_speed(self, now_ms: int) -> None:
        if self._window_from_ms is None:
            self._window_from_ms = now_ms
        elif now_ms >= self._window_from_ms + WINDOW_MS:
            if self._window_chunks < WINDOW_CHUNKS_MIN:
                self.stage = Stage.TOO_SLOW
            self._window_from_ms, self._window_chunks = now_ms, 0

    def _end_if_nobody(self) -> None:
        is_asking = self.stage in (Stage.MANIFEST, Stage.CHUNKS)
        if is_asking and self._peers and all(peer.has is False for peer in self._peers.values()):
            self.stage = Stage.NOBODY_HAS_IT

    def _walk(self, peer: _Peer, answer: GiveBoundaries) -> None:
        if self.stage is not Stage.WALK or answer.epoch != self._next.epoch:
            return  # somebody else was faster
        if not answer.boundaries:
            peer.ended_before = self._next.epoch
        for boundary in answer.boundaries:
            epoch = self._next.epoch
            if boundary.header.epoch != epoch:
                detail = f"the end of epoch {boundary.header.epoch} given for that of {epoch}"
                raise Invalid(Reason.WRONG_EPOCH, detail)
            following = check_boundary(boundary, self._chain_id, self._next, self.is_valid)
            self._proved = boundary.header, self._next
            self._next = following
            self._walked.append(boundary)

    def _choose(self, peer: _Peer, answer: GiveManifest) -> None:
        target = self.target
        if target is None or not answer.manifest:
            peer.has = False
            return
        manifest = answer.manifest[0]
        if manifest.header.epoch != target.epoch:
            detail = f"a snapshot of epoch {manifest.header.epoch} given for {target.epoch}"
            raise Invalid(Reason.WRONG_EPOCH, detail)
        if self.manifest is None:
            check_manifest(manifest, self._chain_id, self.validators, self.is_valid)
            self.manifest = manifest
            self.stage = Stage.CHUNKS
        elif (manifest.header, manifest.roots) != (self.manifest.header, self.manifest.roots):
            raise Invalid(Reason.BAD_PROOF, f"another snapshot of epoch {target.epoch}")
        peer.has = True


def _is_answer(answer: Answer, question: Question) -> bool:
    match question, answer:
        case FetchBoundaries(), GiveBoundaries():
            return answer.epoch == question.epoch
        case FetchManifest(), GiveManifest():
            return answer.epoch == question.epoch
        case FetchChunk(), GiveChunk():
            return (answer.epoch, answer.number) == (question.epoch, question.number)
    return False
