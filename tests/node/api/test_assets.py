"""Issuers and backing: the figures are those of the rules, and they move with a mint."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger.amounts import format_amount
from node.api import schemas
from node.api.economy_schemas import Backing, Commitment, Issuer
from node.api.schemas import Page
from tests.ledger.economy_world import short_lived
from tests.ledger.world import COIN, DAY_MS, World, make_genesis
from tests.node.api.harness import EconomyNode, Node, open_api


async def test_mint_moves_supply_headroom_and_lane() -> None:
    """Mints within headroom: outstanding, headroom, coverage and the lane's number follow."""
    async with open_api() as api:
        before = await api.read("/issuers/val0", Issuer)
        api.node.decide([api.node.world.mint(amount=7 * COIN, lane=3)])
        after = await api.read("/issuers/val0", Issuer)
        asset = await api.read(f"/assets/{after.asset}", schemas.Asset)
    grown = int(after.reserve.outstanding) - int(before.reserve.outstanding)
    used = int(before.reserve.headroom) - int(after.reserve.headroom)
    assert (grown, used) == (7 * COIN, 7 * COIN)
    assert after.reserve.coverage_ppm < before.reserve.coverage_ppm
    assert before.lanes == []
    assert [(item.lane, item.next_number) for item in after.lanes] == [(3, 1)]
    assert (asset.supply, asset.issuer) == (after.reserve.outstanding, "val0")


async def test_headroom_is_what_minting_may_use() -> None:
    """Mints one unit above the headroom that is shown: refused; exactly it, by an issuer with
    bonds to match: taken."""
    genesis = make_genesis()
    bonds = tuple(replace(item, amount=2_000 * COIN) for item in genesis.bonds)
    async with open_api(Node(World(replace(genesis, bonds=bonds)))) as api:
        issuer = await api.read("/issuers/val1", Issuer)
        headroom = int(issuer.reserve.headroom)
        above = await api.ask("/transactions", api.node.world.mint("val1", headroom + 1).raw)
        exact = await api.ask("/transactions", api.node.world.mint("val1", headroom).raw)
        api.node.decide()
        empty = await api.read("/issuers/val1", Issuer)
    assert (above.status, above.code) == (422, "above_headroom")
    assert format_amount(headroom) in above.read(schemas.Problem).detail
    assert (exact.status, empty.reserve.headroom) == (202, "0")


async def test_reserve_lists_every_issuer() -> None:
    """The reserve is healthy after genesis, and its lines are those of the issuers."""
    async with open_api() as api:
        api.node.decide([])
        reserve = await api.read("/reserve", schemas.Reserve)
        issuers = await api.read("/issuers", Page[Issuer])
        assets = await api.read("/assets", Page[schemas.Asset])
    assert (reserve.ok, reserve.height) == (True, 1)
    assert reserve.ledger_time_ms == reserve.header_time_ms
    assert [item.reserve for item in issuers.items] == reserve.issuers
    assert [item.issuer for item in assets.items] == [item.issuer for item in reserve.issuers]
    for line in reserve.issuers:
        assert line.status == "healthy"
        assert int(line.outstanding) <= int(line.reserve)
    with_coins = [line for line in reserve.issuers if int(line.outstanding)]
    for line in with_coins:
        ratio = int(line.reserve) * 1_000_000 // int(line.outstanding)
        assert line.coverage_ppm == ratio


async def test_commitments_page_and_count_what_attestations_support() -> None:
    """Pages through the commitments by id; the counted hours are the second highest figure."""
    async with open_api() as api:
        found: list[Commitment] = []
        query = "limit=3"
        while True:
            page = await api.read(f"/commitments?{query}", Page[Commitment])
            found += page.items
            if page.next_cursor is None:
                break
            query = f"limit=3&cursor={page.next_cursor}"
    assert [item.id for item in found] == [f"capacity-val{index}" for index in range(4)]
    assert {item.counted_microhours for item in found} == {"900001"}
    names = [item.attestor for item in found[0].attestations]
    assert names == ["att-north", "att-south", "att-west"]
    assert found[0].from_time == "2027-01-15T08:00:00.000Z"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/issuers/nobody", 404),
        ("/issuers/VAL0", 404),
        ("/issuers/%C3%BC", 404),
        (f"/assets/{'00' * 32}", 404),
        ("/assets/val0", 400),
    ],
)
async def test_no_such_issuer_or_asset(path: str, status: int) -> None:
    """Asks for what does not exist, in other cases and alphabets too."""
    async with open_api() as api:
        reply = await api.ask(path)
    assert reply.status == status
    assert reply.code in ("not_found", "malformed")


async def test_an_issuer_says_how_it_stands_and_until_when() -> None:
    """In deficit it may not mint, and is caged at a moment: as its backing says."""
    world = short_lived()
    for _ in range(2):
        world.until(world.clock_ms + DAY_MS)
        world.next_period()
    async with open_api(EconomyNode(world)) as api:
        issuer = await api.read("/issuers/val0", Issuer)
        backing = await api.read("/issuers/val0/backing", Backing)
        (listed, *_) = (await api.read("/issuers", Page[Issuer])).items
    assert (issuer.state, "mint" in issuer.allowed_actions) == ("deficit", False)
    assert issuer.deadline_ms == world.reserve().since_ms + 7 * DAY_MS
    for shown in (issuer, listed):
        assert shown.state == backing.state
        assert shown.allowed_actions == backing.allowed_actions
        assert (shown.deadline_ms, shown.deadline) == (backing.deadline_ms, backing.deadline)
