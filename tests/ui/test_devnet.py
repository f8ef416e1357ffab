"""The explorer over a devnet of real validators: what a reader sees, does and is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.ui.browser import Visit, Window
from tests.ui.conftest import MEMO, Devnet, NewVisit

pytestmark = pytest.mark.functional

PAGES = (
    "",
    "blocks",
    "block/latest",
    "block/0",
    "tx/{txid}",
    "address/{alice}",
    "mempool",
    "validators",
    "consensus",
    "network",
)
HOME_BYTES_MAX = 150_000


def ask(devnet: Devnet, path: str) -> Any:
    with urlopen(f"{devnet.url}/v1/{path}", timeout=10) as reply:
        return json.load(reply)


def path_of(page: str, devnet: Devnet) -> str:
    return page.format(txid=devnet.payment["txid"], alice=devnet.alice)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_sound_in_both_themes_and_widths(
    page: str, devnet: Devnet, visit: NewVisit
) -> None:
    """Opens a page on a desk in light and looks at it on a phone in the dark: one heading, an
    answer, a title, nothing wider than the window, and nothing that axe-core finds."""
    seen = visit(devnet.url)
    shown = seen.open(path_of(page, devnet))
    expect(shown.locator("h1")).to_have_count(1)
    expect(shown.locator(".lede")).not_to_be_empty()
    expect(shown.locator("#foot")).to_contain_text("All times are UTC")
    expect(shown.locator("#foot a")).to_have_attribute("href", "/docs")
    assert shown.title().endswith("Marsa")
    assert seen.axe() == []
    seen.look_as(width="phone", scheme="dark")
    sizes = shown.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]
    assert seen.axe() == []


def test_home_is_light(browser: Browser, devnet: Devnet) -> None:
    """Adds up all that the first page loads, charts and answers too, as it goes over the wire: in a
    window of its own, where nothing is in memory."""
    seen = Visit(Window(browser, devnet.url), width="desktop")
    loaded: list[Request] = []
    seen.page.on("requestfinished", lambda request: loaded.append(request))
    page = seen.open("")
    expect(page.locator("figure canvas")).to_have_count(2)
    sizes = [item.sizes() for item in loaded if "/v1/events" not in item.url]
    total = sum(item["responseBodySize"] + item["responseHeadersSize"] for item in sizes)
    assert 20_000 < total <= HOME_BYTES_MAX
    seen.end()


def test_home_follows_the_chain(devnet: Devnet, visit: NewVisit) -> None:
    """Pays while the page is open: the new block appears at the front of the strip, and its tile
    leads to it."""
    page = visit(devnet.url).open("")
    expect(page.locator(".lede")).to_contain_text(re.compile(r"final in \d+"))
    sent = devnet.cluster.send("0.25", "alice", "bob")
    tile = page.get_by_role("link", name=re.compile(rf"^{sent['height']}\s*1 transaction"))
    tile.click()
    expect(page.locator("h1")).to_have_text(f"Block {sent['height']}")
    expect(page.locator("h1")).to_be_focused()
    expect(page.get_by_role("link", name=re.compile("^" + sent["txid"][:8]))).to_be_visible()


def test_a_proof_is_checked_in_the_browser(devnet: Devnet, visit: NewVisit) -> None:
    """Asks for the check of a real proof: every step holds, and what is left to the reader is
    said."""
    page = visit(devnet.url).open(f"tx/{devnet.payment['txid']}")
    page.get_by_role("button", name="Check the proof").click()
    expect(page.get_by_text("The proof holds")).to_be_visible()
    expect(page.locator(".steps li")).to_have_count(5)
    expect(page.locator(".steps")).to_contain_text("3 of 4 validators")


def set_at(*path: str | int, to: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A change of one value inside an answer."""

    def change(answer: Any) -> None:
        place = answer
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = to(place[path[-1]])

    return change


def other_digit(text: str) -> str:
    return ("1" if text[0] == "0" else "0") + text[1:]


