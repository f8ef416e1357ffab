"""Panels: who may rule on a challenge, and that somebody always may."""

from __future__ import annotations

import msgspec
import pytest

from ledger.economy.attestor import PANEL_NEEDED, PANEL_SEATS, draw_panel
from ledger.economy.capacity import CapacityCommitment, CommitmentState, Measure, attested
from ledger.economy.challenge import Challenge
from ledger.objects import load
from ledger.operations import AdmitAttestor, RemoveAttestor, Rule
from ledger.reasons import Invalid, Reason
from tests.ledger.test_challenges import (
    NAME,
    challenges,
    contested,
    new_world,
    rules,
    state_of,
)
from tests.ledger.world import DAY_MS, GROUPS, PANEL_GROUPS, PERIOD_MS, TIME_MS, key, terms


def test_no_group_of_a_party_sits_on_the_panel() -> None:
    """Five of distinct groups; the three that attested are parties."""
    world = new_world()
    held = contested(world)
    assert sorted(held.panel) == sorted(f"att-{group}" for group in PANEL_GROUPS)
    for group in ("north", "south", "west"):
        assert world.reason(rules(world, group, upheld=True)) is Reason.NOT_ON_PANEL


def test_a_panel_has_one_seat_a_group_and_nobody_chooses_it() -> None:
    """Twelve attestors in six groups, one of them a party's: five seats, by the seed."""
    groups = {f"{group}{index}": group for group in "abcdef" for index in (1, 2)}
    panels = {draw_panel(groups, ["a1"], bytes([seed])) for seed in range(60)}
    for panel in panels:
        assert len(panel) == PANEL_SEATS == len({groups[name] for name in panel})
        assert "a" not in {groups[name] for name in panel}
    assert len(panels) > 40
    assert {name for panel in panels for name in panel} == set(groups) - {"a1", "a2"}
    assert draw_panel({"a1": "a", "b1": "b"}, ["a1"], b"") == ("b1",)


def test_a_challenge_needs_as_many_as_decide() -> None:
    """With two on the panel, because attestors are gone, it is refused; with three it holds, and
    all of them decide it."""
    world = new_world()
    gone = [RemoveAttestor(f"att-{group}", 1) for group in PANEL_GROUPS[:3]]
    world.run(world.govern(*gone))
    assert world.reason(challenges(world)) is Reason.NO_PANEL
    grant = next(item for item in world.genesis.attestors if item.id == gone[0].attestor)
    world.run(world.govern(AdmitAttestor(grant, 2)))
    assert len(contested(world).panel) == PANEL_NEEDED
    left = (PANEL_GROUPS[0], *PANEL_GROUPS[3:])
    world.run(*(rules(world, group, upheld=True) for group in left))
    world.run()
    assert state_of(world) is CommitmentState.VOID


def test_a_member_that_became_a_party_rules_no_more() -> None:
    """It attested since, or came back under the group of one that did, or of one that has ruled:
    every vote is of a group that could be drawn, and of another one."""
    world = new_world()
    contested(world)
    world.run(world.attests("east", "val0"))
    assert world.reason(rules(world, "east", upheld=False)) is Reason.NOT_ON_PANEL
    for name, group in (("upper", "north"), ("lower", "inner")):
        world.run(world.govern(RemoveAttestor(f"att-{name}", 1)))
        found = next(item for item in world.genesis.attestors if item.group == name)
        moved = msgspec.structs.replace(found, group=group)
        world.run(world.govern(AdmitAttestor(moved, 2)))
    assert world.reason(rules(world, "upper", upheld=False)) is Reason.NOT_ON_PANEL
    world.run(rules(world, "inner", upheld=True))
    assert world.reason(rules(world, "lower", upheld=True)) is Reason.NOT_ON_PANEL
    world.run(rules(world, "outer", upheld=True))
    held = load(world.state, Challenge, NAME)
    assert held is not None
    assert [vote.attestor for vote in held.votes] == ["att-inner", "att-outer"]


