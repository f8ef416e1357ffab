"""Every evil member does what its name says: counted between its engine, which means well, and the
network. One that did nothing would be survived by anybody."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest

from consensus.messages import (
    MESSAGE_BY_TYPE,
    Commit,
    Message,
    NewView,
    Prepare,
    PrePrepare,
    Status,
)
from ledger import codec
from ledger.block import header_hash, vote_hash
from ledger.reasons import Invalid
from node.engine import MESSAGE_BYTES_MAX
from node.fetching import GIVE_BYTES_MAX, Give
from node.wal import LogFile, Record, WriteAheadLog
from p2p.wire import COMMIT, GIVE, NEW_VIEW, PRE_PREPARE, PREPARE, STATUS, VIEW_CHANGE
from tests.sim.hindering import MARGIN_MS_MAX
from tests.sim.noting import Letter, Noted, Wish, calm_plan, into, noted, out_of
from tests.sim.plan import Episode, Evil

pytestmark = pytest.mark.usefixtures("remembering")

EVIL = 0
"""The member that begins as primary."""
OTHERS = (1, 2, 3)
SLOW_MS = (20, 60)
"""With such latencies blocks are under way when something happens."""
PROPOSED_AND_VOTED = {PRE_PREPARE, PREPARE, COMMIT}


def ran(evil: Evil, **changes: object) -> Noted:
    """One of four is evil, and views end around it."""
    usual: dict[str, object] = {"episodes": (Episode.PRESS,), "episode_gap_ms": 1_000}
    return noted(evil={EVIL: evil}, **{**usual, **changes})


def wishes(cluster: Noted) -> list[Wish]:
    """What the engine behind the evil member wanted to send."""
    return [wish for wish in cluster.wishes if wish.address == EVIL]


def changed(cluster: Noted) -> Counter[int]:
    """How many messages of each kind left with other bytes, or among others."""
    return Counter(wish.wanted.number for wish in wishes(cluster) if wish.is_changed)


def sent_by(cluster: Noted, addresses: Iterable[int]) -> list[Letter]:
    """While faults lasted."""
    return [letter for letter in cluster.faulty if letter.source in addresses]


def read(number: int, payload: bytes) -> Message | None:
    """A message of consensus; None for any other, and for what is no message at all."""
    kind = MESSAGE_BY_TYPE.get(number)
    try:
        return None if kind is None else codec.decode(payload, kind, size_max=MESSAGE_BYTES_MAX)
    except Invalid:
        return None


def votes(letters: Iterable[Letter]) -> list[Prepare | Commit]:
    found = (read(letter.number, letter.payload) for letter in letters)
    return [vote for vote in found if isinstance(vote, Prepare | Commit)]


def contradictions(letters: list[Letter]) -> Counter[int]:
    """Places where two blocks were named, by kind: PRE-PREPARE, PREPARE or COMMIT."""
    named: defaultdict[tuple[int, int, int], set[bytes]] = defaultdict(set)
    for letter in letters:
        match read(letter.number, letter.payload):
            case PrePrepare(view, header):
                named[PRE_PREPARE, view, header.height].add(header_hash(header))
    for vote in votes(letters):
        named[vote.TYPE, vote.view, vote.height].add(vote.block_hash)
    return Counter(kind for (kind, _, _), hashes in named.items() if len(hashes) > 1)


def test_honest_members_send_what_they_mean() -> None:
    """Beside an evil one: every message leaves as the engine gave it, nothing else does, and no two
    of one member contradict each other."""
    cluster = ran(Evil.MUTATOR, latency_ms=SLOW_MS)
    meant = [wish for wish in cluster.wishes if wish.address in OTHERS]
    assert len(meant) > 200
    assert all(wish.is_kept for wish in meant)
    assert not any(source in OTHERS for source, _ in cluster.unasked)
    assert not any(contradictions(sent_by(cluster, [member])) for member in OTHERS)


def test_the_dead_stays_dead() -> None:
    """It goes down once, never comes back and says nothing any more."""
    cluster = ran(Evil.DEAD)
    (_, _, up), (down_ms, _, why) = [life for life in cluster.lives if life[1] == EVIL]
    assert (up, why) == ("up", "crash")
    assert down_ms < cluster.healed_ms
    assert not [item for item in cluster.letters if item.source == EVIL and item.sent_ms > down_ms]


def test_the_silent_hears_and_never_speaks() -> None:
    """Its engine goes on and has much to say; nothing of it leaves."""
    cluster = ran(Evil.SILENT)
    assert len(wishes(cluster)) > 100
    assert not any(wish.left for wish in wishes(cluster))
    assert sent_by(cluster, [EVIL]) == []


def test_the_equivocator_signs_everything_twice() -> None:
    """Two proposals for one place, so good that others prepare both; votes for both; and its
    VIEW-CHANGE, NEW-VIEW and STATUS are not what its engine means."""
    cluster = ran(Evil.EQUIVOCATOR, latency_ms=SLOW_MS, fault_ms=20_000)
    assert contradictions(sent_by(cluster, [EVIL])).keys() == PROPOSED_AND_VOTED
    assert contradictions(sent_by(cluster, OTHERS))[PREPARE] >= 1
    assert changed(cluster).keys() == {PRE_PREPARE, VIEW_CHANGE, NEW_VIEW, STATUS}


def test_twins_contradict_each_other() -> None:
    """Both speak with the one key: as primaries they propose two blocks for one place."""
    cluster = ran(Evil.TWINS, latency_ms=SLOW_MS)
    addresses = cluster.network.addresses(EVIL)
    assert [len(votes(sent_by(cluster, [each]))) > 20 for each in addresses] == [True, True]
    assert contradictions(sent_by(cluster, addresses))[PRE_PREPARE] >= 2


def test_the_babbler_sends_broken_messages() -> None:
    """Distorted, of another kind, older ones again, or none; everybody refuses many."""
    cluster = ran(Evil.BABBLER)
    found = wishes(cluster)
    alone = [(wish.wanted, wish.left[0]) for wish in found if len(wish.left) == 1]
    distorted = [sent for wanted, sent in alone if sent.number == wanted.number and sent != wanted]
    assert sum(read(sent.number, sent.payload) is None for sent in distorted) > 10
    assert sum(sent.number != wanted.number for wanted, sent in alone) > 5
    assert sum(len(wish.left) == 2 for wish in found) > 5
    assert sum(not wish.left for wish in found) > 5
    assert all(cluster.nodes[member].refused > 10 for member in OTHERS)


def test_the_forger_claims_what_others_never_signed() -> None:
    """Votes in the names of all, VIEW-CHANGEs with other headers, STATUS with votes of everybody,
    and a NEW-VIEW that nobody but itself asked for."""
    cluster = ran(Evil.FORGER, latency_ms=SLOW_MS)
    letters = sent_by(cluster, [EVIL])
    claimed = Counter(vote.signer for vote in votes(letters))
    assert min(claimed[member] for member in OTHERS) > 20
    assert {STATUS, VIEW_CHANGE, PREPARE, COMMIT} <= changed(cluster).keys()
    found = [read(letter.number, letter.payload) for letter in letters]
    alone = [
        item for item in found if isinstance(item, NewView) and len(item.body.view_changes) == 1
    ]
    assert alone
    marks = [{mark.member for mark in item.votes} for item in found if isinstance(item, Status)]
    assert {0, 1, 2, 3} in marks


def test_the_amnesiac_forgets_its_votes_and_votes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again it starts with an empty log, on a chain that goes on; so it proposes another
    block where it had proposed one."""
    records: list[int] = []
    opened = WriteAheadLog.open

    def noting(file: LogFile) -> tuple[WriteAheadLog, list[Record]]:
        log, found = opened(file)
        records.append(len(found))
        return log, found

    monkeypatch.setattr(WriteAheadLog, "open", noting)
    cluster = ran(Evil.AMNESIAC, episodes=(), latency_ms=SLOW_MS, fault_ms=20_000)
    starts = [ms for ms, where, what in cluster.lives if (where, what) == (EVIL, "up")]
    assert len(starts) >= 5
    assert {where for _, where, _ in cluster.downs()} == {EVIL}
    assert records[4:] == [0] * (len(starts) - 1)
    after = [item for item in sent_by(cluster, [EVIL]) if item.sent_ms > starts[1]]
    assert len(votes(after)) > 50
    assert contradictions(sent_by(cluster, [EVIL]))[PRE_PREPARE] >= 1


