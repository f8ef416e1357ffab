"""A devnet on disk: made whole, found by name, moved, replaced, and shown."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, cast

import click
import pytest
from msgspec.structs import replace

from cli.client import Client, Unreachable
from cli.devnet import control, launch, logs, plan, show, state, watch
from cli.devnet.links import Rule
from cli.devnet.plan import Founding
from cli.devnet.processes import Process
from cli.devnet.state import Place
from cli.errors import CliError, ExitCode
from cli.output import Waiting
from ledger.errors import StorageError
from ledger.leveldb import PartMissing
from ledger.schema import OlderLayout
from node import config
from node.api import schemas
from node.vote_guard import Permission
from tests.cli.conftest import Marsa


@pytest.fixture(autouse=True)
def no_databases(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Databases are made in a process of their own; here it is only noted for which nodes."""
    asked: list[Path] = []
    monkeypatch.setattr(launch, "initialise_nodes", asked.extend)
    return asked


def test_new_devnet_is_complete(marsa_home: Path, no_databases: list[Path]) -> None:
    """Every node has its configuration and keys, ports count up, and no draft is left behind."""
    place = plan.found("default", Founding(base_port=20_000))
    assert state.find(None) == place
    assert [path.name for path in no_databases] == ["val0", "val1", "val2", "val3"]
    for index, node in enumerate(place.devnet.nodes):
        assert node.ports == [20_000 + index, 20_200 + index, 20_100 + index]
        found = config.load(place.node_dir(node))
        assert found.genesis_hash.hex() == place.devnet.genesis_hash
        assert str(found.p2p.listen_address) == node.p2p
        others = {other.licence: other.p2p for other in place.devnet.nodes if other != node}
        assert found.p2p.peers == others
    assert [path.name for path in marsa_home.iterdir()] == ["devnets"]


def test_secrets_of_a_devnet_are_private_files(marsa_home: Path) -> None:
    """Keys are public by design, but an example of how to keep them: 0600."""
    place = plan.found("default", Founding())
    secret = [place.directory / "accounts.json", place.directory / "devnet.json"]
    secret += place.directory.glob("issuers/*.json")
    secret += place.nodes_dir.glob("*/keys/*")
    assert len(secret) == 2 + 4 + 8
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}


