"""`marsa tx inspect|combine|finalize|submit`: a transaction that several hands sign.

Combining needs no node. What is missing, and whether it would be taken, only a node can tell.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, examples
from cli.output import emit, note
from cli.send_options import wait_of, waited
from cli.tx import outcome_text
from cli.tx_create import PTX
from cli.tx_text import (
    body_text,
    document_json,
    names_of_keys,
    need_json,
    signers_text,
    standing_text,
)
from cli.units import counted, quoted

if TYPE_CHECKING:
    from cli.nodes import Node
    from cli.payments import Outcome
    from cli.tx_file import Facts
    from cli.wallet.ptx import Need, Ptx
    from ledger.transaction import SignedTransaction


@click.command(
    "inspect",
    cls=Command,
    short_help="What a file would do, who has signed it, who is missing.",
    help=f"""{
        examples(
            "marsa tx inspect rent.ptx",
            "marsa tx inspect admit.ptx --offline --json",
        )
    }

Show what a file would do, in words made from what is signed; then who has signed, and, as a node
tells, who may sign and what would make the network refuse it now.
""",
)
@click.argument("file", type=PTX, metavar="FILE.ptx")
@click.option("--offline", is_flag=True, help="Ask no node: what is missing stays unsaid.")
def inspect(file: Path, offline: bool) -> None:
    """Never fails for what is only missing."""
    from cli import nodes, tx_file

    ptx = tx_file.read(file)
    if offline:
        value = {**document_json(ptx), "complete": None, "needs": None, "faults": None}
        emit("marsa.tx.inspect/1", value, lambda: body_text(ptx) + "\n" + signers_text(ptx))
        return
    with nodes.connected() as node:
        facts = tx_file.ask_node(node, file, ptx)
    needs = _needs(ptx, facts)
    closed = tx_file.limit_faults(ptx, needs, facts)
    facts = replace(facts, faults=(*facts.faults, *closed))
    names = names_of_keys(ptx, facts)
    value = {
        **document_json(ptx),
        "complete": all(need.left == 0 for need in needs),
        "needs": [need_json(need, names) for need in needs],
        "faults": [{"code": fault.code, "message": fault.message} for fault in facts.faults],
    }
    emit("marsa.tx.inspect/1", value, lambda: standing_text(file, ptx, facts, needs, names))


@click.command(
    "combine",
    cls=Command,
    short_help="Gather the signatures of several copies in one.",
    help=f"""{
        examples(
            "marsa tx combine admit.ptx from-acme.ptx from-bolt.ptx",
            "marsa tx combine rent.ptx copy.ptx --json",
        )
    }

Add to the first file every signature and secret of the others, in whatever order they come. All
must hold the same transaction. The others stay as they are.
""",
)
@click.argument("file", type=PTX, metavar="FILE.ptx")
@click.argument("others", type=PTX, metavar="OTHER.ptx...", nargs=-1, required=True)
def combine(file: Path, others: tuple[Path, ...]) -> None:
    """All or nothing: one bad copy changes no file."""
    from cli import tx_file
    from cli.wallet import ptx as ptxs

    tx_file.check_names((file, *others))
    read = [(path, tx_file.read(path)) for path in others]

    def merged(found: Ptx) -> Ptx:
        for path, other in read:
            with tx_file.refusing(path):
                found = ptxs.combine(found, other)
        return found

    before, after = tx_file.update(file, merged)
    added = len(after.signatures) - len(before.signatures)
    value = {
        "file": str(file),
        "txid": after.txid.hex(),
        "added": added,
        "signatures": len(after.signatures),
    }
    text = f"{counted(added, 'signature')} added, {len(after.signatures)} in all"
    emit("marsa.tx.combine/1", value, f"{text}; next: marsa tx inspect {quoted(file)}")


@click.command(
    "finalize",
    cls=Command,
    short_help="The finished transaction of a file, as hex.",
    help=f"""{examples("marsa tx finalize rent.ptx", "marsa tx finalize admit.ptx --json")}

Print the transaction with exactly the signatures and secrets that the rules ask for, those of the
smallest keys first. The file keeps all of them. `tx submit` does this by itself.
""",
)
@click.argument("file", type=PTX, metavar="FILE.ptx")
def finalize(file: Path) -> None:
    """As a node would take it now; exit code 9 while signatures are missing."""
    from cli import nodes, tx_file

    ptx = tx_file.read(file)
    with nodes.connected() as node:
        tx = finished(node, file, ptx)
    used = [item.key for item in tx.witness.signatures]
    value = {
        "txid": tx.txid.hex(),
        "raw": tx.raw.hex(),
        "signed_by": [key.hex() for key in used],
        "left_out": [key.hex() for key in sorted(ptx.signers.difference(used))],
    }
    emit("marsa.tx.finalize/1", value, tx.raw.hex())


@click.command(
    "submit",
    cls=Command,
    short_help="Send what a file holds, once enough have signed.",
    help=f"""{examples("marsa tx submit rent.ptx", "marsa tx submit admit.ptx --wait 60s --json")}

Finalize the transaction of a file, send it and wait until it is final. When the wait ends without
an answer the outcome is unknown (exit code 4), not failed.
""",
)
@click.argument("file", type=PTX, metavar="FILE.ptx")
@waited
def submit(file: Path, no_wait: bool, wait: str) -> None:
    """Sending twice is harmless: the txid is the same."""
    from cli import nodes, tx_file

    wait_ms = wait_of(no_wait, wait)
    ptx = tx_file.read(file)
    with nodes.connected() as node:
        outcome = already_final(node, ptx) or send(node, finished(node, file, ptx), wait_ms)
    emit("marsa.tx.submit/1", outcome_json(outcome), lambda: outcome_text(outcome))


def finished(node: Node, file: Path, ptx: Ptx) -> SignedTransaction:
    """The transaction of a file as the network takes it now; raises CliError with what is wrong."""
    from cli import payments, tx_file
    from cli.wallet import ptx as ptxs

    tx_file.check_not_expired(file, ptx, payments.now_ms())
    facts = tx_file.ask_node(node, file, ptx)
    for fault in facts.faults:
        raise fault
    locks = None if ptx.is_governance else facts.locks
    with tx_file.refusing(file):
        return ptxs.finalize(ptx, node.fees, approvers=facts.approvers, locks=locks, at=facts.at)


def already_final(node: Node, ptx: Ptx) -> Outcome | None:
    """Somebody sent it before; its coins are spent, by itself."""
    from cli.payments import Outcome

    found = node.client.transaction(ptx.txid.hex())
    if found.status != "final":
        return None
    return Outcome(ptx.txid.hex(), "final", found.height, 0, position=found.position)


def send(node: Node, tx: SignedTransaction, wait_ms: int | None) -> Outcome:
    """Say the txid, then send."""
    from cli import payments

    note(f"txid {tx.txid.hex()}", verbosity=-1)
    return payments.submit_signed(node, tx, wait_ms)


def outcome_json(outcome: Outcome) -> dict[str, object]:
    return {
        "txid": outcome.txid,
        "status": outcome.status,
        "height": outcome.height,
        "elapsed_ms": outcome.elapsed_ms,
    }


def _needs(ptx: Ptx, facts: Facts) -> tuple[Need, ...]:
    """Of coins that no node knows the conditions in the file speak."""
    from cli.wallet import ptx as ptxs

    locks = facts.locks if facts.locks and not facts.faults else None
    return ptxs.needs(ptx, approvers=facts.approvers, locks=locks)
