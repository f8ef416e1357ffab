"""The routes of the economy: each object with its state, what it takes, and until when."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import pytest

from cli.client import Client
from ledger.economy.spot_audit import nonce_digest
from ledger.operations import (
    Apply,
    FreezeOrder,
    OpenChallenge,
    RemoveAttestor,
    RevealNonce,
    RotateKey,
    Rule,
    SealNonce,
    Suspend,
)
from ledger.transaction import SignedTransaction
from node.api import economy
from node.api import economy_schemas as schemas
from node.api.schemas import Page
from tests.ledger.economy_world import EconomyWorld, lasting, more
from tests.ledger.world import (
    BOND_COINS,
    COIN,
    DAY_MS,
    GROUPS,
    PANEL_GROUPS,
    PERIOD_MS,
    TIME_MS,
    device,
    grant,
    key,
    lock_of,
    make_genesis,
)
from tests.node.api.harness import Api, EconomyNode, open_api

T = TypeVar("T")
FIRST = TIME_MS // PERIOD_MS


def listed(page: Page[T]) -> list[T]:
    assert page.next_cursor is None
    return page.items


async def licences(api: Api) -> dict[str, schemas.LicenceObject]:
    found = listed(await api.read("/licences", Page[schemas.LicenceObject]))
    assert [item.licence.id for item in found] == sorted(item.licence.id for item in found)
    for item in found:
        assert await api.read(f"/licences/{item.licence.id}", schemas.LicenceObject) == item
    return {item.licence.id: item for item in found}


async def test_licences_say_their_state_what_they_take_and_until_when() -> None:
    """Active until its expiry, suspended with its cause, applied until it lapses, accused with no
    end of its own; a key that is announced shows."""
    node = EconomyNode()
    world, signer = node.world, "val1/operations"
    fresh = key("fresh").public
    asked = Apply(grant("new", validator=False))
    rotated = RotateKey("val1", key(signer).public, 0, "treasury", fresh)
    node.decide(
        [
            world.govern(Suspend("val0", 0)),
            world.does(rotated, signer, "fresh"),
            world.spends("alice", asked, 0, "val0", "new/operations"),
            world.accuse("val2"),
        ]
    )
    moment = world.clock_ms
    async with open_api(node) as api:
        held = await licences(api)
    assert {name: item.state for name, item in held.items()} == {
        "new": "applied",
        "val0": "suspended",
        "val1": "active",
        "val2": "accused",
        "val3": "active",
    }
    assert (held["val0"].cause, held["val0"].deadline_ms) == ("validators", moment + 180 * DAY_MS)
    assert (held["val3"].cause, held["val3"].deadline_ms) == ("", grant("val3").expires_ms)
    assert (held["val2"].deadline_ms, held["val2"].deadline) == (None, None)
    assert held["new"].deadline_ms == moment + 30 * DAY_MS
    (notice,) = held["val1"].rotations
    assert (notice.role, notice.key, notice.after_ms) == ("treasury", fresh.hex(), moment + DAY_MS)
    assert held["val1"].deadline_ms == notice.after_ms
    assert {"admit", "revoke"} <= set(held["new"].allowed_actions)
    assert "suspend" not in held["new"].allowed_actions
    assert {"reinstate", "revoke"} <= set(held["val0"].allowed_actions)
    assert "suspend" in held["val3"].allowed_actions
    assert "suspend" not in held["val2"].allowed_actions


async def test_attestors_that_were_removed_are_listed_too() -> None:
    """With their groups, versions and the lanes that they used."""
    node = EconomyNode()
    node.decide([node.world.govern(RemoveAttestor("att-west", 1))])
    node.decide([node.world.attests("north", "val0", lane=4)])
    async with open_api(node) as api:
        found = listed(await api.read("/attestors", Page[schemas.Attestor]))
    assert [item.id for item in found] == sorted(f"att-{x}" for x in (*GROUPS, *PANEL_GROUPS))
    held = {item.group: item for item in found}
    assert (held["west"].state, held["west"].version) == ("removed", 2)
    assert (held["north"].state, held["north"].strikes) == ("active", 0)
    assert [(item.lane, item.next_number) for item in held["north"].lanes] == [(4, 1)]
    assert held["south"].lanes == []


async def commitments(api: Api, query: str = "") -> dict[str, schemas.Commitment]:
    """All, a page after the other; each alone answers the same."""
    found: list[schemas.Commitment] = []
    asked = f"limit=2{query}"
    while True:
        page = await api.read(f"/commitments?{asked}", Page[schemas.Commitment])
        found += page.items
        if page.next_cursor is None:
            break
        asked = f"limit=2{query}&cursor={page.next_cursor}"
    for item in found:
        alone = await api.read(f"/commitments/{item.issuer}/{item.id}", schemas.Commitment)
        assert alone == item
    assert [(x.issuer, x.id) for x in found] == sorted((x.issuer, x.id) for x in found)
    return {item.id: item for item in found}


async def test_commitments_say_what_counts_and_what_they_are_worth() -> None:
    """Proposed until it lapses, contested with no end of its own, live to its schedule's end; a
    lower figure shows, and freezes."""
    node = EconomyNode(EconomyWorld(lasting(make_genesis(), 30)))
    world = node.world
    made = more(world)
    node.decide([world.commits(made), world.attests("west", "val1", 5)])
    node.decide([challenges(world)])
    async with open_api(node) as api:
        held = await commitments(api)
        own = await commitments(api, "&issuer=val0")
        none = await commitments(api, "&issuer=nobody")
        backing = await api.read("/issuers/val1/backing", schemas.Backing)
    assert own.keys() == {"capacity-val0", "more"}
    assert none == {}
    fresh, contested, live = held["more"], held["capacity-val0"], held["capacity-val1"]
    assert (fresh.state, contested.state, live.state) == ("proposed", "contested", "live")
    assert fresh.deadline_ms == TIME_MS + 1_000 + 7 * DAY_MS
    assert (contested.deadline_ms, live.deadline_ms) == (None, live.to_ms)
    assert (fresh.counted_microhours, fresh.worth, fresh.devices) == ("0", "0", 0)
    assert (fresh.born, live.born) == (1, 0)
    assert (live.counted_microhours, live.is_frozen) == ("900000", True)
    assert [item.lower for item in live.attestations] == [None, None, "5"]
    assert live.at_stake == live.worth == backing.reserve.reserve
    assert int(live.promised) * 900_000 == int(live.worth) * int(live.microhours)
    assert live.deposit_needed == str(int(live.at_stake) // 100)
    assert "rule" in contested.allowed_actions
    assert "challenge" in live.allowed_actions
    assert "attest" in fresh.allowed_actions


async def test_a_commitment_that_nobody_attests_of_late_is_stale() -> None:
    """Its attestors are removed: it counts nothing, is at stake as before, and takes what a live
    one takes."""
    node = EconomyNode()
    for group in GROUPS[:2]:
        node.decide([node.world.govern(RemoveAttestor(f"att-{group}", 1))])
    async with open_api(node) as api:
        held = await api.read("/commitments/val0/capacity-val0", schemas.Commitment)
    assert (held.state, held.counted_microhours, held.worth) == ("stale", "0", "0")
    assert int(held.at_stake) > 0
    assert held.deposit_needed == str(2 * BOND_COINS * COIN)
    assert [item.group for item in held.attestations] == ["", "", "west"]
    assert {"attest", "challenge"} <= set(held.allowed_actions)


def challenges(world: EconomyWorld) -> SignedTransaction:
    """alice doubts val0's hours, with more than is needed."""
    amount = 400 * COIN
    operation = OpenChallenge(
        "val0", "capacity-val0", world.asset("val1"), amount, lock_of("carol")
    )
    return world.spends("alice", operation, amount, "val1")


