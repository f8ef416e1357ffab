"""Every module of the explorer as a browser reads it, and the functions that are pure."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page

from ledger.address import encode_address
from ledger.codec import encode_payload
from ledger.locks import HEIGHT, TIME, After, All, Any, Before, HashLock, Key, Threshold, lock_hash
from ledger.merkle import merkle_proof, merkle_root
from node.api.convert import condition_form
from node.api.ui import FILES
from tests.node.api.harness import Node
from tests.ui.conftest import NewVisit
from tests.ui.served import Served

VENDORED = {
    "axe.LICENSE-3RD-PARTY.txt": "4f8563870d0fca38bbc3e00b6f670cb7fa9f380ba9f26a7f7d1184a6b18b1653",
    "axe.LICENSE.txt": "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e",
    "axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
}
"""axe-core 4.14.1, as its package holds it."""
MODULES = sorted(
    path.relative_to(FILES).as_posix()
    for path in FILES.rglob("*.js")
    if path.parent.name != "vendor" and path.name != "theme.js"
)


@pytest.fixture(scope="module")
def url(browser: Browser) -> Iterator[str]:
    with Served(Node()) as served:
        yield served.url


@pytest.fixture
def page(url: str, visit: NewVisit) -> Page:
    return visit(url).open("mempool")


def test_every_module_can_be_read(page: Page) -> None:
    """Imports each module by itself: none has a fault of syntax or a name that is not there."""
    for module in MODULES:
        if module != "app.js":  # which starts the page, and did
            page.evaluate(f"import('/ui/{module}').then(() => null)")


REDRAWN = """import('/ui/lib/dom.js').then(({ h, renew }) => {
    const box = h('div');
    document.getElementById('main').append(box);
    const told = [];
    const draw = (key, words, share) => renew(box,
        h('p', { class: words }, 'It says ', h('strong', null, words)),
        h('details', null, h('summary', null, 'More'), words),
        h('button', { type: 'button', 'data-key': key, onclick: () => told.push(key) }, words),
        h('i', { style: { '--share': share } }),
        words === 'long' && h('p', null, 'and more'));
    const parts = () => [...box.children];
    draw('a', 'one', '1%');
    const [p, details, button] = parts();
    details.open = true;
    button.focus();
    getSelection().selectAllChildren(p);
    draw('a', 'one', '1%');
    const selected = getSelection().toString();
    draw('a', 'long', '2%');
    const kept = parts().slice(0, 3).every((part, at) => part === [p, details, button][at]);
    const focused = document.activeElement === button && details.open;
    const shown = [box.textContent, p.className, box.querySelector('i').style.cssText];
    draw('b', 'two', '3%');
    parts()[2].click();
    const moved = parts()[2] !== button;
    return { kept, focused, selected, shown, told, count: parts().length, moved };
})"""


def test_what_is_drawn_anew_stays_where_the_reader_is(page: Page) -> None:
    """Draws a part three times: focus, selection and an opened part stay, what changed is shown,
    and a button of something else is another button."""
    assert page.evaluate(REDRAWN) == {
        "kept": True,
        "focused": True,
        "selected": "It says one",
        "shown": ["It says longMorelonglongand more", "long", "--share: 2%;"],
        "told": ["b"],
        "count": 4,
        "moved": True,
    }


HAS_COLOUR = """async ([red, green, blue]) => {
    const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    for (let turn = 0; turn < 200; turn += 1) {
        const canvas = document.querySelector('figure canvas');
        const { width, height } = canvas;
        Object.assign(copy.canvas, { width, height });
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, width, height);
        for (let at = 0; at < data.length; at += 4) {
            if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) return true;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
}"""


def test_charts_have_the_colours_of_the_theme(url: str, visit: NewVisit) -> None:
    """By the wish of the system, and by the choice of the reader against it."""
    seen = visit(url)
    page = seen.open("issuers")
    page.locator("figure canvas").wait_for()
    light, dark = [0x0B, 0x5A, 0x75], [0x74, 0xC7, 0xDE]
    assert page.evaluate(HAS_COLOUR, light)
    seen.look_as(width="desktop", scheme="dark")
    assert page.evaluate(HAS_COLOUR, dark)
    page.locator("#theme").click()
    assert page.evaluate(HAS_COLOUR, light)


def test_numbers_and_times_are_written_exactly(page: Page) -> None:
    """Formats amounts beyond what a float holds, ratios, times: nothing is rounded away."""
    found = page.evaluate(
        """import('/ui/lib/format.js').then((format) => ({
            coins: ['0', '1', '999999', '1000000', '-1500000', '4611686018427387903']
                .map(format.coins),
            sum: format.sum(['9007199254740993', '1']),
            percent: [0, 99, 10000, 12977769].map(format.percent),
            duration: [0, 40, 4_200, 42_000, 600_000, 7_200_000, 864_000_000]
                .map(format.duration),
            relative: [[5_000, 5_400], [5_000, 17_000], [17_000, 5_000]]
                .map((at) => format.relative(...at)),
            utc: format.utc(1795979365875),
            short: [format.short('abc'), format.short('0123456789abcdef0123')],
            listed: [format.listed([]), format.listed(['a']), format.listed(['a', 'b', 'c'])],
            text: [format.textOfHex('c3a9'), format.textOfHex('ff')],
        }))"""
    )
    assert found == {
        "coins": [
            "0.000000",
            "0.000001",
            "0.999999",
            "1.000000",
            "−1.500000",
            "4,611,686,018,427.387903",
        ],
        "sum": "9007199254740994",
        "percent": ["0.00 %", "0.00 %", "1.00 %", "1,297.77 %"],
        "duration": ["0 ms", "40 ms", "4.2 s", "42 s", "10 min", "2 h", "10 days"],
        "relative": ["now", "12 s ago", "in 12 s"],
        "utc": "2026-11-29 19:09:25 UTC",
        "short": ["abc", "01234567…ef0123"],
        "listed": ["", "a", "a, b and c"],
        "text": ["é", None],
    }


def test_axe_is_that_of_its_release() -> None:
    """Hashes what others wrote: no byte was changed, and the licences are there."""
    folder = Path(__file__).parent / "vendor"
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    assert found == VENDORED


def test_bytes_are_those_of_the_chain(page: Page) -> None:
    """Packs, hashes and writes in the browser what the ledger does: the same bytes, locks,
    addresses; and reads no bytes that a transaction cannot have."""
    key = "11" * 32
    conditions = (
        Key(bytes.fromhex(key)),
        Threshold(1, (bytes.fromhex(key), bytes.fromhex("22" * 32))),
        Any((After(TIME, 1_795_979_365_875), All((HashLock(bytes(32)), Before(HEIGHT, 300))))),
    )
    locks = [lock_hash(item) for item in conditions]
    values = [0, 127, 128, 255, 256, 65_535, 65_536, 1 << 32, (1 << 63) - 1]
    found = page.evaluate(
        """async ([conditions, values]) => {
            const codec = await import('/ui/lib/codec.js');
            const locks = await Promise.all(conditions.map(codec.lockOf));
            const refused = ['c0', 'cb', '9101', 'c403', '91', '0101', 'df'].map((hex) => {
                try { codec.unpack(codec.unhex(hex)); return hex; } catch { return null; }
            });
            const long = 'x'.repeat(40);
            return {
                locks: locks.map(codec.hex),
                addresses: locks.map((lock) => codec.address(lock, 'mrst')),
                numbers: codec.hex(codec.pack(values.map(BigInt))),
                texts: codec.hex(codec.pack(['', 'é', long, new Uint8Array(300)])),
                again: codec.unpack(codec.pack(values.map(BigInt))).items.map(String),
                refused: refused.filter(Boolean),
            };
        }""",
        [
            [msgspec.to_builtins(condition_form(item)) for item in conditions],
            [str(item) for item in values],
        ],
    )
    assert found == {
        "locks": [item.hex() for item in locks],
        "addresses": [encode_address(item, "mrst") for item in locks],
        "numbers": encode_payload(values).hex(),
        "texts": encode_payload(["", "é", "x" * 40, bytes(300)]).hex(),
        "again": [str(item) for item in values],
        "refused": ["9101"],
    }


def test_a_path_leads_to_the_root_of_every_list(page: Page) -> None:
    """Climbs from each leaf of lists of one to nine: an odd node moves up, and the root is ours."""
    lists = [[sha256(bytes((n, at))).digest() for at in range(n)] for n in range(1, 10)]
    asked = [
        [leaves[at].hex(), proof.index, proof.count, [item.hex() for item in proof.path]]
        for leaves in lists
        for at in range(len(leaves))
        for proof in [merkle_proof(leaves, at)]
    ]
    roots = page.evaluate(
        """async (asked) => {
            const { bigEndian, hex, taggedHash, unhex } = await import('/ui/lib/codec.js');
            const { climb } = await import('/ui/lib/proof.js');
            return Promise.all(asked.map(async ([leaf, index, count, path]) => {
                const start = await taggedHash('merkle/leaf', unhex(leaf));
                const top = await climb(start, { index, count, path });
                return hex(await taggedHash('merkle/root', bigEndian(count, 8), top));
            }));
        }""",
        asked,
    )
    assert roots == [merkle_root(leaves).hex() for leaves in lists for _ in leaves]
