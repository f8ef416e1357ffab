"""The engine's shell: what peers push is admitted, looked at again if refused, and bounded."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from hashlib import sha256
from types import SimpleNamespace

import pytest

from consensus.effects import Now
from consensus.messages import Prepare, make_vote
from consensus.view_change import Rules
from ledger import codec
from ledger.block import COMMIT, PREPARE, Certificate, IsValid, VotePayload, vote_hash
from ledger.chain import Chain
from ledger.codec import encode_payload
from ledger.crypto import verify
from ledger.execution import FREE_PER_IDENTITY_MAX
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.mempool import Mempool
from ledger.reasons import Invalid, Reason
from ledger.reserve_history import ReserveHistory
from ledger.transaction import SignedTransaction
from ledger.witnesses import Witnesses
from node import driver as module
from node import inbox
from node.directory import Directory
from node.driver import BEHIND_BLOCKS, FOLLOWER_STATUS_MS, Driver, read_clocks
from node.engine import Engine, FinalizedBlock
from node.fetching import Fetch, FetchChunk, FetchRange, Give, GiveChunk
from node.inbox import INBOX_ITEM_BYTES
from node.intake import Intake
from node.outbox import NetworkOutbox
from node.signing import LocalKey
from node.verify import TOGETHER_MIN, Verifier
from node.verify_workers import running
from node.vote_guard import OTHER_PROCESS, Permission, VoteGuard
from p2p.gossip import BATCH_TRANSACTIONS_MAX, Batch
from p2p.wire import FETCH, GIVE, STATUS, TXS
from tests.ledger.test_mempool import evidence, free
from tests.ledger.world import World, key

DEADLINE_S = 5.0
PEER = SimpleNamespace(identity="val1", may_consensus=True)
FOLLOWER = SimpleNamespace(identity="observer:1", may_consensus=False)


class Shell:
    """One validator without links that follows: its vote log is missing."""

    def __init__(self, is_valid: IsValid = verify) -> None:
        self.world = World()
        genesis = self.world.genesis
        validators = genesis.validators
        store = MemoryKV()
        chain = Chain.create(store, genesis_state(genesis))
        directory = Directory(chain)
        self.mempool, verifier = Mempool(), Verifier(is_valid)
        self.verifier = verifier
        rules = Rules.of(chain.head.header, validators, genesis.parameters, verify)
        engine = Engine(
            rules=rules,
            chain=chain,
            mempool=self.mempool,
            verifier=verifier,
            guard=VoteGuard(
                LocalKey(key("val0/consensus"), rules.chain_id),
                rules,
                None,
                new_log=pytest.fail,
                why="no log",
            ),
            outbox=NetworkOutbox(directory),
            witnesses=Witnesses(store),
            now=read_clocks(),
        )
        intake = Intake(chain, self.mempool, verifier, genesis.parameters.fees)
        self.driver = Driver(engine, intake, self.mempool, directory, ReserveHistory(MemoryKV()))

    def push(self, raws: Sequence[bytes], peer: SimpleNamespace = PEER) -> None:
        """What the reader of a link does with a TXS."""
        self.driver.on_frame(peer, TXS, encode_payload(Batch(tuple(raws))))

    async def admit_pushed(self) -> None:
        """Run the service until the inbox is empty."""
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            service = group.create_task(self.driver.run_inbox())
            while len(self.driver._inbox):  # noqa: ASYNC110 - the service is what is tested
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            service.cancel()

    def is_waiting(self, tx: SignedTransaction) -> bool:
        return self.mempool.get(tx.txid) is not None


@pytest.fixture
def shell() -> Shell:
    return Shell()


async def test_what_was_refused_is_looked_at_again(shell: Shell) -> None:
    """A rival is refused while another waits; once that one is gone, a second push gets in."""
    first = shell.world.transfer("alice", "bob", 1_000)
    second = shell.world.transfer("alice", "bob", 2_000)
    shell.push([first.raw])
    await shell.admit_pushed()
    shell.push([second.raw])
    await shell.admit_pushed()
    assert shell.is_waiting(first)
    assert not shell.is_waiting(second)
    shell.mempool.reject(first, Invalid(Reason.EXPIRED))
    shell.push([second.raw])
    await shell.admit_pushed()
    assert shell.is_waiting(second)


@pytest.mark.parametrize("by", ["block", "building"])
async def test_what_the_pool_dropped_is_looked_at_again(shell: Shell, by: str) -> None:
    """A waiting mint that the state refuses, after a block or in building one, leaves the pool;
    pushed again when the state has moved, it gets in."""

    def refuse(tx: SignedTransaction) -> None:
        raise Invalid(Reason.ABOVE_HEADROOM)

    mint = shell.world.mint(amount=5)
    shell.push([mint.raw])
    await shell.admit_pushed()
    assert shell.is_waiting(mint)
    if by == "block":
        shell.mempool.drop_refused(refuse)
    else:
        shell.mempool.reject(mint, Invalid(Reason.ABOVE_HEADROOM))
    assert not shell.is_waiting(mint)
    shell.push([mint.raw])
    await shell.admit_pushed()
    assert shell.is_waiting(mint)


@pytest.mark.parametrize("want", ["quota", "disk"])
async def test_an_accusation_without_room_is_offered_after_the_next_block(
    shell: Shell, want: str
) -> None:
    """Two votes are found once. Where the quota of evidence or the disk is full, what accuses by
    them waits, and gets in after the first block that leaves room; no turn in between asks."""
    tx = shell.world.accuse("val1")
    crowd = [free(evidence("val1"), evidence(f"other{n}")) for n in range(FREE_PER_IDENTITY_MAX)]
    if want == "quota":
        for held in crowd:
            shell.mempool.add(held, check=lambda _: None, now_ms=0)
    else:
        shell.driver.accepts_transactions = False
    shell.driver.engine.accountability.accusations.append(tx)
    shell.driver._after_engine()
    assert not shell.is_waiting(tx)
    shell.driver.accepts_transactions = True
    shell.mempool.drop_committed(1, crowd)
    shell.driver._after_engine()
    assert not shell.is_waiting(tx)
    header = shell.driver.engine.chain.head.header
    certificate = Certificate(0, COMMIT, 0, 0, bytes(32), 0, ())
    shell.driver.engine.finalized.append(FinalizedBlock(header, certificate, [], {}))
    shell.driver._after_engine()
    assert shell.is_waiting(tx)


async def test_low_disk_space_leaves_no_memory(shell: Shell) -> None:
    """Pushed while the disk is nearly full: refused; pushed again with room: admitted."""
    tx = shell.world.transfer("alice", "bob", 1_000)
    shell.driver.accepts_transactions = False
    shell.push([tx.raw])
    await shell.admit_pushed()
    assert not shell.is_waiting(tx)
    (result,) = await shell.driver.submit([tx.raw])
    assert result.refusal is not None
    assert result.refusal.reason is Reason.LOW_DISK_SPACE
    shell.driver.accepts_transactions = True
    shell.push([tx.raw])
    await shell.admit_pushed()
    assert shell.is_waiting(tx)


async def test_a_second_copy_of_a_client_is_no_refusal(shell: Shell) -> None:
    """The same bytes twice: new, then known with the same txid."""
    tx = shell.world.transfer("alice", "bob", 1_000)
    (first,) = await shell.driver.submit([tx.raw])
    (again,) = await shell.driver.submit([tx.raw])
    assert (first.is_new, first.txid, first.refusal) == (True, tx.txid, None)
    assert (again.is_new, again.txid, again.refusal) == (False, tx.txid, None)


async def test_the_inbox_is_bounded_also_for_tiny_transactions(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of one byte each up to the limit are kept, the next is dropped and counted, and
    when the service has looked at them there is room again."""
    batch = [bytes((1 + index % 255,)) for index in range(BATCH_TRANSACTIONS_MAX)]
    cost = BATCH_TRANSACTIONS_MAX * (1 + INBOX_ITEM_BYTES)
    monkeypatch.setattr(inbox, "INBOX_BYTES_MAX", 3 * cost)
    for _ in range(3):
        shell.push(batch)
    assert shell.driver.dropped_bytes == 0
    shell.push([b"x"])
    assert shell.driver.dropped_bytes > 0
    await shell.admit_pushed()
    before = shell.driver.dropped_bytes
    shell.push(batch)
    assert shell.driver.dropped_bytes == before


