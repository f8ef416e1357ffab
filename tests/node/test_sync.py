"""Catching up: targets are proved, answers are checked, liars are passed over."""

from __future__ import annotations

import msgspec
import pytest

from ledger.block import COMMIT, PREPARE, Block, Header
from ledger.reasons import Invalid, Reason
from node.fetching import RANGE_BLOCKS_MAX, FetchRange, FinalBlock, GivePruned, GiveRange
from node.sync import ANSWER_MS, CLAIMS_MAX, SyncPlan
from tests.consensus.kit import Kit
from tests.node.test_engine import payment

KIT = Kit(4)
CHAIN = KIT.chain(6)
KEYS = [member.key for member in KIT.world.validators.members]


def final(header: Header) -> FinalBlock:
    return FinalBlock(Block(header, ()), KIT.certificate(COMMIT, header))


def give(*heights: int) -> GiveRange:
    return GiveRange(tuple(final(CHAIN[height]) for height in heights))


@pytest.fixture
def plan() -> SyncPlan:
    made = SyncPlan(KIT.rules, KEYS[1])
    made.want(KEYS[2], KIT.certificate(COMMIT, CHAIN[6]))
    return made


def test_nothing_is_asked_without_a_target() -> None:
    """Nor when the target is reached; then nobody is awaited either."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    assert plan.request(0, 0) is None
    plan.want(KEYS[2], KIT.certificate(COMMIT, CHAIN[3]))
    assert plan.request(0, 0) == (KEYS[2], FetchRange(1, 3))
    assert plan.deadline_ms() == ANSWER_MS
    assert plan.request(3, 1) is None
    assert plan.deadline_ms() is None


def test_the_member_that_proved_the_target_is_asked_first(plan: SyncPlan) -> None:
    """Once; the next after it was silent for so long."""
    assert plan.request(0, 0) == (KEYS[2], FetchRange(1, 6))
    assert plan.request(0, ANSWER_MS - 1) is None
    later = plan.request(0, ANSWER_MS)
    assert later is not None
    members = {later[0]}
    for turn in range(2, 5):
        asked = plan.request(0, turn * ANSWER_MS)
        assert asked is not None
        members.add(asked[0])
    assert members == {KEYS[0], KEYS[2], KEYS[3]}


def test_a_range_is_bounded() -> None:
    """Whatever the distance."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    far = msgspec.structs.replace(CHAIN[6], height=100_000)
    plan.want(KEYS[2], KIT.certificate(COMMIT, far))
    assert plan.request(5, 0) == (KEYS[2], FetchRange(6, 5 + RANGE_BLOCKS_MAX))


def test_blocks_are_given_in_order(plan: SyncPlan) -> None:
    """One at a time, each once; then the rest is asked for."""
    plan.request(0, 0)
    plan.give(KEYS[2], give(1, 2, 3))
    assert plan.request(0, 1) is None
    for height in (1, 2, 3):
        item = plan.next_block(height - 1)
        assert item is not None
        assert item.block.header.height == height
    assert plan.next_block(3) is None
    assert plan.request(3, 2) == (KEYS[2], FetchRange(4, 6))


def test_the_next_range_is_asked_for_before_one_is_executed(plan: SyncPlan) -> None:
    """Once, of the peer that answered, as far as the target; its answer continues what waits."""
    plan.request(0, 0)
    assert plan.request_ahead(0) is None
    plan.give(KEYS[2], give(1, 2, 3))
    assert plan.request_ahead(1) == (KEYS[2], FetchRange(4, 6))
    assert plan.request_ahead(1) is None
    for height in (0, 1, 2):
        assert plan.next_block(height) is not None
    assert plan.next_block(3) is None
    assert plan.request(3, 2) is None
    plan.give(KEYS[2], give(4, 5, 6))
    assert plan.request_ahead(3) is None
    assert plan.next_block(3) is not None


def test_nothing_is_asked_ahead_that_is_not_proved_or_not_wanted(plan: SyncPlan) -> None:
    """Beyond the end of an epoch, while paused, and on the word of a claimant alone."""
    claimed = SyncPlan(KIT.rules, KEYS[1])
    claimed.hear_claim(KEYS[3])
    claimed.request(0, 0)
    claimed.give(KEYS[3], give(1, 2))
    assert claimed.request_ahead(1) is None
    plan.request(0, 0)
    last = msgspec.structs.replace(CHAIN[1], next_validators_hash=bytes(32))
    plan.give(KEYS[2], GiveRange((final(last),)))
    assert len(plan) == 1
    assert plan.request_ahead(1) is None
    plan.next_block(0)
    plan.request(1, 2)
    plan.give(KEYS[2], give(2))
    plan.pause(is_paused=True)
    assert plan.request_ahead(3) is None


