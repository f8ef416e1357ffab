"""One link under bad behaviour: slow readers, broken streams, silence, points."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

from ledger.reasons import Invalid, Reason
from p2p import wire
from p2p.frames import encode_frame
from p2p.handshake import LocalNode, Role, hello_frame
from p2p.limits import DELIVER_SLICE_S, LinkLimits
from p2p.peer import Peer
from p2p.points import BAD_FRAME_POINTS, POINTS_MAX
from p2p.streams import Stream, dial_tls, read_frame
from p2p.wire import CONSENSUS_LINK_SIZES, HANDSHAKE_SIZES, MESSAGES
from tests.p2p.harness import CHAIN_ID, HandClock, Node, World, open_world, until


async def hello_by_hand(world: World, node: Node, name: str = "val1") -> tuple[Stream, int]:
    """Dial and say HELLO; the stream and the number of the answer."""
    stream = await dial_tls("127.0.0.1", node.port, world.raw_client(name), 3.0)
    claim = LocalNode(
        chain_id=CHAIN_ID,
        authority_key=world.authority.public,
        role=Role.VALIDATOR,
        licence_id=name,
    )
    stream.writer.write(hello_frame(claim, 3))
    number, _ = await read_frame(stream.reader, HANDSHAKE_SIZES)
    return stream, number


async def link_by_hand(world: World, node: Node, name: str = "val1") -> Stream:
    """A link to `node` whose other end the test drives byte by byte."""
    stream, number = await hello_by_hand(world, node, name)
    assert number == wire.HELLO
    await until(lambda: name in node.linked(), "the link")
    return stream


def test_slow_reader_is_closed_and_others_go_on(run, tmp_path: Path) -> None:
    """A peer stops reading: after the write deadline it is closed; the other got everything."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            clock = HandClock()
            node, good = world.node("val0", clock=clock), world.node("val2")
            node.start({})
            good.start({"val0": node.port})
            await until(lambda: node.linked() == ["val2"], "the good peer")
            stalled = await link_by_hand(world, node)
            slow = node.peer("val1")
            body = bytes(MESSAGES[wire.GIVE].size_max)
            for sent in range(1, 13):
                assert node.network.send("val2", wire.GIVE, body)
                node.network.send("val1", wire.GIVE, body)
                await until(lambda n=sent: len(good.received) == n, "the body at the good peer")
                assert slow.stats().queued_bytes <= LinkLimits().queue_bytes_max
            assert slow.stats().dropped_frames > 0
            assert slow.closed_because == ""
            clock.now += LinkLimits().write_s + 0.1
            await until(lambda: bool(slow.closed_because), "the slow peer closed")
            assert slow.closed_because == "slow"
            assert node.network.send("val2", wire.PREPARE, b"vote")
            await until(lambda: len(good.received) == 13, "the vote at the good peer")
            assert node.linked() == ["val2"]
            stalled.abort()

    run(story())


def test_a_stream_that_was_closed_is_ended(run, tmp_path: Path) -> None:
    """More than once, as when a writer gives up while a last frame is on its way."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0")
            node.start({})
            stream, _ = await hello_by_hand(world, node)
            stream.writer.close()
            stream.writer.close()
            stream.abort()
            stream.abort()
            assert stream.writer.is_closing()

    run(story())


def test_full_queue_drops_bulk_but_a_lost_vote_closes_the_link(run, tmp_path: Path) -> None:
    """Sync frames beyond the limit are dropped; votes push them out; then the link closes."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0", queue_bytes_max=10_000)
            node.start({})
            stream = await link_by_hand(world, node)
            peer = node.peer("val1")
            # Nothing is awaited in between, so nothing leaves the queue.
            assert [peer.send(wire.GIVE, bytes(4_000)) for _ in range(3)] == [True, True, False]
            votes = 0
            while peer.send(wire.PREPARE, bytes(995)):
                votes += 1
            assert votes == 10
            assert peer.closed_because == "queue_full"
            assert not peer.send(wire.PREPARE, b"")
            await until(lambda: node.linked() == [], "the link gone")
            assert node.events[-1] == ("down", "val1")
            stream.abort()

    run(story())


def test_votes_overtake_what_is_queued(run, tmp_path: Path) -> None:
    """Queued in one turn, the other end reads votes first, bulk last."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0")
            node.start({})
            stream = await link_by_hand(world, node)
            for number in (wire.GIVE, wire.TXS, wire.STATUS, wire.COMMIT):
                node.network.send("val1", number, b"x")
            order = [(await read_frame(stream.reader, CONSENSUS_LINK_SIZES))[0] for _ in range(4)]
            assert order == [wire.COMMIT, wire.STATUS, wire.TXS, wire.GIVE]
            stream.abort()

    run(story())


def test_who_broke_a_stream_is_refused_for_a_while(run, tmp_path: Path) -> None:
    """The next dial within the hold-off ends in REFUSED(full)."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0", hold_off_s=60.0)
            node.start({})
            stream = await link_by_hand(world, node)
            stream.writer.write(struct.pack(">IB", 0, 99))
            assert await stream.reader.read() == b""
            stream.abort()
            await until(lambda: node.linked() == [], "the link gone")
            stream, number = await hello_by_hand(world, node)
            assert number == wire.REFUSED
            stream.abort()
            assert node.network.refusals()["full"] == 1

    run(story())


