"""Commitments and devices: what an issuer promises, until when, and with which machines."""

from __future__ import annotations

import msgspec
import pytest

from ledger.economy.capacity import (
    MICROHOURS_MAX,
    CommitmentState,
    Device,
    devices_needed,
)
from ledger.economy.schedule import HORIZON_MS_MAX
from ledger.handlers import capacity as handlers
from ledger.objects import load
from ledger.operations import (
    Commit,
    PledgeDevices,
    Suspend,
    count_of,
)
from ledger.reasons import Invalid, Reason
from ledger.registers import DEVICES
from ledger.sweep import SWEEP_OBJECTS_MAX
from ledger.transaction import check_stateless, decode
from tests.ledger.economy_world import EconomyWorld, more, proposed
from tests.ledger.world import (
    DAY_MS,
    GROUPS,
    MACHINES,
    PERIOD_MS,
    TIME_MS,
    device,
    key,
    sign,
)

replace = msgspec.structs.replace
LIFE = 7 * DAY_MS // PERIOD_MS


def state_of(world: EconomyWorld, name: str = "more") -> CommitmentState | None:
    held = world.capacity("val0", name)
    return None if held is None else held.state


# Schedules.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device_class": "gpu-40g"}, Reason.UNKNOWN_CLASS),
        ({"workloads": ("inference", "rendering")}, Reason.UNKNOWN_CLASS),
        ({"workloads": ("training", "inference")}, Reason.BAD_SCHEDULE),
        ({"microhours": 0}, Reason.BAD_SCHEDULE),
        ({"from_ms": TIME_MS + 1}, Reason.BAD_SCHEDULE),
        ({"to_ms": TIME_MS + DAY_MS + 1}, Reason.BAD_SCHEDULE),
        ({"from_ms": TIME_MS - 9 * PERIOD_MS, "to_ms": TIME_MS}, Reason.BAD_SCHEDULE),
        ({"from_ms": TIME_MS + DAY_MS, "to_ms": TIME_MS + DAY_MS}, Reason.BAD_SCHEDULE),
        ({"to_ms": TIME_MS + HORIZON_MS_MAX + PERIOD_MS}, Reason.BAD_SCHEDULE),
        ({"region": "eu-west"}, Reason.OVERLAPPING_SCHEDULE),
        ({"id": "capacity-val0"}, Reason.COMMITMENT_EXISTS),
        ({"issuer": "nobody"}, Reason.UNKNOWN_ISSUER),
    ],
)
def test_each_fault_of_a_schedule_has_its_reason(
    changes: dict[str, object], reason: Reason
) -> None:
    """Each is the only fault; without it the commitment is proposed."""
    world = EconomyWorld()
    made = more(world, **changes)
    operation = Commit(key("val0/operations").public, 0, 0, made)
    assert world.reason(world.does(operation, "val0/operations")) is reason
    world.run(world.commits(more(world)))
    assert state_of(world) is CommitmentState.PROPOSED


def test_schedules_of_one_line_follow_each_other_without_a_gap() -> None:
    """One that begins where the other ends does not overlap; one period earlier it does."""
    world = EconomyWorld()
    held = world.capacity()
    assert held is not None
    ends_ms = held.terms.to_ms
    late = more(world, region="eu-west", to_ms=ends_ms + DAY_MS)
    early = world.commits(replace(late, from_ms=ends_ms - PERIOD_MS))
    assert world.reason(early) is Reason.OVERLAPPING_SCHEDULE
    world.run(world.commits(replace(late, from_ms=ends_ms)))


def test_only_operations_keys_promise() -> None:
    """The treasury's is refused; a suspended issuer still promises."""
    world = EconomyWorld()
    wrong = Commit(key("val0/treasury").public, 0, 0, more(world))
    assert world.reason(world.does(wrong, "val0/treasury")) is Reason.WRONG_ROLE_KEY
    world.run(world.govern(Suspend("val0", 0)))
    world.run(world.commits(more(world)))


