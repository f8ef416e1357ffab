"""Free cores verify signatures, in processes of their own, while the node does everything else.

A thread would not do: libsodium lets go of the interpreter's lock, but whoever comes back from it
waits until a busy loop hands the lock over, which takes up to five milliseconds a signature.

What a worker finds good is remembered as if it had been verified here; of everything else the node
verifies each signature itself, before it says no. So a worker that dies, or that has enough to do,
costs speed, nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from ledger import transaction
from ledger.crypto import HASH_BYTES
from ledger.transaction import SignedTransaction
from node.verify import Verifier, further_cores
from node.verify_worker import COUNT_BYTES, RECORD_BYTES

WORKERS_MAX = 8
"""What one event loop keeps busy: beside the signature a transaction costs it as much again."""
START_S = 10.0
"""In which a worker must answer for the first time."""
ANSWER_S = 5.0
"""A hundred times what 128 transactions of one signature take: it hangs."""
LOOKS = 5
"""Of which that time consists: to a node that was stopped itself and goes on, all of one has passed
at once, though the answer is there."""
WAITING_MAX = 4_096
"""Records that wait for one worker, a quarter of a second: clients that bring 64 signatures a
transaction and go away neither fill the memory nor keep what others bring waiting."""

log = logging.getLogger("marsa.workers")


class Worker:
    """One process. Requests take turns. `close` is the last call."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self._exchanges: set[asyncio.Future[tuple[bytes]]] = set()
        self.waiting = 0
        """Records that were given to it and not answered."""
        self.is_lost = False

    @classmethod
    async def start(cls) -> Worker:
        """Raises OSError where no process can be started."""
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-P", "-m", "node.verify_worker")
        # In a session of its own: Ctrl-C in the node's terminal is for the node.
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, start_new_session=True
            )
        )

    async def ask(self, records: Sequence[bytes]) -> bytes:
        """A byte for each record, 1 where it is good; never 1 once the process is lost.

        Whoever asks may be cancelled; the exchange goes on to its end, or the next answer would be
        taken for that of another question.
        """
        self.waiting += len(records)
        exchange = asyncio.gather(self._exchange(records))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        (answer,) = await asyncio.shield(exchange)
        return answer

    async def _exchange(self, records: Sequence[bytes]) -> bytes:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None, "started with pipes"
        try:
            async with self._turn:
                if self.is_lost:
                    return bytes(len(records))
                # Not drained: the answer, before which nothing else is written, says it was read.
                requests.write(len(records).to_bytes(COUNT_BYTES, "big") + b"".join(records))
                for _ in range(LOOKS):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ANSWER_S / LOOKS):
                            return await answers.readexactly(len(records))
                raise TimeoutError(f"no answer within {ANSWER_S:g} s")
        except (OSError, EOFError, RuntimeError) as error:  # the last of uvloop: a closed pipe
            self._lose(error)
            return bytes(len(records))
        finally:
            self.waiting -= len(records)

    def _lose(self, error: Exception) -> None:
        """Nothing that it says later has a known question."""
        if self.is_lost:
            return
        self.is_lost = True
        self._kill()
        log.error("a verifying process is lost, the node does its work: %r", error)

    def _kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End it, if it has not ended."""
        self.is_lost = True
        self._kill()
        await self._process.wait()
        await asyncio.gather(*self._exchanges)


class VerifyWorkers:
    """All workers of a node."""

    def __init__(self, verifier: Verifier, workers: Sequence[Worker]) -> None:
        self._verifier = verifier
        self._workers = workers

    async def verify(self, txs: Sequence[SignedTransaction]) -> None:
        """Let the verifier remember those whose signatures are all good."""
        workers = [worker for worker in self._workers if not worker.is_lost]
        workers.sort(key=lambda worker: worker.waiting)
        wanted = [tx for tx in txs if not self._verifier.knows(tx)]
        share = -(-len(wanted) // max(1, len(workers))) or 1
        parts = [wanted[at : at + share] for at in range(0, len(wanted), share)]
        await asyncio.gather(
            *[self._verify(worker, part) for worker, part in zip(workers, parts, strict=False)]
        )

    async def _verify(self, worker: Worker, txs: Sequence[SignedTransaction]) -> None:
        groups = [transaction.signatures_of(tx) for tx in txs]
        records = [b"".join(item) for group in groups for item in group]
        if any(len(record) != RECORD_BYTES for record in records):
            raise AssertionError(f"a message to sign has {HASH_BYTES} bytes")
        if worker.waiting + len(records) > WAITING_MAX:
            return
        answers, at = await worker.ask(records), 0
        for tx, group in zip(txs, groups, strict=True):
            if all(answers[at : at + len(group)]):
                self._verifier.remember(tx)
            at += len(group)


@asynccontextmanager
async def running(verifier: Verifier, processes: int) -> AsyncIterator[VerifyWorkers | None]:
    """So many workers, -1 for one on each core but the first; None where the node verifies alone,
    because none is wanted or none can be started."""
    count = min(WORKERS_MAX, further_cores()) if processes < 0 else processes
    workers: list[Worker] = []
    try:
        try:
            async with asyncio.timeout(START_S):
                for _ in range(count):
                    workers.append(await Worker.start())
                for worker in workers:
                    await worker.ask([bytes(RECORD_BYTES)])
        except (OSError, TimeoutError) as error:
            log.warning("no process to verify could be started, the node does it: %r", error)
            while workers:
                await workers.pop().close()
            yield None
            return
        log.info("verifying processes=%d", count)
        yield VerifyWorkers(verifier, workers) if workers else None
    finally:
        for worker in workers:
            await worker.close()