def test_the_mutator_changes_a_message_and_signs_it() -> None:
    """Messages of every kind; what it made can be read, its votes hold its signature, and old
    NEW-VIEWs come again."""
    kinds: set[int] = set()
    for other in (Episode.LADDER, Episode.ISOLATE_PRIMARY):
        cluster = ran(Evil.MUTATOR, episodes=(Episode.PRESS, other), fault_ms=20_000)
        kinds |= changed(cluster).keys()
        letters = [item for item in sent_by(cluster, [EVIL]) if item.number in MESSAGE_BY_TYPE]
        assert all(read(letter.number, letter.payload) for letter in letters)
        world = cluster.world
        for vote in votes(letters):
            signed = vote_hash(world.chain_id, vote.payload)
            assert world.is_valid(world.public(EVIL), signed, vote.signature)
        assert {sent.number for source, sent in cluster.unasked if source == EVIL} == {NEW_VIEW}
    assert kinds == MESSAGE_BY_TYPE.keys()


@pytest.mark.parametrize(
    ("seed", "withheld"),
    [(0, {STATUS, VIEW_CHANGE}), (2, {STATUS, PRE_PREPARE, PREPARE, COMMIT})],
)
def test_the_withholder_tells_some_members_only(seed: int, withheld: set[int]) -> None:
    """Of some kinds nothing goes to all; the others leave as they are. It changes nothing."""
    cluster = ran(Evil.WITHHOLDER, seed=seed)
    found = wishes(cluster)
    assert {wish.wanted.number for wish in found if not wish.is_kept} == withheld
    assert not changed(cluster)
    told = [len(wish.left) for wish in found if wish.wanted.number in withheld]
    assert 0 < max(told) < len(OTHERS)
    assert any(wish.is_kept for wish in found)


