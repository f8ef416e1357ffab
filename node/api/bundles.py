"""The reserve as a file that is checked offline: made for the last block, a slice at a time.

What it costs follows from the state, not from who asks: one is made at a time, everybody gets it,
and it is served until twenty times as long has passed as it took to make. The walk over past epochs
goes on where it stopped, for what ended does not change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from ledger import codec
from ledger.boundaries import Boundary, boundary_of
from ledger.chain import Chain
from ledger.validators import ValidatorSet
from node.api.problems import ApiCode, ApiError, not_found
from node.api.request import MSGPACK, read_query
from node.api.routes import get
from node.api.services import Services
from node.reserve_bundle import BUNDLE_BYTES_MAX, CHANGES_MAX, Contents, ProvedObject, TooLarge

HELD_FACTOR = 20
"""A bundle serves everybody for so many times as long as it took: requests cost a node at most a
twentieth of its time, and a small state is shown late by some hundredths of a second at most."""
SLICE_EPOCHS = 32
"""Looked at between two looks at other work: about 2 ms."""
SLICE_OBJECTS = 100
"""The same for proofs."""
PART_BYTES = 64 * 1024
"""Handed to a connection at once: one that does not read holds no more."""


class Turns:
    """The time that one task takes of the event loop; what others take between is not counted."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._since_ms = now_ms()
        self.taken_ms = 0

    async def pause(self) -> None:
        """Let others work."""
        self.stop()
        await asyncio.sleep(0)
        self._since_ms = self._now_ms()

    def stop(self) -> int:
        """The time now; the turn is over."""
        now_ms = self._now_ms()
        self.taken_ms += now_ms - self._since_ms
        return now_ms


class Bundles:
    """Makes bundles of one chain. Belongs to the event loop; one maker at a time, others wait."""

    def __init__(self, chain: Chain, now_ms: Callable[[], int]) -> None:
        self._chain = chain
        self._now_ms = now_ms
        self._lock = asyncio.Lock()
        self._changes: list[Boundary] = []
        self._walked = 0
        """Epochs before this one were looked at."""
        self._members: ValidatorSet | None = None
        """Those of that epoch, once one was looked at."""
        self._made: bytes | ApiError | None = None
        self._height = 0
        """Of `_made`."""
        self._held_until_ms = 0

    async def get(self) -> bytes:
        """The bundle of the last block, or the one that is held; raises ApiError."""
        async with self._lock:
            is_behind = self._height != self._chain.height
            if self._made is None or (is_behind and self._now_ms() >= self._held_until_ms):
                await self._renew()
            if isinstance(self._made, ApiError):
                raise self._made
            assert self._made is not None
            return self._made

    async def _renew(self) -> None:
        """Keep the next bundle, or why there is none; nothing when it is cancelled."""
        turns, height = Turns(self._now_ms), self._chain.height
        try:
            self._made, self._height = await self._make(turns)
        except ApiError as error:
            self._made, self._height = error, height
        self._held_until_ms = turns.stop() + HELD_FACTOR * turns.taken_ms

    async def _make(self, turns: Turns) -> tuple[bytes, int]:
        await self._walk(turns)
        try:
            contents = Contents.of(self._chain)
        except TooLarge as error:
            raise ApiError(ApiCode.BUNDLE_TOO_LARGE, str(error)) from None
        if contents is None:
            raise not_found("no block is final yet: the reserve is that of the genesis file")
        changes = tuple(self._changes)
        proved: list[ProvedObject] = []
        for start in range(0, len(contents.objects), SLICE_OBJECTS):
            proved += contents.prove(start, start + SLICE_OBJECTS)
            await turns.pause()
        data = codec.encode(contents.bundle(changes, proved))
        if len(data) > BUNDLE_BYTES_MAX:
            detail = f"{len(data)} bytes, a bundle has at most {BUNDLE_BYTES_MAX}"
            raise ApiError(ApiCode.BUNDLE_TOO_LARGE, detail)
        return data, contents.head.header.height

    async def _walk(self, turns: Turns) -> None:
        """Find the changes of members before the epoch of the last block.

        The last look at the chain and the return are in one turn of the loop: the caller finds
        the chain as the walk left it.
        """
        chain = self._chain
        while self._walked < chain.head.header.epoch:
            self._look(self._walked)
            self._walked += 1
            if self._walked % SLICE_EPOCHS == 0:
                await turns.pause()

    def _look(self, epoch: int) -> None:
        before = self._members or self._chain.validators(epoch)
        after = self._members = self._chain.validators(epoch + 1)
        if before is None or after is None:
            raise AssertionError(f"epoch {epoch} is over, and its validators are not stored")
        if before.members == after.members:
            return
        found = boundary_of(self._chain, epoch)
        if found is None:
            raise AssertionError(f"epoch {epoch} is over, and its last block is not stored")
        if len(self._changes) >= CHANGES_MAX:
            detail = f"the validators changed more than {CHANGES_MAX} times"
            raise ApiError(ApiCode.BUNDLE_TOO_LARGE, detail)
        self._changes.append(found)


BUNDLES = web.AppKey("bundles", Bundles)


def prepare(app: web.Application, services: Services) -> None:
    """What these routes keep."""
    app[BUNDLES] = Bundles(services.chain, services.watch.now_ms)


async def get_bundle(request: web.Request) -> web.Response:
    """The reserve with all its proofs: the bytes that `marsa audit verify-bundle` reads."""
    read_query(request)
    data = await request.app[BUNDLES].get()
    return web.Response(
        body=_parts(data), content_type=MSGPACK, headers={"Cache-Control": "no-store"}
    )


async def _parts(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PART_BYTES):
        yield data[start : start + PART_BYTES]


ROUTES = (
    get(
        "/v1/reserve/bundle",
        get_bundle,
        None,
        codes=(ApiCode.NOT_FOUND, ApiCode.BUNDLE_TOO_LARGE),
        media_type=MSGPACK,
        weight=50,
    ),
)
