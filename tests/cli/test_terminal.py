"""`node top|peers`, `doctor`, `config`, `completion`: what people look at, and programs read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from cli import doctor, node_peers, node_top
from node.api import node_schemas, schemas
from node.config import Options
from tests.cli.conftest import Marsa, Result
from tests.cli.live_node import LiveNode, live_node

CHECK_FAILED = 9
NOW_MS = 1_800_000_000_000


@pytest.fixture
def node(marsa_home: object) -> Iterator[LiveNode]:
    with live_node() as node:
        yield node


# config


def shown(result: Result) -> dict[str, dict[str, object]]:
    assert result.code == 0, result.err
    options: dict[str, dict[str, object]] = result.json["options"]
    return options


def test_every_option_is_shown_with_its_origin(
    marsa: Marsa, observer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag wins over a variable, that over the file, that over what is built in."""
    options = shown(marsa("config", "show", observer, "--json"))
    assert options["name"] == {"value": "watcher", "origin": "marsa.toml"}
    assert options["api.listen"] == {"value": "127.0.0.1:18640", "origin": "marsa.toml"}
    assert options["p2p.peers"]["value"] == {"acme": "[::1]:1"}
    assert options["log.level"] == {"value": "info", "origin": "built in"}
    monkeypatch.setenv("MARSA_LOG_LEVEL", "warning")
    monkeypatch.setenv("MARSA_API_LISTEN", "127.0.0.1:18641")
    flag = ("--set", "api.listen=127.0.0.1:18642")
    options = shown(marsa("config", "show", observer, *flag, "--json"))
    assert options["log.level"] == {"value": "warning", "origin": "MARSA_LOG_LEVEL"}
    assert options["api.listen"] == {"value": "127.0.0.1:18642", "origin": "--set api.listen"}


def test_options_as_a_table(marsa: Marsa, observer: Path) -> None:
    """The origin is a column of its own, and only where it is asked for."""
    plain = marsa("config", "show", observer).out
    told = marsa("config", "show", observer, "--origin").out
    assert "built in" not in plain
    assert 'log.level                            "info"' in plain
    line = next(line for line in told.splitlines() if line.startswith("p2p.peers"))
    assert line.split() == ["p2p.peers", "acme=[::1]:1", "marsa.toml"]


def test_options_that_contradict_are_named(marsa: Marsa, observer: Path) -> None:
    """`config check` judges the file, whether or not a node could start with it."""
    good = marsa("config", "check", observer, "--json").json
    assert (good["ok"], good["set"] > 0) == (True, True)
    bad = marsa("config", "check", observer, "--set", "api.listen=0.0.0.0:80", "--json")
    assert (bad.code, bad.json["error"]["code"]) == (CHECK_FAILED, "bad_config")
    assert "api.public = true" in bad.json["error"]["message"]
    with (observer / "marsa.toml").open("a") as file:
        file.write("[logs]\nlevel = 3\n")
    bad = marsa("config", "check", observer)
    assert (bad.code, "`logs`" in bad.err) == (CHECK_FAILED, True)


def test_the_schema_describes_the_file(marsa: Marsa) -> None:
    """Every table and option is in it, with its sentence; patterns are JavaScript's."""
    found = json.loads(marsa("config", "schema").out)
    assert marsa("config", "schema", "--json").json["json_schema"] == found
    tables = found["$defs"]
    assert set(tables["Options"]["properties"]) == set(Options.__struct_fields__)
    assert tables["LogSection"]["properties"]["level"]["enum"] == [
        "debug",
        "error",
        "info",
        "warning",
    ]
    assert all(
        item["description"]
        for table in tables.values()
        for item in table["properties"].values()
        if "$ref" not in item
    )
    assert "\\Z" not in json.dumps(found)


# node top, node peers


def test_one_look_at_a_node(marsa: Marsa, node: LiveNode) -> None:
    """Without a terminal `top` ends after one screen, which names members, blocks and issuers."""
    text = marsa("node", "top", "--node", node.url).out
    assert "waiting [....................] 0 of" in text
    for word in ("height 0", "epoch 0  view 0", "block", "genesis", "val3", "coverage"):
        assert word in text
    sample = marsa("node", "top", "--node", node.url, "--json").json
    assert sample["schema"] == "marsa.node.top/1"
    assert (sample["tx_per_second"], len(sample["blocks"])) == (0.0, 1)
    msgspec.convert({k: v for k, v in sample.items() if k != "schema"}, node_top.Sample)


def block(height: int, age_ms: int, transactions: int) -> schemas.BlockSummary:
    return schemas.BlockSummary(
        height=height,
        hash="00" * 32,
        time_ms=NOW_MS - age_ms,
        time="",
        proposer="val0",
        transactions=transactions,
        view=0,
        signers=[],
    )


