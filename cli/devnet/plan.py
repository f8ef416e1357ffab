"""Making a devnet: keys, genesis, node directories, databases; and moving or removing it.

It is built under another name and renamed when it is complete, so that a command that was
interrupted leaves no half of a devnet behind.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cli import key_files
from cli.devnet import launch
from cli.devnet.blueprint import NAMES, PERIOD_MS, SEEDED_TIME_MS, Blueprint, nonce_of_seed
from cli.devnet.state import (
    DEFAULT_BASE_PORT,
    LINKED_NODES_MAX,
    Devnet,
    DevnetNode,
    Place,
    link_address,
    make_node,
)
from cli.errors import CliError, ExitCode, usage_error
from cli.home import checked_name, devnets_dir, home, write_private
from ledger.genesis import Genesis, chain_id, dump
from node import config, config_text, keys
from node.files import sync_directory, write_atomic
from p2p.licence_cert import private_key_pem

VALIDATORS = 4
ACCOUNTS = len(NAMES)
NONCE_BYTES = 32
SOCKETS_PER_ADDRESS = 64
"""All nodes share one address, so this limit of a node must not be below that of all addresses."""
PUBLIC_NOTE = "public test key of a devnet: never use it elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """What was asked for; None where the default will do, or what an existing devnet has."""

    validators: int | None = None
    base_port: int | None = None
    accounts: int | None = None
    seed: int | None = None
    period_ms: int | None = None
    faults: bool | None = None
    observers: int | None = None
    agents: bool | None = None


def found(name: str, founding: Founding) -> Place:
    """Make a new devnet; raises CliError where the remains of another lie in its place."""
    directory = devnets_dir() / checked_name(name, "devnet")
    if directory.exists():
        raise CliError(
            "bad_devnet",
            f"{directory} exists without devnet.json; what is in it is kept",
            hint=f"restore that file, or move {directory} away and try again",
            exit_code=ExitCode.CHECK_FAILED,
        )
    blueprint = make_blueprint(
        founding.seed,
        validators=founding.validators or VALIDATORS,
        accounts=founding.accounts or ACCOUNTS,
        period_ms=founding.period_ms or PERIOD_MS,
    )
    base_port = founding.base_port or DEFAULT_BASE_PORT
    faults = bool(founding.faults)
    observers = founding.observers or 0
    check_links(blueprint.validators + observers, faults=faults)
    return create(
        name,
        blueprint,
        base_port=base_port,
        seed=founding.seed,
        faults=faults,
        observers=observers,
        agents=founding.agents is not False,
    )


def recreate(place: Place) -> Place:
    """Replace a devnet, whose nodes are down, by one of the same size with a new genesis."""
    old = place.devnet
    blueprint = make_blueprint(
        None, validators=len(old.validators), accounts=old.accounts, period_ms=old.period_ms
    )
    return create(
        old.name,
        blueprint,
        base_port=old.base_port,
        seed=None,
        faults=old.faults,
        observers=len(old.observers),
        agents=old.agents,
    )


def check_same(place: Place, founding: Founding) -> None:
    """What was asked for is what there is; raises CliError that names the difference."""
    devnet = place.devnet
    facts = (
        ("-n", founding.validators, len(devnet.validators)),
        ("--observers", founding.observers, len(devnet.observers)),
        ("--accounts", founding.accounts, devnet.accounts),
        ("--seed", founding.seed, devnet.seed),
        ("--period", founding.period_ms, devnet.period_ms),
    )
    for option, asked, there in facts:
        if asked not in (None, there):
            what = f"without {option}" if there is None else f"with {option} {there}"
            raise usage_error(
                "devnet_exists",
                f"devnet '{devnet.name}' exists {what}, not with {option} {asked}",
                "leave the option out to resume it, or make another one with --name",
            )


def make_blueprint(
    seed: int | None, *, validators: int, accounts: int, period_ms: int
) -> Blueprint:
    """Everything from the seed, its time too; without a seed a fresh nonce and a present time."""
    now_ms = time.time_ns() // 1_000_000
    return Blueprint(
        nonce=secrets.token_bytes(NONCE_BYTES) if seed is None else nonce_of_seed(seed),
        time_ms=now_ms - now_ms % period_ms if seed is None else SEEDED_TIME_MS,
        validators=validators,
        accounts=accounts,
        period_ms=period_ms,
    )


def create(
    name: str,
    blueprint: Blueprint,
    *,
    base_port: int,
    seed: int | None,
    faults: bool = False,
    observers: int = 0,
    agents: bool = True,
) -> Place:
    """Make a devnet on disk. An existing one of that name is replaced."""
    directory = devnets_dir() / checked_name(name, "devnet")
    draft = home() / f".devnet-{name}.new"
    if draft.exists():
        shutil.rmtree(draft)
    devnet = describe(name, blueprint, base_port=base_port, seed=seed, observers=observers)
    devnet = msgspec.structs.replace(devnet, faults=faults, agents=agents)
    place = Place(draft, devnet)
    write_founding(draft, blueprint)
    for node in devnet.nodes:
        write_node(place, blueprint, blueprint.genesis, node)
    launch.initialise_nodes([place.node_dir(node) for node in devnet.nodes])
    write_private(draft / "devnet.json", _json(devnet), replace=False)
    devnets_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory.exists():
        remove(Place(directory, devnet))
    draft.rename(directory)
    sync_directory(directory.parent)
    return Place(directory, devnet)


def remove(place: Place) -> None:
    """Delete a devnet. It is first renamed, so that no half of it is ever found."""
    doomed = home() / f".devnet-{place.devnet.name}.old"
    if doomed.exists():
        shutil.rmtree(doomed)
    place.directory.rename(doomed)
    shutil.rmtree(doomed)


def move(place: Place, base_port: int) -> Place:
    """Other ports for a devnet whose nodes are all down: addresses are no part of the chain."""
    devnet = msgspec.structs.replace(
        place.devnet,
        base_port=base_port,
        nodes=tuple(
            make_node(
                node.name,
                place.devnet.index_of(node),
                base_port,
                licence=node.licence,
                issuer=node.issuer,
            )
            for node in place.devnet.nodes
        ),
    )
    return _change(place, devnet)


def route(place: Place, *, faults: bool) -> Place:
    """Lead the links of a devnet, whose nodes are all down and not too many (`check_links`),
    through a forwarder, or past it."""
    return _change(place, msgspec.structs.replace(place.devnet, faults=faults))


def with_agents(place: Place, *, agents: bool) -> Place:
    """Whether agents keep capacity fresh, from the next `up` on, which also ends them."""
    devnet = msgspec.structs.replace(place.devnet, agents=agents)
    write_private(place.directory / "devnet.json", _json(devnet), replace=True)
    return Place(place.directory, devnet)


def check_links(nodes: int, *, faults: bool) -> None:
    """A forwarder has ports for all their links; raises CliError."""
    if faults and nodes > LINKED_NODES_MAX:
        raise usage_error(
            "too_many_nodes",
            f"--faults has ports for the links of {LINKED_NODES_MAX} nodes, not of {nodes}",
            f"make a smaller devnet: marsa devnet up --faults -n {LINKED_NODES_MAX} --name small",
        )


def _change(place: Place, devnet: Devnet) -> Place:
    """Write what holds addresses, and nothing else of it: the settings of each node, which learns
    at its next start where it is and whom to dial, and devnet.json last. Raises CliError before
    anything is written."""
    changed = Place(place.directory, devnet)
    before = {node.name: node.ports for node in place.devnet.nodes}
    texts = {}
    for node in devnet.nodes:
        path = changed.node_dir(node) / config.CONFIG_NAME
        text = config_text.with_peers(path.read_text(), _peers(devnet, node))
        texts[path] = text if node.ports == before.get(node.name) else _moved(path, text, node)
    for path, text in texts.items():
        write_atomic(path, text.encode(), keys.PUBLIC_MODE)
    write_private(place.directory / "devnet.json", _json(devnet), replace=True)
    return changed


def _moved(path: Path, text: str, node: DevnetNode) -> str:
    for section, address in _listens(node).items():
        before, text = text, config_text.with_listen(text, section, address)
        if text == before and address not in text:
            raise CliError(
                "bad_config",
                f"{path}: no line 'listen = …' of [{section}] could be changed to {address}",
                hint="write it on a line of its own, as `marsa node init` does",
                exit_code=ExitCode.CHECK_FAILED,
            )
    return text


def devnet_with(devnet: Devnet, nodes: Sequence[DevnetNode]) -> Devnet:
    """The same with these nodes."""
    return msgspec.structs.replace(devnet, nodes=tuple(nodes))


def with_nodes(place: Place, nodes: Sequence[DevnetNode]) -> Place:
    """The devnet with these nodes."""
    return _change(place, devnet_with(place.devnet, nodes))


def describe(
    name: str, blueprint: Blueprint, *, base_port: int, seed: int | None, observers: int = 0
) -> Devnet:
    """The devnet that a blueprint makes."""
    issuers, providers = blueprint.issuers, blueprint.providers
    validators = [
        make_node(
            f"val{index}",
            index,
            base_port,
            licence=licence,
            issuer=licence if licence in issuers else None,
        )
        for index, licence in enumerate(providers)
    ]
    following = [
        make_node(f"obs{index}", len(providers) + index, base_port) for index in range(observers)
    ]
    return Devnet(
        name=name,
        genesis_hash=chain_id(blueprint.genesis).hex(),
        base_port=base_port,
        seed=seed,
        period_ms=blueprint.period_ms,
        accounts=blueprint.accounts,
        nodes=(*validators, *following),
    )


def write_everything(directory: Path, blueprint: Blueprint) -> None:
    """A new directory with genesis, the authority's key and the keys of all nodes."""
    write_founding(directory, blueprint)
    pem = private_key_pem(blueprint.authority_key)
    write_atomic(directory / "authority-key.pem", pem, keys.PRIVATE_MODE)
    for provider in blueprint.providers:
        _write_keys(directory / "nodes" / provider, blueprint, provider)
    key_files.save_regulator(directory / "regulator", blueprint.regulator_seeds)


