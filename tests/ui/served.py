"""A small real node behind its real API, for pages of what a devnet never shows."""

from __future__ import annotations

import asyncio
import threading

from tests.node.api.harness import Node, open_api

START_S = 10


class Served:
    """A node of the harness behind its real API, on a loop and a thread of its own."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])
        self.url = ""

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(START_S)
        self._loop.close()

    async def _run(self) -> None:
        async with open_api(self._node) as api:
            self.url = api.url
            self._ready.set()
            await self._end.wait()