def test_the_delayer_is_slow_by_just_less_than_the_time_out() -> None:
    """What it proposes and the views that it opens leave unchanged, and late; nothing else does."""
    cluster = ran(Evil.DELAYER)
    late = {PRE_PREPARE, NEW_VIEW}
    found = wishes(cluster)
    assert {wish.wanted.number for wish in found if not wish.left} == late
    assert all(wish.is_kept for wish in found if wish.wanted.number not in late)
    wanted = {id(wish.wanted.payload): wish.wanted for wish in found}
    delayed = [(wanted[id(sent.payload)], sent) for _, sent in cluster.unasked]
    assert len(delayed) > 10
    assert {sent.number for _, sent in delayed} == late
    time_out_ms = cluster.world.genesis.parameters.view_timeout_ms
    for wish, sent in delayed:
        assert wish[1:] == sent[1:]
        assert time_out_ms - MARGIN_MS_MAX <= sent.now_ms - wish.now_ms < time_out_ms


def test_the_sync_liar_answers_with_something_else() -> None:
    """A member that only the liar answers: what it is given is spoilt or nothing at all, and of the
    liar's height nobody hears the truth. With the others it catches up."""
    cluster = Noted(calm_plan(evil={EVIL: Evil.SYNC_LIAR}))
    cluster.begin()
    cut = cluster.network.cut((out_of(2) | into(2)) - {(2, EVIL), (EVIL, 2)})
    cluster.reconnect()
    cluster.pass_ms(15_000)
    given = [wish for wish in wishes(cluster) if wish.wanted.number == GIVE and wish.wanted.to == 2]
    assert sum(not wish.left for wish in given) >= 2
    spoilt = [wish.left[0].payload for wish in given if wish.is_changed]
    assert len(spoilt) >= 3
    assert all(codec.decode(payload, Give, size_max=GIVE_BYTES_MAX) for payload in spoilt)
    told = [wish for wish in wishes(cluster) if wish.wanted.number == STATUS and wish.is_changed]
    heights = [[read(*item[2:]).height for item in (wish.wanted, *wish.left)] for wish in told]
    assert sum(meant != said for meant, said in heights) > 5
    node = cluster.nodes[2]
    assert node.engine is not None
    assert node.engine.chain.height < cluster.checkers.height
    cluster.network.mend(cut)
    cluster.heal()
    cluster.finish()