def test_what_was_decided_meanwhile_is_passed(plan: SyncPlan) -> None:
    """No block is handed out twice."""
    plan.request(0, 0)
    plan.give(KEYS[2], give(1, 2, 3))
    item = plan.next_block(2)
    assert item is not None
    assert item.block.header.height == 3


def test_a_gap_is_never_applied(plan: SyncPlan) -> None:
    """What does not follow is dropped."""
    plan.request(3, 0)
    plan.give(KEYS[2], give(4, 5))
    assert plan.next_block(2) is None
    assert plan.next_block(3) is None


def forged(item: FinalBlock, **changes: object) -> FinalBlock:
    certificate = msgspec.structs.replace(item.certificate, **changes)
    return FinalBlock(item.block, certificate)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("of another height", final(CHAIN[3])),
        (
            "with another certificate",
            FinalBlock(Block(CHAIN[2], ()), KIT.certificate(COMMIT, CHAIN[3])),
        ),
        ("prepared only", FinalBlock(Block(CHAIN[2], ()), KIT.certificate(PREPARE, CHAIN[2]))),
        (
            "with too few",
            FinalBlock(Block(CHAIN[2], ()), KIT.certificate(COMMIT, CHAIN[2], signers=[0, 1])),
        ),
        ("with forged signatures", forged(final(CHAIN[2]), signatures=(bytes(64),) * 3)),
        ("of another epoch", forged(final(CHAIN[2]), epoch=1)),
    ],
)
def test_a_liar_is_passed_over_and_pays(plan: SyncPlan, name: str, bad: FinalBlock) -> None:
    """Invalid for its sender; what it proved before is kept, the rest is asked of another."""
    plan.request(0, 0)
    with pytest.raises(Invalid):
        plan.give(KEYS[2], GiveRange((final(CHAIN[1]), bad)))
        pytest.fail(name)
    item = plan.next_block(0)
    assert item is not None
    assert item.block.header.height == 1
    asked = plan.request(1, 1)
    assert asked is not None
    assert asked[0] != KEYS[2]


def test_a_wrong_body_costs_its_giver_and_turns_to_somebody_else(plan: SyncPlan) -> None:
    """The header was proved, the body was not: Invalid for its giver, what came before is kept."""
    asked = plan.request(0, 0)
    assert asked is not None
    bad = FinalBlock(Block(CHAIN[2], (payment().raw,)), final(CHAIN[2]).certificate)
    with pytest.raises(Invalid) as caught:
        plan.give(KEYS[2], GiveRange((final(CHAIN[1]), bad, final(CHAIN[3]))))
    assert caught.value.reason is Reason.BAD_BODY
    assert plan.next_block(0) is not None
    assert plan.next_block(1) is None
    again = plan.request(1, 1)
    assert again is not None
    assert again[0] != asked[0]


