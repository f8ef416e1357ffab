"""A copy of a node in one file, and a node made from it again.

    tar archive    marsa-backup.json, marsa.toml, genesis.json, authority.pem, licence.pem,
                   keys/consensus.json, keys/link.pem, chain/NAME …; any tool can list it
    32 bytes       SHA-256 of everything before

Made of a stopped node only, under the lock of its directory, so that nothing in it is newer than
anything else. It holds the node's keys: the file is 0600, and refused when others may read it.

The log of votes is left out on purpose. An old one would lie about what the key signed since, and
whether anybody remembers better cannot be relied on. Without a log a node knows that it does not
know: it follows, and votes after two epochs or when its operator says so (`node.vote_guard`).

Nothing is written before the whole file was read and its hash found right; a node is restored under
another name and renamed when it is complete. The hash finds damage. It is no signature: whoever
can write the file can write another.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import IO, BinaryIO, Literal

import msgspec

from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.leveldb import PART_NAMES, LevelDB, PartMissing
from ledger.schema import OlderLayout
from node import config, snapshot_store
from node.app import read_genesis
from node.config import CONFIG_NAME, NodeConfig
from node.disk import DirectoryLock, free_bytes, storage_errors, sync_tree
from node.errors import NodeError
from node.files import sync_directory
from node.keys import PRIVATE_MODE, PUBLIC_MODE
from node.resetting import reset_chain

HEADER_NAME = "marsa-backup.json"
HEADER_BYTES_MAX = 64 * 1024
DIGEST_BYTES = 32
CHUNK_BYTES = 1 << 20
FILES_MAX = 1_000_000
"""Of 2 MiB each a terabyte and more: a file that claims more is none of ours."""

_CHAIN = "chain/"
_STORE_FILE = re.compile(rf"(({'|'.join(PART_NAMES)})/)?[A-Za-z0-9][A-Za-z0-9.-]{{0,63}}", re.ASCII)
_LEFT_OUT = ("LOCK", "LOG", "LOG.old")
"""Of LevelDB: its lock, and what it tells people."""

Report = Callable[[int, int], None]
"""Bytes done, and bytes in all."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """marsa-backup.json: of what this is a copy."""

    schema: Literal["marsa.node-backup/1"] = "marsa.node-backup/1"
    name: str
    role: str
    genesis_hash: str
    height: int


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    path: Path
    size: int


def backup(node: NodeConfig, file: Path, report: Report) -> Header:
    """Write a copy of a stopped node to a new file; raises NodeError."""
    with storage_errors(), DirectoryLock(node.directory):
        snapshot_store.settle(node.chain_path)
        header = Header(
            name=node.name,
            role=node.role,
            genesis_hash=node.network.genesis_hash,
            height=_check_chain(node),
        )
        members = list(_members(node))
        draft = file.with_name(f".{file.name}.new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        try:
            with os.fdopen(descriptor, "wb") as raw:
                _write(raw, header, members, report)
            file.hardlink_to(draft)  # never over a file that came meanwhile
        finally:
            draft.unlink()
        sync_directory(file.absolute().parent)
    return header


def restore(file: Path, directory: Path, report: Report) -> tuple[Header, NodeConfig]:
    """Make a node in a new or empty directory; raises NodeError before anything is written where
    the file is not whole. One that an older version wrote, with a chain in a layout that is read
    no more, begins at genesis."""
    directory = directory.absolute()  # "." has no name beside which another could stand
    with storage_errors(), file.open("rb") as raw:
        _check_private(file, raw)
        size = os.fstat(raw.fileno()).st_size
        header = _read_header(file, raw)
        _check_digest(file, raw, size, report)
        parent = directory.parent
        parent.mkdir(parents=True, exist_ok=True)
        if free_bytes(parent) < size:
            detail = f"{parent} has {free_bytes(parent) >> 20} MiB free, {size >> 20} are needed"
            raise NodeError("disk_full", detail, "free some space, or restore elsewhere")
        draft = directory.with_name(f".{directory.name}.new")
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir()
        try:
            _extract(file, raw, draft, lambda done: report(size + done, 2 * size))
            try:
                _check_chain(config.load(draft))
            except (OlderLayout, PartMissing):
                # The keys are what is wanted; its peers have the chain.
                reset_chain(config.load(draft))
                header = msgspec.structs.replace(header, height=0)
            sync_tree(draft)
            if directory.exists():
                directory.rmdir()
            draft.rename(directory)
        except BaseException:  # Ctrl-C too: keys must not be left where nobody looks for them
            shutil.rmtree(draft)
            raise
        sync_directory(parent)
    return header, config.load(directory)


# Writing.


def _members(node: NodeConfig) -> Iterator[_Member]:
    """What a node cannot do without, in the order of the archive; raises NodeError."""
    for name, path in _fixed_paths(node).items():
        if path.is_file():
            yield _Member(name, path, path.stat().st_size)
    for prefix in ("", *(f"{name}/" for name in PART_NAMES)):
        for path in sorted(node.chain_path.joinpath(prefix).iterdir()):
            if path.is_file() and path.name not in _LEFT_OUT:
                yield _Member(_CHAIN + prefix + path.name, path, path.stat().st_size)


def _fixed_paths(node: NodeConfig) -> dict[str, Path]:
    """Names in the archive, and where that is in a node's directory; raises NodeError."""
    for option, path in (
        ("network.genesis", node.genesis_path),
        ("storage.directory", node.chain_path),
    ):
        if not path.resolve().is_relative_to(node.directory.resolve()):
            raise NodeError(
                "outside_directory",
                f"{option} leads to {path}, which is not in {node.directory}",
                "a backup is a copy of a node's own directory: stop the node and copy both by hand",
            )
    return {
        CONFIG_NAME: node.directory / CONFIG_NAME,
        "genesis.json": node.genesis_path,
        "authority.pem": node.authority_path,
        "licence.pem": node.licence_path,
        "keys/consensus.json": node.consensus_key_path,
        "keys/link.pem": node.link_key_path,
    }


