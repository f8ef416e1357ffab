"""The standard over HTTP: in force, past, to come, and what it does to issuers."""

from __future__ import annotations

import msgspec
import pytest

from cli.standard_text import shown
from ledger.economy.standard import Factor, Reference
from ledger.operations import ProposeStandard, WithdrawStandard
from ledger.reasons import Reason
from node.api import economy_schemas
from node.api import standard_schemas as schemas
from node.api.request import JSON
from node.api.schemas import Page
from tests.ledger.economy_world import EconomyWorld, lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.world import COIN, PERIOD_MS, TIME_MS, make_genesis
from tests.node.api.harness import Api, EconomyNode, open_api

GENESIS = with_economy(
    lasting(make_genesis()), notice_ms=2 * PERIOD_MS, step_spacing_ms=3 * PERIOD_MS
)
FACTORS = [("gpu-80g", "inference", 1_500_000), ("gpu-80g", "training", 1_000_000)]


def proposal(units: int, version: int = 2, *added: Factor) -> ProposeStandard:
    return ProposeStandard(version, (Reference("training", units),), added)


def to_the_end(node: EconomyNode) -> None:
    """Until a step that was noticed in the first block takes effect."""
    while node.world.clock_ms < TIME_MS + 3 * PERIOD_MS:
        node.decide([], after_ms=30_000)


async def read(api: Api) -> schemas.Standards:
    return await api.read("/standards", schemas.Standards)


async def quote(api: Api, raised: dict[str, int], *added: Factor) -> schemas.StandardQuote:
    form = {
        "raised": [{"workload": name, "units": units} for name, units in raised.items()],
        "added": [msgspec.structs.asdict(item) for item in added],
    }
    reply = await api.ask("/quotes/standard", msgspec.json.encode(form), kind=JSON)
    assert reply.status == 200, reply
    return reply.read(schemas.StandardQuote)


async def test_what_is_in_force_and_that_nothing_is_open() -> None:
    """The first standard since genesis; each issuer as the chain's own figures have it."""
    node = EconomyNode(EconomyWorld(GENESIS))
    async with open_api(node) as api:
        held = await read(api)
        backing = await api.read("/issuers/val0/backing", economy_schemas.Backing)
        assert (await api.read("/standards/history", Page[schemas.Standard])).items == []
    assert (held.state, held.allowed_actions) == ("none", ["propose-standard"])
    assert (held.step, held.deadline_ms, held.deadline) == (None, None, None)
    active = held.active
    assert (active.version, active.since_ms, active.until_ms) == (1, TIME_MS, None)
    assert [(x.device_class, x.workload, x.factor) for x in active.factors] == FACTORS
    assert [(x.workload, x.units) for x in active.references] == [
        ("inference", 3_000),
        ("training", 1_000),
    ]
    first = held.issuers[0]
    assert [item.issuer for item in held.issuers] == ["val0", "val1", "val2", "val3"]
    assert first.reserve == first.reserve_after == backing.reserve.reserve
    assert first.margin_limit == first.margin_limit_after == backing.margin_limit
    assert (first.missing, first.outstanding) == ("0", backing.reserve.outstanding)
    assert [(x.device_class, x.microhours) for x in first.hours] == [("gpu-80g", "0")]


async def test_the_life_of_a_step() -> None:
    """Noticed with its numbers, deadline and what it does; then in force, and the first is past."""
    node = EconomyNode(EconomyWorld(GENESIS))
    node.decide([node.world.govern(proposal(1_176))])
    noticed_ms = node.world.clock_ms
    async with open_api(node) as api:
        held = await read(api)
        to_the_end(node)
        later = await read(api)
        page = await api.read("/standards/history", Page[schemas.Standard])
    assert (held.state, held.allowed_actions) == ("noticed", ["withdraw-standard"])
    assert held.deadline_ms == TIME_MS + 3 * PERIOD_MS
    step = held.step
    assert step is not None and step.noticed_ms == noticed_ms
    assert step.cut_ppm == 149_659  # 850,341 of 1,000,000 are left
    assert [x.factor for x in step.standard.factors] == [1_500_000, 850_341]
    assert step.standard.since_ms == held.deadline_ms
    first = held.issuers[0]
    assert int(first.reserve_after) == int(first.reserve) * 850_341 // 1_000_000
    assert (later.state, later.step, later.active) == ("none", None, step.standard)
    (past,) = page.items
    assert (past.version, past.until_ms) == (1, held.deadline_ms)
    assert past.factors == held.active.factors


