"""A node with a real API in a thread of its own, for commands that run in the test's thread.

It is the small node of the API's tests. With `is_deciding` every transaction that it takes is
final at once, or in a block that comes `block_s` after the first of them; without, transactions
wait, as in a network without a quorum.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from node.api.services import Submission
from tests.ledger.world import World
from tests.node.api.harness import Node, open_api

START_DEADLINE_S = 20.0

T = TypeVar("T")


class LiveNode(Node):
    """A node that can make final what it takes."""

    is_deciding = True
    block_s = 0.0
    url = ""
    _is_block_due = False
    _loop: asyncio.AbstractEventLoop

    async def submit(self, raws: Sequence[bytes]) -> list[Submission]:
        results = await super().submit(raws)
        is_new = any(result.is_new for result in results)
        if self.is_deciding and is_new and not self._is_block_due:
            self._is_block_due = True
            asyncio.get_running_loop().call_later(self.block_s, self._decide_due)
        return results

    def _decide_due(self) -> None:
        self._is_block_due = False
        self.decide()

    def inside(self, call: Callable[[], T]) -> T:
        """Run `call` in the node's thread, as all that touches its state must."""

        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_DEADLINE_S)


@contextlib.contextmanager
def live_node(world: World | None = None) -> Iterator[LiveNode]:
    """A node on a port that the system chooses, stopped at the end."""
    started = threading.Event()
    stop: list[Callable[[], object]] = []
    nodes: list[LiveNode] = []

    async def serve() -> None:
        node = LiveNode(world or World())
        done = asyncio.Event()
        async with open_api(node) as api:
            node.url = api.url
            node._loop = asyncio.get_running_loop()
            stop.append(lambda: node._loop.call_soon_threadsafe(done.set))
            nodes.append(node)
            started.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="live-node")
    thread.start()
    try:
        assert started.wait(START_DEADLINE_S), "the node did not start"
        yield nodes[0]
    finally:
        for call in stop:
            call()
        thread.join(START_DEADLINE_S)
        assert not thread.is_alive()
