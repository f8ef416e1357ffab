"""Both sides as processes over TLS: killed, resumed, lied to, sent garbage."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cli.delivery import frames, holder, tls
from cli.delivery.duties import OrderSeen
from cli.delivery.frames import Bye, Link, Open, Proof, SessionEnded, Shown
from cli.delivery.jobs import BUILT_IN
from cli.delivery.rules import Broken, Fault, SignedReceipt
from cli.delivery.service import Plan, Service
from cli.delivery.store import DamagedReceipt, receipt_file
from cli.delivery.worker import JobFailed, Worker
from ledger.crypto import SigningKey
from tests.cli.delivery_world import (
    ISSUER,
    SERVING,
    TERMS,
    holder_setup,
    listening,
    service,
    using,
)

MODULE = (sys.executable, "-m", "tests.cli.delivery_world")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("provider", "holder"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path


def started(place: Path, port: int = 0, tick: str = "0.05") -> tuple[subprocess.Popen[str], int]:
    """A provider, and where it listens."""
    command = [*MODULE, "provider", str(place / "provider"), str(port), tick]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def kept(place: Path, side: str) -> SignedReceipt | None:
    return receipt_file(place / side, TERMS.order).load()


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> None:
    process.send_signal(number)
    process.communicate(timeout=20)


def holding(place: Path, port: int) -> subprocess.Popen[str]:
    command = [*MODULE, "holder", str(place / "holder"), str(port), "0.05"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def reads(process: subprocess.Popen[str], count: int) -> list[int]:
    """The units that the holder signs for, line by line."""
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(count)]


def test_killed_holders_and_providers_go_on(place: Path) -> None:
    """Either side is killed in the middle: what both have is at most one tick apart, and in the end
    all is delivered under ever higher numbers."""
    serving, port = started(place)
    using = holding(place, port)
    reads(using, 2)
    ended(using, signal.SIGKILL)
    signed, received = kept(place, "holder"), kept(place, "provider")
    assert signed is not None
    assert received is not None
    assert signed.receipt.number - received.receipt.number in (0, 1)
    using = holding(place, port)
    assert reads(using, 2)[0] > signed.units
    ended(serving, signal.SIGKILL)
    serving, _ = started(place, port)
    try:
        rest, _ = using.communicate(timeout=60)
    finally:
        ended(serving)
    assert using.returncode == 0
    assert int(rest.split()[-1]) == TERMS.units
    last, own = kept(place, "provider"), kept(place, "holder")
    assert last == own
    assert last is not None
    assert last.receipt.delivered == TERMS.amount


@pytest.mark.parametrize(
    "changes",
    [
        {"certificate_hash": bytes(32)},
        {"licence": "val1"},
        {"operations_key": SigningKey(bytes([5]) * 32).public},
    ],
)
async def test_another_than_the_licensed_provider_is_refused(
    place: Path, changes: dict[str, object]
) -> None:
    """Another certificate, another licence, another key: nothing is signed."""
    async with listening(place) as port:
        with pytest.raises(Broken) as broken:
            await using(place, port, **changes)
    assert broken.value.fault is Fault.WRONG_LICENCE
    assert kept(place, "holder") is None


async def test_a_job_that_was_not_done_is_not_paid(place: Path, tmp_path: Path) -> None:
    """A provider that makes digests up: the sample shows it, and nothing is signed."""
    fake = tmp_path / "fake.py"
    fake.write_text(
        "import sys, time\n"
        "for unit in range(int(sys.argv[3]), 10**6):\n"
        "    print(unit, '00' * 32, 1, flush=True)\n"
        "    time.sleep(0.002)\n"
    )
    serving = replace(SERVING, job=(sys.executable, str(fake)))
    async with listening(place, lambda setup: replace(setup, find=lambda _: serving)) as port:
        with pytest.raises(Broken) as broken:
            await using(place, port)
    assert broken.value.fault is Fault.WRONG_UNIT
    assert kept(place, "holder") is None


async def test_who_does_not_hold_the_order_is_not_served(place: Path) -> None:
    async with listening(place) as port:
        where = service(place / "provider", port)
        setup = replace(holder_setup(place / "holder", where), key=SigningKey(bytes([6]) * 32))
        with pytest.raises(Broken) as broken:
            await holder.use(setup, attempts_s=0)
        assert broken.value.fault is Fault.WRONG_SIGNATURE
        unknown = replace(TERMS, order=bytes([3]) * 32)
        with pytest.raises(Broken) as broken:
            await holder.use(replace(setup, terms=unknown), attempts_s=0)
        assert broken.value.fault is Fault.NOT_READY


async def test_an_order_is_served_on_one_connection(place: Path) -> None:
    async with listening(place) as port:
        where = service(place / "provider", port)
        link = Link(*await tls.connect("127.0.0.1", port, where.certificate_hash))
        await greet(link, where)
        assert isinstance(await link.receive(), Shown)
        with pytest.raises(Broken) as broken:
            await using(place, port)
        assert broken.value.fault is Fault.BUSY
        await link.end()


async def test_an_order_that_is_over_is_worked_on_no_more(place: Path) -> None:
    """Closed, or past its window, in the middle of a session: soon no receipt counts any more, and
    what it holds goes back to its holder."""
    seen = iter([SERVING] * 3)
    change = partial(replace, find=lambda _: next(seen, None))
    async with listening(place, change) as port:
        with pytest.raises(Broken) as broken:
            await asyncio.wait_for(using(place, port), 20)
    assert broken.value.fault is Fault.NOT_READY
    signed, received = kept(place, "holder"), kept(place, "provider")
    assert signed == received
    assert signed is not None
    assert signed.receipt.number == 2


async def test_who_signs_nothing_waits_longer_each_time(place: Path) -> None:
    """A holder who looks and goes has a tick for nothing once, not as often as it likes."""
    tick_s = 0.3
    async with listening(place, lambda setup: replace(setup, tick_s=tick_s)) as port:
        where, ends = service(place / "provider", port), []
        for _ in range(3):
            await looks(where)
            ends.append(time.monotonic())
            await asyncio.sleep(0.1)
        # At least so long, on a machine of any speed: it counts from the end of the one before.
        assert ends[1] - ends[0] > 1.5 * tick_s
        assert ends[2] - ends[1] > 2.5 * tick_s
        setup = holder_setup(place / "holder", where)
        assert (await holder.use(setup, attempts_s=10)).delivered == TERMS.amount


async def looks(where: holder.Service) -> None:
    """Until it is shown a tick; it signs nothing."""
    while True:
        link = Link(*await tls.connect("127.0.0.1", where.port, where.certificate_hash))
        try:
            await greet(link, where)
            assert isinstance(await link.receive(), Shown)
        except Broken as broken:
            assert broken.fault is Fault.BUSY
            await asyncio.sleep(0.02)
        else:
            return
        finally:
            await link.end()


async def greet(link: Link, where: holder.Service) -> None:
    """As a holder that signs nothing."""
    setup = holder_setup(Path("/nonexistent"), where)
    await holder._greet(setup, link, holder.HolderSide())


async def test_a_holder_that_lost_its_receipts_gets_them_back(place: Path) -> None:
    async with listening(place) as port:
        first = holding(place, port)
        await asyncio.to_thread(reads, first, 2)
        await asyncio.to_thread(ended, first, signal.SIGKILL)
        receipt = place / "holder" / f"{TERMS.order.hex()}.receipt"
        receipt.unlink()
        side = await using(place, port, attempts_s=20)  # the killed one's session may still end
    assert side.delivered == TERMS.amount
    assert kept(place, "provider") == side.signed


async def test_a_provider_that_ends_early_is_left_after_a_while(place: Path) -> None:
    """By its count all is delivered, as where an order brings less by now than when the holder
    began: no connection after another for ever."""
    terms = replace(TERMS, amount=TERMS.amount // 2)
    serving = replace(SERVING, terms=terms)
    async with listening(place, lambda setup: replace(setup, find=lambda _: serving)) as port:
        with pytest.raises(SessionEnded, match="before all is delivered"):
            await asyncio.wait_for(using(place, port), 20)
    own = kept(place, "holder")
    assert own is not None
    assert own.receipt.delivered == terms.amount


async def test_a_proof_is_for_one_connection(place: Path) -> None:
    """The nonce is fresh: what was signed for another connection opens nothing."""
    async with listening(place) as port:
        where = service(place / "provider", port)
        link = Link(*await tls.connect("127.0.0.1", port, where.certificate_hash))
        await link.send(Open(TERMS.order))
        await link.receive()
        setup = holder_setup(place / "holder", where)
        message = frames.proof_message(
            TERMS.chain_id, TERMS.order, where.certificate_hash, bytes(32)
        )
        await link.send(Proof(setup.key.sign(message), ()))
        with pytest.raises(Broken) as broken:
            await link.receive()
        assert broken.value.fault is Fault.WRONG_SIGNATURE
        await link.end()


@pytest.mark.parametrize(
    "program",
    ["print('hello')", "print('0 ' + 'zz' * 32 + ' 1')", "print('x' * 1000)", "pass"],
)
async def test_a_job_that_writes_no_units_fails_by_name(tmp_path: Path, program: str) -> None:
    path = tmp_path / "job.py"
    path.write_text(program + "\n")
    async with Worker((sys.executable, str(path)), TERMS.order, 0) as worker:
        with pytest.raises(JobFailed):
            await worker.work(5, 10)


def test_a_job_that_writes_more_than_is_read_leaves_no_file_open(tmp_path: Path) -> None:
    """Its pipe is full when it is ended: what is left open is told when it is collected."""
    path = tmp_path / "job.py"
    path.write_text("number = 0\nwhile True:\n    print(number, '00' * 32, 1)\n    number += 1\n")

    async def serve() -> None:
        async with Worker((sys.executable, str(path)), TERMS.order, 0) as worker:
            assert len(await worker.work(30, 3)) == 3

    asyncio.run(serve())
    gc.collect()


def damaged(directory: Path, mode: int = 0o600) -> Path:
    path = directory / f"{TERMS.order.hex()}.receipt"
    path.write_bytes(b"\x93\x01")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_damaged_receipt_is_told(tmp_path: Path, mode: int) -> None:
    """Damaged, or open to others."""
    damaged(tmp_path, mode)
    with pytest.raises(DamagedReceipt):
        receipt_file(tmp_path, TERMS.order).load()


async def test_a_damaged_receipt_stops_one_order(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its holder is told to come later, and served once the file is away; the service looks after
    all other orders meanwhile."""
    path = damaged(place / "provider")
    seen = OrderSeen(TERMS.order, "val0", "ready", TERMS.session_key, 1, 0, 0, 1, "hashing")
    plan = Plan(TERMS.chain_id, (), (), place / "provider", ("", 0), "", BUILT_IN, 1, 1)
    assert Service(plan)._known(TERMS.order, seen).seen == seen
    assert str(path) in caplog.text
    async with listening(place) as port:
        with pytest.raises(Broken) as broken:
            await using(place, port)
        assert broken.value.fault is Fault.BUSY
        path.unlink()
        assert (await using(place, port)).delivered == TERMS.amount


def test_an_issuer_signs_for_its_certificate() -> None:
    """The message binds chain, order and certificate."""
    made = {
        frames.licence_message(*parts)
        for parts in ((b"a", b"b", b"c"), (b"b", b"a", b"c"), (b"ab", b"", b"c"))
    }
    assert len(made) == 3
    assert ISSUER.public != TERMS.session_key


async def test_what_a_stranger_says_is_fit_for_a_terminal(place: Path) -> None:
    """Control characters in a goodbye reach neither log nor screen."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        await link.receive()
        await link.end(Bye(Fault.NOT_READY.value, "\x1b[2Jgone\nnext"))

    path, _ = tls.own_certificate(place / "provider")
    context = tls.server_context(path)
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        with pytest.raises(Broken) as broken:
            await using(place, server.sockets[0].getsockname()[1])
    assert broken.value.detail == "the other side says: ?[2Jgone?next"
