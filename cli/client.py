"""The typed client of a node's HTTP API, on the standard library: it starts fast and blocks.

Every call has one deadline for connecting, sending and reading together, and ends in an answer or
in one of three errors: `Unreachable` (nothing was sent, or nobody answered), `Timeout` (the
outcome is unknown: ask for the txid) and `ApiProblem` (the node said no, with a stable code).
A connection is kept between calls; one that the node closed meanwhile is opened again. Where it
breaks under a call, a question is asked again, once; a transaction is not sent again: the first
copy may have been taken, and what the node says to a second would not be the whole truth.
"""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from cli import calls
from cli.calls import WAIT_MARGIN_S, Call
from cli.calls import all_items as all_items
from cli.client_economy import EconomyClient
from cli.client_errors import RATE_LIMITED, UNEXPECTED, read_problem
from cli.client_errors import ApiProblem as ApiProblem
from cli.client_errors import ClientError as ClientError
from cli.client_errors import Timeout as Timeout
from cli.client_errors import Unreachable as Unreachable
from cli.events import Event, listen
from node.api import consensus_schemas, economy_schemas, epoch_schemas, node_schemas, schemas
from node.api.event_schemas import Topic
from node.api.schemas import Page

DEFAULT_URL = "http://127.0.0.1:8640"
TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024  # far above the largest answer; bounds a foreign server
READ_BYTES = 64 * 1024

