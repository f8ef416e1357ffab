"""The panel's web server: a page, the state of the devnet, and actions for whoever has the key.

It listens on loopback, goes by no other name, and takes state and actions only under the key, which
no other page can know or send: a header of that kind is never sent across origins without a
question, and questions are not answered here.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from cli.devnet import control, faults, panel, show, state
from cli.devnet.links import Rule
from cli.devnet.panel_actions import Action, Actions
from cli.devnet.state import HOST, panel_port
from cli.errors import CliError
from node.api import ui

FILES = Path(__file__).parent / "panel_ui"
SHELL = "index.html"
HOSTS = ("127.0.0.1", "localhost")
BODY_BYTES_MAX = 16 * 1024
STATE_S = 0.5
"""A look at all nodes serves everybody who asks within this time."""
STOP_S = 2.0

log = logging.getLogger("marsa.panel")


def serve(directory: Path) -> int:
    """Until SIGTERM; `directory` is the panel's own, in that of its devnet."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    place = state.load(directory.parent)
    app = application(directory.parent, panel.key_of(place))
    web.run_app(
        app,
        host=HOST,
        port=panel_port(place.devnet),
        print=None,
        access_log=None,
        shutdown_timeout=STOP_S,
    )
    return 0


def application(directory: Path, key: str) -> web.Application:
    """Of the devnet that lives in `directory`."""
    app = web.Application(middlewares=[_guard], client_max_size=BODY_BYTES_MAX)
    routes = _Routes(directory, key)
    app.add_routes(
        [
            web.get("/", routes.get_shell),
            web.get("/state", routes.get_state),
            web.post("/actions", routes.post_action),
            web.get("/{path:.+}", routes.get_file),
        ]
    )
    return app


@web.middleware
async def _guard(request: web.Request, handler: Any) -> web.StreamResponse:
    """The host that is asked for, and every refusal in one shape."""
    if (request.url.host or "") not in HOSTS:
        return _problem(421, "host_not_allowed", "this panel does not go by that name")
    try:
        response: web.StreamResponse = await handler(request)
    except CliError as error:
        return _problem(409, error.code, error.message, error.hint)
    except web.HTTPException as error:
        return _problem(error.status, "bad_request", error.reason)
    return response


class _Routes:
    def __init__(self, directory: Path, key: str) -> None:
        self._directory = directory
        self._key = key
        self._actions = Actions()
        self._lock = asyncio.Lock()
        self._looked_s = 0.0
        self._seen: dict[str, object] = {}
        shared = ui.read_files(ui.FILES)
        wanted = ("css/", "lib/", "theme.js", "icon.svg")
        self._files = {
            **{f"ui/{path}": item for path, item in shared.items() if path.startswith(wanted)},
            **{f"panel/{path}": item for path, item in ui.read_files(FILES).items()},
        }

    async def get_shell(self, request: web.Request) -> web.Response:
        return ui.answer_file(request, self._files[f"panel/{SHELL}"])

    async def get_file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound(reason="the panel has no such file")
        return ui.answer_file(request, file)

    async def get_state(self, request: web.Request) -> web.Response:
        """What `marsa devnet status` knows, and the actions so far."""
        self._check_key(request)
        async with self._lock:
            if time.monotonic() - self._looked_s > STATE_S:
                self._seen = await asyncio.to_thread(_look, self._directory)
                self._looked_s = time.monotonic()
        actions = self._actions
        return _json({**self._seen, "done": list(actions.done), "under_way": actions.under_way})

    async def post_action(self, request: web.Request) -> web.Response:
        self._check_key(request)
        try:
            action = msgspec.json.decode(await request.read(), type=Action)
        except msgspec.DecodeError as error:
            return _problem(400, "malformed", str(error))
        done = await self._actions.run(state.load(self._directory), action)
        log.info("%s: %s", done.command, done.message or "done")
        self._looked_s = 0.0
        return _json(done)

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._key}".encode()):
            raise web.HTTPUnauthorized(reason="the key is missing or wrong: marsa devnet open")


def _look(directory: Path) -> dict[str, object]:
    place = state.load(directory)
    states = control.look(place)
    answers = [item.status for item in states if item.status is not None]
    rules = faults.rules_in_force(place)
    apis = {item.node.name: item.node.api for item in states}
    return {
        **show.status_json(place, states),
        "apis": apis,
        "primary": answers[0].consensus.primary if answers else "",
        "goes_on": show.goes_on(states, rules),
        "trouble": show.missing_text(states, rules),
        "has_forwarder": place.devnet.faults,
        "links": _links(rules),
    }


def _links(rules: Sequence[Rule]) -> list[dict[str, object]]:
    """The ways that are not plain."""
    return [
        {"source": item.source, "target": item.target, "cut": item.cut, "delay_ms": item.delay_ms}
        for item in rules
    ]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )


def _problem(status: int, code: str, detail: str, hint: str = "") -> web.Response:
    value = {"status": status, "code": code, "detail": detail, "hint": hint}
    return _json(value, status)
