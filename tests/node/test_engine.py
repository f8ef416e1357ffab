"""The engine beside the simulator: what it refuses and serves, and the order of its effects."""

from __future__ import annotations

import msgspec
import pytest

from consensus.effects import Now
from consensus.messages import Prepare, PrePrepare, Status
from consensus.normal_case import CATCH_UP_PATIENCE_MS
from consensus.replica_state import START_WAIT_MS, ReplicaBroken
from ledger import codec
from ledger.block import COMMIT, PREPARE, Block, header_hash
from ledger.chain import Chain
from ledger.execution import Execution
from ledger.kv import MemoryKV
from ledger.mempool import Mempool
from ledger.reasons import Invalid
from ledger.transaction import SignedTransaction
from ledger.view import Changes
from ledger.witnesses import Witnesses
from node.bodies import GRACE_MS
from node.building import BUSY_INTERVAL_MS
from node.engine import Engine
from node.fetching import (
    Fetch,
    FetchBody,
    FetchRange,
    FetchTransactions,
    FinalBlock,
    Give,
    GiveBody,
    GiveRange,
    GiveTransactions,
)
from node.intake import Intake
from node.signing import LocalKey
from node.verify import Verifier
from node.vote_guard import Permission, VoteGuard
from node.wal import INSTANCE_ID_BYTES, WriteAheadLog
from tests.consensus.kit import Kit
from tests.sim.clients import Clients
from tests.sim.reference import Reference
from tests.sim.storage import MemoryLogFile

KIT = Kit(4)
MEMBER = 1
KEYS = [member.key for member in KIT.world.validators.members]


class Bench:
    """One engine whose peers are written by the test."""

    def __init__(self, member: int = MEMBER) -> None:
        self.events: list[str] = []
        self.sent: list[tuple[int | None, int, bytes]] = []
        self.clock_ms = 1_000
        events = self.events

        class Log(MemoryLogFile):
            def sync(self) -> None:
                super().sync()
                events.append("sync")

        class Store(MemoryKV):
            def write(self, puts, deletes) -> None:  # type: ignore[no-untyped-def]
                super().write(puts, deletes)
                events.append("append")

        self.file = Log()
        log = WriteAheadLog.create(self.file, bytes(INSTANCE_ID_BYTES))
        store = Store()
        self.chain = Chain.create(store, KIT.world.changes)
        self.mempool = Mempool()
        verifier = Verifier(KIT.world.is_valid)
        rules = KIT.world.rules(verifier.is_valid)
        key = LocalKey(KIT.world.member_key(member), rules.chain_id)
        self.guard = VoteGuard(key, rules, log, new_log=pytest.fail)
        self.engine = Engine(
            rules=rules,
            chain=self.chain,
            mempool=self.mempool,
            verifier=verifier,
            guard=self.guard,
            outbox=self,
            witnesses=Witnesses(store),
            now=self.now,
        )
        fees = KIT.world.genesis.parameters.fees
        self.intake = Intake(self.chain, self.mempool, verifier, fees)
        self.engine.connected(frozenset(KEYS), self.now)
        for other in {0, 1, 2, 3} - {member}:
            self.hear(other, KIT.status())
        self.engine.tick(self.now)
        self.events.clear()
        self.sent.clear()

    @property
    def now(self) -> Now:
        return Now(self.clock_ms, KIT.genesis.time_ms + self.clock_ms)

    def pass_ms(self, milliseconds: int) -> None:
        self.clock_ms += milliseconds
        self.engine.tick(self.now)

    def send(self, to: bytes | None, number: int, payload: bytes) -> None:
        self.sent.append((None if to is None else KEYS.index(to), number, payload))
        self.events.append(f"send {number}")

    def hear(self, sender: int, message) -> None:  # type: ignore[no-untyped-def]
        self.engine.receive(KEYS[sender], message.TYPE, codec.encode(message), self.now)

    def given(self) -> list[object]:
        found = [item for item in self.sent if item[1] == Give.TYPE]
        return [codec.decode(item[2], Give, size_max=1 << 21).given for item in found]

    def block(self, *, proposer: int = 0, txs=()) -> tuple[Block, Changes]:  # type: ignore[no-untyped-def]
        key = KIT.world.validators.members[proposer].key
        execution = Execution(self.chain, time_ms=self.now.wall_ms, proposer=key)
        for tx in txs:
            execution.add(tx)
        changes = execution.finish()
        return Block(changes.head.header, tuple(tx.raw for tx in txs)), changes

    def decide(self, block: Block, leaves: tuple[bytes, ...] = ()) -> None:
        vote = KIT.vote(0, PREPARE, block.header)
        self.hear(0, PrePrepare(0, block.header, leaves, vote.signature))
        self.hear(2, KIT.vote(2, PREPARE, block.header))
        for member in (0, 2):
            self.hear(member, KIT.vote(member, COMMIT, block.header))


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    assert made.guard.permission is Permission.ALLOWED
    return made


