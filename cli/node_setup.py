"""Making, checking and talking to a node's directory."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from cli.devnet import sockets
from cli.errors import CliError, ExitCode, usage_error
from cli.output import Waiting
from cli.units import quoted
from ledger.genesis import Genesis, chain_id, dump
from node import app, config, config_text, keys
from node.api import schemas
from node.api.problems import ApiCode
from node.config import NodeConfig
from node.disk import DirectoryLock, storage_errors
from node.errors import NodeError
from node.files import sync_directory, write_atomic

ADMIN_TIMEOUT_S = 5.0
ANSWER_BYTES_MAX = 64 * 1024
POLL_S = 0.1


def load(directory: Path, assignments: Sequence[str]) -> NodeConfig:
    """A node's options with `section.key=value` of the command line and the environment."""
    path = directory.absolute()
    return config.load(path, flags=_flags(assignments), environment=os.environ)


def read_options(
    directory: Path, assignments: Sequence[str]
) -> tuple[config.Options, dict[str, str]]:
    """The same options, and where each came from that is not built in."""
    return config.read_options(directory.absolute(), _flags(assignments), os.environ)


def _flags(assignments: Sequence[str]) -> dict[str, str]:
    flags = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator:
            raise usage_error("usage", f"{text!r} is not of the form OPTION=VALUE")
        flags[name] = value
    return flags


def init(
    directory: Path,
    genesis: Genesis,
    licence: str,
    key_directory: Path | None,
    *,
    addresses: Mapping[str, str],
    peers: Mapping[str, str],
    source: str = "the command line",
) -> NodeConfig:
    """Make a directory under another name and move it into place when a node could start in it.

    Without keys it is that of an observer, which `licence` names. `source` is where the addresses
    are from, for messages.
    """
    if directory.exists() and any(directory.iterdir()):
        raise usage_error(
            "directory_not_empty",
            f"{directory} is not empty and is not changed",
            "choose a new directory, or start the node that lives there: marsa node run",
        )
    is_observer = key_directory is None
    table = _options(genesis, licence, addresses, peers, is_observer=is_observer)
    # Converted rather than constructed: what was typed is checked like what is read.
    options = config.convert(table, source)
    directory = directory.absolute()  # "." has no name beside which another could stand
    draft = directory.with_name(f".{directory.name}.new")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(parents=True)
    try:
        if key_directory is not None:
            _copy_keys(draft, genesis, licence, key_directory)
        keys.save_certificate(draft / "authority.pem", genesis.authority.certificate)
        write_atomic(draft / "genesis.json", dump(genesis), keys.PUBLIC_MODE)
        write_atomic(
            draft / config.CONFIG_NAME, config_text.template(options).encode(), keys.PUBLIC_MODE
        )
        app.init_node(config.load(draft))
        if directory.exists():
            directory.rmdir()
        draft.rename(directory)
    except (NodeError, OSError):
        shutil.rmtree(draft)
        raise
    sync_directory(directory.resolve().parent)
    return config.load(directory)


def _copy_keys(draft: Path, genesis: Genesis, licence: str, source: Path) -> None:
    """Both keys, and the certificate: that of genesis, else the one beside the keys."""
    (draft / "keys").mkdir(mode=0o700)
    for name in ("consensus.json", "link.pem"):
        write_atomic(draft / "keys" / name, keys.read_private(source / name), keys.PRIVATE_MODE)
    grant = keys.find_grant(genesis, licence)
    if grant is not None:
        keys.save_certificate(draft / "licence.pem", grant.certificate)
        return
    path = source / "licence.pem"
    if not path.is_file():
        seats = ", ".join(item.id for item in genesis.licences if item.validator)
        raise NodeError(
            "unknown_licence",
            f"'{licence}' has no licence in this genesis, and {path} does not exist",
            "the validators of genesis are: "
            f"{seats}. A new one gets its certificate with its keys: marsa validator grant",
        )
    keys.save_certificate(draft / "licence.pem", keys.load_certificate(path))


