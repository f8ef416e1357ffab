"""The guard in front of every route, and what a node says about itself."""

from __future__ import annotations

import platform
from io import BytesIO
from typing import Any

import msgspec
import pytest

from consensus.replica_state import ReplicaBroken
from ledger.block import BLOCK_OPERATIONS_MAX
from ledger.errors import InvariantBroken
from ledger.kv import StorageError
from ledger.mempool import WAITING_OPERATIONS_MAX
from node.api import node_schemas, schemas
from node.api.listener import BODY_BYTES_MAX, HEADER_BYTES_MAX
from node.api.operations import Health, Version
from node.api.request import BODIES, Budget
from node.api.schemas import PAGE_ITEMS_MAX
from tests.node.api.harness import Node, open_api

ROUTES = (
    "/status",
    "/params",
    "/peers",
    "/mempool",
    "/blocks",
    "/blocks/latest",
    "/headers",
    "/assets",
    "/issuers",
    "/commitments",
    "/reserve",
    "/validators",
)


async def test_every_route_works_at_height_0() -> None:
    """Asks each list and summary of a chain without blocks: 200 each, in JSON, not kept."""
    async with open_api() as api:
        for path in ROUTES:
            reply = await api.ask(path)
            assert reply.status == 200, path
            assert reply.headers["Content-Type"] == "application/json"
            assert reply.headers["Cache-Control"] == "no-store"
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert reply.headers["Server"] == "marsa"
            assert "Access-Control-Allow-Origin" not in reply.headers


async def test_status_says_who_is_missing_and_how_far_behind() -> None:
    """Sets one validator away and a proved height far ahead: status and validators say so."""
    async with open_api() as api:
        api.node.missing, api.node.target = ["val3"], 9
        status = await api.read("/status", schemas.Status)
        members = await api.read("/validators", schemas.Validators)
    assert (status.consensus.connected, status.consensus.missing) == (3, ["val3"])
    assert (status.sync.catching_up, status.sync.target_height) == (True, 9)
    assert status.network.chain_id == api.node.world.chain_id.hex()
    assert (members.n, members.f, members.quorum) == (4, 1, 3)
    assert [item.licence for item in members.members if not item.connected] == ["val3"]
    assert [item.is_primary for item in members.members] == [True, False, False, False]
    assert members.hash == api.node.world.validators.hash.hex()


async def test_mempool_shows_what_waits() -> None:
    """Submits one transaction: its size and age show."""
    async with open_api() as api:
        tx = api.node.world.transfer("alice", "bob")
        await api.ask("/transactions", tx.raw)
        api.node.time_ms += 250
        pool = await api.read("/mempool", schemas.Mempool)
    assert (pool.transactions, pool.size_bytes) == (1, len(tx.raw))
    assert pool.oldest_pending_ms == 250


async def test_mempool_counts_what_its_limits_count() -> None:
    """Free ones and those that validators sent again fill no room of those that pay: they show
    beside them. The limit of operations in a block is told with the others."""
    async with open_api() as api:
        world = api.node.world
        paid = world.transfer("alice", "bob")
        await api.ask("/transactions", paid.raw)
        api.node.mempool.add(world.accuse("val1"), check=lambda _: None, now_ms=0)
        again = world.transfer("bob", "alice")
        api.node.mempool.add(again, check=lambda _: None, now_ms=0, resent_by=bytes(32))
        pool = await api.read("/mempool", schemas.Mempool)
        params = await api.read("/params", schemas.Params)
    assert (pool.transactions, pool.size_bytes, pool.operations) == (1, len(paid.raw), 0)
    assert (pool.free, pool.resent) == (1, 1)
    assert pool.operations_max == WAITING_OPERATIONS_MAX
    assert params.block_operations_max == BLOCK_OPERATIONS_MAX


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8640", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8640", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:8640:1", 421),
        ("localhost@evil.example", 421),
        ("", 421),
    ],
)
async def test_only_names_of_this_node_are_answered(host: str, status: int) -> None:
    """Asks under names that a web page could have made point here: refused."""
    async with open_api() as api:
        reply = await api.ask("/status", headers={"Host": host})
    assert reply.status == status
    if status != 200:
        assert reply.code == "host_not_allowed"


async def test_body_limit() -> None:
    """Sends bodies of the limit less one, the limit and one more."""
    async with open_api() as api:
        found = []
        for size in (BODY_BYTES_MAX - 1, BODY_BYTES_MAX, BODY_BYTES_MAX + 1):
            reply = await api.ask("/transactions", BytesIO(bytes(size)))
            found.append((reply.status, reply.code))
        after = await api.ask("/status")
    assert found == [(413, "too_large"), (413, "too_large"), (413, "body_too_large")]
    assert after.status == 200


