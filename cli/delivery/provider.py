"""The provider's end of sessions: who asks is let in by the chain, works are shown tick by tick.

`door` says who may hold a connection until then.
"""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cli.delivery import rules
from cli.delivery.door import Door, Spawn
from cli.delivery.frames import (
    Bye,
    Greeting,
    Link,
    Open,
    Proof,
    SessionEnded,
    Shown,
    Signed,
    bye_of,
    heard,
    last_one,
    licence_message,
    proof_message,
)
from cli.delivery.jobs import Command
from cli.delivery.rules import Broken, Fault, ProviderSide, SignedReceipt, Terms
from cli.delivery.store import DamagedReceipt, ReceiptFile, receipt_file
from cli.delivery.worker import JobFailed, Worker
from ledger.crypto import SigningKey, verify

SESSIONS_MAX = 16
"""Served at once; each has a job of its own."""
PAUSE_DOUBLINGS_MAX = 5
"""A holder who went with a tick unsigned waits a tick before the next one, each further time twice
as long, 32 at most: else it has one tick after another for nothing, and a place among those who
are served."""
UNPAID_MAX = 4_096
"""Orders of which that is remembered; the oldest is forgotten."""
EMPTY_TICKS_MAX = 60
"""Ticks without a unit after which a job counts as stuck."""

log = logging.getLogger("marsa.delivery")


@dataclass(frozen=True, slots=True)
class Serving:
    """An order that is to be served, the issuer's key that vouches for it, and what works it."""

    terms: Terms
    licence: str
    key: SigningKey
    job: Command


@dataclass(frozen=True, slots=True)
class Setup:
    """What all sessions of one provider share."""

    directory: Path
    """Where receipts are kept."""
    certificate_hash: bytes
    tick_s: float
    find: Callable[[bytes], Serving | None]
    """The order with this id, where it may be served now."""
    report: Callable[[bytes, SignedReceipt], None]
    """Called with each receipt, once it is on disk."""


@dataclass(frozen=True, slots=True)
class _Unpaid:
    """An order whose holder went with a tick unsigned."""

    times: int
    """How often again, without a receipt in between."""
    until_s: float
    """On the monotonic clock: before that it is not served."""


LetIn: TypeAlias = tuple[Serving, SignedReceipt | None]
"""Of a holder that is who it says: its order, and the last receipt that it signed."""