PROOF_LIES: tuple[tuple[Callable[[Any], None], str], ...] = (
    (
        set_at("transaction", "body", "outputs", 0, "amount", to=lambda x: f"1{x}"),
        "the bytes say something else than this page",
    ),
    (set_at("transaction", "body", "memo", to=lambda _: ""), "the bytes say something else"),
    (
        set_at("proof", "transaction", to=lambda x: x[:20] + other_digit(x[20:])),
        "hash to another txid",
    ),
    (
        set_at("proof", "transaction", to=lambda x: x[:-40] + other_digit(x[-40:])),
        "does not lead to the block's list",
    ),
    (set_at("proof", "transaction", to=lambda x: x[:-2]), "bytes are missing"),
    (set_at("proof", "transaction", to=lambda _: "010192c0c0"), "a value that no transaction has"),
    (set_at("proof", "transaction", to=lambda _: "0101920505"), "of another shape"),
    (set_at("proof", "inclusion", "count", to=lambda x: x + 1), "the path is too short"),
    (set_at("proof", "inclusion", "path", to=lambda x: ["00" * 32]), "the path is too long"),
    (set_at("proof", "header", "tx_root", to=other_digit), "does not lead to the block's list"),
    (set_at("proof", "header", "time_ms", to=lambda x: x + 1), "does not hash to the block's hash"),
    (set_at("proof", "header", "chain_id", to=other_digit), "the header is of another chain"),
    (
        set_at("proof", "certificate", "signers", 1, "signature", to=other_digit),
        "the signature of",
    ),
    (set_at("proof", "certificate", "signers", to=lambda x: x[:-1]), "has not a quorum"),
    (set_at("proof", "certificate", "signers", to=lambda x: [x[0], x[0], x[1]]), "named twice"),
    (
        set_at("proof", "certificate", "phase", to=lambda _: 1),
        "the certificate is of another block",
    ),
)


CHECK = """async ([txid, chainId, answers]) => {
    const { Refuted, checkProof } = await import('/ui/lib/proof.js');
    return Promise.all(answers.map(async ({ transaction, proof }) => {
        try {
            await checkProof({ txid, body: transaction.body, proof, chainId, onStep: () => {} });
            return 'holds';
        } catch (fault) {
            return fault instanceof Refuted ? fault.message : `a fault of ours: ${fault}`;
        }
    }));
}"""


def test_every_lie_is_refuted_where_it_lies(devnet: Devnet, visit: NewVisit) -> None:
    """Changes one value of a true answer after the other: the check names the step that fails, and
    without a change it holds."""
    txid = devnet.payment["txid"]
    page = visit(devnet.url).open("network")
    true = ask(devnet, f"transactions/{txid}")
    answers = [true]
    for change, _ in PROOF_LIES:
        answers.append(deepcopy(true))
        change(answers[-1])
    chain_id = ask(devnet, "status")["network"]["chain_id"]
    found = page.evaluate(CHECK, [txid, chain_id, answers])
    assert found[0] == "holds"
    for (_, why), said in zip(PROOF_LIES, found[1:], strict=True):
        assert why in said


def test_a_lie_is_shown_to_the_reader(devnet: Devnet, visit: NewVisit) -> None:
    """A node that shows another amount than it proves, played by a proxy."""
    seen = visit(devnet.url)

    def lie(route: Route) -> None:
        answer = route.fetch().json()
        answer["transaction"]["body"]["outputs"][0]["amount"] = "6000000"
        route.fulfill(json=answer)

    seen.page.route(f"**/v1/transactions/{devnet.payment['txid']}", lie)
    page = seen.open(f"tx/{devnet.payment['txid']}")
    expect(page.get_by_text("it does not add up")).to_be_visible()
    page.get_by_role("button", name="Check the proof").click()
    expect(page.locator(".proof .notice")).to_contain_text("something else than this page")


def test_validators_from_elsewhere_are_refuted(devnet: Devnet, visit: NewVisit) -> None:
    """The node names a key that no header knows: the signatures are not even looked at."""
    seen = visit(devnet.url)

    def lie(route: Route) -> None:
        answer = route.fetch().json()
        answer["members"][0]["key"] = other_digit(answer["members"][0]["key"])
        route.fulfill(json=answer)

    seen.page.route("**/v1/epochs/*/validators", lie)
    page = seen.open(f"tx/{devnet.payment['txid']}")
    page.get_by_role("button", name="Check the proof").click()
    expect(page.locator(".proof .notice")).to_contain_text("names other validators")


def test_markup_of_others_stays_text(devnet: Devnet, visit: NewVisit) -> None:
    """Shows a payment whose memo is an image with a handler: it is read, and not made."""
    page = visit(devnet.url).open(f"tx/{devnet.payment['txid']}")
    expect(page.locator(".memo")).to_have_text(MEMO)
    expect(page.locator("main img")).to_have_count(0)
    expect(page.get_by_text("it adds up")).to_be_visible()
    expect(page.locator(".lede")).to_have_text(
        "It moved 5.000000 acme to one address, and that is final."
    )


def test_search_reads_the_shape_of_a_text(devnet: Devnet, visit: NewVisit) -> None:
    """Types a height, a txid, a block's hash, an address, an output, a name and nonsense."""
    block = ask(devnet, "blocks/1")["header"]["hash"]
    page = visit(devnet.url).open("network")
    field = page.get_by_label("Find a block, transaction or address")
    for text, heading in (
        ("1", "Block 1"),
        (devnet.payment["txid"], "Transaction"),
        (block.upper(), "Block 1"),
        (f"  {devnet.alice} ", "Address"),
        (f"{devnet.payment['txid']}:0", "Transaction"),
        ("Bolt", "Issuer bolt, Bolt Compute"),
    ):
        field.fill(text)
        field.press("Enter")
        expect(page.locator("h1")).to_have_text(heading)
    field.fill("<b>what</b>")
    field.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Nothing here has that")).to_be_visible()


