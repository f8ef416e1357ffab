"""Many clients that listen to one node's events, in a process of their own.

Each has a connection to `/v1/events` and reads every block that the node tells. The process counts
what all of them heard, and which streams ended: a crowd that hears nothing costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import aiohttp

from cli.errors import CliError, ExitCode

OPEN_AT_ONCE = 64
"""Connections that are being made: a listener's queue holds 128."""
OPEN_S = 60.0
END_S = 30.0
SPARE_FILES = 128
TOLD = b"event: block"

Work: TypeAlias = Callable[[Connection, str, int], None]
"""What runs in the process: connect so many clients to the node of the address, send None, or why
that cannot be done; go on until there is a word, and send what was found."""


@dataclass(slots=True)
class Heard:
    """What the crowd found; complete when its context has ended."""

    blocks: int = 0
    """All listeners together."""
    lost: int = 0
    """Streams that ended before the crowd went home."""


@contextlib.contextmanager
def crowd(url: str, count: int) -> Iterator[Heard]:
    """So many listeners, all connected, for the length of the block; raises CliError."""
    heard = Heard()
    with elsewhere(_listen, url, count, "--subscribers") as end:
        yield heard
        heard.blocks, heard.lost = end()


@contextlib.contextmanager
def elsewhere(work: Work, url: str, count: int, option: str) -> Iterator[Callable[[], Any]]:
    """A process whose clients are all connected, for the length of the block; raises CliError.

    What it gives ends the work and returns what the process found. `option` asks for fewer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, url, count), daemon=True)
    process.start()

    def end() -> Any:
        ours.send(None)
        return _receive(ours, END_S)

    try:
        why = _receive(ours, OPEN_S)
        if why is not None:
            raise CliError(
                "no_listeners",
                f"{count:,} clients cannot listen to {url}: {why}",
                hint=f"try fewer: {option} {max(1, count // 10)}",
                exit_code=ExitCode.REJECTED,
            )
        yield end
    finally:
        process.terminate()
        process.join(END_S)


def _receive(pipe: Connection, seconds: float) -> Any:
    """What the process says; raises CliError where it says nothing."""
    with contextlib.suppress(EOFError):
        if pipe.poll(seconds):
            return pipe.recv()
    raise CliError("internal", f"the process of the listeners said nothing for {seconds:g} s")


def _listen(pipe: Connection, url: str, count: int) -> None:
    """The process: connect, say so, listen until there is a word, and tell what was heard."""
    allow_files(count + SPARE_FILES)
    asyncio.run(_listen_all(pipe, f"{url.rstrip('/')}/v1/events?topics=blocks", count))


def allow_files(count: int) -> None:
    """Let this process hold so many, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _listen_all(pipe: Connection, url: str, count: int) -> None:
    opening, heard = asyncio.Semaphore(OPEN_AT_ONCE), Heard()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    ) as session:

        async def open_one() -> aiohttp.ClientResponse:
            async with opening:
                return await session.get(url, allow_redirects=False, raise_for_status=True)

        try:
            async with asyncio.timeout(OPEN_S):
                streams = await asyncio.gather(*[open_one() for _ in range(count)])
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            pipe.send(str(error) or type(error).__name__)
            return
        reading = asyncio.gather(*[_read(stream, heard) for stream in streams])
        pipe.send(None)
        await asyncio.to_thread(pipe.recv)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        pipe.send((heard.blocks, heard.lost))


async def _read(stream: aiohttp.ClientResponse, heard: Heard) -> None:
    """Until the stream ends."""
    async for count in blocks_told(stream):
        heard.blocks += count
    heard.lost += 1


async def blocks_told(stream: aiohttp.ClientResponse) -> AsyncIterator[int]:
    """How many came in each piece, until the stream ends."""
    rest = b""
    with contextlib.suppress(OSError, aiohttp.ClientError):
        async for data in stream.content.iter_any():
            rest += data
            yield rest.count(TOLD)
            rest = rest[1 - len(TOLD) :]