def _write(raw: BinaryIO, header: Header, members: list[_Member], report: Report) -> None:
    total = sum(member.size for member in members)
    written = _HashedFile(raw, lambda done: report(min(done, total), total))
    with tarfile.open(
        fileobj=written, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=CHUNK_BYTES
    ) as archive:
        data = msgspec.json.encode(header)
        archive.addfile(_info(HEADER_NAME, len(data), PUBLIC_MODE), io.BytesIO(data))
        for member in members:
            with member.path.open("rb") as source:
                archive.addfile(_info(member.name, member.size, _mode(member.name)), source)
    raw.write(written.digest)
    raw.flush()
    os.fsync(raw.fileno())


def _info(name: str, size: int, mode: int) -> tarfile.TarInfo:
    """Nothing of the machine that it was made on: no owner and no time."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    return info


def _mode(name: str) -> int:
    return PRIVATE_MODE if name.startswith("keys/") else PUBLIC_MODE


class _HashedFile(io.RawIOBase):
    """Takes what is written, and hashes it on the way."""

    def __init__(self, raw: BinaryIO, report: Callable[[int], None]) -> None:
        super().__init__()
        self._raw = raw
        self._hash = sha256()
        self._done = 0
        self._report = report

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._raw.write(data)
        self._hash.update(data)
        self._done += len(data)
        self._report(self._done)
        return len(data)

    @property
    def digest(self) -> bytes:
        return self._hash.digest()


# Reading.


def _check_private(file: Path, raw: BinaryIO) -> None:
    mode = os.fstat(raw.fileno()).st_mode & 0o777
    if mode & 0o077:
        raise NodeError(
            "key_not_private",
            f"{file} has mode {mode:o}: others may read the keys in it",
            f"chmod 600 {quote(str(file))}; if others had access, replace the keys",
        )


def _read_header(file: Path, raw: BinaryIO) -> Header:
    """From the first member, which tells a backup from any other file."""
    try:
        with tarfile.open(fileobj=raw, mode="r:") as archive:
            first = archive.next()
            source = _content(archive, first)
            if first is None or source is None or first.name != HEADER_NAME:
                raise _foreign(file)
            data = source.read(HEADER_BYTES_MAX)
    except (tarfile.TarError, UnicodeError, ValueError):
        raise _foreign(file) from None
    try:
        return msgspec.json.decode(data, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NodeError(
            "bad_backup",
            f"{file} is damaged, or was made by a later version of marsa",
            "take another copy of it, or the version that made it",
        ) from None


def _check_digest(file: Path, raw: BinaryIO, size: int, report: Report) -> None:
    """The whole file, before anything is believed that it says."""
    raw.seek(0)
    hashed, left = sha256(), size - DIGEST_BYTES
    while left > 0:
        data = raw.read(min(left, CHUNK_BYTES))
        if not data:
            raise _damaged(file)
        hashed.update(data)
        left -= len(data)
        report(size - left, 2 * size)
    if raw.read(DIGEST_BYTES + 1) != hashed.digest():
        raise _damaged(file)


def _extract(file: Path, raw: BinaryIO, draft: Path, report: Callable[[int], None]) -> None:
    """Names are checked one by one: each is a file of a node's, and given once."""
    raw.seek(0)
    places: dict[str, Path] = {CONFIG_NAME: draft / CONFIG_NAME}
    node: NodeConfig | None = None
    count = 0
    try:
        with tarfile.open(fileobj=raw, mode="r:") as archive:
            while (member := archive.next()) is not None:
                count += 1
                if member.name == HEADER_NAME:
                    continue
                path = places.pop(member.name, None)
                if path is None and node is not None:
                    path = _store_path(node, member.name)
                source = _content(archive, member)
                if path is None or source is None or path.exists() or count > FILES_MAX:
                    raise _foreign(file)
                _copy(source, path, _mode(member.name))
                report(archive.offset)
                if node is None:  # marsa.toml comes first, and says where the rest belongs
                    node = config.load(draft)
                    places = {name: at for name, at in _fixed_paths(node).items() if at != path}
    except tarfile.TarError:
        raise _damaged(file) from None
    if node is None:
        raise _foreign(file)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> IO[bytes] | None:
    """Of a plain file; links and devices have none that we read."""
    return archive.extractfile(member) if member is not None and member.isfile() else None


