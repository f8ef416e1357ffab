"""The panel of a devnet: who may use it, what buttons mean, what an action says when it ends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from cli.devnet import panel, panel_actions, panel_server, state
from cli.devnet.panel_actions import Action, words_of
from cli.errors import CliError
from node.files import write_new
from tests.cli.conftest import Marsa
from tests.cli.test_devnet_faults import place

KEY = "0123456789abcdef" * 2
UNDER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def devnet(marsa_home: Path) -> state.Place:
    """On the disk, and nothing of it runs; its links cannot be cut."""
    made = place(linked=False)
    directory = marsa_home / "devnets" / "default"
    directory.mkdir(parents=True)
    write_new(directory / "devnet.json", msgspec.json.encode(made.devnet), 0o600)
    return state.Place(directory, made.devnet)


@pytest.fixture
async def client(devnet: state.Place) -> AsyncIterator[TestClient[Any, Any]]:
    app = panel_server.application(devnet.directory, KEY)
    async with TestClient(TestServer(app)) as client:
        yield client


# Who may use it.


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer "}, {"Authorization": KEY}])
async def test_nothing_without_the_key(client: TestClient[Any, Any], given: dict[str, str]) -> None:
    """Neither the state nor an action; the answer says how to get the key."""
    for method, path in (("GET", "/state"), ("POST", "/actions")):
        reply = await client.request(method, path, headers=given, data=b'{"action":"heal"}')
        assert reply.status == 401
        assert "marsa devnet open" in (await reply.json())["detail"]


async def test_other_names_of_the_host_are_refused(client: TestClient[Any, Any]) -> None:
    """A foreign name that leads here would let any page ask in its visitor's name."""
    for name, status in (("evil.example", 421), ("localhost", 200), ("127.0.0.1", 200)):
        reply = await client.get("/state", headers={**UNDER, "Host": name})
        assert reply.status == status
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_key_is_a_file_of_the_owner(devnet: state.Place) -> None:
    """One that others may read is refused, as every secret."""
    file = devnet.directory / panel.NAME / panel.KEY_NAME
    file.parent.mkdir()
    write_new(file, KEY.encode(), 0o600)
    assert panel.key_of(devnet) == KEY
    file.chmod(0o644)
    with pytest.raises(CliError):
        panel.key_of(devnet)


# The page.


async def test_page_and_its_files(client: TestClient[Any, Any]) -> None:
    """Everything that the page loads is there, under a policy that lets nothing else in."""
    reply = await client.get("/")
    text = await reply.text()
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    named = re.findall(r'(?:href|src)="(/[^"]+)"', text)
    assert len(named) >= 6
    for path in named:
        found = await client.get(path)
        assert found.status == 200
        body = await found.text()
        for module in re.findall(r'from "(/[^"]+)"', body):
            assert (await client.get(module)).status == 200


@pytest.mark.parametrize("path", ["/panel/../../../etc/passwd", "/ui/app.js", "/key", "/panel/key"])
async def test_no_other_file_is_served(client: TestClient[Any, Any], path: str) -> None:
    """What a request names is looked up in a table, and never opened."""
    assert (await client.get(path)).status == 404


# The state and actions.


async def test_state_of_a_devnet_that_is_down(client: TestClient[Any, Any]) -> None:
    """As `devnet status`, with the addresses of the nodes and what was done."""
    value = await (await client.get("/state", headers=UNDER)).json()
    assert [item["state"] for item in value["nodes"]] == ["down"] * 4
    assert value["apis"]["val1"].endswith(":8641")
    assert value["trouble"].startswith("missing: val0 (acme)")
    assert (value["has_forwarder"], value["links"], value["done"]) == (False, [], [])


async def test_an_action_is_the_command_and_says_what_it_said(
    client: TestClient[Any, Any],
) -> None:
    """The command ran as a process of its own: its error and hint come back and are kept."""
    reply = await client.post("/actions", headers=UNDER, data=b'{"action":"kill","nodes":["val1"]}')
    done = await reply.json()
    assert (reply.status, done["ok"]) == (200, False)
    assert done["command"] == "marsa devnet kill val1"
    assert done["message"] == "val1 is down already"
    assert done["hint"] == "marsa devnet restart val1"
    value = await (await client.get("/state", headers=UNDER)).json()
    assert [item["command"] for item in value["done"]] == ["marsa devnet kill val1"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"action":"explode"}', 400),
        (b'{"action":"heal","why":1}', 400),
        (b'{"action":"delay","nodes":["val0"],"delay_ms":10001}', 400),
        (b'{"action":"kill","nodes":["nobody"]}', 409),
        (b'{"action":"kill","nodes":["--help"]}', 409),
        (b'{"action":"kill","nodes":["val0","val1"]}', 409),
        (b'{"action":"partition","groups":[["val0"]]}', 409),
        (b'{"action":"partition","groups":[["val0"],[]]}', 409),
        (b" " * (panel_server.BODY_BYTES_MAX + 1), 413),
    ],
)
async def test_bad_actions_run_nothing(
    client: TestClient[Any, Any], body: bytes, status: int
) -> None:
    """Names are those of the devnet's nodes: no option gets into the command."""
    reply = await client.post("/actions", headers=UNDER, data=body)
    assert reply.status == status
    assert (await reply.json())["detail"]
    value = await (await client.get("/state", headers=UNDER)).json()
    assert value["done"] == []


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Action("heal"), "heal"),
        (Action("pause", ("acme",)), "pause val0"),
        (Action("restart", ("val3",)), "restart val3"),
        (Action("delay", ("val1",), delay_ms=200), "delay val1 200ms"),
        (Action("partition", groups=(("val0", "bolt"), ("val2",))), "partition val0,val1/val2"),
    ],
)
def test_words_of_a_command(devnet: state.Place, action: Action, words: str) -> None:
    """Nodes by their names, whatever they were named by."""
    assert words_of(devnet, action) == words.split(" ")


async def test_one_action_at_a_time(devnet: state.Place) -> None:
    """The devnet is changed by one command at once; the second is told which."""
    actions = panel_actions.Actions()
    actions.under_way = "marsa devnet restart val0"
    with pytest.raises(CliError, match="restart val0"):
        await actions.run(devnet, Action("heal"))


# marsa devnet open


def test_open_needs_a_node_that_runs(marsa: Marsa, devnet: state.Place) -> None:
    """Nothing to look at: the hint says how to change that."""
    found = marsa("devnet", "open", "--json")
    assert (found.code, found.json["error"]["code"]) == (6, "node_down")
    assert found.json["error"]["hint"] == "marsa devnet up"
