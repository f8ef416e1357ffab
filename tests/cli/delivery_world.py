"""A session without a chain: a made-up order, both sides real, over TLS on loopback.

`python -m tests.cli.delivery_world provider|holder DIRECTORY PORT [tick]` runs one side as a
process that a test may kill; the holder ends with 0 once all is delivered.
"""

from __future__ import annotations

import asyncio
import sys
from hashlib import sha256
from pathlib import Path

from cli.delivery import holder, tls
from cli.delivery.provider import Provider, Serving
from cli.delivery.provider import Setup as ProviderSetup
from cli.delivery.rules import SignedReceipt, Terms
from cli.delivery.store import receipt_file
from cli.delivery.worker import DEFAULT_JOB
from ledger.crypto import SigningKey

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
SERVING = Serving(TERMS, "val0", ISSUER)


def provider_setup(directory: Path, tick_s: float = 0.05) -> tuple[Path, ProviderSetup]:
    """The certificate's file, and all that a provider needs."""
    path, certificate_hash = tls.own_certificate(directory)
    setup = ProviderSetup(
        directory=directory,
        certificate_hash=certificate_hash,
        job=DEFAULT_JOB,
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
        job=DEFAULT_JOB,
        tick_s=tick_s,
        checked=checked,
        progress=_print,
    )


def _print(signed: SignedReceipt) -> None:
    print(signed.units, flush=True)


async def serve(directory: Path, port: int, tick_s: float) -> None:
    """Until somebody ends it; prints when it listens."""
    path, setup = provider_setup(directory, tick_s)
    provider = Provider(setup)
    server = await provider.listen("127.0.0.1", port, tls.server_context(path))
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


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
