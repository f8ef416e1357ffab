"""What backs the coins, over a devnet of real validators, issuers and attestors."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Route, expect

from tests.ui.browser import WAIT_MS
from tests.ui.conftest import Devnet, NewVisit

pytestmark = pytest.mark.functional

PAGES = ("issuers", "issuer/acme", "reserve", "redemptions", "standard")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_sound_in_both_themes_and_widths(
    page: str, devnet: Devnet, visit: NewVisit
) -> None:
    """Opens a page on a desk in light and looks at it on a phone in the dark: one heading, an
    answer, nothing wider than the window, and nothing that axe-core finds."""
    seen = visit(devnet.url)
    shown = seen.open(page)
    expect(shown.locator("h1")).to_have_count(1)
    expect(shown.locator(".lede")).not_to_be_empty()
    assert seen.axe() == []
    seen.look_as(width="phone", scheme="dark")
    width, room = shown.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    assert seen.axe() == []


def test_a_holder_reads_what_covers_a_coin(devnet: Devnet, visit: NewVisit) -> None:
    """From the list to one issuer: hours for each coin, the ladder, who vouches, both fields of
    the licence."""
    seen = visit(devnet.url)
    page = seen.open("issuers")
    expect(page.locator(".lede")).to_have_text(
        re.compile(r"Every coin is covered: for each, 1\d\.\d hours or more are attested\.")
    )
    page.get_by_role("link", name="acme").click()
    expect(page.locator(".lede")).to_have_text(
        re.compile(r"For each coin of acme 1\d\.\d hours are promised and attested\.")
    )
    steps = page.locator(".ladder li")
    expect(steps).to_have_count(5)
    hours = [
        float(text.replace(",", "")) for text in steps.locator(".ladder-hours").all_inner_texts()
    ]
    promised, attested, counted, kept, free = hours
    assert promised == attested >= counted == pytest.approx(kept + free)
    card = page.locator(".commitment").filter(has_text="acme-h100x8")
    expect(card).to_contain_text("20 machines of class h100x8 in devnet-1")
    expect(card.get_by_role("row")).to_have_count(4)
    expect(card.locator(".pill", has_text="fresh")).to_have_count(3)
    facts = page.locator("section").filter(has=page.get_by_role("heading", name="Licence"))
    expect(facts).to_contain_text("active since")
    expect(facts).to_contain_text("healthy since")
    expect(page.locator("figure canvas")).to_have_count(1)


def test_the_reserve_is_checked_in_the_browser(devnet: Devnet, visit: NewVisit) -> None:
    """Asks for the check: every step holds, from the rows of the table to the first validators."""
    page = visit(devnet.url).open("reserve")
    page.get_by_role("button", name="Check these figures").click()
    expect(page.get_by_text("The proof holds")).to_be_visible()
    expect(page.locator(".steps li")).to_have_count(5)
    expect(page.locator(".steps")).to_contain_text(
        "of 4 issuers are all that the supply root counts"
    )
    expect(page.locator(".steps")).to_contain_text("3 of 4 validators")


def of_issuer(name: str, to: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Another figure of the second issuer."""

    def change(answer: Any) -> None:
        row = answer["issuers"][1]
        row[name] = to(row[name])

    return change


def without_an_issuer(answer: Any) -> None:
    del answer["issuers"][0]


def with_one_twice(answer: Any) -> None:
    answer["issuers"].append(answer["issuers"][0])


def with_a_signature_less(answer: Any) -> None:
    del answer["certificate"]["signers"][0]


def of_a_later_block(answer: Any) -> None:
    answer["header"]["height"] += 1


