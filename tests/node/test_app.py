"""Nodes without a seat, made and opened: what is there, what is not, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from cli.genesis_licence import new_grant
from cli.node_setup import init
from cli.role_keys import KeyDirectory
from ledger.genesis import Genesis
from node import app
from node.config import NodeConfig
from node.errors import NodeError
from node.guards import NoVotes
from node.vote_guard import Permission, Refused, VoteGuard
from p2p.handshake import SESSION_BYTES

BLUEPRINT = Blueprint(nonce_of_seed(0), SEEDED_TIME_MS)
GENESIS = BLUEPRINT.genesis


def make(directory: Path, name: str, keys: Path | None, genesis: Genesis = GENESIS) -> NodeConfig:
    return init(
        directory, genesis, name, keys, addresses={"p2p": "127.0.0.1:0"}, peers={"acme": "[::1]:1"}
    )


def keys_of_joiner(directory: Path) -> Path:
    """What `marsa validator grant` leaves for the provider 'kite'."""
    place = KeyDirectory.of(directory, "kite")
    expires_ms, named = SEEDED_TIME_MS + 1, ("kite", "Kite", "Devnet")
    authority = BLUEPRINT.authority_key
    grant = new_grant(GENESIS, authority, place.public, *named, expires_ms=expires_ms)
    place.save(grant.certificate)
    return directory


@contextmanager
def opened(config: NodeConfig) -> Iterator[app.Stores]:
    """What a node has on disk, as it opens it before it runs."""
    with ExitStack() as stack:
        yield app._open(config, stack)


def test_an_observer_has_a_chain_and_no_keys(tmp_path: Path) -> None:
    """It can start, follows under a name of its own, and cannot be told to vote."""
    config = make(tmp_path / "obs", "watcher", None)
    assert (config.role, config.name, config.licence) == ("observer", "watcher", "")
    names = {path.name for path in config.directory.iterdir()}
    assert names >= {"authority.pem", "chain", "genesis.json", "marsa.toml"}
    assert names.isdisjoint({"keys", "licence.pem", "votes.wal"})
    assert app.check_node(config) == ""

    with opened(config) as stores:
        assert stores.keys is None
        assert isinstance(stores.guard, NoVotes)
        with pytest.raises(Refused, match="an observer never votes"):
            stores.guard.recover()


def test_a_joiner_starts_with_a_certificate(tmp_path: Path) -> None:
    """Genesis does not know it: its keys, its certificate and a vote log are all that it needs."""
    config = make(tmp_path / "kite", "kite", keys_of_joiner(tmp_path / "keys"))
    assert app.check_node(config) == ""

    with opened(config) as stores:
        assert stores.keys is not None
        assert isinstance(stores.guard, VoteGuard)
        assert stores.guard.public == stores.keys.consensus.public
        assert stores.guard.public not in stores.rules.validators.index_by_key


def test_a_joiner_without_certificate_is_refused(tmp_path: Path) -> None:
    """The error lists the validators of genesis, for the licence may be misspelt; no half of a
    directory stays."""
    keys = keys_of_joiner(tmp_path / "keys")
    (keys / "licence.pem").unlink()
    with pytest.raises(NodeError) as caught:
        make(tmp_path / "kite", "kite", keys)
    assert caught.value.code == "unknown_licence"
    assert "acme, bolt, coral, delta" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    """The licence id in marsa.toml is the one that the authority signed."""
    keys = keys_of_joiner(tmp_path / "keys")
    with pytest.raises(NodeError, match="the licence of 'kite', not of 'kate'") as caught:
        make(tmp_path / "kate", "kate", keys)
    assert caught.value.code == "bad_licence"


def test_an_observer_trusts_the_authority_of_genesis_alone(tmp_path: Path) -> None:
    """Another one's certificate in its place would let strangers pass for validators."""
    config = make(tmp_path / "obs", "watcher", None)
    other = Blueprint(nonce_of_seed(1), SEEDED_TIME_MS)
    stranger = make(tmp_path / "other", "watcher", None, other.genesis)
    config.authority_path.write_bytes(stranger.authority_path.read_bytes())
    with pytest.raises(NodeError) as caught:
        app.check_node(config)
    assert caught.value.code == "wrong_key"


def test_a_disk_that_fills_stops_transactions_and_then_votes(tmp_path: Path) -> None:
    """Whoever asks the guard hears of it, so that neither an epoch nor the operator passes it by;
    with room again it goes on."""
    config = make(tmp_path / "kite", "kite", keys_of_joiner(tmp_path / "keys"))
    storage = config.storage
    with opened(config) as stores:
        guard = stores.guard
        guard.permission = Permission.ALLOWED
        node = app.RunningNode(config, stores, bytes(SESSION_BYTES))
        node._look_at_disk(storage.reject_below_bytes - 1)
        assert (node._driver.accepts_transactions, guard.can_sign) == (False, True)
        node._look_at_disk(storage.stop_voting_below_bytes - 1)
        assert not guard.can_sign
        assert guard.reason == "255 MiB of disk are free, 256 MiB are needed"
        assert not node._engine.replica.state.voting
        node._look_at_disk(storage.reject_below_bytes)
        assert (node._driver.accepts_transactions, guard.can_sign) == (True, True)
        assert node._engine.replica.state.voting


async def test_the_cause_of_a_fault_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a link's task met it, too: the place, and not that there was a group of tasks."""

    async def run(node: app.RunningNode) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails(), name="p2p-serve-bolt")

    async def fails() -> None:
        raise AssertionError("decided before it was executed")

    async def refuses(node: app.RunningNode) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(says_no(), name="signer")

    async def says_no() -> None:
        raise NodeError("no_key", "the key is gone")

    config = make(tmp_path / "obs", "watcher", None)
    monkeypatch.setattr(app.logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(app.RunningNode, "run", refuses)
    with pytest.raises(NodeError, match="the key is gone"):
        await app._run_once(config, bytes(SESSION_BYTES))
    assert caplog.text == ""
    monkeypatch.setattr(app.RunningNode, "run", run)
    with pytest.raises(BaseExceptionGroup):
        await app._run_once(config, bytes(SESSION_BYTES))
    assert "decided before it was executed" in caplog.text
    assert "in fails" in caplog.text
