"""The page /docs: the description of the interface for people, made from the OpenAPI document.

Plain HTML with a style of its own: no script, nothing from elsewhere, so it works offline and under
the strictest policy a browser has. All text is escaped here, in one place each.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape
from typing import Any

import msgspec
from aiohttp import web

from node.api.openapi import SPECIFICATION, tagged
from node.api.request import read_query
from node.api.routes import JSON, MSGPACK, get

NODE = "http://127.0.0.1:8640"
HTML = "text/html"

_STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --soft: #4d5a6b; --page: #fff;
  --block: #f2f5f9; --line: #cfd8e3; --link: #0b57a4; --get: #11643a; --post: #8a3d00; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e9f0; --soft: #a9b5c4; --page: #12171e;
  --block: #1c242e; --line: #36424f; --link: #7db8f5; --get: #72d39b; --post: #f3ab6d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; color: var(--text);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2rem 0 .25rem; font-size: 1.05rem; }
code, pre { font: .9em/1.5 ui-monospace, monospace; }
pre { padding: .6rem .8rem; overflow-x: auto; background: var(--block);
  border: 1px solid var(--line); border-radius: .4rem; }
nav ul { columns: 18rem; padding-left: 1.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top; min-width: 5rem;
  border-top: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
.method { font-weight: 700; color: var(--get); }
.post { color: var(--post); }
"""
_DIGEST = b64encode(sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_CODE = re.compile(r"`([^`]+)`")


def page(document: dict[str, Any]) -> bytes:
    """The whole page, in UTF-8."""
    return "\n".join(_parts(document)).encode()


def _parts(document: dict[str, Any]) -> Iterator[str]:
    info, operations = document["info"], list(_operations(document))
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<link rel="icon" href="data:,">'
    yield f"<title>{escape(info['title'])} API</title>\n<style>{_STYLE}</style>\n</head>\n<body>"
    yield f"<header><h1>{escape(info['title'])} API</h1>"
    yield f"<p>{_text(info['summary'])} Version {escape(info['version'])}, described in "
    yield '<a href="/v1/openapi.json">OpenAPI 3.1</a>.</p>'
    yield f"<p>{_text(info['description'])}</p></header>"
    yield '<nav aria-label="Routes"><ul>'
    for method, path, made in operations:
        yield f'<li><a href="#{made["operationId"]}">{method} {escape(path)}</a></li>'
    yield "</ul></nav>\n<main>"
    tag = ""
    for method, path, made in operations:
        if made["tags"][0] != tag:
            tag = made["tags"][0]
            yield f"<h2>{escape(tag)}</h2>"
        yield from _operation(method, path, made, document["components"]["responses"])
    yield "<h2>Structures</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)
    yield "</main>\n</body>\n</html>"


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """By topic, each in the order of the table."""
    found = [
        (method.upper(), path, made)
        for path, item in document["paths"].items()
        for method, made in item.items()
    ]
    topics = list(dict.fromkeys([made["tags"][0] for _, _, made in found]))
    return sorted(found, key=lambda item: topics.index(item[2]["tags"][0]))


def _operation(
    method: str, path: str, made: dict[str, Any], common: dict[str, Any]
) -> Iterator[str]:
    style = "method post" if method == "POST" else "method"
    shown = f'<span class="{style}">{method}</span> <code>{escape(path)}</code>'
    yield f'<section id="{made["operationId"]}"><h3>{shown}</h3>'
    yield f"<p>{_text(made['summary'])}</p>"
    if "description" in made:
        yield f"<p>{_text(made['description'])}</p>"
    yield f"<pre>{escape(curl(method, path, made))}</pre>"
    if made.get("parameters"):
        yield from _table(
            ("parameter", "in", "type", "meaning"),
            [
                (
                    f"<code>{escape(item['name'])}</code>",
                    item["in"],
                    _type(item["schema"]),
                    _text(item["description"]),
                )
                for item in made["parameters"]
            ],
        )
    if "requestBody" in made:
        yield f"<p>Body: {_contents(made['requestBody']['content'])}.</p>"
    good = {status: said for status, said in made["responses"].items() if status < "300"}
    for status, said in good.items():
        yield f"<p>{status}: {_contents(said['content'])}.</p>"
    for name, schema in made.get("x-events", {}).items():
        yield f"<p>Event <code>{escape(name)}</code>: {_type(schema)}.</p>"
    yield "<details><summary>Problems</summary>"
    yield from _table(
        ("status", "codes, and what to do next"),
        [
            (status, "<br>".join([_text(line) for line in _said(said, common).split("\n")]))
            for status, said in made["responses"].items()
            if status >= "304"
        ],
    )
    yield "</details></section>"


def _said(answer: dict[str, Any], common: dict[str, Any]) -> str:
    """Of an answer, or of the common one that it refers to."""
    found = common[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
    return str(found["description"])


def curl(method: str, path: str, made: dict[str, Any]) -> str:
    """A command that works as it stands where nothing in it is in capitals."""
    parameters = made.get("parameters", [])
    for item in parameters:
        if item["in"] == "path":
            path = path.replace(f"{{{item['name']}}}", _example(item))
    shown = [item for item in parameters if item["in"] == "query" and "example" in item]
    query = "&".join([f"{item['name']}={_example(item)}" for item in shown[:1]])
    url = f"{NODE}{path}" + (f"?{query}" if query else "")
    words = ["curl", "-sN" if "x-events" in made else "-s", f"'{url}'" if query else url]
    content = made.get("requestBody", {}).get("content", {})
    if "example" in content.get(JSON, {}):
        body = msgspec.json.encode(content[JSON]["example"]).decode()
        words += ["-H", f"'Content-Type: {JSON}'", "-d", f"'{body}'"]
    elif content:
        words += ["-H", f"'Content-Type: {MSGPACK}'", "--data-binary", "@FILE"]
    elif list(made["responses"]["200"]["content"]) == [MSGPACK]:
        words += ["-o", "FILE"]
    return " ".join(words)


def _example(item: dict[str, Any]) -> str:
    example = item.get("example", item["name"].upper())
    return ",".join(example) if isinstance(example, list) else str(example)


def _contents(content: dict[str, Any]) -> str:
    """What a body is, in each form that it has."""
    said = []
    for media_type, form in content.items():
        schema = form.get("schema", {})
        what = _text(schema["description"]) if set(schema) == {"description"} else _type(schema)
        said.append(f"<code>{escape(media_type)}</code> {what.rstrip('.')}".strip())
    return " or ".join(said)


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(name)}"><h3><code>{escape(name)}</code></h3>'
    if "description" in schema:
        yield f"<p>{_text(schema['description'])}</p>"
    if "properties" in schema:
        required = schema.get("required", [])
        yield from _table(
            ("field", "type", "there"),
            [
                (
                    f"<code>{escape(field)}</code>",
                    _type(kind),
                    "always" if field in required else "may be missing",
                )
                for field, kind in schema["properties"].items()
            ],
        )
    yield "</section>"


def _type(schema: dict[str, Any]) -> str:
    """A type in a few words, with links to structures."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join([f"<code>{escape(str(item))}</code>" for item in schema["enum"]])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    words = str(schema.get("type", ""))
    if "pattern" in schema:
        words += f" like {schema['pattern']}"
    return escape(words)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join([f'<th scope="col">{head}</th>' for head in heads])
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join([f'<td>{cell}</td>' for cell in row])}</tr>"
    yield "</tbody></table></div>"


def _text(text: str) -> str:
    """Escaped, with code between backticks."""
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


async def get_docs(request: web.Request) -> web.Response:
    """The description of this interface for people."""
    read_query(request)
    body = await request.app[SPECIFICATION].get("html", page)
    response = tagged(request, body, f"{HTML}; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


ROUTES = (get("/docs", get_docs, None, media_type=HTML, is_final=True),)
"""Not in the description of the interface: it is one."""
