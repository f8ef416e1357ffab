"""GET /v1/reserve/bundle: of the last block, the same bytes for everybody, at a bounded cost."""

from __future__ import annotations

import asyncio

import pytest

from node import reserve_bundle
from node.api import bundles
from node.api.bundles import HELD_FACTOR, Bundles
from node.api.problems import ApiError
from tests.cli.bundle_world import genesis_text, read, small_node, verified
from tests.node.api.harness import Node, open_api
from tests.node.api.test_epochs import change_twice

PATH = "/reserve/bundle"


async def test_it_is_of_the_last_block() -> None:
    """Nothing at height 0; then a bundle that holds, and another one after the next block."""
    async with open_api() as api:
        assert (await api.ask(PATH)).code == "not_found"
        api.node.decide([])
        first = await api.ask(PATH)
        again = await api.ask(PATH)
        api.node.decide([api.node.world.mint()])
        second = await api.ask(PATH)
        text = genesis_text(api.node)
        assert (await api.ask(f"{PATH}?height=1")).code == "bad_request"
    assert first.headers["Content-Type"] == "application/msgpack"
    assert first.headers["Cache-Control"] == "no-store"
    assert first.body == again.body
    assert [verified(item.body, text).height for item in (first, second)] == [1, 2]


async def test_a_large_one_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 bytes instead of 64 KiB: the client has the same bytes in the end."""
    async with open_api(small_node()) as api:
        whole = await api.ask(PATH)
        monkeypatch.setattr(bundles, "PART_BYTES", 64)
        assert (await api.ask(PATH)).body == whole.body


async def test_the_walk_goes_on_where_it_was_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled after the first look at an epoch; the next request looks at no epoch twice."""
    monkeypatch.setattr(bundles, "SLICE_EPOCHS", 1)
    node = Node()
    change_twice(node)
    made = Bundles(node.chain, lambda: 0)
    looked: list[int] = []
    look = Bundles._look

    def cut_off(self: Bundles, epoch: int) -> None:
        look(self, epoch)
        looked.append(epoch)
        task.cancel()

    monkeypatch.setattr(Bundles, "_look", cut_off)
    task = asyncio.get_running_loop().create_task(made.get())
    with pytest.raises(asyncio.CancelledError):
        await task
    data = await made.get()
    assert looked == [0, 1, 2, 3]
    assert [item.header.epoch for item in read(data).changes] == [1, 3]


async def test_it_is_held_as_long_as_its_cost_asks_for() -> None:
    """Making one takes 10 ms, while others take 490: for 200 ms more everybody gets it, though
    there is a new block."""
    node = small_node()
    end_ms = 500 + HELD_FACTOR * 10
    ticks = iter((0, 10, 500, 500, end_ms - 1, end_ms, *[end_ms] * 4))
    made = Bundles(node.chain, lambda: next(ticks))
    first = await made.get()
    node.decide([])
    assert await made.get() is first
    assert read(await made.get()).header.height == 2
    assert next(ticks, None) is None


async def test_one_is_made_for_all_who_wait() -> None:
    """Twenty requests at once: one bundle, the very same object."""
    made = Bundles(small_node().chain, lambda: 0)
    found = await asyncio.gather(*(made.get() for _ in range(20)))
    assert len({id(item) for item in found}) == 1


@pytest.mark.parametrize(
    ("module", "limit"),
    [(bundles, "BUNDLE_BYTES_MAX"), (bundles, "CHANGES_MAX"), (reserve_bundle, "OBJECTS_MAX")],
)
async def test_what_does_not_fit_is_said(
    module: object, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each limit at 1: refused by name with the way to check the chain otherwise; and refused
    from memory until there is another block."""
    monkeypatch.setattr(module, limit, 1)
    node = Node()
    change_twice(node)
    async with open_api(node) as api:
        reply = await api.ask(PATH)
    assert (reply.status, reply.code) == (422, "bundle_too_large")
    assert b"marsa audit chain" in reply.body
    made = Bundles(node.chain, lambda: 0)
    faults = []
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            await made.get()
        faults.append(caught.value)
    assert faults[0] is faults[1]
