"""Debian's Chromium, driven by Playwright; nothing is ever downloaded.

A page that is opened here is judged when it is left: no message on the console, no error, no breach
of the policy, nothing asked of another origin. Under the policy of the explorer a browser compiles
no string, so conditions are waited for by locators alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    ViewportSize,
    sync_playwright,
)

CHROMIUM = Path("/usr/bin/chromium")
PLAIN = "/v1/status"
"""What a tab shows between two visits: no page of the explorer."""
WAIT_MS = 10_000
"""For anything that a test waits for; a test that passes never waits so long."""
QUIET_ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-pings",
)
AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text("utf-8")
WIDTHS: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Skips where there is no Chromium, which is Debian's package of that name."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    arguments = [*QUIET_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """Stays open from one visit to the next, and so do its tabs: to open them is dear.

    Every visit has a tab for itself and finds nothing that another one left: its page is gone, and
    what it kept is forgotten.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(
            base_url=url,
            viewport=WIDTHS["desktop"],
            color_scheme="light",
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.context.set_default_timeout(WAIT_MS)
        self._blank = self.context.new_page()  # without a tab the window would close
        self._tabs: list[Page] = []
        """Those that nobody uses."""

    def tab(self) -> Page:
        """An empty one."""
        return self._tabs.pop() if self._tabs else self.context.new_page()

    def take_back(self, page: Page) -> None:
        """The tab of a visit that is over, without what it did to it.

        It stays at the same address, for which the browser keeps the process that draws it.
        """
        page.unroute_all(behavior="ignoreErrors")
        page.goto(PLAIN)
        page.emulate_media(color_scheme="light")
        self._tabs.append(page)

    def forget(self) -> None:
        """What the browser keeps of this address, and everything that it has loaded."""
        devtools = self.context.new_cdp_session(self._blank)
        kept = {"origin": self.url, "storageTypes": "all"}
        devtools.send("Storage.clearDataForOrigin", kept)
        devtools.send("Network.clearBrowserCache")
        devtools.detach()


class Visit:
    """One page in a tab for itself, and what it did that it must not do."""

    def __init__(self, window: Window, *, width: str) -> None:
        self._window = window
        self._url = window.url
        self.page: Page = window.tab()
        self.page.set_viewport_size(WIDTHS[width])
        self.faults: list[str] = []
        self.expected: tuple[str, ...] = ()
        """Parts of messages that a test brings about itself."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("request", self._on_request)

    def open(self, path: str) -> Page:
        """Go to a page below /ui/ and wait until it is drawn."""
        self.page.goto(f"/ui/{path}")
        self.page.locator("main .page").wait_for()
        return self.page

    def look_as(self, *, width: str, scheme: Literal["light", "dark"] = "light") -> None:
        """The same page in another window, on a system of another theme."""
        self.page.set_viewport_size(WIDTHS[width])
        self.page.emulate_media(color_scheme=scheme)

    def axe(self) -> list[str]:
        """What axe-core finds: rule, places, what to do."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        found = self.page.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map("
            "item => item.id + ': ' + item.nodes.map(node => node.target + ' ' +"
            " node.failureSummary).join('; ')))"
        )
        return [str(item) for item in found]

    def end(self) -> None:
        if not self.page.is_closed():
            self.page.title()  # what it said before has been heard now
            self.page.remove_listener("console", self._on_console)
            self.page.remove_listener("pageerror", self._on_error)
            self.page.remove_listener("request", self._on_request)
            self._window.take_back(self.page)
        self._window.forget()
        faults = [text for text in self.faults if not any(part in text for part in self.expected)]
        assert faults == [], faults

    def _on_console(self, message: ConsoleMessage) -> None:
        self.faults.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def _on_error(self, error: Error) -> None:
        self.faults.append(f"error: {error}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self._url, "data:")):
            self.faults.append(f"asked elsewhere: {request.url}")
