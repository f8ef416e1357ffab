"""Validators that come and go while payments run, and a node that only watches."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.accounts import PublicAccount
from cli.client import Client
from cli.devnet import processes
from tests.functional.cluster import DEADLINE_S, Cluster, hear_ctrl_c, until
from tests.functional.commands import MARSA
from tests.functional.load import Load, prepare

pytestmark = pytest.mark.functional

PAYMENTS = 1_200


def faucet_of(cluster: Cluster) -> PublicAccount:
    data = (cluster.directory / "accounts.json").read_bytes()
    accounts = msgspec.json.decode(data, type=list[PublicAccount])
    return next(account for account in accounts if account.name == "faucet")


def roots_at_one_height(cluster: Cluster) -> set[str] | None:
    nodes = cluster.nodes().values()
    if len({node["height"] for node in nodes}) > 1:
        return None
    return {node["state_root"] for node in nodes}


def test_a_fifth_joins_and_the_first_goes_under_load(cluster: Cluster, tmp_path: Path) -> None:
    """While payments run a validator is added and the first one retired: each payment is final,
    where it was reported so at the same height everywhere, state roots are equal, the observer
    follows and links with the new one, and its proof holds with the genesis file alone."""
    made = cluster.up("--observers", "1")
    urls = [node["api"] for node in made["nodes"]]
    load = prepare([*urls[1:4], urls[4]], faucet_of(cluster), PAYMENTS)
    load.start()
    added = cluster.marsa("devnet", "add", "--json").json
    assert (added["name"], added["state"] in ("voting", "primary")) == ("val4", True)
    with Client(urls[4]) as observer:
        until(lambda: observer.status().consensus.missing == [], "the observer links with val4")
    retired = cluster.marsa("devnet", "retire", "val0", "--json").json
    assert retired["epoch"] > added["epoch"]
    load.join()
    sent = cluster.send("5", "alice", "bob", "--node", urls[4])
    assert sent["status"] == "final"
    shown = cluster.marsa("validator", "status", "--json").json
    assert sorted(shown["members"]) == ["bolt", "coral", "delta", "ember"]
    states = {name: node["state"] for name, node in cluster.nodes().items()}
    assert states.pop("obs0") == "observing"
    assert sorted(states) == ["val1", "val2", "val3", "val4"]
    assert set(states.values()) == {"voting", "primary"}
    roots = until(lambda: roots_at_one_height(cluster), "all nodes at one height")
    assert len(roots) == 1
    for url in (urls[1], urls[4], added["api"]):
        check_all_final(url, load)
    check_proof(cluster, sent["txid"], urls[4], tmp_path / "proof.json")


def check_all_final(url: str, load: Load) -> None:
    """Every payment that a node took, at the height at which it was reported."""
    assert len(load.final) > PAYMENTS // 2
    with Client(url) as client:
        for txid in load.taken:
            found = client.transaction(txid)
            assert found.status == "final"
            assert found.height == load.final.get(txid, found.height)


def check_proof(cluster: Cluster, txid: str, url: str, file: Path) -> None:
    """Of a block of another set than that of genesis: verified when every node is down."""
    cluster.marsa("tx", "proof", txid, "--out", file, "--node", url)
    cluster.marsa("devnet", "down")
    genesis = cluster.directory / "genesis.json"
    found: Any = cluster.marsa("tx", "verify-proof", file, "--genesis", genesis, "--json").json
    assert found["txid"] == txid


def test_an_observer_of_a_stopped_and_resumed_devnet(cluster: Cluster) -> None:
    """It comes back with the others, says what it is, has no keys, and is no validator that is
    missing; retired, the devnet goes on without it."""
    cluster.up("--observers", "1")
    cluster.send("1", "alice", "bob")
    cluster.marsa("devnet", "down")
    made = cluster.up()
    assert [node["name"] for node in made["nodes"]][-1] == "obs0"
    url = made["nodes"][-1]["api"]
    with Client(url) as client:
        until(lambda: client.status().consensus.reason == "", "the observer has nothing to say")
        status = client.status()
    assert (status.node.name, status.node.role) == ("obs0", "observer")
    assert not status.consensus.has_seat
    assert not status.consensus.is_voting
    assert "obs0 (observer): height" in cluster.marsa("node", "status", "--node", url).out
    held = {path.name for path in cluster.node_dir("obs0").iterdir()}
    assert held.isdisjoint({"keys", "licence.pem", "votes.wal"})
    cluster.marsa("devnet", "kill", "obs0")
    assert "4 of 4 validators run" in cluster.marsa("devnet", "status").out
    cluster.marsa("devnet", "restart", "obs0")
    cluster.marsa("devnet", "retire", "obs0")
    assert len(cluster.nodes()) == 4
    assert cluster.send("1", "alice", "bob")["status"] == "final"


def test_a_newcomer_goes_on_where_it_was_interrupted(cluster: Cluster) -> None:
    """Ctrl-C leaves a node without a seat; the same command again gives it one."""
    cluster.up()
    begun = subprocess.Popen(
        [str(MARSA), "devnet", "add", "kite"],
        env=cluster.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=hear_ctrl_c,
    )
    process = cluster.node_dir("val4") / processes.PROCESS_FILE
    until(process.exists, "val4 is started")
    begun.send_signal(signal.SIGINT)
    assert begun.wait(DEADLINE_S) == 130
    assert cluster.nodes()["val4"]["state"] not in ("voting", "primary")
    failed = cluster.marsa("devnet", "add", "acme", "--json", code=2).error
    assert failed["code"] == "node_exists"
    added = cluster.marsa("devnet", "add", "kite", "--json").json
    assert (added["name"], added["state"] in ("voting", "primary")) == ("val4", True)


def test_four_are_the_least(cluster: Cluster) -> None:
    """The reason is given, and nothing changes."""
    cluster.up()
    failed = cluster.marsa("devnet", "retire", "val1", "--json", code=5).error
    assert failed["code"] == "too_few_validators"
    assert len(cluster.nodes()) == 4
