"""What backs the coins where something is wrong: real rules in a small node, states that a devnet
takes hours to reach."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from ledger.operations import OpenChallenge, Rule
from ledger.registers import CHALLENGES
from tests.ledger.economy_world import short_lived
from tests.ledger.redemption_world import RedemptionWorld, new_world
from tests.ledger.world import COIN, PERIOD_MS, key, lock_of
from tests.node.api.harness import EconomyNode, Node
from tests.ui.conftest import NewVisit
from tests.ui.served import Served

AT_START = {
    "issuers": "Every coin is covered",
    "issuer/val0": "For each coin of val0",
    "reserve": "hours are attested for them",
    "redemptions": "No order is open, and none ended of late.",
    "standard": "One coin buys 3,000 units of inference or 1,000 units of training.",
}
"""The answer of each page at height 0."""


class Redeeming(EconomyNode):
    """A node whose holders redeem coins of val0."""

    world: RedemptionWorld

    def order(self, session: str, amount: int = COIN, **changes: int) -> bytes:
        asked = self.world.asks(amount, session, **changes)
        self.decide([self.world.redeems(asked)])
        return self.world.id_of(asked)


@dataclass(frozen=True)
class Orders:
    """A node with an order in each state, by its name."""

    url: str
    ids: dict[str, str]


@pytest.fixture(scope="module")
def start(browser: Browser) -> Iterator[str]:
    with Served(Node()) as served:
        yield served.url


@pytest.fixture(scope="module")
def orders(browser: Browser) -> Iterator[Orders]:
    node = Redeeming(new_world())
    made = {"lapsed": node.order("lapsed")}
    made["failed"] = node.order("failed")
    node.decide([node.world.accepts(made["failed"])])
    while node.world.order(made["failed"]).state.name != "FAILED":
        node.decide([], after_ms=30_000)
    made.update(_fresh_orders(node))
    with Served(node) as served:
        yield Orders(served.url, {state: order.hex() for state, order in made.items()})


def _fresh_orders(node: Redeeming) -> dict[str, bytes]:
    world = node.world
    steps = (
        ("accepted", lambda order, _: world.accepts(order)),
        ("ready", lambda order, _: world.readies(order)),
        ("active", lambda order, who: world.posts(world.receipt(order, 1, COIN // 4), who)),
        ("closing", lambda order, who: world.closes(order, who)),
        ("disputed", lambda order, who: world.disputes(order, COIN, signer=who)),
    )
    made = {"requested": node.order("requested"), "cancelled": node.order("cancelled")}
    node.decide([world.cancels(made["cancelled"], "cancelled")])
    for last, (state, _) in enumerate(steps):
        made[state] = node.order(state)
        for _, step in steps[: last + 1]:
            node.decide([step(made[state], state)])
    until_ms = world.clock_ms + PERIOD_MS
    made["queued"] = node.order("queued", 9 * COIN, queue_until_ms=until_ms)
    return made


SAID = {
    "queued": ("waits until hours of val0 come free", "it is the next in turn"),
    "requested": ("was asked for compute", "it lapses: all coins come back, with a penalty"),
    "accepted": ("prepares machines", "it fails: all coins come back, with a penalty"),
    "ready": ("is ready to serve", "what was not delivered comes back"),
    "active": ("0.250000 of 1.000000 coins delivered", "the session ends"),
    "closing": ("The session is over", "marsa redeem dispute"),
    "disputed": ("A panel rules", "the highest receipt stands"),
    "cancelled": ("all of its coins came back", "Nodes forget it"),
    "lapsed": ("did not answer in time", "Nodes forget it"),
    "failed": ("was not ready in time", "Nodes forget it"),
}
"""Of each state the answer of the page, and what it says of what comes."""
LOOKED_THROUGH = ("queued", "active", "disputed", "lapsed")
"""By axe-core: between them they have every part of the page."""


def test_every_page_at_the_first_block(start: str, visit: NewVisit) -> None:
    """Opens each page where nothing was ever signed: it has an answer, and nothing is wrong."""
    seen = visit(start)
    for path, answer in AT_START.items():
        page = seen.open(path)
        expect(page.locator(".lede")).to_contain_text(answer)
        assert seen.axe() == [], path


def test_nothing_is_proved_at_the_first_block(start: str, visit: NewVisit) -> None:
    """There is no certificate and no file yet, and the page says why."""
    page = visit(start).open("reserve")
    expect(page.get_by_text("Nothing is signed yet")).to_be_visible()
    expect(page.get_by_text("No file yet")).to_be_visible()
    expect(page.get_by_role("button", name="Check these figures")).to_have_count(0)


def test_an_order_in_each_state(orders: Orders, visit: NewVisit) -> None:
    """Opens an order of each state: where it stands, what comes if nobody acts, and coins that add
    up."""
    seen = visit(orders.url)
    for state, (answer, then) in SAID.items():
        page = seen.open(f"redemption/{orders.ids[state]}")
        expect(page.locator(".lede")).to_contain_text(answer)
        expect(page.locator(".way [aria-current] .way-name")).to_have_text(state.capitalize())
        expect(page.locator(".notice").first).to_contain_text(then)
        expect(page.locator(".equation .pill")).to_have_text("nothing lost")
        if state in LOOKED_THROUGH:
            assert seen.axe() == [], state


def test_a_panel_is_shown_with_who_sits_on_it(orders: Orders, visit: NewVisit) -> None:
    page = visit(orders.url).open(f"redemption/{orders.ids['disputed']}")
    expect(page.locator(".panel li")).to_have_count(5)
    expect(page.locator(".panel")).to_contain_text("silent")
    expect(page.get_by_text("brought by the holder")).to_be_visible()


def test_orders_are_listed_by_what_is_due_next(orders: Orders, visit: NewVisit) -> None:
    """Those that are open first, in the order of their deadlines; then those that ended."""
    seen = visit(orders.url, width="phone")
    page = seen.open("redemptions")
    expect(page.locator(".lede")).to_contain_text("Seven orders are open")
    tables = page.get_by_role("table")
    expect(tables.nth(0).get_by_role("row")).to_have_count(8)
    expect(tables.nth(1).get_by_role("row")).to_have_count(4)
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    assert seen.axe() == []


def test_an_order_that_nobody_knows(orders: Orders, visit: NewVisit) -> None:
    seen = visit(orders.url)
    seen.expected += ("status of 404",)
    page = seen.open(f"redemption/{'ab' * 32}")
    expect(page.locator(".lede")).to_have_text("This node tells of no such order.")


# An issuer in deficit.


@pytest.fixture(scope="module")
def poor(browser: Browser) -> Iterator[Orders]:
    """val0 has 4,000 coins out and hours for a third of them; an order got its share."""
    node = Redeeming(RedemptionWorld(short_lived(1).genesis))
    world, order = node.world, node.order("share", 10 * COIN)
    node.decide([world.accepts(order)])
    node.decide([world.readies(order)])
    node.decide([world.posts(world.receipt(order, 1, COIN), "share")])
    with Served(node) as served:
        yield Orders(served.url, {"share": order.hex()})


def test_a_deficit_is_said_at_once(poor: Orders, visit: NewVisit) -> None:
    """Lists, audits and opens the issuer whose coins are not covered: how much is, what that means
    for a holder, and until when it is to be mended."""
    seen = visit(poor.url)
    page = seen.open("issuers")
    expect(page.locator(".lede")).to_have_text(
        "Val0 has more coins out than attested hours: 0.32 hours for a coin."
    )
    expect(page.locator(".cover-missing")).to_have_count(1)
    assert seen.axe() == []
    page = seen.open("reserve")
    expect(page.locator(".lede")).to_contain_text("but val0 does not cover its own")
    assert seen.axe() == []
    page = seen.open("issuer/val0")
    expect(page.locator(".lede")).to_have_text(
        "For each coin of val0 only 0.32 hours are attested: not every coin is covered."
    )
    expect(page.locator(".band")).to_contain_text("deficit")
    expect(page.locator(".band .notice")).to_contain_text("if that is not mended before")
    expect(page.get_by_text("mints none", exact=True)).to_be_visible()
    expect(page.locator(".ladder .below")).not_to_have_count(0)
    assert seen.axe() == []


def test_an_order_in_a_deficit_leaves_a_claim(poor: Orders, visit: NewVisit) -> None:
    """One coin was delivered, three went for it: the rest is a claim, and nothing is lost."""
    seen = visit(poor.url)
    page = seen.open(f"redemption/{poor.ids['share']}")
    where = page.locator(".where dl > div")
    expect(where).to_have_count(4)
    expect(where.filter(has_text="Claim")).to_contain_text("beyond the covered share")
    expect(page.locator(".equation .pill")).to_have_text("nothing lost")
    expect(page.get_by_text("What is left brings")).to_be_visible()
    assert seen.axe() == []


# A doubt.


def _challenge(world: RedemptionWorld) -> OpenChallenge:
    return OpenChallenge("val0", "capacity-val0", world.asset("val1"), 400 * COIN, lock_of("carol"))


def _rules(world: RedemptionWorld) -> Rule:
    (held,) = CHALLENGES.all(world.draft)
    attestor = held.panel[0]
    public = key(f"attestor/{attestor}").public
    return Rule(attestor, public, "val0", "capacity-val0", True, held.since_ms)


def test_a_doubt_is_open(browser: Browser, visit: NewVisit) -> None:
    """Somebody challenges a commitment and one of the panel has ruled."""
    node = Redeeming(new_world())
    world = node.world
    node.decide([world.spends("alice", _challenge(world), 400 * COIN, "val1")])
    ruled = _rules(world)
    node.decide([world.does(ruled, f"attestor/{ruled.attestor}")])
    with Served(node) as served:
        seen = visit(served.url)
        page = seen.open("issuer/val0")
        card = page.locator(".commitment")
        expect(card).to_contain_text("Somebody doubts it, and a panel rules.")
        expect(page.locator(".panel li")).to_have_count(5)
        expect(page.locator(".panel .pill.bad")).to_have_text("upholds")
        assert seen.axe() == []
        page.close()


def test_who_signed_against_its_own_vote_is_named(browser: Browser, visit: NewVisit) -> None:
    """A block carries two votes of val2 that contradict each other: height, block and licence."""
    node = Redeeming(new_world())
    node.decide([node.world.accuse("val2")])
    with Served(node) as served:
        seen = visit(served.url)
        page = seen.open("validators")
        evidence = page.get_by_role("table", name="Evidence").get_by_role("row").nth(1)
        expect(evidence).to_contain_text("val2")
        expect(evidence.locator(".pill.bad")).to_have_text("accused")
        assert seen.axe() == []
        evidence.get_by_role("link", name="1", exact=True).click()
        expect(page.locator("h1")).to_have_text("Block 1")
        page.close()