def test_broken_streams_end_the_link_at_once(run, tmp_path: Path) -> None:
    """Over-size, unknown number, HELLO again, garbage: each closes its link, none reaches us."""
    over_size = struct.pack(">IB", 1025, wire.PREPARE)
    unknown = struct.pack(">IB", 0, 99)
    again = encode_frame(wire.HELLO, b"x")
    garbage = b"GET / HTTP/1.1\r\nHost: marsa\r\n\r\n"

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0", hold_off_s=0.0)
            node.start({})
            for bad in (over_size, unknown, again, garbage):
                stream = await link_by_hand(world, node)
                peer = node.peer("val1")
                stream.writer.write(bad)
                await until(lambda p=peer: bool(p.closed_because), "the link closed")
                assert peer.closed_because.startswith("broken stream")
                assert await stream.reader.read() == b""
                await until(lambda: node.linked() == [], "the link gone")
                stream.abort()
            assert node.received == []

    run(story())


def test_one_byte_at_a_time_is_slow_but_right(run, tmp_path: Path) -> None:
    """A frame that drips in byte by byte is delivered whole, once."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0")
            node.start({})
            stream = await link_by_hand(world, node)
            for byte in encode_frame(wire.PREPARE, b"vote"):
                stream.writer.write(bytes((byte,)))
                await stream.writer.drain()
            await until(lambda: bool(node.received), "the vote")
            assert node.received == [("val1", wire.PREPARE, b"vote")]
            stream.abort()

    run(story())


def test_invalid_frames_cost_points_until_the_link_closes(run, tmp_path: Path) -> None:
    """The node raises Invalid: the reader goes on, good frames count, the sixth bad one ends it."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            node = world.node("val0")

            def check(_peer: Peer, _number: int, payload: bytes) -> None:
                if payload == b"bad":
                    raise Invalid(Reason.MALFORMED, "bad")

            node.frame_hook = check
            node.start({})
            stream = await link_by_hand(world, node)
            peer = node.peer("val1")
            tolerated = POINTS_MAX // BAD_FRAME_POINTS
            for _ in range(tolerated):
                stream.writer.write(encode_frame(wire.PREPARE, b"bad"))
                stream.writer.write(encode_frame(wire.PREPARE, b"good"))
            await until(lambda: len(node.received) == tolerated, "the good ones")
            assert peer.closed_because == ""
            assert peer.stats().points == POINTS_MAX
            stream.writer.write(encode_frame(wire.PREPARE, b"bad"))
            stream.writer.write(encode_frame(wire.PREPARE, b"never read"))
            await until(lambda: bool(peer.closed_because), "the link closed")
            assert peer.closed_because == "misbehaved: PREPARE malformed"
            assert len(node.received) == tolerated
            stream.abort()

    run(story())


def test_silence_ends_the_link_and_pings_keep_it(run, tmp_path: Path) -> None:
    """Two nodes that say nothing stay linked by PING; a mute peer is closed as idle."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            clock, limits = HandClock(), LinkLimits()
            node, other = world.node("val0", clock=clock), world.node("val2", clock=clock)
            node.start({})
            other.start({"val0": node.port})
            await until(lambda: node.linked() == ["val2"], "the link")
            link = node.peer("val2")
            mute = await link_by_hand(world, node)
            peer = node.peer("val1")
            while clock.now <= 1000.0 + limits.idle_s:
                heard = link.stats().received_bytes
                clock.now += limits.ping_s
                await until(lambda h=heard: link.stats().received_bytes > h, "a PING")
            await until(lambda: bool(peer.closed_because), "the mute peer closed")
            assert peer.closed_because == "idle"
            assert await read_frame(mute.reader, CONSENSUS_LINK_SIZES) == (wire.PING, b"")
            assert link.closed_because == ""
            assert node.received == []
            mute.abort()

    run(story())


def test_many_small_frames_do_not_hold_the_loop(run, tmp_path: Path) -> None:
    """Each of ten frames of one segment takes a slice by the clock: others run in between."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            clock = HandClock()
            node = world.node("val0", clock=clock)
            node.start({})
            stream = await link_by_hand(world, node)
            turns: list[str] = []

            def slow(peer: Peer, number: int, payload: bytes) -> None:
                turns.append("frame")
                clock.now += DELIVER_SLICE_S
                asyncio.get_running_loop().call_soon(turns.append, "other")

            node.frame_hook = slow
            stream.writer.write(encode_frame(wire.PREPARE, b"") * 10)
            await until(lambda: turns.count("frame") == 10, "the frames")
            assert turns[:4] == ["frame", "other", "frame", "other"]
            stream.abort()

    run(story())
