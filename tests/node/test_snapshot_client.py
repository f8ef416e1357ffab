"""A snapshot over real links on loopback: several givers, liars among them, a restart half-way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from consensus.view_change import Rules, Timing
from ledger import codec
from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.crypto import ZERO_HASH
from ledger.full_audit import audit_full
from ledger.kv import MemoryKV
from ledger.leveldb import LevelDB
from ledger.snapshot_import import Import
from node import snapshot_client as module
from node import snapshot_sync
from node.fetching import (
    BOUNDARIES_MAX,
    FETCH_BYTES_MAX,
    Fetch,
    FetchBoundaries,
    FetchChunk,
    FetchManifest,
    Give,
)
from node.serving import answer
from node.snapshot_client import SnapshotClient
from node.snapshot_held import HeldSnapshot
from node.snapshot_store import new_path, open_import, put_in_place
from node.snapshot_sync import Question
from node.sync import SyncPlan
from p2p.frames import encode_frame
from p2p.peer import Peer
from p2p.wire import FETCH, GIVE
from tests.ledger.chain_world import CHAIN_ID, EPOCH_BLOCKS, World, is_valid, validators
from tests.ledger.snapshot_world import begin, extend, grown, keep_ends
from tests.node.test_snapshot_sync import (
    EPOCHS,
    LIARS,
    Serve,
    honest,
    knows_nothing,
    other_chain,
    served,
    silent,
    without_snapshot,
)
from tests.p2p.harness import Node, open_world, until
from tests.p2p.harness import World as Links

HEIGHT = EPOCHS * EPOCH_BLOCKS
CLAIMED = 7
"""What every giver's HELLO says."""
DISTANCE = 5
GIVERS = ("val0", "val1", "val2")
DRIP_S = 0.02
RULES = Rules(CHAIN_ID, ZERO_HASH, validators(0), None, 1, is_valid, Timing(2_000, 60_000, 10_000))


class Pauses:
    """What the engine's own catching up is told."""

    def __init__(self) -> None:
        self.is_paused = False
        self.pruned_by: frozenset[bytes] = frozenset()

    def is_pruned(self, licensed: Collection[bytes], f: int) -> bool:
        return len(self.pruned_by.intersection(licensed)) > f

    def pause(self, *, is_paused: bool) -> None:
        self.is_paused = is_paused


class Taker:
    """A node far behind: its client on its links, its chain at height 0 on the disk."""

    def __init__(
        self,
        links: Links,
        directory: Path,
        *,
        distance: int = DISTANCE,
        plan: SyncPlan | None = None,
    ) -> None:
        self.path = directory / "chain"
        if not self.path.exists():
            kv = LevelDB.create(self.path)
            Chain.create(kv, World().genesis([(0, 0, 5)]))
            kv.close()
        self.chain = Chain.create(MemoryKV(), World().genesis([(0, 0, 5)]))
        self.node = links.node("val3")
        self.node.start({giver.name: giver.port for giver in links.nodes if giver.port})
        self.node.frame_hook = self._on_frame
        self.follower = Pauses()
        self.is_ready = False
        self.client = SnapshotClient(
            self.chain,
            self.path,
            lambda: RULES,
            self.follower if plan is None else plan,
            self.node.network,
            self._on_ready,
            distance=distance,
            key_of=str.encode,
        )
        self.task = links.group.create_task(self.client.run())

    def _on_frame(self, peer: Peer, number: int, payload: bytes) -> None:
        if number == GIVE:
            self.client.take(peer, payload)

    def _on_ready(self) -> None:
        self.is_ready = True

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.node.stop()

    def height_in_place(self) -> int:
        """After the swap."""
        put_in_place(self.path)
        kv = LevelDB.open(self.path)
        try:
            return Chain.open(kv).height
        finally:
            kv.close()


def giver(links: Links, name: str, serve: Serve) -> Node:
    """A peer that answers as `serve` says."""
    node = links.node(name)

    def on_frame(peer: Peer, number: int, payload: bytes) -> None:
        if number == FETCH:
            wanted = codec.decode(payload, Fetch, size_max=FETCH_BYTES_MAX).wanted
            assert isinstance(wanted, Question)
            found, _ = serve(wanted)
            if found is not None:
                peer.send(GIVE, codec.encode(Give(found)))

    node.frame_hook = on_frame
    node.start({})
    return node


