"""The typed client of a node's HTTP API, on the standard library: it starts fast and blocks.

Every call has one deadline for connecting, sending and reading together, and ends in an answer or
in one of three errors: `Unreachable` (nothing was sent, or nobody answered), `Timeout` (the
outcome is unknown: ask for the txid) and `ApiProblem` (the node said no, with a stable code).
A connection is kept between calls; one that the node closed meanwhile is opened again, once.
That never doubles anything: the txid makes a submission the same however often it is sent.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from cli.client_economy import EconomyClient
from ledger.amounts import parse_number
from node.api import consensus_schemas, epoch_schemas, node_schemas, schemas
from node.api.schemas import Page

DEFAULT_URL = "http://127.0.0.1:8640"
TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024  # far above the largest answer; bounds a foreign server
READ_BYTES = 64 * 1024
WAIT_MARGIN_S = 5.0  # a long wait may take this much longer before it counts as no answer

RETRY_AFTER_S_MAX = 60
"""A busy node asks for a second; a foreign server must not put a client to sleep."""

JSON = "application/json"
MSGPACK = "application/msgpack"

T = TypeVar("T")


class ClientError(Exception):
    """Base of what a call may end in."""


class Unreachable(ClientError):
    """No connection, or it broke before an answer came."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"the node at {url} cannot be reached: {cause}")
        self.url = url