def test_a_vote_is_for_one_challenge_and_counts_once() -> None:
    """Again, for another moment, by another key, where nothing is contested: refused."""
    world = new_world()
    before = rules(world, "east", upheld=True, since_ms=5)
    assert world.reason(before) is Reason.UNKNOWN_CHALLENGE
    held = contested(world)
    world.run(rules(world, "east", upheld=True))
    assert world.reason(rules(world, "east", upheld=False)) is Reason.REPLAYED_OPERATION
    early = rules(world, "upper", upheld=True, since_ms=held.since_ms - 1)
    assert world.reason(early) is Reason.UNKNOWN_CHALLENGE
    signer = "attestor/att-east"
    wrong = Rule("att-upper", key(signer).public, "val0", "capacity-val0", True, held.since_ms)
    assert world.reason(world.does(wrong, signer)) is Reason.WRONG_ROLE_KEY
    world.run(world.govern(RemoveAttestor("att-lower", 1)))
    assert world.reason(rules(world, "lower", upheld=True)) is Reason.UNKNOWN_ATTESTOR


def test_no_word_takes_one_of_the_last_three_seats() -> None:
    """Of eight groups five speak, the same ones as often as they like, and the sixth is refused:
    the commitment can be challenged whoever vouches for it. Who fell silent makes room, and may
    judge again."""
    world = new_world()
    world.run(*(world.attests(group, "val0") for group in PANEL_GROUPS[:2]))
    sixth = world.attests(PANEL_GROUPS[2], "val0")
    assert world.reason(sixth) is Reason.NO_PANEL
    world.run(*(world.attests(group, "val0") for group in (GROUPS[0], PANEL_GROUPS[0])))
    panel = {f"att-{group}" for group in PANEL_GROUPS[2:]}
    assert set(contested(world).panel) == panel
    world = new_world()
    world.run(*(world.attests(group, "val0") for group in PANEL_GROUPS[:2]))
    world.until(TIME_MS + 7 * DAY_MS - PERIOD_MS)
    world.run(world.attests(GROUPS[0], "val0"))
    assert world.reason(world.attests(PANEL_GROUPS[2], "val0")) is Reason.NO_PANEL
    world.until(TIME_MS + 7 * DAY_MS)
    world.run(world.attests(PANEL_GROUPS[2], "val0"))
    held = world.capacity()
    assert held is not None
    spoken = [item.attestor for item in held.attestations]
    assert spoken == sorted((f"att-{GROUPS[0]}", f"att-{PANEL_GROUPS[2]}"))


@pytest.mark.parametrize(
    ("needed", "groups", "most"), [(2, 8, 5), (2, 6, 3), (2, 4, 3), (3, 8, 5), (3, 6, 5), (3, 9, 6)]
)
def test_so_many_speak_that_liars_keep_nobody_from_it(needed: int, groups: int, most: int) -> None:
    """All but three groups, and 2 k - 1 where there are few: k - 1 that lie leave room for k. A
    second attestor of a group that spoke takes no seat."""
    names = {f"a{number}": f"g{number}" for number in range(groups)} | {"twin": "g0"}
    measure = Measure(names, needed, PERIOD_MS, 7 * DAY_MS, TIME_MS)
    held = CapacityCommitment(
        terms("val0"), CommitmentState.LIVE, 0, TIME_MS, 0, 60, (), 0, 0, 0, 0
    )
    end_ms = held.terms.to_ms
    for number in range(most):
        held = attested(held, f"a{number}", figure=9, until_ms=end_ms, measure=measure)
    held = attested(held, "twin", figure=9, until_ms=end_ms, measure=measure)
    with pytest.raises(Invalid) as caught:
        attested(held, f"a{most}", figure=9, until_ms=end_ms, measure=measure)
    assert caught.value.reason is Reason.NO_PANEL
