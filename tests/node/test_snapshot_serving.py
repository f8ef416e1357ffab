"""Chunks are made in slices: whole, in turn, members first, a bounded number of them waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from random import Random
from types import SimpleNamespace

import pytest

from ledger.chain import Chain
from ledger.kv import MemoryKV
from node import snapshot_serving as module
from node.fetching import FetchChunk, GiveChunk
from node.snapshot_held import HELD_MAX, HeldSnapshot
from node.snapshot_serving import (
    LATE_S,
    QUESTIONS_EACH_MAX,
    QUESTIONS_MAX,
    SHARE,
    SHARE_IDLE,
    SLICE_MAX_S,
    SLICE_S,
    SnapshotServing,
)
from tests.ledger.chain_world import EPOCH_BLOCKS, World
from tests.ledger.snapshot_world import all_chunks, extend, grown

DEADLINE_S = 10.0
MEMBER, OTHER, FOLLOWER = b"member", b"other", b"observer:1"


@cache
def world() -> tuple[World, Chain]:
    return grown(MemoryKV(), seed=4, outputs=2_500)


class Served:
    """One service, and what it gave, in order."""

    def __init__(self, chain: Chain, *members: bytes) -> None:
        self.held = HeldSnapshot(chain)
        self.given: list[tuple[bytes, GiveChunk]] = []
        self.service = SnapshotServing(self.held, (members or (MEMBER,)).__contains__, self._give)

    def _give(self, peer: bytes, chunk: GiveChunk) -> None:
        self.given.append((peer, chunk))

    async def until_given(self, count: int) -> None:
        while len(self.given) < count:  # noqa: ASYNC110 - the service is what is waited for
            await asyncio.sleep(0)


@asynccontextmanager
async def running(served: Served) -> AsyncIterator[None]:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        task = group.create_task(served.service.run())
        yield
        task.cancel()


class Clock:
    """Each look at the processor's time finds `step_s` more of it gone; every pause is `late_s`
    longer than was asked for."""

    def __init__(self, late_s: float, step_s: float = SLICE_S / 4) -> None:
        self.late_s = late_s
        self.step_s = step_s
        self.worked_s = self.now_s = 0.0
        self.slices: list[float] = []
        self.pauses: list[float] = []
        self._slept = asyncio.sleep
        self._begun_s = 0.0

    def thread_time(self) -> float:
        self.worked_s += self.step_s
        self.now_s += self.step_s
        return self.worked_s

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slices.append(self.worked_s - self._begun_s)
        self.pauses.append(seconds)
        self.now_s += seconds + self.late_s
        await self._slept(0)
        self._begun_s = self.worked_s

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(
            module, "asyncio", SimpleNamespace(sleep=self.sleep, Event=asyncio.Event)
        )
        return self


async def give_all(served: Served, chain: Chain) -> None:
    """It is the chunks that are made in one go."""
    chunks = all_chunks(chain.freeze())
    async with running(served):
        for number in chunks:
            served.service.ask(MEMBER, FetchChunk(0, number))
            await served.until_given(len(served.given) + 1)
    assert served.given == [(MEMBER, GiveChunk(0, *item)) for item in chunks.items()]


@pytest.mark.parametrize(("late_s", "share"), [(0.0, SHARE_IDLE), (2 * LATE_S, SHARE)])
async def test_a_chunk_is_made_in_slices_with_pauses(
    monkeypatch: pytest.MonkeyPatch, late_s: float, share: float
) -> None:
    """Between two slices everything else has its turn. A pause leaves snapshots their share of the
    time: a small one where other work makes turns late."""
    clock = Clock(late_s).install(monkeypatch)
    _, chain = world()
    served = Served(chain)
    await give_all(served, chain)
    assert len(clock.pauses) > 10
    for worked_s, pause_s in zip(clock.slices[1:], clock.pauses[1:], strict=True):
        assert pause_s >= (worked_s - 2 * clock.step_s) * (1 / share - 1) - 1e-9
        assert worked_s <= SLICE_S + late_s * SHARE + 4 * clock.step_s


async def test_a_slice_that_comes_late_is_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a tenth of the delay, so that a node with few turns gives no less; within the limit."""
    _, chain = world()
    for late_s, expected_s in ((0.04, SLICE_S + 0.004), (1.0, SLICE_MAX_S)):
        with monkeypatch.context() as patched:
            clock = Clock(late_s, step_s=SLICE_MAX_S / 10).install(patched)
            await give_all(Served(chain), chain)
        assert max(clock.slices[1:]) >= expected_s
        assert max(clock.slices) <= SLICE_MAX_S + 4 * clock.step_s


async def test_members_come_first_and_in_turn() -> None:
    """A follower that asked before waits; of two members each has an answer, then another."""
    _, chain = world()
    served = Served(chain, MEMBER, OTHER)
    questions = ((FOLLOWER, 0), (MEMBER, 1), (MEMBER, 0), (OTHER, 1), (OTHER, 2))
    for peer, number in questions:
        served.service.ask(peer, FetchChunk(0, number))
    async with running(served):
        await served.until_given(len(questions))
    assert [(peer, given.number) for peer, given in served.given] == [
        (MEMBER, 1),
        (OTHER, 1),
        (MEMBER, 0),
        (OTHER, 2),
        (FOLLOWER, 0),
    ]


async def test_of_one_peer_the_last_questions_count() -> None:
    """One more than wait takes the place of the oldest."""
    _, chain = world()
    served = Served(chain)
    for number in range(QUESTIONS_EACH_MAX + 1):
        served.service.ask(MEMBER, FetchChunk(7, number))
    async with running(served):
        await served.until_given(QUESTIONS_EACH_MAX)
    assert [given.number for _, given in served.given] == [*range(1, QUESTIONS_EACH_MAX + 1)]


async def test_so_many_wait_and_no_more() -> None:
    """One above the limit is dropped; who waits already may ask for something else."""
    _, chain = world()
    served = Served(chain)
    names = [number.to_bytes(2, "big") for number in range(QUESTIONS_MAX + 1)]
    for name in names:
        served.service.ask(name, FetchChunk(7, 0))
    served.service.ask(names[0], FetchChunk(7, 1))
    async with running(served):
        await served.until_given(QUESTIONS_MAX + 1)
        served.service.ask(MEMBER, FetchChunk(7, 2))
        await served.until_given(QUESTIONS_MAX + 2)
    assert [peer for peer, _ in served.given] == [*names[:-1], names[0], MEMBER]
    assert served.given[-2] == (names[0], GiveChunk(7, 1, b""))


async def test_a_snapshot_that_is_let_go_meanwhile_is_answered_with_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The image is closed between two slices: nobody reads it any more."""
    clock = Clock(0.0).install(monkeypatch)
    made, chain = grown(MemoryKV(), seed=5, outputs=2_500)
    served = Served(chain)
    served.service.ask(MEMBER, FetchChunk(0, 0))
    async with running(served):
        while not clock.pauses:  # noqa: ASYNC110 - the service is what is waited for
            await asyncio.sleep(0)
        for _ in range(HELD_MAX):
            extend(chain, made, Random(1), EPOCH_BLOCKS)
            served.held.renew()
        await served.until_given(1)
    assert served.given == [(MEMBER, GiveChunk(0, 0, b""))]
