"""A part of the small schedules with a pair of twins, and whether a broken protocol shows there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from consensus import replica_state
from consensus.effects import Now
from tests.sim import twins
from tests.sim.resumable import fingerprint, save
from tests.sim.twins import Scenario, failure_of, sample

SEED = 2


@pytest.mark.parametrize(("window", "count"), [(1, 450), (4, 250)])
def test_sampled_scenarios_hold(window: int, count: int) -> None:
    """Agreement, order and progress after healing; a failure comes with its number."""
    failures = {number: failure_of(number, window) for number in sample(SEED, count)}
    assert {number: text for number, text in failures.items() if text} == {}


def test_a_replica_that_forgets_certificates_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary: entering a view with empty hands is found within a few hundred scenarios."""
    enter = replica_state.ReplicaState._enter

    def forgetful(state: replica_state.ReplicaState, view: int, now: Now) -> None:
        enter(state, view, now)
        state.prepared = {}

    monkeypatch.setattr(replica_state.ReplicaState, "_enter", forgetful)
    failures = {failure_of(number, 1).partition(" at ")[0] for number in sample(SEED, 300)}
    assert any("decides another block" in failure for failure in failures)


def test_a_number_is_a_scenario() -> None:
    """Each number of a pair is another scenario, and together they are all of them."""
    step = twins.FIRST * twins.SECOND * twins.THIRD
    first = [Scenario(number).rounds for number in range(0, step, twins.SECOND * twins.THIRD)]
    second = [Scenario(number).rounds for number in range(0, twins.SECOND * twins.THIRD, 64)]
    third = [Scenario(number).rounds for number in range(twins.THIRD)]
    assert len({rounds[0] for rounds in first}) == len(first) == 16 * 3
    assert len({rounds[1] for rounds in second}) == len(second) == 16 * 3 * 4
    assert len({rounds[2] for rounds in third}) == len(third) == 16 * 4
    assert {Scenario(step - 1).pair, Scenario(step).pair} == set(twins.PAIRS)


def test_a_campaign_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a part of it, only the rest is run; neither another window nor other code continues."""
    monkeypatch.setattr(twins, "CHUNK", 2)
    monkeypatch.setattr(twins, "SCENARIOS", 4)
    state = tmp_path / "state.json"
    begun = twins.CampaignState(fingerprint(Path(twins.__file__)), 1, 1, ("number 0 failed",))
    save(msgspec.json.encode(begun), state)
    assert twins.main(["--all", "--state", str(state)]) == 1
    assert state.read_bytes() == msgspec.json.encode(replace(begun, chunks=2))
    with pytest.raises(SystemExit, match="is of window 1"):
        twins.main(["--all", "--window", "4", "--state", str(state)])
    save(msgspec.json.encode(replace(begun, code="older")), state)
    with pytest.raises(SystemExit, match="of another version"):
        twins.main(["--all", "--state", str(state)])
