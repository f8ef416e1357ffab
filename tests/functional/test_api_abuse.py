"""Clients that mean harm, against the public listener of a running node, while others pay."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from node.api.listener import BODY_BYTES_MAX, CONNECTIONS_MAX, HEADER_BYTES_MAX
from tests.functional.cluster import DEADLINE_S, Cluster, until

pytestmark = pytest.mark.functional

MANY = 1_000
DRIP_S = 0.5
PAYMENTS = 10
assert MANY < CONNECTIONS_MAX


class Crowd:
    """So many connections of one kind, each made again when it is cut; in a thread of its own."""

    def __init__(self, port: int, says: bytes) -> None:
        self.opened = self.cut = 0
        self._port = port
        self._says = says
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    @contextmanager
    def gathered(self) -> Iterator[None]:
        self._thread.start()
        try:
            until(lambda: self.opened >= MANY, "all of them are connected")
            yield
        finally:
            self._stop.set()
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(MANY):
                group.create_task(self._one())

    async def _one(self) -> None:
        while not self._stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(DRIP_S)
                continue
            self.opened += 1
            await self._stay(reader, writer)
            writer.close()

    async def _stay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A byte at a time, where there is something to say, until the node ends it."""
        sent = 0
        while not self._stop.is_set():
            writer.write(self._says[sent : sent + 1])
            sent += 1
            try:
                async with asyncio.timeout(DRIP_S):
                    gone = not await reader.read(65_536)
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                self.cut += 1
                return


DRIPPED_HEAD = b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"x" * 1_000


def test_a_thousand_that_wait_or_drip_hold_up_nobody(cluster: Cluster) -> None:
    """First those that say nothing, then those that drip headers: each is cut in time and comes
    again, and meanwhile every payment through the same node is final and every question answered.
    """
    up = cluster.up("--detach", "--no-issuers")
    node = up["nodes"][0]
    port = int(node["api"].rpartition(":")[2])
    for says in (b"", DRIPPED_HEAD):
        crowd = Crowd(port, says)
        with crowd.gathered():
            for _ in range(PAYMENTS):
                paid = cluster.send("1", "alice", "bob", "--node", node["api"])
                assert paid["status"] == "final"
            until(lambda crowd=crowd: crowd.cut >= MANY, "all of them were cut")
            assert cluster.marsa("node", "status", "--node", node["api"], "--json").json
    assert cluster.nodes()["val0"]["alive"]
    assert "api_fault" not in cluster.marsa("devnet", "logs", "val0").out


HOST = b"Host: 127.0.0.1\r\n"
JSON_TYPE = b"Content-Type: application/json\r\n"
PACKED_TYPE = b"Content-Type: application/msgpack\r\n"


