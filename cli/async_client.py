"""The same API for programs that keep many requests in flight: load generators, explorers.

Speaks aiohttp and so takes long to import; commands that ask once use `cli.client`. Errors are
those of `cli.client`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec

from cli.client import (
    ANSWER_BYTES_MAX,
    DEFAULT_URL,
    JSON,
    MSGPACK,
    TIMEOUT_S,
    WAIT_MARGIN_S,
    ApiProblem,
    Timeout,
    Unreachable,
    read_answer,
    read_problem,
)
from cli.client_economy import redemptions_path
from node.api import redemption_schemas, schemas
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

    async def status(self) -> schemas.Status:
        return read_answer(await self._call("GET", "/status"), schemas.Status)

    async def raw_block(self, at: int | str) -> bytes:
        """As `Client.raw_block`."""
        return await self._call("GET", f"/blocks/{at}", accept=MSGPACK)

    async def address(self, address: str) -> schemas.Address:
        """As `Client.address`."""
        return read_answer(await self._call("GET", f"/addresses/{address}"), schemas.Address)

    async def submit_batch(self, raws: Sequence[bytes]) -> list[schemas.BatchResult]:
        """As `Client.submit_batch`."""
        body = msgspec.msgpack.encode(list(raws))
        answer = await self._call("POST", "/transactions/batch", body=body)
        return read_answer(answer, schemas.BatchAnswer).results

    async def transaction(
        self, txid: str, *, wait_s: float = 0, proof: bool = True
    ) -> schemas.TransactionStatus:
        """As `Client.transaction`; without `proof` the node is spared to build one."""
        wait_ms = min(int(wait_s * 1_000), schemas.WAIT_MS_MAX)
        query = "" if proof else "&proof=false"
        path = f"/transactions/{txid}?wait={wait_ms}ms{query}"
        seconds = max(self._timeout_s, wait_ms / 1_000 + WAIT_MARGIN_S)
        answer = await self._call("GET", path, timeout_s=seconds)
        return read_answer(answer, schemas.TransactionStatus)

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
        path = redemptions_path(issuer, state, commitment, prefix, cursor, is_open=is_open)
        return read_answer(await self._call("GET", path), Page[redemption_schemas.Redemption])

    async def redemption(self, order: str) -> redemption_schemas.Redemption:
        """As `EconomyClient.redemption`."""
        answer = await self._call("GET", f"/orders/{order}")
        return read_answer(answer, redemption_schemas.Redemption)

    async def quote_redeem(
        self, form: redemption_schemas.RedeemQuoteForm
    ) -> redemption_schemas.RedeemQuote:
        """As `EconomyClient.quote_redeem`."""
        body = msgspec.json.encode(form)
        answer = await self._call("POST", "/quotes/redeem", body=body, kind=JSON)
        return read_answer(answer, redemption_schemas.RedeemQuote)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        kind: str = MSGPACK,
        accept: str = JSON,
        timeout_s: float | None = None,
    ) -> bytes:
        if self._session is None:
            raise AssertionError("the client is used outside its `async with`")
        seconds = self._timeout_s if timeout_s is None else timeout_s
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = kind
        try:
            async with self._session.request(
                method,
                f"{self.url}/v1{path}",
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
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
            raise ApiProblem(response.status, "unexpected_answer", detail)
    return bytes(data)