def test_the_keyboard_is_enough(devnet: Devnet, visit: NewVisit) -> None:
    """Goes from the start of the page to a copied txid without a mouse: skip link, search by its
    key, a link, the back key, a copy button; the focus is always seen."""
    page = visit(devnet.url).open("")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type(str(devnet.payment["height"]))
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"Block {devnet.payment['height']}")
    link = page.get_by_role("link", name=re.compile("^" + devnet.payment["txid"][:8]))
    _tab_to(page, link.element_handle().get_attribute("href") or "")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Transaction")
    expect(page.locator("h1")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Copy the transaction id")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#announce")).to_have_text("Copied: transaction id")
    assert page.evaluate("navigator.clipboard.readText()") == devnet.payment["txid"]
    page.go_back()
    expect(page.locator("h1")).to_have_text(f"Block {devnet.payment['height']}")


def _tab_to(page: Page, href: str) -> None:
    """Presses Tab until the link has the focus, which has to be drawn on every stop."""
    for _ in range(60):
        page.keyboard.press("Tab")
        at, outline = page.evaluate(
            "[document.activeElement.getAttribute('href'),"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline != "none", at
        if at == href:
            return
    raise AssertionError(f"no way to {href}")


def test_the_menu_of_a_phone_opens_and_closes(devnet: Devnet, visit: NewVisit) -> None:
    """Opens the menu, goes somewhere, opens it again and leaves it by Escape."""
    seen = visit(devnet.url, width="phone")
    page = seen.open("")
    menu = page.get_by_role("button", name="Menu")
    entry = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Validators")
    expect(entry).to_be_hidden()
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    assert seen.axe() == []
    entry.click()
    expect(page.locator("h1")).to_have_text("Validators")
    expect(entry).to_be_hidden()
    menu.click()
    page.keyboard.press("Escape")
    expect(entry).to_be_hidden()
    expect(menu).to_be_focused()


def test_the_theme_is_kept(devnet: Devnet, visit: NewVisit) -> None:
    """Chooses dark on a light system: the next page is dark too, from its first paint."""
    page = visit(devnet.url).open("")
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    button = page.locator("#theme")
    expect(button).to_have_text("Auto")
    button.click()
    button.click()
    expect(button).to_have_text("Dark")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert dark != light
    page.goto("/ui/blocks")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == dark


def test_what_is_not_there_is_said(devnet: Devnet, visit: NewVisit) -> None:
    """Opens a block above the tip, an address with a wrong letter, a txid nobody knows, no page."""
    seen = visit(devnet.url)
    seen.expected += ("status of 404", "status of 400")
    page = seen.open("block/999999")
    expect(page.locator("h1")).to_have_text("Not found")
    expect(page.locator(".lede")).to_contain_text("the last one is")
    wrong = devnet.alice[:-1] + ("q" if devnet.alice[-1] != "q" else "p")
    page = seen.open(f"address/{wrong}")
    expect(page.locator(".lede")).to_contain_text("a typing mistake?")
    page = seen.open(f"tx/{'ab' * 32}")
    expect(page.locator(".lede")).to_have_text("This node knows no such transaction.")
    page = seen.open("nowhere")
    expect(page.locator("h1")).to_have_text("No such page")


def test_a_stall_names_who_is_missing(devnet: Devnet, visit: NewVisit) -> None:
    """Kills two of four validators, then the node itself: the banner says who and since when, then
    that nobody answers; when they run again it goes by itself. The last test of this devnet."""
    seen = visit(devnet.url)
    page = seen.open("")
    banner = page.locator("#banner")
    expect(banner).to_be_empty()
    for name in ("val2", "val3"):
        devnet.cluster.marsa("devnet", "kill", name)
    expect(banner).to_contain_text("No new blocks")
    expect(banner).to_contain_text(re.compile("missing: coral( and | \\(since .*, )delta \\(since"))
    expect(page.locator("#pulse")).to_have_text("Stalled")
    assert seen.axe() == []
    for path in ("validators", "consensus", "network", "mempool"):
        page.goto(f"/ui/{path}")
        expect(banner).to_contain_text("No new blocks")
        expect(page.locator(".lede")).not_to_be_empty()
    seen.expected += (
        "ERR_CONNECTION_REFUSED",
        "ERR_EMPTY_RESPONSE",
        "ERR_CONNECTION_RESET",
        "ERR_INCOMPLETE",
    )
    devnet.cluster.marsa("devnet", "kill", "val0")
    expect(banner).to_contain_text("This node does not answer")
    expect(page.locator("#pulse")).to_have_text("Offline")
    for name in ("val0", "val2", "val3"):
        devnet.cluster.marsa("devnet", "restart", name)
    expect(banner).to_be_empty(timeout=30_000)
