"""Four real nodes on loopback: the mesh, who is refused and how, restarts, duplicates."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from p2p import wire
from p2p.frames import encode_frame
from p2p.handshake import LocalNode, RefusedReason, Role, hello_frame, read_refusal
from p2p.network import SEEN_S, Endpoint
from p2p.points import BAD_FRAME_POINTS, POINTS_MAX
from p2p.streams import dial_tls, read_frame
from p2p.wire import HANDSHAKE_SIZES
from tests.p2p.harness import (
    CHAIN_ID,
    DEADLINE_S,
    Authority,
    HandClock,
    Node,
    World,
    open_world,
    public_key,
    until,
)


def start_mesh(world: World) -> list[Node]:
    """Four validators, each dialling all that listen already; the first two dial nobody new."""
    nodes = [world.node(name) for name in world.names]
    ports: dict[str, int] = {}
    for node in nodes:
        node.start(ports)
        ports[node.name] = node.port
    return nodes


async def meshed(nodes: list[Node]) -> None:
    names = {node.name for node in nodes}
    await until(
        lambda: all(set(node.linked()) == names - {node.name} for node in nodes), "a full mesh"
    )


def test_four_nodes_mesh(run, tmp_path: Path) -> None:
    """Four nodes link each with each; a broadcast reaches three, a send one; stats tell so."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            nodes = start_mesh(world)
            await meshed(nodes)
            assert nodes[0].network.broadcast(wire.PREPARE, b"vote") == 3
            assert nodes[0].network.send("val2", wire.GIVE, b"body")
            assert not nodes[0].network.send("nobody", wire.GIVE, b"body")
            await until(lambda: all(n.received for n in nodes[1:]), "the vote everywhere")
            await until(lambda: len(nodes[2].received) == 2, "the body at val2")
            assert nodes[1].received == [("val0", wire.PREPARE, b"vote")]
            assert nodes[2].received[1] == ("val0", wire.GIVE, b"body")
            stats = nodes[0].network.stats()
            assert [(s.name, s.direction, s.height) for s in stats] == [
                ("val1", "inbound", 7), ("val2", "inbound", 7), ("val3", "inbound", 7),
            ]  # fmt: skip
            assert all(s.sent_bytes > 0 and s.queued_bytes == 0 for s in stats)
            assert nodes[0].network.linked() == ["val1", "val2", "val3"]
            assert nodes[0].network.unauthenticated == 0

    run(story())


def test_a_peer_is_charged_for_what_proved_bad_later(run, tmp_path: Path) -> None:
    """As for a bad frame: the sixth in short order closes the link, which stays away for a while;
    whoever is not linked is charged nothing."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            nodes = start_mesh(world)
            await meshed(nodes)
            network, peer = nodes[0].network, nodes[0].peer("val2")
            network.penalise("nobody", "false proof")
            for _ in range(POINTS_MAX // BAD_FRAME_POINTS):
                network.penalise("val2", "false proof")
            assert (peer.closed_because, peer.stats().points) == ("", POINTS_MAX)
            network.penalise("val2", "false proof")
            assert peer.closed_because == "misbehaved: false proof"
            await until(lambda: "val2" not in nodes[0].linked(), "the link ended")
            assert set(nodes[0].linked()) == {"val1", "val3"}
            refused = nodes[0].network.refusals().get("full", 0)
            await until(
                lambda: nodes[0].network.refusals().get("full", 0) > refused, "it is turned away"
            )

    run(story())


def test_both_ends_dial(run, tmp_path: Path) -> None:
    """Every pair dials from both ends at once; the mesh comes to rest and carries traffic."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            first = start_mesh(world)
            ports = {node.name: node.port for node in first}
            for node in first:
                await node.stop()
            for node in first:
                others = {name: port for name, port in ports.items() if name != node.name}
                node.start(others, port=node.port)
            await meshed(first)

            def all_heard() -> bool:
                # What was queued on a link that gave way is lost, hence once more each time.
                for node in first:
                    node.network.broadcast(wire.STATUS, node.name.encode())
                return all(
                    {payload.decode() for _, _, payload in node.received}
                    == set(world.names) - {node.name}
                    for node in first
                )

            await until(all_heard, "everybody heard by everybody")
            await meshed(first)

    run(story())