LIES = (
    (of_issuer("outstanding", lambda units: str(int(units) - 1)), "not those of the supply root"),
    (of_issuer("reserve", lambda units: str(int(units) + 1)), "not those of the supply root"),
    (of_issuer("coverage_ppm", lambda ppm: ppm + 1), "not those of the supply root"),
    (of_issuer("deliverability_ppm", lambda ppm: ppm + 1), "not those of the supply root"),
    (without_an_issuer, "not those of the supply root"),
    (with_one_twice, "not those of the supply root"),
    (with_a_signature_less, "not a quorum"),
    (of_a_later_block, "does not hash to the block's hash"),
)


def test_a_lie_about_the_reserve_is_refuted(devnet: Devnet, visit: NewVisit) -> None:
    """The node says a millionth more or less, leaves an issuer out, shows one twice, or brings too
    few signatures: the browser says which it is."""
    page = visit(devnet.url).open("reserve")
    with urlopen(f"{devnet.url}/v1/reserve", timeout=10) as reply:
        honest = json.load(reply)
    for change, why in ((lambda _: None, "holds"), *LIES):
        told = copy.deepcopy(honest)
        change(told)
        found = page.evaluate(
            """async (reserve) => {
                const { checkReserve } = await import('/ui/lib/supply_proof.js');
                const told = { reserve, chainId: reserve.header.chain_id, onStep: () => {} };
                return checkReserve(told).then(() => 'holds', (fault) => fault.message);
            }""",
            told,
        )
        assert why in found


def test_roots_of_another_header_are_not_shown(devnet: Devnet, visit: NewVisit) -> None:
    """A page cannot say what a header commits to where the roots are not the header's."""
    seen = visit(devnet.url)

    def lie(route: Route) -> None:
        answer = route.fetch().json()
        answer["roots"] = answer["roots"][:-2] + ("00" if answer["roots"][-2:] != "00" else "11")
        route.fulfill(json=answer)

    seen.page.route("**/v1/reserve", lie)
    page = seen.open("reserve")
    expect(page.locator(".facts")).to_contain_text("The roots are not those of the header")
    page.get_by_role("button", name="Check these figures").click()
    expect(page.locator(".proof .notice-title")).to_have_text("The proof does not hold")


def test_the_file_is_checked_as_the_page_says(
    devnet: Devnet, visit: NewVisit, tmp_path: Path
) -> None:
    """Opens an issuer's commitments, whose worth adds up to the reserve, then downloads the file
    and runs the command that the page shows."""
    page = visit(devnet.url).open("reserve")
    page.locator("summary", has_text="bolt").click()
    expect(page.locator(".commitment")).to_have_count(3)
    expect(page.locator(".sum strong")).to_have_text(re.compile(r"^3,50\d,\d{3}\.\d{6}$"))
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download the proof").click()
    file = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(file)
    command = page.locator(".commands .command").first.inner_text().split()
    assert command[:3] == ["marsa", "audit", "verify-bundle"]
    assert command[3] == file.name
    command[3] = str(file)
    command[-1] = str(devnet.cluster.directory / "genesis.json")
    ended = devnet.cluster.marsa(*command[1:])
    assert "ok  figures" in ended.out


def test_a_step_of_the_standard_is_announced(devnet: Devnet, visit: NewVisit) -> None:
    """Validators propose a step with the page open: what a coin buys then, when, and what it does
    to issuers; withdrawn it is gone.

    Before any order: receipts of a machine that outruns the standard make the chain draft a step.
    """
    seen = visit(devnet.url)
    page = seen.open("standard")
    expect(page.locator(".versions")).to_contain_text("No step is open")
    devnet.cluster.marsa("standard", "propose", "--raise", "hashing=4400")
    expect(page.locator(".notice")).to_contain_text("Standard 2 is announced", timeout=WAIT_MS)
    expect(page.locator(".notice .until")).to_have_text(re.compile("min|s"))
    row = page.get_by_role("row").filter(has_text="hashing").first
    expect(row).to_contain_text("4,400")
    expect(row).to_contain_text("+10.00 %")
    expect(page.get_by_role("columnheader", name="After the step")).to_be_visible()
    assert seen.axe() == []
    devnet.cluster.marsa("standard", "withdraw")
    expect(page.locator(".versions")).to_contain_text("No step is open", timeout=WAIT_MS)