T = TypeVar("T")


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
        return self.ask(calls.status())

    def params(self) -> schemas.Params:
        return self.ask(calls.params())

    def peers(self) -> node_schemas.Peers:
        return self.ask(calls.peers())

    def validators(self) -> schemas.Validators:
        return self.ask(calls.validators())

    def epoch(self) -> epoch_schemas.Epoch:
        """The present epoch and every licence."""
        return self.ask(calls.epoch())

    def consensus(self) -> consensus_schemas.ConsensusShown:
        return self.ask(calls.consensus())

    def set_changes(self, epoch: int) -> list[epoch_schemas.SetChange]:
        """Who leads from the validators of genesis to those of `epoch`."""
        found: list[epoch_schemas.SetChange] = []
        start: int | None = 0
        while start is not None and start < epoch:
            page = self.ask(calls.set_changes(start))
            found += [item for item in page.items if item.header.epoch < epoch]
            start = page.next_epoch
        return found

    def mempool(self) -> schemas.Mempool:
        return self.ask(calls.mempool())

    # Blocks

    def blocks(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[schemas.BlockSummary]:
        """From the newest down."""
        return self.ask(calls.blocks(limit=limit, cursor=cursor))

    def block(self, at: int | str = "latest") -> schemas.Block:
        """By height, by hash or the latest."""
        return self.ask(calls.block(at))

    def raw_block(self, at: int | str) -> bytes:
        """The canonical bytes of a `ledger.block.Block`, for whoever checks them."""
        return self.ask(calls.raw_block(at))

    def certificate(self, height: int) -> schemas.Certificate:
        return self.ask(calls.certificate(height))

    def headers(
        self, *, start: int = 0, limit: int | None = None, cursor: str | None = None
    ) -> Page[schemas.CertifiedHeader]:
        """From `start` up, each with its certificate."""
        first = start if cursor is None else None
        return self.ask(calls.headers(start=first, limit=limit, cursor=cursor))

    # Transactions

    def submit(self, raw: bytes) -> schemas.Submitted:
        """Hand over the canonical bytes of a sealed transaction."""
        return self.ask(calls.submit(raw))

    def submit_batch(self, raws: Sequence[bytes]) -> list[schemas.BatchResult]:
        """Hand over up to `BATCH_TRANSACTIONS_MAX`; one result for each, in their order."""
        return self.ask(calls.submit_batch(raws)).results

    def check(self, raw: bytes) -> schemas.Checked:
        """Whether the node would take it; raises ApiProblem with the reason if not."""
        return self.ask(calls.check(raw))

    def transaction(self, txid: str, *, wait_s: float = 0) -> schemas.TransactionStatus:
        """Where it stands; the node holds the answer back up to `wait_s` until it is final.

        A node waits `WAIT_MS_MAX` at most: whoever waits longer asks again.
        """
        return self.ask(calls.transaction(txid, wait_s=wait_s))

    def proof(self, txid: str) -> schemas.TransactionProof:
        return self.ask(calls.proof(txid))

    # Addresses, outputs, objects

    def address(self, address: str) -> schemas.Address:
        return self.ask(calls.address(address))

    def coins(
        self,
        address: str,
        *,
        asset: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[schemas.Coin]:
        """Unspent outputs by asset, the oldest first; `asset` narrows them to one."""
        return self.ask(calls.coins(address, asset=asset, limit=limit, cursor=cursor))

    def history(
        self, address: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[schemas.HistoryItem]:
        """From the newest down."""
        return self.ask(calls.history(address, limit=limit, cursor=cursor))

    def outpoint(self, txid: str, index: int) -> schemas.Outpoint:
        return self.ask(calls.outpoint(txid, index))

    def object(self, key: str) -> schemas.Object:
        """A protocol object by its key in hex."""
        return self.ask(calls.object_at(key))

    # Issuers

    def assets(self) -> Page[schemas.Asset]:
        return self.ask(calls.assets())

    def asset(self, asset: str) -> schemas.Asset:
        return self.ask(calls.asset(asset))

    def issuers(self) -> Page[economy_schemas.Issuer]:
        return self.ask(calls.issuers())

    def issuer(self, issuer: str) -> economy_schemas.Issuer:
        return self.ask(calls.issuer(issuer))

    @property
    def economy(self) -> EconomyClient:
        """Licences, capacity, bonds, orders, quotes."""
        return EconomyClient(self)

    def reserve(self) -> schemas.Reserve:
        return self.ask(calls.reserve())

    def reserve_bundle(self) -> bytes:
        """The bytes that `cli.verify_bundle` checks."""
        return self.ask(calls.reserve_bundle())

    # How

    def ask(self, call: Call[T]) -> T:
        """The answer to any call of `cli.calls`; raises a ClientError.

        What the node refuses because too much was asked is asked again when it says so, within the
        same deadline: it has done nothing meanwhile.
        """
        seconds = max(self._timeout_s, call.wait_s + WAIT_MARGIN_S if call.wait_s else 0)
        deadline = time.monotonic() + seconds
        while True:
            try:
                return call.read(self._call(call, seconds, deadline))
            except ApiProblem as problem:
                until = time.monotonic() + problem.retry_after_s
                if problem.code != RATE_LIMITED or until > deadline:
                    raise
                time.sleep(problem.retry_after_s)

    def events(
        self, topics: Sequence[Topic] = ("blocks",), *, after: int | None = None
    ) -> Iterator[Event]:
        """What becomes final, for ever; see `cli.events`. Has a connection of its own."""
        return listen(self.url, topics, after)

    def _call(self, call: Call[T], seconds: float, deadline: float) -> bytes:
        """One request; raises a ClientError for all but a 2xx answer."""
        try:
            status, data, retry_after = self._exchange(call, deadline)
        except TimeoutError:
            self.close()
            raise Timeout(self.url, seconds) from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            raise Unreachable(self.url, str(error) or type(error).__name__) from None
        if 200 <= status < 300:
            return data
        raise read_problem(status, data, retry_after)

    def _exchange(self, call: Call[T], deadline: float) -> tuple[int, bytes, str]:
        if self._connection is not None and _is_over(self._connection.sock):
            self.close()
        was_open = self._connection is not None
        try:
            return self._send(call, deadline)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()
            if not was_open or not call.is_safe:
                raise
            return self._send(call, deadline)

    def _send(self, call: Call[T], deadline: float) -> tuple[int, bytes, str]:
        connection = self._connection
        if connection is None:
            make = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
            connection = make(self._host, self._port, timeout=_remaining(deadline))
            connection.connect()
            self._connection = connection
        connection.sock.settimeout(_remaining(deadline))
        headers = {"Accept": call.accept}
        if call.kind:
            headers["Content-Type"] = call.kind
        connection.request(call.method, self._root + call.path, body=call.body, headers=headers)
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
                raise ApiProblem(response.status, UNEXPECTED, detail)
        # Before Python 3.12 `read1` does not notice the end by itself, and the connection would
        # refuse the next request.
        response.close()
        if response.will_close:
            self.close()
        return response.status, bytes(data), response.headers.get("Retry-After", "")


def _is_over(idle: socket.socket) -> bool:
    """Nothing was asked: what can be read is its end, or nothing that an answer may follow."""
    poll = select.poll()
    poll.register(idle, select.POLLIN)
    return bool(poll.poll(0))


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