def test_restarted_peer_is_met_again(run, tmp_path: Path) -> None:
    """A node that stops and comes back on its port is dialled again by those that know it."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            nodes = start_mesh(world)
            await meshed(nodes)
            port = nodes[0].port
            await nodes[0].stop()
            await until(lambda: "val0" not in nodes[3].linked(), "val0 missed")
            assert nodes[3].events[-1] == ("down", "val0")
            nodes[0].start({}, port=port)
            await meshed(nodes)
            assert nodes[3].events[-2:] == [("down", "val0"), ("up", "val0")]

    run(story())


def test_wrong_chain_is_refused_by_name(run, tmp_path: Path) -> None:
    """A licensed node of another chain gets REFUSED(wrong_chain) and never a link."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here, there = world.node("val0"), world.node("val1", chain_id=bytes(32))
            here.start({})
            there.start({"val0": here.port})
            await until(lambda: here.network.refusals()["wrong_chain"] > 1, "two refusals")
            await until(lambda: there.network.refusals()["refused_by_peer"] > 1, "told so")
            assert here.events == there.events == []

    run(story())


def test_inactive_licences_are_refused_by_name(run, tmp_path: Path) -> None:
    """The authority signed, but the ledger has revoked the licence."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here = world.node("val0")
            here.admitted[public_key("val1")] = RefusedReason.LICENCE_INACTIVE
            here.start({})
            world.node("val1").start({"val0": here.port})
            refusals = here.network.refusals
            await until(lambda: refusals()["licence_inactive"] > 0, "licence_inactive")
            assert here.linked() == []
            assert refusals()["tls_refused"] == 0

    run(story())


def test_an_unknown_licence_follows_until_the_chain_knows_it(run, tmp_path: Path) -> None:
    """What the authority signed and the ledger lacks gets a sync link, whoever dials. The other end
    may take it for a consensus link: its votes are passed over, and the link stays. Once the node
    admits the licence and looks again, they meet anew and votes arrive."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here, joiner = world.node("val0"), world.node("kite")
            joiner.start({})
            here.start({"kite": joiner.port})
            joiner_knows = joiner.network  # it has val0's licence from genesis
            await until(lambda: joiner.linked() == ["val0"], "the link")
            await until(lambda: here.linked() == ["observer:1"], "its other end")
            assert joiner_knows.send("val0", wire.PREPARE, b"too early")
            assert joiner_knows.send("val0", wire.TXS, b"ready")
            await until(lambda: bool(here.received), "the transaction")
            assert here.received == [("observer:1", wire.TXS, b"ready")]
            assert here.network.push(wire.TXS, b"no news for it") == 0
            here.admitted[public_key("kite")] = "kite"
            here.network.look_again()
            await until(lambda: here.linked() == ["kite"], "a link of another kind")
            await until(lambda: joiner_knows.send("val0", wire.PREPARE, b"vote"), "linked again")
            await until(lambda: ("kite", wire.PREPARE, b"vote") in here.received, "the vote")

    run(story())


def test_a_licence_of_another_name_is_not_who_was_dialled(run, tmp_path: Path) -> None:
    """Behind the address of one licence stands another that the chain lacks: refused."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here, stranger = world.node("val0"), world.node("kite")
            stranger.start({})
            here.start({"val1": stranger.port})
            await until(lambda: here.network.refusals()["licence_unknown"] > 0, "refused")
            assert here.linked() == []

    run(story())


def test_foreign_authority_ends_inside_tls(run, tmp_path: Path) -> None:
    """A certificate of another authority never reaches HELLO: counted as tls_refused."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here = world.node("val0")
            here.start({})
            foreign = Authority(tmp_path, "foreign").licence("val1")
            there = world.node("val1", files=foreign)
            there.start({"val0": here.port})
            await until(lambda: here.network.refusals()["tls_refused"] > 1, "tls_refused twice")
            assert here.linked() == there.linked() == []
            assert here.network.refusals()["licence_unknown"] == 0

    run(story())