def test_an_order_is_tracked_while_it_lives(devnet: Devnet, visit: NewVisit) -> None:
    """A holder orders with the page open: the steps follow what issuer and holder do, the time
    left ticks, and the coins add up at each moment."""
    marsa = devnet.cluster.marsa
    options = ("--class", "cpu", "--workload", "hashing", "--issuer", "acme", "--json")
    made = marsa("redeem", "submit", "0.05", "--from", "alice", *options).json
    seen = visit(devnet.url)
    page = seen.open(f"redemption/{made['order']}")
    here = page.locator(".way [aria-current] .way-name")
    expect(here).to_have_text("Ready", timeout=20_000)
    expect(page.locator(".notice").first).to_contain_text("The holder is to begin, at 127.0.0.1:")
    left = page.locator(".notice .until")
    before = left.inner_text()
    expect(left).not_to_have_text(before)
    expect(page.locator(".equation")).to_contain_text("0.050000 escrowed")
    assert seen.axe() == []
    marsa("redeem", "use", made["order"])
    expect(here).to_have_text("Closing")
    expect(page.locator(".progress-line")).to_contain_text("100.00 %")
    expect(page.locator(".equation .pill")).to_have_text("nothing lost")
    seen.look_as(width="phone", scheme="dark")
    width, room = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= room
    assert seen.axe() == []
    page.goto("/ui/redemptions")
    row = page.get_by_role("row").filter(has_text=made["order"][:8])
    expect(row).to_contain_text("closing")
    expect(row).to_contain_text("all of it is delivered")


def test_nobody_is_licensed(devnet: Devnet, visit: NewVisit) -> None:
    """No chain begins like this, but all licences may end one day: the pages say what is not
    there."""
    seen = visit(devnet.url)

    def nobody(route: Route) -> None:
        answer = route.fetch().json()
        answer[next(name for name in ("items", "issuers") if name in answer)] = []
        route.fulfill(json=answer)

    for path in ("issuers", "reserve", "standards"):
        seen.page.route(f"**/v1/{path}", nobody)
    page = seen.open("issuers")
    expect(page.locator(".lede")).to_have_text("Nobody is licensed to issue coins here yet.")
    expect(page.locator(".empty")).to_contain_text("marsa licence grant --help")
    page = seen.open("reserve")
    expect(page.locator(".lede")).to_contain_text("there is nothing to cover")
    page = seen.open("standard")
    expect(page.locator(".empty")).to_contain_text("No issuer")


def test_hours_are_never_rounded_up(devnet: Devnet, visit: NewVisit) -> None:
    """A coin looks covered only where it is, and a length of time is over only when it is."""
    page = visit(devnet.url).open("standard")
    found = page.evaluate(
        """Promise.all([import('/ui/lib/backing.js'), import('/ui/lib/ledger_clock.js')])
            .then(([backing, clock]) => ({
                hours: [0, 9_999, 999_999, 1_000_000, 9_999_999, 12_977_769, 999_999_999,
                    1_000_000_000].map(backing.hoursEach),
                left: [-1, 0, 1, 59_001, 251_000, 3_600_000, 90_061_000, 31_449_600_000]
                    .map(clock.left),
                share: [backing.share(1, 3n), backing.share('4611686018427387903', 1n << 62n)],
            }))"""
    )
    assert found == {
        "hours": ["0.00", "0.00", "0.99", "1.00", "9.99", "12.9", "999.9", "over 1,000"],
        "left": [
            "now",
            "now",
            "in 1 s",
            "in 1 min",
            "in 4 min 11 s",
            "in 1 h",
            "in 1 d 1 h",
            "in 364 d",
        ],
        "share": ["33.333%", "99.999%"],
    }
