"""Attestations: what counts of what attestors say, lower figures, and attestors themselves."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from ledger.economy import capacity
from ledger.economy.capacity import (
    Attestation,
    CapacityCommitment,
    CommitmentState,
    Measure,
    counted,
    is_frozen,
    is_stale,
)
from ledger.economy.reserve import Solvency
from ledger.operations import (
    AdmitAttestor,
    Attest,
    RemoveAttestor,
)
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import EconomyWorld, proposed
from tests.ledger.world import (
    DAY_MS,
    GROUPS,
    PERIOD_MS,
    TIME_MS,
    key,
    terms,
)

replace = msgspec.structs.replace
LIFE = 7 * DAY_MS // PERIOD_MS


def attested(*figures: tuple[str, int, int], devices: int = 60) -> CapacityCommitment:
    """By (attestor, figure, periods ago)."""
    return CapacityCommitment(
        terms("val0"),
        CommitmentState.LIVE,
        0,
        TIME_MS,
        0,
        devices,
        tuple(
            Attestation(name, figure, TIME_MS - ago * PERIOD_MS, terms("val0").to_ms, ())
            for name, figure, ago in figures
        ),
        0,
        0,
        0,
        0,
    )


MEASURE = Measure({"a": "a", "a2": "a", "b": "b", "c": "c"}, 2, PERIOD_MS, 7 * DAY_MS, TIME_MS)


@pytest.mark.parametrize(
    ("ago", "counts"),
    [
        (0, 5_040_000 // 10),
        (LIFE // 2, 504_000),
        (LIFE // 2 + 1, 503_900),
        (LIFE // 2 + 5_039, 100),
        (LIFE, 0),
        (LIFE + 1, 0),
    ],
)
def test_an_attestation_decays_in_whole_periods_after_half_its_life(ago: int, counts: int) -> None:
    """504,000 µh: 100 a period over 5,040 periods, then nothing: stale."""
    held = attested(("a", 504_000, ago), ("b", 999_999, 0))
    assert counted(held, MEASURE) == counts
    assert is_stale(held, MEASURE) == (counts == 0)
    within = dataclasses.replace(MEASURE, clock_ms=TIME_MS + PERIOD_MS - 1)
    assert counted(held, within) == counts


def test_a_group_speaks_once_and_by_its_highest() -> None:
    """Two attestors of one group are worth one; the fresher of a faded one counts."""
    assert counted(attested(("a", 9, 0), ("a2", 8, 0)), MEASURE) == 0
    assert is_stale(attested(("a", 9, 0), ("a2", 8, 0)), MEASURE)
    assert counted(attested(("a", 5, 0), ("a2", 9, 0), ("b", 7, 0)), MEASURE) == 7
    faded = attested(("a", 900, LIFE - 1), ("a2", 500, 0), ("b", 700, 0))
    assert counted(faded, MEASURE) == 500


def test_all_attestors_silent_for_a_week_and_back() -> None:
    """Hours count for nothing, issuers are in deficit, holders move on; renewed all is as it
    was, less the hours that passed."""
    world = EconomyWorld()
    start = {f"val{i}": world.reserve(f"val{i}").reserve for i in range(4)}
    world.until(TIME_MS + 7 * DAY_MS - PERIOD_MS)
    assert all(world.reserve(name).reserve > 0 for name in start)
    world.until(TIME_MS + 7 * DAY_MS)
    for name in start:
        assert world.reserve(name).reserve == 0
    assert world.reserve("val0").solvency is Solvency.DEFICIT
    assert world.reserve("val3").solvency is Solvency.HEALTHY
    world.run(world.transfer("alice", "bob"))
    assert world.reason(world.minting()) is Reason.NOT_HEALTHY
    world.until(TIME_MS + 7 * DAY_MS + PERIOD_MS)
    world.renew()
    world.next_period()
    passed = (world.clock_ms - TIME_MS) // PERIOD_MS
    for name, before in start.items():
        held = world.reserve(name)
        assert (held.reserve, held.solvency) == (before - 900_000 * passed, Solvency.HEALTHY)
        assert held.short_since_ms == 0
    world.run(world.minting())


def test_a_week_of_outage_punishes_nobody() -> None:
    """The header's time jumps, the ledger clock moves thirty seconds: no hour is lost."""
    world = EconomyWorld()
    start = [world.reserve(f"val{i}").reserve for i in range(4)]
    world.run(after_ms=7 * DAY_MS)
    assert world.clock_ms == TIME_MS + 30_000
    assert [world.reserve(f"val{i}").reserve for i in range(4)] == start
    world.run(world.minting())