def test_listener_of_a_foreign_authority_is_not_trusted(run, tmp_path: Path) -> None:
    """The dialler too ends inside TLS when the listener's licence is not of its authority."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            foreign = Authority(tmp_path, "foreign").licence("val0")
            there = world.node("val0", files=foreign)
            there.start({})
            here = world.node("val1")
            here.start({"val0": there.port})
            await until(lambda: here.network.refusals()["dial_failed"] > 1, "dial_failed twice")
            assert here.events == there.events == []

    run(story())


def test_name_behind_an_address_must_be_the_configured_one(run, tmp_path: Path) -> None:
    """Dialling val2's address and finding val1 there ends with licence_unknown, not a link."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            there, here = world.node("val1"), world.node("val0")
            there.start({})
            here.start({"val2": there.port})
            await until(lambda: here.network.refusals()["licence_unknown"] > 0, "refusal")
            await until(lambda: ("down", "val0") in there.events, "the listener told")
            assert here.events == []

    run(story())


@pytest.mark.parametrize("year", [2001, 2901], ids=["expired", "not-yet-valid"])
def test_certificate_dates_do_not_matter(run, tmp_path: Path, year: int) -> None:
    """Expiry is an event of the ledger: a certificate outside its dates links all the same."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            dates = {
                "valid_from": datetime(year, 1, 1, tzinfo=UTC),
                "valid_until": datetime(year, 2, 1, tzinfo=UTC),
            }
            here = world.node("val0", files=world.authority.licence("val0", **dates))
            there = world.node("val1", files=world.authority.licence("val1", **dates))
            here.start({})
            there.start({"val0": here.port})
            await until(lambda: here.linked() == ["val1"], "the link")

    run(story())


def test_observer_links_without_a_licence(run, tmp_path: Path) -> None:
    """An observer gets a sync link: FETCH and GIVE travel, a vote neither reaches nor leaves it."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here = world.node("val0")
            here.start({})
            observer = world.node("watcher", role=Role.OBSERVER)
            observer.start({"val0": here.port})
            await until(lambda: observer.linked() == ["val0"], "the sync link")
            await until(lambda: here.linked() == ["observer:1"], "its other end")
            assert here.network.broadcast(wire.PREPARE, b"vote") == 0
            assert here.network.broadcast(wire.STATUS, b"status") == 1
            assert observer.network.send("val0", wire.FETCH, b"which")
            assert observer.network.push(wire.TXS, b"a payment") == 1
            await until(lambda: len(here.received) == 2 and bool(observer.received), "all three")
            assert observer.received == [("val0", wire.STATUS, b"status")]
            assert here.network.push(wire.TXS, b"no news for it") == 0
            assert not observer.network.send("val0", wire.PREPARE, b"vote")
            observer.network.look_again()
            assert observer.linked() == ["val0"]
            observer.peer("val0").send_frame(wire.PREPARE, encode_frame(wire.PREPARE, b"vote"))
            await until(lambda: ("down", "observer:1") in here.events, "the link cut")
            assert here.received == [
                ("observer:1", wire.FETCH, b"which"),
                ("observer:1", wire.TXS, b"a payment"),
            ]

    run(story())


