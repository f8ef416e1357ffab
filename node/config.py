"""A node's own settings: `marsa.toml` in its directory, validated once and frozen.

What all nodes of a chain must agree on is in genesis.json and never here. An option is documented
where it is declared, and `node.config_text` writes that text into the file of `marsa node init`.
Precedence: flag (`--set api.listen=...`), then the environment (`MARSA_API_LISTEN`), then the
file, then what is built in. Unknown keys are errors: a misspelt limit must not be ignored.

A node's directory holds everything that belongs to it; paths in the file are relative to it.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from ledger.amounts import parse_number
from ledger.codec import Slug
from node.errors import NodeError

CONFIG_NAME = "marsa.toml"
ADMIN_SOCKET_NAME = "admin.sock"
CONFIG_BYTES_MAX = 256 * 1024
"""Far above a file with 31 peers; a wrong path to something huge is not read into memory."""
PEERS_MAX = 128
SOCKET_PATH_MAX = 100
"""Systems take 104 bytes and more for a socket's path."""
SNAPSHOT_DISTANCE = 10_000
"""Blocks behind. Fewer are fetched one by one, in five minutes at most."""
ENVIRONMENT_PREFIX = "MARSA_"
MIB = 1 << 20

_SLUG_OR_EMPTY = r"^(?:[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?)?\Z"
_ADDRESS = re.compile(
    r"(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9.-]{1,253})):([0-9]{1,5})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Only this machine reaches it. For an address that one listens on."""
        return ipaddress.ip_address(self.host).is_loopback


def parse_address(text: str) -> Address:
    """'127.0.0.1:8640', 'node.example:8640' or '[::1]:8640'; raises ValueError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > 65_535:
        raise ValueError(f"{text!r} is no address: write host:port, as in 127.0.0.1:8640")
    return Address(match[1] or match[2], int(match[3]))


def parse_listen(text: str) -> Address:
    """As `parse_address`, and the host is an address of this machine, not a name."""
    address = parse_address(text)
    ipaddress.ip_address(address.host)
    return address


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the tables of the file."""


class NetworkSection(Section, frozen=True, kw_only=True):
    """Which chain this node belongs to."""

    genesis: Annotated[str, Meta(description="The chain's genesis file.")] = "genesis.json"
    genesis_hash: Annotated[
        str,
        Meta(
            pattern=r"^[0-9a-f]{64}\Z",
            description="The chain's identity: the node refuses to start with another genesis.",
        ),
    ]


class LinksSection(Section, frozen=True):
    """Links with other nodes."""

    listen: Annotated[
        str, Meta(description="Where other nodes reach this one; 0.0.0.0 for every interface.")
    ] = "127.0.0.1:8740"
    unauthenticated_max: Annotated[
        int,
        Meta(ge=1, le=4096, description="Accepted sockets that have not said who they are yet."),
    ] = 64
    unauthenticated_per_address_max: Annotated[
        int, Meta(ge=1, le=4096, description="Of these, from one address, or one /64 of IPv6.")
    ] = 8
    peers: Annotated[
        dict[Slug, str],
        Meta(max_length=PEERS_MAX, description="The other validators: licence = host:port."),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        parse_listen(self.listen)
        for text in self.peers.values():
            parse_address(text)

    @property
    def listen_address(self) -> Address:
        return parse_listen(self.listen)

    @property
    def peer_addresses(self) -> dict[str, Address]:
        """Where each configured peer listens, by licence."""
        return {licence: parse_address(text) for licence, text in self.peers.items()}


class ApiSection(Section, frozen=True):
    """The HTTP API for clients."""

    listen: Annotated[str, Meta(description="Where the API is served.")] = "127.0.0.1:8640"
    public: Annotated[
        bool,
        Meta(description="Allow another address than loopback, behind a proxy that ends TLS."),
    ] = False
    hosts: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...],
        Meta(
            max_length=16,
            description="Names by which clients may call it, beside those of loopback.",
        ),
    ] = ()
    connections_per_address_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1280,
            description="Of one address, loopback aside; a proxy on another machine needs more.",
        ),
    ] = 16
    rate_per_address: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Requests a second of one address, by weight, loopback aside; a proxy on"
            " another machine needs more.",
        ),
    ] = 400

    def __post_init__(self) -> None:
        if not self.listen_address.is_loopback and not self.public:
            raise ValueError(f"{self.listen} is not loopback, which needs api.public = true")

    @property
    def listen_address(self) -> Address:
        return parse_listen(self.listen)


class OperationsSection(Section, frozen=True):
    """Health and metrics, for whoever runs the node."""

    listen: Annotated[
        str, Meta(description="Where /livez, /readyz, /metrics and /version are served.")
    ] = "127.0.0.1:8840"

    def __post_init__(self) -> None:
        parse_listen(self.listen)

    @property
    def listen_address(self) -> Address:
        return parse_listen(self.listen)