class Provider:
    """Answers connections."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._serving: set[bytes] = set()
        self._unpaid: dict[bytes, _Unpaid] = {}

    async def stand_open(
        self, listening: socket.socket, context: ssl.SSLContext, spawn: Spawn
    ) -> None:
        """Serve whoever comes to this socket, until it is cancelled. Sessions are tasks that
        `spawn` starts; cancelled they end with their jobs, and receipts are on disk."""
        await Door(self._let_in, self._session).stand_open(listening, context, spawn)

    async def _session(self, link: Link, let_in: LetIn) -> None:
        bye = None
        try:
            bye = await self._served(link, *let_in)
        except Broken as broken:
            log.info("session ended fault=%s detail=%s", broken.fault, broken.detail)
            bye = bye_of(broken)
        except SessionEnded as ended:
            log.info("session ended detail=%s", ended)
        except JobFailed as failed:
            log.error("the job failed: %s", failed)
            bye = Bye(Fault.BUSY.value, "the job failed")
        except (DamagedReceipt, OSError) as error:
            bye = bye_of(_not_kept(error))
        finally:
            await link.end(bye)

    async def _let_in(self, link: Link) -> LetIn:
        """Whoever proves to hold the session key of an order that is ready, with the last receipt
        that it signed; raises Broken, SessionEnded."""
        opened = await link.receive()
        if not isinstance(opened, Open):
            raise SessionEnded("it does not say which order")
        serving = self._setup.find(opened.order)
        if serving is None:
            detail = f"order {opened.order.hex()} is not ready here"
            raise Broken(Fault.NOT_READY, detail)
        terms, nonce = serving.terms, secrets.token_bytes(32)
        where = (terms.chain_id, terms.order, self._setup.certificate_hash)
        signature = serving.key.sign(licence_message(*where))
        try:
            last = last_one(receipt_file(self._setup.directory, terms.order).load())
        except (DamagedReceipt, OSError) as error:
            raise _not_kept(error) from None
        await link.send(Greeting(nonce, serving.licence, serving.key.public, signature, last))
        proof = await link.receive()
        if not isinstance(proof, Proof):
            raise SessionEnded("it does not prove to hold the order")
        if not verify(terms.session_key, proof_message(*where, nonce), proof.signature):
            raise Broken(Fault.WRONG_SIGNATURE, "not by the session key of the order")
        if not proof.last:
            return serving, None
        signed = heard(proof.last[0])
        rules.check_signed(terms, signed)
        return serving, signed

    async def _served(self, link: Link, serving: Serving, last: SignedReceipt | None) -> Bye:
        order = serving.terms.order
        if order in self._serving:
            raise Broken(Fault.BUSY, "the order is being served on another connection")
        if len(self._serving) >= SESSIONS_MAX:
            raise Broken(Fault.BUSY, f"{SESSIONS_MAX} sessions are served")
        unpaid = self._unpaid.get(order)
        if unpaid is not None and time.monotonic() < unpaid.until_s:
            raise Broken(Fault.BUSY, "the last tick was not signed for: a pause before the next")
        self._serving.add(order)
        try:
            return await self._work(link, serving, last)
        finally:
            self._serving.discard(order)

    async def _work(self, link: Link, serving: Serving, last: SignedReceipt | None) -> Bye:
        terms = serving.terms
        kept = receipt_file(self._setup.directory, terms.order)
        stored = kept.load()
        if last is not None and (stored is None or last.receipt.number > stored.receipt.number):
            stored = self._keep(kept, last)
        side = rules.resumed(stored)
        if not side.is_done(terms):
            async with Worker(serving.job, terms.order, side.units) as worker:
                before = side.microhours
                while not side.is_done(terms):
                    if self._setup.find(terms.order) is None:
                        detail = f"order {terms.order.hex()} is served no more"
                        raise Broken(Fault.NOT_READY, detail)
                    side, digests = await self._tick(worker, side, terms, before)
                    try:
                        signed = await _show(link, side, digests)
                        side = rules.received(side, terms, signed)
                    except (SessionEnded, Broken):
                        self._went_unpaid(terms.order)
                        raise
                    self._keep(kept, signed)
                    self._unpaid.pop(terms.order, None)
        return Bye("", f"{side.units} units delivered")

    async def _tick(
        self, worker: Worker, side: ProviderSide, terms: Terms, before: int
    ) -> tuple[ProviderSide, list[bytes]]:
        """Work for a tick, or until it is worth something; raises JobFailed."""
        digests: list[bytes] = []
        for _ in range(EMPTY_TICKS_MAX):
            most = min(rules.UNITS_A_TICK_MAX, terms.units - side.units) - len(digests)
            digests += await worker.work(self._setup.tick_s, most)
            if terms.delivered(side.units + len(digests)) > side.delivered:
                microhours = before + worker.used_us // 3_600
                return rules.worked(side, digests, microhours), digests
        raise JobFailed(f"no unit within {EMPTY_TICKS_MAX} ticks")

    def _went_unpaid(self, order: bytes) -> None:
        before = self._unpaid.pop(order, None)
        times = 0 if before is None else min(before.times + 1, PAUSE_DOUBLINGS_MAX)
        until_s = time.monotonic() + self._setup.tick_s * 2**times
        self._unpaid[order] = _Unpaid(times, until_s)
        if len(self._unpaid) > UNPAID_MAX:
            del self._unpaid[next(iter(self._unpaid))]

    def _keep(self, kept: ReceiptFile, signed: SignedReceipt) -> SignedReceipt:
        kept.save(signed)
        self._setup.report(signed.receipt.order, signed)
        return signed


def _not_kept(error: Exception) -> Broken:
    """For the holder, who may come again; what it is about is for the log."""
    log.error("receipts cannot be kept: %s", error)
    return Broken(Fault.BUSY, "receipts cannot be kept here")


async def _show(link: Link, side: ProviderSide, digests: Sequence[bytes]) -> SignedReceipt:
    await link.send(Shown(side.units, tuple(digests), side.meter_root, side.microhours))
    answer = await link.receive()
    if not isinstance(answer, Signed):
        raise SessionEnded("no receipt came")
    return heard(answer)
