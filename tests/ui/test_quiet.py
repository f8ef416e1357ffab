"""The explorer over a node that has nothing: height 0, nobody linked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, Request, expect

from cli import bench_readers
from tests.node.api.harness import Node
from tests.ui.browser import Visit, Window
from tests.ui.conftest import NewVisit
from tests.ui.served import Served

NOTHING = {
    "": "Nothing was sent yet",
    "blocks": "1 block so far",
    "block/0": "The first block",
    "mempool": "Nothing waits",
    "validators": "Val1, val3 and val2 are not connected",
    "consensus": "No block can be made",
    "network": "linked with one of three other validators",
}
"""The answer of each page."""
HALF_MINUTE_S = 30
OTHERS_ARE_READ = "fetch('/v1/fees').then((answer) => answer.text())"
"""A question whose answer comes to the page after those that were given before."""


@pytest.fixture(scope="module")
def quiet(browser: Browser) -> Iterator[str]:
    """The address of a node at height 0 whose validators are all away but itself."""
    node = Node()
    node.missing = ["val1", "val2", "val3"]
    with Served(node) as served:
        yield served.url


@pytest.mark.parametrize("path", NOTHING)
def test_every_page_says_what_there_is_not(path: str, quiet: str, visit: NewVisit) -> None:
    """Opens each page: a sentence for who looks, who is missing, and nothing that axe finds."""
    seen = visit(quiet)
    page = seen.open(path)
    expect(page.locator(".lede")).to_contain_text(NOTHING[path])
    expect(page.locator("#banner")).to_contain_text("No new blocks")
    expect(page.locator("#banner")).to_contain_text(
        "missing: val1, val2 and val3 (already when this page was opened)"
    )
    assert seen.axe() == []


def test_an_address_that_never_held_anything(quiet: str, visit: NewVisit) -> None:
    """Opens a valid address without a history: that is no error."""
    address = "mrst1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqcynmzh"
    seen = visit(quiet)
    page = seen.open(f"address/{address}")
    expect(page.locator(".lede")).to_contain_text("never held anything")


def test_the_readers_of_the_benchmark_ask_what_the_page_asks(browser: Browser, quiet: str) -> None:
    """Opens the first page and lets half a minute go by on its clock, in a window of its own, whose
    clock is nobody else's: the same questions as it opens, the same ones again and as often, in the
    same headers, those of the connection aside."""
    seen = Visit(Window(browser, quiet), width="desktop")
    asked: list[Request] = []
    seen.page.on("request", lambda request: asked.append(request))
    seen.page.clock.install()
    page = seen.open("")
    expect(page.locator("#banner")).to_contain_text("No new blocks")
    with page.expect_event("requestfinished", is_status):
        page.clock.pause_at(datetime.now() + timedelta(minutes=1))  # it went on by itself so far
    page.evaluate(OTHERS_ARE_READ)
    stream = next(item for item in asked if "/v1/events" in item.url)
    assert paths_of([stream]) == {bench_readers.STREAM: 1}
    assert set(paths_of(asked)) == {bench_readers.STREAM, *bench_readers.OPENING}
    asked.clear()
    turns = round(HALF_MINUTE_S / bench_readers.STATUS_S)
    for _ in range(turns):
        with page.expect_event("requestfinished", is_status):
            page.clock.run_for(round(1_000 * bench_readers.STATUS_S))
        page.evaluate(OTHERS_ARE_READ)
    assert paths_of(asked) == {"status": turns, "reserve": HALF_MINUTE_S / bench_readers.RESERVE_S}
    for request, own in (
        (stream, bench_readers.OF_STREAMS),
        (next(filter(is_status, asked)), bench_readers.OF_QUESTIONS),
    ):
        told, ours = request.all_headers(), {**bench_readers.BROWSER, **own}
        assert set(told) - {"host", "connection"} == {name.lower() for name in ours}
        assert {name: told[name.lower()] for name in own} == own


def is_status(request: Request) -> bool:
    return request.url.endswith("/v1/status")


def paths_of(requests: Sequence[Request]) -> Counter[str]:
    """Of the page's questions to the API."""
    paths = [item.url.partition("/v1/")[2] for item in requests]
    return Counter([path for path in paths if path not in ("", "fees")])
