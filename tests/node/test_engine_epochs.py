"""The engine over the end of an epoch: a log ahead of its chain, and news of an old epoch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from consensus.messages import (
    Message,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
    Vote,
    VoteMark,
    make_vote,
)
from ledger import codec
from ledger.block import (
    COMMIT,
    PREPARE,
    Block,
    Certificate,
    Header,
    VotePayload,
    header_hash,
    make_certificate,
    vote_hash,
)
from ledger.chain import Chain
from ledger.kv import MemoryKV
from ledger.mempool import Mempool
from ledger.view import Changes
from ledger.witnesses import Witnesses
from node.engine import Engine
from node.epochs import rules_at
from node.fetching import Fetch, FinalBlock, Give, GiveRange
from node.signing import LocalKey, Request
from node.verify import Verifier
from node.vote_guard import Permission, Refused, VoteGuard
from node.wal import WriteAheadLog
from tests.consensus.kit import Kit
from tests.node import test_engine
from tests.sim.world import sim_world

KIT = Kit(4)
KIT.world = sim_world(4, 1, mocked=True, epoch_blocks=1, epoch_ms=1_000)
KIT.rules = KIT.world.rules(KIT.world.is_valid)
KIT.genesis = KIT.world.changes.head.header
OTHERS = (0, 2, 3)
MESSAGE_BYTES_MAX = 1 << 20
Made = list[tuple[Block, Changes]]


class Bench(test_engine.Bench):
    """Member 1 over epochs of two blocks; the test speaks for the others."""

    def decide_empty(
        self, *, proposer: int, others: tuple[int, ...] = (2,)
    ) -> tuple[Block, Changes]:
        """One block without transactions, of an epoch that this bench stands in."""
        self.clock_ms += 1_500
        block, changes = self.block(proposer=proposer)
        signature = vote(proposer, PREPARE, block.header).signature
        self.hear(proposer, PrePrepare(0, block.header, (), signature))
        for member in others:
            self.hear(member, vote(member, PREPARE, block.header))
        for member in (proposer, *others):
            self.hear(member, vote(member, COMMIT, block.header))
        return block, changes

    def restart(self, made: Made) -> None:
        """A new process with the same vote log, on a chain that holds so much."""
        log, records = WriteAheadLog.open(self.file)
        store = MemoryKV()
        self.chain = Chain.create(store, KIT.world.changes)
        for block, changes in made:
            self.chain.append(block, certificate(COMMIT, block.header), changes, [])
        verifier = Verifier(KIT.world.is_valid)
        rules = rules_at(self.chain, verifier.is_valid)
        key = LocalKey(KIT.world.member_key(test_engine.MEMBER), rules.chain_id)
        self.guard = VoteGuard(key, rules, log, records, new_log=pytest.fail)
        self.engine = Engine(
            rules=rules,
            chain=self.chain,
            mempool=Mempool(),
            verifier=verifier,
            guard=self.guard,
            outbox=self,
            witnesses=Witnesses(store),
            now=self.now,
        )
        self.engine.connected(frozenset(test_engine.KEYS), self.now)
        self.sent.clear()

    def answer(self, made: Made) -> None:
        """What it asks for is given."""
        for to, number, payload in list(self.sent):
            if number == Fetch.TYPE and to is not None:
                start = codec.decode(payload, Fetch, size_max=MESSAGE_BYTES_MAX).wanted.start  # type: ignore[union-attr]
                blocks = [block for block, _ in made if block.header.height >= start]
                final = [FinalBlock(block, certificate(COMMIT, block.header)) for block in blocks]
                self.hear(to, Give(GiveRange(tuple(final))))

    def said(self, kind: type[Message]) -> list[Message]:
        found = [payload for _, number, payload in self.sent if number == kind.TYPE]
        return [codec.decode(payload, kind, size_max=MESSAGE_BYTES_MAX) for payload in found]


def vote(member: int, phase: int, header: Header) -> Vote:
    payload = VotePayload(header.epoch, phase, 0, header.height, header_hash(header))
    return make_vote(payload, member, KIT._sign(member, vote_hash(KIT.world.chain_id, payload)))


def certificate(phase: int, header: Header) -> Certificate:
    payload = VotePayload(header.epoch, phase, 0, header.height, header_hash(header))
    signatures = {member: vote(member, phase, header).signature for member in OTHERS}
    return make_certificate(payload, signatures)


def status(header: Header, epoch: int, votes: tuple[VoteMark, ...] = ()) -> Status:
    proof = (certificate(COMMIT, header),)
    return KIT.status(epoch=epoch, height=header.height, certificate=proof, votes=votes)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, Made]:
    """At the beginning of epoch 1."""
    monkeypatch.setattr(test_engine, "KIT", KIT)
    made = Bench()
    blocks = [made.decide_empty(proposer=0) for _ in range(2)]
    assert made.engine.validators.epoch == 1
    return made, blocks


@pytest.mark.parametrize(
    "lost", [0, 1, 2], ids=["nothing", "the end of an epoch", "the whole chain"]
)
def test_what_was_prepared_outlives_the_chain_below_it(
    bench: tuple[Bench, Made], lost: int
) -> None:
    """It sent a COMMIT in epoch 1 and lost its chain, not its log. Having caught up into that epoch
    it takes the prepared block into the next view."""
    member, made = bench
    for other in OTHERS:
        member.hear(other, status(made[1][0].header, 1))
    member.sent.clear()
    member.pass_ms(11_000)
    header = member.said(PrePrepare)[0].header  # type: ignore[union-attr]
    for other in (0, 2):
        member.hear(other, vote(other, PREPARE, header))
    own = vote(test_engine.MEMBER, COMMIT, header)
    echo = VoteMark(test_engine.MEMBER, 1, 0, 3, COMMIT, header_hash(header), own.signature)
    member.restart(made[: 2 - lost])
    for other in OTHERS:
        member.hear(other, status(made[1][0].header, 1, (echo,)))
    member.answer(made)
    assert member.chain.height == 2
    member.clock_ms += 1_000
    for other in OTHERS:
        member.hear(other, status(made[1][0].header, 1, (echo,)))
    assert member.guard.permission is Permission.ALLOWED
    for other in (0, 3):
        member.hear(other, Suspect(1, 1))
    member.pass_ms(10)
    (sent, *_) = member.said(ViewChange)
    assert [entry.header.height for entry in sent.body.entries] == [3]  # type: ignore[union-attr]


def test_a_snapshot_is_there_from_the_next_end_of_an_epoch_on(bench: tuple[Bench, Made]) -> None:
    """Started on an epoch's last block the node has its snapshot at once; started inside an epoch
    it has none, until a block ends it that needs no transaction."""
    member, made = bench
    member.restart(made)
    found = member.engine.executor.snapshot.manifest(0)
    assert found is not None
    assert found.header == made[1][0].header
    member.restart(made[:1])
    assert member.engine.executor.snapshot.manifest(0) is None
    member.hear(2, status(made[1][0].header, 1))
    member.answer(made)
    assert made[1][0].transactions == ()
    held = member.engine.executor.snapshot.manifest(0)
    assert held is not None
    assert held.header == made[1][0].header


def test_news_of_an_old_epoch_tells_the_guard_nothing(bench: tuple[Bench, Made]) -> None:
    """A laggard was heard in the epoch before; its STATUS of that epoch counts no more."""
    member, made = bench
    member.restart(made[:1])
    old = status(made[0][0].header, 0)
    member.hear(0, old)
    member.hear(2, status(made[1][0].header, 1))
    member.answer(made)
    assert member.engine.validators.epoch == 1
    for other in (0, 3):
        member.hear(other, old)
    assert member.guard.permission is Permission.WAITING


class Away:
    """The key is in a process that is not there."""

    public = KIT.world.member_key(test_engine.MEMBER).public
    is_at_hand = False
    trouble = "no signer"

    def sign(self, request: Request) -> bytes:
        raise Refused(self.trouble)


def begin_unfit(monkeypatch: pytest.MonkeyPatch, lose: Callable[[VoteGuard], None]) -> Bench:
    """It voted in epoch 0, then something happened to its machine; the others end the epoch."""
    monkeypatch.setattr(test_engine, "KIT", KIT)
    member = Bench()
    assert member.engine.replica.state.voting
    lose(member.guard)
    member.engine.review_voting()
    for _ in range(2):
        member.decide_empty(proposer=0, others=(2, 3))
    assert member.engine.validators.epoch == 1
    return member


def no_room(guard: VoteGuard) -> None:
    guard.withhold("no room")


def no_key(guard: VoteGuard) -> None:
    guard._key = Away()


def no_room_for_a_new_log(guard: VoteGuard) -> None:
    """The epoch that begins is the one in which a lost log stops mattering."""
    guard.withhold("no room")
    guard.permission = Permission.FOLLOWING
    guard._begin(replace(guard._memory.state, from_epoch=1))


@pytest.mark.parametrize("lose", [no_room, no_key, no_room_for_a_new_log])
def test_an_epoch_lets_no_unfit_machine_vote(
    monkeypatch: pytest.MonkeyPatch, lose: Callable[[VoteGuard], None]
) -> None:
    """It has the permission; it takes room on the disk and the key at hand too."""
    member = begin_unfit(monkeypatch, lose)
    assert member.guard.permission is Permission.ALLOWED
    member.pass_ms(1)
    assert not member.engine.replica.state.voting
    assert not member.said(PrePrepare)


def test_a_machine_that_became_fit_votes_in_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Space was freed after the epoch began."""
    member = begin_unfit(monkeypatch, no_room)
    member.guard.withhold("")
    member.engine.review_voting()
    member.pass_ms(11_000)
    assert member.engine.replica.state.voting
    assert member.said(PrePrepare)
