"""Clients have the part of a node's time that their transactions are of the network's load."""

from __future__ import annotations

import asyncio
from itertools import groupby

import pytest

from node import turns as module
from node.turns import MEASURED_S, START_S, Turns

DEADLINE_S = 5.0


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice holds one thing."""
    monkeypatch.setattr(module, "SLICE_S", 0.0)


async def run(turns: Turns, own: int, pushed: int) -> str:
    """Who had the slices while clients and peers had so many each."""
    order: list[str] = []

    async def peers() -> None:
        turns.pushed(is_pushed=True)
        await turns.each(range(pushed), lambda _: order.append("p"), is_own=False, after=int)
        turns.pushed(is_pushed=False)

    async def clients() -> None:
        await turns.each(range(own), lambda _: order.append("c"), is_own=True, after=int)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        if pushed:
            group.create_task(peers())
        group.create_task(clients())
    return "".join(order)


@pytest.mark.parametrize("peers", [1, 3, 15])
@pytest.mark.usefixtures("one_each")
async def test_clients_have_one_slice_for_one_of_each_peer(peers: int) -> None:
    """While both have something; then who is left has all."""
    turns = Turns(Clock())
    turns.peers = peers
    order = await run(turns, 10, 5 * peers)
    runs = [(who, len(list(run))) for who, run in groupby(order)]
    assert runs[1:8] == [("c", 1), ("p", peers)] * 3 + [("c", 1)]
    assert (order.count("c"), order.count("p")) == (10, 5 * peers)
    assert order.endswith("cccc")


@pytest.mark.usefixtures("one_each")
async def test_clients_wait_for_nobody_where_nothing_was_pushed() -> None:
    assert await run(Turns(Clock()), 5, 0) == "ccccc"


@pytest.mark.usefixtures("one_each")
async def test_clients_go_on_when_peers_end_early() -> None:
    """Nobody waits for slices that were left when the last of a peer was done."""
    turns = Turns(Clock())
    turns.peers = 15
    order = await run(turns, 4, 2)
    assert sorted(order) == sorted("ccccpp")


async def test_a_slice_ends_with_its_time() -> None:
    """What a slice holds depends on the clock; `after` has its say in each."""
    clock, seen, slices = Clock(), list[int](), list[int]()

    def do(item: int) -> None:
        seen.append(item)
        clock.now_s += module.SLICE_S / 4

    await Turns(clock).each(range(10), do, is_own=True, after=lambda: slices.append(len(seen)))
    assert seen == list(range(10))
    assert slices == [4, 8, 10]


def test_wait_follows_the_pace_of_late() -> None:
    """From a first guess to what is measured, and on to another pace."""
    clock = Clock()
    turns = Turns(clock)
    assert turns.wait_s() == 0
    turns.came(100)
    assert turns.wait_s() == pytest.approx(100 * START_S)
    for pace_s in (0.02, 0.002):
        for _ in range(round(8 * MEASURED_S / pace_s)):
            turns.came(1)
            clock.now_s += pace_s
            turns.done(1)
        assert turns.wait_s() == pytest.approx(100 * pace_s, rel=0.1)


def test_idle_time_slows_nobody_down() -> None:
    """An hour without a request, and requests that were broken off, are no pace."""
    clock = Clock()
    turns = Turns(clock)
    for _ in range(2_000):
        turns.came(1)
        clock.now_s += 0.001
        turns.done(1)
    turns.came(7)
    turns.broken_off(7)
    clock.now_s += 3_600
    turns.came(1_000)
    assert turns.wait_s() == pytest.approx(1.0)
