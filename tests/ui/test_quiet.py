"""The explorer over a node that has nothing: height 0, nobody linked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.node.api.harness import Node
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
