"""Random actions on rules, model and second implementation: the same to the byte."""

from __future__ import annotations

import pytest

from ledger import operations as ops
from ledger.handlers import capacity
from ledger.operations import Mint
from ledger.reasons import Reason
from ledger.times import MINUTE_MS
from ledger.transaction import Output
from tests.economy import actions as model_actions
from tests.economy import stream
from tests.economy.second_stage import SecondStage
from tests.economy.stage import ISSUERS
from tests.economy.stream import Stream
from tests.ledger import second_capacity
from tests.ledger.world import key, lock_of, sign

ACTIONS = 300
"""The second implementation is naive: a fiftieth of a second each."""


@pytest.mark.parametrize("seed", [100, 101])
def test_both_implementations_agree_on_random_actions(seed: int) -> None:
    """Every answer with its reason, every object after every block, every tenth block its root."""
    stage = SecondStage()
    Stream(seed, stage).run(ACTIONS)
    assert len(stage.taken) > 12 and len(stage.refused) > 8


def test_all_agree_on_which_application_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty names apply in turns, within a few minutes: the list is full and each goes on."""
    names = tuple(f"new{index}" for index in range(20))
    monkeypatch.setattr(stream, "APPLICANTS", names)
    monkeypatch.setattr(Stream, "expiry", lambda self: self.model.clock + 40_000 * MINUTE_MS)
    stage = SecondStage()
    actions, waited = Stream(7, stage), set[str]()
    for block in range(20):
        stage.begin(1_000)
        for _ in range(6):
            actions.apply()
        stage.end(counted=block % 10 == 0)
        waited |= stage.model.licences.keys() & set(names)
    assert len(waited) > 16
    assert [held.state for held in stage.model.licences.values()].count("applied") == 16


def test_all_agree_on_names_that_somebody_else_applied_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twelve names apply under each other's display names, and some are granted over that."""
    monkeypatch.setattr(stream, "APPLICANTS", tuple(f"new{index}" for index in range(12)))
    monkeypatch.setattr(Stream, "expiry", lambda self: self.model.clock + 40_000 * MINUTE_MS)
    stage = SecondStage()
    actions, shared = Stream(7, stage), set[str]()
    for block in range(20):
        stage.begin(1_000)
        actions.admit()
        for _ in range(3):
            actions.apply()
        stage.end(counted=block % 10 == 0)
        held = stage.model.licences.values()
        asked = {item.title for item in held if item.state == "applied"}
        shared |= asked & {item.title for item in held if item.state == "active"}
    assert shared


def test_all_agree_on_how_many_operations_a_block_holds() -> None:
    """Free ones are a fifth of 256, in however few transactions: the 52nd is refused by both."""
    stage = SecondStage()
    stage.begin(1_000)
    world, signer, taken = stage.world, f"{ISSUERS[0]}/treasury", 0
    for count, is_taken in ((16, True), (16, True), (16, True), (4, False), (3, True), (1, False)):
        operations = [Mint(ISSUERS[0], key(signer).public, 0, taken + n, 1) for n in range(count)]
        output = Output(world.asset(ISSUERS[0]), count, lock_of("alice"))
        tx = sign(world.body([], [output], operations=operations), [], [signer])
        reason = stage.try_out("mint", tx, lambda is_taken=is_taken: is_taken)  # type: ignore[misc]
        assert reason is (None if is_taken else Reason.FREE_QUOTA)
        taken += count * is_taken


def test_all_agree_on_how_many_devices_an_issuer_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit made small: commitments are made, machines pledged until it is reached."""
    monkeypatch.setattr(capacity, "DEVICES_OF_ISSUER_MAX", 100)
    for module in (model_actions, second_capacity):
        monkeypatch.setattr(module, "DEVICES_MAX", 100)
    stage = SecondStage()
    actions = Stream(3, stage)
    for _ in range(12):
        stage.begin(1_000)
        for _ in range(4):
            actions.commit()
            actions.pledge()
        stage.end(counted=False)
    assert stage.taken["pledge-devices"] and stage.refused["too_many"]


def test_all_agree_on_words_of_hours_that_have_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours to come are vouched for by many, by some up to the end of the present period or to the
    beginning, by some up to the end of the first one: what counts, and what is refused."""
    anywhere, ends = Stream.place, set[int]()

    def coming(self: Stream) -> tuple[str, str]:
        held = self.model.commitments.items()
        found = sorted(place for place, item in held if item.begin > self.model.clock)
        return self.rng.choice(found) if found else anywhere(self)

    monkeypatch.setattr(Stream, "place", coming)
    stage = SecondStage()
    actions = Stream(8, stage)
    for _ in range(12):
        stage.begin(1_000)
        for act in (actions.commit, actions.commit, actions.pledge, *(actions.attest,) * 9):
            act()
        stage.end(counted=False)
        for item in stage.model.commitments.values():
            if item.begin > stage.model.clock and item.state == "live":
                period = stage.model.times.period
                ends |= {(word.until - item.begin) // period for word in item.said.values()}
    assert min(ends) == 1 < max(ends)


def test_all_agree_when_attestors_come_back() -> None:
    """They are removed and admitted again and again, one that vouched for much at once: what they
    had said of any commitment goes."""
    stage = SecondStage()
    actions = Stream(9, stage)
    grant = stage.world.genesis.attestors[0]
    assert any(grant.id in held.said for held in stage.model.commitments.values())
    stage.begin(1_000)
    actions.govern(ops.RemoveAttestor(grant.id, 1), lambda: actions._remove(grant.id, True))
    actions.govern(ops.AdmitAttestor(grant, 2), lambda: actions._readmit(grant.id, grant.group))
    stage.end(counted=True)
    assert not any(grant.id in held.said for held in stage.model.commitments.values())
    for block in range(8):
        stage.begin(1_000)
        for act in (*(actions.attestor,) * 12, actions.attest):
            act()
        stage.end(counted=block % 4 == 0)
    assert stage.taken["admit-attestor"] > 4