def test_a_claimant_with_a_wrong_body_is_not_asked_again() -> None:
    """Its claim is not renewed, as it is for one that kept its word."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    plan.hear_claim(b"liar")
    assert plan.request(0, 0) is not None
    bad = FinalBlock(Block(CHAIN[1], (payment().raw,)), final(CHAIN[1]).certificate)
    with pytest.raises(Invalid):
        plan.give(b"liar", GiveRange((bad,)))
    assert plan.request(0, 1) is None


# Bodies that peers have pruned.


def pruned(start: int = 1) -> GivePruned:
    return GivePruned(start, 9_000)


def test_where_all_have_pruned_no_block_is_to_be_had(plan: SyncPlan) -> None:
    """Each is asked once and at once; only when all have said it there is nothing left, and the
    next round waits."""
    others = frozenset(KEYS) - {KEYS[1]}
    plan.note_links(others)
    for turn in range(3):
        assert not plan.is_pruned(others, 1)
        asked = plan.request(0, turn)
        assert asked is not None
        plan.hear_pruned(asked[0], pruned())
    assert plan.is_pruned(others, 1)
    asked = plan.request(0, 3)
    assert asked is not None
    plan.hear_pruned(asked[0], pruned())
    assert plan.request(0, 4) is None
    assert plan.request(0, 3 + ANSWER_MS) is not None
    assert plan.is_pruned(others, 1)


def test_every_round_asks_all() -> None:
    """Of four others none is left out in later rounds: one may have got the blocks meanwhile."""
    kit = Kit(5)
    keys = [member.key for member in kit.world.validators.members]
    plan = SyncPlan(kit.rules, keys[1])
    plan.want(keys[2], kit.certificate(COMMIT, kit.chain(6)[6]))
    asked = []
    for turn in range(12):
        request = plan.request(0, turn * ANSWER_MS)
        assert request is not None
        asked.append(request[0])
        plan.hear_pruned(request[0], pruned())
    for begin in (0, 4, 8):
        assert set(asked[begin : begin + 4]) == set(keys) - {keys[1]}


def test_followers_that_fail_displace_no_member() -> None:
    """So many are remembered; that a member has pruned the block is heard all the same."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    for number in range(CLAIMS_MAX):
        plan.hear_claim(b"observer:%d" % number)
    for turn in range(CLAIMS_MAX):
        assert plan.request(0, turn * ANSWER_MS) is not None
    assert plan.request(0, CLAIMS_MAX * ANSWER_MS) is None
    for number in range(2):
        plan.hear_claim((KEYS[0], KEYS[3])[number])
        asked = plan.request(0, CLAIMS_MAX * ANSWER_MS + number)
        assert asked is not None
        plan.hear_pruned(asked[0], pruned())
    assert plan.is_pruned((KEYS[0], KEYS[3]), 1)
    assert len(plan._failed) == CLAIMS_MAX + 2


def test_one_that_has_the_blocks_is_enough(plan: SyncPlan) -> None:
    """Two have pruned them, the third gives: the height moves, and what was said of the old one is
    forgotten."""
    others = frozenset(KEYS) - {KEYS[1]}
    plan.note_links(others)
    for turn in range(2):
        asked = plan.request(0, turn)
        assert asked is not None
        plan.hear_pruned(asked[0], pruned())
    assert not plan.is_pruned(others, 1)
    asked = plan.request(0, 2)
    assert asked is not None
    plan.give(asked[0], give(1, 2))
    assert plan.next_block(0) is not None
    assert plan.next_block(1) is not None
    assert plan.request(2, 3) == (asked[0], FetchRange(3, 6))
    plan.hear_pruned(asked[0], pruned(3))
    assert not plan.is_pruned(others, 1)


def test_f_liars_do_not_make_a_range_pruned(plan: SyncPlan) -> None:
    """One says so, the others are silent: with f = 1 that is nobody's word."""
    others = frozenset(KEYS) - {KEYS[1]}
    plan.note_links(others)
    for turn in range(6):
        asked = plan.request(0, turn * ANSWER_MS)
        assert asked is not None
        if asked[0] == KEYS[0]:
            plan.hear_pruned(KEYS[0], pruned())
    assert not plan.is_pruned(others, 1)
    assert plan.is_pruned(others, 0)


def test_claimants_that_have_pruned_count_as_well() -> None:
    """A node that is epochs behind has claims only: two of them say that it is gone."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    others = frozenset((KEYS[0], KEYS[3]))
    plan.note_links(others)
    for peer in others:
        plan.hear_claim(peer)
    for turn in range(2):
        assert not plan.is_pruned(others, 1)
        asked = plan.request(0, turn)
        assert asked is not None
        plan.hear_pruned(asked[0], pruned())
    assert plan.is_pruned(others, 1)
    plan.hear_claim(KEYS[3])
    assert plan.is_pruned(others, 1)


def test_what_was_not_asked_or_cannot_be_is_no_answer(plan: SyncPlan) -> None:
    """From another, of another range: ignored. With a body of its own below: Invalid."""
    plan.request(0, 0)
    plan.hear_pruned(KEYS[3], pruned())
    plan.hear_pruned(KEYS[2], pruned(2))
    assert plan.request(0, 1) is None
    for lowest in (0, 1):
        with pytest.raises(Invalid):
            plan.hear_pruned(KEYS[2], GivePruned(1, lowest))
        asked = plan.request(0, 1)
        assert asked is not None
        assert asked[0] != KEYS[2]
        plan = SyncPlan(KIT.rules, KEYS[1])
        plan.want(KEYS[2], KIT.certificate(COMMIT, CHAIN[6]))
        plan.request(0, 1)


def test_answers_that_nobody_asked_for_are_ignored(plan: SyncPlan) -> None:
    """From anybody, at any time, twice."""
    plan.give(KEYS[2], give(1))
    assert plan.next_block(0) is None
    plan.request(0, 0)
    plan.give(KEYS[3], give(1))
    assert plan.next_block(0) is None
    plan.give(KEYS[2], give(1))
    plan.give(KEYS[2], give(1, 2))
    assert plan.next_block(0) is not None
    assert plan.next_block(1) is None


# Claims of a later epoch, of which nothing can be proved yet.


def test_a_lying_claimant_costs_one_question() -> None:
    """It is silent: the next claimant is asked after the time for an answer, and the liar not again
    unless it claims again."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    for peer in (KEYS[2], KEYS[3]):
        plan.hear_claim(peer)
        plan.hear_claim(peer)
    assert plan.request(0, 0) == (KEYS[2], FetchRange(1, RANGE_BLOCKS_MAX))
    assert plan.request(0, ANSWER_MS - 1) is None
    assert plan.request(0, ANSWER_MS) == (KEYS[3], FetchRange(1, RANGE_BLOCKS_MAX))
    assert plan.request(0, 2 * ANSWER_MS) is None
    assert plan.deadline_ms() is None


