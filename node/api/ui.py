"""The explorer: static files under /ui/, and nothing that a request names is ever opened.

All files are read once, when the application is made, into a table of fixed paths; each has its tag
and, where that is smaller, its compressed body. A path under /ui/ that looks like a page answers
with the shell, which reads the path itself: `/ui/block/5` may be opened, kept and sent on.

The policy lets a page load scripts, styles and data of this origin and nothing else, from nowhere
else: text of a memo or a name that got into a page as markup could still not run.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from node.api.problems import not_found

FILES = Path(__file__).parent.parent / "ui"
SHELL = "index.html"
PAGE_PATH_CHARS_MAX = 256
_TAG_CHARS = 32

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_PAGE = re.compile(r"(?:[A-Za-z0-9:_-]+/?)*")
"""No dot: a file that is not in the table is missing, not a page."""

_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked for by its tag: a new node has new pages at once
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True)
class File:
    """A file as it is served."""

    content_type: str
    body: bytes
    tag: str

    @cached_property
    def packed(self) -> bytes:
        """Empty where compression gains nothing. Made when the first client asks for it: a node
        starts without."""
        packed = gzip.compress(self.body, mtime=0)
        return packed if len(packed) < len(self.body) else b""


FILES_KEY = web.AppKey("ui_files", dict[str, File])


def routes() -> list[web.RouteDef]:
    return [
        web.get("/", get_root),
        web.get("/ui", get_root),
        web.get("/ui/{path:.*}", get_file),
    ]


def prepare(app: web.Application) -> None:
    """Read the table; raises OSError where the installation lacks its files."""
    app[FILES_KEY] = _explorer()


@cache
def _explorer() -> dict[str, File]:
    """Once for all servers of a process."""
    return read_files(FILES)


def read_files(directory: Path) -> dict[str, File]:
    """By path from `directory`; files of types that no page needs are left out. Raises OSError."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix in _TYPES:
            found[path.relative_to(directory).as_posix()] = _read(path)
    if SHELL not in found:
        raise FileNotFoundError(f"{directory / SHELL}: the explorer was not installed")
    return found


async def get_root(_: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": "/ui/"})


async def get_file(request: web.Request) -> web.Response:
    files = request.app[FILES_KEY]
    path = request.match_info["path"]
    file = files.get(path)
    if file is None:
        if len(path) > PAGE_PATH_CHARS_MAX or not _PAGE.fullmatch(path):
            raise not_found("the explorer has no such file")
        file = files[SHELL]
    return answer_file(request, file)


def _read(path: Path) -> File:
    body = path.read_bytes()
    return File(
        content_type=_TYPES[path.suffix],
        body=body,
        tag=sha256(body).hexdigest()[:_TAG_CHARS],
    )


def answer_file(request: web.Request, file: File) -> web.Response:
    """The file, packed where the client takes that, under the policy; 304 for a known tag."""
    is_packed = "gzip" in request.headers.get("Accept-Encoding", "") and bool(file.packed)
    # The two bodies of a file are different things to a cache.
    tag = file.tag + ("-gz" if is_packed else "")
    wanted = request.if_none_match
    if wanted is not None and any(item.value in (tag, "*") for item in wanted):
        response = web.Response(status=304, headers=_HEADERS)
    else:
        body = file.packed if is_packed else file.body
        response = web.Response(
            body=body, content_type=file.content_type, charset="utf-8", headers=_HEADERS
        )
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
    response.etag = tag
    return response