def get(path: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n"


def post(path: bytes, body: bytes, headers: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + headers + length + b"\r\n" + body


WRONG: dict[str, tuple[bytes, int, str]] = {
    "a cursor of nothing": (get(b"/v1/blocks?cursor=!!"), 400, "bad_cursor"),
    "a cursor of another list": (get(b"/v1/headers?cursor=YgAAAAAAAAAB"), 400, "bad_cursor"),
    "a long cursor": (get(b"/v1/blocks?cursor=" + b"A" * 500), 400, "bad_cursor"),
    "a height below zero": (get(b"/v1/blocks/-1"), 400, "bad_request"),
    "a height above all": (get(b"/v1/blocks/99999999"), 404, "not_found"),
    "a height beyond numbers": (get(b"/v1/blocks/" + b"9" * 63), 400, "bad_request"),
    "a height in another script": (get(b"/v1/blocks/%D9%A3"), 400, "bad_request"),
    "half a hash": (get(b"/v1/transactions/abcd"), 400, "malformed"),
    "a hash in capitals": (get(b"/v1/transactions/" + b"AB" * 32), 400, "malformed"),
    "an address with a typing mistake": (
        get(b"/v1/addresses/mrst1qqqqqqqqqqqqqqqqqqqqqqqqqqqq"),
        400,
        "bad_address",
    ),
    "an address of another network": (get(b"/v1/addresses/mrs1qqqqqq"), 400, "bad_address"),
    "a zero byte": (get(b"/v1/issuers/a%00b"), 404, "not_found"),
    "a path out of the tree": (get(b"/v1/../../etc/passwd"), 404, "not_found"),
    "no such route": (get(b"/v2/status"), 404, "not_found"),
    "another method": (get(b"/v1/quotes/mint"), 405, "method_not_allowed"),
    "a parameter that is not": (get(b"/v1/status?x=1"), 400, "bad_request"),
    "a parameter twice": (get(b"/v1/blocks?limit=1&limit=2"), 400, "bad_request"),
    "a limit above all": (get(b"/v1/blocks?limit=201"), 400, "bad_request"),
    "topics that are not": (get(b"/v1/events?topics=all"), 400, "bad_request"),
    "another host": (
        b"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        421,
        "host_not_allowed",
    ),
    "no host": (b"GET /v1/status HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "large headers": (
        get(b"/v1/status", b"X: " + b"x" * HEADER_BYTES_MAX + b"\r\n"),
        431,
        "headers_too_large",
    ),
    "many headers": (get(b"/v1/status", b"X: x\r\n" * 200), 400, "bad_request"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
    "a body of another type": (
        post(b"/v1/transactions", b"x", b"Content-Type: text/plain\r\n"),
        415,
        "unsupported_media_type",
    ),
    "a packed body": (
        post(b"/v1/transactions", b"x", PACKED_TYPE + b"Content-Encoding: gzip\r\n"),
        415,
        "content_encoding",
    ),
    "half of JSON": (post(b"/v1/transactions", b'{"body":', JSON_TYPE), 400, "malformed"),
    "deep JSON": (post(b"/v1/transactions", b"[" * 100_000, JSON_TYPE), 400, "malformed"),
    "an unknown field": (
        post(b"/v1/quotes/mint", b'{"issuer":"acme","amount":"1","x":1}', JSON_TYPE),
        400,
        "unknown_field",
    ),
    "a negative amount": (
        post(b"/v1/quotes/mint", b'{"issuer":"acme","amount":"-1"}', JSON_TYPE),
        400,
        "bad_request",
    ),
    "bytes that are no transaction": (
        post(b"/v1/transactions", b"\xc1", PACKED_TYPE),
        400,
        "malformed",
    ),
    "a batch that is none": (
        post(b"/v1/transactions/batch", b"\x93", PACKED_TYPE),
        400,
        "malformed",
    ),
    "a body above the limit": (
        b"POST /v1/transactions HTTP/1.1\r\n"
        + HOST
        + PACKED_TYPE
        + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1),
        413,
        "body_too_large",
    ),
}


def exchange(port: int, sent: bytes) -> tuple[int, dict[str, object]]:
    """Status and problem of one request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as link:
        link.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.rstrip().endswith(b"}"):
            part = link.recv(65_536)
            assert part, answer
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), head
    return int(head.split()[1]), json.loads(body)


def test_whatever_is_wrong_is_a_problem_with_a_code(cluster: Cluster) -> None:
    """One request each over a raw socket; the node says what was wrong, what to do next, and goes
    on."""
    up = cluster.up("--detach", "--no-issuers")
    port = int(up["nodes"][0]["api"].rpartition(":")[2])
    found = {}
    for name, (sent, _, _) in WRONG.items():
        status, problem = exchange(port, sent)
        assert problem["hint"], name
        assert problem["detail"], name
        assert problem["status"] == status, name
        found[name] = (status, problem["code"])
    assert found == {name: (status, code) for name, (_, status, code) in WRONG.items()}
    assert len(Counter(code for _, code in found.values())) >= 12
    assert cluster.send("5", "alice", "bob")["status"] == "final"
    assert "api_fault" not in cluster.marsa("devnet", "logs", "val0").out