def test_a_flood_of_questions_is_answered_in_part(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer takes a second by the test's clock: of a hundred questions one is answered."""
    asked: list[bytes] = []
    seconds = itertools.count()
    clocks = SimpleNamespace(
        monotonic=lambda: 50.0,
        thread_time=lambda: float(next(seconds)),
        monotonic_ns=time.monotonic_ns,
        time_ns=time.time_ns,
    )
    monkeypatch.setattr(module, "time", clocks)
    monkeypatch.setattr(shell.driver.engine, "receive", lambda sender, *_: asked.append(sender))
    question = codec.encode(Fetch(FetchRange(1, 1 << 40)))
    members = shell.world.genesis.validators.members
    names = [member.licence for member in members]
    for _ in range(100):
        shell.driver.on_frame(SimpleNamespace(identity=names[1]), FETCH, question)
    assert asked == [members[1].key]
    shell.driver.on_frame(SimpleNamespace(identity=names[2]), FETCH, question)
    assert asked == [members[1].key, members[2].key]


async def test_a_node_far_behind_takes_nothing_from_peers(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks that it lacks bring it. At the limit, and once it has caught up, it does; while it
    takes a snapshot it does not. What a client of its own brings it takes always."""
    pushed = shell.world.transfer("alice", "bob", 1_000)
    state = shell.driver.engine.replica.state
    state.known_height = BEHIND_BLOCKS + 1
    shell.push([pushed.raw])
    assert shell.driver.dropped_bytes > len(pushed.raw)
    own = shell.world.transfer("bob", "alice", 1_000)
    await shell.driver.submit([own.raw])
    assert shell.is_waiting(own)
    state.known_height = BEHIND_BLOCKS
    monkeypatch.setattr(shell.driver, "snapshots", SimpleNamespace(target_height=1))
    shell.push([pushed.raw])
    await shell.admit_pushed()
    assert not shell.is_waiting(pushed)
    monkeypatch.setattr(shell.driver, "snapshots", SimpleNamespace(target_height=0))
    shell.push([pushed.raw])
    await shell.admit_pushed()
    assert shell.is_waiting(pushed)


async def test_chunks_of_snapshots_wait_for_their_turn(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not made while the frame is read, but by the service, and then go to who asked."""
    given: list[tuple[str, int, bytes]] = []
    network = SimpleNamespace(send=lambda *sent: given.append(sent))
    monkeypatch.setattr(shell.driver, "network", network)
    question = codec.encode(Fetch(FetchChunk(3, 5)))
    name = shell.world.genesis.validators.members[1].licence
    shell.driver.on_frame(SimpleNamespace(identity=name), FETCH, question)
    assert not given
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        service = group.create_task(shell.driver.serving.run())
        while not given:  # noqa: ASYNC110 - the service is what is tested
            await asyncio.sleep(0)
        service.cancel()
    assert given == [(name, GIVE, codec.encode(Give(GiveChunk(3, 5, b""))))]


class Rumour:
    """A network without links, whose peers say that this key is linked already."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.pushed: list[bytes] = []
        self.charged: list[str] = []

    def penalise(self, identity: str, why: str) -> None:
        self.charged.append(f"{identity}: {why}")

    def key_in_use_at(self) -> Sequence[str]:
        return self.names

    def broadcast(self, number: int, payload: bytes) -> int:
        return 0

    def send(self, identity: str, number: int, payload: bytes) -> bool:
        return False

    def linked(self) -> list[str]:
        return []

    def push(self, number: int, payload: bytes) -> int:
        self.pushed.append(payload)
        return 0


async def test_what_a_follower_brings_is_pushed_on(shell: Shell) -> None:
    """What a validator pushed has reached all; a follower may have reached this node only."""
    first, second = (shell.world.transfer(name, "carol", 1_000) for name in ("alice", "bob"))
    shell.driver.network = network = Rumour([])
    shell.push([first.raw])
    await shell.admit_pushed()
    assert network.pushed == []
    shell.push([first.raw, second.raw], FOLLOWER)
    await shell.admit_pushed()
    assert network.pushed == [encode_payload(Batch((second.raw,)))]
    assert shell.is_waiting(second)


async def test_followers_hear_of_blocks_soon(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """One STATUS to each that gets no votes, and not again before its time; validators hear
    enough, and an observer tells nobody."""
    now_ms = [1_000]
    monkeypatch.setattr(module, "read_clocks", lambda: Now(now_ms[0], 1_000))
    sent: list[tuple[str, int]] = []

    def link(name: str, may_consensus: bool) -> SimpleNamespace:
        return SimpleNamespace(
            may_consensus=may_consensus, send=lambda number, _: sent.append((name, number))
        )

    peers = [link("observer:1", False), link("observer:2", False), link("val1", True)]
    network = SimpleNamespace(is_observer=False, peers=lambda: peers)
    shell.driver.network = network
    both = [("observer:1", STATUS), ("observer:2", STATUS)]
    for wait_ms, expected in ((0, both), (FOLLOWER_STATUS_MS - 1, []), (1, both)):
        now_ms[0] += wait_ms
        shell.driver._tell_followers()
        assert sent == expected
        sent.clear()
    now_ms[0] += FOLLOWER_STATUS_MS
    network.is_observer = True
    shell.driver._tell_followers()
    assert sent == []


async def test_f_plus_one_are_believed_that_the_key_runs_elsewhere(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    """One member may lie, and who is no validator says nothing; two members end the voting, with
    a line in the log that names them and the command."""
    guard = shell.driver.engine.guard
    guard.permission = Permission.ALLOWED
    names = [member.licence for member in shell.world.genesis.validators.members]
    for telling in ([], names[1:2], [names[1], "stranger"]):
        shell.driver.network = Rumour(telling)
        shell.driver.on_key_in_use()
        assert guard.permission is Permission.ALLOWED
    shell.driver.network = Rumour(names[1:3])
    shell.driver.on_key_in_use()
    assert guard.permission is Permission.FOLLOWING
    assert f"{', '.join(sorted(names[1:3]))} refused this one" in caplog.text
    assert OTHER_PROCESS in caplog.text
    assert "marsa node recover" in caplog.text


async def test_a_false_proof_costs_its_sender_points(shell: Shell) -> None:
    """A vote whose signature does not hold is charged to the link of its member, each time; a good
    one to nobody."""
    engine = shell.driver.engine
    shell.driver.network = network = Rumour([])
    payload = VotePayload(0, PREPARE, 0, 1, b"\x07" * 32)
    message = vote_hash(engine.chain.chain_id, payload)
    by_name = {member.licence: index for index, member in enumerate(engine.validators.members)}
    signatures = {"val1": bytes(64), "val2": key("val2/consensus").sign(message)}
    for name, signature in signatures.items():
        vote = codec.encode(make_vote(payload, by_name[name], signature))
        peer = SimpleNamespace(identity=name, may_consensus=True)
        shell.driver.on_frame(peer, Prepare.TYPE, vote)
        shell.driver.on_frame(peer, Prepare.TYPE, vote)
    assert network.charged == ["val1: false proof"] * 2
    engine.accountability.liars.append(b"\xc3" * 32)  # a key that was replaced in the same turn
    shell.driver.tick()
    assert len(network.charged) == 2


async def test_the_clock_is_judged_by_the_newest_block(
    shell: Shell, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Genesis from the future: a warning, one line; the clock set right: none, and one line."""
    chain = shell.driver.engine.chain
    for hours, warns in ((-1, True), (-1, True), (0, False), (0, False)):
        wall_ms = chain.head.header.time_ms + hours * 3_600_000
        monkeypatch.setattr(module, "read_clocks", lambda wall_ms=wall_ms: Now(0, wall_ms))
        shell.driver._look_at_clock()
        assert bool(shell.driver.clock_warning()) is warns
    assert [record.message[:40] for record in caplog.records] == [
        "the clock of this machine is 3600 s behi",
        "the clock of this machine agrees with th",
    ]


async def test_the_first_that_waits_beside_those_in_flight_wakes_the_engine(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three, one is in flight: the second is the first that waits, the third is no news."""
    ticks: list[Now] = []
    engine, world = shell.driver.engine, shell.world
    monkeypatch.setattr(engine, "tick", ticks.append)
    monkeypatch.setattr(engine.executor, "in_flight_count", lambda: 1)
    for expected, owner, issuer in ((1, "alice", "val0"), (2, "bob", "val0"), (2, "bob", "val1")):
        tx = world.transfer(owner, "dave", 1, coin=world.coin(owner, issuer))
        assert shell.driver._admit_one(tx.raw, sha256(tx.raw).digest(), None).is_new
        assert len(ticks) == expected


async def test_a_node_that_rested_asks_at_once(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim came while no blocks were fetched: what it is a reason for does not wait for another,
    which comes a second later."""
    asked: list[bytes] = []
    monkeypatch.setattr(
        NetworkOutbox,
        "send",
        lambda self, to, number, payload: asked.append(to) if number == FETCH else None,
    )
    peer = shell.world.validators.members[1].key
    shell.driver.pause(is_paused=True)
    shell.driver.engine.sync.hear_claim(peer)
    shell.driver.tick()
    assert not asked
    shell.driver.pause(is_paused=False)
    assert asked == [peer]


async def test_a_block_that_becomes_final_is_told_and_sampled(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changed is held for listeners, how issuers stand for charts: at once for the first
    block, for others after a pause, so that catching up writes no sample a block."""
    driver, header = shell.driver, shell.driver.engine.chain.head.header
    certificate = Certificate(0, COMMIT, 0, 0, bytes(32), 0, ())

    def finish() -> int:
        driver.engine.finalized.append(FinalizedBlock(header, certificate, [], {b"\x20": b"x"}))
        driver._after_engine()
        return len(driver.history)

    assert finish() == 1
    assert finish() == 1
    driver.history = ReserveHistory(MemoryKV())
    assert finish() == 0
    monkeypatch.setattr(module, "SAMPLE_PAUSE_MS", 0)
    assert finish() == 1
    assert driver.events.first_recent == driver.height() + 1 - 4


async def test_free_cores_verify_what_comes_in_numbers() -> None:
    """All but one of these rivals are refused as such, with no verification here but of the bad
    signature: that the node says itself. A single one is not worth the way."""
    seen: list[bytes] = []

    def counting(key: bytes, message: bytes, signature: bytes) -> bool:
        seen.append(key)
        return verify(key, message, signature)

    shell = Shell(counting)
    txs = [shell.world.transfer("alice", "bob", 1 + number) for number in range(TOGETHER_MIN + 1)]
    signature = txs[3].witness.signatures[0].signature
    bad = txs[3].raw.replace(signature, signature[:32] + bytes(32))
    raws = [bad if tx is txs[3] else tx.raw for tx in txs]
    async with asyncio.timeout(DEADLINE_S), running(shell.verifier, 1) as workers:
        shell.driver.workers = workers
        results = await shell.driver.submit(raws)
        assert len(seen) == 1
        await shell.driver.submit([shell.world.transfer("alice", "bob", 999).raw])
        assert len(seen) == 2
    reasons = [None if item.refusal is None else item.refusal.reason for item in results]
    expected = [None, *[Reason.DOUBLE_SPEND] * TOGETHER_MIN]
    expected[3] = Reason.BAD_SIGNATURE
    assert reasons == expected
