"""The same API for programs that keep many requests in flight: load generators, explorers.

Speaks aiohttp and so takes long to import; commands that ask once use `cli.client`. Errors are
those of `cli.client`; every route of `cli.calls` goes through `ask`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TypeVar

import aiohttp

from cli import calls
from cli.calls import WAIT_MARGIN_S, Call
from cli.client import ANSWER_BYTES_MAX, DEFAULT_URL, TIMEOUT_S
from cli.client_errors import (
    RATE_LIMITED,
    UNEXPECTED,
    ApiProblem,
    Timeout,
    Unreachable,
    read_problem,
)
from cli.events import Event, listen_async
from node.api import redemption_schemas, schemas
from node.api.event_schemas import Topic
from node.api.schemas import Page

T = TypeVar("T")

CONNECTIONS_MAX = 16  # of one node: the share of an address; further requests wait for one


class AsyncClient:
    """One node's API; use as `async with`, from one event loop."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AsyncClient:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, call: Call[T]) -> T:
        """As `Client.ask`."""
        seconds = max(self._timeout_s, call.wait_s + WAIT_MARGIN_S if call.wait_s else 0)
        deadline = time.monotonic() + seconds
        while True:
            try:
                left_s = max(0.001, deadline - time.monotonic())
                return call.read(await self._call(call, seconds, left_s))
            except ApiProblem as problem:
                until = time.monotonic() + problem.retry_after_s
                if problem.code != RATE_LIMITED or until > deadline:
                    raise
                await asyncio.sleep(problem.retry_after_s)

    def events(
        self, topics: Sequence[Topic] = ("blocks",), *, after: int | None = None
    ) -> AsyncIterator[Event]:
        """What becomes final, for ever; see `cli.events`. Takes one of the connections."""
        return listen_async(self._opened(), self.url, topics, after)

    async def status(self) -> schemas.Status:
        return await self.ask(calls.status())

    async def raw_block(self, at: int | str) -> bytes:
        """As `Client.raw_block`."""
        return await self.ask(calls.raw_block(at))

    async def address(self, address: str) -> schemas.Address:
        """As `Client.address`."""
        return await self.ask(calls.address(address))

    async def submit_batch(self, raws: Sequence[bytes]) -> list[schemas.BatchResult]:
        """As `Client.submit_batch`."""
        return (await self.ask(calls.submit_batch(raws))).results

    async def transaction(
        self, txid: str, *, wait_s: float = 0, proof: bool = True
    ) -> schemas.TransactionStatus:
        """As `Client.transaction`; without `proof` the node is spared to build one."""
        return await self.ask(calls.transaction(txid, wait_s=wait_s, proof=proof))

    async def redemptions(
        self,
        *,
        issuer: str | None = None,
        state: str | None = None,
        commitment: str | None = None,
        prefix: str | None = None,
        is_open: bool = False,
        cursor: str | None = None,
    ) -> Page[redemption_schemas.Redemption]:
        """As `EconomyClient.redemptions`."""
        return await self.ask(
            calls.redemptions(
                issuer=issuer,
                state=state,
                commitment=commitment,
                prefix=prefix,
                cursor=cursor,
                is_open=is_open,
            )
        )

    async def redemption(self, order: str) -> redemption_schemas.Redemption:
        """As `EconomyClient.redemption`."""
        return await self.ask(calls.redemption(order))

    async def quote_redeem(
        self, form: redemption_schemas.RedeemQuoteForm
    ) -> redemption_schemas.RedeemQuote:
        """As `EconomyClient.quote_redeem`."""
        return await self.ask(calls.quote_redeem(form))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise AssertionError("the client is used outside its `async with`")
        return self._session

    async def _call(self, call: Call[T], seconds: float, left_s: float) -> bytes:
        headers = {"Accept": call.accept}
        if call.kind:
            headers["Content-Type"] = call.kind
        try:
            async with self._opened().request(
                call.method,
                f"{self.url}/v1{call.path}",
                data=call.body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=left_s),
            ) as response:
                data = await _read_all(response)
                status = response.status
                retry_after = response.headers.get("Retry-After", "")
        except TimeoutError:
            raise Timeout(self.url, seconds) from None
        except aiohttp.ClientError as error:
            raise Unreachable(self.url, str(error) or type(error).__name__) from None
        if 200 <= status < 300:
            return data
        raise read_problem(status, data, retry_after)


async def _read_all(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for part in response.content.iter_any():
        data += part
        if len(data) > ANSWER_BYTES_MAX:
            detail = f"an answer of more than {ANSWER_BYTES_MAX} bytes"
            raise ApiProblem(response.status, UNEXPECTED, detail)
    return bytes(data)