def test_members_are_asked_before_whoever_else_claims() -> None:
    """Sixty followers that repeat a claim and never answer delay nobody."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    for number in range(60):
        plan.hear_claim(f"observer:{number}".encode())
    plan.hear_claim(KEYS[3])
    asked = plan.request(0, 0)
    assert asked is not None
    assert asked[0] == KEYS[3]


def test_a_claimant_that_keeps_its_word_is_asked_for_more() -> None:
    """Its blocks prove themselves; one that gives something else is not asked again."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    plan.hear_claim(KEYS[3])
    assert plan.request(0, 0) is not None
    plan.give(KEYS[3], give(1, 2))
    assert [plan.next_block(height) is not None for height in (0, 1, 2)] == [True, True, False]
    assert plan.request(2, 1) == (KEYS[3], FetchRange(3, 2 + RANGE_BLOCKS_MAX))
    with pytest.raises(Invalid):
        plan.give(KEYS[3], give(5))
    assert plan.request(2, 2) is None


def test_what_is_proved_goes_first() -> None:
    """A target does not wait for the answer to a claim, and its answer is the one that counts."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    plan.hear_claim(b"liar")
    assert plan.request(0, 0) is not None
    plan.want(KEYS[2], KIT.certificate(COMMIT, CHAIN[3]))
    assert plan.request(0, 1) == (KEYS[2], FetchRange(1, 3))
    plan.give(b"liar", give(1))
    assert len(plan) == 0
    plan.give(KEYS[2], give(1, 2, 3))
    assert len(plan) == 3


def test_so_many_claims_are_remembered() -> None:
    """One below the limit and at it each is asked once; the one above it is not."""
    for count in (CLAIMS_MAX - 1, CLAIMS_MAX, CLAIMS_MAX + 1):
        plan = SyncPlan(KIT.rules, KEYS[1])
        for number in range(count):
            plan.hear_claim(number.to_bytes(2, "big"))
        asked = [plan.request(0, turn * ANSWER_MS) for turn in range(count + 1)]
        assert len([item for item in asked if item is not None]) == min(count, CLAIMS_MAX)


def test_only_who_is_linked_is_asked(plan: SyncPlan) -> None:
    """A follower has links with some: the member that proved the target has none, another has; it
    goes while it is asked, and the next is asked at once."""
    plan.note_links(frozenset([KEYS[0], KEYS[3], b"observer:1"]))
    asked = plan.request(0, 0)
    assert asked is not None
    assert asked[0] in (KEYS[0], KEYS[3])
    (other,) = {KEYS[0], KEYS[3]} - {asked[0]}
    plan.note_links(frozenset([other]))
    assert plan.request(0, 1) == (other, FetchRange(1, 6))


def test_the_claim_of_one_that_is_gone_is_forgotten() -> None:
    """Asked or not: the next claimant does not wait for it."""
    plan = SyncPlan(KIT.rules, KEYS[1])
    plan.note_links(frozenset([b"one", b"two", b"three"]))
    for peer in (b"one", b"two", b"three"):
        plan.hear_claim(peer)
    assert plan.request(0, 0) == (b"one", FetchRange(1, RANGE_BLOCKS_MAX))
    plan.note_links(frozenset([b"three"]))
    assert plan.request(0, 1) == (b"three", FetchRange(1, RANGE_BLOCKS_MAX))
