"""A session without a chain: a made-up order, both sides real, over TLS on loopback.

`python -m tests.cli.delivery_world provider|holder DIRECTORY PORT [tick]` runs one side as a
process that a test may kill; the holder ends with 0 once all is delivered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from cli.delivery import holder, tls
from cli.delivery.jobs import REFERENCE_JOB
from cli.delivery.provider import Provider, Serving
from cli.delivery.provider import Setup as ProviderSetup
from cli.delivery.rules import SignedReceipt, Terms
from cli.delivery.store import receipt_file
from ledger.crypto import SigningKey
from node.supervise import Services
from p2p.listener import bind

ISSUER = SigningKey(sha256(b"operations of the issuer").digest())
SESSION = SigningKey(sha256(b"session").digest())
TERMS = Terms(
    chain_id=bytes([1]) * 32,
    order=bytes([2]) * 32,
    session_key=SESSION.public,
    amount=60_000,
    units_a_coin=4_000,
)
"""240 units: about half a second of one core."""
SERVING = Serving(TERMS, "val0", ISSUER, REFERENCE_JOB)


def provider_setup(directory: Path, tick_s: float = 0.05) -> tuple[Path, ProviderSetup]:
    """The certificate's file, and all that a provider needs."""
    path, certificate_hash = tls.own_certificate(directory)
    setup = ProviderSetup(
        directory=directory,
        certificate_hash=certificate_hash,
        tick_s=tick_s,
        find=lambda order: SERVING if order == TERMS.order else None,
        report=lambda order, signed: None,
    )
    return path, setup


def service(directory: Path, port: int) -> holder.Service:
    """Where it is served, as a chain would say."""
    _, certificate_hash = tls.own_certificate(directory)
    return holder.Service("127.0.0.1", port, certificate_hash, "val0", ISSUER.public)


def holder_setup(
    directory: Path, where: holder.Service, tick_s: float = 0.05, checked: int = 1
) -> holder.Setup:
    return holder.Setup(
        terms=TERMS,
        service=where,
        key=SESSION,
        kept=receipt_file(directory, TERMS.order),
        job=REFERENCE_JOB,
        tick_s=tick_s,
        checked=checked,
        need_open=lambda: None,
        progress=_print,
    )


def _print(signed: SignedReceipt) -> None:
    print(signed.units, flush=True)


async def serve(directory: Path, port: int, tick_s: float) -> None:
    """Until somebody ends it; prints when it listens."""
    path, setup = provider_setup(directory, tick_s)
    listening = bind("127.0.0.1", port)
    print(listening.getsockname()[1], flush=True)
    async with asyncio.TaskGroup() as tasks:
        spawn = Services(tasks).spawn
        await Provider(setup).stand_open(listening, tls.server_context(path), spawn)


@asynccontextmanager
async def listening(
    place: Path, change: Callable[[ProviderSetup], ProviderSetup] = lambda setup: setup
) -> AsyncIterator[int]:
    """A provider in this process, and its port."""
    path, setup = provider_setup(place / "provider")
    socket = bind("127.0.0.1", 0)
    async with asyncio.TaskGroup() as tasks:
        services, context = Services(tasks), tls.server_context(path)
        services.start("door", Provider(change(setup)).stand_open(socket, context, services.spawn))
        yield socket.getsockname()[1]
        services.stop()


async def using(
    place: Path, port: int, attempts_s: float = 0, **changes: object
) -> holder.HolderSide:
    """A holder's whole way with it, tried once unless there is time for more."""
    where = replace(service(place / "provider", port), **changes)  # type: ignore[arg-type]
    return await holder.use(holder_setup(place / "holder", where), attempts_s=attempts_s)


def main(arguments: list[str]) -> int:
    side, directory, port, *tick = arguments
    tick_s = float(tick[0]) if tick else 0.05
    if side == "provider":
        asyncio.run(serve(Path(directory), int(port), tick_s))
        return 0
    own, other = Path(directory), Path(directory).parent / "provider"
    setup = holder_setup(own, service(other, int(port)), tick_s)
    asyncio.run(holder.use(setup, attempts_s=20))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