def check(node: NodeConfig) -> str:
    """Everything that could keep a node from starting; raises NodeError. See `app.check_node`."""
    check_addresses(node)
    return app.check_node(node)


def check_addresses(node: NodeConfig) -> None:
    """Nobody has the directory or the ports of the node; raises NodeError."""
    with storage_errors(), DirectoryLock(node.directory):
        for section in ("p2p", "api", "operations"):
            if section == "p2p" and node.is_observer:
                continue  # it dials, and nobody dials it
            _check_port(section, getattr(node, section).listen_address)


def recover(node: NodeConfig, wait_ms: int) -> None:
    """Tell a running node that its key may vote again, and wait until it does.

    It takes the word once enough other validators said where they stand: until then it is told
    again. Raises CliError.
    """
    is_taken = False
    with Waiting(f"waiting until '{node.licence}' votes", wait_ms) as waiting:
        while True:
            refusal = None if is_taken else _refusal(node)
            is_taken = refusal is None
            status = msgspec.json.decode(_ask_admin(node, "GET", "/status"), type=schemas.Status)
            if status.consensus.is_voting or not status.consensus.has_seat:
                if refusal is not None:
                    raise refusal  # there was nothing to recover
                return
            waiting.because(status.consensus.reason if refusal is None else refusal.message)
            if waiting.left_ms == 0:
                raise refusal or CliError(
                    "not_voting_yet",
                    f"it does not vote yet: {waiting.reason}",
                    hint="marsa node status -w",
                    exit_code=ExitCode.TIMEOUT,
                    details={"accepted": "recover"},
                )
            time.sleep(POLL_S)


def _refusal(node: NodeConfig) -> CliError | None:
    """Why the node does not take the operator's word, for now; None when it takes it."""
    try:
        _ask_admin(node, "POST", "/recover")
    except CliError as error:
        if error.code != ApiCode.NOT_RECOVERABLE.value:
            raise
        return error
    return None


def _options(
    genesis: Genesis,
    licence: str,
    addresses: Mapping[str, str],
    peers: Mapping[str, str],
    *,
    is_observer: bool,
) -> dict[str, object]:
    """What marsa.toml will say."""
    who = {"role": "observer", "name": licence} if is_observer else {"licence": licence}
    table: dict[str, object] = {
        **who,
        "network": {"genesis_hash": chain_id(genesis).hex()},
        "p2p": {"peers": dict(peers)},
    }
    for section, listen in addresses.items():
        table[section] = {"listen": listen, **({"peers": dict(peers)} if section == "p2p" else {})}
    return table


def _check_port(section: str, address: config.Address) -> None:
    if sockets.is_free(address.port, address.host):
        return
    owner = sockets.owner_of(address.port)
    raise NodeError(
        "port_in_use",
        f"{section}.listen: {address} is in use" + (f" by {owner}" if owner else ""),
        f"end that process, or choose another port: --set {section}.listen={address.host}:PORT",
    )


def _ask_admin(node: NodeConfig, method: str, path: str) -> bytes:
    """One request to the admin socket; raises CliError with what the node says."""
    os.chdir(node.directory)  # a socket's path may have some 100 bytes only
    connection = _UnixConnection(node.admin_socket_path)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        data = response.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise CliError(
            "unreachable",
            f"no node runs in {node.directory}: {error}",
            hint=f"marsa node run {quoted(node.directory)}",
            exit_code=ExitCode.UNREACHABLE,
        ) from None
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        problem = msgspec.json.decode(data, type=schemas.Problem)
        raise CliError(problem.code, problem.detail, hint=problem.hint, exit_code=ExitCode.REJECTED)
    return data


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system, whose rights say who may ask."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ADMIN_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ADMIN_TIMEOUT_S)
        self.sock.connect(str(self._path))