class Timeout(ClientError):
    """The deadline passed. What was sent may still take effect."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(f"the node at {url} did not answer within {seconds:g} s")
        self.url = url


class ApiProblem(ClientError):
    """The node refused, or answered what no node of ours answers (`unexpected_answer`).

    `retry_after_s` is what a busy node asked for, 0 where it asked for nothing.
    """

    def __init__(
        self, status: int, code: str, detail: str, hint: str = "", retry_after_s: int = 0
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.hint = hint
        self.retry_after_s = retry_after_s


class Client:
    """One node's API. Not for use from two threads at once."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Unreachable(url, str(error)) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(url, "not an http:// or https:// address")
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname, port
        self._is_tls = parts.scheme == "https"
        self._root = parts.path.rstrip("/") + "/v1"
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The network

    def status(self) -> schemas.Status:
        return self._get("/status", schemas.Status)

    def params(self) -> schemas.Params:
        return self._get("/params", schemas.Params)

    def peers(self) -> node_schemas.Peers:
        return self._get("/peers", node_schemas.Peers)

    def validators(self) -> schemas.Validators:
        return self._get("/validators", schemas.Validators)

    def epoch(self) -> epoch_schemas.Epoch:
        """The present epoch and every licence."""
        return self._get("/epochs/current", epoch_schemas.Epoch)

    def consensus(self) -> consensus_schemas.ConsensusShown:
        return self._get("/consensus", consensus_schemas.ConsensusShown)

    def set_changes(self, epoch: int) -> list[epoch_schemas.SetChange]:
        """Who leads from the validators of genesis to those of `epoch`."""
        found: list[epoch_schemas.SetChange] = []
        start: int | None = 0
        while start is not None and start < epoch:
            page = self._get(f"/epochs/changes?start={start}", epoch_schemas.SetChanges)
            found += [item for item in page.items if item.header.epoch < epoch]
            start = page.next_epoch
        return found

    def mempool(self) -> schemas.Mempool:
        return self._get("/mempool", schemas.Mempool)

    # Blocks

    def blocks(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[schemas.BlockSummary]:
        """From the newest down."""
        return self._page("/blocks", schemas.BlockSummary, limit, cursor)

    def block(self, at: int | str = "latest") -> schemas.Block:
        """By height, by hash or the latest."""
        return self._get(f"/blocks/{quote(str(at), safe='')}", schemas.Block)

    def raw_block(self, at: int | str) -> bytes:
        """The canonical bytes of a `ledger.block.Block`, for whoever checks them."""
        path = f"/blocks/{quote(str(at), safe='')}"
        return self._call("GET", path, accept=MSGPACK)

    def certificate(self, height: int) -> schemas.Certificate:
        return self._get(f"/blocks/{height}/certificate", schemas.Certificate)

    def headers(
        self, *, start: int = 0, limit: int | None = None, cursor: str | None = None
    ) -> Page[schemas.CertifiedHeader]:
        """From `start` up, each with its certificate."""
        query = {"start": str(start)} if cursor is None else {}
        return self._page("/headers", schemas.CertifiedHeader, limit, cursor, query)

    # Transactions

    def submit(self, raw: bytes) -> schemas.Submitted:
        """Hand over the canonical bytes of a sealed transaction."""
        answer = self._call("POST", "/transactions", body=raw, content_type=MSGPACK)
        return read_answer(answer, schemas.Submitted)

    def submit_batch(self, raws: Sequence[bytes]) -> list[schemas.BatchResult]:
        """Hand over up to `BATCH_TRANSACTIONS_MAX`; one result for each, in their order."""
        body = msgspec.msgpack.encode(list(raws))
        answer = self._call("POST", "/transactions/batch", body=body, content_type=MSGPACK)
        return read_answer(answer, schemas.BatchAnswer).results

    def check(self, raw: bytes) -> schemas.Checked:
        """Whether the node would take it; raises ApiProblem with the reason if not."""
        answer = self._call("POST", "/transactions/check", body=raw, content_type=MSGPACK)
        return read_answer(answer, schemas.Checked)

    def transaction(self, txid: str, *, wait_s: float = 0) -> schemas.TransactionStatus:
        """Where it stands; the node holds the answer back up to `wait_s` until it is final.

        A node waits `WAIT_MS_MAX` at most: whoever waits longer asks again.
        """
        wait_ms = min(int(wait_s * 1_000), schemas.WAIT_MS_MAX)
        query = f"?wait={wait_ms}ms" if wait_ms > 0 else ""
        answer = self._call(
            "GET",
            f"/transactions/{quote(txid, safe='')}{query}",
            timeout_s=max(self._timeout_s, wait_ms / 1_000 + WAIT_MARGIN_S),
        )
        return read_answer(answer, schemas.TransactionStatus)

    def proof(self, txid: str) -> schemas.TransactionProof:
        path = f"/transactions/{quote(txid, safe='')}/proof"
        return self._get(path, schemas.TransactionProof)

    # Addresses, outputs, objects

    def address(self, address: str) -> schemas.Address:
        return self._get(f"/addresses/{quote(address, safe='')}", schemas.Address)

    def coins(
        self,
        address: str,
        *,
        asset: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[schemas.Coin]:
        """Unspent outputs by asset, the oldest first; `asset` narrows them to one."""
        path = f"/addresses/{quote(address, safe='')}/coins"
        query = {} if asset is None else {"asset": asset}
        return self._page(path, schemas.Coin, limit, cursor, query)

    def history(
        self, address: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[schemas.HistoryItem]:
        """From the newest down."""
        path = f"/addresses/{quote(address, safe='')}/transactions"
        return self._page(path, schemas.HistoryItem, limit, cursor)

    def outpoint(self, txid: str, index: int) -> schemas.Outpoint:
        return self._get(f"/outpoints/{quote(txid, safe='')}:{index}", schemas.Outpoint)

    def object(self, key: str) -> schemas.Object:
        """A protocol object by its key in hex."""
        return self._get(f"/objects/{quote(key, safe='')}", schemas.Object)

    # Issuers

    def assets(self) -> Page[schemas.Asset]:
        return self._page("/assets", schemas.Asset, None, None)

    def asset(self, asset: str) -> schemas.Asset:
        return self._get(f"/assets/{quote(asset, safe='')}", schemas.Asset)

    def issuers(self) -> Page[schemas.Issuer]:
        return self._page("/issuers", schemas.Issuer, None, None)

    def issuer(self, issuer: str) -> schemas.Issuer:
        return self._get(f"/issuers/{quote(issuer, safe='')}", schemas.Issuer)

    @property
    def economy(self) -> EconomyClient:
        """Licences, capacity, bonds, orders, quotes."""
        return EconomyClient(self)

    def reserve(self) -> schemas.Reserve:
        return self._get("/reserve", schemas.Reserve)

    def reserve_bundle(self) -> bytes:
        """The bytes that `cli.verify_bundle` checks."""
        return self._call("GET", "/reserve/bundle", accept=MSGPACK)

    # How

    def get(self, path: str, cls: type[T]) -> T:
        """The answer of any route; raises a ClientError."""
        return self._get(path, cls)

    def post(self, path: str, body: bytes, cls: type[T]) -> T:
        """The answer to a body of JSON; raises a ClientError."""
        return read_answer(self._call("POST", path, body=body, content_type=JSON), cls)

    def _get(self, path: str, cls: type[T]) -> T:
        return read_answer(self._call("GET", path), cls)

    def _page(
        self,
        path: str,
        cls: type[T],
        limit: int | None,
        cursor: str | None,
        query: Mapping[str, str] | None = None,
    ) -> Page[T]:
        parts = dict(query or {})
        if limit is not None:
            parts["limit"] = str(limit)
        if cursor is not None:
            parts["cursor"] = cursor
        suffix = f"?{urlencode(parts)}" if parts else ""
        return read_answer(self._call("GET", path + suffix), Page[cls])  # type: ignore[valid-type]

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = JSON,
        timeout_s: float | None = None,
    ) -> bytes:
        """One request within one deadline; raises a ClientError for all but a 2xx answer."""
        seconds = self._timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + seconds
        headers = {"Accept": accept}
        if content_type:
            headers["Content-Type"] = content_type
        try:
            status, data = self._exchange(method, self._root + path, body, headers, deadline)
        except TimeoutError:
            self.close()
            raise Timeout(self.url, seconds) from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            raise Unreachable(self.url, str(error) or type(error).__name__) from None
        if 200 <= status < 300:
            return data
        raise read_problem(status, data)

    def _exchange(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> tuple[int, bytes]:
        was_open = self._connection is not None
        try:
            return self._send(method, target, body, headers, deadline)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()
            if not was_open:
                raise
            return self._send(method, target, body, headers, deadline)

    def _send(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> tuple[int, bytes]:
        connection = self._connection
        if connection is None:
            make = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
            connection = make(self._host, self._port, timeout=_remaining(deadline))
            connection.connect()
            self._connection = connection
        connection.sock.settimeout(_remaining(deadline))
        connection.request(method, target, body=body, headers=dict(headers))
        response = connection.getresponse()
        data = bytearray()
        while True:
            if connection.sock is not None:
                connection.sock.settimeout(_remaining(deadline))
            part = response.read1(READ_BYTES)
            if not part:
                if response.length:
                    raise http.client.IncompleteRead(bytes(data), response.length)
                break
            data += part
            if len(data) > ANSWER_BYTES_MAX:
                self.close()
                detail = f"an answer of more than {ANSWER_BYTES_MAX} bytes"
                raise ApiProblem(response.status, "unexpected_answer", detail)
        # Before Python 3.12 `read1` does not notice the end by itself, and the connection would
        # refuse the next request.
        response.close()
        if response.will_close:
            self.close()
        return response.status, bytes(data)


def all_items(fetch: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Every item of a list, page after page; `fetch` takes a cursor."""
    cursor: str | None = None
    while True:
        page = fetch(cursor)
        yield from page.items
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def read_problem(status: int, data: bytes, retry_after: str = "") -> ApiProblem:
    """The problem that an answer of a node describes, whatever its bytes are."""
    try:
        problem = msgspec.json.decode(data, type=schemas.Problem)
    except (msgspec.DecodeError, RecursionError):
        return ApiProblem(status, "unexpected_answer", f"HTTP status {status} without a problem")
    seconds = min(parse_number(retry_after) or 0, RETRY_AFTER_S_MAX)
    return ApiProblem(status, problem.code, problem.detail, problem.hint, seconds)


def read_answer(data: bytes, cls: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=cls)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ApiProblem(200, "unexpected_answer", f"{cls.__name__}: {error}") from None


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
