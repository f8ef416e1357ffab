"""The plan of taking a snapshot: peers of every kind under a clock that the test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.boundaries import boundary_of, keep_boundaries, keep_first
from ledger.chain import Chain
from ledger.kv import MemoryKV
from ledger.reasons import Invalid
from ledger.snapshot_import import Import
from node import snapshot_sync as module
from node.fetching import (
    BOUNDARIES_MAX,
    FetchBoundaries,
    FetchChunk,
    FetchManifest,
    GiveBoundaries,
    GiveChunk,
    GiveManifest,
)
from node.serving import answer
from node.snapshot_held import HeldSnapshot
from node.snapshot_sync import (
    ANSWER_MS,
    PEERS_MAX,
    QUESTIONS_AHEAD,
    REST_MS,
    WINDOW_CHUNKS_MIN,
    WINDOW_MS,
    Answer,
    Conduct,
    Question,
    SnapshotPlan,
    Stage,
    claimed_height,
    exaggerating,
)
from tests.ledger.chain_world import CHAIN_ID, EPOCH_BLOCKS, is_valid, validators
from tests.ledger.snapshot_world import begin, extend, grown

EPOCHS = 4
STEP_MS = 50
END_MS = 600_000
Serve = Callable[[Question], tuple[Answer | None, int]]
"""An answer and after how many milliseconds it is there; None: never."""


@dataclass(frozen=True)
class Served:
    """A chain beyond its last end of an epoch, and what it gives."""

    chain: Chain
    held: HeldSnapshot
    given: dict[Question, Answer] = field(default_factory=dict)
    """The chain stands still, and the same is asked hundreds of times."""

    def answer(self, question: Question) -> Answer:
        if question not in self.given:
            given = answer(question, self.chain, self.held, lambda _: None, lambda _: None)
            assert isinstance(given, Answer)
            self.given[question] = given
        return self.given[question]


@cache
def served(epochs: int = EPOCHS) -> Served:
    world, chain = grown(MemoryKV(), seed=epochs, outputs=2_500, epochs=epochs)
    held = HeldSnapshot(chain)
    extend(chain, world, Random(1), 1)
    return Served(chain, held)


@cache
def other_chain() -> Served:
    """The same members, another history: what it gives is true of it."""
    _, chain = grown(MemoryKV(), seed=99, outputs=2_500, epochs=EPOCHS)
    return Served(chain, HeldSnapshot(chain))


# Peers.


def honest(question: Question) -> tuple[Answer | None, int]:
    return served().answer(question), 30


def silent(question: Question) -> tuple[Answer | None, int]:
    return None, 0


def dripping(question: Question) -> tuple[Answer | None, int]:
    return served().answer(question), ANSWER_MS + 1_000


def without_snapshot(question: Question) -> tuple[Answer | None, int]:
    """Started since the last epoch ended."""
    match question:
        case FetchManifest(epoch=epoch):
            return GiveManifest(epoch, ()), 30
        case FetchChunk(epoch=epoch, number=number):
            return GiveChunk(epoch, number, b""), 30
    return honest(question)


def knows_nothing(question: Question) -> tuple[Answer | None, int]:
    """Height down: it says that not even the first epoch has ended."""
    if isinstance(question, FetchBoundaries):
        return GiveBoundaries(question.epoch, ()), 30
    return without_snapshot(question)


def forges_boundary(question: Question) -> tuple[Answer | None, int]:
    if isinstance(question, FetchBoundaries):
        boundary = boundary_of(served().chain, 0)
        assert boundary is not None
        header = replace(boundary.header, epoch=question.epoch, height=10**9)
        return GiveBoundaries(question.epoch, (replace(boundary, header=header),)), 1
    return honest(question)


def skips_an_epoch(question: Question) -> tuple[Answer | None, int]:
    if isinstance(question, FetchBoundaries):
        boundary = boundary_of(served().chain, 2)
        assert boundary is not None
        return GiveBoundaries(question.epoch, (boundary,)), 1
    return honest(question)


def forges_manifest(question: Question) -> tuple[Answer | None, int]:
    if isinstance(question, FetchManifest):
        found, _ = honest(question)
        assert isinstance(found, GiveManifest)
        roots = replace(found.manifest[0].roots, spent_root=bytes(32))
        return GiveManifest(question.epoch, (replace(found.manifest[0], roots=roots),)), 1
    return honest(question)


def gives_stale_epoch(question: Question) -> tuple[Answer | None, int]:
    if isinstance(question, FetchManifest):
        manifest = served(EPOCHS - 1).held.manifest(EPOCHS - 2)
        assert manifest is not None
        return GiveManifest(question.epoch, (manifest,)), 1
    return honest(question)


def forges_chunk(question: Question) -> tuple[Answer | None, int]:
    found, delay_ms = honest(question)
    if isinstance(found, GiveChunk):
        return replace(found, data=bytes([*found.data[:-1], found.data[-1] ^ 1])), 1
    return found, delay_ms


def gives_chunks_of_another(question: Question) -> tuple[Answer | None, int]:
    if isinstance(question, FetchChunk):
        return other_chain().answer(question), 1
    return honest(question)


LIARS: tuple[Serve, ...] = (
    forges_boundary,
    skips_an_epoch,
    forges_manifest,
    gives_stale_epoch,
    forges_chunk,
    gives_chunks_of_another,
)
USELESS: tuple[Serve, ...] = (silent, dripping, without_snapshot, knows_nothing)


# The clock.


class Attempt:
    """A plan, its peers, its store in memory, and who was refused."""

    def __init__(self, peers: dict[bytes, Serve], conduct: Conduct | None = None) -> None:
        self.peers = peers
        self.plan = SnapshotPlan(CHAIN_ID, validators(0), 0, conduct or Conduct(), is_valid)
        self.kv = MemoryKV()
        keep_first(self.kv, validators(0))
        self.taking: Import | None = None
        self.refused: dict[bytes, Invalid] = {}
        self.slow: set[bytes] = set()
        self.now_ms = 0
        self._coming: list[tuple[int, int, bytes, Answer]] = []
        self._asked = 0

    def run(self) -> Stage:
        """Until the store is a chain, or the plan says that it leads nowhere."""
        while self.now_ms < END_MS and not self.plan.is_over:
            self._turn()
            if self.taking is not None and not self.taking.missing:
                self.taking.finish()
                return self.plan.stage
            self.now_ms += STEP_MS
        return self.plan.stage

    def _turn(self) -> None:
        for item in sorted(self._coming, key=lambda item: item[:2]):
            if item[0] <= self.now_ms:
                self._coming.remove(item)
                self._hear(item[2], item[3])
        self.plan.note_links(self.peers)
        missing = () if self.taking is None else self.taking.missing
        for key, question in self.plan.requests(missing, self.now_ms):
            found, delay_ms = self.peers[key](question)
            self._asked += 1
            if found is not None:
                self._coming.append((self.now_ms + delay_ms, self._asked, key, found))
        self.slow.update(self.plan.take_slow())

    def _hear(self, key: bytes, found: Answer) -> None:
        if not self.plan.expects(key, found):
            return
        try:
            try:
                chunk = self.plan.give(key, found, self.now_ms)
            finally:
                keep_boundaries(self.kv, self.plan.take_walked())
            if self.taking is None and self.plan.manifest is not None:
                self.taking = begin(self.kv, self.plan.manifest)
            if chunk is not None and self.taking is not None:
                self.taking.add(chunk.number, chunk.data)
        except Invalid as error:
            self.plan.refuse(key)
            self.refused[key] = error


def crowd(*kinds: Serve) -> dict[bytes, Serve]:
    return {bytes([place]): kind for place, kind in enumerate(kinds)}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(LIARS + USELESS), max_size=6), st.integers(0, 6))
def test_one_honest_peer_is_enough(others: list[Serve], place: int) -> None:
    """Among any crowd of liars and useless ones the whole state comes; nobody honest is refused,
    and who is refused lied."""
    kinds = [*others[:place], honest, *others[place:]]
    attempt = Attempt(crowd(*kinds))
    attempt.run()
    assert Chain.open(attempt.kv).head.header.height == EPOCHS * EPOCH_BLOCKS
    assert all(attempt.peers[key] in LIARS for key in attempt.refused)


@pytest.mark.parametrize("liar", LIARS)
def test_each_liar_is_named(liar: Serve) -> None:
    """It answers faster than the honest one, is asked, and refused; the next attempt of the same
    process does not ask it at all."""
    conduct = Conduct()
    attempt = Attempt(crowd(liar, honest), conduct)
    attempt.run()
    assert list(attempt.refused) == [b"\0"]
    assert Chain.open(attempt.kv).height == EPOCHS * EPOCH_BLOCKS

    def fails(question: Question) -> tuple[Answer | None, int]:
        pytest.fail("a liar was asked again")

    again = Attempt(crowd(fails, honest), conduct)
    again.run()
    assert Chain.open(again.kv).height == EPOCHS * EPOCH_BLOCKS


@pytest.mark.parametrize("kind", [silent, dripping])
def test_who_is_slow_is_passed_over_and_not_refused(kind: Serve) -> None:
    """The others go on; what it was asked is asked of them."""
    attempt = Attempt(crowd(kind, honest))
    attempt.run()
    assert (attempt.slow, attempt.refused) == ({b"\0"}, {})
    assert Chain.open(attempt.kv).height == EPOCHS * EPOCH_BLOCKS
    assert attempt.now_ms < ANSWER_MS + REST_MS


def test_many_silent_ones_do_not_keep_the_honest_one_waiting() -> None:
    """Five of them are asked for the end of an epoch, one after another, for longer than the first
    of them rests: the sixth peer has its turn all the same."""
    attempt = Attempt(crowd(silent, dripping, silent, silent, dripping, honest))
    attempt.run()
    assert Chain.open(attempt.kv).height == EPOCHS * EPOCH_BLOCKS


def test_chunks_come_from_several_peers_at_once() -> None:
    """Three peers, a few questions each; an answer makes room for the next question. Who is silent
    after it is passed over when its time from the answer on is up, and the others are asked."""
    attempt = Attempt(crowd(honest, honest, honest))
    attempt.run()
    plan, manifest = attempt.plan, attempt.plan.manifest
    assert manifest is not None
    missing, now_ms = range(100), attempt.now_ms + STEP_MS
    asked = [(key, item.number) for key, item in chunks_asked(plan, missing, now_ms)]
    assert Counter(key for key, _ in asked) == dict.fromkeys(attempt.peers, QUESTIONS_AHEAD)
    assert [number for _, number in asked] == list(missing[: 3 * QUESTIONS_AHEAD])
    first, second = [key for key, _ in asked][:2]
    answer = GiveChunk(manifest.header.epoch, 0, b"chunk")
    assert plan.expects(first, answer)
    assert plan.give(first, answer, now_ms + ANSWER_MS - 1) == answer
    assert not plan.expects(first, answer)
    again = chunks_asked(plan, missing[1:], now_ms + ANSWER_MS - 1)
    assert [(key, item.number) for key, item in again] == [(first, 3 * QUESTIONS_AHEAD)]
    assert chunks_asked(plan, missing[1:], now_ms + ANSWER_MS) == []
    assert set(plan.take_slow()) == set(attempt.peers) - {first}
    plan.refuse(first)
    later = chunks_asked(plan, missing[1:], now_ms + ANSWER_MS + REST_MS)
    assert (second, 1) in [(key, item.number) for key, item in later]


def chunks_asked(
    plan: SnapshotPlan, missing: Sequence[int], now_ms: int
) -> list[tuple[bytes, FetchChunk]]:
    asked = plan.requests(missing, now_ms)
    return [(key, item) for key, item in asked if isinstance(item, FetchChunk)]


def test_nobody_holds_it() -> None:
    """Everybody was started since: the attempt is over at once, for blocks to be fetched."""
    attempt = Attempt(crowd(without_snapshot, without_snapshot))
    assert attempt.run() is Stage.NOBODY_HAS_IT
    assert attempt.now_ms < ANSWER_MS


def test_nothing_newer() -> None:
    """No epoch has ended above this chain, whatever heights were claimed."""
    assert Attempt(crowd(knows_nothing, knows_nothing)).run() is Stage.NOTHING_NEWER
    attempt = Attempt(crowd(honest))
    attempt.plan = SnapshotPlan(CHAIN_ID, validators(0), EPOCHS * EPOCH_BLOCKS, Conduct(), is_valid)
    assert attempt.run() is Stage.NOTHING_NEWER


def test_a_snapshot_that_is_let_go_meanwhile() -> None:
    """The epoch ends while chunks come: all let the snapshot go, and the attempt is over."""
    asked = 0

    def forgets(question: Question) -> tuple[Answer | None, int]:
        nonlocal asked
        if isinstance(question, FetchChunk):
            asked += 1
            return without_snapshot(question) if asked > 2 else honest(question)
        return honest(question)

    assert Attempt(crowd(forgets, forgets)).run() is Stage.NOBODY_HAS_IT


def test_one_chunk_in_ten_seconds_is_too_slow() -> None:
    """Each answer is just in time, and all of them together below the floor."""

    def lingers(question: Question) -> tuple[Answer | None, int]:
        found, _ = honest(question)
        wait_ms = ANSWER_MS - STEP_MS if isinstance(question, FetchChunk) else 30
        if isinstance(found, GiveChunk) and found.number == 0:
            return None, 0  # never the first: else so small a snapshot would be whole
        return found, wait_ms

    attempt = Attempt(crowd(lingers))
    assert attempt.run() is Stage.TOO_SLOW
    assert attempt.now_ms <= 2 * WINDOW_MS
    assert WINDOW_MS // ANSWER_MS < WINDOW_CHUNKS_MIN


def test_the_next_chunk_is_asked_for_when_one_came() -> None:
    """A giver takes its time, pauses included, so that waiting longer would only be slower: a state
    of some chunks takes what its answers take, and a turn for each."""
    answers = 0

    def takes_a_second(question: Question) -> tuple[Answer | None, int]:
        nonlocal answers
        answers += isinstance(question, FetchChunk)
        found, delay_ms = honest(question)
        return found, 1_000 if isinstance(question, FetchChunk) else delay_ms

    attempt = Attempt(crowd(takes_a_second))
    attempt.run()
    assert answers > 3
    assert attempt.now_ms < answers * (1_000 + STEP_MS) + 1_000


def test_a_walk_longer_than_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two ends of epochs in an answer four are walked in two steps."""
    monkeypatch.setattr(module, "BOUNDARIES_MAX", 2)
    counts = []

    def counting(question: Question) -> tuple[Answer | None, int]:
        found, delay_ms = honest(question)
        if isinstance(found, GiveBoundaries):
            counts.append(len(found.boundaries))
        return found, delay_ms

    attempt = Attempt(crowd(counting))
    attempt.run()
    assert counts == [2, 2, 0]
    assert BOUNDARIES_MAX > EPOCHS


