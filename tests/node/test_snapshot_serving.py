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
from node.snapshot_serving import PAUSE_SLICES, QUESTIONS_MAX, SLICE_S, SnapshotServing
from tests.ledger.chain_world import EPOCH_BLOCKS, World
from tests.ledger.snapshot_world import all_chunks, extend, grown

DEADLINE_S = 10.0
MEMBER, FOLLOWER = b"member", b"observer:1"


@cache
def world() -> tuple[World, Chain]:
    return grown(MemoryKV(), seed=4, outputs=2_500)


class Served:
    """One service; what it gave, in order, and how often something else got its turn."""

    def __init__(self, chain: Chain) -> None:
        self.held = HeldSnapshot(chain)
        self.given: list[tuple[bytes, GiveChunk]] = []
        self.turns = 0
        self.service = SnapshotServing(self.held, MEMBER.__eq__, self._give)

    def _give(self, peer: bytes, chunk: GiveChunk) -> None:
        self.given.append((peer, chunk))

    async def until_given(self, count: int) -> None:
        while len(self.given) < count:
            self.turns += 1
            await asyncio.sleep(0)


@asynccontextmanager
async def running(served: Served) -> AsyncIterator[None]:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        task = group.create_task(served.service.run())
        yield
        task.cancel()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Each look at the processor's time finds half a slice more of it gone; pauses are noted."""
    clock = SimpleNamespace(now_s=0.0, pauses=[], slept=asyncio.sleep)

    def thread_time() -> float:
        clock.now_s += SLICE_S / 2
        return float(clock.now_s)

    async def sleep(seconds: float) -> None:
        clock.pauses.append(seconds)
        await clock.slept(0)

    monkeypatch.setattr(module, "time", SimpleNamespace(thread_time=thread_time))
    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep, Event=asyncio.Event))
    return clock


async def test_a_chunk_is_made_in_slices_with_pauses(clock: SimpleNamespace) -> None:
    """It is the chunk that is made in one go; between two slices everything else has its turn, and
    a pause is as long as it says, after the last slice too."""
    _, chain = world()
    served = Served(chain)
    chunks = all_chunks(chain.freeze())
    async with running(served):
        for number in chunks:
            served.service.ask(MEMBER, FetchChunk(0, number))
            await served.until_given(len(served.given) + 1)
    assert served.given == [(MEMBER, GiveChunk(0, *item)) for item in chunks.items()]
    assert served.turns > 10 * len(chunks)
    assert min(clock.pauses) >= SLICE_S / 2 * PAUSE_SLICES


async def test_members_come_first_and_the_last_question_counts() -> None:
    """A follower that asked before waits; a member that asked twice is answered once."""
    _, chain = world()
    served = Served(chain)
    for peer, number in ((FOLLOWER, 0), (MEMBER, 1), (MEMBER, 0)):
        served.service.ask(peer, FetchChunk(0, number))
    async with running(served):
        await served.until_given(2)
    assert [(peer, given.number) for peer, given in served.given] == [(MEMBER, 0), (FOLLOWER, 0)]


async def test_so_many_wait_and_no_more() -> None:
    """One above the limit is dropped; who waits already may ask for something else."""
    _, chain = world()
    served = Served(chain)
    names = [number.to_bytes(2, "big") for number in range(QUESTIONS_MAX + 1)]
    for name in names:
        served.service.ask(name, FetchChunk(7, 0))
    served.service.ask(names[0], FetchChunk(7, 1))
    async with running(served):
        await served.until_given(QUESTIONS_MAX)
        served.service.ask(MEMBER, FetchChunk(7, 2))
        await served.until_given(QUESTIONS_MAX + 1)
    assert [peer for peer, _ in served.given] == [*names[:-1], MEMBER]
    assert served.given[0] == (names[0], GiveChunk(7, 1, b""))


async def test_a_snapshot_that_is_let_go_meanwhile_is_answered_with_nothing(
    clock: SimpleNamespace,
) -> None:
    """The image is closed between two slices: nobody reads it any more."""
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
