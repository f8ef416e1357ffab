"""How much an address may ask for: buckets by a clock of the test, and real requests."""

from __future__ import annotations

import pytest

from node.api import rates, schemas
from node.api.rates import ADDRESSES_MAX, BURST_S, LOOPBACK_RATE, RATE, Rates
from node.api.server import RATES, ROUTES
from node.config import ApiSection
from tests.node.api.harness import open_api


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_limits_are_those_that_are_published() -> None:
    assert ApiSection().rate_per_address == RATE == 400
    assert LOOPBACK_RATE >= 10 * RATE
    assert max(route.weight for route in ROUTES) <= RATE * BURST_S
    free = {route.path for route in ROUTES if not route.weight}
    assert free == {"/v1/transactions", "/v1/transactions/batch"}


def test_a_burst_then_the_rate() -> None:
    """A full bucket is spent at once; what comes in a second is spent in a second."""
    clock = Clock()
    held = Rates(clock, rate=8)
    assert [held.take("a", 1) for _ in range(8 * BURST_S)] == [0.0] * (8 * BURST_S)
    assert held.take("a", 1) == 0.125
    assert held.refused == 1
    clock.now_s += 0.125
    assert held.take("a", 1) == 0.0
    assert held.take("a", 4) == 0.5
    clock.now_s += 1.0
    assert [held.take("a", 1) for _ in range(8)] == [0.0] * 8
    assert held.take("a", 1) > 0


def test_a_refusal_costs_nothing_and_a_bucket_has_a_brim() -> None:
    clock = Clock()
    held = Rates(clock, rate=10)
    held.take("a", 10 * BURST_S)
    for _ in range(100):
        assert held.take("a", 20) == pytest.approx(2.0)
    clock.now_s += 2.0
    assert held.take("a", 20) == 0.0
    clock.now_s += 1_000_000
    assert held.take("a", 10 * BURST_S) == 0.0
    assert held.take("a", 1) > 0


def test_addresses_do_not_share_and_loopback_is_wide() -> None:
    held = Rates(Clock(), rate=1)
    held.take("a", BURST_S)
    assert held.take("a", 1) > 0
    assert held.take("b", 1) == 0.0
    assert held.take("", LOOPBACK_RATE * BURST_S) == 0.0
    assert held.take("", 1) == pytest.approx(1 / LOOPBACK_RATE)


def test_what_costs_nothing_is_never_refused() -> None:
    held = Rates(Clock(), rate=1)
    held.take("a", BURST_S)
    assert held.take("a", 0) == 0.0
    assert len(held) == 1


def test_the_table_is_bounded_and_forgets_who_asked_longest_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ADDRESSES_MAX <= 10_000
    monkeypatch.setattr(rates, "ADDRESSES_MAX", 3)
    held = Rates(Clock(), rate=1)
    for address in ("a", "b", "c"):
        held.take(address, BURST_S)
    assert held.take("a", 1) > 0
    held.take("d", 1)
    assert len(held) == 3
    assert held.take("a", 1) > 0
    assert held.take("b", 1) == 0.0


async def test_a_request_too_many_is_told_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole bucket is spent: a problem with Retry-After on every route but those that submit,
    for those that there are not as well; later they are answered."""
    async with open_api() as api:
        clock = Clock()
        held = api.app[RATES]
        monkeypatch.setattr(held, "_clock", clock)
        held._buckets.clear()
        held.take("", LOOPBACK_RATE * BURST_S)
        for path in ("/status", "/blocks", "/nothing", "/events"):
            reply = await api.ask(path)
            assert (reply.status, reply.code) == (429, "rate_limited"), path
            assert reply.headers["Retry-After"] == "1"
        tx = api.node.world.transfer("alice", "bob")
        sent = await api.ask("/transactions", tx.raw)
        assert sent.status == 202
        check = await api.ask("/transactions/check", tx.raw)
        assert (check.status, check.code) == (429, "rate_limited")
        clock.now_s += 1.0
        assert (await api.read("/status", schemas.Status)).sync.height == 0
        async with api.session.get(f"{api.ops_url}/livez") as response:
            assert response.status == 200
