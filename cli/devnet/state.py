"""A devnet on disk: a directory under MARSA_HOME/devnets, whole or not there at all.

    devnet.json            this module's `Devnet`: who, where, which chain
    genesis.json
    accounts.json          funded accounts, keys included
    issuers/ID.json        treasury keys
    nodes/val0/            one node's directory, as `marsa node init` would make it
    retired/val0/          that of a node which belongs to the devnet no more
    agents/                the process that keeps capacity and attestations fresh
    delivery/              the one that serves orders: its certificate, receipts of open ones
    links/                 the forwarder of a devnet made with --faults (`cli.devnet.forwarder`)

Addresses are on loopback only: API on base + i, peers on base + 100 + i, operations on
base + 200 + i. The forwarder listens in the gaps between these.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cli.accounts import PublicAccount
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import checked_name, devnets_dir, read_private

DEFAULT_NAME = "default"
DEFAULT_BASE_PORT = 8640
HOST = "127.0.0.1"
P2P_OFFSET = 100
OPERATIONS_OFFSET = 200
NODES_MAX = 32
"""Room for a port of each kind before the forwarder's."""
LINKED_NODES_MAX = 14
"""With a forwarder: a port for each pair and direction, in the gaps of one stride."""
PORTS_STRIDE = 300
"""Between the base ports of two devnets on one machine."""
BASE_PORT_MIN = 1024
BASE_PORT_MAX = 65_535 - PORTS_STRIDE


class DevnetNode(msgspec.Struct, frozen=True):
    """One node. `api` and `ops` are URLs, `p2p` is host:port, where no observer listens."""

    name: str
    licence: str
    """Empty for an observer."""
    issuer: str | None
    """The licence id, where it may issue coins."""
    api: str
    ops: str
    p2p: str
    role: Literal["validator", "observer"] = "validator"

    @property
    def is_observer(self) -> bool:
        return self.role == "observer"

    @property
    def ports(self) -> list[int]:
        return [int(text.rpartition(":")[2]) for text in (self.api, self.ops, self.p2p)]


class Devnet(msgspec.Struct, frozen=True, kw_only=True):
    """devnet.json."""

    version: Literal[1] = 1
    name: str
    genesis_hash: str
    base_port: Annotated[int, Meta(ge=BASE_PORT_MIN, le=BASE_PORT_MAX)]
    seed: int | None
    period_ms: int
    accounts: int
    faults: bool = False
    """Links lead through a forwarder, which can cut and delay them."""
    agents: bool = True
    """Agents of issuers and attestors keep capacity and attestations fresh."""
    nodes: tuple[DevnetNode, ...]

    @property
    def validators(self) -> tuple[DevnetNode, ...]:
        """Nodes with a licence, whether they have a seat or not."""
        return tuple(node for node in self.nodes if not node.is_observer)

    @property
    def observers(self) -> tuple[DevnetNode, ...]:
        return tuple(node for node in self.nodes if node.is_observer)

    @property
    def option(self) -> str:
        """What a command needs to mean this devnet and no other, with the space before it."""
        return option_of(self.name)

    def index_of(self, node: DevnetNode) -> int:
        """What its ports are counted by."""
        return node.ports[0] - self.base_port


@dataclass(frozen=True, slots=True)
class Place:
    """A devnet and the directory that it lives in."""

    directory: Path
    devnet: Devnet

    @property
    def nodes_dir(self) -> Path:
        return self.directory / "nodes"

    def node_dir(self, node: DevnetNode) -> Path:
        return self.nodes_dir / node.name

    def node(self, name: str) -> DevnetNode:
        """By its name, else by its licence; raises CliError with the names there are."""
        nodes = self.devnet.nodes
        found = [node for node in nodes if node.name == name]
        found += [node for node in nodes if name and node.licence == name]
        if found:
            return found[0]
        known = ", ".join(node.name for node in self.devnet.nodes)
        raise not_found(
            "unknown_node",
            f"devnet '{self.devnet.name}' has no node '{name}' (nodes: {known})",
            f"marsa devnet status{self.devnet.option}",
        )


