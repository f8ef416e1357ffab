"""Strangers at the door: how many, for how long, and what they cost."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from p2p import wire
from p2p.handshake import Role
from p2p.limits import LinkLimits
from p2p.listener import SocketSlots
from p2p.streams import dial_tls
from tests.p2p.harness import DEADLINE_S, open_world, until


def test_defaults_are_the_published_limits() -> None:
    """The figures of the specification."""
    limits = LinkLimits()
    assert (limits.unauthenticated_max, limits.unauthenticated_per_address_max) == (64, 8)
    assert (limits.handshake_s, limits.idle_s, limits.ping_s, limits.write_s) == (5, 60, 15, 10)
    assert limits.queue_bytes_max == 8 * wire.MIB
    assert limits.sync_links_max == 32
    assert limits.redial_max_s == 10


def test_slots_at_the_limits() -> None:
    """The eighth socket of an address and the 64th in total fit, the next do not."""
    slots = SocketSlots(LinkLimits())
    for host in range(8):
        assert [slots.take(f"10.0.0.{host}") for _ in range(8)] == [True] * 8
        assert slots.take(f"10.0.0.{host}") is False
    assert slots.total == 64
    assert slots.take("10.0.0.9") is False
    slots.release("10.0.0.3")
    assert slots.take("10.0.0.9") is True


def test_silent_tcp_connections_are_closed_in_time(run, tmp_path: Path) -> None:
    """Connections that never say a byte, or half a byte of TLS, end at the handshake deadline."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0", handshake_s=0.3)
            node.start({})
            silent = await asyncio.open_connection("127.0.0.1", node.port)
            half = await asyncio.open_connection("127.0.0.1", node.port)
            half[1].write(b"\x16\x03\x01")
            for reader, writer in (silent, half):
                async with asyncio.timeout(DEADLINE_S):
                    assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()
            await until(lambda: node.network.unauthenticated == 0, "the slots free again")
            assert node.network.refusals()["handshake_timeout"] == 2

    run(story())


def test_silence_and_dripping_after_tls_are_closed_in_time(run, tmp_path: Path) -> None:
    """A licensed peer that finishes TLS and then drips its HELLO gets no more time."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0", handshake_s=1.0)
            node.start({})
            context = world.raw_client("val1")
            stream = await dial_tls("127.0.0.1", node.port, context, 3.0)
            dripped = 0
            header = b"\x00\x00\x04\x00\x01"
            async with asyncio.timeout(DEADLINE_S):
                while not stream.reader.at_eof():
                    # A byte, then whatever comes back for a while: in the end, the close.
                    stream.writer.write((header + bytes(1024))[dripped : dripped + 1])
                    dripped += 1
                    try:
                        async with asyncio.timeout(0.02):
                            await stream.reader.read()
                    except TimeoutError:
                        continue
                    except ConnectionError:
                        break  # the close came as a reset
            assert dripped > 0
            assert node.network.refusals()["handshake_timeout"] == 1
            assert node.events == []
            stream.abort()

    run(story())


def test_garbage_instead_of_tls_and_instead_of_hello(run, tmp_path: Path) -> None:
    """HTTP on the link port is tls_refused; random bytes after TLS are handshake_broken."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0")
            node.start({})
            refusals = node.network.refusals
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: refusals()["tls_refused"] == 1, "tls_refused")
            writer.close()
            for garbage in (os.urandom(64) + b"\xff" * 8, b"\x00\x00\x04\x01\x01", b"\x00" * 5):
                before = refusals()["handshake_broken"]
                stream = await dial_tls("127.0.0.1", node.port, world.raw_client("val1"), 3.0)
                stream.writer.write(garbage)
                await until(lambda b=before: refusals()["handshake_broken"] > b, "broken")
                stream.abort()
            assert node.events == []
            del reader

    run(story())


def test_sockets_above_the_limit_cost_nothing_and_peers_still_get_in(run, tmp_path: Path) -> None:
    """With every slot of an address taken the next is closed at once; later all is well again."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0")
            node.start({})
            held = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(8)]
            await until(lambda: node.network.unauthenticated == 8, "eight held")
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            async with asyncio.timeout(DEADLINE_S):
                assert await reader.read() == b""
            writer.close()
            assert node.network.refusals()["too_many_sockets"] == 1
            peer = world.node("val1")
            peer.start({"val0": node.port})
            await until(lambda: node.network.refusals()["too_many_sockets"] > 1, "peer kept out")
            for sock in held:
                sock.close()
            await until(lambda: node.linked() == ["val1"], "the peer, once the strangers are out")

    run(story())


def test_strangers_do_not_disturb_a_link(run, tmp_path: Path) -> None:
    """Under a stream of strangers that come and go, two linked nodes exchange every vote."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node, peer = world.node("val0"), world.node("val1")
            node.start({})
            peer.start({"val0": node.port})
            await until(lambda: node.linked() == ["val1"], "the link")
            for count in range(60):
                with socket.create_connection(("127.0.0.1", node.port)) as stranger:
                    stranger.send(b"\x16\x03\x01\x02")
                node.network.broadcast(wire.PREPARE, bytes((count,)))
            await until(lambda: len(peer.received) == 60, "all votes")
            await until(lambda: node.network.unauthenticated == 0, "no stranger left")
            assert node.linked() == ["val1"]

    run(story())


def test_observer_does_not_listen(run, tmp_path: Path) -> None:
    """An observer only dials: it has no certificate to show to a dialler."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0")
            node.start({})
            observer = world.node("watcher", role=Role.OBSERVER)
            observer.start({"val0": node.port})
            await until(lambda: observer.linked() == ["val0"], "the link")
            assert observer.port == 0
            assert all("listen" not in task.get_name() for task in observer.tasks)

    run(story())
