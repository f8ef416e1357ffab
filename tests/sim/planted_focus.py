"""What a planted bug may ask of the plans that its search draws: more of what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.sim.plan import Episode, Evil, Plan, Weak


def pressed(plan: Plan) -> Plan:
    """Views end often, with blocks prepared and not decided; machines restart in between."""
    episodes = (Episode.CRASH, Episode.MUTE, Episode.PRESS, Episode.ISOLATE_PRIMARY)
    return replace(plan, episodes=episodes, episode_gap_ms=500, fault_ms=20_000, load_gap_ms=200)


def laddered(plan: Plan) -> Plan:
    """One height is prepared differently in one view after another."""
    return replace(plan, episodes=(Episode.LADDER,), evil={}, weak={}, fault_ms=20_000)


def forged(plan: Plan) -> Plan:
    """The first member forges while one height is prepared in one view after another."""
    return replace(laddered(plan), evil={0: Evil.FORGER})


def four_in_flight(plan: Plan) -> Plan:
    """The window is open."""
    return replace(plan, window=4)


def flipped_records(plan: Plan) -> Plan:
    """Bits flip between the records of one log, and nobody else remembers who voted for what."""
    plan = bad_disk(Weak.FLIPPED)(plan)
    return replace(plan, flipped=("middle",), episodes=(Episode.POWER,), episode_gap_ms=500)


def bad_disk(kind: Weak) -> Callable[[Plan], Plan]:
    """The disk of the second member does this, and nobody is evil."""

    def focus(plan: Plan) -> Plan:
        return replace(
            plan,
            evil={},
            weak={1: kind},
            fault_ms=20_000,
            load_gap_ms=200,
            epoch_blocks=1_000,
            turns=(),
        )

    return focus
