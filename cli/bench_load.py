"""Sends transactions as fast as a network takes them, and sees each of them become final.

Nodes get batches in turn. So many transactions are under way at once, no more: what is sent
above what is decided would only wait, and its waiting would be measured. A busy node is obeyed.
Finality is what one node says: its blocks are fetched as they appear, and each transaction's time
is from the moment its batch was first sent to the moment its block was read, so it holds the
looking too, up to `LOOK_EVERY_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cli.async_client import AsyncClient
from cli.client_errors import ApiProblem, Timeout
from cli.errors import CliError, ExitCode
from cli.nodes import DEADLINE
from ledger import codec
from ledger.block import BLOCK_FRAME_BYTES_MAX, Block
from ledger.reasons import Reason
from node.api import schemas

BATCH = 100
"""Transactions in one request: about 43 KiB of transfers."""
REQUESTS_A_NODE = 4
"""At once: one is being answered while others are on their way."""
LOOK_EVERY_S = 0.01
RETRY_S = 0.25
"""Where a node has no room and does not say when it will."""
STALL_S = 30.0
"""Without one of ours decided the run is given up: far above what a change of view takes."""
REQUEST_S = 20.0
HTTP_NOT_FOUND = 404
HTTP_BUSY = 429
ROOM = frozenset((Reason.MEMPOOL_FULL.value, Reason.SENDER_QUOTA.value, Reason.FREE_QUOTA.value))
"""Refusals that say nothing about a transaction."""


@dataclass(slots=True)
class Record:
    """What happened, in seconds of the monotonic clock."""

    started_s: float = 0.0
    sending_ended_s: float = 0.0
    finals: list[tuple[float, float]] = field(default_factory=list)
    """(sent, final) of each transaction."""
    blocks: list[tuple[float, int]] = field(default_factory=list)
    """(seen, transactions of ours) of each block that had some."""
    refused_for_room: int = 0


class Finals:
    """What of a load is under way, and what of it became final by the blocks of one node."""

    def __init__(
        self,
        client: AsyncClient,
        record: Record,
        on_block: Callable[[], object] = lambda: None,
    ) -> None:
        self.under_way: dict[bytes, float] = {}
        """Since when each transaction counts, in seconds of the monotonic clock."""
        self._record = record
        self._client = client
        self._on_block = on_block

    async def watch(self, height: int, is_sending: Callable[[], bool]) -> int:
        """Read blocks above `height` as they appear until all that was sent is final; the last
        height. Raises CliError and what the clients raise."""
        last_s = time.monotonic()
        while is_sending() or self.under_way:
            data = await _block_bytes(self._client, height + 1)
            now = time.monotonic()
            if self.under_way and now > last_s + STALL_S:
                raise _stalled(len(self.under_way), height)
            if data is None:
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            height += 1
            if self._take(codec.decode(data, Block, size_max=BLOCK_FRAME_BYTES_MAX), now):
                last_s = now
            self._on_block()
        return height

    def _take(self, block: Block, now: float) -> int:
        """How many of ours the block holds."""
        count = 0
        for raw in block.transactions:
            since_s = self.under_way.pop(raw, None)
            if since_s is not None:
                self._record.finals.append((since_s, now))
                count += 1
        if count:
            self._record.blocks.append((now, count))
        return count


class Load:
    """One run over open clients. `run` is called once."""

    def __init__(
        self,
        clients: Sequence[AsyncClient],
        *,
        under_way_max: int,
        batch: int = BATCH,
        on_final: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._clients = clients
        self._under_way_max = under_way_max
        self._batch = batch
        self._on_final = on_final
        self.record = Record()
        self._finals = Finals(clients[0], self.record, self._on_block)
        self._sent = self._finals.under_way
        self._has_room = asyncio.Event()
        self._senders = 0
        self._is_stopped = False

    def stop(self) -> None:
        """Send nothing more; `run` returns when what was sent is final."""
        self._is_stopped = True

    async def run(self, raws: Sequence[bytes], *, seconds: float | None = None) -> Record:
        """Send all, or as many as `seconds` allow, and wait until what was sent is final on every
        node; raises CliError and what the clients raise."""
        heights = [(await client.status()).sync.height for client in self._clients]
        size = self._batch
        batches = iter([raws[at : at + size] for at in range(0, len(raws), size)])
        self.record.started_s = time.monotonic()
        until_s = None if seconds is None else self.record.started_s + seconds
        senders = [
            self._send(client, batches, until_s)
            for _ in range(REQUESTS_A_NODE)
            for client in self._clients
        ]
        self._senders = len(senders)
        height, _ = await asyncio.gather(
            self._finals.watch(heights[0], lambda: self._senders > 0), asyncio.gather(*senders)
        )
        await self._settle(height)
        return self.record

    async def _send(
        self, client: AsyncClient, batches: Iterator[Sequence[bytes]], until_s: float | None
    ) -> None:
        """One request after another to one node, until there is no batch or no time left."""
        while True:
            while len(self._sent) + self._batch > self._under_way_max:
                self._has_room.clear()
                await self._has_room.wait()
            now = time.monotonic()
            is_over = self._is_stopped or (until_s is not None and now >= until_s)
            batch = () if is_over else next(batches, ())
            if not batch:
                break
            self._sent.update(dict.fromkeys(batch, now))
            await self._post(client, batch)
        self.record.sending_ended_s = max(now, self.record.sending_ended_s)
        self._senders -= 1

    async def _post(self, client: AsyncClient, batch: Sequence[bytes]) -> None:
        while batch:
            wait_s = RETRY_S
            try:
                batch = self._without_room(batch, await client.submit_batch(batch))
            except ApiProblem as problem:
                if problem.status != HTTP_BUSY:
                    raise
                wait_s = problem.retry_after_s or RETRY_S
            if batch:
                self.record.refused_for_room += len(batch)
                await asyncio.sleep(wait_s)

    def _without_room(
        self, batch: Sequence[bytes], results: Sequence[schemas.BatchResult]
    ) -> list[bytes]:
        """What has to be sent again; any other refusal ends the run."""
        again = []
        for raw, result in zip(batch, results, strict=True):
            if result.status != "refused":
                continue
            if result.code not in ROOM:
                raise CliError(
                    "load_refused",
                    f"a node refused a transaction of the load: {result.code}: {result.detail}",
                    hint="see whether all nodes keep up with: marsa devnet status",
                    exit_code=ExitCode.REJECTED,
                )
            again.append(raw)
        return again

    def _on_block(self) -> None:
        self._on_final(len(self.record.finals))
        self._has_room.set()

    async def _settle(self, height: int) -> None:
        """Every node has the last block: what comes next may spend what it made, anywhere."""
        deadline = time.monotonic() + STALL_S
        for client in self._clients:
            while (await client.status()).sync.height < height:
                if time.monotonic() > deadline:
                    raise CliError(
                        "behind",
                        f"{client.url} did not reach height {height} within {STALL_S:g} s",
                        hint="see whether it runs with: marsa devnet status",
                        exit_code=ExitCode.TIMEOUT,
                    )
                await asyncio.sleep(LOOK_EVERY_S)


async def drive(
    urls: Sequence[str],
    loads: Sequence[Sequence[bytes]],
    *,
    under_way_max: int,
    seconds: float | None = None,
    batch: int = BATCH,
    on_final: Callable[[int], object] = lambda count: None,
    on_start: Callable[[Load], object] = lambda load: None,
) -> Record:
    """Run loads one after another, each when all of the one before is final; the last record."""
    record = Record()
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient(url, timeout_s=REQUEST_S)) for url in urls
        ]
        done = 0

        def report(count: int) -> None:
            on_final(done + count)

        for raws in loads:
            load = Load(clients, under_way_max=under_way_max, batch=batch, on_final=report)
            on_start(load)
            record = await load.run(raws, seconds=seconds)
            done += len(record.finals)
    return record


async def _block_bytes(client: AsyncClient, height: int) -> bytes | None:
    """None where there is none yet, or the node is too busy to say so: who waits has a limit."""
    try:
        return await client.raw_block(height)
    except Timeout:
        return None
    except ApiProblem as problem:
        if problem.status in (HTTP_NOT_FOUND, HTTP_BUSY) or problem.code == DEADLINE:
            return None
        raise


class Stalled(CliError):
    """Nothing is decided any more."""


def _stalled(waiting: int, height: int) -> Stalled:
    return Stalled(
        "stalled",
        f"nothing of {waiting} transactions was decided for {STALL_S:g} s, height {height}",
        hint="see who is missing with: marsa devnet status",
        exit_code=ExitCode.TIMEOUT,
    )