def rules(world: EconomyWorld, group: str, since_ms: int, *, upheld: bool) -> SignedTransaction:
    who, signer = f"att-{group}", f"attestor/att-{group}"
    vote = Rule(who, key(signer).public, "val0", "capacity-val0", upheld, since_ms)
    return world.does(vote, signer)


async def test_a_challenge_shows_its_panel_its_votes_and_what_is_at_stake() -> None:
    """Open until three agree, then upheld until the next block; settled it is gone, and the
    commitment void."""
    node = EconomyNode(EconomyWorld(lasting(make_genesis(), 30)))
    world = node.world
    needed = world.reserve().reserve // 100
    node.decide([challenges(world)])
    since_ms = world.clock_ms
    async with open_api(node) as api:
        (opened,) = listed(await api.read("/challenges", Page[schemas.Challenge]))
        node.decide([rules(world, group, since_ms, upheld=True) for group in PANEL_GROUPS[:3]])
        (upheld,) = listed(await api.read("/challenges", Page[schemas.Challenge]))
        node.decide([])
        gone = listed(await api.read("/challenges", Page[schemas.Challenge]))
        void = await api.read("/commitments/val0/capacity-val0", schemas.Commitment)
    assert (opened.state, opened.allowed_actions) == ("open", ["rule"])
    assert opened.deadline_ms == since_ms + 7 * DAY_MS
    assert (opened.deposit, opened.penalty) == (str(400 * COIN), str(needed))
    assert sorted(opened.panel) == sorted(f"att-{group}" for group in PANEL_GROUPS)
    assert (opened.issuer, opened.commitment) == ("val0", "capacity-val0")
    assert opened.refund_lock == lock_of("carol").hex()
    assert opened.votes == []
    assert (upheld.state, upheld.allowed_actions) == ("upheld", [])
    assert {vote.attestor for vote in upheld.votes} == {f"att-{x}" for x in PANEL_GROUPS[:3]}
    assert all(vote.upheld for vote in upheld.votes)
    assert gone == []
    assert (void.state, void.allowed_actions, void.worth) == ("void", [], "0")


