"""The description of the interface: true to the table, in the repository, and readable offline."""

from __future__ import annotations

import re
import shlex
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.api import docs_page, openapi
from node.api.docs_page import POLICY, curl, page
from node.api.openapi import EVENTS, PATH_PARAMETERS, as_file, document
from node.api.problems import status_of
from node.api.routes import COMMON_CODES, Route, get
from node.api.server import ROUTES
from tests.node.api.harness import open_api

FILE = Path(__file__).parents[3] / "docs" / "openapi.json"
DOCUMENT = document(ROUTES)


def test_the_file_in_the_repository_is_what_is_served() -> None:
    if FILE.read_bytes() != as_file(ROUTES):
        pytest.fail("the interface changed: look at `git diff` after `make openapi`, and commit it")


async def test_every_route_is_in_the_table_and_described() -> None:
    """What the listener serves is what is described, but for pages."""
    async with open_api() as api:
        served = {
            (route.method, route.resource.canonical)
            for route in api.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
        reply = await api.ask("/openapi.json")
        again = await api.ask("/openapi.json", headers={"If-None-Match": reply.headers["Etag"]})
    described = {
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item
    }
    pages = {("GET", path) for path in ("/", "/docs", "/ui", "/ui/{path}")}
    assert served == described | pages
    assert reply.read(dict[str, Any]) == DOCUMENT
    assert again.status == 304


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, made)
        for path, item in DOCUMENT["paths"].items()
        for method, made in item.items()
    ]


def test_every_route_says_what_it_is_for() -> None:
    """A sentence each, an id of its own, and its parameters in the path and nowhere else."""
    ids = [made["operationId"] for _, _, made in operations()]
    assert len(set(ids)) == len(ids)
    for _, path, made in operations():
        assert re.fullmatch(r"[A-Z].{10,110}\.", made["summary"]), path
        in_path = [x["name"] for x in made.get("parameters", []) if x["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)
        assert all(x["description"] for x in made.get("parameters", []))
        assert {str(int(status_of(code))) for code in COMMON_CODES} <= set(made["responses"])
    used = {name for _, path, _ in operations() for name in re.findall(r"{(\w+)}", path)}
    assert used == set(PATH_PARAMETERS)


def test_every_reference_leads_somewhere_and_patterns_are_portable() -> None:
    """Names of structures fit the rules of OpenAPI; no pattern has Python's end of text."""
    text = msgspec.json.encode(DOCUMENT).decode()
    names = set(DOCUMENT["components"]["schemas"])
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= names
    assert all(re.fullmatch(r"[A-Za-z0-9]+", name) for name in names)
    assert "\\\\Z" not in text
    assert set(DOCUMENT["paths"]["/v1/events"]["get"]["x-events"]) == set(EVENTS)


async def test_a_parameter_that_the_table_has_not_is_refused() -> None:
    """Each route under a name that none has: it says which it has."""
    async with open_api() as api:
        for method, path, made in operations():
            if method == "get":
                reply = await api.ask(re.sub(r"{\w+}", "1", path.removeprefix("/v1")) + "?zz=1")
                assert (reply.status, reply.code) == (400, "bad_request"), path
                known = [x["name"] for x in made.get("parameters", []) if x["in"] == "query"]
                detail = reply.read(dict[str, Any])["detail"]
                assert detail.endswith(f"this route has: {', '.join(known) or 'none'}")


class Page(HTMLParser):
    """What a browser would make of the page, and that every element that opens closes."""

    VOID = frozenset(("meta", "link", "br"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        assert not any(name.startswith("on") or name == "style" for name in given)
        self.ids.update([given["id"] or ""] if "id" in given else [])
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_needs_nothing_but_itself() -> None:
    """No script, no address elsewhere, every link to a place on it; its style is the one that the
    policy lets pass, for light and dark."""
    async with open_api() as api, api.session.get(f"{api.url}/docs") as response:
        text, headers = await response.text(), response.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == POLICY
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert "default-src 'none'" in POLICY
    assert "prefers-color-scheme: dark" in style[1]
    found = Page(text)
    assert found.open == []
    assert not found.tags & {"script", "img", "iframe", "form"}
    assert {link for link in found.links if not link.startswith("#")} == {
        "data:,",
        "/v1/openapi.json",
    }
    assert {link[1:] for link in found.links if link.startswith("#")} <= found.ids
    for _, path, made in operations():
        assert path in text
        assert made["operationId"] in found.ids


def test_texts_are_escaped_on_the_page() -> None:
    """A route whose words are markup, of every kind that reaches the page."""
    evil = '<script>alert("1")</script>'

    async def handler(_: Any) -> Any: ...

    handler.__doc__ = f"{evil}\n\n{evil} `{evil}`"
    parameter = openapi.Parameter("a", str, evil, evil)
    text = page(document([get(f"/v1/x{evil}", handler, None, parameter)])).decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_commands_are_shell() -> None:
    """Each example is one curl of this node; a body is JSON that the form takes."""
    routes: dict[tuple[str, str], Route] = {(x.method.lower(), x.path): x for x in ROUTES}
    for method, path, made in operations():
        words = shlex.split(curl(method.upper(), path, made))
        assert words[0] == "curl"
        assert words[2].startswith(f"{docs_page.NODE}/v1/")
        if "-d" in words:
            body = routes[method, path].body
            assert body is not None
            msgspec.json.decode(words[words.index("-d") + 1], type=body.form)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/transactions/batch", "POST"),
        ("/transactions/check", "POST"),
        ("/quotes/mint", "POST"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones_of_its_path(path: str, allowed: str) -> None:
    """Also where a route with a variable in this place takes the method: `batch` is no txid."""
    async with open_api() as api:
        reply = await api.ask(path)
    assert (reply.status, reply.code) == (405, "method_not_allowed")
    assert reply.headers["Allow"] == allowed
