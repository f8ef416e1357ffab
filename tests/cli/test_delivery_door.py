"""Strangers at a provider's port: how many, for how long, and that holders get past them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cli.delivery import door, holder, tls
from cli.delivery.door import STRANGERS_MAX, STRANGERS_PER_ADDRESS_MAX, Strangers
from cli.delivery.frames import Greeting, Link, Open, SessionEnded
from tests.cli.delivery_world import TERMS, holder_setup, listening, service, using

LIMIT_S = 30.0
"""Longer than anything here may take."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("provider", "holder"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path


async def silent(port: int, source: str = "127.0.0.1") -> Connection:
    """TCP from this address of ours, and not a byte of TLS."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def is_cut(connection: Connection) -> None:
    reader, writer = connection
    async with asyncio.timeout(LIMIT_S):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.transport.abort()


def test_the_newest_has_a_place_and_the_oldest_of_the_crowd_goes() -> None:
    """One address has so many places and no more; where all are taken, who has most loses one."""
    strangers, cut = Strangers(), Counter[str]()

    def come(host: str, who: str) -> bool:
        was_full = strangers.room_for(host)
        strangers.enter(host, who, lambda: cut.update([who]))
        return was_full

    for number in range(STRANGERS_PER_ADDRESS_MAX):
        assert not come("crowd", f"c{number}")
    assert come("crowd", "c-last")
    assert cut == {"c0": 1}
    for number in range(STRANGERS_MAX - STRANGERS_PER_ADDRESS_MAX):
        assert not come(f"10.0.0.{number}", f"x{number}")
    assert strangers.total == STRANGERS_MAX
    assert come("holder", "h")
    assert cut == {"c0": 1, "c1": 1}
    assert strangers.total == STRANGERS_MAX
    strangers.leave("crowd", "c1")  # gone already: no place comes free twice
    assert strangers.total == STRANGERS_MAX
    strangers.leave("holder", "h")
    assert not come("holder", "again")
    assert cut.total() == 2


GARBAGE = (b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff", b"\0\0\0\x02\xc1\xc1", b"\0\0\0\x01")


async def test_garbage_ends_one_connection(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside TLS and instead of it; a holder is served afterwards."""
    monkeypatch.setattr(door, "STRANGER_S", 0.5)
    async with listening(place) as port:
        where = service(place / "provider", port)
        for garbage in GARBAGE:
            within = await tls.connect("127.0.0.1", port, where.certificate_hash)
            within[1].write(garbage)
            await is_cut(within)
            plain = await silent(port)
            plain[1].write(garbage)
            await is_cut(plain)
        assert (await using(place, port)).delivered == TERMS.amount


async def test_a_stranger_is_cut_soon_wherever_it_stops(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before TLS, in its middle, before the first word, and before the proof: one limit for all of
    it together, not one for each."""
    monkeypatch.setattr(door, "STRANGER_S", 0.6)
    async with listening(place) as port:
        where = service(place / "provider", port)
        half = await silent(port)
        half[1].write(b"\x16\x03\x01")
        stopped = [await silent(port), half]
        stopped.append(await tls.connect("127.0.0.1", port, where.certificate_hash))
        slow = await tls.connect("127.0.0.1", port, where.certificate_hash)
        await asyncio.sleep(0.4)
        since_s = asyncio.get_running_loop().time()
        link = Link(*slow)
        await link.send(Open(TERMS.order))
        assert isinstance(await link.receive(), Greeting)
        with pytest.raises(SessionEnded):
            await link.receive()
        assert asyncio.get_running_loop().time() - since_s < 0.5
        for connection in (*stopped, slow):
            await is_cut(connection)


async def test_a_holder_gets_in_past_any_number_of_strangers(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places are held in silence, from many addresses and from the holder's own: it is in
    though none of them is cut by time, and the session that runs keeps its place while ever more
    of them come."""
    monkeypatch.setattr(door, "STRANGER_S", 6 * LIMIT_S)
    async with listening(place) as port:
        crowd = [
            await silent(port, f"127.0.0.{host}")
            for host in range(1, 1 + STRANGERS_MAX // STRANGERS_PER_ADDRESS_MAX)
            for _ in range(STRANGERS_PER_ADDRESS_MAX)
        ]
        assert len(crowd) == STRANGERS_MAX
        signed = asyncio.Event()
        where = service(place / "provider", port)
        setup = replace(holder_setup(place / "holder", where), progress=lambda _: signed.set())
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(holder.use(setup, attempts_s=0))
            await signed.wait()
            more = [await silent(port, f"127.0.0.{host}") for host in range(2, 2 + STRANGERS_MAX)]
        assert holding.result().delivered == TERMS.amount
        await is_cut(crowd[0])
        for _, writer in (*crowd, *more):
            writer.transport.abort()


async def test_strangers_hold_no_more_than_their_places(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one address the oldest go, with TLS or without; the newest stay."""
    monkeypatch.setattr(door, "STRANGER_S", 6 * LIMIT_S)
    async with listening(place) as port:
        where = service(place / "provider", port)
        first = await tls.connect("127.0.0.1", port, where.certificate_hash)
        crowd = [await silent(port) for _ in range(STRANGERS_PER_ADDRESS_MAX)]
        await is_cut(first)
        last = crowd[-1][0]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(last.read(), 0.2)
        for _, writer in crowd:
            writer.transport.abort()
