"""Clients have the part of a node's time that their transactions are of the network's load."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from itertools import groupby, pairwise

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
        with turns.pushing():
            await turns.each(range(pushed), lambda _: order.append("p"), is_own=False, after=int)

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


@pytest.mark.usefixtures("one_each")
async def test_clients_have_the_loop_while_other_cores_look() -> None:
    """A reader whose things are elsewhere owes and is owed nothing until they are back."""
    turns = Turns(Clock())
    turns.peers = 15
    order: list[str] = []
    with turns.pushing():
        with turns.elsewhere():
            await turns.each(range(4), lambda _: order.append("c"), is_own=True, after=int)
        assert order == ["c"] * 4
        await turns.each(range(1), lambda _: order.append("c"), is_own=True, after=int)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await turns.each(range(1), lambda _: order.append("c"), is_own=True, after=int)


@pytest.mark.usefixtures("one_each")
async def test_one_of_two_readers_that_ends_takes_nothing_from_the_other() -> None:
    turns = Turns(Clock())
    turns.peers = 3
    order: list[str] = []

    async def reader(count: int) -> None:
        with turns.pushing():
            await turns.each(range(count), lambda _: order.append("p"), is_own=False, after=int)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        group.create_task(reader(30))
        group.create_task(reader(2))
        group.create_task(turns.each(range(5), lambda _: order.append("c"), is_own=True, after=int))
    places = [place for place, who in enumerate(order) if who == "c"]
    assert [after - before for before, after in pairwise(places)] == [4] * 4


@pytest.mark.parametrize("requests", [1, 4, 32])
def test_wait_follows_the_pace_of_late(requests: int) -> None:
    """From a first guess to what is measured, and on to another pace; however many requests take
    turns, and whether anybody asks meanwhile."""
    clock = Clock()
    turns = Turns(clock)
    assert turns.wait_s() == 0
    with turns.request(100):
        assert turns.wait_s() == pytest.approx(100 * START_S)
    for pace_s in (0.02, 0.002):
        for _ in range(4):
            with ExitStack() as stack:
                each = round(4 * MEASURED_S / pace_s / requests)
                looks = [stack.enter_context(turns.request(each)) for _ in range(requests)]
                for _ in range(each):
                    for looked_at in looks:
                        clock.now_s += pace_s
                        looked_at()
        with turns.request(100):
            assert turns.wait_s() == pytest.approx(100 * pace_s, rel=0.1)


def test_requests_that_follow_each_other_closely_have_their_time_counted() -> None:
    """The next one comes when the last transaction of the one before was looked at, and that one
    ends a moment later."""
    clock = Clock()
    turns = Turns(clock)
    request = turns.request(1)
    looked_at = request.__enter__()
    for _ in range(2_000):
        clock.now_s += 0.01
        looked_at()
        following = turns.request(1)
        looked_at = following.__enter__()
        request.__exit__(None, None, None)
        request = following
    assert turns.wait_s() == pytest.approx(0.01, rel=0.1)


def test_what_was_looked_at_waits_no_more() -> None:
    """Transaction by transaction, and all that is left where a request is broken off."""
    clock = Clock()
    turns = Turns(clock)
    with turns.request(10) as looked_at, turns.request(0):
        for left in range(10, 3, -1):
            assert turns.wait_s() == pytest.approx(left * START_S, rel=0.01)
            clock.now_s += START_S
            looked_at()
    assert turns.wait_s() == 0


def test_idle_time_slows_nobody_down() -> None:
    """An hour without a request is no pace."""
    clock = Clock()
    turns = Turns(clock)
    for pause_s in (0.0, 3_600.0):
        clock.now_s += pause_s
        with turns.request(2_000) as looked_at:
            for _ in range(2_000):
                clock.now_s += 0.001
                looked_at()
    with turns.request(1_000):
        assert turns.wait_s() == pytest.approx(1.0, rel=0.01)


def test_a_node_that_stood_still_takes_again_soon() -> None:
    """Ten minutes with one transaction at hand: the pace is that of late after some seconds."""
    clock = Clock()
    turns = Turns(clock)
    with turns.request(1) as looked_at:
        clock.now_s += 600
        assert turns.wait_s() > 100
        looked_at()
    assert turns.wait_s() == 0
    with turns.request(100_000) as looked_at:
        for _ in range(20_000):
            clock.now_s += 0.001
            looked_at()
        assert turns.wait_s() == pytest.approx(80, rel=0.01)


def test_a_full_block_waits_from_when_it_was_first_seen() -> None:
    """Until a look finds less; then from anew."""
    clock = Clock()
    turns = Turns(clock)
    turns.look(full_block_waits=True)
    for _ in range(3):
        clock.now_s += 1
        turns.look(full_block_waits=True)
    assert turns.wait_s() == 3
    turns.look(full_block_waits=False)
    assert turns.wait_s() == 0
    turns.look(full_block_waits=True)
    clock.now_s += 1
    assert turns.wait_s() == 1
