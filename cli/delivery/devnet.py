"""The process that serves the orders of all issuers of a devnet, whose keys are public."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cli.delivery.jobs import BUILT_IN
from cli.delivery.service import Keys, Plan, Service, log_to_stderr
from cli.devnet import state
from cli.devnet.blueprint import Blueprint
from ledger import genesis
from ledger.crypto import SigningKey


def run_delivery_of(directory: Path) -> int:
    """What the process does: `directory` lies beside the nodes of its devnet."""
    log_to_stderr()
    place = state.load(directory.parent)
    made = genesis.load((place.directory / "genesis.json").read_bytes())
    blueprint = Blueprint.of(made)
    plan = Plan(
        chain_id=genesis.chain_id(made),
        keys=[_keys(blueprint, issuer) for issuer in blueprint.issuers],
        apis=[node.api for node in place.devnet.nodes],
        directory=directory,
        listen=("127.0.0.1", state.delivery_port(place.devnet)),
        endpoint="",
        jobs=BUILT_IN,
        period_ms=made.parameters.period_ms,
        tick_ms=made.parameters.economy.tick_ms,
    )
    asyncio.run(Service(plan).run())
    return 0


def _keys(blueprint: Blueprint, issuer: str) -> Keys:
    return Keys(
        issuer,
        SigningKey(blueprint.role_seed(issuer, "operations")),
        SigningKey(blueprint.role_seed(issuer, "metering")),
    )