def test_who_has_no_licence_raises_no_alarm(run, tmp_path: Path) -> None:
    """An observer says that the key of this node is in use elsewhere: nothing is kept of that, and
    each link of its would be one name more."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here = world.node("val0")
            here.start({})
            observer = world.node("watcher", role=Role.OBSERVER)
            observer.start({"val0": here.port})
            await until(lambda: here.linked() == ["observer:1"], "the sync link")
            await until(lambda: observer.linked() == ["val0"], "its other end")
            observer.peer("val0").refuse(RefusedReason.KEY_IN_USE)
            await until(lambda: ("down", "observer:1") in here.events, "the observer is gone")
            assert here.network.key_in_use_at() == []
            assert ("key in use", "") not in here.events

    run(story())


def test_an_observer_is_told_of_another_peer(run, tmp_path: Path) -> None:
    """Nobody dials an observer: it dials who is new, and those that it knows only once."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            first, second = world.node("val0"), world.node("val1")
            first.start({})
            second.start({})
            observer = world.node("watcher", role=Role.OBSERVER)
            observer.start({"val0": first.port})
            await until(lambda: observer.linked() == ["val0"], "the first link")
            peers = {node.name: Endpoint("127.0.0.1", node.port) for node in (first, second)}
            assert observer.network.dial_too(peers) == ["val1"]
            assert observer.network.dial_too(peers) == []
            await until(lambda: observer.linked() == ["val0", "val1"], "both links")
            assert observer.events == [("up", "val0"), ("up", "val1")]

    run(story())


def test_sync_links_are_bounded(run, tmp_path: Path) -> None:
    """The third observer where two fit is told full; a validator still finds its place."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here = world.node("val0", sync_links_max=2)
            here.start({})
            for name in ("one", "two", "three"):
                world.node(name, role=Role.OBSERVER).start({"val0": here.port})
            await until(lambda: here.network.refusals()["full"] > 0, "full")
            world.node("val1").start({"val0": here.port})
            await until(lambda: "val1" in here.linked(), "val1")
            assert len(here.linked()) == 3

    run(story())


async def shake_hands(
    network_port: int, world: World, name: str | None, claim: LocalNode
) -> tuple[int, bytes]:
    """Dial by hand as `name` (None: no certificate), say HELLO as `claim`, give the answer."""
    stream = await dial_tls("127.0.0.1", network_port, world.raw_client(name), 3.0)
    try:
        stream.writer.write(hello_frame(claim, 3))
        return await read_frame(stream.reader, HANDSHAKE_SIZES)
    finally:
        stream.abort()


def test_validator_without_certificate_is_refused_by_name(run, tmp_path: Path) -> None:
    """HELLO as a validator without a certificate, or with another's: licence_unknown."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here = world.node("val0")
            here.start({})
            claim = LocalNode(
                chain_id=CHAIN_ID,
                authority_key=world.authority.public,
                role=Role.VALIDATOR,
                licence_id="val1",
            )
            for certificate in (None, "val2"):
                number, payload = await shake_hands(here.port, world, certificate, claim)
                assert number == wire.REFUSED
                assert read_refusal(payload) is RefusedReason.LICENCE_UNKNOWN
            assert here.events == []

    run(story())


