"""Pages of the explorer that are open, in a process of their own: what each asks of its node.

It is the first page (`node/ui/pages/home.js` over `node/ui/lib/live.js`): a stream of blocks, how
the node stands two seconds after the last answer, the reserve every fifteen, each in the headers of
a browser and over connections of the page alone. A test opens that page in a browser and compares.
Pages are opened at different moments, as readers do. A page that nobody looks at has no stream and
asks every twenty seconds; here all are looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import aiohttp

from cli.bench_crowd import OPEN_S, SPARE_FILES, allow_files, blocks_told, elsewhere

STREAM = "events?topics=blocks"
OPENING = ("status", "blocks?limit=60", "reserve", "blocks?limit=20")
STATUS_S = 2.0
"""From one answer to the next question: POLL_MS of live.js."""
RESERVE_S = 15.0
"""RESERVE_MS of home.js."""
CONNECTIONS = 6
"""Of a browser to one address."""
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/142.0.0.0 Safari/537.36",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Sec-CH-UA": '"Not:A-Brand";v="8", "Chromium";v="142"',
    "Sec-CH-UA-Mobile": "?0",
    "Sec-CH-UA-Platform": '"Linux"',
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
}
OF_QUESTIONS = {"Accept": "application/json"}
OF_STREAMS = {"Accept": "text/event-stream", "Cache-Control": "no-cache", "Pragma": "no-cache"}


@dataclass(slots=True)
class Reading:
    """What the pages did from the moment when all were open; complete when their context ended."""

    seconds: float = 0.0
    requests: int = 0
    events: int = 0
    lost: int = 0
    """Streams that ended, and questions without an answer."""


@contextlib.contextmanager
def readers(url: str, count: int) -> Iterator[Reading]:
    """So many pages, all open, for the length of the block; raises CliError."""
    reading = Reading()
    with elsewhere(_read, url, count, "--pages") as end:
        yield reading
        reading.seconds, reading.requests, reading.events, reading.lost = end()


def _read(pipe: Connection, url: str, count: int) -> None:
    """The process."""
    allow_files(count * CONNECTIONS + SPARE_FILES)
    asyncio.run(_read_all(pipe, f"{url.rstrip('/')}/v1/", count))


async def _read_all(pipe: Connection, root: str, count: int) -> None:
    async with contextlib.AsyncExitStack() as stack:
        found = Reading()
        sessions = [await stack.enter_async_context(_browser()) for _ in range(count)]
        pages = [_Page(session, root, found) for session in sessions]
        try:
            async with asyncio.timeout(OPEN_S):
                await asyncio.gather(
                    *[page.open(STATUS_S * place / count) for place, page in enumerate(pages)]
                )
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            pipe.send(str(error) or type(error).__name__)
            return
        began_s, opening = time.monotonic(), (found.requests, found.events)
        pipe.send(None)
        await asyncio.to_thread(pipe.recv)
        seconds = time.monotonic() - began_s
        pipe.send((seconds, found.requests - opening[0], found.events - opening[1], found.lost))
        for page in pages:
            await page.close()


def _browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        headers=BROWSER,
        timeout=aiohttp.ClientTimeout(total=None),
        raise_for_status=True,
    )


class _Page:
    """One page. What it does goes into `found`."""

    def __init__(self, session: aiohttp.ClientSession, root: str, found: Reading) -> None:
        self._session = session
        self._root = root
        self._found = found
        self._work: asyncio.Future[tuple[None, None, None]] | None = None

    async def open(self, after_s: float) -> None:
        """When so much has passed; what is asked again and again begins at the end. Raises OSError
        and aiohttp's errors."""
        await asyncio.sleep(after_s)
        await asyncio.gather(*[self._ask(path) for path in OPENING])
        stream = await self._session.get(self._root + STREAM, headers=OF_STREAMS)
        self._work = asyncio.gather(
            self._listen(stream),
            self._repeat("status", STATUS_S),
            self._repeat("reserve", RESERVE_S),
        )

    async def close(self) -> None:
        if self._work is not None:
            self._work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._work

    async def _ask(self, path: str) -> None:
        async with self._session.get(self._root + path, headers=OF_QUESTIONS) as answer:
            await answer.read()
        self._found.requests += 1

    async def _repeat(self, path: str, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await self._ask(path)
            except (OSError, aiohttp.ClientError):
                self._found.lost += 1

    async def _listen(self, stream: aiohttp.ClientResponse) -> None:
        async for count in blocks_told(stream):
            self._found.events += count
        self._found.lost += 1
