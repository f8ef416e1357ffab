"""The panel of a devnet in a real browser: it shows what is so, and buttons do what they say."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.functional.cluster import Cluster
from tests.ui.browser import Visit, Window

ACTION_MS = 60_000
"""A restart waits for the node to vote."""


@pytest.fixture(scope="module")
def cluster(browser: Browser) -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="marsa-"))
    made = Cluster(home)
    try:
        made.up("--faults", "--no-issuers")
        yield made
    finally:
        made.end()
        shutil.rmtree(home)


@pytest.fixture
def seen(browser: Browser, cluster: Cluster) -> Iterator[Visit]:
    address = cluster.marsa("devnet", "open", "--json").json["panel"].partition("#")[0]
    found = Visit(Window(browser, address.rstrip("/")), width="desktop")
    yield found
    found.end()


def opened(seen: Visit, cluster: Cluster) -> Page:
    seen.page.goto(cluster.marsa("devnet", "open", "--json").json["panel"])
    expect(seen.page.locator(".lede")).to_contain_text("4 nodes run")
    return seen.page


def test_without_the_key_it_says_how_to_get_it(seen: Visit) -> None:
    """And shows nothing of the devnet."""
    seen.expected = ("401",)
    seen.page.goto("/")
    expect(seen.page.locator("main")).to_contain_text("marsa devnet open")
    expect(seen.page.locator(".node")).to_have_count(0)
    assert seen.axe() == []


def test_the_key_leaves_the_address(seen: Visit, cluster: Cluster) -> None:
    """What is copied from there, or kept by the browser, opens nothing; a reload still works."""
    page = opened(seen, cluster)
    assert "#" not in page.url
    page.reload()
    expect(page.locator(".node")).to_have_count(4)


def test_it_is_sound_in_both_themes_and_widths(seen: Visit, cluster: Cluster) -> None:
    page = opened(seen, cluster)
    for width in ("desktop", "phone"):
        for scheme in ("light", "dark"):
            seen.look_as(width=width, scheme=scheme)  # type: ignore[arg-type]
            assert seen.axe() == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_node_is_killed_and_comes_back(seen: Visit, cluster: Cluster) -> None:
    """By the keyboard alone. Map, card and banner say so, and the command stands below."""
    page = opened(seen, cluster)
    page.get_by_role("button", name="Kill val2").press("Enter")
    expect(page.locator("#trouble")).to_contain_text("Missing: val2 (coral)", timeout=ACTION_MS)
    restart = page.get_by_role("button", name="Restart val2")
    expect(restart).to_be_focused(timeout=ACTION_MS)
    expect(page.locator(".map")).to_have_attribute("aria-label", re.compile("val2 down"))
    assert not cluster.nodes()["val2"]["alive"]
    assert seen.axe() == []
    expect(page.locator(".done code")).to_have_text(["marsa devnet kill val2"])
    expect(restart).to_be_enabled()
    page.keyboard.press("Enter")
    ended = re.compile("restart val2.*done in")
    expect(page.locator(".done li").first).to_contain_text(ended, timeout=ACTION_MS)
    expect(page.locator("#trouble")).to_be_empty()
    assert cluster.nodes()["val2"]["state"] == "voting"


def test_links_are_cut_and_open_again(seen: Visit, cluster: Cluster) -> None:
    """Two against two as proposed: four links, eight ways."""
    page = opened(seen, cluster)
    page.get_by_role("button", name="Cut the links between A and B").click()
    expect(page.locator(".map .cut")).to_have_count(4, timeout=ACTION_MS)
    assert len(cluster.marsa("devnet", "status", "--json").json["links"]) == 8
    expect(page.locator("#trouble .bad")).to_contain_text("2 hear each other, 3 are needed")
    page.get_by_role("button", name="Open all links").click()
    expect(page.locator(".map .cut")).to_have_count(0, timeout=ACTION_MS)
    assert cluster.marsa("devnet", "status", "--json").json["links"] == []


def test_a_refusal_is_shown_with_its_hint(seen: Visit, cluster: Cluster) -> None:
    """A node that somebody else killed meanwhile: what the command said stands below."""
    page = opened(seen, cluster)
    pause = page.get_by_role("button", name="Pause val3").element_handle()
    cluster.marsa("devnet", "kill", "val3")
    pause.dispatch_event("click")  # whether the page has seen it or not
    done = page.locator(".done li").first
    expect(done).to_contain_text("val3 is down", timeout=ACTION_MS)
    expect(done).to_contain_text("marsa devnet restart val3")
    cluster.marsa("devnet", "restart", "val3")
