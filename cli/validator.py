"""`marsa validator`: who validates, and how validators and regulator decide who does next.

On a devnet every key is at hand, so that one command gathers the signatures and sends. Elsewhere
`--ptx FILE` writes the operation for the operators and the regulator to sign, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from cli.acting import wait_of
from cli.base import Group, Number, examples
from cli.errors import CliError, ExitCode
from cli.output import emit, table
from cli.tx import outcome_text
from cli.tx_create import DAYS, DAYS_MAX, PTX
from cli.tx_sign import GENESIS
from cli.units import quoted
from ledger.times import DAY_MS, rfc3339

if TYPE_CHECKING:
    from cli.nodes import Node
    from cli.wallet.ptx import Approvers, Need, Ptx
    from ledger.operations import Governance, OnLicence
    from ledger.transaction import SignedTransaction
    from node.api.epoch_schemas import Epoch, Licence

F = TypeVar("F", bound=Callable[..., object])

REGULATOR = "regulator"
_TABLE = {
    "keys": ("cli.validator_role_keys:keys", "The keys of a provider's five roles."),
    "grant": (
        "cli.validator_new:grant",
        "Make the grant of a new validator, and its keys if it has none.",
    ),
    "signer": (
        "cli.validator_signer:signer",
        "Hold a consensus key, and sign for one node over a socket.",
    ),
}


@click.command(
    "validator",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa validator status", "marsa validator admit kite.json --ptx admit.ptx")}

Who validates: look, admit, remove. A quorum of the present validators decides, each with its
operations key, and the regulator with them over licences; seats change only when an epoch ends.
""",
)
def validator() -> None:
    """Group of commands."""


def carried(command: F) -> F:
    """The options of everything that validators or regulator must sign."""
    for option in (
        click.option("--wait", default="10s", show_default=True, help="Wait so long for finality."),
        click.option("--no-wait", is_flag=True, help="Return as soon as the node has taken it."),
        click.option(
            "--days",
            type=Number(1, DAYS_MAX),
            default=DAYS,
            show_default=True,
            help="With --ptx: it expires then.",
        ),
        click.option("--ptx", type=PTX, metavar="FILE", help="Write it unsigned, for operators."),
    ):
        command = option(command)
    return command


@validator.command(
    "admit",
    short_help="Grant a licence; its holder takes a seat once its node is ready.",
    help=f"""{
        examples("marsa validator admit kite.json", "marsa validator admit kite.json --ptx in.ptx")
    }

Grant the licence in GRANT.json, which `marsa validator grant` makes. Its certificate is checked
against the authority in the genesis file. The new validator takes its seat at the end of an epoch,
once its node holds the chain and says so.
""",
)
@click.argument("grant", type=PTX, metavar="GRANT.json")
@GENESIS
@carried
def admit(
    grant: Path, genesis: Path | None, ptx: Path | None, days: int, no_wait: bool, wait: str
) -> None:
    """The version follows from what is licensed now."""
    admit_grant(grant, genesis, ptx, days, wait_of(no_wait, wait), "marsa.validator.admit/1")


def admit_grant(
    grant: Path, genesis: Path | None, ptx: Path | None, days: int, wait_ms: int | None, schema: str
) -> None:
    """Check a grant and have it carried."""
    from cli import nodes, payments, validator_grant, validator_keys
    from ledger.operations import Admit

    wanted = validator_grant.load(grant)
    with nodes.connected() as node:
        trusted = validator_keys.find_genesis(node.chain_id, genesis)
        validator_grant.check(wanted, trusted, payments.now_ms())
        epoch = node.client.epoch()
        held = next((item.version for item in epoch.licences if item.id == wanted.id), 0)
        carry(node, epoch, Admit(wanted, held), ptx, days, wait_ms, schema=schema)


