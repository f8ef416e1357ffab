"""Chunks of snapshots for whoever asks, made a little at a time.

One takes 10 ms and more, and whoever is far behind asks for a thousand of them, of every member. So
they are made one after another, in slices, with pauses between: consensus and clients get their
turn after each, and all that ask take no more than a small share of this node's time together.
Members come before those that only follow, for these are many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from node.fetching import FetchChunk, GiveChunk
from node.snapshot_held import HeldSnapshot

SLICE_S = 0.002
"""Of work between two pauses."""
PAUSE_SLICES = 9
"""A pause lasts so many times what the slice took: a tenth of the time is for snapshots. With a
twentieth three validators gave 2.5 chunks a second on a busy machine: a million outputs are 978."""
QUESTIONS_MAX = 64
"""Peers that wait for a chunk; more are not linked."""


class SnapshotServing:
    """One a running node. Who asks has one question waiting, the last one."""

    def __init__(
        self,
        held: HeldSnapshot,
        is_member: Callable[[bytes], bool],
        give: Callable[[bytes, GiveChunk], None],
    ) -> None:
        self._held = held
        self._is_member = is_member
        self._give = give
        self._questions: dict[bytes, FetchChunk] = {}
        self._has_question = asyncio.Event()

    def ask(self, peer: bytes, wanted: FetchChunk) -> None:
        """To be answered when its turn comes; dropped where too many wait."""
        if peer in self._questions or len(self._questions) < QUESTIONS_MAX:
            self._questions[peer] = wanted
            self._has_question.set()

    async def run(self) -> None:
        """Until the node stops."""
        while True:
            await self._has_question.wait()
            while self._questions:
                first = next(iter(self._questions))
                peer = next(filter(self._is_member, self._questions), first)
                wanted = self._questions.pop(peer)
                data = await self._make(wanted)
                self._give(peer, GiveChunk(wanted.epoch, wanted.number, data or b""))
            self._has_question.clear()

    async def _make(self, wanted: FetchChunk) -> bytes | None:
        steps = self._held.chunk_steps(wanted.epoch, wanted.number)
        chunk: bytes | None = None
        is_made = False
        while not is_made:
            begun_s = time.thread_time()
            try:
                while time.thread_time() < begun_s + SLICE_S:
                    next(steps)
            except StopIteration as done:
                chunk, is_made = done.value, True
            await asyncio.sleep((time.thread_time() - begun_s) * PAUSE_SLICES)
        return chunk