def payment() -> SignedTransaction:
    clients = Clients(KIT.world, Reference(KIT.world), seed=1)
    for _ in range(20):
        for tx in clients.make(0, cheat=False):
            if tx.body.inputs:
                return tx
    raise LookupError("no payment in twenty")


def test_persist_sign_send_append(bench: Bench) -> None:
    """The order of effects of a whole block: no vote leaves before its record is on the disk."""
    block, _ = bench.block()
    bench.decide(block)
    assert bench.events == ["sync", "send 21", "sync", "send 22", "append"]
    assert bench.chain.height == 1
    assert [item.header for item in bench.engine.finalized] == [block.header]


@pytest.mark.parametrize(
    ("number", "payload"),
    [
        (99, b""),
        (20, b""),
        (21, b"\xc0"),
        (26, bytes(100)),
        (30, b"\x90"),
        (31, codec.encode(KIT.status())),
        (21, codec.encode(KIT.vote(2, COMMIT, KIT.header()))),
    ],
)
def test_what_is_no_message_is_its_senders_fault(bench: Bench, number: int, payload: bytes) -> None:
    """Invalid, and nothing has changed."""
    with pytest.raises(Invalid):
        bench.engine.receive(2, number, payload, bench.now)
    assert (bench.sent, bench.chain.height) == ([], 0)


def test_missing_transactions_are_fetched_from_the_primary(bench: Bench) -> None:
    """Not before the grace is over; their GIVE completes the block, which is then prepared."""
    tx = payment()
    block, _ = bench.block(txs=[tx])
    vote = KIT.vote(0, PREPARE, block.header)
    bench.hear(0, PrePrepare(0, block.header, (tx.wtxid,), vote.signature))
    assert bench.sent == []
    assert bench.engine.waits_for_transactions
    bench.clock_ms += GRACE_MS
    bench.engine.tick(bench.now)
    wanted = FetchTransactions(header_hash(block.header), (tx.wtxid,))
    assert bench.sent == [(0, Fetch.TYPE, codec.encode(Fetch(wanted)))]
    bench.hear(3, Give(GiveTransactions(header_hash(block.header), (tx.raw,))))
    assert [number for _, number, _ in bench.sent] == [Fetch.TYPE, Prepare.TYPE]


def test_a_block_with_a_wrong_root_is_not_voted_for(bench: Bench) -> None:
    """Executed before the vote: its primary signed it and is suspected."""
    block, _ = bench.block()
    wrong = msgspec.structs.replace(block.header, state_root=bytes(32))
    vote = KIT.vote(0, PREPARE, wrong)
    bench.hear(0, PrePrepare(0, wrong, (), vote.signature))
    assert bench.engine.replica.state.bad_primary
    assert Prepare.TYPE not in [number for _, number, _ in bench.sent]


def test_what_is_asked_for_is_served(bench: Bench) -> None:
    """Transactions of the pool, a block in flight, a final block, a range; nothing for nothing."""
    tx = payment()
    bench.intake.admit(tx, bench.now)
    bench.hear(3, Fetch(FetchTransactions(bytes(32), (tx.wtxid, bytes(32)))))
    assert bench.given() == [GiveTransactions(bytes(32), (tx.raw,))]
    block, _ = bench.block(txs=[tx])
    block_hash = header_hash(block.header)
    vote = KIT.vote(0, PREPARE, block.header)
    bench.hear(0, PrePrepare(0, block.header, (tx.wtxid,), vote.signature))
    bench.hear(3, Fetch(FetchBody(block_hash)))
    assert bench.given()[1:] == [GiveBody(block)]
    bench.decide(block, (tx.wtxid,))
    assert (bench.chain.height, len(bench.mempool)) == (1, 0)
    bench.hear(3, Fetch(FetchBody(block_hash)))
    bench.hear(3, Fetch(FetchRange(1, 50)))
    certificate = bench.chain.certificate(1)
    assert certificate is not None
    assert bench.given()[2:] == [GiveBody(block), GiveRange((FinalBlock(block, certificate),))]
    bench.hear(3, Fetch(FetchRange(2, 50)))
    bench.hear(3, Fetch(FetchBody(bytes(32))))
    assert len(bench.given()) == 4


def test_blocks_of_a_catch_up_are_proved_executed_and_appended(bench: Bench) -> None:
    """A STATUS shows a later block; its range is asked for; a wrong body is refused."""
    block, _ = bench.block()
    certificate = KIT.certificate(COMMIT, block.header, signers=(0, 2, 3))
    bench.hear(3, KIT.status(height=1, certificate=(certificate,)))
    assert bench.engine.heights == {KEYS[0]: 0, KEYS[2]: 0, KEYS[3]: 1}
    bench.pass_ms(CATCH_UP_PATIENCE_MS)
    asked = [(to, payload) for to, number, payload in bench.sent if number == Fetch.TYPE]
    ((giver, payload),) = asked
    assert payload == codec.encode(Fetch(FetchRange(1, 1)))
    assert giver is not None
    bad = FinalBlock(Block(block.header, (payment().raw,)), certificate)
    with pytest.raises(Invalid, match="tx root"):
        bench.hear(giver, Give(GiveRange((bad,))))
    assert bench.chain.height == 0
    others = [to for to, number, _ in bench.sent if number == Fetch.TYPE]
    assert others[-1] not in (None, giver)
    bench.hear(others[-1], Give(GiveRange((FinalBlock(block, certificate),))))
    assert bench.chain.height == 1
    assert bench.engine.replica.state.height == 1