def _store_path(node: NodeConfig, name: str) -> Path | None:
    rest = name.removeprefix(_CHAIN)
    is_file = rest not in PART_NAMES and _STORE_FILE.fullmatch(rest) is not None
    is_known = name.startswith(_CHAIN) and is_file
    return node.chain_path / rest if is_known else None


def _copy(source: IO[bytes], path: Path, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if mode == PRIVATE_MODE else 0o755)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target, CHUNK_BYTES)


# Both.


def _check_chain(node: NodeConfig) -> int:
    """The height of a chain that a node could start with: no other is worth a copy."""
    read_genesis(node)
    kv = LevelDB.open(node.chain_path)
    try:
        chain = Chain.open(kv, is_archive=node.storage.archive)
        if chain.chain_id != node.genesis_hash:
            detail = f"{node.chain_path} holds another chain than {node.network.genesis_hash}"
            raise NodeError("wrong_chain", detail, "use the directory of one node")
        audit_boot(chain)
        return chain.height
    finally:
        kv.close()


def _foreign(file: Path) -> NodeError:
    return NodeError(
        "bad_backup", f"{file} is no backup of a node", "give a file of `marsa node backup`"
    )


def _damaged(file: Path) -> NodeError:
    return NodeError(
        "bad_backup",
        f"{file} is damaged or not whole: its hash is wrong",
        "take another copy of it; nothing was written",
    )