@validator.command(
    "remove",
    short_help="Take a validator's seat at the end of the epoch; its licence stays.",
    help=f"""{
        examples("marsa validator remove acme", "marsa validator remove acme --ptx remove.ptx")
    }

Take the seat of a validator, or its wish for one. It votes until the epoch ends. At most f seats
change at once and four stay, so that it may take several epochs.
""",
)
@click.argument("licence", metavar="ID")
@carried
def remove(licence: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    """An operation on a licence."""
    from ledger.operations import Remove

    carry_on_licence(Remove, licence, ptx, days, wait_of(no_wait, wait))


@validator.command(
    "suspend",
    short_help="Stop a licence from minting; its seat and its coins stay.",
    help=f"""{
        examples("marsa validator suspend acme", "marsa validator suspend acme --ptx suspend.ptx")
    }

Stop a provider from minting. Its coins move on, and a validator goes on to vote: `remove` takes
the seat too.
""",
)
@click.argument("licence", metavar="ID")
@carried
def suspend(licence: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    """An operation on a licence."""
    from ledger.operations import Suspend

    carry_on_licence(Suspend, licence, ptx, days, wait_of(no_wait, wait))


@validator.command(
    "revoke",
    short_help="End a licence for ever, and its seat with the epoch.",
    help=f"""{
        examples("marsa validator revoke acme", "marsa validator revoke acme --ptx revoke.ptx")
    }

End a licence for ever. A validator's seat goes with the epoch.
""",
)
@click.argument("licence", metavar="ID")
@carried
def revoke(licence: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    """An operation on a licence."""
    from ledger.operations import Revoke

    carry_on_licence(Revoke, licence, ptx, days, wait_of(no_wait, wait))


@validator.command(
    "end-epoch",
    short_help="End the epoch with the block that holds this.",
    help=f"""{
        examples("marsa validator end-epoch", "marsa validator end-epoch --ptx end.ptx --days 1")
    }

End the epoch early, so that seats change now. With --ptx it has to be final before the epoch ends
by itself.
""",
)
@carried
def end_epoch(ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    """Names the present epoch, so that it ends no other."""
    from cli import nodes
    from ledger.operations import EndEpoch

    with nodes.connected() as node:
        epoch = node.client.epoch()
        carry(node, epoch, EndEpoch(epoch.number), ptx, days, wait_of(no_wait, wait))


@validator.command(
    "status",
    short_help="Seats, candidates, who leaves, and when the epoch ends.",
    help=f"""{examples("marsa validator status", "marsa validator status --json")}

Show the epoch and every licence: who has a seat, who waits for one, who leaves, who is suspended.
""",
)
def status() -> None:
    """From one answer, so that all of it is of one height."""
    from cli import nodes

    with nodes.connected() as node:
        epoch = node.client.epoch()

    def ids(wanted: Callable[[Licence], bool]) -> list[str]:
        return [item.id for item in epoch.licences if wanted(item)]

    value = {
        "epoch": epoch,
        "members": [member.licence for member in epoch.members],
        "candidates": ids(lambda item: item.seat in ("waiting", "ready")),
        "leaving": ids(lambda item: item.seat == "leaving"),
        "suspended": ids(lambda item: item.state in ("suspended", "accused")),
    }
    emit("marsa.validator.status/1", value, lambda: _status_text(epoch))


def carry_on_licence(
    kind: type[OnLicence],
    licence: str,
    file: Path | None,
    days: int,
    wait_ms: int | None,
    *,
    schema: str = "",
    by: str = "",
) -> None:
    """The version is that which the licence has now; one that nobody holds is refused by name."""
    from cli import nodes

    with nodes.connected() as node:
        epoch = node.client.epoch()
        version = next((item.version for item in epoch.licences if item.id == licence), 0)
        carry(node, epoch, kind(licence, version), file, days, wait_ms, schema=schema, by=by)


def carry(
    node: Node,
    epoch: Epoch,
    operation: Governance,
    file: Path | None,
    days: int,
    wait_ms: int | None,
    *,
    schema: str = "",
    by: str = "",
) -> None:
    """Write it to a file, or sign with the keys of a devnet and send. What either may carry is
    signed on a devnet by the validators, or by the regulator where `by` says so."""
    from cli import tx_file, tx_ptx, tx_text

    fault = tx_file.fault_of(node, epoch, operation)
    if fault is not None:
        raise fault
    does = "\n".join(tx_text.operation_lines("does     ", operation))
    if file is not None:
        ptx = _unsigned(node, operation, days * DAY_MS)
        tx_file.create(file, ptx)
        wanted = _who_signs(ptx, tx_file.approvers_of(epoch), by)
        signers = " and ".join(f"{item.needed} of {len(item.keys)}, {item.what}" for item in wanted)
        value = {
            "file": str(file),
            "txid": ptx.txid.hex(),
            "needed": sum(item.needed for item in wanted),
        }
        text = f"{does}\nwritten to {file}; who must sign it: {signers}"
        next_text = f"next: marsa tx sign {quoted(file)} --key roles.json"
        emit("marsa.tx.unsigned/1", value, f"{text}\n{next_text}")
        return
    tx = approved_by_devnet(node, epoch, operation, by)
    outcome = tx_ptx.send(node, tx, wait_ms)
    value = {**tx_ptx.outcome_json(outcome), "approvals": len(tx.witness.signatures)}
    schema = schema or f"marsa.validator.{operation.name}/1"
    emit(schema, value, lambda: f"{does}\n{outcome_text(outcome)}")


def _who_signs(ptx: Ptx, approvers: Approvers, by: str) -> Sequence[Need]:
    from cli.wallet import ptx as ptxs

    if by != REGULATOR:
        return ptxs.needs(ptx, approvers=approvers)
    keys = approvers.regulator_keys
    return [ptxs.Need("the regulator", approvers.regulator_needed, keys, ())]


def _unsigned(node: Node, operation: Governance, life_ms: int) -> Ptx:
    from cli import payments
    from cli.wallet import ptx as ptxs
    from ledger.transaction import NO_FEE, Transaction

    body = Transaction(
        version=1,
        chain_id=bytes.fromhex(node.chain_id),
        inputs=(),
        outputs=(),
        fee=NO_FEE,
        operations=(operation,),
        expires_at_ms=payments.now_ms() + life_ms,
        memo=b"",
    )
    return ptxs.create(body, node.params.network)


def approved_by_devnet(
    node: Node, epoch: Epoch, operation: Governance, by: str = ""
) -> SignedTransaction:
    """Signed with keys that are on this machine; raises CliError with how many are."""
    from cli import payments, tx_file, validator_keys
    from cli.wallet import ptx as ptxs

    genesis = validator_keys.devnet_genesis(node.chain_id)
    members = [(item.licence, item.operations_key) for item in epoch.members]
    is_alone = by == REGULATOR
    keys = () if genesis is None else validator_keys.devnet_operations_keys(genesis, members)
    if genesis is not None:
        keys = () if is_alone else keys
        keys += validator_keys.devnet_regulator_keys(genesis, epoch.regulator.keys)
    ptx = _unsigned(node, operation, payments.LIFETIME_MS)
    ptx, approvers = ptxs.sign(ptx, keys) if keys else ptx, tx_file.approvers_of(epoch)
    for need in ptxs.needs(ptx, approvers=approvers):
        if need.left:
            raise CliError(
                "too_few_keys",
                f"{need.needed} of {len(need.keys)}, {need.what}, must sign; "
                f"the keys of {len(need.signed)} are on this machine",
                hint="write it to a file that goes from operator to operator: --ptx FILE",
                exit_code=ExitCode.NOT_FOUND,
            )
    return ptxs.finalize(ptx, node.fees, approvers=approvers)


def _status_text(epoch: Epoch) -> str:
    rows = [
        [item.id, item.name, _STANDING[item.seat], item.state, rfc3339(item.expires_ms)]
        for item in epoch.licences
    ]
    return "\n".join(
        (
            f"epoch {epoch.number} began after block {epoch.base_height}, now at {epoch.height}",
            f"it ends with block {epoch.last_height_min} at the earliest, "
            f"and not before {epoch.last_time_min}",
            f"{epoch.n} validators, {epoch.f} may fail, {epoch.quorum} decide",
            "",
            table(("licence", "name", "seat", "state", "expires"), rows),
        )
    )


_STANDING = {
    "none": "none",
    "waiting": "waits: its node is not ready",
    "ready": "joins at the end of an epoch",
    "seated": "validates",
    "leaving": "validates, leaves at the end of an epoch",
}