class StorageSection(Section, frozen=True):
    """The database."""

    directory: Annotated[str, Meta(min_length=1, description="Where the chain is kept.")] = "chain"
    reject_below_mib: Annotated[
        int,
        Meta(ge=0, le=1 << 20, description="With less free space no transactions are accepted."),
    ] = 1024
    stop_voting_below_mib: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 20,
            description="With less free space the node stops voting, before a write can fail.",
        ),
    ] = 256
    archive: Annotated[
        bool,
        Meta(
            description="Keep the transactions of all blocks; else those of the last 1,000, and "
            "of older blocks what proves them."
        ),
    ] = True

    def __post_init__(self) -> None:
        if self.stop_voting_below_mib > self.reject_below_mib:
            raise ValueError("stop_voting_below_mib is above reject_below_mib")

    @property
    def reject_below_bytes(self) -> int:
        return self.reject_below_mib * MIB

    @property
    def stop_voting_below_bytes(self) -> int:
        return self.stop_voting_below_mib * MIB


class SyncSection(Section, frozen=True):
    """Catching up with the network."""

    snapshot_distance: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 40,
            description="So many blocks behind, the node takes the state at the end of an epoch "
            "instead of the blocks below it. 0: never, it fetches every block.",
        ),
    ] = SNAPSHOT_DISTANCE


class VerifySection(Section, frozen=True):
    """Signatures of transactions, which are half of a node's work."""

    processes: Annotated[
        int,
        Meta(
            ge=-1,
            le=8,
            description="So many further processes verify them, each of which wants a core. "
            "-1: one for each core but the first; 0: the node does it alone, for a machine that "
            "runs several nodes.",
        ),
    ] = -1


class LogSection(Section, frozen=True):
    """One event a line, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description='"debug", "info", "warning" or "error".'),
    ] = "info"
    format: Annotated[
        Literal["key=value", "json"], Meta(description='"key=value" for people, or "json".')
    ] = "key=value"


class Options(Section, frozen=True, kw_only=True):
    """The whole file."""

    role: Annotated[
        Literal["validator", "observer"],
        Meta(
            description='"validator" votes once its licence has a seat, and follows until then; '
            '"observer" has no licence and only follows.'
        ),
    ] = "validator"
    licence: Annotated[
        str, Meta(pattern=_SLUG_OR_EMPTY, description="The licence id of this validator.")
    ] = ""
    name: Annotated[
        str, Meta(pattern=_SLUG_OR_EMPTY, description="What an observer is called.")
    ] = ""
    signer: Annotated[
        str,
        Meta(
            max_length=SOCKET_PATH_MAX,
            description="The socket of the process that holds the consensus key, in place of "
            "keys/consensus.json: marsa validator signer.",
        ),
    ] = ""
    network: NetworkSection
    p2p: LinksSection = LinksSection()
    api: ApiSection = ApiSection()
    operations: OperationsSection = OperationsSection()
    storage: StorageSection = StorageSection()
    sync: SyncSection = SyncSection()
    verify: VerifySection = VerifySection()
    log: LogSection = LogSection()

    def __post_init__(self) -> None:
        if self.role == "observer":
            if self.licence or not self.name:
                raise ValueError("an observer has a `name` and no `licence`")
            if self.signer:
                raise ValueError("an observer has no key, and no `signer` for it")
        elif self.name or not self.licence:
            raise ValueError("a validator has a `licence`, and no other `name`")
        if self.licence in self.p2p.peers:
            raise ValueError(f"p2p.peers lists '{self.licence}', which is this node itself")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node's directory and its options."""

    directory: Path
    role: Literal["validator", "observer"]
    licence: str
    """Empty for an observer."""
    name: str
    """What this node is called in logs: its licence, or an observer's own name."""
    signer: str
    network: NetworkSection
    p2p: LinksSection
    api: ApiSection
    operations: OperationsSection
    storage: StorageSection
    sync: SyncSection
    verify: VerifySection
    log: LogSection

    @classmethod
    def of(cls, directory: Path, options: Options) -> NodeConfig:
        fields = {name: getattr(options, name) for name in Options.__struct_fields__}
        return cls(directory=directory, **{**fields, "name": options.name or options.licence})

    @property
    def is_observer(self) -> bool:
        return self.role == "observer"

    @property
    def genesis_hash(self) -> bytes:
        return bytes.fromhex(self.network.genesis_hash)

    @property
    def genesis_path(self) -> Path:
        return self.directory / self.network.genesis

    @property
    def consensus_key_path(self) -> Path:
        return self.directory / "keys" / "consensus.json"

    @property
    def signer_path(self) -> Path | None:
        """Relative where it can be, as `admin_socket_path`; None while the key is a file here."""
        return _socket_path(self.directory.resolve() / self.signer) if self.signer else None

    @property
    def key_place(self) -> str:
        """Where the consensus key is, for people; empty for an observer."""
        if self.is_observer:
            return ""
        return f"signer {self.signer}" if self.signer else "file keys/consensus.json"

    @property
    def link_key_path(self) -> Path:
        return self.directory / "keys" / "link.pem"

    @property
    def licence_path(self) -> Path:
        """The licence certificate, PEM."""
        return self.directory / "licence.pem"

    @property
    def authority_path(self) -> Path:
        """The authority's certificate, PEM."""
        return self.directory / "authority.pem"

    @property
    def chain_path(self) -> Path:
        return self.directory / self.storage.directory

    @property
    def votes_path(self) -> Path:
        return self.directory / "votes.wal"

    @property
    def admin_socket_path(self) -> Path:
        """Relative where it can be: a socket's path may have some 100 bytes only, so whoever binds
        or connects works in the node's directory.
        """
        return _socket_path(self.directory.resolve() / ADMIN_SOCKET_NAME)


