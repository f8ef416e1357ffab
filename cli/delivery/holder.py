"""The holder's end of a session: checks who serves, does some of the units again, signs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from cli.delivery import rules, tls
from cli.delivery.frames import (
    Bye,
    Greeting,
    Link,
    Open,
    Proof,
    SessionEnded,
    Shown,
    bye_of,
    heard,
    last_one,
    licence_message,
    proof_message,
    said,
    tick_of,
)
from cli.delivery.jobs import Command
from cli.delivery.rules import Broken, Fault, HolderSide, SignedReceipt, Terms, Tick
from cli.delivery.store import ReceiptFile
from cli.delivery.worker import Checker
from ledger.crypto import SigningKey, verify

TICK_WAIT_TICKS = 60
"""How many ticks a holder waits for one; a provider whose job is slower shows an empty hand."""
LATER = (Fault.BUSY, Fault.NOT_READY)
"""What a provider says that may serve soon: it serves others, or has not seen its own block yet."""
AGAIN_S = 1.0
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before connecting again; the last one repeats."""


class OrderOver(Exception):
    """Closed, or past its window: whoever comes back, nothing more is delivered."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where the order is served, as the chain says."""

    host: str
    port: int
    certificate_hash: bytes
    licence: str
    operations_key: bytes


@dataclass(frozen=True, slots=True)
class Setup:
    """What a holder brings to its sessions."""

    terms: Terms
    service: Service
    key: SigningKey
    kept: ReceiptFile
    job: Command
    tick_s: float
    checked: int
    """Units of each tick that are done again."""
    need_open: Callable[[], None]
    """Raises OrderOver where the chain has the order as over; asked in a thread, when a session
    ended before all was delivered."""
    progress: Callable[[SignedReceipt], None]


async def use(setup: Setup, *, attempts_s: float) -> HolderSide:
    """Sessions one after another until all is delivered; raises Broken where the provider does what
    it may not, OrderOver where nothing is delivered any more, SessionEnded where no session was to
    be had for `attempts_s`."""
    loop = asyncio.get_running_loop()
    since, failures = loop.time(), 0
    side = HolderSide(setup.kept.load())
    while side.delivered < setup.terms.amount:
        before = side.number
        try:
            side = await _session(setup, side)
        except SessionEnded:
            side = HolderSide(setup.kept.load())
            if side.number > before:
                since, failures = loop.time(), 0
            await asyncio.to_thread(setup.need_open)
            if loop.time() - since > attempts_s:
                raise
            await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
            failures += 1
        except Broken as broken:
            if broken.fault not in LATER:
                raise
            await asyncio.to_thread(setup.need_open)
            if loop.time() - since > attempts_s:
                raise
            await asyncio.sleep(AGAIN_S)
    return side


async def _session(setup: Setup, side: HolderSide) -> HolderSide:
    service, bye = setup.service, None
    link = Link(*await tls.connect(service.host, service.port, service.certificate_hash))
    try:
        side = await _greet(setup, link, side)
        async with Checker(setup.job, setup.terms.order) as checker:
            while True:
                message = await link.receive(max(TICK_WAIT_TICKS * setup.tick_s, 5.0))
                if isinstance(message, Bye):
                    if side.delivered < setup.terms.amount:
                        raise SessionEnded("the provider ends before all is delivered")
                    return side
                if not isinstance(message, Shown):
                    raise SessionEnded("the provider does not show its work")
                side = await _signed(setup, checker, side, tick_of(message))
                assert side.signed is not None  # It was signed just now.
                await link.send(said(side.signed))
                setup.progress(side.signed)
    except Broken as broken:
        bye = bye_of(broken)
        raise
    finally:
        await link.end(bye)


async def _greet(setup: Setup, link: Link, side: HolderSide) -> HolderSide:
    """The licensed issuer speaks, and hears that the holder does; raises Broken. A receipt of ours
    that only the provider still has is ours again."""
    terms, service = setup.terms, setup.service
    await link.send(Open(terms.order))
    greeting = await link.receive()
    if not isinstance(greeting, Greeting):
        raise SessionEnded("the provider does not greet")
    where = (terms.chain_id, terms.order, service.certificate_hash)
    is_licensed = (greeting.licence, greeting.key) == (service.licence, service.operations_key)
    if not is_licensed or not verify(greeting.key, licence_message(*where), greeting.signature):
        detail = f"it does not prove to be '{service.licence}'"
        raise Broken(Fault.WRONG_LICENCE, detail)
    if greeting.last and greeting.last[0].receipt.number > side.number:
        signed = heard(greeting.last[0])
        rules.check_signed(terms, signed)
        setup.kept.save(signed)
        side = HolderSide(signed)
    proof = setup.key.sign(proof_message(*where, greeting.nonce))
    await link.send(Proof(proof, last_one(side.signed)))
    return side


async def _signed(setup: Setup, checker: Checker, side: HolderSide, tick: Tick) -> HolderSide:
    """A receipt for a tick whose count, meter and sample are right: on disk before anybody has it;
    raises Broken."""
    rules.check_tick(side, setup.terms, tick)
    first = tick.units - len(tick.digests)
    for _ in range(min(setup.checked, len(tick.digests))):
        chosen = secrets.randbelow(len(tick.digests))
        if not await checker.is_right(first + chosen, tick.digests[chosen]):
            detail = f"unit {first + chosen} is not what the job gives"
            raise Broken(Fault.WRONG_UNIT, detail)
    signed = rules.sign(side, setup.terms, tick, setup.key)
    setup.kept.save(signed)
    return HolderSide(signed)