async def test_backing_is_everything_that_minting_depends_on() -> None:
    """Figures of the rules; a bond in coins of a suspended issuer counts for nothing."""
    node = EconomyNode()
    world = node.world
    node.decide([world.minting("val0", 7 * COIN)])
    node.decide([world.govern(Suspend("val1", 0))])
    reserve = world.reserve()
    async with open_api(node) as api:
        held = await api.read("/issuers/val0/backing", schemas.Backing)
    assert (held.state, held.deadline_ms, held.is_frozen) == ("healthy", None, False)
    assert {"mint", "burn", "deposit-bond", "withdraw-bond"} == set(held.allowed_actions)
    assert held.minted == str(7 * COIN)
    assert held.margin_limit == str(reserve.reserve * 8 // 10)
    required = reserve.supply // 10
    assert held.bond_required == str(required)
    assert held.bond_worth == str(required // 2)
    assert {item.issuer: item.counts for item in held.bond} == {"val1": False, "val2": True}
    assert {item.amount for item in held.bond} == {str(300 * COIN)}


async def test_orders_in_force_are_public() -> None:
    """With their legal reference, whom they freeze, and until when; none once it is over."""
    node = EconomyNode()
    world = node.world
    until_ms = TIME_MS + 5_000
    order = FreezeOrder("case-1", bytes([7]) * 32, (lock_of("bob"),), until_ms)
    node.decide([world.govern(order)])
    async with open_api(node) as api:
        (held,) = listed(await api.read("/compliance", Page[schemas.Order]))
        node.decide([], after_ms=4_000)
        last = listed(await api.read("/compliance", Page[schemas.Order]))
        node.decide([], after_ms=1)
        over = listed(await api.read("/compliance", Page[schemas.Order]))
    assert (held.id, held.version, held.reference) == ("case-1", 1, "07" * 32)
    assert (held.state, held.deadline_ms) == ("active", until_ms)
    assert held.allowed_actions == ["renew-order", "lift-order"]
    assert held.targets == [lock_of("bob").hex()]
    assert held.addresses == [world.genesis.allocations[3].address]
    assert (last, over) == ([held], [])


# Audits.


def audited() -> EconomyNode:
    """Two attestors sealed for the second period, one revealed; the fourth has begun."""
    node = EconomyNode()
    world = node.world

    def to_period(period: int) -> None:
        while world.clock_ms < period * PERIOD_MS:
            node.decide([], after_ms=min(30_000, period * PERIOD_MS - world.clock_ms))

    for group in GROUPS[:2]:
        who, signer = f"att-{group}", f"attestor/att-{group}"
        digest = nonce_digest(who.encode(), bytes([9]) * 32)
        node.decide([world.does(SealNonce(who, key(signer).public, FIRST + 1, digest), signer)])
    to_period(FIRST + 2)
    who, signer = "att-north", "attestor/att-north"
    reveal = RevealNonce(who, key(signer).public, FIRST + 1, bytes([9]) * 32)
    node.decide([world.does(reveal, signer)])
    return node


async def test_an_audit_from_its_seal_to_its_draw() -> None:
    """Nonces show once revealed; then all of so few devices are drawn, but for one that was pledged
    meanwhile, and who kept silent has a strike."""
    node = audited()
    world = node.world
    promised = world.capacity()
    assert promised is not None
    node.decide([world.amends("val0", "capacity-val0", 2_000_000, promised.terms.to_ms)])
    node.decide([world.pledges("val0", "capacity-val0", "late")])
    async with open_api(node) as api:
        revealed = await api.read("/audits", schemas.Audits)
        for _ in range(2):
            node.decide([], after_ms=30_000)
        drawn = await api.read("/audits", schemas.Audits)
        opening = await api.read(f"/audits/{FIRST + 1}/val0", schemas.Opening)
        attestors = listed(await api.read("/attestors", Page[schemas.Attestor]))
        other = await api.ask(f"/audits/{FIRST + 2}/val0")
    (item,) = revealed.rounds
    assert (item.period, revealed.period, revealed.openings) == (FIRST + 1, FIRST + 2, [])
    assert [x.nonce for x in item.sealed] == ["09" * 32, None]
    assert (drawn.period, drawn.rounds, drawn.ledger_time_ms) == (FIRST + 3, [], world.clock_ms)
    assert drawn.period_ms == PERIOD_MS
    assert [(x.issuer, x.devices, x.drawn) for x in drawn.openings] == [
        (f"val{index}", 60, []) for index in range(4)
    ]
    assert opening.drawn == sorted(device(f"val0//{index}").hex() for index in range(60))
    assert (opening.opened, opening.deadline_ms) == (0, (FIRST + 4) * PERIOD_MS - 1)
    assert {x.id: x.strikes for x in attestors if x.strikes} == {"att-south": 1}
    assert other.code == "not_found"


async def test_no_answer_looks_at_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 240 devices a page looks at no more than 25, and decodes only what is drawn; together the
    pages list what one would."""
    node = audited()
    for _ in range(2):
        node.decide([], after_ms=30_000)
    path, looked = f"/audits/{FIRST + 1}/val0", list[bytes]()

    def is_drawn(seed: bytes, device: bytes, *, devices: int, wanted: int) -> bool:
        looked.append(device)
        return device[0] % 2 == 0

    monkeypatch.setattr(economy, "DEVICES_LOOKED_MAX", 25)
    monkeypatch.setattr(economy, "is_drawn", is_drawn)
    drawn, pages, cursor = list[str](), 0, ""
    async with open_api(node) as api:
        while cursor is not None:
            page = await api.read(f"{path}?cursor={cursor}" if cursor else path, schemas.Opening)
            assert len(looked) <= 25
            looked.clear()
            drawn, pages, cursor = drawn + page.drawn, pages + 1, page.next_cursor
        with Client(api.url) as client:
            opening = await asyncio.to_thread(client.economy.opening, FIRST + 1, "val0")
    own = sorted(device(f"val0//{index}").hex() for index in range(60))
    assert drawn == [item for item in own if bytes.fromhex(item)[0] % 2 == 0]
    assert (pages, opening.drawn) == (10, drawn)


# Bad input.

LISTS = ("licences", "attestors", "challenges", "compliance", "audits")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/licences/nobody", "not_found"),
        ("/licences/VAL0", "not_found"),
        ("/licences/%C3%BC", "not_found"),
        ("/licences/val0?x=1", "bad_request"),
        ("/commitments/val0/nothing", "not_found"),
        ("/commitments/nobody/capacity-val0", "not_found"),
        ("/commitments/val0/%C3%BC", "not_found"),
        ("/commitments/%C3%BC/capacity-val0", "not_found"),
        ("/commitments?issuer=%C3%BC", "not_found"),
        ("/commitments?limit=0", "bad_request"),
        ("/commitments?limit=1e3", "bad_request"),
        ("/commitments?cursor=%C3%BC", "bad_cursor"),
        ("/commitments?cursor=AAAA", "bad_cursor"),
        ("/commitments?cursor=a2s", "bad_cursor"),
        (f"/commitments?cursor={'a' * 200}", "bad_cursor"),
        ("/commitments?issuer=val0&issuer=val1", "bad_request"),
        ("/issuers/nobody/backing", "not_found"),
        ("/issuers/%C3%BC/backing", "not_found"),
        ("/issuers/val0/backing?x=1", "bad_request"),
        ("/audits/1/nobody", "not_found"),
        ("/audits/1/%C3%BC", "not_found"),
        ("/audits/1/val0?cursor=AAAA", "bad_cursor"),
        ("/audits/1/val0?limit=5", "bad_request"),
        ("/audits/-1/val0", "bad_request"),
        ("/audits/01/val0", "bad_request"),
        ("/audits/99999999999999999999/val0", "bad_request"),
        *((f"/{name}?x=1", "bad_request") for name in LISTS),
        *((f"/{name}?limit=1", "bad_request") for name in LISTS),
    ],
)
async def test_what_is_not_there_or_makes_no_sense(path: str, code: str) -> None:
    """Unknown names, other alphabets, numbers, cursors and parameters that the route has not."""
    async with open_api() as api:
        reply = await api.ask(path)
    assert reply.code == code


async def test_a_cursor_goes_on_though_its_commitment_is_gone() -> None:
    """The page begins at the next one; and a cursor of all goes on in those of one issuer."""
    node = EconomyNode()
    brief = more(node.world, to_ms=TIME_MS + PERIOD_MS)
    node.decide([node.world.commits(brief)])
    async with open_api(node) as api:
        first = await api.read("/commitments?limit=1", Page[schemas.Commitment])
        asked = f"cursor={first.next_cursor}"
        there = await api.read(f"/commitments?{asked}&issuer=val0", Page[schemas.Commitment])
        for _ in range(3):
            node.decide([], after_ms=30_000)
        rest = await api.read(f"/commitments?{asked}", Page[schemas.Commitment])
        alone = await api.ask("/commitments/val0/more")
    assert [item.id for item in first.items] == ["capacity-val0"]
    assert [item.id for item in there.items] == ["more"]
    assert [item.id for item in rest.items] == [f"capacity-val{index}" for index in (1, 2, 3)]
    assert alone.code == "not_found"
