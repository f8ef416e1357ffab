"""Orders for compute on rules, model and second implementation: the same to the byte."""

from __future__ import annotations

import pytest

from ledger import redeeming
from ledger.economy import book
from tests.economy import model_orders
from tests.economy.model_values import OPEN
from tests.economy.second_stage import SecondStage
from tests.economy.stream import Stream
from tests.ledger import second_order_book, second_redemption_system

BLOCKS = 30
FADES = 21
"""Blocks of half a minute, after which attestations cover no longer what is outstanding."""


class Crowd(Stream):
    """Orders and little else: who attests and mints keeps the coins good."""

    def block(self, orders: int, *, after_ms: int = 20_000, counted: bool = False) -> None:
        self.stage.begin(after_ms)
        for _ in range(orders):
            self.redeeming.act()
        self.attest()
        self.mint()
        self.stage.end(counted=counted)


def test_all_agree_on_orders() -> None:
    """Orders alone, or nearly: each open state is met, and what a panel rules; receipts of fast
    devices draft a step."""
    stage = SecondStage()
    crowd, states, drafts = Crowd(21, stage), set[str](), set[int]()
    for number in range(BLOCKS):
        crowd.block(8, counted=number % 10 == 0)
        states |= {item.state for item in stage.model.asks.values()}
        if stage.model.step is not None:
            assert stage.model.step.state == "draft"
            drafts.add(stage.model.step.since)
    assert states >= {*OPEN, "cancelled", "ruled"}
    assert drafts


def ordered(seed: int, *, blocks: int) -> SecondStage:
    """So many blocks in which six orders each are tried."""
    stage = SecondStage()
    crowd = Crowd(seed, stage)
    for _ in range(blocks):
        stage.begin(5_000)
        for _ in range(6):
            crowd.redeeming.redeem()
        stage.end(counted=False)
    return stage


def test_all_agree_on_how_many_orders_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit made small."""
    monkeypatch.setattr(book, "ORDERS_OF_COMMITMENT_MAX", 2)
    for module in (model_orders, second_order_book):
        monkeypatch.setattr(module, "OPEN_MAX", 2)
    stage = ordered(4, blocks=8)
    assert stage.refused["too_many"] and stage.taken["redeem"]


def test_all_agree_on_the_least_among_many_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each open order doubles it here."""
    monkeypatch.setattr(book, "ORDERS_A_DOUBLING", 1)
    for module in (model_orders, second_order_book):
        monkeypatch.setattr(module, "DOUBLED_BY", 1)
    stage = ordered(6, blocks=12)
    assert stage.refused["low_amount"] and stage.taken["redeem"]


def test_all_agree_on_a_queue_that_one_block_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time: those that wait behind them are asked in the next blocks, in order."""
    monkeypatch.setattr(redeeming, "QUEUE_ASKED_MAX", 2)
    monkeypatch.setattr(second_redemption_system, "ASKED_MAX", 2)
    monkeypatch.setattr(model_orders, "ASKED_MAX", 2)
    stage = SecondStage()
    crowd, halves, promoted = Crowd(5, stage), 0, 0
    for _ in range(BLOCKS):
        waited = {order for order, x in stage.model.asks.items() if x.state == "queued"}
        stage.begin(15_000)
        found = stage.model.asks
        promoted += sum(order in found and found[order].state == "requested" for order in waited)
        for _ in range(6):
            crowd.redeeming.crowd()
        stage.end(counted=False)
        halves += any(stage.model.turns.values())
    assert halves and promoted


def test_all_agree_on_receipts_of_coins_that_are_covered_in_part() -> None:
    """Orders are made ready while all is covered, and the words of attestors fade; then as much is
    posted as was ordered: of some all coins that are left are taken, for less than they are."""
    stage = SecondStage()
    crowd = Crowd(2, stage)
    for number in range(FADES):
        stage.begin(30_000)
        acts = (crowd.redeeming.redeem,) * 4 if number >= FADES - 8 else ()
        for act in (*acts, *(crowd.redeeming.accept, crowd.redeeming.get_ready) * 2):
            act()
        stage.end(counted=False)
    for _ in range(6):
        stage.begin(15_000)
        for _ in range(5):
            crowd.redeeming.post()
        stage.end(counted=False)
    found = [item for item in stage.model.asks.values() if item.claimed]
    assert any(item.left <= 1 and item.burned for item in found)