def write_founding(directory: Path, blueprint: Blueprint) -> None:
    """genesis.json and the public keys of accounts and issuers."""
    directory.mkdir(parents=True, mode=0o700)
    write_atomic(directory / "genesis.json", dump(blueprint.genesis), keys.PUBLIC_MODE)
    accounts = [
        {"name": holder.name, "address": holder.address, "seed": holder.seed.hex()}
        for holder in blueprint.holders
    ]
    write_private(directory / "accounts.json", _json(accounts), replace=False)
    for issuer in blueprint.issuers:
        seed = blueprint.role_seed(issuer, "treasury")
        data = _json({"issuer": issuer, "treasury_seed": seed.hex()})
        write_private(directory / "issuers" / f"{issuer}.json", data, replace=False)


def _write_keys(directory: Path, blueprint: Blueprint, provider: str) -> None:
    """The two keys that a node itself needs, as `marsa node init --keys` takes them."""
    directory.mkdir(parents=True, mode=0o700)
    consensus = blueprint.role_seed(provider, "consensus")
    keys.save_consensus_key(directory / "consensus.json", consensus, note=PUBLIC_NOTE)
    keys.save_link_key(directory / "link.pem", blueprint.role_seed(provider, "link"))


def write_node(place: Place, blueprint: Blueprint, genesis: Genesis, node: DevnetNode) -> None:
    """A node's directory, but for its database."""
    directory = place.node_dir(node)
    directory.mkdir(parents=True, mode=0o700)
    if not node.is_observer:
        _write_keys(directory / "keys", blueprint, node.licence)
        grant = blueprint.newcomer(node.licence, genesis)
        keys.save_certificate(directory / "licence.pem", grant.certificate)
    keys.save_certificate(directory / "authority.pem", genesis.authority.certificate)
    write_atomic(directory / "genesis.json", dump(genesis), keys.PUBLIC_MODE)
    _write_config(place, node)