def ports(base_port: int, index: int) -> tuple[int, int, int]:
    """API, operations and peer port of a node."""
    api = base_port + index
    return api, api + OPERATIONS_OFFSET, api + P2P_OFFSET


def ports_beside(base_port: int) -> tuple[int, int]:
    """Of the panel, and where the orders of its issuers are served: the last of its block."""
    return base_port + PORTS_STRIDE - 2, base_port + PORTS_STRIDE - 1


def panel_port(devnet: Devnet) -> int:
    return ports_beside(devnet.base_port)[0]


def delivery_port(devnet: Devnet) -> int:
    return ports_beside(devnet.base_port)[1]


def link_address(devnet: Devnet, dialler: DevnetNode, listener: DevnetNode) -> str:
    """Where `dialler` reaches `listener`: itself, or the forwarder's port for this pair."""
    return f"{HOST}:{link_port(devnet, dialler, listener)}" if devnet.faults else listener.p2p


def link_port(devnet: Devnet, dialler: DevnetNode, listener: DevnetNode) -> int:
    """The forwarder's port for a pair. It depends on these two nodes alone, not on how many
    others there are."""
    source, target = (node.ports[0] - devnet.base_port for node in (dialler, listener))
    pair = source * (LINKED_NODES_MAX - 1) + target - (target > source)
    gap, step = divmod(pair, P2P_OFFSET - NODES_MAX)
    return devnet.base_port + gap * P2P_OFFSET + NODES_MAX + step


def option_of(name: str) -> str:
    """As `Devnet.option`; `choose_name` knows the default."""
    return "" if name == DEFAULT_NAME else f" --name {name}"


def exists(name: str) -> bool:
    return (devnets_dir() / checked_name(name, "devnet") / "devnet.json").is_file()


def names() -> list[str]:
    """The devnets on this machine, in order of name."""
    return sorted(file.parent.name for file in devnets_dir().glob("*/devnet.json"))


def choose_name(name: str | None) -> str:
    """What a command without --name means: the only devnet there is, or `default`."""
    if name is not None:
        return checked_name(name, "devnet")
    known = names()
    return known[0] if len(known) == 1 else DEFAULT_NAME


def find(name: str | None) -> Place:
    """An existing devnet; raises CliError that lists those there are."""
    chosen = choose_name(name)
    directory = devnets_dir() / chosen
    file = directory / "devnet.json"
    if not file.is_file():
        known = ", ".join(names()) or "none yet"
        raise not_found(
            "unknown_devnet",
            f"there is no devnet '{chosen}' (devnets: {known})",
            f"marsa devnet up{option_of(chosen)}",
        )
    return load(directory)


def load(directory: Path) -> Place:
    """The devnet in a directory; raises CliError."""
    file = directory / "devnet.json"
    try:
        return Place(directory, msgspec.json.decode(read_private(file), type=Devnet))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CliError(
            "bad_devnet",
            f"{file} cannot be read: {error}",
            hint=f"remove the directory {directory} and make a new devnet",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def accounts(place: Place) -> list[PublicAccount]:
    """The funded accounts, and the faucet last."""
    data = read_private(place.directory / "accounts.json")
    return msgspec.json.decode(data, type=list[PublicAccount])


def check_base_port(base_port: int) -> int:
    """A base port with room for all that is counted from it."""
    if not BASE_PORT_MIN <= base_port <= BASE_PORT_MAX:
        raise usage_error(
            "bad_port",
            f"{base_port} cannot be a base port",
            f"choose {BASE_PORT_MIN} to {BASE_PORT_MAX}",
        )
    return base_port


def make_node(
    name: str, index: int, base_port: int, *, licence: str = "", issuer: str | None = None
) -> DevnetNode:
    """Whoever has no licence is an observer."""
    api, operations, p2p = ports(base_port, index)
    return DevnetNode(
        name=name,
        licence=licence,
        issuer=issuer,
        role="validator" if licence else "observer",
        api=f"http://{HOST}:{api}",
        ops=f"http://{HOST}:{operations}",
        p2p=f"{HOST}:{p2p}",
    )
