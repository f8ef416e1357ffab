"""Steps of the standard: noticed long before, taken at a period's start, no coin loses cover."""

from __future__ import annotations

import msgspec
import pytest

from ledger.codec import encode
from ledger.economy.reserve import Reserve, Solvency, margin_limit
from ledger.economy.standard import (
    FACTORS_MAX,
    WORKLOADS_MAX,
    Factor,
    PastStandard,
    Reference,
    Standard,
)
from ledger.economy.step import StandardStep, StepState
from ledger.errors import InvariantBroken
from ledger.genesis import Genesis
from ledger.impact import impact_of
from ledger.invariants import recount
from ledger.objects import key_of, load, load_all, load_one
from ledger.operations import ProposeStandard, WithdrawStandard
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import EconomyWorld, lasting, more, with_economy
from tests.ledger.world import (
    GROUPS,
    PERIOD_MS,
    REGULATORS,
    TIME_MS,
    attest,
    commitment,
    make_genesis,
)

replace = msgspec.structs.replace
NOTICE_MS = 2 * PERIOD_MS
SPACING_MS = 5 * PERIOD_MS


def make_world(**economy: int) -> EconomyWorld:
    """Notice of two periods, spacing of five; delta is 15 %, a training hour 1,000 units."""
    values = {"notice_ms": NOTICE_MS, "step_spacing_ms": SPACING_MS, **economy}
    return EconomyWorld(with_economy(lasting(make_genesis()), **values))


def proposes(
    world: EconomyWorld, raised: dict[str, int], *added: Factor, version: int = 2
) -> SignedTransaction:
    references = tuple(Reference(name, units) for name, units in raised.items())
    return world.govern(ProposeStandard(version, references, added))


def withdraws(world: EconomyWorld, since_ms: int = 0) -> SignedTransaction:
    step = open_step(world)
    found = TIME_MS if step is None else step.since_ms
    return world.govern(WithdrawStandard(since_ms or found))


def open_step(world: EconomyWorld) -> StandardStep | None:
    return load(world.state, StandardStep)


def in_force(world: EconomyWorld) -> Standard:
    return load_one(world.state, Standard)


def reserves(world: EconomyWorld) -> dict[str, Reserve]:
    return {item.issuer: item for item in load_all(world.state, Reserve)}


# Notice.


def test_a_noticed_step_holds_the_whole_of_the_standard_to_come() -> None:
    """Factors of what rises follow from it, rounded up; others stay; new ones are as proposed."""
    world = make_world()
    new = Factor("tpu", "inference", 700_000)
    world.run(proposes(world, {"training": 1_003}, new))
    step = open_step(world)
    assert step is not None
    assert step.factors == (
        Factor("gpu-80g", "inference", 1_500_000),
        Factor("gpu-80g", "training", 997_009),  # 10^9 / 1,003 = 997,008.97
        new,
    )
    assert step.references == (Reference("inference", 3_000), Reference("training", 1_003))
    assert (step.state, step.version, step.since_ms) == (StepState.NOTICED, 2, world.clock_ms)
    assert in_force(world) == world.genesis.first_standard


def test_notice_and_spacing_end_with_a_whole_period() -> None:
    """The later of the two decides, and the first period's start at or after it."""
    spaced = make_world()
    spaced.run(proposes(spaced, {"training": 1_001}))
    step = open_step(spaced)
    assert step is not None and step.ends_ms == TIME_MS + SPACING_MS
    noticed = make_world(notice_ms=7 * PERIOD_MS)
    noticed.run(proposes(noticed, {"training": 1_001}))
    step = open_step(noticed)
    assert noticed.clock_ms == TIME_MS + 1
    assert step is not None and step.ends_ms == TIME_MS + 8 * PERIOD_MS
    exact = make_world(notice_ms=7 * PERIOD_MS - 1)
    exact.run(proposes(exact, {"training": 1_001}))
    step = open_step(exact)
    assert step is not None and step.ends_ms == TIME_MS + 7 * PERIOD_MS


# Effect.


def test_a_step_takes_effect_with_the_first_block_of_its_period() -> None:
    """In the block before all is as it was; in the first one of the period the standard is another,
    the past one is kept, and every issuer is judged by it; that block comes when it comes."""
    world = make_world()
    world.run(proposes(world, {"training": 1_100}))
    first = world.genesis.first_standard
    step = open_step(world)
    assert step is not None
    world.until(step.ends_ms - 1)
    assert in_force(world) == first and open_step(world) == step
    before = reserves(world)
    world.run(after_ms=17_000)
    assert world.clock_ms == step.ends_ms + 16_999
    assert in_force(world) == Standard(2, step.factors, step.references, step.ends_ms)
    assert open_step(world) is None
    assert load_all(world.state, PastStandard) == [PastStandard(first, step.ends_ms)]
    hours = {name: held.reserve - 900_000 for name, held in before.items()}
    assert all(hours.values())
    for name, held in reserves(world).items():  # 909,091 / 10^6 of the hours that are left
        assert held.reserve == hours[name] * 909_091 // 1_000_000