def test_a_range_is_executed_while_the_next_is_on_its_way(bench: Bench) -> None:
    """It is asked for before the first block of the one that came is written."""
    block, _ = bench.block()
    above = msgspec.structs.replace(block.header, height=2, parent_hash=header_hash(block.header))
    proof = KIT.certificate(COMMIT, above, signers=(0, 2, 3))
    bench.hear(3, KIT.status(height=2, certificate=(proof,)))
    bench.pass_ms(CATCH_UP_PATIENCE_MS)
    certificate = KIT.certificate(COMMIT, block.header, signers=(0, 2, 3))
    (giver,) = [to for to, number, _ in bench.sent if number == Fetch.TYPE]
    assert giver is not None
    bench.events.clear()
    bench.hear(giver, Give(GiveRange((FinalBlock(block, certificate),))))
    assert bench.sent[-1] == (giver, Fetch.TYPE, codec.encode(Fetch(FetchRange(2, 2))))
    assert bench.events == [f"send {Fetch.TYPE}", "append"]


def test_a_final_block_that_fails_here_stops_the_node(bench: Bench) -> None:
    """A quorum certified a state root that differs from ours: asking others would not help."""
    good, _ = bench.block()
    header = msgspec.structs.replace(good.header, state_root=bytes(32))
    certificate = KIT.certificate(COMMIT, header, signers=(0, 2, 3))
    bench.hear(3, KIT.status(height=1, certificate=(certificate,)))
    bench.pass_ms(CATCH_UP_PATIENCE_MS)
    (giver,) = [to for to, number, _ in bench.sent if number == Fetch.TYPE]
    assert giver is not None
    with pytest.raises(ReplicaBroken, match="final block 1"):
        bench.hear(giver, Give(GiveRange((FinalBlock(Block(header, ()), certificate),))))
    assert bench.chain.height == 0


def test_one_line_of_evidence_a_height(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A member that votes for fifty blocks at one height is named once in the log."""
    block, _ = bench.block()
    for number in range(50):
        rival = msgspec.structs.replace(block.header, time_ms=block.header.time_ms + number)
        bench.hear(2, KIT.vote(2, PREPARE, rival))
    lines = [record for record in caplog.records if record.getMessage().startswith("evidence")]
    assert len(lines) == 1
    assert KIT.world.validators.members[2].licence in lines[0].getMessage()


def test_it_sleeps_when_nothing_is_to_be_done(bench: Bench) -> None:
    """After every tick the next deadline lies ahead, whatever was asked and not answered."""
    block, _ = bench.block(txs=[payment()])
    vote = KIT.vote(0, PREPARE, block.header)
    leaves = (payment().wtxid,)
    bench.hear(0, PrePrepare(0, block.header, leaves, vote.signature))
    bench.hear(3, KIT.status(KIT.chain(9)[9]))
    for _ in range(200):
        bench.clock_ms = max(bench.engine.deadline_ms, bench.clock_ms)
        bench.engine.tick(bench.now)
        assert bench.engine.deadline_ms > bench.clock_ms
    statuses = [number for _, number, _ in bench.sent if number == Status.TYPE]
    assert len(statuses) > 10


def test_busy_primary_keeps_the_distance_of_two_blocks() -> None:
    """While more is being checked, a transaction waits until so long after the last final block,
    and the engine asks to be woken then; before that nothing is proposed."""
    bench = Bench(member=0)
    for other in (1, 2, 3):
        bench.hear(other, KIT.status(heard=0b1111))
    bench.pass_ms(START_WAIT_MS)
    header = next(iter(bench.engine.executor.executed.values())).block.header
    for phase in (PREPARE, COMMIT):
        for member in (1, 2):
            bench.hear(member, KIT.vote(member, phase, header))
    assert bench.chain.height == 1
    final_ms = bench.clock_ms
    bench.engine.is_admitting = lambda: True
    bench.pass_ms(1)
    bench.intake.admit(payment(), bench.now)
    bench.pass_ms(0)
    bench.sent.clear()
    bench.pass_ms(BUSY_INTERVAL_MS - 2)
    assert bench.engine.deadline_ms == final_ms + BUSY_INTERVAL_MS
    assert PrePrepare.TYPE not in [number for _, number, _ in bench.sent]
    bench.pass_ms(1)
    assert PrePrepare.TYPE in [number for _, number, _ in bench.sent]