@pytest.mark.parametrize("smaller", [True, False], ids=["smaller-dials-2nd", "larger-dials-2nd"])
def test_of_two_links_the_smaller_keys_dial_stays(run, tmp_path: Path, smaller: bool) -> None:
    """A node has dialled a peer; the peer dials too. Which stays depends on the keys alone."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            low, high = sorted(world.names[:2], key=public_key)
            dialler, other = (high, low) if smaller else (low, high)
            there, here = world.node(other), world.node(dialler)
            there.start({})
            here.start({other: there.port})
            await until(lambda: there.linked() == [dialler], "the first link")
            first = there.peer(dialler)
            claim = LocalNode(
                chain_id=CHAIN_ID,
                authority_key=world.authority.public,
                role=Role.VALIDATOR,
                licence_id=other,
                session=there.session,
            )
            number, payload = await shake_hands(here.port, world, other, claim)
            if smaller:
                assert number == wire.HELLO
                await until(lambda: first.closed_because != "", "the first link replaced")
                assert first.closed_because == "refused by peer: duplicate"
            else:
                assert number == wire.REFUSED
                assert read_refusal(payload) is RefusedReason.DUPLICATE
                assert first.closed_because == ""

    run(story())


def test_two_processes_with_one_key(run, tmp_path: Path) -> None:
    """A copy of val1 is refused by name while val1 lives, both ends know it, and val1's links stay;
    val1 gone, the copy is linked; a val1 that wakes up then is told in its turn."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            clock = HandClock()
            peers = [world.node(name, clock=clock) for name in ("val0", "val2")]
            for peer in peers:
                peer.start({})
            dials = {peer.name: peer.port for peer in peers}
            first, copy = world.node("val1"), world.node("val1")
            first.start(dials)
            await until(lambda: first.linked() == ["val0", "val2"], "the first is linked")
            copy.start(dials)
            told = copy.network.key_in_use_at
            await until(lambda: told() == ["val0", "val2"], "the copy is told by both")
            assert copy.events[-1] == ("key in use", "val0,val2")
            for peer in peers:
                assert peer.network.rivals().keys() == {"val1"}
                assert peer.network.refusals()["key_in_use"] > 0
                assert peer.events == [("up", "val1")]
            assert first.network.key_in_use_at() == []
            await first.stop()
            await until(lambda: copy.linked() == ["val0", "val2"], "the copy is linked")
            assert told() == []
            clock.now += SEEN_S
            assert all(peer.network.rivals() == {} for peer in peers)
            clock.now -= SEEN_S
            first.start(dials)
            await until(lambda: first.network.key_in_use_at() == ["val0", "val2"], "the first told")

    run(story())


def test_a_silent_link_gives_way_to_a_next_life(run, tmp_path: Path) -> None:
    """A machine lost its power: its old links are silent here, and it is welcome again soon. The
    end that only slept hears why its link ended."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here = world.node("val0", alive_s=0.0)
            here.start({})
            old, new = world.node("val1"), world.node("val1")
            old.start({"val0": here.port})
            await until(lambda: old.linked() == ["val0"], "the old life is linked")
            new.start({"val0": here.port})
            await until(lambda: ("key in use", "val0") in old.events, "the old one is told")

    run(story())


def test_node_fault_in_a_callback_is_not_swallowed(tmp_path: Path) -> None:
    """An OSError of the node while it handles a frame ends the TaskGroup, not just the link."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here, there = world.node("val0"), world.node("val1")

            def disk_full(_peer: object, _number: int, _payload: bytes) -> None:
                raise OSError(28, "No space left on device")

            here.frame_hook = disk_full
            here.start({})
            there.start({"val0": here.port})
            await until(lambda: there.linked() == ["val0"], "the link")
            there.network.send("val0", wire.PREPARE, b"vote")
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.Event().wait()  # the fault cancels this

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(story())
    assert raised.group_contains(OSError, match="No space left")


def test_node_fault_while_admitting_is_not_taken_for_the_peers(tmp_path: Path) -> None:
    """An OSError of the node while it judges a HELLO ends the TaskGroup too."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here, there = world.node("val0"), world.node("val1")

            def disk_gone() -> int:
                raise OSError(5, "Input/output error")

            here.height = disk_gone
            here.start({})
            there.start({"val0": here.port})
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.Event().wait()  # the fault cancels this

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(story())
    assert raised.group_contains(OSError, match="Input/output error")


def test_port_in_use_is_an_error_of_the_caller(tmp_path: Path) -> None:
    """Binding a taken port raises OSError from `listen`, before any task starts."""

    async def story() -> None:
        async with open_world(tmp_path) as world:
            here, there = world.node("val0"), world.node("val1")
            here.start({})
            with pytest.raises(OSError):
                there.start({}, port=here.port)

    asyncio.run(story())
