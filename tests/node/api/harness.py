"""A small real node behind the API: chain in memory, mempool, rules; no network, no consensus.

`Node.decide` makes what waits in the mempool final with a certificate of real signatures, so
that every answer, proof and refusal comes from the code that a validator runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from consensus.effects import Now
from consensus.replica_state import ReplicaState, Restored, initial_state
from consensus.view_change import Rules
from ledger import block as blocks
from ledger import transaction
from ledger.block import Block, VotePayload, make_certificate, vote_hash
from ledger.chain import Chain
from ledger.crypto import verify
from ledger.execution import Execution
from ledger.kv import MemoryKV
from ledger.mempool import Mempool
from ledger.reasons import Invalid, Reason
from ledger.reserve_history import ReserveHistory
from ledger.state import check_transaction
from ledger.transaction import SignedTransaction, check_signatures, check_stateless
from node.api import consensus_schemas, node_schemas, schemas
from node.api.listener import Limits, Listener
from node.api.server import operations_app, public_app
from node.api.services import Services, Submission
from node.events import Events
from node.guards import Guard, NoVotes
from node.metrics import Metrics
from node.watch import replica_of
from tests.ledger.economy_world import EconomyWorld
from tests.ledger.redemption_world import RedemptionWorld, new_world
from tests.ledger.world import COIN, World, key, state_of

DEADLINE_S = 10.0
"""For anything that a test waits for; a test that passes never waits so long."""

T = TypeVar("T")

_KNOWN = frozenset((Reason.ALREADY_KNOWN, Reason.ALREADY_FINAL))


@dataclass
class Node:
    """Implements `Intake` and `Watch`; what a test wants to see of the network it sets."""

    world: World = field(default_factory=World)
    chain: Chain = field(init=False)
    mempool: Mempool = field(default_factory=Mempool)
    state: ReplicaState = field(init=False)
    """Of member 0 in the first epoch; no block moves it."""
    guard: Guard = field(default_factory=NoVotes)
    missing: list[str] = field(default_factory=list)
    checks: list[node_schemas.Check] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    time_ms: int = 5_000
    final_after: dict[int, int] = field(default_factory=dict)
    target: int = 0
    waiting: int = 0
    """Requests inside `wait_final`."""
    hold: asyncio.Event | None = None
    """Where set, submissions wait for it."""
    held: int = 0
    """Submissions that came to wait for `hold`."""
    submitted_s: float = 0.0
    events: Events = field(init=False)
    history: ReserveHistory = field(default_factory=lambda: ReserveHistory(MemoryKV()))
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.chain = Chain.create(MemoryKV(), state_of(self.world.genesis))
        self.events = Events(self.chain)
        head, genesis = self.chain.head.header, self.world.genesis
        rules = Rules.of(head, genesis.validators, genesis.parameters, verify)
        self.state = initial_state(rules, 0, head, None, Restored(), Now(self.time_ms, 0))

    @property
    def services(self) -> Services:
        info = schemas.NodeInfo(name="val0", role="validator", version="0.1.0", key="file")
        return Services(
            self.world.genesis,
            self.chain,
            self.mempool,
            info,
            self,
            self,
            self.events,
            self.history,
        )

    # Intake

    async def submit(self, raws: Sequence[bytes]) -> list[Submission]:
        if self.hold is not None:
            self.held += 1
            await self.hold.wait()
        results = []
        for raw in raws:
            txid = None
            try:
                tx = transaction.decode(raw)
                txid = tx.txid
                self._check_static(tx)
                self.mempool.add(tx, check=self._rules, now_ms=self.time_ms)
                results.append(Submission(txid, is_new=True))
            except Invalid as error:
                known = error.reason in _KNOWN
                results.append(Submission(txid, refusal=None if known else error))
        return results

    def wait_s(self) -> float:
        return self.submitted_s

    async def check(self, raw: bytes) -> SignedTransaction:
        tx = transaction.decode(raw)
        self._check_static(tx)
        self._rules(tx)
        return tx

    async def wait_final(self, txid: bytes, seconds: float) -> None:
        self.waiting += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.chain.transaction(txid) is None:
                    await self._moved.wait()
        self.waiting -= 1

    # Watch

    def consensus(self) -> schemas.Consensus:
        members = self.world.validators
        return schemas.Consensus(
            epoch=0,
            epoch_base_height=0,
            view=0,
            primary=members.members[0].licence,
            has_seat=True,
            is_voting=True,
            reason="",
            last_commit_age_ms=None,
            validators=members.n,
            quorum=members.quorum,
            connected=members.n - len(self.missing),
            missing=self.missing,
            waiting=[],
        )

    def replica(self) -> consensus_schemas.Replica:
        linked = {item.licence for item in self.world.validators.members}.difference(self.missing)
        return replica_of(self.state, self.guard, linked, {}, self.time_ms)

    def warnings(self) -> list[str]:
        return []

    def sync_target(self) -> int:
        return self.target

    def final_after_ms(self, height: int) -> int | None:
        return self.final_after.get(height)

    def now_ms(self) -> int:
        return self.time_ms

    def peers(self) -> list[node_schemas.Peer]:
        return [
            node_schemas.Peer(
                name="val1",
                role="validator",
                address="127.0.0.1:8741",
                direction="outbound",
                connected=True,
                linked_ms=4_000,
                height=0,
                queued_bytes=0,
                dropped_frames=0,
                points=0,
            )
        ]

    def health(self) -> list[node_schemas.Check]:
        return self.checks

    def links_refused(self) -> Mapping[str, int]:
        return {"wrong_chain": 2, "tls_refused": 0}

    def inbox_dropped_bytes(self) -> int:
        return 7

    def fail(self, fault: Exception) -> None:
        self.faults.append(fault)

    # The test's side

    def decide(
        self, txs: Sequence[SignedTransaction] | None = None, after_ms: int = 1_000
    ) -> Block:
        """Make `txs`, or what waits, the next final block."""
        chosen = self.mempool.select() if txs is None else list(txs)
        members = self.world.validators
        execution = Execution(
            self.chain,
            time_ms=self.chain.head.header.time_ms + after_ms,
            proposer=members.members[0].key,
        )
        for tx in chosen:
            execution.add(tx)
        changes = execution.finish()
        block = Block(changes.head.header, tuple(tx.raw for tx in chosen))
        self.chain.append(block, self._certify(changes.head.hash, block), changes, chosen)
        self.events.publish([changes])
        self.world.state.apply(changes)
        self.mempool.drop_committed(self.chain.height, chosen)
        self._moved.set()
        self._moved = asyncio.Event()
        return block

    def _certify(self, block_hash: bytes, block: Block) -> blocks.Certificate:
        members = self.world.validators
        payload = VotePayload(block.header.epoch, blocks.COMMIT, 0, block.header.height, block_hash)
        message = vote_hash(self.world.chain_id, payload)
        return make_certificate(
            payload,
            {
                index: key(f"{members.members[index].licence}/consensus").sign(message)
                for index in range(members.quorum)
            },
        )

    def _check_static(self, tx: SignedTransaction) -> None:
        check_stateless(tx, self.world.chain_id, self.world.fees)
        check_signatures(tx)

    def _rules(self, tx: SignedTransaction) -> None:
        check_transaction(self.chain, tx, time_ms=self.chain.head.header.time_ms + 1)


class EconomyNode(Node):
    """A node whose world knows what issuers, attestors and holders do."""

    world: EconomyWorld

    def __init__(self, world: EconomyWorld | None = None) -> None:
        super().__init__(world or EconomyWorld())


class RedeemingNode(EconomyNode):
    """A node whose holders redeem."""

    world: RedemptionWorld

    def __init__(self) -> None:
        super().__init__(new_world())

    def order(self, amount: int = COIN, session: str = "session", **changes: Any) -> bytes:
        """A block with an order; its id."""
        asked = self.world.asks(amount, session, **changes)
        self.decide([self.world.redeems(asked)])
        return self.world.id_of(asked)


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    def read(self, cls: type[T]) -> T:
        return msgspec.json.decode(self.body, type=cls)

    @property
    def code(self) -> str:
        """Of a problem, after checking that it is one in every respect."""
        problem = self.read(schemas.Problem)
        assert self.headers["Content-Type"].startswith("application/problem+json")
        assert problem.status == self.status
        assert problem.type == f"urn:marsa:problem:{problem.code}"
        assert problem.hint
        assert ("Retry-After" in self.headers) == (self.status == 429)
        return problem.code


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with `what` when it does not come true in time."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - anything may be waited for
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE_S} s in vain: {what}") from None


@dataclass
class Api:
    """A node with its listeners and a session to ask them."""

    node: Node
    app: web.Application
    listener: Listener
    port: int
    ops_port: int
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    async def ask(
        self,
        path: str,
        body: bytes | BytesIO | None = None,
        *,
        kind: str = "application/msgpack",
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """GET /v1 + path, or POST where there is a body."""
        method = "GET" if body is None else "POST"
        sent = dict(headers or {}) if body is None else {"Content-Type": kind, **(headers or {})}
        async with self.session.request(
            method, f"{self.url}/v1{path}", data=body, headers=sent
        ) as response:
            return Reply(response.status, await response.read(), dict(response.headers))

    async def read(self, path: str, cls: type[T]) -> T:
        """The answer of a route that must succeed."""
        reply = await self.ask(path)
        assert reply.status == 200, reply
        return reply.read(cls)


@contextlib.asynccontextmanager
async def open_api(node: Node | None = None, limits: Limits | None = None) -> AsyncIterator[Api]:
    """Public and operations listeners of a node on ports that the system chooses."""
    node = node or Node()
    metrics = Metrics()
    app = public_app(node.services, metrics)
    listener = Listener(app, limits)
    operations = Listener(operations_app(node.services, metrics))
    metrics.watch(node.services, listener)
    port = await listener.start_tcp("127.0.0.1", 0)
    ops_port = await operations.start_tcp("127.0.0.1", 0)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    turns = asyncio.get_running_loop().create_task(node.events.run())
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield Api(node, app, listener, port, ops_port, session)
    finally:
        node.events.close()
        await listener.close()
        await operations.close()
        turns.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await turns
