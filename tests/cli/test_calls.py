"""Every route as a call: each of the table, none twice, and answers that both clients read."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from aiohttp.web import UrlDispatcher

from cli import calls
from cli.async_client import AsyncClient
from cli.calls import Call
from cli.client import ApiProblem, Client
from ledger.address import encode_address
from node.api.economy_schemas import MintQuoteForm
from node.api.redemption_schemas import RedeemQuoteForm
from node.api.routes import EVENT_STREAM, MSGPACK
from node.api.server import RATES, ROUTES
from node.api.standard_schemas import StandardQuoteForm
from tests.cli.test_client import serving
from tests.ledger.world import COIN, lock_of
from tests.node.api.harness import RedeemingNode, open_api

VALUES: dict[str, Any] = {
    "txid": "ab" * 32,
    "name": "val0",
    "at": "latest",
    "height": 1,
    "number": 0,
    "index": 0,
    "key": "20",
    "issuer": "val0",
    "period": 1,
    "order": "cd" * 32,
    "text": "val0",
    "raw": b"raw",
    "raws": [b"raw"],
}
FORMS = {
    "quote_mint": MintQuoteForm(issuer="val0", amount="1"),
    "quote_redeem": RedeemQuoteForm(amount="1", workload="training"),
    "quote_standard": StandardQuoteForm(raised=[], added=[]),
}


def builders() -> dict[str, Any]:
    return {
        name: made
        for name, made in vars(calls).items()
        if inspect.isfunction(made)
        and made.__module__ == calls.__name__
        and not name.startswith("_")
        and name != "all_items"
    }


def built(name: str, given: dict[str, Any] | None = None) -> Call[Any]:
    """A call with every parameter that it must have, and those `given` that it may have."""
    made = builders()[name]
    needed = {
        item.name: FORMS[name] if item.name == "form" else VALUES[item.name]
        for item in inspect.signature(made).parameters.values()
        if item.default is item.empty
    }
    return made(**needed, **(given or {}))


def test_every_route_is_a_call_and_every_call_a_route() -> None:
    """Paths are matched by the router that serves them; streams are `Client.events`."""
    router = UrlDispatcher()
    for route in ROUTES:
        router.add_route(route.method, route.path, route.handler)
    found = set()
    for name in builders():
        call = built(name)
        path = f"/v1{call.path.partition('?')[0]}"
        (matched,) = [
            route
            for route in ROUTES
            if route.method == call.method and router_matches(router, route.path, path)
        ]
        found.add((matched.method, matched.path, call.accept))
    expected = {
        (route.method, route.path, route.media_type)
        for route in ROUTES
        if route.media_type != EVENT_STREAM
    }
    assert found == expected | {("GET", "/v1/blocks/{at}", MSGPACK)}
    assert len(found) == len(builders())


def router_matches(router: UrlDispatcher, pattern: str, path: str) -> bool:
    """The most literal pattern wins, as where it serves."""
    for resource in router.resources():
        if resource._match(path) is not None:  # type: ignore[attr-defined]
            return bool(resource.canonical == pattern)
    return False


def test_every_optional_parameter_is_one_of_the_route() -> None:
    """What a call may be given, the table has; and the other way round."""
    by_path = {(route.method, route.path): route for route in ROUTES}
    for name, made in builders().items():
        options = [
            item.name
            for item in inspect.signature(made).parameters.values()
            if item.kind is item.KEYWORD_ONLY
        ]
        told = {"wait_s": "wait", "is_open": "open"}
        taken = {told.get(option, option) for option in options}
        call = built(name)
        given = set() if name != "search" else {"q"}
        path = f"/v1{call.path.partition('?')[0]}"
        router = UrlDispatcher()
        for route in ROUTES:
            router.add_route(route.method, route.path, route.handler)
        (row,) = [
            item
            for (method, pattern), item in by_path.items()
            if method == call.method and router_matches(router, pattern, path)
        ]
        if name == "set_changes":
            taken = {"start"}
        assert taken | given == set(row.query_names), name


async def test_every_call_is_answered_and_read() -> None:
    """Against one node with an order: each call that reads gives its struct."""
    node = RedeemingNode()
    order = node.order(2 * COIN).hex()
    world = node.world
    sent = world.transfer("alice", "bob")
    node.decide([sent])
    address = encode_address(lock_of("alice"), "mrst")
    given: dict[str, dict[str, Any]] = {
        "address": {"name": address},
        "coins": {"name": address},
        "history": {"name": address},
        "asset": {"name": world.asset("val0").hex()},
        "commitment": {"issuer": "val0", "name": "capacity-val0"},
        "redemption": {"order": order},
        "proof": {"txid": sent.txid.hex()},
        "transaction": {"txid": sent.txid.hex()},
        "submit": {"raw": sent.raw},
        "submit_batch": {"raws": [sent.raw]},
    }
    async with open_api(node) as api, AsyncClient(api.url) as client:
        for name, made in builders().items():
            if name in ("check", "opening"):  # a state of their own: tests of their own
                continue
            call = made(**given[name]) if name in given else built(name)
            answer = await client.ask(call)
            assert answer is not None, name
        for name in ("check", "opening"):
            with pytest.raises(ApiProblem):
                await client.ask(built(name))


def test_whoever_asks_too_much_waits_as_long_as_the_node_says() -> None:
    """An empty bucket that fills again: both clients ask again by themselves, and give up where
    their deadline is nearer."""
    with serving() as served:
        rates = served.api.app[RATES]

        def spend() -> None:
            rates.take("", 1)
            rates._buckets[""].tokens = -1_000.0

        with Client(served.url) as client:
            served.call(spend)
            assert client.status().sync.height == 0
            assert rates.refused == 1
        served.call(spend)
        with Client(served.url, timeout_s=0.5) as client, pytest.raises(ApiProblem) as caught:
            client.status()
        assert (caught.value.code, caught.value.retry_after_s) == ("rate_limited", 1)

        async def ask() -> None:
            async with AsyncClient(served.url) as patient:
                assert (await patient.status()).sync.height == 0
            served.call(spend)
            async with AsyncClient(served.url, timeout_s=0.5) as hasty:
                with pytest.raises(ApiProblem):
                    await hasty.status()

        served.call(spend)
        asyncio.run(ask())