def _write_config(place: Place, node: DevnetNode) -> None:
    text = config_text.template(_options(place.devnet, node))
    path = place.node_dir(node) / config.CONFIG_NAME
    write_atomic(path, text.encode(), keys.PUBLIC_MODE)


def _listens(node: DevnetNode) -> dict[str, str]:
    """Address by section of the settings."""
    api, operations = (url.removeprefix("http://") for url in (node.api, node.ops))
    return {"p2p": node.p2p, "api": api, "operations": operations}


def _options(devnet: Devnet, node: DevnetNode) -> config.Options:
    listens = _listens(node)
    return config.Options(
        role=node.role,
        licence=node.licence,
        name=node.name if node.is_observer else "",
        network=config.NetworkSection(genesis_hash=devnet.genesis_hash),
        p2p=config.LinksSection(
            listen=listens["p2p"],
            unauthenticated_per_address_max=SOCKETS_PER_ADDRESS,
            peers=_peers(devnet, node),
        ),
        api=config.ApiSection(listen=listens["api"]),
        operations=config.OperationsSection(listen=listens["operations"]),
        verify=config.VerifySection(processes=0),
    )


def _peers(devnet: Devnet, node: DevnetNode) -> dict[str, str]:
    """Everybody dials all validators."""
    return {
        other.licence: link_address(devnet, node, other)
        for other in devnet.validators
        if other.name != node.name
    }


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
