"""Both clients against a real node's API, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from socket import create_server
from socketserver import BaseRequestHandler, TCPServer

import pytest

from cli import calls
from cli.async_client import AsyncClient
from cli.client import ApiProblem, Client, Timeout, Unreachable, all_items
from ledger import codec
from ledger.address import encode_address
from ledger.block import BLOCK_FRAME_BYTES_MAX, Block
from node.api import schemas
from node.api.listener import Limits
from tests.ledger.world import COIN, lock_of
from tests.node.api.harness import DEADLINE_S, Api, open_api, until

ALICE = encode_address(lock_of("alice"), "mrst")


class Served:
    """A node's API on a loop in another thread; `call` runs something over there."""

    def __init__(self, api: Api, loop: asyncio.AbstractEventLoop) -> None:
        self.api = api
        self.url = api.url
        self.node = api.node
        self._loop = loop

    def call(self, action: Callable[[], object]) -> None:
        async def run() -> None:
            action()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE_S)

    def wait_for_no_connection(self) -> None:
        gone = threading.Event()
        while not gone.is_set():
            self.call(lambda: gone.set() if not self.api.listener.connections else None)


@contextmanager
def serving(limits: Limits | None = None) -> Iterator[Served]:
    ready: list[Served] = []
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with open_api(limits=limits) as api:
            ready.append(Served(api, asyncio.get_running_loop()))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        yield ready[0]
    finally:
        ready[0].call(stop.set)
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


@contextmanager
def handling(handler: type[BaseRequestHandler]) -> Iterator[str]:
    """A server of such connections, one after the other: its address."""
    with TCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(DEADLINE_S)


@contextmanager
def scripted(answer: bytes) -> Iterator[str]:
    """A server that says `answer` to whatever it hears, and closes."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(answer)

    with handling(Handler) as url:
        yield url


def ask(url: str, *, timeout_s: float = DEADLINE_S) -> None:
    with Client(url, timeout_s=timeout_s) as client:
        client.status()


async def ask_async(url: str) -> None:
    async with AsyncClient(url) as client:
        await client.status()


def test_every_call_gives_its_struct() -> None:
    """Makes each call once against a chain of one block; answers are typed and agree."""
    with serving() as served, Client(served.url) as client:
        world = served.node.world
        tx = world.transfer("alice", "bob", 5 * COIN)
        assert client.check(tx.raw).txid == tx.txid.hex()
        assert client.submit(tx.raw).status == "new"
        assert client.mempool().transactions == 1
        assert client.transaction(tx.txid.hex()).status == "pending"
        served.call(served.node.decide)
        final = client.transaction(tx.txid.hex(), wait_s=30)
        assert (final.status, final.proof) == ("final", client.proof(tx.txid.hex()))
        block = client.block(1)
        assert client.block() == client.block(block.header.hash) == block
        raw = codec.decode(client.raw_block(1), Block, size_max=BLOCK_FRAME_BYTES_MAX)
        assert raw.transactions == (tx.raw,)
        assert client.certificate(1) == block.certificate
        assert [item.height for item in client.blocks().items] == [1, 0]
        assert [item.header.height for item in client.headers(start=1).items] == [1]
        assert client.status().sync.hash == block.header.hash
        assert client.params().chain_id == world.chain_id.hex()
        assert client.validators().n == 4
        assert client.peers().items[0].name == "val1"
        assert client.address(ALICE).height == 1
        assert client.outpoint(tx.txid.hex(), 0).status == "unspent"
        assert client.object("20").value is not None
        asset = world.asset().hex()
        assert client.asset(asset) in client.assets().items
        assert client.issuer("val0") in client.issuers().items
        assert client.reserve().ok
        assert {coin.asset for coin in client.coins(ALICE, asset=asset).items} == {asset}


def test_lists_are_walked_to_the_end() -> None:
    """Reads all coins and lines of history in pages of one: nothing is lost."""
    with serving() as served, Client(served.url) as client:
        coins = list(all_items(lambda at: client.coins(ALICE, limit=1, cursor=at)))
        lines = list(all_items(lambda at: client.history(ALICE, limit=1, cursor=at)))
    assert len({(coin.txid, coin.index) for coin in coins}) == len(coins) == 3
    assert len(lines) == 3


def test_batch_and_wait_across_threads() -> None:
    """Submits a batch and waits for its last one while another thread makes the block."""
    with serving() as served, Client(served.url) as client:
        txs = [served.node.world.mint(amount=1, number=0), served.node.world.mint("val1")]
        results = client.submit_batch([tx.raw for tx in txs] + [b"junk"])
        assert [item.status for item in results] == ["new", "new", "refused"]
        timer = threading.Timer(0.05, served.call, (served.node.decide,))
        timer.start()
        assert client.transaction(txs[1].txid.hex(), wait_s=5).status == "final"
        timer.join()


def test_refusal_carries_code_detail_and_hint() -> None:
    """Sends what is refused: an ApiProblem with the node's code, sentence and hint."""
    with serving() as served, Client(served.url) as client:
        with pytest.raises(ApiProblem) as caught:
            client.submit(served.node.world.mint(number=4).raw)
        with pytest.raises(ApiProblem) as missing:
            client.block(99)
        with pytest.raises(ApiProblem) as odd:
            client.address("../../status")
    problem = caught.value
    assert (problem.status, problem.code) == (409, "operation_gap")
    assert "number 4" in problem.detail
    assert "/v1/issuers" in problem.hint
    assert (missing.value.status, odd.value.code) == (404, "bad_address")