def test_answers_to_no_question_are_passed_over() -> None:
    """Unasked, of another epoch or number, or from a stranger: nothing happens."""
    plan = SnapshotPlan(CHAIN_ID, validators(0), 0, Conduct(), is_valid)
    plan.note_links([b"a"])
    unasked = GiveBoundaries(0, ())
    assert not plan.expects(b"a", unasked)
    assert plan.requests((), 0) == [(b"a", FetchBoundaries(0, BOUNDARIES_MAX))]
    assert plan.expects(b"a", unasked)
    assert not plan.expects(b"b", unasked)
    assert not plan.expects(b"a", GiveBoundaries(1, ()))
    assert not plan.expects(b"a", GiveManifest(0, ()))
    assert not plan.expects(b"a", GiveChunk(0, 0, b""))


def test_peers_are_bounded() -> None:
    """Of more links than can be, so many are asked."""
    plan = SnapshotPlan(CHAIN_ID, validators(0), 0, Conduct(), is_valid)
    for count, known in ((PEERS_MAX - 1, -1), (PEERS_MAX, 0), (PEERS_MAX + 1, 0)):
        plan.note_links([bytes([place]) for place in range(count)])
        assert len(plan._peers) == PEERS_MAX + known


@given(st.dictionaries(st.binary(min_size=1, max_size=2), st.integers(0, 10**6)), st.integers(0, 4))
def test_f_liars_move_no_height(claims: dict[bytes, int], f: int) -> None:
    """Whatever f of the peers claim, the height is at most what an honest one claims."""
    height = claimed_height(claims, f)
    at_least = sum(1 for claim in claims.values() if claim >= height)
    assert at_least > f or height == 0
    lying = dict(list(claims.items())[:f])
    told = claims | dict.fromkeys(lying, 10**15)
    truth = [claim for key, claim in claims.items() if key not in lying]
    assert claimed_height(told, f) <= max(truth, default=0)


def test_who_claims_far_more_than_others_is_known() -> None:
    """Height up: one of four at a thousand million is told apart from three that agree."""
    claims = {b"a": 100, b"b": 101, b"c": 10**9, b"d": 99}
    assert claimed_height(claims, 1) == 101
    assert exaggerating(claims, 1, 10_000) == [b"c"]
    assert exaggerating(claims, 1, 10**9 - 101) == [b"c"]
    assert exaggerating(claims, 1, 10**9 - 100) == []
