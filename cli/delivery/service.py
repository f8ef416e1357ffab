"""A provider as a process: looks at the orders of its issuers, does what is due, serves sessions.

The chain is asked in a thread, sessions run on the loop. What was sent and what became of it is not
kept: the next look says what is still missing, and what was sent twice is refused as known.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.client import ApiProblem, Client, ClientError
from cli.delivery import provider, tls
from cli.delivery.duties import SERVED, Issuer, OrderSeen, by_signer, duties
from cli.delivery.jobs import Jobs
from cli.delivery.provider import Provider, Serving
from cli.delivery.rules import SignedReceipt
from cli.delivery.store import DamagedReceipt, receipt_file
from cli.delivery.tidy import TIDY_EVERY_S, Tidying
from cli.sending import signed_free
from ledger.crypto import SigningKey
from ledger.reasons import Reason
from ledger.redemption_operations import OnRedemption, PostReceipt
from ledger.transaction import OPERATIONS_MAX
from node.api import redemption_schemas as schemas
from node.supervise import Services
from p2p.listener import bind

LOOK_S = 1.0
LOOK_IDLE_S = 2.0
"""While nobody has an order that is open: little, beside the minute that an issuer has."""
AGAIN_S = 10.0
"""What is not seen to be done by then is sent again."""

log = logging.getLogger("marsa.delivery")


@dataclass(frozen=True, slots=True)
class Keys:
    """What an issuer signs with here."""

    issuer: str
    operations: SigningKey
    metering: SigningKey


@dataclass(frozen=True, slots=True)
class Plan:
    """What a service is told at its start."""

    chain_id: bytes
    keys: Sequence[Keys]
    apis: Sequence[str]
    directory: Path
    listen: tuple[str, int]
    endpoint: str
    """Where holders reach it; empty: where it listens."""
    jobs: Jobs
    period_ms: int
    tick_ms: int


@dataclass(slots=True)
class _Order:
    """What is known of an order that is open."""

    seen: OrderSeen
    posted_ms: int = 0
    sent: dict[OnRedemption, float] = field(default_factory=dict)
    """When an operation was sent last, on the monotonic clock: few, and a receipt a period."""


class Service:
    """Runs until it is stopped by a signal."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._apis = list(plan.apis)
        self._keys = {item.issuer: item for item in plan.keys}
        self._orders: dict[bytes, _Order] = {}
        self._held: dict[bytes, SignedReceipt] = {}
        self._stopping = asyncio.Event()
        self._tidying = Tidying(plan.directory, plan.period_ms)
        self._tidied_s = time.monotonic()

    async def run(self) -> None:
        """Listen, and look after the orders."""
        plan = self._plan
        path, certificate_hash = tls.own_certificate(plan.directory)
        served = Provider(
            provider.Setup(
                directory=plan.directory,
                certificate_hash=certificate_hash,
                tick_s=plan.tick_ms / 1_000,
                find=self._find,
                report=self._report,
            )
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        host, port = plan.listen
        listening = bind(host, port)
        async with asyncio.TaskGroup() as tasks:
            services = Services(tasks)
            door = served.stand_open(listening, tls.server_context(path), services.spawn)
            services.start("delivery-door", door)
            endpoint = plan.endpoint or f"{host}:{listening.getsockname()[1]}"
            named = ",".join(self._keys)
            log.info("serving endpoint=%s issuers=%s workloads=%s", endpoint, named, plan.jobs)
            while not self._stopping.is_set():
                await asyncio.to_thread(self._look, endpoint, certificate_hash)
                await self._pause(LOOK_S if self._orders else LOOK_IDLE_S)
            services.stop()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _find(self, order: bytes) -> Serving | None:
        known = self._orders.get(order)
        if known is None or known.seen.state not in SERVED:
            return None
        keys, job = self._keys[known.seen.issuer], self._plan.jobs.of(known.seen.workload)
        if job is None:
            return None
        return Serving(known.seen.terms(self._plan.chain_id), keys.issuer, keys.operations, job)

    def _report(self, order: bytes, signed: SignedReceipt) -> None:
        self._held[order] = signed

    # The chain, in a thread: it only replaces `_orders` and fills and empties `_held` by key.

    def _look(self, endpoint: str, certificate_hash: bytes) -> None:
        try:
            with Client(self._apis[0]) as client:
                self._turn(client, endpoint, certificate_hash)
                if time.monotonic() - self._tidied_s >= TIDY_EVERY_S:
                    self._tidied_s = time.monotonic()
                    self._tidying.go_on(client, self._orders)
        except ClientError as error:
            log.info("%s; asking another node", error)
            self._apis.append(self._apis.pop(0))

    def _turn(self, client: Client, endpoint: str, certificate_hash: bytes) -> None:
        orders = {item.id: item for item in self._seen(client)}
        self._orders = {order: self._known(order, seen) for order, seen in sorted(orders.items())}
        for gone in self._held.keys() - orders.keys():
            del self._held[gone]
        if not self._orders:
            return
        now_ms = client.status().sync.header_time_ms
        for keys in self._plan.keys:
            issuer = Issuer(
                keys.issuer,
                keys.operations.public,
                keys.metering.public,
                endpoint,
                certificate_hash,
            )
            self._serve(client, issuer, keys, now_ms)

    def _seen(self, client: Client) -> Iterator[OrderSeen]:
        """All open orders of our issuers."""
        only = self._plan.keys[0].issuer if len(self._plan.keys) == 1 else None
        for item in client.economy.open_redemptions(only):
            if item.issuer in self._keys:
                yield seen_of(item)

    def _known(self, order: bytes, seen: OrderSeen) -> _Order:
        known = self._orders.get(order)
        if known is None:
            try:
                held = receipt_file(self._plan.directory, order).load()
            except DamagedReceipt as damaged:
                log.error("not posted: %s", damaged)
                held = None
            if held is not None:
                self._held[order] = held
            if self._plan.jobs.of(seen.workload) is None:
                detail = f"no --job for its workload '{seen.workload}'"
                log.info("left alone order=%s: %s", order.hex(), detail)
            return _Order(seen)
        known.seen = seen
        return known

    def _serve(self, client: Client, issuer: Issuer, keys: Keys, now_ms: int) -> None:
        found = {}
        for order, known in self._orders.items():
            if known.seen.issuer == issuer.name:
                due = duties(
                    issuer,
                    known.seen,
                    self._held.get(order),
                    is_able=self._plan.jobs.of(known.seen.workload) is not None,
                    posted_ms=known.posted_ms,
                    now_ms=now_ms,
                    period_ms=self._plan.period_ms,
                )
                found[order] = self._fresh(known, due, now_ms)
        signers = {keys.operations.public: keys.operations, keys.metering.public: keys.metering}
        for key, operations in by_signer(issuer, found).items():
            for first in range(0, len(operations), OPERATIONS_MAX):
                part = operations[first : first + OPERATIONS_MAX]
                self._send(client, part, signers[key], now_ms)

    def _fresh(self, known: _Order, due: Sequence[OnRedemption], now_ms: int) -> list[OnRedemption]:
        """Those up to the first that was sent a moment ago, noted as sent: what comes after it
        waits until that one is seen to be done."""
        now_s, fresh = time.monotonic(), []
        for operation in due:
            if now_s - known.sent.get(operation, -AGAIN_S) < AGAIN_S:
                break
            known.sent[operation] = now_s
            if isinstance(operation, PostReceipt):
                known.posted_ms = now_ms
            fresh.append(operation)
        return fresh

    def _send(
        self, client: Client, operations: Sequence[OnRedemption], key: SigningKey, now_ms: int
    ) -> None:
        """In one transaction; where that is refused, each in one of its own."""
        try:
            client.submit(signed_free(self._plan.chain_id, operations, key, now_ms))
        except ApiProblem as problem:
            if not problem.is_refusal:
                raise
            if problem.code == Reason.WRONG_ROLE_KEY:
                log.error("%s: start again with the keys in force, or orders lapse", problem)
            else:
                log.info("refused: %s", problem)
            if len(operations) > 1:
                for operation in operations:
                    self._send(client, [operation], key, now_ms)


def seen_of(item: schemas.Redemption) -> OrderSeen:
    """An order as the API tells it."""
    return OrderSeen(
        id=bytes.fromhex(item.id),
        issuer=item.issuer,
        state=item.state,
        session_key=bytes.fromhex(item.session_key),
        amount=int(item.burned) + int(item.deliverable),
        burned=int(item.burned),
        number=item.receipt,
        units_a_coin=item.units,
        workload=item.workload,
    )


def log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
