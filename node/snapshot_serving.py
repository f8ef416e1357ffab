"""Chunks of snapshots for whoever asks, made a little at a time.

One takes 5 ms and more, and whoever is far behind asks for a thousand of them, of every member. So
they are made one after another, in slices, with pauses between: consensus and clients get their
turn after each. Who wakes late from a pause has other work, on this node or on its machine: then
all that ask take no more than a tenth of the time together. Else they take half of it.

A turn of a node under full load takes a tenth of a second and more, while it executes a block. So
the later a slice comes the longer it is, within limits, and one may end several chunks.

Members come before those that only follow, for these are many.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator

from node.fetching import FetchChunk, GiveChunk
from node.snapshot_held import HeldSnapshot

SHARE = 0.1
"""Of this node's time, where there is other work."""
SHARE_IDLE = 0.5
"""Where there is none."""
SLICE_S = 0.002
"""Of work between two pauses."""
SLICE_MAX_S = 0.010
"""Where turns come late: no block waits longer for it."""
LATE_S = 0.003
"""Who is woken so much later than it asked for has waited for other work."""
QUESTIONS_MAX = 64
"""Peers that wait for chunks; more are not linked."""
QUESTIONS_EACH_MAX = 4
"""Of one peer that wait; one more takes the place of the oldest."""


class SnapshotServing:
    """One a running node."""

    def __init__(
        self,
        held: HeldSnapshot,
        is_member: Callable[[bytes], bool],
        give: Callable[[bytes, GiveChunk], None],
    ) -> None:
        self._held = held
        self._is_member = is_member
        self._give = give
        self._questions: dict[bytes, deque[FetchChunk]] = {}  # who waits longest first
        self._has_question = asyncio.Event()

    def ask(self, peer: bytes, wanted: FetchChunk) -> None:
        """To be answered when its turn comes; dropped where too many wait."""
        if peer in self._questions or len(self._questions) < QUESTIONS_MAX:
            waiting = self._questions.setdefault(peer, deque(maxlen=QUESTIONS_EACH_MAX))
            waiting.append(wanted)
            self._has_question.set()

    async def run(self) -> None:
        """Until the node stops."""
        answers, late_s = self._answers(), 0.0
        while True:
            await self._has_question.wait()
            worked_s = self._work(answers, min(SLICE_S + late_s * SHARE, SLICE_MAX_S))
            share = SHARE if late_s > LATE_S else SHARE_IDLE
            pause_s = worked_s / share - worked_s
            begun_s = time.monotonic()
            await asyncio.sleep(pause_s)
            late_s = time.monotonic() - begun_s - pause_s

    def _work(self, answers: Iterator[None], slice_s: float) -> float:
        """For so long, or until nobody waits; the processor time that it took."""
        begun_s = time.thread_time()
        while self._has_question.is_set() and time.thread_time() < begun_s + slice_s:
            next(answers)
        return time.thread_time() - begun_s

    def _answers(self) -> Iterator[None]:
        """Small steps without end; each is taken while somebody waits."""
        while True:
            first = next(iter(self._questions))
            peer = next(filter(self._is_member, self._questions), first)
            waiting = self._questions.pop(peer)
            wanted = waiting.popleft()
            if waiting:
                self._questions[peer] = waiting  # after the others
            data = yield from self._held.chunk_steps(wanted.epoch, wanted.number)
            self._give(peer, GiveChunk(wanted.epoch, wanted.number, data or b""))
            if not self._questions:
                self._has_question.clear()
            yield