async def test_a_draft_of_the_system() -> None:
    """Receipts of fast devices bring it: when it lapses, what it would do; a proposal may come."""
    world = RedemptionWorld(GENESIS)
    node = EconomyNode(world)
    asked = world.asks()
    order = world.id_of(asked)
    for make in (
        lambda: world.redeems(asked),
        lambda: world.accepts(order),
        lambda: world.readies(order),
        lambda: world.posts(world.receipt(order, 1, COIN // 2, microhours=COIN // 2 * 9 // 10)),
    ):
        node.decide([make()])
    while world.clock_ms < TIME_MS + PERIOD_MS:
        node.decide([], after_ms=30_000)
    async with open_api(node) as api:
        held = await read(api)
    text = shown(held)
    assert (held.state, held.allowed_actions) == ("draft", ["propose-standard"])
    assert held.deadline_ms == TIME_MS + 4 * PERIOD_MS
    step = held.step
    assert step is not None and step.noticed_ms == world.clock_ms
    assert [x.units for x in step.standard.references] == [3_000, 1_111]
    assert "step to 2, draft: lapses in" in text


async def test_history_comes_page_after_page() -> None:
    """The oldest first."""
    node = EconomyNode(EconomyWorld(GENESIS))
    for version, units in enumerate((1_001, 1_002, 1_003), start=2):
        node.decide([node.world.govern(proposal(units, version))])
        ends_ms = TIME_MS + 3 * PERIOD_MS * (version - 1)
        while node.world.clock_ms < ends_ms:
            node.decide([], after_ms=30_000)
    async with open_api(node) as api:
        first = await api.read("/standards/history?limit=2", Page[schemas.Standard])
        cursor = first.next_cursor
        second = await api.read(
            f"/standards/history?limit=2&cursor={cursor}", Page[schemas.Standard]
        )
    assert [item.version for item in (*first.items, *second.items)] == [1, 2, 3]
    assert second.next_cursor is None


@pytest.mark.parametrize(
    ("raised", "added", "reason"),
    [
        ({"training": 1_176}, (), None),
        ({"video": 7}, (Factor("tpu", "video", 7),), None),
        ({"training": 1_177}, (), Reason.CUT_TOO_LARGE),
        ({"training": 1_000}, (), Reason.REFERENCE_FALLS),
        ({}, (), Reason.BAD_STANDARD),
        ({"training": 1 << 41}, (), Reason.MALFORMED),
    ],
)
async def test_a_quote_says_what_the_proposal_is_told(
    raised: dict[str, int], added: tuple[Factor, ...], reason: Reason | None
) -> None:
    """Taken or refused, with the reason of execution; what is taken is shown with what it does."""
    node = EconomyNode(EconomyWorld(GENESIS))
    async with open_api(node) as api:
        said = await quote(api, raised, *added)
    assert (said.allowed, said.code) == (reason is None, reason.value if reason else "")
    assert bool(said.message) is bool(reason)
    if reason is Reason.MALFORMED:
        return
    references = tuple(Reference(name, units) for name, units in raised.items())
    operation = ProposeStandard(said.version, references, added)
    if reason is not None:
        assert node.world.reason(node.world.govern(operation)) is reason
        assert said.step is None
        return
    node.decide([node.world.govern(operation)])
    async with open_api(node) as api:
        held = await read(api)
    assert said.step is not None and held.step is not None
    assert said.step.standard.factors == held.step.standard.factors
    assert said.step.cut_ppm == held.step.cut_ppm
    assert said.issuers[0].reserve_after == held.issuers[0].reserve_after


async def test_a_quote_while_a_step_is_open() -> None:
    """The next has to wait; once it is withdrawn it need not."""
    node = EconomyNode(EconomyWorld(GENESIS))
    node.decide([node.world.govern(proposal(1_001))])
    async with open_api(node) as api:
        said = await quote(api, {"training": 1_002})
        held = await read(api)
        assert held.step is not None
        node.decide([node.world.govern(WithdrawStandard(held.step.noticed_ms))])
        after = await quote(api, {"training": 1_002})
    assert (said.allowed, said.code) == (False, "step_open")
    assert after.allowed