@asynccontextmanager
async def network(directory: Path, *serves: Serve) -> AsyncIterator[Links]:
    async with open_world(directory) as links:
        for name, serve in zip(GIVERS, serves, strict=False):
            giver(links, name, serve)
        yield links


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is slow is passed over in a moment; the chains that are given from are made before."""
    served()
    served(EPOCHS - 1)
    other_chain()
    monkeypatch.setattr(snapshot_sync, "ANSWER_MS", 300)
    monkeypatch.setattr(module, "LOOK_S", 0.02)


async def test_the_state_comes_from_all_givers(tmp_path: Path) -> None:
    """Three honest ones: the snapshot is whole, each gave some, blocks were not fetched."""
    gave: set[str] = set()

    def counting(name: str) -> Serve:
        def serve(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
            if isinstance(question, FetchChunk):
                gave.add(name)
            return honest(question)

        return serve

    async with network(tmp_path, *[counting(name) for name in GIVERS]) as links:
        taker = Taker(links, tmp_path)
        await until(lambda: taker.follower.is_paused, "it rests from fetching")
        await until(lambda: taker.is_ready, "the snapshot is whole")
        await taker.stop()
    assert gave == set(GIVERS)
    assert taker.height_in_place() == HEIGHT


@pytest.mark.parametrize("liar", LIARS)
async def test_a_liar_is_named_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, liar: Serve
) -> None:
    """One of three lies: the log names it and why; it is charged for it; the state is whole."""
    caplog.set_level(logging.INFO, "marsa.snapshot")
    told: list[str] = []

    def waiting(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
        is_early = "lied" not in caplog.text and not isinstance(question, FetchBoundaries)
        return (None, 0) if is_early else honest(question)

    async with network(tmp_path, liar, waiting, waiting) as links:
        taker = Taker(links, tmp_path)
        points: list[int] = []

        def charged() -> bool:
            points[:] = [peer.stats().points for peer in taker.node.network.peers()]
            return "val0 lied" in caplog.text

        await until(charged, "the liar is named")
        told = [peer.identity for peer in taker.node.network.peers() if peer.stats().points]
        await taker.stop()
    assert told == ["val0"]
    assert "val1 lied" not in caplog.text
    assert "val2 lied" not in caplog.text


async def test_one_byte_after_the_other_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A giver that drips its chunks byte by byte is named; another, which gives none before, gives
    the whole state."""
    monkeypatch.setattr(snapshot_sync, "REST_MS", 300)
    drips: list[asyncio.Task[None]] = []

    def waiting(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
        is_early = isinstance(question, FetchChunk) and "val1 is too slow" not in caplog.text
        return (None, 0) if is_early else honest(question)

    async with network(tmp_path, waiting) as links:
        dripper = links.node("val1")

        async def drip(peer: Peer, frame: bytes) -> None:
            for byte in frame:
                peer._stream.writer.write(bytes([byte]))
                await asyncio.sleep(DRIP_S)

        def on_frame(peer: Peer, number: int, payload: bytes) -> None:
            if number != FETCH:
                return
            wanted = codec.decode(payload, Fetch, size_max=FETCH_BYTES_MAX).wanted
            assert isinstance(wanted, FetchBoundaries | FetchManifest | FetchChunk)
            found, _ = honest(wanted)
            assert found is not None
            payload = codec.encode(Give(found))
            if not isinstance(wanted, FetchChunk):
                peer.send(GIVE, payload)
            elif not drips:  # two at once would be no frames at all
                drips.append(links.group.create_task(drip(peer, encode_frame(GIVE, payload))))

        dripper.frame_hook = on_frame
        dripper.start({})
        taker = Taker(links, tmp_path)
        await until(lambda: taker.is_ready, "the snapshot is whole")
        for task in drips:
            task.cancel()
        await taker.stop()
    assert "val1 is too slow" in caplog.text
    assert taker.height_in_place() == HEIGHT


async def test_a_half_imported_snapshot_is_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Stopped after one chunk, as by kill -9; the next process asks for the others only."""
    caplog.set_level(logging.INFO, "marsa.snapshot")
    numbers: list[int] = []

    def one_chunk(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
        if isinstance(question, FetchChunk):
            numbers.append(question.number)
            return honest(question) if len(numbers) == 1 else (None, 0)
        return honest(question)

    async with network(tmp_path, one_chunk, silent) as links:
        taker = Taker(links, tmp_path)
        await until(lambda: len(numbers) > snapshot_sync.QUESTIONS_AHEAD, "one chunk came")
        await taker.stop()
    first = numbers[0]
    kv = LevelDB.open(new_path(taker.path))
    held = Import.resume(kv)
    assert held is not None
    assert first not in held.missing
    kv.close()
    again: list[int] = []

    def noting(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
        if isinstance(question, FetchChunk):
            again.append(question.number)
        return honest(question)

    async with network(tmp_path, noting, noting) as links:
        taker = Taker(links, tmp_path)
        await until(lambda: taker.is_ready, "the snapshot is whole")
        await taker.stop()
    assert first not in again
    assert "going on with" in caplog.text
    assert taker.height_in_place() == HEIGHT


def served_from(path: Path) -> tuple[Serve, LevelDB]:
    """What a node gives that holds this chain, and its store, to be closed."""
    kv = LevelDB.open(path)
    chain = Chain.open(kv)
    audit_boot(chain, is_valid)
    list(audit_full(chain, is_valid))
    held = HeldSnapshot(chain)

    def serve(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
        given = answer(question, chain, held, lambda _: None, lambda _: None)
        assert isinstance(given, snapshot_sync.Answer)
        return given, 0

    return serve, kv


async def test_an_imported_node_is_the_source_of_the_next(tmp_path: Path) -> None:
    """B imports from A, C from B alone while A is gone: B shows the whole way from genesis, and C
    holds it as well. Start and full audit accept both."""
    serve: Serve = honest
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        async with network(tmp_path / name, serve, knows_nothing) as links:
            taker = Taker(links, tmp_path / name)
            await until(lambda: taker.is_ready, f"{name} is whole")  # noqa: B023
            await taker.stop()
        assert taker.height_in_place() == HEIGHT
        serve, kv = served_from(taker.path)
        given, _ = serve(FetchBoundaries(0, BOUNDARIES_MAX))
        assert given == honest(FetchBoundaries(0, BOUNDARIES_MAX))[0]
    kv.close()


async def test_a_part_is_kept_while_the_node_is_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Started again it does not know yet that all have pruned the blocks; once it does it goes on
    with what was imported before."""
    caplog.set_level(logging.INFO, "marsa.snapshot")
    kv, _ = open_import(tmp_path / "chain")
    keep_ends(kv, served().chain, EPOCHS - 1)
    manifest = served().held.manifest(EPOCHS - 1)
    assert manifest is not None
    begin(kv, manifest)
    kv.close()
    async with network(tmp_path, honest, honest) as links:
        taker = Taker(links, tmp_path, distance=10_000)
        await until(lambda: len(taker.node.linked()) == 2, "linked")
        await until(lambda: not taker.follower.is_paused, "blocks are fetched")
        taker.follower.pruned_by = frozenset((b"val0", b"val1"))
        await until(lambda: taker.is_ready, "the snapshot is whole")
        await taker.stop()
    assert "going on with" in caplog.text
    assert taker.height_in_place() == HEIGHT


async def test_a_part_of_an_older_epoch_is_begun_anew(tmp_path: Path) -> None:
    """An epoch ended since the import was interrupted: the newer one is taken, and all ends."""
    kv, _ = open_import(tmp_path / "chain")
    older = served(EPOCHS - 1)
    keep_ends(kv, older.chain, EPOCHS - 2)
    manifest = older.held.manifest(EPOCHS - 2)
    assert manifest is not None
    begin(kv, manifest)
    kv.close()
    async with network(tmp_path, honest, honest) as links:
        taker = Taker(links, tmp_path)
        await until(lambda: taker.is_ready, "the snapshot is whole")
        await taker.stop()
    assert taker.height_in_place() == HEIGHT
    _, kv = served_from(taker.path)
    kv.close()


async def test_where_nobody_has_one_blocks_are_fetched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt is over, says why, and the engine's own catching up goes on."""
    async with network(tmp_path, without_snapshot, without_snapshot) as links:
        taker = Taker(links, tmp_path)
        await until(lambda: "nobody has it" in caplog.text, "the attempt is over")
        await until(lambda: not taker.follower.is_paused, "blocks are fetched")
        await taker.stop()


async def test_after_a_restart_of_all_the_next_end_of_an_epoch_lets_it_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All peers were started inside an epoch and hold nothing; blocks without transactions end it,
    and the node that waits takes the snapshot of that end."""
    monkeypatch.setattr(module, "RETRY_S", 0.1)
    world, chain = grown(MemoryKV(), seed=7, outputs=1_500, epochs=2)
    extend(chain, world, Random(1), 1)
    held = HeldSnapshot(chain)

    def serve(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
        given = answer(question, chain, held, lambda _: None, lambda _: None)
        assert isinstance(given, snapshot_sync.Answer)
        return given, 0

    async with network(tmp_path, serve, serve) as links:
        taker = Taker(links, tmp_path)
        await until(lambda: "nobody has it" in caplog.text, "the first attempt is in vain")
        assert not taker.is_ready
        extend(chain, world, Random(2), EPOCH_BLOCKS - 1, transfers=0)
        held.renew()
        await until(lambda: taker.is_ready, "the snapshot is whole")
        await taker.stop()
    assert taker.height_in_place() == chain.height == 3 * EPOCH_BLOCKS


async def test_one_that_claims_a_great_height_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Height up: one of three claims a thousand million. It is named, nothing is asked."""
    asked: list[Question] = []

    def noting(question: Question) -> tuple[snapshot_sync.Answer | None, int]:
        asked.append(question)
        return honest(question)

    async with network(tmp_path, noting, noting) as links:
        liar = links.node("val2")
        monkeypatch.setattr(liar, "height", lambda: 10**9)
        liar.start({})
        taker = Taker(links, tmp_path, distance=CLAIMED + 1)
        await until(lambda: "val2 alone claims height 1000000000" in caplog.text, "named")
        await until(lambda: not taker.follower.is_paused, "blocks are fetched")
        await taker.stop()
    assert asked == []


async def test_the_height_that_is_aimed_at_is_told_meanwhile(tmp_path: Path) -> None:
    """While an attempt is under way, for status: what f + 1 peers claim; before and after, 0."""
    async with network(tmp_path, silent, silent) as links:
        taker = Taker(links, tmp_path)
        assert taker.client.target_height == 0
        await until(lambda: taker.client.target_height == CLAIMED, "an attempt is under way")
        await taker.stop()
        assert taker.client.target_height == 0


async def test_a_snapshot_is_taken_where_all_have_pruned_the_blocks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Far less behind than the distance; the log says why. Not before peers enough say so."""
    async with network(tmp_path, honest, honest) as links:
        taker = Taker(links, tmp_path, distance=10_000)
        await until(lambda: len(taker.node.linked()) == 2, "linked")
        await until(lambda: not taker.follower.is_paused, "blocks are fetched")
        taker.follower.pruned_by = frozenset((b"val0", b"val1"))
        await until(lambda: taker.is_ready, "the snapshot is whole")
        await taker.stop()
    assert "all peers have pruned the blocks after height 0" in caplog.text
    assert taker.height_in_place() == HEIGHT


async def test_who_wants_every_block_is_told_that_nobody_has_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With distance 0 no snapshot is taken; the log names the option, once."""
    async with network(tmp_path, honest, honest) as links:
        taker = Taker(links, tmp_path, distance=0)
        taker.follower.pruned_by = frozenset((b"val0", b"val1"))
        await until(lambda: "sync.snapshot_distance = 0 forbids" in caplog.text, "told")
        assert not taker.follower.is_paused
        await taker.stop()
    assert caplog.text.count("forbids") == 1


async def test_never_means_never(tmp_path: Path) -> None:
    """With distance 0 not even the first look holds up the fetching of blocks."""
    async with network(tmp_path, honest, honest) as links:
        taker = Taker(links, tmp_path, distance=0)
        await until(lambda: len(taker.node.linked()) == 2, "linked")
        assert not taker.follower.is_paused
        await taker.stop()


class Line:
    """A link as the client sees it."""

    def __init__(self, name: str) -> None:
        self.identity = name
        self.link_key = name.encode()
        self.height = CLAIMED


class Lines:
    """Links that answer nothing, and what was sent over each."""

    def __init__(self, *names: str) -> None:
        self.by_name = {name: Line(name) for name in names}
        self.sent: list[tuple[Line, Question]] = []

    def peers(self) -> Collection[Line]:
        return list(self.by_name.values())

    def send(self, identity: str, number: int, payload: bytes) -> bool:
        assert number == FETCH
        wanted = codec.decode(payload, Fetch, size_max=FETCH_BYTES_MAX).wanted
        assert isinstance(wanted, Question)
        self.sent.append((self.by_name[identity], wanted))
        return True


async def test_what_was_asked_over_a_replaced_link_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not when the time for an answer is over."""
    monkeypatch.setattr(snapshot_sync, "ANSWER_MS", 3_600_000)
    lines = Lines(*GIVERS)
    client = SnapshotClient(
        Chain.create(MemoryKV(), World().genesis([(0, 0, 5)])),
        tmp_path / "chain",
        lambda: RULES,
        Pauses(),
        lines,
        lambda: None,
        distance=DISTANCE,
        key_of=str.encode,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.run())
        await until(lambda: bool(lines.sent), "the end of an epoch is asked for")
        (asked, question), *others = lines.sent
        assert others == []
        lines.by_name[asked.identity] = Line(asked.identity)
        await until(lambda: len(lines.sent) > 1, "it is asked for again")
        task.cancel()
    again, same = lines.sent[1]
    assert again is not asked
    assert same == question
