"""The job as a child process: started, paused while no receipt comes, ended.

What it writes is read line by line with a limit; a line that is none ends the session, for nothing
after it could be counted. Each has a process group of its own: the kernel ends a paused one when
its parent is gone (POSIX, orphaned process groups).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process

from cli.delivery.jobs import Command

LINE_BYTES_MAX = 256
STOP_S = 2.0


class JobFailed(Exception):
    """The job ended, or wrote what is no unit."""


class Worker:
    """Runs a job from one unit on. Use as `async with`."""

    def __init__(self, job: Command, order: bytes, first: int) -> None:
        self._command = (*job, "run", order.hex(), str(first))
        self._next = first
        self._process: Process | None = None
        self._is_paused = False
        self.used_us = 0
        """Device time so far, as the job told it last."""

    async def __aenter__(self) -> Worker:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=PIPE, limit=LINE_BYTES_MAX, process_group=0
            )
        except OSError as error:
            raise JobFailed(f"'{self._command[0]}' does not start: {error}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await _end(self._process)

    async def work(self, seconds: float, most: int) -> list[bytes]:
        """Digests of the units that were done in so many seconds, `most` at most."""
        self._signal(signal.SIGCONT)
        digests: list[bytes] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(digests) < most:
                    digests.append(await self._unit())
        self._signal(signal.SIGSTOP)
        return digests

    async def _unit(self) -> bytes:
        assert self._process is not None  # Within `async with`.
        assert self._process.stdout is not None  # It was asked for.
        try:
            line = await self._process.stdout.readline()
        except ValueError:
            raise JobFailed(f"a line of more than {LINE_BYTES_MAX} bytes") from None
        try:
            unit, digest, used_us = line.split()
            if int(unit) != self._next or len(digest) != 64:
                raise ValueError(f"unit {self._next} was due")
            done, self.used_us = bytes.fromhex(digest.decode("ascii")), int(used_us)
        except ValueError as error:
            raise JobFailed(f"the job wrote {line[:80]!r}: {error}") from None
        self._next += 1
        return done

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group: a job may have children of its own."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Checker:
    """Does units again, for a holder that samples. Use as `async with`."""

    def __init__(self, job: Command, order: bytes) -> None:
        self._command = (*job, "check", order.hex())
        self._process: Process | None = None

    async def __aenter__(self) -> Checker:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                limit=LINE_BYTES_MAX,
                process_group=0,
            )
        except OSError as error:
            raise JobFailed(f"'{self._command[0]}' does not start: {error}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await _end(self._process)

    async def is_right(self, unit: int, digest: bytes) -> bool:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(f"{unit} {digest.hex()}\n".encode("ascii"))
            await self._process.stdin.drain()
            answer = await self._process.stdout.readline()
        except (OSError, ValueError) as error:
            raise JobFailed(f"the check ended: {error}") from None
        if answer not in (b"ok\n", b"wrong\n"):
            raise JobFailed(f"the check answered {answer[:80]!r}")
        return answer == b"ok\n"


async def _end(process: Process | None) -> None:
    if process is None:
        return
    try:
        await _stop(process)
    finally:
        await _drain(process)


async def _drain(process: Process) -> None:
    """What it left unread: a pipe is closed at its end alone, and a fast job's is full."""
    assert process.stdout is not None  # It was asked for.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            while await process.stdout.read(LINE_BYTES_MAX):
                pass


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError) as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