def test_no_issuer_keeps_others_from_promising(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its own limit it is refused, another is not; at the limit of all everybody is."""
    monkeypatch.setattr(handlers, "COMMITMENTS_OF_ISSUER_MAX", 2)
    world = EconomyWorld()
    world.run(world.commits(more(world)))
    one_more = world.commits(more(world, id="third", region="ap-south"))
    assert world.reason(one_more) is Reason.TOO_MANY
    world.run(world.commits(more(world, "val1")))
    monkeypatch.setattr(handlers, "COMMITMENTS_MAX", 6)
    assert world.reason(world.commits(more(world, "val2"))) is Reason.TOO_MANY


# From proposed to over.


def test_two_groups_make_a_commitment_live() -> None:
    """One does not; the second counts in the very block."""
    world = EconomyWorld()
    before = world.reserve().reserve
    proposed(world)
    world.run(world.attests("north", "val0", of="more"))
    assert (state_of(world), world.reserve().reserve) == (CommitmentState.PROPOSED, before)
    world.run(world.attests("south", "val0", of="more"))
    assert state_of(world) is CommitmentState.LIVE
    assert world.reserve().reserve == before + 900_000 * 100 * DAY_MS // PERIOD_MS


def test_a_proposal_lapses_after_seven_days() -> None:
    """Attested at its last moment it lives, a millisecond later it was never there and its
    devices are free."""
    world = EconomyWorld()
    proposed(world)
    held = world.capacity("val0", "more")
    assert held is not None
    last_ms = held.since_ms + 7 * DAY_MS
    world.until(last_ms)
    assert state_of(world) is CommitmentState.PROPOSED
    late = world.attests("north", "val0", of="more")
    assert world.reason(late) is Reason.UNKNOWN_COMMITMENT
    world.run()
    assert state_of(world) is None
    assert DEVICES.get(world.draft, device("more/1")) is None
    assert world.reason(late) is Reason.UNKNOWN_COMMITMENT


def test_a_lapsed_name_begins_anew_without_its_old_devices() -> None:
    """Proposed again under the same name, it has none, and they can be pledged to it."""
    world = EconomyWorld()
    proposed(world)
    world.until(world.clock_ms + 7 * DAY_MS + 1)
    assert state_of(world) is None
    proposed(world)
    held = world.capacity("val0", "more")
    assert held is not None
    assert held.devices == 60


def test_a_commitment_attested_late_is_live_until_its_end() -> None:
    """Attested at the last moment of its proposal; over one millisecond after its end."""
    world = EconomyWorld()
    made = proposed(world)
    world.until(world.clock_ms + 7 * DAY_MS - 1)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    assert state_of(world) is CommitmentState.LIVE
    world.until(made.to_ms)
    assert state_of(world) is CommitmentState.LIVE
    assert DEVICES.get(world.draft, device("more/1")) is not None
    world.run()
    assert state_of(world) is None
    assert DEVICES.get(world.draft, device("more/1")) is None
    assert load(world.state, Device, device("more/1")) is None


# Devices.


def roomy() -> EconomyWorld:
    """The usual commitments promise so much more that 300 further machines are of use."""
    world = EconomyWorld()
    for name in ("val0", "val1"):
        held = world.capacity(name)
        assert held is not None
        world.run(world.amends(name, f"capacity-{name}", 6_000_000, held.terms.to_ms))
    return world


def test_no_more_devices_are_pledged_than_the_promised_hours_need() -> None:
    """Hours of sixty machines are promised: sixty fit, one more does not, neither at once nor
    later; a millionth of an hour more needs another one."""
    world = EconomyWorld()
    made = more(world)
    names = [f"more/{index}" for index in range(MACHINES + 1)]
    world.run(world.commits(made))
    assert world.reason(world.pledges("val0", "more", *names)) is Reason.TOO_MANY
    world.run(world.pledges("val0", "more", *names[1:]))
    one_more = world.pledges("val0", "more", names[0])
    assert world.reason(one_more) is Reason.TOO_MANY
    world.run(world.amends("val0", "more", made.microhours + 1, made.to_ms))
    world.run(world.pledges("val0", "more", names[0]))
    assert world.reason(world.pledges("val0", "more", "another")) is Reason.TOO_MANY


@pytest.mark.parametrize(
    ("microhours", "period_ms", "devices"),
    [
        (1, PERIOD_MS, 1),
        (16_666, PERIOD_MS, 1),
        (16_667, PERIOD_MS, 2),
        (1_000_000, 3_600_000, 1),
        (1_000_001, 3_600_000, 2),
        (1 << 40, PERIOD_MS, 65_970_698),
    ],
)
def test_devices_are_needed_in_whole(microhours: int, period_ms: int, devices: int) -> None:
    """Rounded up: the last one may have time to spare."""
    assert devices_needed(microhours, period_ms) == devices


def test_a_device_is_pledged_once() -> None:
    """Neither twice to one commitment, nor to another, nor by another issuer."""
    world = roomy()
    proposed(world, 30)
    for issuer, name in (("val0", "more"), ("val0", "capacity-val0"), ("val1", "capacity-val1")):
        assert world.reason(world.pledges(issuer, name, "more/1")) is Reason.DEVICE_PLEDGED
    first, second = (
        world.pledges("val0", "more", "shared"),
        world.pledges("val1", "capacity-val1", "shared"),
    )
    assert world.reason(first, second) is Reason.DEVICE_PLEDGED
    assert world.reason(second, first) is Reason.DEVICE_PLEDGED


def test_devices_are_pledged_to_the_very_commitment_and_to_no_later_one_of_its_name() -> None:
    """A proposal lapses with more devices than a block sweeps; proposed again under its name, what
    is not swept yet is free for anybody."""
    world = roomy()
    made = more(world, microhours=5_000_000)
    names = [f"x{index}" for index in range(SWEEP_OBJECTS_MAX + 20)]
    world.run(
        world.commits(made),
        world.pledges("val0", "more", *names[:200], version=0),
        world.pledges("val0", "more", *names[200:], version=1, number=1),
    )
    again, last = world.commits(made), max(names, key=device)
    other = world.pledges("val1", "capacity-val1", last)
    world.until(world.clock_ms + 7 * DAY_MS - 1)
    assert world.reason(other) is Reason.DEVICE_PLEDGED
    world.run()
    left = world.execution(1)
    assert load(left, Device, device(last)) is not None
    world.run(again, other)
    held = world.capacity("val0", "more")
    assert held is not None
    assert (held.born, held.devices) == (world.state.head.header.height, 0)
    found = DEVICES.get(world.draft, device(last))
    assert found is not None
    assert found.issuer == "val1"
    world.run()
    pledged = [item for item in world.draft.all(Device) if item.issuer == "val0"]
    assert len(pledged) == MACHINES


def test_256_devices_fit_into_one_operation() -> None:
    """One more does not decode; two that stand in the wrong order are refused."""
    world = roomy()
    names = [f"x{index}" for index in range(257)]
    with pytest.raises(Invalid) as caught:
        decode(world.pledges("val0", "capacity-val0", *names).raw)
    assert caught.value.reason is Reason.MALFORMED
    world.run(world.pledges("val0", "capacity-val0", *names[:256]))
    ids = sorted((device("y1"), device("y2")))
    public = key("val0/operations").public
    for devices in ((ids[1], ids[0]), (ids[0], ids[0])):
        wrong = PledgeDevices("val0", public, 1, 1, "capacity-val0", 2, devices)
        assert world.reason(world.does(wrong, "val0/operations")) is Reason.DEVICE_PLEDGED
    late = world.pledges("val0", "capacity-val0", "y1", version=0)
    assert world.reason(late) is Reason.WRONG_VERSION
    nothing = world.pledges("val0", "nothing", "y1")
    assert world.reason(nothing) is Reason.UNKNOWN_COMMITMENT


def test_free_pledges_of_256_devices_come_one_a_block() -> None:
    """Each 8 devices begun count as one operation, of which a block holds 51 free ones: beside 256
    devices 152 fit, and not one more; in one transaction there are no more than 256."""
    world = roomy()
    held = world.capacity()
    assert held is not None
    world.run(world.amends("val0", "capacity-val0", 9_000_000, held.terms.to_ms))
    names = [f"x{index}" for index in range(256 + 153)]
    first = world.pledges("val0", "capacity-val0", *names[:256])
    full = world.pledges("val0", "capacity-val0", *names[256:], version=3, number=1)
    fits = world.pledges("val0", "capacity-val0", *names[257:], version=3, number=1)
    assert [count_of(tx.body.operations) for tx in (first, full, fits)] == [32, 20, 19]
    assert world.reason(first, full) is Reason.FREE_QUOTA
    world.run(first, fits)
    ids = tuple(sorted(map(device, names[256:])))
    public = key("val0/operations").public
    both = [
        PledgeDevices("val0", public, 1, 2 + number, "capacity-val0", 2, part)
        for number, part in enumerate((ids, ids[:100]))
    ]
    tx = sign(world.body(operations=both), [], ["val0/operations"])
    assert count_of(both) == 33
    with pytest.raises(Invalid) as caught:
        check_stateless(tx, world.chain_id, world.fees)
    assert caught.value.reason is Reason.TOO_MANY


def test_devices_of_an_issuer_are_limited_whatever_it_promises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over all its commitments; another issuer has its own, and what ends makes room."""
    monkeypatch.setattr(handlers, "DEVICES_OF_ISSUER_MAX", MACHINES + 4)
    world = EconomyWorld()
    world.run(world.commits(more(world, microhours=MICROHOURS_MAX)))
    names = [f"x{index}" for index in range(5)]
    assert world.reason(world.pledges("val0", "more", *names)) is Reason.TOO_MANY
    world.run(world.pledges("val0", "more", *names[:4]))
    assert world.reason(world.pledges("val0", "more", names[4])) is Reason.TOO_MANY
    world.run(world.commits(more(world, "val1")))
    world.run(world.pledges("val1", "more", names[4]))
    world.until(world.clock_ms + 7 * DAY_MS + 1)
    world.run(world.commits(more(world, microhours=MICROHOURS_MAX)))
    world.run(world.pledges("val0", "more", *(f"y{index}" for index in range(4))))


def test_hours_without_devices_count_for_nothing() -> None:
    """Attested in full: with 30 machines only what those deliver."""
    world = EconomyWorld()
    before = world.reserve().reserve
    periods = 100 * DAY_MS // PERIOD_MS
    world.run(world.commits(more(world)))
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    assert state_of(world) is CommitmentState.LIVE
    assert world.reserve().reserve == before
    world.run(world.pledges("val0", "more", *(f"more/{index}" for index in range(30))))
    assert world.reserve().reserve == before + 500_000 * periods


# Amendments.


def test_a_promise_grows_and_never_shrinks() -> None:
    """More hours or a later end; less of either, neither, a void end, an overlap are refused."""
    world = EconomyWorld()
    held = world.capacity()
    assert held is not None
    hours, to_ms = held.terms.microhours, held.terms.to_ms
    for less in ((hours - 1, to_ms), (hours, to_ms - PERIOD_MS), (hours, to_ms + 1)):
        assert world.reason(world.amends("val0", "capacity-val0", *less)) is Reason.BAD_SCHEDULE
    same = world.amends("val0", "capacity-val0", hours, to_ms)
    assert world.reason(same) is Reason.NO_EFFECT
    world.run(world.commits(more(world, region="eu-west", from_ms=to_ms, to_ms=to_ms + DAY_MS)))
    longer = world.amends("val0", "capacity-val0", hours, to_ms + PERIOD_MS)
    assert world.reason(longer) is Reason.OVERLAPPING_SCHEDULE
    before = world.reserve().reserve
    world.run(world.amends("val0", "capacity-val0", hours + 500_000, to_ms))
    assert world.reserve().reserve == before
    after = world.attests("north", "val0", hours + 500_000)
    world.run(after)
    too_much = world.attests("south", "val0", hours + 500_001)
    assert world.reason(too_much) is Reason.ABOVE_COMMITMENT


def test_devices_stay_pledged_over_an_amended_end() -> None:
    """At the first end still pledged, after the second free."""
    world = roomy()
    made = proposed(world)
    world.run(*(world.attests(group, "val0", of="more") for group in GROUPS))
    world.run(world.amends("val0", "more", made.microhours, made.to_ms + 2 * DAY_MS))
    world.until(made.to_ms + 1)
    again = world.pledges("val1", "capacity-val1", "more/1")
    assert world.reason(again) is Reason.DEVICE_PLEDGED
    world.until(made.to_ms + 2 * DAY_MS + 1)
    world.run(world.pledges("val1", "capacity-val1", "more/1"))