@pytest.mark.parametrize(
    ("ages_ms", "expected"),
    [
        ((), 0.0),
        ((20_000, 30_000), 0.0),
        ((100, 2_000, 20_000), 20.0),
        ((0, 1_000, 2_000), 150.0),  # all that was asked for is younger than the whole time
        ((0,), 100_000.0),
    ],
)
def test_rate_of_the_last_blocks(ages_ms: tuple[int, ...], expected: float) -> None:
    """A hundred transactions a block, over ten seconds, or over what so many blocks took."""
    blocks = [block(9 - index, age_ms, 100) for index, age_ms in enumerate(ages_ms)]
    assert node_top.rate(blocks, NOW_MS) == expected


def test_peers_with_and_without_a_link() -> None:
    """Who has none stands there too."""
    common = {"role": "validator", "height": 7, "queued_bytes": 0, "points": 20}
    common["dropped_frames"] = 3
    linked = node_schemas.Peer(
        name="acme",
        address="[::1]:1",
        direction="outbound",
        connected=True,
        linked_ms=61_000,
        **common,
    )
    none = msgspec.structs.replace(
        linked, name="bolt", address="", direction="none", connected=False, linked_ms=None
    )
    early = msgspec.structs.replace(linked, name="coral", linked_ms=5, direction="inbound")
    text = node_peers.peers_text(node_schemas.Peers(items=[linked, none, early]))
    rows = [line.split() for line in text.splitlines()[1:]]
    assert rows[0] == ["acme", "validator", "1m", "1s", "out", "[::1]:1", "7", "0", "3", "20"]
    assert rows[1] == ["bolt", "validator", "no", "link", "-", "-", "7", "0", "3", "20"]
    assert rows[2][2:4] == ["0s", "in"]
    assert "alone" in node_peers.peers_text(node_schemas.Peers(items=[]))


# doctor


def verdicts(result: Result) -> dict[str, str]:
    return {item["check"]: item["verdict"] for item in result.json["findings"]}


def set_clock(monkeypatch: pytest.MonkeyPatch, node: LiveNode, ahead_s: float) -> None:
    """This machine's clock, beside the time of the last block."""
    now_s = node.chain.head.header.time_ms / 1_000 + ahead_s
    monkeypatch.setattr(doctor, "time", SimpleNamespace(time=lambda: now_s))


def test_a_machine_that_is_well(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check has a sentence; nothing is made where nothing was."""
    set_clock(monkeypatch, node, 7.0)
    home = Path(os.environ["MARSA_HOME"])
    found = marsa("doctor", "--node", node.url, "--json")
    assert (found.code, found.json["ok"]) == (0, True)
    expected = {"python", "packages", "disk", "private files", "open files", "processor"}
    assert expected | {"node", "finality", "clock"} <= set(verdicts(found))
    assert all(item["detail"] for item in found.json["findings"])
    assert not home.exists()


def test_what_is_wrong_has_a_next_command(marsa: Marsa, marsa_home: Path) -> None:
    """A wallet that others may read, and a node that is not there."""
    wallet = marsa_home / "wallets" / "alice.json"
    wallet.parent.mkdir(parents=True)
    wallet.touch(mode=0o644)
    wallet.chmod(0o644)
    found = marsa("doctor", "--node", "http://127.0.0.1:1", "--json")
    assert (found.code, found.json["ok"]) == (CHECK_FAILED, False)
    assert verdicts(found)["private files"] == verdicts(found)["node"] == "fail"
    text = marsa("doctor", "--node", "http://127.0.0.1:1").out
    assert f"private files: chmod 600 {wallet}" in text
    assert "WRONG  node" in text


def test_little_room_is_worth_a_look(marsa: Marsa, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node would accept nothing; the command itself can do its work."""
    monkeypatch.setattr(doctor, "FREE_MIB_MIN", 1 << 40)
    found = marsa("doctor", "--json")
    assert (found.code, verdicts(found)["disk"]) == (0, "warn")


@pytest.mark.parametrize(("ahead_s", "verdict"), [(-4.9, "ok"), (-5.1, "fail")])
def test_a_clock_behind_the_chain(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch, ahead_s: float, verdict: str
) -> None:
    """A block from the future proves it, but for what clocks may differ."""
    set_clock(monkeypatch, node, ahead_s)
    found = marsa("doctor", "--node", node.url, "--json")
    assert verdicts(found)["clock"] == verdict
    assert found.code == (0 if verdict == "ok" else CHECK_FAILED)


# completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(marsa: Marsa, shell: str) -> None:
    """It calls our program, under the variable that our program reads."""
    found = marsa("completion", shell)
    assert found.code == 0
    assert "_MARSA_COMPLETE=" in found.out
    assert marsa("completion", shell, "--json").json["script"] == found.out.rstrip("\n")


@pytest.mark.parametrize(
    ("words", "expected"), [("marsa devnet sta", "status"), ("marsa tx send --me", "--memo")]
)
def test_words_are_completed(words: str, expected: str) -> None:
    """Of groups that are imported only when they are asked for, too."""
    environment = {
        **os.environ,
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_MARSA_COMPLETE": "bash_complete",
    }
    program = Path(sys.executable).with_name("marsa")
    done = subprocess.run(
        [program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert f"plain,{expected}" in done.stdout.splitlines()
