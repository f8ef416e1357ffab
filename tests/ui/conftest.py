"""One browser and one devnet for the tests of a file; visits that are judged at the end.

They end with the file: while Playwright runs no other loop may, and tests that are coroutines would
fail after them. Files go to workers whole, so that a wider scope would save nothing there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.functional.cluster import Cluster
from tests.ui.browser import Visit, Window, open_browser

MEMO = '<img src=x onerror="alert(1)"><b>Invoice 17</b>'
PAYMENTS = 3


@dataclass(frozen=True)
class Devnet:
    """Four validators, some payments from alice to bob, the last one with a memo that is markup."""

    cluster: Cluster
    url: str
    payment: Any
    alice: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def devnet(browser: Browser) -> Iterator[Devnet]:
    """Started after the browser: where there is none, nothing is."""
    home = Path(tempfile.mkdtemp(prefix="marsa-"))
    cluster = Cluster(home)
    try:
        accounts = cluster.up()["accounts"]
        for number in range(PAYMENTS - 1):
            cluster.send(f"{number + 1}.5", "alice", "bob")
        payment = cluster.send("5", "alice", "bob", "--memo", MEMO)
        alice = next(item["address"] for item in accounts if item["name"] == "alice")
        yield Devnet(cluster, cluster.api(0), payment, alice)
    finally:
        cluster.end()
        shutil.rmtree(home)


NewVisit = Callable[..., Visit]


@pytest.fixture(scope="module")
def windows() -> dict[str, Window]:
    """Those that are open, by address."""
    return {}


@pytest.fixture
def visit(browser: Browser, windows: dict[str, Window]) -> Iterator[NewVisit]:
    """Makes visits: `visit(url, width=…)`; each is judged when the test ends."""
    made: list[Visit] = []

    def new(url: str, *, width: str = "desktop") -> Visit:
        if url not in windows:
            windows[url] = Window(browser, url)
        found = Visit(windows[url], width=width)
        made.append(found)
        return found

    yield new
    for item in made:
        item.end()
