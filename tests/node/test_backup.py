"""A node in one file: what is in it, who may read it, and that a bad file writes nothing."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from cli.genesis_licence import new_grant
from cli.node_setup import init
from cli.role_keys import KeyDirectory
from ledger import schema
from ledger.chain import Chain
from ledger.leveldb import ADDED_ONLY, PART_NAMES, LevelDB
from node import app, config
from node import backup as backup_module
from node.backup import DIGEST_BYTES, backup, restore
from node.config import NodeConfig
from node.disk import DirectoryLock
from node.errors import NodeError

BLUEPRINT = Blueprint(nonce_of_seed(0), SEEDED_TIME_MS)
KEPT = (
    *("marsa.toml", "genesis.json", "authority.pem", "licence.pem"),
    *("keys/consensus.json", "keys/link.pem"),
)


def _file(name: str, content: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, io.BytesIO(content)


def signed(build: Callable[[tarfile.TarFile], None]) -> bytes:
    """An archive with the right hash: what somebody else may have made."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        build(archive)
    return made.getvalue() + sha256(made.getvalue()).digest()


def nothing(done: int, total: int) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a new node of a provider that is to join; nobody changes it."""
    directory = tmp_path_factory.mktemp("made")
    place = KeyDirectory.of(directory / "keys", "kite")
    named = ("kite", "Kite", "Devnet")
    authority, genesis = BLUEPRINT.authority_key, BLUEPRINT.genesis
    grant = new_grant(genesis, authority, place.public, *named, expires_ms=SEEDED_TIME_MS + 1)
    place.save(grant.certificate)
    peers = {name: f"127.0.0.1:{at}" for at, name in enumerate(BLUEPRINT.providers, 9000)}
    init(directory / "kite", genesis, "kite", place.path, addresses={}, peers=peers)
    return directory / "kite"


@pytest.fixture
def node(made: Path, tmp_path: Path) -> NodeConfig:
    """A copy of it."""
    return config.load(shutil.copytree(made, tmp_path / "kite"))


@pytest.fixture
def file(node: NodeConfig, tmp_path: Path) -> Path:
    """Its backup."""
    made = tmp_path / "kite.backup"
    backup(node, made, nothing)
    return made


def refused(file: Path, directory: Path) -> str:
    """The code of the refusal; nothing is there afterwards that was not there before."""
    before = sorted(directory.parent.iterdir())
    with pytest.raises(NodeError) as caught:
        restore(file, directory, nothing)
    assert sorted(directory.parent.iterdir()) == before
    assert caught.value.hint
    return caught.value.code


def test_all_but_votes_comes_back(node: NodeConfig, file: Path, tmp_path: Path) -> None:
    """The same files with the same rights; no log of votes, so that the node follows and says
    why."""
    header, found = restore(file, tmp_path / "again", nothing)
    assert (header.name, header.height) == ("kite", 0)
    assert header.genesis_hash == node.network.genesis_hash
    for name in KEPT:
        original, copy = node.directory / name, found.directory / name
        assert copy.read_bytes() == original.read_bytes()
        assert copy.stat().st_mode == original.stat().st_mode
    assert (found.directory / "keys").stat().st_mode & 0o777 == 0o700
    assert node.votes_path.exists() and not found.votes_path.exists()
    assert app.check_node(node) == ""
    assert "restore from a backup" in app.check_node(found)


@pytest.mark.parametrize("lacks", [(), ADDED_ONLY, PART_NAMES])
def test_backup_of_an_older_version_begins_at_genesis(
    node: NodeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: tuple[str, ...]
) -> None:
    """Its chain is read no more, be it of one database, two or four; its keys are, and the peers
    have the chain."""
    made = tmp_path / "kite.backup"
    members = backup_module._members
    with monkeypatch.context() as older:
        older.setattr(
            backup_module,
            "_members",
            lambda node: [
                item for item in members(node) if not any(name in item.name for name in lacks)
            ],
        )
        older.setattr(schema, "SCHEMA_VERSION", 1)
        kv = LevelDB.open(node.chain_path)
        kv.write({schema.SCHEMA_KEY: (1).to_bytes(2, "big"), b"zz": b"of that version"}, ())
        kv.close()
        backup(node, made, nothing)
    header, found = restore(made, tmp_path / "again", nothing)
    assert header.height == 0
    kv = LevelDB.open(found.chain_path)
    assert Chain.open(kv).chain_id == node.genesis_hash
    assert kv.get(b"zz") is None
    kv.close()
    key = found.consensus_key_path
    assert key.read_bytes() == node.consensus_key_path.read_bytes()
    assert "restore from a backup" in app.check_node(found)


def test_observer_has_no_keys(tmp_path: Path) -> None:
    """Neither keys nor a licence are there, and none are asked for."""
    genesis = BLUEPRINT.genesis
    init(tmp_path / "watcher", genesis, "watcher", None, addresses={}, peers={"acme": "a:1"})
    backup(config.load(tmp_path / "watcher"), tmp_path / "file", nothing)
    _, found = restore(tmp_path / "file", tmp_path / "again", nothing)
    assert found.is_observer
    assert not (found.directory / "keys").exists()
    assert app.check_node(found) == ""


def test_key_of_a_signer_is_not_there(node: NodeConfig, tmp_path: Path) -> None:
    """The process with the key is not asked either."""
    path = node.directory / "marsa.toml"
    path.write_text(path.read_text().replace('# signer = ""', 'signer = "/nowhere/signer.sock"'))
    node.consensus_key_path.unlink()
    backup(config.load(node.directory), tmp_path / "file", nothing)
    _, found = restore(tmp_path / "file", tmp_path / "again", nothing)
    assert found.signer == "/nowhere/signer.sock"
    assert [path.name for path in (found.directory / "keys").iterdir()] == ["link.pem"]


def test_file_is_private_and_tar_lists_it(node: NodeConfig, file: Path) -> None:
    """0600, no draft left beside it, readable by any tool for archives."""
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.glob(".*")) == []
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert names[:7] == ["marsa-backup.json", *KEPT]
    assert "chain/CURRENT" in names
    assert not [name for name in names if "votes" in name or "LOCK" in name]


def test_progress_ends_with_all(node: NodeConfig, tmp_path: Path) -> None:
    """What is reported grows to the total and never beyond."""
    for action in (
        lambda report: backup(node, tmp_path / "b", report),
        lambda report: restore(tmp_path / "b", tmp_path / "again", report),
    ):
        seen: list[tuple[int, int]] = []
        action(lambda done, total, seen=seen: seen.append((done, total)))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert len({total for _, total in seen}) == 1
        assert all(done <= total for done, total in seen)
        assert seen[-1][0] > seen[-1][1] * 9 // 10


def test_running_node_is_refused(node: NodeConfig, tmp_path: Path) -> None:
    """Whoever has the directory writes to it: a copy would be newer in parts than in others."""
    with DirectoryLock(node.directory), pytest.raises(NodeError) as caught:
        backup(node, tmp_path / "kite.backup", nothing)
    assert caught.value.code == "directory_in_use"
    assert not (tmp_path / "kite.backup").exists()


def test_file_is_never_overwritten(node: NodeConfig, file: Path) -> None:
    """Not even one that comes while the copy is made."""
    before = file.read_bytes()
    with pytest.raises(FileExistsError):
        backup(node, file, nothing)
    assert file.read_bytes() == before
    assert list(file.parent.glob(".*")) == []


def test_damaged_chain_is_not_copied(node: NodeConfig, tmp_path: Path) -> None:
    """A copy that cannot be restored is worse than none."""
    (node.chain_path / "CURRENT").unlink()
    with pytest.raises(NodeError) as caught:
        backup(node, tmp_path / "kite.backup", nothing)
    assert caught.value.code == "storage"
    assert list(tmp_path.glob("*kite.backup*")) == []


@pytest.mark.parametrize("option", ["network.genesis", "storage.directory"])
def test_what_lies_elsewhere_is_refused(node: NodeConfig, tmp_path: Path, option: str) -> None:
    """A path of marsa.toml that leads out of the directory: restoring would write there."""
    there = {"network.genesis": node.genesis_path, "storage.directory": node.chain_path}[option]
    moved = tmp_path / "elsewhere"
    there.rename(moved)
    found = config.load(node.directory, flags={option: str(moved)})
    with pytest.raises(NodeError) as caught:
        backup(found, tmp_path / "kite.backup", nothing)
    assert caught.value.code == "outside_directory"


def test_every_part_is_protected(file: Path, tmp_path: Path) -> None:
    """A flipped byte anywhere, a cut at any place, a byte more: refused, and nothing is written."""
    whole = file.read_bytes()
    step = len(whole) // 97
    for at in [*range(0, len(whole), step), len(whole) - 1]:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert refused(file, tmp_path / "again") == "bad_backup"
        file.write_bytes(whole[:at])
        assert refused(file, tmp_path / "again") == "bad_backup"
    file.write_bytes(whole + b"\0")
    assert refused(file, tmp_path / "again") == "bad_backup"


def test_file_that_others_can_read_is_refused(file: Path, tmp_path: Path) -> None:
    """The keys are in it."""
    file.chmod(0o644)
    assert refused(file, tmp_path / "again") == "key_not_private"


def members_of(file: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(file) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            yield member, content.read()


def extended(file: Path, *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    def build(archive: tarfile.TarFile) -> None:
        for member, content in [*members_of(file), *more]:
            archive.addfile(member, io.BytesIO(content))

    return signed(build)


def named(name: str, kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = 1 if kind == tarfile.REGTYPE else 0
    info.linkname = "/etc/passwd"
    return info, b"x" * info.size


@pytest.mark.parametrize(
    "more",
    [
        named("../evil"),
        named("/tmp/evil"),
        named("chain/../../evil"),
        *(named(f"chain/{part}") for part in PART_NAMES),
        named("votes.wal"),
        named("keys/consensus.json"),
        named("chain/CURRENT"),
        named("chain/evil", tarfile.SYMTYPE),
        named("chain", tarfile.DIRTYPE),
    ],
    ids=lambda more: more[0].name,
)
def test_names_that_are_no_files_of_a_node(
    file: Path, tmp_path: Path, more: tuple[tarfile.TarInfo, bytes]
) -> None:
    """Paths that lead out, votes, a name given twice, links: refused, whatever the hash says."""
    file.write_bytes(extended(file, more))
    assert refused(file, tmp_path / "again") == "bad_backup"
    assert not (tmp_path / "evil").exists()


def test_same_archive_made_by_others_is_taken(file: Path, tmp_path: Path) -> None:
    """The check of names refuses what was added above, and nothing else."""
    file.write_bytes(extended(file))
    restore(file, tmp_path / "again", nothing)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        bytes(DIGEST_BYTES),
        bytes(20_480),
        b"#!/bin/sh\n" * 4_096,
        signed(lambda archive: None),
        signed(lambda archive: archive.addfile(*_file("other.txt", b"x"))),
        signed(lambda archive: archive.addfile(*_file("marsa-backup.json", b"{}"))),
    ],
)
def test_foreign_file(tmp_path: Path, data: bytes) -> None:
    """Anything else than a backup is refused by name."""
    file = tmp_path / "file"
    file.touch(mode=0o600)
    file.write_bytes(data)
    assert refused(file, tmp_path / "again") == "bad_backup"