def test_connection_that_the_node_closed_is_opened_again() -> None:
    """Lets an idle connection be cut between two calls: the second goes out on a new one, also
    where it is a transaction, which is never sent twice."""
    quick = Limits(request_seconds=0.15, answer_seconds=0.05)
    with serving(quick) as served, Client(served.url) as client:
        for _ in range(2):
            assert client.status().network.name == "devnet"
            served.wait_for_no_connection()
        with pytest.raises(ApiProblem, match="malformed"):
            client.submit(b"x")


@contextmanager
def breaking(answers: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each request in turn and keeps the connection; an empty answer closes
    it. With its address comes what it heard."""
    heard: list[bytes] = []

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            while request := self.request.recv(65_536):
                heard.append(request.split(b" ", 1)[0])
                if not (answer := answers[min(len(heard), len(answers)) - 1]):
                    return
                self.request.sendall(answer)

    with handling(Handler) as url:
        yield url, heard


REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}"


def test_what_may_have_been_taken_is_not_sent_again() -> None:
    """Lets a kept connection break under a call: a question is asked a second time, a transaction
    is not, because a refusal of the second copy would say nothing about the first."""
    for question in (calls.status(), calls.check(b"")):  # bodies would come by themselves
        with breaking([REFUSAL, b"", REFUSAL]) as (url, heard), Client(url) as client:
            for _ in range(2):
                with pytest.raises(ApiProblem):
                    client.ask(question)
            assert heard == [question.method.encode()] * 3
    for transaction in (calls.submit(b"x"), calls.submit_batch([b"x"])):
        with breaking([REFUSAL, b"", REFUSAL]) as (url, heard), Client(url) as client:
            with pytest.raises(ApiProblem):
                client.status()
            with pytest.raises(Unreachable):
                client.ask(transaction)
            assert heard == [b"GET", b"POST"]


def test_nobody_there_is_unreachable() -> None:
    """Calls a port on which nothing listens, and addresses that are none."""
    with create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=str(port)):
        ask(f"http://127.0.0.1:{port}")
    for url in ("localhost:8640", "ftp://localhost", "http://", ""):
        with pytest.raises(Unreachable):
            Client(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[::1", "http://a..b", "ftp://a"]
)
def test_what_is_no_address_is_unreachable(url: str) -> None:
    """Addresses that cannot be parsed or looked up: named in the error, never a fault of ours."""
    with pytest.raises(Unreachable, match=re.escape(url)), Client(url) as client:
        client.status()


def test_silence_is_a_timeout() -> None:
    """Calls a server that accepts and says nothing: Timeout, which is not Unreachable."""
    with create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Timeout, match=r"within 0\.1 s"):
            ask(url, timeout_s=0.1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<p>",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n[[[[[[",
    ],
    ids=["empty object", "html", "gateway", "redirect", "not a problem"],
)
def test_foreign_server_is_an_unexpected_answer(answer: bytes) -> None:
    """Calls servers that are no node: a problem with its own code, by both clients."""
    with scripted(answer) as url:
        with pytest.raises(ApiProblem) as caught:
            ask(url)
        with pytest.raises(ApiProblem) as caught_async:
            asyncio.run(ask_async(url))
    assert caught.value.code == caught_async.value.code == "unexpected_answer"


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"SSH-2.0-OpenSSH_9\r\n"],
    ids=["nothing", "cut", "ssh"],
)
def test_broken_connection_is_unreachable(answer: bytes) -> None:
    """Calls servers that hang up, break off or speak something else."""
    with scripted(answer) as url:
        with pytest.raises(Unreachable):
            ask(url)
        with pytest.raises(Unreachable):
            asyncio.run(ask_async(url))


def test_async_client_submits_and_waits() -> None:
    """Submits a batch and waits for all of it at once, without proofs; refusals are the same."""

    async def scenario() -> None:
        async with open_api() as api, AsyncClient(api.url) as client:
            txs = [api.node.world.mint(f"val{index}") for index in range(3)]
            results = await client.submit_batch([tx.raw for tx in txs])
            assert {item.status for item in results} == {"new"}
            async with asyncio.TaskGroup() as group:
                waits = [
                    group.create_task(client.transaction(tx.txid.hex(), wait_s=5, proof=False))
                    for tx in txs
                ]
                await until(lambda: api.node.waiting == len(txs), "all of them wait")
                api.node.decide()
            assert {task.result().status for task in waits} == {"final"}
            assert {task.result().proof for task in waits} == {None}
            assert (await client.transaction(txs[0].txid.hex())).proof is not None
            assert (await client.status()).sync.height == 1
            with pytest.raises(ApiProblem) as caught:
                await client.submit_batch([b""] * (schemas.BATCH_TRANSACTIONS_MAX + 1))
            assert caught.value.code == "malformed"

    asyncio.run(scenario())


def test_async_client_times_out_and_misses() -> None:
    """Calls a silent server and an empty port."""

    async def scenario() -> None:
        with create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            async with AsyncClient(url, timeout_s=0.1) as client:
                with pytest.raises(Timeout):
                    await client.status()
        async with AsyncClient(url) as client:
            with pytest.raises(Unreachable):
                await client.status()

    asyncio.run(scenario())


def test_client_imports_little() -> None:
    """Imports the blocking client in a fresh interpreter: neither aiohttp nor asyncio comes."""
    code = (
        "import sys, cli.client\n"
        "print([m for m in ('aiohttp', 'asyncio', 'rich', 'plyvel') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