def test_the_next_step_waits_for_the_spacing() -> None:
    """From the moment when the last one took effect; versions count on."""
    world = make_world()
    world.run(proposes(world, {"training": 1_001}))
    world.until(TIME_MS + SPACING_MS)
    assert world.reason(proposes(world, {"training": 1_002})) is Reason.WRONG_VERSION
    world.run(proposes(world, {"training": 1_002}, version=3))
    step = open_step(world)
    assert step is not None and step.ends_ms == TIME_MS + 2 * SPACING_MS
    world.until(step.ends_ms)
    assert (in_force(world).version, in_force(world).since_ms) == (3, step.ends_ms)
    versions = [item.standard.version for item in load_all(world.state, PastStandard)]
    assert versions == [1, 2]


def test_a_step_can_be_withdrawn_until_it_takes_effect() -> None:
    """In the last block of the period before; in the first of its own it is in force already."""
    world = make_world()
    world.run(proposes(world, {"training": 1_001}))
    world.until(TIME_MS + SPACING_MS - 1)
    kept = withdraws(world)
    assert world.reason(kept, after_ms=1) is Reason.NO_STEP
    world = make_world()
    world.run(proposes(world, {"training": 1_001}))
    world.until(TIME_MS + SPACING_MS - 2)
    world.run(withdraws(world))
    assert world.clock_ms == TIME_MS + SPACING_MS - 1
    world.run()
    assert in_force(world) == world.genesis.first_standard
    assert load_all(world.state, PastStandard) == []


def test_a_withdrawal_is_of_one_step_and_no_later_one() -> None:
    """Signed for the first, it is no good for the second to the same version."""
    world = make_world()
    world.run(proposes(world, {"training": 1_001}))
    first, meant = withdraws(world), open_step(world)
    again = world.govern(WithdrawStandard(meant.since_ms if meant else 0))
    assert again.txid == first.txid
    world.run(first)
    world.run(proposes(world, {"training": 1_002}))
    late = withdraws(world, meant.since_ms if meant else 0)
    assert world.reason(late) is Reason.NO_STEP
    world.run(withdraws(world))
    assert open_step(world) is None


def test_a_class_that_is_new_is_promised_once_the_step_is_in_force() -> None:
    """Not while it is noticed."""
    world = make_world()
    world.run(proposes(world, {}, Factor("tpu", "inference", 700_000)))
    made = more(world, device_class="tpu", workloads=("inference",))
    assert world.reason(world.commits(made)) is Reason.UNKNOWN_CLASS
    world.until(TIME_MS + SPACING_MS)
    world.run(world.commits(more(world, device_class="tpu", workloads=("inference",))))


# Refusals.


def test_only_validators_carry_a_step() -> None:
    """A quorum of them, without the regulator."""
    world = make_world()
    step = ProposeStandard(2, (Reference("training", 1_001),), ())
    members = [f"val{index}/operations" for index in range(3)]
    for approvers in (members[:2], [*members, *REGULATORS[:2]], list(REGULATORS[:2])):
        refused = world.reason(world.govern(step, approvers=approvers))
        assert refused is Reason.NEEDS_QUORUM
    world.run(world.govern(step, approvers=members))
    back = withdraws(world)
    held = open_step(world)
    assert held is not None
    alone = world.govern(WithdrawStandard(held.since_ms), approvers=REGULATORS[:2])
    assert world.reason(alone) is Reason.NEEDS_QUORUM
    world.run(back)


