"""Sends transactions at fixed times, whatever the network does: an open loop.

Each transaction is due at a moment of its own, at an even rate. Every `TICK_S` what is due by then
goes out, by the next of many senders, and nobody waits for anybody: a network that is slow gets no
pause. Latency counts from the moment a transaction was due, so that waiting to be sent is in it.
What is refused is gone; or it is offered again, in the place of what is new, where the load is to
be larger than there are transactions for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TypeAlias

import uvloop

from cli.async_client import AsyncClient
from cli.bench_load import BATCH, REQUEST_S, ROOM, Finals, Record, Stalled
from cli.client_errors import ApiProblem, ClientError

TICK_S = 0.01
BUSY = frozenset((*ROOM, "busy", "rate_limited"))
"""Codes of the refusals that a node answers with 429, or gives for a part of a batch."""
NO_ANSWER = "no_answer"
"""Counted as a refusal: nobody knows what became of it."""
KNOWN = "known"
"""Of what goes out again though it had been taken: it is not counted as final."""

Item: TypeAlias = tuple[bytes, float]
"""A transaction, and when it was due."""


@dataclass(slots=True)
class OpenRecord(Record):
    """Also what was offered, and what was refused, by code."""

    offered: int = 0
    """How often a transaction was sent, again or for the first time."""
    refused: Counter[str] = field(default_factory=Counter)
    undecided: int = 0
    """Taken, and not final when nothing was decided for `STALL_S`."""

    @property
    def offered_tps(self) -> float:
        return self.offered / (self.sending_ended_s - self.started_s)


class OpenLoad:
    """One run. `run` is called once."""

    def __init__(
        self,
        watcher: AsyncClient,
        senders: Sequence[AsyncClient],
        raws: Sequence[bytes],
        *,
        offers_again: bool,
    ) -> None:
        self.record = OpenRecord()
        self._finals = Finals(watcher, self.record)
        self._watcher = watcher
        self._senders = cycle(senders)
        self._waiting = deque(raws)
        self._offers_again = offers_again
        self._ticks_left = 0

    async def run(
        self, rate: float, seconds: float, on_second: Callable[[int], object]
    ) -> OpenRecord:
        """So many a second for so long; ends when all that was taken is final, or nothing was
        decided for long. Raises CliError and what the watching client raises."""
        height = (await self._watcher.status()).sync.height
        self._ticks_left = round(seconds / TICK_S)
        record = self.record
        record.started_s = time.monotonic()
        ticks = [self._tick(number, rate) for number in range(self._ticks_left)]
        sending = asyncio.gather(*ticks, _count_seconds(seconds, on_second))
        try:
            with contextlib.suppress(Stalled):
                watching = self._finals.watch(height, lambda: self._ticks_left > 0)
                await asyncio.gather(watching, sending)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        record.undecided = len(self._finals.under_way)
        return record

    async def _tick(self, number: int, rate: float) -> None:
        """Send what became due since the tick before."""
        record = self.record
        at_s = record.started_s + (number + 1) * TICK_S
        await asyncio.sleep(at_s - time.monotonic())
        first, last = (int(rate * TICK_S * (number + more)) for more in (0, 1))
        batch: list[Item] = []
        for index in range(first, min(last, first + len(self._waiting))):
            batch.append((self._waiting.popleft(), record.started_s + index / rate))
        record.sending_ended_s = max(record.sending_ended_s, time.monotonic())
        parts = [batch[start : start + BATCH] for start in range(0, len(batch), BATCH)]
        try:
            await asyncio.gather(*[self._post(next(self._senders), part) for part in parts])
        finally:
            self._ticks_left -= 1

    async def _post(self, client: AsyncClient, batch: Sequence[Item]) -> None:
        self.record.offered += len(batch)
        self._finals.under_way.update(batch)
        for (raw, _), code in zip(batch, await _refusals(client, batch), strict=True):
            if code is None:
                continue
            self.record.refused[code] += 1
            is_open = self._finals.under_way.pop(raw, None) is not None
            if is_open and code != KNOWN and self._offers_again:
                self._waiting.appendleft(raw)


async def _refusals(client: AsyncClient, batch: Sequence[Item]) -> list[str | None]:
    """Why each was not taken, None where it was."""
    try:
        results = await client.submit_batch([raw for raw, _ in batch])
    except ApiProblem as problem:
        return [problem.code] * len(batch)
    except ClientError:
        return [NO_ANSWER] * len(batch)
    return [
        {"new": None, "known": KNOWN}.get(result.status, result.code or KNOWN) for result in results
    ]


async def _count_seconds(seconds: float, on_second: Callable[[int], object]) -> None:
    for second in range(int(seconds)):
        on_second(second)
        await asyncio.sleep(1)


def offer(
    urls: Sequence[str],
    raws: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    senders: int,
    offers_again: bool,
    on_second: Callable[[int], object],
) -> OpenRecord:
    """A whole run with so many senders a node, each with connections of its own."""

    async def run() -> OpenRecord:
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(AsyncClient(url, timeout_s=REQUEST_S))
                for url in (urls[0], *list(urls) * senders)
            ]
            load = OpenLoad(clients[0], clients[1:], raws, offers_again=offers_again)
            return await load.run(rate, seconds, on_second)

    return uvloop.run(run())
