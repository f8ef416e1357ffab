"""`marsa audit`: what a node serves, checked against the genesis file and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Group, examples, settings
from cli.errors import CliError, ExitCode, usage_error
from cli.output import emit
from ledger.times import rfc3339

if TYPE_CHECKING:
    from cli.audit_chain import Fault, Replay
    from cli.nodes import Node
    from ledger.genesis import Genesis

CHAIN_SCHEMA = "marsa.audit.chain/1"

genesis_option = click.option(
    "--genesis",
    "genesis_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The genesis file that you trust; that of the devnet on this machine unless given.",
)


@click.command(
    "audit",
    cls=Group,
    table={
        "reserve": (
            "cli.audit_bundle:reserve",
            "Every issuer's coins against its reserve, with proof.",
        ),
        "verify-bundle": ("cli.audit_bundle:verify_bundle", "Check such a proof offline."),
        "forensics": ("cli.audit_forensics:forensics", "Who made contradicting blocks final."),
    },
    help=f"""{examples("marsa audit chain", "marsa audit reserve --issuer acme --json")}

Check what a node serves against the genesis file. Nothing else is trusted. Exit code 9 when it does
not hold.
""",
)
def audit() -> None:
    """Group of commands."""


@audit.command(
    "chain",
    short_help="Run the whole chain again and compare every root.",
    help=f"""{examples("marsa audit chain", "marsa audit chain --genesis genesis.json --json")}

Download all headers, certificates and blocks and check them from the genesis on: links, a quorum's
signatures, every transaction, every state root; then count supply, bonds, reserves, pledged devices
and deadlines again.
""",
)
@genesis_option
def chain(genesis_file: Path | None) -> int:
    """Stops at the first fault."""
    from cli import audit_chain, nodes
    from cli.audit_chain import AuditFailed, Replay
    from cli.progress import Progress

    fault = None
    with nodes.connected() as node:
        genesis = _genesis(node, genesis_file)
        target = node.client.status().sync.height
        state = Replay(genesis)
        try:
            with Progress("auditing the chain", target, "blocks") as progress:
                audit_chain.audit(node.client, state, target, progress.reach)
        except AuditFailed as error:
            fault = error.fault
    if fault is not None and not settings().json:
        raise _chain_failed(fault, state)
    emit(CHAIN_SCHEMA, _chain_json(state, fault), lambda: _chain_text(state))
    return ExitCode.OK if fault is None else ExitCode.CHECK_FAILED


def genesis_path(node: Node, file: Path | None) -> Path:
    """The file given, or the one of the devnet whose chain the node is on."""
    from cli.accounts import devnets

    chosen = file
    if chosen is None:
        files = [directory / "genesis.json" for directory in devnets(node.chain_id)]
        chosen = next((path for path in files if path.is_file()), None)
    if chosen is None:
        raise usage_error(
            "genesis_needed",
            f"no devnet on this machine has the chain {node.chain_id} of {node.client.url}",
            "name the genesis file that you trust with --genesis FILE",
        )
    return chosen


def _genesis(node: Node, file: Path | None) -> Genesis:
    """What is trusted, of the chain that the node is on."""
    from cli.genesis import read_genesis
    from ledger.genesis import chain_id

    chosen = genesis_path(node, file)
    genesis = read_genesis(chosen)
    expected = chain_id(genesis).hex()
    if node.chain_id != expected:
        raise CliError(
            "wrong_chain",
            f"{node.client.url} is on chain {node.chain_id}, {chosen} is of chain {expected}",
            hint="ask a node of that chain with --node URL, or use the genesis file of this one",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return genesis


def _chain_failed(fault: Fault, state: Replay) -> CliError:
    return CliError(
        fault.code,
        f"the chain does not hold at height {fault.height}: {fault.detail}",
        hint=f"blocks up to height {state.height} are good; compare with another node: --node URL",
        exit_code=ExitCode.CHECK_FAILED,
    )


def _chain_json(state: Replay, fault: Fault | None) -> dict[str, object]:
    """`height` is the last one that holds; `fault` is what stands behind it."""
    return {
        "height": state.height,
        "blocks": state.height,
        "transactions": state.transactions,
        "unspent_outputs": state.unspent,
        "chain_id": state.head.header.chain_id.hex(),
        "hash": state.head.hash.hex(),
        "state_root": state.head.header.state_root.hex(),
        "ok": fault is None,
        "fault": None
        if fault is None
        else {"height": fault.height, "code": fault.code, "detail": fault.detail},
    }


def _chain_text(state: Replay) -> str:
    head = state.head
    return "\n".join(
        [
            f"chain       {head.header.chain_id.hex()}",
            f"height      {state.height}, {rfc3339(head.header.time_ms)}",
            f"executed    {state.transactions:,} transactions, every state root as signed",
            f"counted     {state.unspent:,} unspent outputs, with supply, bonds and reserves",
            f"state root  {head.header.state_root.hex()}",
            "the chain holds",
        ]
    )
