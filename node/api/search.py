"""One box for every name: heights, hashes, ids, addresses, slugs.

Each question is a lookup by key, but for a commitment without its issuer, which costs one for each
issuer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

from aiohttp import web
from msgspec import Meta

from ledger.address import ADDRESS_CHARS_MAX, decode_address, encode_address
from ledger.draft import Draft
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.reserve import Reserve
from ledger.objects import load, load_all
from ledger.reasons import Invalid
from ledger.registers import COMMITMENTS, LICENCES, REDEMPTIONS, name
from node.api.assets import now
from node.api.problems import ApiCode, ApiError
from node.api.record_schemas import Found, Kind, Search
from node.api.reply import answer
from node.api.request import SERVICES, read_query
from node.api.routes import Parameter, get
from node.api.services import Services

QUERY_CHARS_MAX = ADDRESS_CHARS_MAX
"""The longest name that anything has."""
_HEIGHT = re.compile(r"0|[1-9][0-9]{0,18}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


async def get_search(request: web.Request) -> web.Response:
    """What goes by a name: height, hash, txid, address, licence, asset, order or commitment.

    A commitment is written `issuer/id`, or its id alone. Capitals and spaces around do not count.
    """
    query = read_query(request)
    text = query.get("q", "").strip().lower()
    if not 1 <= len(text) <= QUERY_CHARS_MAX:
        detail = f"q must be a name of 1 to {QUERY_CHARS_MAX} characters"
        raise ApiError(ApiCode.BAD_REQUEST, detail)
    return answer(Search(query=text, items=list(_find(request.app[SERVICES], text))))


def _find(services: Services, text: str) -> Iterator[Found]:
    if _HEIGHT.fullmatch(text) and services.chain.base <= int(text) <= services.chain.height:
        yield _found("block", text, "blocks")
    if _HASH.fullmatch(text):
        yield from _by_hash(services, text)
    elif _SLUG.fullmatch(text):
        yield from _by_slug(services, text)
    elif "/" in text:
        yield from _commitments(now(services), *text.split("/", 1))
    try:
        lock = decode_address(text, services.genesis.hrp)
    except Invalid:
        return
    yield _found("address", encode_address(lock, services.genesis.hrp), "addresses")


def _by_hash(services: Services, text: str) -> Iterator[Found]:
    wanted = bytes.fromhex(text)
    height = services.chain.height_of(wanted)
    if height is not None:
        yield _found("block", str(height), "blocks")
    pool, places = services.mempool, services.chain.indexes
    if places.place(wanted) or pool.get(wanted) or pool.rejection(wanted):
        yield _found("transaction", text, "transactions")
    if load(services.chain, Reserve, wanted) is not None:
        yield _found("asset", text, "assets")
    if REDEMPTIONS.get(now(services), wanted) is not None:
        yield _found("order", text, "orders")


def _by_slug(services: Services, text: str) -> Iterator[Found]:
    draft = now(services)
    if LICENCES.get(draft, name(text)) is not None:
        yield _found("licence", text, "licences")
    issuers = sorted([item.issuer for item in load_all(services.chain, Reserve)])
    if text in issuers:
        yield _found("issuer", text, "issuers")
    for issuer in issuers:
        yield from _commitments(draft, issuer, text)


def _commitments(draft: Draft, issuer: str, wanted: str) -> Iterator[Found]:
    if not (_SLUG.fullmatch(issuer) and _SLUG.fullmatch(wanted)):
        return
    if COMMITMENTS.get(draft, CapacityCommitment.identity(issuer, wanted)) is not None:
        yield _found("commitment", f"{issuer}/{wanted}", "commitments")


def _found(kind: Kind, called: str, route: str) -> Found:
    return Found(kind=kind, name=called, link=f"/v1/{route}/{quote(called)}")


ROUTES = (
    get(
        "/v1/search",
        get_search,
        Search,
        Parameter(
            "q",
            Annotated[str, Meta(min_length=1, max_length=QUERY_CHARS_MAX)],
            "The name.",
            "acme",
            is_required=True,
        ),
        weight=5,
    ),
)