def test_a_longer_schedule_counts_as_far_as_it_was_attested() -> None:
    """The issuer alone gains nothing by an amendment; with each two groups that vouch anew it
    does, and where they disagree it is the second highest of those that vouch so far."""
    world = EconomyWorld()
    made = proposed(world)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    before = world.reserve()
    world.run(world.amends("val0", "more", made.microhours, made.to_ms + 100 * DAY_MS))
    assert world.reserve() == before
    world.run(world.attests("north", "val0", 800_000, of="more"))
    world.run(world.attests("north", "val0", 900_000, of="more"))
    assert world.reserve().reserve == before.reserve
    world.run(world.attests("east", "val0", 900_000, of="more"))
    more_hours = 900_000 * 100 * DAY_MS // PERIOD_MS
    assert world.reserve().reserve == before.reserve + more_hours
    held = world.capacity("val0", "more")
    assert held is not None
    assert counted(held, _measure(world)) == 900_000
    world.until(made.to_ms - 3 * DAY_MS)
    world.run(*(world.attests(group, "val0", of="more") for group in ("north", "east")))
    world.until(made.to_ms + 1)
    assert world.reserve().reserve == more_hours


def test_no_change_by_the_issuer_keeps_a_word_from_holding() -> None:
    """Amended and pledged to in the same block before it: of fewer hours, it holds all the same."""
    world = EconomyWorld()
    held = world.capacity()
    assert held is not None
    word = world.attests("north", "val0", 5)
    world.run(world.amends("val0", "capacity-val0", 2_000_000, held.terms.to_ms))
    world.run(world.pledges("val0", "capacity-val0", "one more"))
    changed = world.amends("val0", "capacity-val0", 2_000_001, held.terms.to_ms)
    world.run(changed, word)
    assert world.reserve().is_frozen


def test_a_word_reaches_as_far_as_the_schedule_that_its_attestor_saw() -> None:
    """The issuer makes it longer in the same block before all who vouch: no hour more counts. None
    reaches further than what is promised, less far than its author's last, or into a period."""
    world = EconomyWorld()
    held = world.capacity()
    assert held is not None
    before, to_ms = world.reserve(), held.terms.to_ms
    words = [world.attests(group, "val0") for group in GROUPS]
    longer = world.amends("val0", "capacity-val0", held.terms.microhours, to_ms + DAY_MS)
    world.run(longer, *words)
    assert world.reserve() == before
    seen = _attest(world.attests("north", "val0"))
    assert seen.until_ms == to_ms + DAY_MS
    signer = "attestor/att-north"
    for until_ms, reason in (
        (to_ms + DAY_MS + PERIOD_MS, Reason.ABOVE_COMMITMENT),
        (to_ms - PERIOD_MS, Reason.BAD_SCHEDULE),
        (to_ms + 1, Reason.BAD_SCHEDULE),
    ):
        word = world.does(replace(seen, until_ms=until_ms), signer)
        assert world.reason(word) is reason
    world.run(*(world.attests(group, "val0") for group in GROUPS))
    assert world.reserve().reserve == before.reserve + 900_000 * DAY_MS // PERIOD_MS