@pytest.mark.parametrize(
    ("raised", "added", "reason"),
    [
        ({}, (), Reason.BAD_STANDARD),
        ({"training": 1_000}, (), Reason.REFERENCE_FALLS),
        ({"training": 999}, (), Reason.REFERENCE_FALLS),
        ({"training": 1_001, "inference": 3_001}, (), Reason.BAD_STANDARD),
        ({"video": 5}, (), Reason.BAD_STANDARD),
        ({}, (Factor("gpu-80g", "training", 5),), Reason.BAD_STANDARD),
        ({}, (Factor("gpu-80g", "video", 5),), Reason.BAD_STANDARD),
        ({}, (Factor("tpu", "training", 5), Factor("tpu", "training", 6)), Reason.BAD_STANDARD),
        ({}, (Factor("tpu", "training", 5), Factor("tpu", "inference", 6)), Reason.BAD_STANDARD),
        ({"training": 1_177}, (), Reason.CUT_TOO_LARGE),
        ({"inference": 3_001, "training": 1_177}, (), Reason.CUT_TOO_LARGE),
    ],
)
def test_what_is_no_step(raised: dict[str, int], added: tuple[Factor, ...], reason: Reason) -> None:
    """Nothing, what does not rise, what is not whole, and what cuts too much."""
    world = make_world()
    assert world.reason(proposes(world, raised, *added)) is reason
    workloads = {"inference": 3_001, "training": 1_176, "video": 5}
    world.run(proposes(world, workloads, Factor("tpu", "video", 5)))


def test_a_cut_of_exactly_delta_is_a_step() -> None:
    """17 / 20 of a factor of 10^6 is 850,000; one unit more leaves too little."""
    genesis = with_economy(lasting(make_genesis()), notice_ms=NOTICE_MS)
    genesis = replace(
        genesis, references=(Reference("inference", 3_000), Reference("training", 17_000_000))
    )
    world = EconomyWorld(genesis)
    assert world.reason(proposes(world, {"training": 20_000_025})) is Reason.CUT_TOO_LARGE
    world.run(proposes(world, {"training": 20_000_000}))
    step = open_step(world)
    assert step is not None and step.factors[1].factor == 850_000


def test_one_step_at_a_time() -> None:
    """Another version is refused as such, the same as one that is noticed."""
    world = make_world()
    assert world.reason(withdraws(world)) is Reason.NO_STEP
    for version in (1, 3):
        refused = world.reason(proposes(world, {"training": 1_001}, version=version))
        assert refused is Reason.WRONG_VERSION
    first = proposes(world, {"training": 1_001})
    assert world.reason(first, proposes(world, {"training": 1_002})) is Reason.STEP_OPEN
    world.run(first)
    assert world.reason(proposes(world, {"training": 1_002})) is Reason.STEP_OPEN


def test_a_standard_has_room_for_so_many() -> None:
    """Factors and workloads."""
    good = with_economy(lasting(make_genesis()), notice_ms=NOTICE_MS)
    extra = tuple(Factor(f"class-{index}", "training", 5) for index in range(FACTORS_MAX - 2))
    world = EconomyWorld(replace(good, standard=(*good.standard, *extra)))
    full = proposes(world, {}, Factor("tpu", "training", 5))
    assert world.reason(full) is Reason.TOO_MANY
    world.run(proposes(world, {"training": 1_001}))
    names = [f"work-{index:02}" for index in range(WORKLOADS_MAX - 2)]
    world = EconomyWorld(
        replace(
            good,
            standard=(*good.standard, *(Factor("tpu", name, 5) for name in names)),
            references=(*good.references, *(Reference(name, 5) for name in names)),
        )
    )
    one_more = proposes(world, {"zoom": 5}, Factor("tpu", "zoom", 5))
    assert world.reason(one_more) is Reason.TOO_MANY
    raised = {item.workload: item.units + 1 for item in in_force(world).references}
    assert len(raised) == WORKLOADS_MAX
    world.run(proposes(world, raised))


# Drafts.


def draft_in(world: EconomyWorld, ends_ms: int) -> StandardStep:
    """The system's advice, as it lies in the state."""
    standard = in_force(world)
    references = (Reference("inference", 3_030), Reference("training", 1_000))
    factors = (Factor("gpu-80g", "inference", 1_485_149), standard.factors[1])
    held = StandardStep(StepState.DRAFT, 2, world.clock_ms, ends_ms, factors, references)
    world.state.stored[key_of(StandardStep)] = encode(held)
    return held


def test_a_draft_binds_nobody_and_lapses() -> None:
    """It is there up to its end, and then nothing has changed."""
    world = make_world()
    world.run()
    ends_ms = TIME_MS + 3 * PERIOD_MS
    held = draft_in(world, ends_ms)
    assert world.reason(withdraws(world, held.since_ms)) is Reason.NO_STEP
    world.until(ends_ms - 1)
    assert open_step(world) == held
    world.run()
    assert open_step(world) is None
    assert in_force(world) == world.genesis.first_standard
    assert load_all(world.state, PastStandard) == []


