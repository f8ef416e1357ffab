"""The explorer's files as they are served, and what their text promises: nothing from elsewhere."""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path

import pytest
from yarl import URL

from node.api.ui import FILES, SHELL, read_files
from tests.node.api.harness import Api, Reply, open_api

VENDORED = {
    "vendor/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "vendor/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "vendor/uPlot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""uPlot 1.6.32, as its package holds it."""
SOURCES = sorted(
    path for path in FILES.rglob("*") if path.is_file() and path.parent.name != "vendor"
)
MARKUP = re.compile(
    r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function)\b"
)
IMPORTED = re.compile(r"^import \{([^}]*)\} from", re.MULTILINE)
WHOLE = re.compile(r"^import \* as (\w+) from", re.MULTILINE)
OWN = re.compile(r"^(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
ELSEWHERE = re.compile(r"\bhttps?://(?!www\.w3\.org/2000/svg\b)")


async def ask(api: Api, path: str, **headers: str) -> Reply:
    """GET a path as it is written, without following where it leads."""
    async with api.session.get(
        f"{api.url}{path}", headers=headers, allow_redirects=False, auto_decompress=False
    ) as response:
        return Reply(response.status, await response.read(), dict(response.headers))


async def test_every_file_comes_with_its_type_its_tag_and_the_policy() -> None:
    """Asks for each file, plain and packed, and again by its tag: the same bytes, then none."""
    async with open_api() as api:
        for path, file in read_files(FILES).items():
            plain = await ask(api, f"/ui/{path}", **{"Accept-Encoding": "identity"})
            packed = await ask(api, f"/ui/{path}", **{"Accept-Encoding": "gzip"})
            again = await ask(
                api,
                f"/ui/{path}",
                **{"Accept-Encoding": "gzip", "If-None-Match": packed.headers["Etag"]},
            )
            assert (plain.status, plain.body) == (200, file.body), path
            assert plain.headers["Content-Type"] == f"{file.content_type}; charset=utf-8"
            assert "Content-Encoding" not in plain.headers
            if packed.headers.get("Content-Encoding") == "gzip":
                assert gzip.decompress(packed.body) == file.body
                assert len(packed.body) < len(file.body)
                assert packed.headers["Etag"] != plain.headers["Etag"]
            else:
                assert packed.body == file.body
            assert (again.status, again.body) == (304, b"")
            for reply in (plain, packed, again):
                policy = reply.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self';")
                assert "unsafe" not in policy
                assert reply.headers["Cache-Control"] == "no-cache"
                assert reply.headers["Vary"] == "Accept-Encoding"
                assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["", "block/5", "block/latest/", "tx/ab:0", "no-such-page"])
async def test_a_path_that_looks_like_a_page_gets_the_shell(path: str) -> None:
    """Asks for pages: the one document that reads the path itself."""
    async with open_api() as api:
        reply = await ask(api, f"/ui/{path}", **{"Accept-Encoding": "identity"})
    assert (reply.status, reply.body) == (200, (FILES / SHELL).read_bytes())


@pytest.mark.parametrize(
    "path",
    [
        "app.jsx",
        "lib/../app.js",
        "..%2fapi%2fui.py",
        "%2e%2e/api/ui.py",
        "%2fetc%2fpasswd",
        "a%00",
        "block/%3Cb%3E",
        "x" * 257,
    ],
)
async def test_a_path_that_is_neither_file_nor_page_is_not_found(path: str) -> None:
    """Asks for what is not in the table, and for what climbs out of it: a problem, no file."""
    async with open_api() as api:
        address = URL(f"{api.url}/ui/{path}", encoded=True)  # the client must not tidy it
        async with api.session.get(address) as response:
            reply = Reply(response.status, await response.read(), dict(response.headers))
    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize("path", ["/", "/ui"])
async def test_the_root_leads_to_the_explorer(path: str) -> None:
    """Asks as somebody who typed host and port alone."""
    async with open_api() as api:
        reply = await ask(api, path)
    assert (reply.status, reply.headers["Location"]) == (307, "/ui/")


def test_an_installation_without_files_does_not_start(tmp_path: Path) -> None:
    """Reads an empty directory: a sentence instead of an explorer without pages."""
    with pytest.raises(FileNotFoundError, match="was not installed"):
        read_files(tmp_path)


def test_vendored_files_are_those_of_their_release() -> None:
    """Hashes what others wrote: no byte was changed, and the licence is there."""
    found = {
        path.relative_to(FILES).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted((FILES / "vendor").iterdir())
    }
    assert found == VENDORED


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_sources_make_no_markup_of_text_and_ask_nobody_else(path: Path) -> None:
    """Reads every file of ours: no markup from strings, no code from strings, no other origin."""
    text = path.read_text("utf-8")
    assert MARKUP.findall(text) == []
    assert ELSEWHERE.findall(text) == []
    assert len(text.splitlines()) <= 500


def idle_names(text: str) -> list[str]:
    """What a module imports or defines for itself and never names again."""
    named = [name for group in IMPORTED.findall(text) for name in re.findall(r"[\w$]+", group)]
    named += WHOLE.findall(text) + OWN.findall(text)
    return [name for name in named if len(re.findall(rf"(?<![\w$]){re.escape(name)}\b", text)) < 2]


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.suffix == ".js"], ids=lambda path: path.name
)
def test_modules_import_and_define_nothing_in_vain(path: Path) -> None:
    """Reads each module: every name that it brings in or keeps to itself is used."""
    assert idle_names(path.read_text("utf-8")) == []


def test_an_idle_name_is_found() -> None:
    """Planted imports, a function and a constant that nothing names; and those that are used."""
    text = """import { a, b } from "x";
import * as c from "y";
function d() { return a; }
const e = 1;
const f = 2;
export const g = f;
"""
    assert idle_names(text) == ["b", "c", "d", "e"]


@pytest.mark.parametrize(
    "text",
    ["a.innerHTML = b", "document.write(x)", "eval(x)", "new Function('x')"],
)
def test_planted_markup_is_found(text: str) -> None:
    """The rule sees what it was written for."""
    assert MARKUP.search(text)
    assert ELSEWHERE.search("fetch('https://example.org/x')")