def _socket_path(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def load(
    directory: Path,
    *,
    flags: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> NodeConfig:
    """Read a directory's marsa.toml; raises NodeError that names the file and the key.

    `flags` maps `section.key` to a value; `environment` is that of the process, or nothing.
    """
    return NodeConfig.of(directory, read_options(directory, flags, environment)[0])


def read_options(
    directory: Path, flags: Mapping[str, str] | None, environment: Mapping[str, str] | None
) -> tuple[Options, dict[str, str]]:
    """As `load`: the options, and where each came from that is not built in, by `section.key`."""
    path = directory / CONFIG_NAME
    table = _read_toml(path)
    origins = dict.fromkeys(_names_in(table), CONFIG_NAME)
    types = dict(_scalar_options(Options, ""))
    for name, kind in types.items():
        variable = environment_name(name)
        value = (environment or {}).get(variable)
        if value is not None:
            _put(table, name, _of_text(kind, value, variable))
            origins[name] = variable
    for name, value in (flags or {}).items():
        if name not in types:
            known = ", ".join(types)
            raise NodeError("bad_config", f"there is no option '{name}'", f"the options: {known}")
        _put(table, name, _of_text(types[name], value, f"--set {name}"))
        origins[name] = f"--set {name}"
    return convert(table, str(path)), origins


def _names_in(table: Mapping[str, object]) -> Iterator[str]:
    """The options that a file sets, as `section.key`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from (f"{name}.{key}" for key in value)
        else:
            yield name


def convert(table: Mapping[str, object], source: str) -> Options:
    """Options from a table; raises NodeError that names the key. `source` is where it is from."""
    try:
        return msgspec.convert(table, Options)
    except msgspec.ValidationError as error:
        sentence = str(error).replace(" - at `$.", " - at `").replace("field `", "key `")
        raise NodeError("bad_config", f"{source}: {sentence}", f"correct {source}") from None


def environment_name(option: str) -> str:
    """The variable that overrides `section.key`."""
    return ENVIRONMENT_PREFIX + option.replace(".", "_").upper()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NodeError(
            "no_node",
            f"{path.parent} is no node's directory: it has no {CONFIG_NAME}",
            "marsa node init DIRECTORY --genesis FILE",
        ) from None
    if len(data) > CONFIG_BYTES_MAX:
        raise NodeError("bad_config", f"{path} is larger than {CONFIG_BYTES_MAX} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NodeError("bad_config", f"{path}: {error}", f"correct {path}") from None


def _scalar_options(kind: type[Section], prefix: str) -> Iterator[tuple[str, object]]:
    """The options that one line of text can set, all but lists and tables, with their types."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            yield from _scalar_options(field.type, f"{field.name}.")
        elif field.name not in ("peers", "hosts"):
            yield prefix + field.name, get_args(field.type)[0]


def _of_text(kind: object, text: str, source: str) -> int | bool | str:
    """The value that a variable or flag means; raises NodeError."""
    found: int | bool | str | None = text
    wanted = ""
    if kind is int:
        found, wanted = parse_number(text), "a number: write it in digits 0-9"
    elif kind is bool:
        found, wanted = {"true": True, "false": False}.get(text), "true or false"
    if found is None:
        raise NodeError("bad_config", f"{source}: {text!r} is not {wanted}", f"correct {source}")
    return found


def _put(table: dict[str, Any], name: str, value: int | bool | str) -> None:
    section, _, key = name.rpartition(".")
    target = table.setdefault(section, {}) if section else table
    if isinstance(target, dict):  # else the conversion names the fault
        target[key] = value