async def test_chunked_body_has_the_same_limit() -> None:
    """Sends a body without saying its length: read up to the limit, refused above it."""

    async def body(size: int) -> Any:
        for _ in range(size // 65_536):
            yield bytes(65_536)
        yield b"1"

    async with open_api() as api:
        found = []
        for size in (65_536, BODY_BYTES_MAX):
            async with api.session.post(
                f"{api.url}/v1/transactions",
                data=body(size),
                headers={"Content-Type": "application/msgpack"},
            ) as response:
                found.append((response.status, (await response.json(content_type=None))["code"]))
    assert found == [(413, "too_large"), (413, "body_too_large")]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", "x"])
async def test_encoded_bodies_are_refused(encoding: str) -> None:
    """Announces a Content-Encoding: 415 before anything is unpacked."""
    async with open_api() as api:
        reply = await api.ask("/transactions", b"x", headers={"Content-Encoding": encoding})
    assert (reply.status, reply.code) == (415, "content_encoding")


@pytest.mark.parametrize("path", ["/transactions", "/transactions/check", "/transactions/batch"])
async def test_media_type_is_required(path: str) -> None:
    """Sends bytes as something that no write route reads."""
    async with open_api() as api:
        reply = await api.ask(path, b"x", kind="text/plain")
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_header_limit() -> None:
    """Sends many headers that are short each: refused by their sum; by number as well."""
    async with open_api() as api:
        many = {f"X-{index}": "a" * 300 for index in range(HEADER_BYTES_MAX // 300)}
        reply = await api.ask("/status", headers=many)
        crowd = await api.ask("/status", headers={f"X-{index}": "" for index in range(100)})
    assert (reply.status, reply.code) == (431, "headers_too_large")
    assert crowd.status in (400, 431)


async def test_bodies_at_once_are_bounded() -> None:
    """Leaves no room for bodies: a submission is 429, reading goes on, room comes back."""
    async with open_api() as api:
        tx = api.node.world.transfer("alice", "bob")
        with api.app[BODIES].take(api.app[BODIES].limit):
            full = await api.ask("/transactions", tx.raw)
            reading = await api.ask("/status")
        free = await api.ask("/transactions", tx.raw)
    assert (full.status, full.code) == (429, "busy")
    assert (reading.status, free.status) == (200, 202)


def test_budget_gives_back_whatever_happens() -> None:
    """Fails inside a budget: what was taken is free again."""
    budget = Budget("things", 3)
    with pytest.raises(RuntimeError), budget.take(2):
        raise RuntimeError
    assert budget.used == 0


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        f"limit={PAGE_ITEMS_MAX + 1}",
        "limit=-1",
        "limit=05",
        "limit=1e2",
        "limit=１",
        "limit=",
        "limit=5&limit=6",
        "limt=5",
        "height=1",
    ],
)
async def test_query_parameters_are_strict(query: str) -> None:
    """Sends limits out of range, in other digits, twice, and parameters with a typing mistake."""
    async with open_api() as api:
        reply = await api.ask(f"/blocks?{query}")
    assert (reply.status, reply.code) == (400, "bad_request")


async def test_wrong_paths_and_methods_are_problems() -> None:
    """Asks for no route and with the wrong method: problems, the second with Allow."""
    async with open_api() as api:
        missing = await api.ask("/nothing")
        wrong = await api.ask("/status", b"x")
        async with api.session.head(f"{api.url}/v1/status") as response:
            head = response.status
        async with api.session.options(f"{api.url}/v1/transactions") as response:
            options = response.status
    assert (missing.status, missing.code) == (404, "not_found")
    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]
    assert (head, options) == (200, 405)


@pytest.mark.parametrize(
    "fault",
    [StorageError("cannot read"), InvariantBroken("supply"), ReplicaBroken("a final block fails")],
    ids=lambda fault: type(fault).__name__,
)
async def test_fault_that_ends_the_node_tells_the_client(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Lets a read fail, or the engine contradict itself under a request: the client hears 503, and
    the node is told to end with the fault."""
    async with open_api() as api:

        def broken(_: object, key: bytes) -> bytes:
            raise fault

        monkeypatch.setattr(type(api.node.chain), "object", broken)
        reply = await api.ask("/reserve")
        monkeypatch.undo()
    assert (reply.status, reply.code) == (503, "storage")
    assert api.node.faults == [fault]


async def test_bug_of_ours_is_a_500_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Breaks a part of the node: the client hears `internal`, the log has the trace."""
    async with open_api() as api:

        def broken(_: object) -> object:
            raise RuntimeError("a secret of the inside")

        monkeypatch.setattr(Node, "consensus", broken)
        reply = await api.ask("/status")
        monkeypatch.undo()
        after = await api.ask("/status")
    assert (reply.status, reply.code, after.status) == (500, "internal", 200)
    assert b"secret" not in reply.body
    assert any("a secret of the inside" in str(item.exc_info) for item in caplog.records)


async def test_readiness_lists_each_check() -> None:
    """Fails one check of two: 503 with both by name; alive all the same."""
    async with open_api() as api:
        api.node.checks = [
            node_schemas.Check(name="synced", ok=True, detail=""),
            node_schemas.Check(name="quorum", ok=False, detail="2 of 4 connected, 3 needed"),
        ]
        async with api.session.get(f"{api.ops_url}/readyz") as response:
            refused, body = response.status, await response.read()
        async with api.session.get(f"{api.ops_url}/livez") as response:
            alive = response.status
        api.node.checks = api.node.checks[:1]
        async with api.session.get(f"{api.ops_url}/readyz") as response:
            ready = response.status
        async with api.session.get(f"{api.ops_url}/version") as response:
            version = msgspec.json.decode(await response.read(), type=Version)
    health = msgspec.json.decode(body, type=Health)
    assert (refused, health.ok, health.checks[1].name) == (503, False, "quorum")
    assert (alive, ready) == (200, 200)
    assert (version.version, version.python) == ("0.1.0", platform.python_version())


async def test_operations_and_api_are_apart() -> None:
    """Asks each listener for the other's routes: 404."""
    async with open_api() as api:
        async with api.session.get(f"{api.ops_url}/v1/status") as response:
            assert response.status == 404
        async with api.session.get(f"{api.url}/metrics") as response:
            assert response.status == 404