def test_interrupted_making_leaves_no_devnet(
    marsa_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails before the end is not found by any command, and the next attempt succeeds."""

    def fail(_: list[Path]) -> None:
        raise CliError("start_failed", "no space")

    with monkeypatch.context() as broken:
        broken.setattr(launch, "initialise_nodes", fail)
        with pytest.raises(CliError):
            plan.found("default", Founding())
    assert state.names() == []
    assert plan.found("default", Founding()).directory.is_dir()


def test_seeded_devnet_has_the_seeds_genesis(marsa: Marsa) -> None:
    """--seed makes the same chain here as in `genesis new`."""
    place = plan.found("default", Founding(seed=7))
    file = place.directory / "genesis.json"
    assert file.read_text() == marsa("genesis", "new", "--devnet", "--seed", "7").out


def test_reset_makes_another_chain_of_the_same_size() -> None:
    """A new nonce even where the old one had a seed, and the old directory is gone."""
    old = plan.found("default", Founding(validators=5, accounts=3, seed=1, period_ms=120_000))
    (old.directory / "mark").touch()
    fresh = plan.recreate(old)
    assert fresh.devnet.genesis_hash != old.devnet.genesis_hash
    assert (len(fresh.devnet.nodes), fresh.devnet.accounts) == (5, 3)
    assert (fresh.devnet.period_ms, fresh.devnet.seed) == (120_000, None)
    assert not (fresh.directory / "mark").exists()


def test_reset_asks_first(marsa: Marsa) -> None:
    """Without a terminal and without --yes it is refused, and everything is as it was."""
    old = plan.found("default", Founding())
    refused = marsa("devnet", "reset", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (
        ExitCode.REFUSED,
        "confirmation_needed",
    )
    assert state.find("default") == old
    assert marsa("devnet", "reset", "--yes").code == 0
    assert state.find("default").devnet.genesis_hash != old.devnet.genesis_hash


def test_other_base_port_moves_addresses_only() -> None:
    """Ports are no part of the chain: configurations change, the genesis does not, nor what else
    the owner wrote into them."""
    old = plan.found("default", Founding(base_port=20_000))
    settings = old.node_dir(old.devnet.nodes[0]) / config.CONFIG_NAME
    settings.write_text(settings.read_text().replace('# level = "info"', 'level = "debug"'))
    moved = plan.route(plan.move(old, 21_000), faults=True)
    assert state.find("default") == moved
    assert moved.devnet.genesis_hash == old.devnet.genesis_hash
    first, second = moved.devnet.nodes[:2]
    found = config.load(moved.node_dir(first))
    listens = (found.api.listen, found.operations.listen, found.p2p.listen)
    assert listens == tuple(f"127.0.0.1:{21_000 + offset}" for offset in (0, 200, 100))
    assert found.p2p.peers["bolt"] == state.link_address(moved.devnet, first, second)
    assert found.log.level == "debug"


@pytest.mark.parametrize(
    "asked",
    [Founding(validators=5), Founding(accounts=3), Founding(seed=1), Founding(period_ms=120_000)],
)
def test_existing_devnet_is_not_what_was_asked_for(asked: Founding) -> None:
    """Options that an existing devnet contradicts are refused; those it has are fine."""
    place = plan.found("default", Founding())
    with pytest.raises(CliError) as caught:
        plan.check_same(place, asked)
    assert caught.value.code == "devnet_exists"
    plan.check_same(place, Founding(validators=4, accounts=10, period_ms=60_000))


def test_only_devnet_is_the_default_one() -> None:
    """Without --name the only devnet is meant; with several it is `default`."""
    plan.found("one", Founding(validators=4))
    assert state.find(None).devnet.name == "one"
    plan.found("two", Founding(validators=4))
    with pytest.raises(CliError) as caught:
        state.find(None)
    assert caught.value.exit_code == ExitCode.NOT_FOUND
    assert "one, two" in caught.value.message


def test_node_is_found_by_name_and_by_licence() -> None:
    """val0 and the licence that it runs under mean the same node; others are listed."""
    place = plan.found("default", Founding())
    assert place.node("val1") is place.node("bolt")
    renamed = [replace(node, licence="val3") for node in place.devnet.nodes[:1]]
    named_as_a_node = (*renamed, *place.devnet.nodes[1:])
    other = Place(place.directory, replace(place.devnet, nodes=named_as_a_node))
    assert other.node("val3").name == "val3", "a name goes before a licence"
    with pytest.raises(CliError, match="val0, val1, val2, val3"):
        place.node("val9")


def test_damaged_description_is_named(marsa: Marsa) -> None:
    """A devnet.json that cannot be read is an error with its path."""
    place = plan.found("default", Founding())
    (place.directory / "devnet.json").write_text("{}")
    found = marsa("devnet", "status", "--json")
    assert found.code == ExitCode.CHECK_FAILED
    assert "devnet.json" in found.json["error"]["message"]


def test_remains_without_description_are_kept(marsa: Marsa) -> None:
    """devnet.json is gone: `up` refuses, says what to do, and deletes neither keys nor chain."""
    place = plan.found("default", Founding())
    (place.directory / "devnet.json").unlink()
    before = sorted(place.directory.rglob("*"))
    shown = marsa("devnet", "up", "--detach")
    assert shown.code == ExitCode.CHECK_FAILED
    assert "error[bad_devnet]" in shown.err
    assert f"move {place.directory} away" in shown.err
    assert sorted(place.directory.rglob("*")) == before


def test_two_commands_do_not_change_a_devnet_at_once(marsa: Marsa) -> None:
    """While one holds the devnet another one ends at once and says why."""
    plan.found("default", Founding())
    with control.exclusive("default"):
        found = marsa("devnet", "down", "--json")
    assert found.json["error"]["code"] == "devnet_busy"
    assert marsa("devnet", "down").code == ExitCode.OK


def test_status_of_a_devnet_that_is_down(marsa: Marsa) -> None:
    """Every node is named as missing, and what that means is said."""
    plan.found("default", Founding())
    found = marsa("devnet", "status", "--json").json
    assert found["missing"] == ["val0", "val1", "val2", "val3"]
    for node in found["nodes"]:
        assert (node["state"], node["alive"], node["pid"]) == ("down", False, None)
    assert "nothing is committed" in marsa("devnet", "status").out


def test_up_json_is_the_documented_object() -> None:
    """Exactly the documented members, with URLs for APIs and host:port for peers."""
    place = plan.found("default", Founding(validators=5, base_port=20_000))
    states = [control.NodeState(node, Process(4_000, "x"), None) for node in place.devnet.nodes]
    found = json.loads(json.dumps(show.up_json(place, states)))
    assert set(found) == {"name", "genesis_hash", "nodes", "accounts"}
    assert found["nodes"][0] == {
        "name": "val0",
        "api": "http://127.0.0.1:20000",
        "ops": "http://127.0.0.1:20200",
        "p2p": "127.0.0.1:20100",
        "pid": 4_000,
        "issuer": "acme",
    }
    assert found["nodes"][4]["issuer"] is None
    assert [item["name"] for item in found["accounts"]][-1] == "faucet"
    assert set(found["accounts"][0]) == {"name", "address"}
    assert "PUBLIC" in show.up_text(place, states)


@pytest.mark.parametrize(("absent", "verdict"), [(1, "they go on"), (2, "nothing is committed")])
def test_missing_nodes_are_named_with_the_verdict(absent: int, verdict: str) -> None:
    """One of four may fail, two may not; both names of each are given."""
    place = plan.found("default", Founding())
    states = [
        control.NodeState(node, None if index < absent else Process(4_000, "x"), None)
        for index, node in enumerate(place.devnet.nodes)
    ]
    text = show.missing_text(states)
    assert verdict in text
    assert "val0 (acme)" in text
    assert ("val1 (bolt)" in text) == (absent == 2)


def test_who_runs_and_hears_nobody_does_not_count() -> None:
    """Ways that are slow or open leave a quorum; one of four may be cut off; two against two, or
    two that pause, commit nothing, and that is said though nobody is missing."""
    place = plan.found("default", Founding())
    nodes = place.devnet.nodes
    states = [control.NodeState(node, Process(4_000, "x"), None) for node in nodes]
    slow = [Rule(one.name, other.name, delay_ms=200) for one in nodes for other in nodes]
    one_off = [Rule("val0", f"val{other}", cut=True) for other in (1, 2, 3)]
    halves = [Rule(f"val{one}", f"val{other}", cut=True) for one in (0, 1) for other in (2, 3)]
    for rules in ((), slow, one_off):
        assert show.missing_text(states, rules) == ""
        assert show.goes_on(states, rules)
    assert not show.goes_on(states, halves)
    expected = "4 of 4 validators run, 2 hear each other, 3 are needed: nothing is committed"
    assert show.missing_text(states, halves).startswith(expected)


def test_who_pauses_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is there and signs nothing."""
    place = plan.found("default", Founding())
    states = [
        control.NodeState(node, Process(4_000 + index, "x"), None)
        for index, node in enumerate(place.devnet.nodes)
    ]
    monkeypatch.setattr(control.processes, "is_stopped", lambda process: process.pid < 4_002)
    expected = "2 of 4 validators run, 3 are needed: nothing is committed"
    assert show.missing_text(states).startswith(expected)


@pytest.mark.parametrize(
    ("is_voting", "connected", "reason", "is_ready"),
    [
        (True, 4, "", True),
        (False, 2, "2 of 4 validators are connected, 3 are needed", False),
        (False, 4, "catching up", False),
        (False, 4, Permission.WAITING.value, False),
        (False, 4, f"{Permission.FOLLOWING.value}: votes.wal is missing", True),
        (False, 4, "no seat yet: it is ready, and seats change when the epoch ends", True),
    ],
)
def test_up_waits_for_what_passes(
    is_voting: bool, connected: int, reason: str, is_ready: bool
) -> None:
    """For votes where the node still finds out where the others are; for nothing that lasts."""
    found = schemas.Consensus(
        epoch=0,
        epoch_base_height=0,
        view=0,
        primary="acme",
        has_seat=True,
        is_voting=is_voting,
        reason=reason,
        last_commit_age_ms=None,
        validators=4,
        quorum=3,
        connected=connected,
        missing=[],
        waiting=[],
    )
    assert control.has_heard_quorum(found) == is_ready


def test_up_goes_on_without_a_node_that_never_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose licence was revoked: nobody links to it. It is asked again for a while."""
    asked = []

    class Alone:
        def status(self) -> NoReturn:
            asked.append(True)
            raise Unreachable("http://127.0.0.1:1", "refused")

    monkeypatch.setattr(control, "SETTLE_S", 0.2)
    with click.Context(click.Command("up")), Waiting("starting", 1_000) as waiting:
        control._wait_settled([cast("Client", Alone())], waiting)
    assert len(asked) > 1


def test_env_is_what_a_shell_reads(marsa: Marsa, marsa_home: Path) -> None:
    """Two variables, the node's API and the home."""
    plan.found("default", Founding(base_port=20_000))
    lines = marsa("devnet", "env").out.splitlines()
    assert lines[0] == "export MARSA_NODE=http://127.0.0.1:20000"
    assert lines[1].startswith("export MARSA_HOME=")
    found = marsa("devnet", "env", "--json").json
    assert lines == [f"export {name}={found[name]}" for name in ("MARSA_NODE", "MARSA_HOME")]


def test_a_devnet_is_listed(marsa: Marsa) -> None:
    """With what says whether it runs, where, and on which chain."""
    place = plan.found("big", Founding(base_port=20_000))
    (row,) = marsa("devnet", "ls", "--json").json["devnets"]
    assert (row["name"], row["running"], row["nodes"]) == ("big", 0, 4)
    assert (row["base_port"], row["genesis_hash"]) == (20_000, place.devnet.genesis_hash)
    assert marsa("devnet", "ls").out.splitlines()[1].split()[:4] == ["big", "0", "of", "4"]


def test_logs_show_the_last_lines(marsa: Marsa) -> None:
    """One node's lines as they are, several nodes' behind their names."""
    place: Place = plan.found("default", Founding())
    for node in place.devnet.nodes[:2]:
        (place.node_dir(node) / launch.LOG_NAME).write_text("one\ntwo\nthree\n")
    assert marsa("devnet", "logs", "val0", "--lines", 2).out == "two\nthree\n"
    assert marsa("devnet", "logs", "--lines", 1).out == "val0 | three\nval1 | three\n"
    assert marsa("devnet", "logs", "--json").json["logs"]["val1"] == ["one", "two", "three"]


def test_logs_show_as_many_lines_as_are_wanted(
    marsa: Marsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many reads they take, and whole; all there are where more are wanted."""
    monkeypatch.setattr(logs, "READ_BYTES", 7)
    place: Place = plan.found("default", Founding())
    said = [f"line {number}" for number in range(50)]
    for ends in ("\n", ""):
        file = place.node_dir(place.devnet.nodes[0]) / launch.LOG_NAME
        file.write_text("\n".join(said) + ends)
        for lines in (0, 1, 49, 50, 60):
            found = marsa("devnet", "logs", "val0", "--lines", lines, "--json").json["logs"]
            assert found["val0"] == said[len(said) - min(lines, 50) :]


def test_who_watches_sees_nodes_that_came_and_went(monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on with what it knew where the devnet cannot be read. Ctrl-C stops those that there
    are, also those that came later."""

    def looked_again(_: float) -> None:
        assert next(looks) < 3, "nothing changed"

    looks = count()
    monkeypatch.setattr(watch.time, "sleep", looked_again)
    place = plan.found("default", Founding())
    shown = watch.states(place)
    assert "val3" in next(shown)[1]
    fewer = plan.with_nodes(place, place.devnet.nodes[:3])
    assert "val3" not in next(shown)[1]
    stopped: list[Place] = []

    def interrupted(_: Place) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "_events", interrupted)
    monkeypatch.setattr(control, "down", stopped.append)
    watch.watch(place)
    assert stopped == [fewer]
    (place.directory / "devnet.json").write_text("{")
    assert watch._as_it_is(fewer) == fewer


def test_settings_that_cannot_be_changed_are_named(marsa: Marsa) -> None:
    """Before anything is written: neither the others nor the devnet move."""
    place = plan.found("default", Founding(base_port=20_000))
    files = [place.node_dir(node) / config.CONFIG_NAME for node in place.devnet.nodes]
    files[2].write_text(files[2].read_text().replace("[api]", "[api]  # mine"))
    before = [file.read_text() for file in files]
    refused = marsa("devnet", "up", "--base-port", 21_000, "--json").json["error"]
    assert refused["code"] == "bad_config"
    assert str(files[2]) in refused["message"]
    assert [file.read_text() for file in files] == before
    assert state.find("default") == place


def test_a_damaged_devnet_is_one_finding_of_the_doctor(marsa: Marsa) -> None:
    """Beside all others, with its hint."""
    plan.found("default", Founding())
    broken = plan.found("other", Founding(base_port=20_000))
    (broken.directory / "devnet.json").write_text("{")
    found = marsa("doctor", "--json")
    by_check = {item["check"]: item for item in found.json["findings"]}
    assert by_check["devnet other"]["verdict"] == "fail"
    assert "devnet.json" in by_check["devnet other"]["detail"]
    assert by_check["devnet other"]["hint"]
    assert by_check["devnet default"]["verdict"] == "ok"


def test_a_node_says_whose_account_signs(marsa: Marsa, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devnets have one of that name: the one on the chain of --node is meant."""
    plan.found("default", Founding())
    big = plan.found("big", Founding(base_port=20_000))
    asked = ("wallet", "sign-message", "alice", "x", "--json")
    assert marsa(*asked).json["error"]["code"] == "ambiguous_account"
    params = SimpleNamespace(chain_id=big.devnet.genesis_hash)
    monkeypatch.setattr(Client, "params", lambda _: params)
    node = ("--node", big.devnet.nodes[0].api)
    signed = marsa(*asked, *node).json
    assert signed["address"] == state.accounts(big)[0].address
    check = ("wallet", "verify-message", "alice", "x", signed["signature"])
    assert marsa(*check, *node).code == 0


def test_hints_name_the_devnet_that_they_are_about(marsa: Marsa) -> None:
    """Where it is not the one that is meant without a name."""
    plan.found("default", Founding())
    plan.found("big", Founding(base_port=20_000))
    for name, option in (("big", " --name big"), ("default", "")):
        refused = marsa("devnet", "kill", "val0", "--name", name, "--json").json["error"]
        assert refused["hint"] == f"marsa devnet restart val0{option}"
        reset = marsa("devnet", "reset", "--name", name, "--yes").out
        assert reset.endswith(f"start it with: marsa devnet up{option}\n")


@pytest.mark.parametrize(
    ("fault", "is_told"),
    [
        (PartMissing(Path("chain"), "outputs"), True),
        (OlderLayout(3), True),
        (StorageError("Cannot open the database"), False),
    ],
)
def test_a_devnet_of_an_earlier_version_is_told_to_begin_anew(
    marsa: Marsa, fault: StorageError, is_told: bool
) -> None:
    """No peer is left from which its nodes could copy the chain, as a node alone is told."""
    place = plan.found("big", Founding(base_port=20_000))
    node = place.devnet.nodes[0]
    logs.of_node(place, node).path.write_text(f"info started\nerror[storage]: {fault}\n")
    with click.Context(click.Command("up")):
        error = control.ended(place, node, "ended while it was starting")
    assert (error.hint == "all its nodes begin anew with: marsa devnet reset --name big") is is_told


def test_logs_of_the_processes_beside_the_nodes(marsa: Marsa) -> None:
    """Each has a name of its own; one that never ran is not there."""
    place: Place = plan.found("default", Founding())
    for name in ("agents", "delivery"):
        assert marsa("devnet", "logs", name, "--json").code == ExitCode.NOT_FOUND
        (place.directory / name).mkdir()
        (place.directory / name / f"{name}.log").write_text(f"{name} says\n")
    assert marsa("devnet", "logs", "delivery").out == "delivery says\n"
    assert marsa("devnet", "logs").out == "agents | agents says\ndelivery | delivery says\n"
    refused = marsa("devnet", "logs", "val9", "--json")
    assert refused.code == ExitCode.NOT_FOUND
    assert "val3, agents, delivery" in refused.json["error"]["message"]


@pytest.mark.parametrize("arguments", [("-n", "3"), ("--base-port", "80"), ("--period", "1x")])
def test_bad_options_of_up_are_usage_errors(marsa: Marsa, arguments: tuple[str, str]) -> None:
    """Too few validators, a port below the unprivileged ones, a duration that is none."""
    assert marsa("devnet", "up", *arguments).code == ExitCode.USAGE
    assert state.names() == []


def test_unknown_devnet_is_not_found(marsa: Marsa) -> None:
    """Each command that needs a devnet says how to make one."""
    for command in ("down", "status", "logs", "env", "reset"):
        found = marsa("devnet", command, "--json")
        assert found.code == ExitCode.NOT_FOUND
        assert found.json["error"]["hint"] == "marsa devnet up"
    assert marsa("devnet", "ls", "--json").json["devnets"] == []