def test_a_proposal_takes_the_place_of_a_draft() -> None:
    """With its numbers or with others."""
    world = make_world()
    world.run()
    draft_in(world, TIME_MS + 3 * PERIOD_MS)
    world.run(proposes(world, {"training": 1_001}))
    step = open_step(world)
    assert step is not None and step.state is StepState.NOTICED
    assert step.references == (Reference("inference", 3_000), Reference("training", 1_001))


# Cover.


def exactly_covered(issuers: int) -> Genesis:
    """Delta and margin are the same, each issuer has other hours, and a step of 17 to 20 cuts its
    factor by exactly delta."""
    made = make_genesis(issuers, bond_coins=850, all_bonded=True)
    names = [f"val{index}" for index in range(issuers)]
    items = tuple(
        attest(
            made.nonce,
            commitment(name),
            {f"att-{group}": 900_000 + 7 * index for group in GROUPS},
        )
        for index, name in enumerate(names)
    )
    made = replace(
        made,
        commitments=items,
        parameters=replace(made.parameters, margin_ppm=150_000),
        references=(Reference("inference", 34_000), Reference("training", 17_000)),
    )
    values = {"bond_ppm": 50_000, "notice_ms": NOTICE_MS, "step_spacing_ms": SPACING_MS}
    return with_economy(made, **values)


def test_twenty_issuers_at_the_margin_are_covered_after_a_step() -> None:
    """Each mints up to its margin of the period to come. The step takes all of the margin: nobody
    is in deficit, by less than a coin, nobody mints, and who adds hours does again."""
    world = EconomyWorld(exactly_covered(20))
    world.run(proposes(world, {"inference": 40_000, "training": 20_000}))
    world.until(TIME_MS + SPACING_MS - 1_000)
    limits = {}
    for index, (name, held) in enumerate(sorted(reserves(world).items())):
        left = held.reserve - (900_000 + 7 * int(name.removeprefix("val")))
        limits[name] = margin_limit(left, 150_000)
        amount = limits[name] - held.supply
        world.run(world.minting(name, amount), after_ms=1 + index % 2)
    before = reserves(world)
    assert {item.solvency for item in before.values()} == {Solvency.HEALTHY}
    world.until(TIME_MS + SPACING_MS)
    assert in_force(world).version == 2
    for name, held in reserves(world).items():
        assert held.supply == limits[name] == before[name].supply
        assert 0 <= held.reserve - held.supply <= 1, name
        assert held.solvency is Solvency.WARN
    assert world.reason(world.minting("val7", 1)) is Reason.NOT_HEALTHY


def test_the_hours_that_an_issuer_needs_next() -> None:
    """What the answer says is what a mint needs: with so many hours more, and no fewer, the issuer
    is at its margin again."""
    world = EconomyWorld(exactly_covered(4))
    world.run(proposes(world, {"inference": 40_000, "training": 20_000}))
    held = reserves(world)["val0"]
    world.run(world.minting("val0", margin_limit(held.reserve, 150_000) - held.supply))
    step = open_step(world)
    assert step is not None
    found = {item.issuer: item for item in impact_of(world.draft, step.factors)}
    told = found["val0"]
    held = reserves(world)["val0"]
    assert (told.outstanding, told.reserve) == (held.supply, held.reserve)
    assert margin_limit(told.reserve_after + told.missing, 150_000) >= held.supply
    assert margin_limit(told.reserve_after + told.missing - 1, 150_000) < held.supply
    assert told.hours == {"gpu-80g": -(-told.missing * 1_000_000 // 850_000)}
    assert found["val3"].missing == 0 and found["val3"].hours == {"gpu-80g": 0}


# The state itself.


@pytest.mark.parametrize(
    "damage",
    [
        lambda step: replace(step, version=3),
        lambda step: replace(step, ends_ms=step.ends_ms + 1),
        lambda step: replace(step, factors=step.factors[1:]),
        lambda step: replace(step, factors=(step.factors[0], replace(step.factors[1], factor=1))),
        lambda step: replace(step, references=step.references[1:]),
        lambda step: replace(step, references=(step.references[0], Reference("training", 999))),
    ],
)
def test_a_recount_finds_a_step_that_no_rule_made(damage) -> None:  # type: ignore[no-untyped-def]
    """Another version, a moment within a period, a factor or a workload that is gone, a cut too
    far, a throughput that falls."""
    world = make_world()
    world.run(proposes(world, {"training": 1_001}))
    step = open_step(world)
    assert step is not None
    world.state.stored[key_of(StandardStep)] = encode(damage(step))
    with pytest.raises(InvariantBroken):
        recount(world.state, world.state.outputs.items())