def test_no_word_ends_before_the_schedule_begins() -> None:
    """One minute in two hundred days, for which two groups vouch. A third says: until this period
    ends, or until the beginning. It would make the days between count, and coins of nothing."""
    world = EconomyWorld()
    begins_ms = world.clock_ms // PERIOD_MS * PERIOD_MS + 200 * DAY_MS
    made = proposed(world, from_ms=begins_ms, to_ms=begins_ms + PERIOD_MS)
    world.run(*(world.attests(group, "val0", of="more") for group in ("north", "south")))
    before = world.reserve()
    seen, signer = _attest(world.attests("west", "val0", of="more")), "attestor/att-west"
    soon_ms = (world.clock_ms // PERIOD_MS + 1) * PERIOD_MS
    for until_ms in (soon_ms, begins_ms - PERIOD_MS, begins_ms):
        word = world.does(replace(seen, until_ms=until_ms), signer)
        assert world.reason(word) is Reason.BAD_SCHEDULE
    world.run(world.does(seen, signer))
    assert (seen.until_ms, world.reserve().reserve) == (made.to_ms, before.reserve)


def test_a_word_is_of_the_very_commitment_that_its_attestor_saw() -> None:
    """One that lapsed and is proposed again under its name is another."""
    world = EconomyWorld()
    proposed(world)
    late = _attest(world.attests("north", "val0", of="more"))
    world.until(world.clock_ms + 7 * DAY_MS + 1)
    made = proposed(world)
    signer = "attestor/att-north"
    again = world.does(replace(late, until_ms=made.to_ms), signer)
    assert world.reason(again) is Reason.UNKNOWN_COMMITMENT
    world.run(world.attests("north", "val0", of="more"))


def _attest(tx: SignedTransaction) -> Attest:
    (operation,) = tx.body.operations
    assert isinstance(operation, Attest)
    return operation


def test_who_says_nothing_any_more_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for three, a fourth is one too many until one of them is removed."""
    monkeypatch.setattr(capacity, "ATTESTATIONS_MAX", 3)
    world = EconomyWorld()
    fourth = world.attests("east", "val0")
    assert world.reason(fourth) is Reason.TOO_MANY
    world.run(world.govern(RemoveAttestor("att-north", 1)))
    world.run(fourth)
    held = world.capacity()
    assert held is not None
    assert [item.attestor for item in held.attestations] == ["att-east", "att-south", "att-west"]


def test_of_a_schedule_that_ended_an_attestor_may_say_less_of_the_rest_at_once() -> None:
    """What it said of the first part binds it no more: its first word on the rest is no lower
    figure, which would wait for a day and then be dropped."""
    world = EconomyWorld()
    made = proposed(world)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    world.until(made.to_ms - 3 * DAY_MS)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    world.run(world.amends("val0", "more", made.microhours, made.to_ms + 100 * DAY_MS))
    world.until(made.to_ms + 1)
    assert world.reserve().reserve == 0
    world.run(*(world.attests(group, "val0", 800_000, of="more") for group in ("north", "south")))
    assert world.reserve().reserve == 800_000 * 100 * DAY_MS // PERIOD_MS
    assert not world.reserve().is_frozen


# Lower figures.


def test_a_lower_figure_of_one_that_counts_freezes_minting_and_counts_after_a_day() -> None:
    """At once nothing changes but minting; at the first period after a day its figure counts."""
    world = EconomyWorld()
    world.run(world.attests("west", "val0", 900_500), world.attests("south", "val0", 900_200))
    before = world.reserve().reserve
    world.run(world.attests("south", "val0", 800_000))
    said_ms = world.clock_ms
    held = world.reserve()
    assert (held.reserve, held.solvency, held.is_frozen) == (before, Solvency.HEALTHY, True)
    assert world.reason(world.minting()) is Reason.MINT_FROZEN
    world.run(world.transfer("alice", "bob"))
    passed = (said_ms + DAY_MS) // PERIOD_MS
    world.until(passed * PERIOD_MS)
    assert world.reserve().is_frozen
    world.next_period()
    held, commitment = world.reserve(), world.capacity()
    assert commitment is not None
    assert not held.is_frozen
    assert counted(commitment, _measure(world)) == 900_000
    assert {item.attestor: item.microhours for item in commitment.attestations}[
        "att-south"
    ] == 800_000
    world.run(world.minting())


def _measure(world: EconomyWorld) -> Measure:
    groups = {f"att-{group}": group for group in GROUPS}
    return Measure(groups, 2, PERIOD_MS, 7 * DAY_MS, world.clock_ms)


def test_a_lower_figure_of_one_that_does_not_count_is_dropped_after_a_day() -> None:
    """A first figure of a fourth, and a lower one of the third: R stays as it was."""
    world = EconomyWorld()
    world.run(world.attests("west", "val0", 900_002), world.attests("south", "val0", 900_001))
    before = world.reserve().reserve
    world.run(world.attests("north", "val0", 5), world.attests("east", "val0", 7))
    commitment = world.capacity()
    assert commitment is not None
    assert is_frozen(commitment, _measure(world))
    assert world.reserve().is_frozen
    world.until((world.clock_ms + DAY_MS) // PERIOD_MS * PERIOD_MS + PERIOD_MS)
    passed = (world.clock_ms - TIME_MS) // PERIOD_MS
    held = world.reserve()
    assert (held.is_frozen, held.reserve) == (False, before - 900_001 * passed)
    world.run(world.minting())


def test_an_attestor_that_takes_its_lower_figure_back_frees_minting() -> None:
    """At once, with what it said before."""
    world = EconomyWorld()
    world.run(world.attests("north", "val0", 5))
    assert world.reserve().is_frozen
    world.run(world.attests("north", "val0", 900_000))
    assert not world.reserve().is_frozen
    world.run(world.minting())


def test_a_lower_figure_said_again_does_not_wait_anew() -> None:
    """The day runs from the first, also for a higher one; the last figure is what counts."""
    world = EconomyWorld()
    world.run(world.attests("west", "val0", 5))
    first_ms = world.clock_ms
    world.until(first_ms + DAY_MS - PERIOD_MS)
    world.run(world.attests("west", "val0", 5))
    world.run(world.attests("west", "val0", 6))
    world.until((first_ms + DAY_MS) // PERIOD_MS * PERIOD_MS + PERIOD_MS)
    said = _said(world, "west")
    assert (said.microhours, said.since_ms, said.lower) == (6, first_ms, ())


def _said(world: EconomyWorld, group: str) -> Attestation:
    held = world.capacity()
    assert held is not None
    return {item.attestor: item for item in held.attestations}[f"att-{group}"]


def test_a_still_lower_figure_waits_anew() -> None:
    """A little less to begin with, and nothing at the end of the day: that waits a day too."""
    world = EconomyWorld()
    world.run(world.attests("west", "val0", 899_999))
    world.until(world.clock_ms + DAY_MS - PERIOD_MS)
    world.run(world.attests("west", "val0", 0))
    last_ms = world.clock_ms
    for _ in range(2):
        world.next_period()
    said = _said(world, "west")
    assert (said.microhours, said.lower[0].since_ms) == (900_000, last_ms)
    world.until((last_ms + DAY_MS) // PERIOD_MS * PERIOD_MS + PERIOD_MS)
    said = _said(world, "west")
    assert (said.microhours, said.since_ms, said.lower) == (0, last_ms, ())


def test_a_fresh_word_above_what_is_left_of_the_last_one_is_not_lower() -> None:
    """Six days old, 900,000 count for 257,000: 500,000 said anew count at once, with their own
    age, and minting goes on."""
    world = EconomyWorld()
    world.until(TIME_MS + 6 * DAY_MS)
    world.run(world.attests("south", "val0"), world.attests("north", "val0", 500_000))
    held, said = world.capacity(), _said(world, "north")
    assert held is not None
    assert (said.microhours, said.since_ms, said.lower) == (500_000, world.clock_ms, ())
    assert (counted(held, _measure(world)), world.reserve().is_frozen) == (500_000, False)


def test_a_lower_figure_counts_once_the_word_that_it_lowers_has_faded_below_it() -> None:
    """Said on the last of seven days it is heard after them, though it has not waited for a day."""
    world = EconomyWorld()
    world.until(TIME_MS + 7 * DAY_MS - 100 * PERIOD_MS)
    assert _measure(world).weight(TIME_MS, 900_000) > 10_000
    world.run(world.attests("south", "val0"), world.attests("north", "val0", 10_000))
    said_ms = world.clock_ms
    assert world.reserve().is_frozen
    world.until(TIME_MS + 7 * DAY_MS + PERIOD_MS)
    held, said = world.capacity(), _said(world, "north")
    assert held is not None
    assert (said.microhours, said.since_ms, said.lower) == (10_000, said_ms, ())
    assert (counted(held, _measure(world)), world.reserve().is_frozen) == (10_000, False)


def test_one_hostile_attestor_changes_nothing_for_holders() -> None:
    """Of three that agree one says zero, day after day: R is as without it."""
    world, calm = EconomyWorld(), EconomyWorld()
    for day in range(1, 4):
        world.run(world.attests("south", "val0", 0))
        calm.run()
        for one in (world, calm):
            one.until(TIME_MS + day * DAY_MS + 2 * PERIOD_MS)
        assert world.reserve().reserve == calm.reserve().reserve
        assert world.reserve().solvency is Solvency.HEALTHY
        world.run(world.transfer("alice", "bob"))
        calm.run(calm.transfer("alice", "bob"))


def test_a_lower_figure_of_a_removed_attestor_stops_nobody_from_minting() -> None:
    """It stops minting until its author is removed, for which government need not wait a day."""
    world = EconomyWorld()
    world.run(world.attests("east", "val0", 0))
    assert world.reason(world.minting()) is Reason.MINT_FROZEN
    world.run(world.govern(RemoveAttestor("att-east", 1)))
    assert not world.reserve().is_frozen
    world.run(world.minting())


def test_a_lower_figure_stops_minting_as_long_as_its_word_reaches() -> None:
    """Said of the present period only: with the next one, at its very beginning, it is over, and
    can be said no more."""
    world = EconomyWorld()
    soon_ms = (world.clock_ms // PERIOD_MS + 1) * PERIOD_MS
    word = replace(_attest(world.attests("east", "val0", 0)), until_ms=soon_ms)
    world.run(world.does(word, "attestor/att-east"))
    world.until(soon_ms - 2)
    assert world.reason(world.minting()) is Reason.MINT_FROZEN
    world.run(world.transfer("alice", "bob"))
    late = world.does(replace(word, number=1), "attestor/att-east")
    assert world.reason(late, after_ms=1) is Reason.BAD_SCHEDULE
    world.until(soon_ms)
    held = world.capacity()
    assert held is not None
    assert held.attestations[0].lower
    assert not world.reserve().is_frozen
    world.run(world.minting())


# Attestors.


def test_what_a_removed_attestor_said_counts_no_more() -> None:
    """Of three one is removed: two still count; of two one: nothing does, in that very block."""
    world = EconomyWorld()
    before = world.reserve().reserve
    world.run(world.govern(RemoveAttestor("att-north", 1)))
    assert world.reserve().reserve == before
    assert world.reason(world.attests("north", "val0")) is Reason.UNKNOWN_ATTESTOR
    world.run(world.govern(RemoveAttestor("att-south", 1)))
    assert (world.reserve().reserve, world.reserve().solvency) == (0, Solvency.DEFICIT)
    again = next(item for item in world.genesis.attestors if item.id == "att-south")
    assert world.reason(world.govern(AdmitAttestor(again, 1))) is Reason.WRONG_VERSION
    world.run(world.govern(AdmitAttestor(again, 2)))
    assert world.reserve().reserve == 0
    world.run(world.attests("south", "val0"))
    assert world.reserve().reserve == before


def test_an_attestor_that_comes_back_has_said_nothing() -> None:
    """With another key, of another group: of what it said before nothing counts, and its lower
    figure stops nobody; what it says anew counts, and is no lower figure."""
    world = EconomyWorld()
    before = world.reserve().reserve
    world.run(world.attests("north", "val0", 5))
    world.run(world.govern(RemoveAttestor("att-north", 1), RemoveAttestor("att-south", 1)))
    assert (world.reserve().reserve, world.reserve().is_frozen) == (0, False)
    north = world.genesis.attestors[
        [item.id for item in world.genesis.attestors].index("att-north")
    ]
    fresh = replace(north, group="polar", key=key("attestor/att-north/2").public)
    world.run(world.govern(AdmitAttestor(fresh, 2)))
    assert (world.reserve().reserve, world.reserve().is_frozen) == (0, False)
    for issuer in ("val0", "val1", "val2", "val3"):
        held = world.capacity(issuer)
        assert held is not None
        assert "att-north" not in [item.attestor for item in held.attestations]
    held = world.capacity()
    assert held is not None
    said = ("val0", "capacity-val0", held.born, held.terms.to_ms, 900_000)
    word = Attest("att-north", fresh.key, 0, 1, *said)
    world.run(world.does(word, "attestor/att-north/2"))
    assert (world.reserve().reserve, world.reserve().is_frozen) == (before, False)


def test_an_attestor_is_admitted_by_both_with_a_key_of_its_own() -> None:
    """Twice, with a key that somebody has, by one authority alone: refused."""
    world = EconomyWorld()
    first = world.genesis.attestors[0]
    fresh = replace(first, id="att-fresh", key=key("attestor/att-fresh").public)
    validators = [f"val{index}/operations" for index in range(3)]
    rows = (
        (world.govern(AdmitAttestor(first, 1)), Reason.BAD_GRANT),
        (world.govern(AdmitAttestor(replace(fresh, key=first.key), 0)), Reason.BAD_GRANT),
        (world.govern(AdmitAttestor(fresh, 1)), Reason.WRONG_VERSION),
        (world.govern(AdmitAttestor(fresh, 0), approvers=validators), Reason.NEEDS_QUORUM),
        (world.govern(RemoveAttestor("att-lost", 0)), Reason.UNKNOWN_ATTESTOR),
    )
    for tx, reason in rows:
        assert world.reason(tx) is reason
    world.run(world.govern(AdmitAttestor(fresh, 0)))
    world.run(world.attests("fresh", "val0"))


def test_an_attestation_is_signed_by_its_attestor_and_used_once() -> None:
    """Another's key, the same number again, one too many."""
    world = EconomyWorld()
    held = world.capacity()
    assert held is not None
    said = ("val0", "capacity-val0", held.born, held.terms.to_ms, 5)
    wrong = Attest("att-north", key("attestor/att-south").public, 0, 0, *said)
    assert world.reason(world.does(wrong, "attestor/att-south")) is Reason.WRONG_ROLE_KEY
    tx = world.attests("north", "val0")
    world.run(tx)
    assert world.reason(tx) is Reason.REPLAYED_OPERATION
    skipped = Attest("att-north", key("attestor/att-north").public, 0, 2, *said)
    assert world.reason(world.does(skipped, "attestor/att-north")) is Reason.OPERATION_GAP
    unknown = world.attests("north", "val0", of="nothing")
    assert world.reason(unknown) is Reason.UNKNOWN_COMMITMENT
