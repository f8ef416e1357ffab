"""A live node of a devnet of four whose files are in MARSA_HOME, as `devnet up` leaves them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from cli.devnet.blueprint import Blueprint
from ledger.genesis import chain_id, dump
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import TIME_MS, World

BLUEPRINT = Blueprint(nonce=b"\x11" * 32, time_ms=TIME_MS, accounts=5)
CHAIN_ID = chain_id(BLUEPRINT.genesis).hex()


@contextlib.contextmanager
def devnet_node(home: Path) -> Iterator[LiveNode]:
    """The node; every transaction that it takes is final at once."""
    with live_node(World(BLUEPRINT.genesis)) as node:
        directory = home / "devnets" / "default"
        directory.mkdir(parents=True)
        (directory / "genesis.json").write_bytes(dump(BLUEPRINT.genesis))
        nodes = [{"name": "val0", "api": node.url, "licence": BLUEPRINT.providers[0]}]
        write_json(directory / "devnet.json", {"genesis_hash": CHAIN_ID, "nodes": nodes})
        accounts = [
            {"name": holder.name, "address": holder.address, "seed": holder.seed.hex()}
            for holder in BLUEPRINT.holders
        ]
        write_json(directory / "accounts.json", accounts)
        yield node


def write_role_keys(file: Path, provider: str) -> Path:
    """roles.json of a provider of the devnet, as `genesis add-validator` writes such a file."""
    roles = ("operations", "treasury", "metering")
    seeds = {role: BLUEPRINT.role_seed(provider, role).hex() for role in roles}
    write_json(file, {"licence": provider, **seeds})
    return file


def write_json(file: Path, value: object) -> None:
    file.touch(mode=0o600)
    file.write_text(json.dumps(value))
