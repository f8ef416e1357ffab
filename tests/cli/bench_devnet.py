"""A devnet of one live node, for benchmarks at a small size in the test's own process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from cli.devnet.state import Devnet, DevnetNode
from ledger import genesis as genesis_rules
from ledger.address import encode_address
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import lock_of

FAUCET = "alice"


@contextlib.contextmanager
def bench_devnet(home: Path) -> Iterator[LiveNode]:
    """The node, and a devnet in `home` that consists of it and whose faucet is alice."""
    with live_node() as node:
        member = DevnetNode("val0", "val0", "val0", node.url, node.url, "127.0.0.1:1")
        devnet = Devnet(
            name="default",
            genesis_hash=node.world.chain_id.hex(),
            base_port=8640,
            seed=None,
            period_ms=60_000,
            accounts=2,
            nodes=(member,),
        )
        directory = home / "devnets" / "default"
        (directory / "nodes" / "val0").mkdir(parents=True)
        _write(directory / "devnet.json", devnet)
        address = encode_address(lock_of(FAUCET), "mrst")
        account = {"name": "faucet", "address": address, "seed": seed_of(FAUCET).hex()}
        _write(directory / "accounts.json", [account])
        (directory / "genesis.json").write_bytes(genesis_rules.dump(node.world.genesis))
        yield node


def seed_of(name: str) -> bytes:
    """As `tests.ledger.world.key` derives it."""
    return sha256(name.encode()).digest()


def _write(file: Path, value: object) -> None:
    file.touch(mode=0o600)
    file.write_bytes(msgspec.json.encode(value))
