"""Quotes of a mint: the very answer that the mint itself gets, for each reason to say no."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from ledger.genesis import Genesis
from ledger.operations import Admit, RemoveAttestor, Suspend
from ledger.reasons import Invalid
from node.api import economy_schemas as schemas
from node.api.request import JSON
from tests.ledger.economy_world import EconomyWorld, lasting, well_bonded, with_economy
from tests.ledger.world import COIN, grant, make_genesis
from tests.node.api.harness import Api, EconomyNode, Reply, open_api

Deed = Callable[[EconomyNode], None]
LONG = lasting(make_genesis())
RICH = well_bonded(LONG, 2_000)


async def ask(api: Api, issuer: str, amount: int | str) -> Reply:
    body = msgspec.json.encode({"issuer": issuer, "amount": str(amount)})
    return await api.ask("/quotes/mint", body, kind=JSON)


async def quote(api: Api, issuer: str, amount: int) -> schemas.MintQuote:
    reply = await ask(api, issuer, amount)
    assert reply.status == 200, reply
    return reply.read(schemas.MintQuote)


def nothing(_: EconomyNode) -> None:
    """As genesis left it."""


def silenced(node: EconomyNode) -> None:
    for group in ("north", "south"):
        node.decide([node.world.govern(RemoveAttestor(f"att-{group}", 1))])


def contradicted(node: EconomyNode) -> None:
    node.decide([node.world.attests("west", "val0", 5)])


def suspended(node: EconomyNode) -> None:
    node.decide([node.world.govern(Suspend("val0", 0))])


def accused(node: EconomyNode) -> None:
    node.decide([node.world.accuse("val0")])


def renewed_without_issuing(node: EconomyNode) -> None:
    node.decide([node.world.govern(Admit(grant("val0", issuer=False), 0))])


def minted(node: EconomyNode) -> None:
    node.decide([node.world.minting("val0", COIN)])


@pytest.mark.parametrize(
    ("genesis", "deed", "amount", "code"),
    [
        (LONG, nothing, COIN, ""),
        (LONG, silenced, COIN, "not_healthy"),
        (LONG, contradicted, COIN, "mint_frozen"),
        (RICH, nothing, 400_000 * COIN, "above_headroom"),
        (RICH, nothing, 200_000 * COIN, "low_deliverability"),
        (with_economy(RICH, mint_cap_ppm=1_000), minted, 388 * COIN, "above_mint_cap"),
        (LONG, nothing, 3_401 * COIN, "short_bond"),
        (LONG, suspended, COIN, "licence_inactive"),
        (LONG, accused, COIN, "licence_inactive"),
        (LONG, renewed_without_issuing, COIN, "unknown_issuer"),
    ],
)
async def test_a_quote_says_what_the_mint_itself_is_told(
    genesis: Genesis, deed: Deed, amount: int, code: str
) -> None:
    """The reason and its words are those of the transaction; where the quote says yes it is
    taken."""
    node = EconomyNode(EconomyWorld(genesis))
    deed(node)
    async with open_api(node) as api:
        found = await quote(api, "val0", amount)
        backing = await api.read("/issuers/val0/backing", schemas.Backing)
    mint = node.world.minting("val0", amount)
    told = ("", "")
    try:
        await node.check(mint.raw)
    except Invalid as error:
        told = (error.reason.value, error.detail)
    assert (found.code, found.message) == told
    assert (found.code, found.allowed) == (code, not code)
    assert (found.height, found.issuer, found.amount) == (node.chain.height, "val0", str(amount))
    assert found.backing == backing


async def test_the_figures_that_a_quote_shows_are_the_limits_themselves() -> None:
    """The headroom is allowed and one unit more is not; the same of the cap a period, whose rest
    the next quote shows."""
    free = EconomyNode(EconomyWorld(well_bonded(make_genesis())))
    async with open_api(free) as api:
        headroom = int((await quote(api, "val0", COIN)).backing.reserve.headroom)
        assert (await quote(api, "val0", headroom)).allowed
        assert (await quote(api, "val0", headroom + 1)).code == "above_headroom"
    capped = EconomyNode(EconomyWorld(with_economy(RICH, mint_cap_ppm=1_000)))
    minted(capped)
    async with open_api(capped) as api:
        backing = (await quote(api, "val0", COIN)).backing
        rest = int(backing.mint_cap) - int(backing.minted)
        assert backing.minted == str(COIN)
        assert (await quote(api, "val0", rest)).allowed
        assert (await quote(api, "val0", rest + 1)).code == "above_mint_cap"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b'{"issuer":"nobody","amount":"1"}', JSON, "not_found"),
        ('{"issuer":"ü","amount":"1"}'.encode(), JSON, "not_found"),
        (b'{"issuer":"","amount":"1"}', JSON, "bad_request"),
        (b'{"issuer":"%s","amount":"1"}' % (b"a" * 33), JSON, "bad_request"),
        (b'{"issuer":"val0","amount":"0"}', JSON, "bad_amount"),
        (b'{"issuer":"val0","amount":"-1"}', JSON, "bad_request"),
        (b'{"issuer":"val0","amount":"1.5"}', JSON, "bad_request"),
        ('{"issuer":"val0","amount":"١"}'.encode(), JSON, "bad_request"),
        (b'{"issuer":"val0","amount":1}', JSON, "bad_request"),
        (b'{"issuer":"val0"}', JSON, "bad_request"),
        (b'{"issuer":"val0","amount":"1","lane":0}', JSON, "unknown_field"),
        (b"[" * 100_000, JSON, "bad_request"),
        (b"", JSON, "bad_request"),
        (b"\xff", JSON, "bad_request"),
        (b'{"issuer":"\xff","amount":"1"}', JSON, "bad_request"),
        (b'{"issuer":"val0","amount":"1"}', "text/plain", "unsupported_media_type"),
    ],
)
async def test_a_quote_of_nonsense(body: bytes, kind: str, code: str) -> None:
    """Unknown issuers, amounts that are none, bodies that are no form."""
    async with open_api() as api:
        reply = await api.ask("/quotes/mint", body, kind=kind)
    assert reply.code == code


async def test_a_quote_of_more_than_can_exist_is_above_the_headroom() -> None:
    """Nineteen nines: no figure overflows."""
    async with open_api() as api:
        found = await quote(api, "val0", 10**19 - 1)
        read = await api.ask("/quotes/mint")
    assert (found.allowed, found.code) == (False, "above_headroom")
    assert read.code == "method_not_allowed"
