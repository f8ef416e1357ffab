"""`marsa licence`: who may issue coins and validate, and every step in the life of a licence.

What validators and regulator carry is signed and sent in one step on a devnet, and written to a
file with --ptx elsewhere, as `marsa validator` does it. Winding down and new keys are the issuer's
own affair: its operations key signs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import KEY_FILE, act, done, find_key, key_option, spend, wait_of, waited
from cli.base import Group, examples
from cli.errors import CliError, ExitCode
from cli.output import confirm, emit, table
from cli.passwords import password_options, read_password
from cli.spans import ends_text, span_text
from cli.tx_create import PTX
from cli.tx_sign import GENESIS
from cli.validator import REGULATOR, admit_grant, carried, carry_on_licence
from ledger.times import rfc3339

if TYPE_CHECKING:
    from node.api import economy_schemas as schemas

ROTATING = ("operations", "treasury", "metering")
_TABLE = {
    "attestor": ("cli.licence_attestor:attestor", "Who is licensed to vouch for capacity."),
    "regulator": ("cli.licence_regulator:regulator", "The regulator's keys, and the next ones."),
}


@click.command(
    "licence",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa licence list", "marsa licence show acme")}

Who may issue coins and validate. Validators and regulator grant and end licences; an issuer winds
down and changes its keys itself. Whatever happens to a licence, its coins stay coins.
""",
)
def licence() -> None:
    """Group of commands."""


@licence.command(
    "list",
    short_help="Every licence, its state, and when that ends.",
    help=f"""{examples("marsa licence list", "marsa licence list --json")}

List every licence: what it allows, in which state it is and why, and when that state ends by
itself.
""",
)
def show_all() -> None:
    """From one answer, so that all of it is of one height."""
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.economy.licences()
        now_ms = node.client.economy.audits().ledger_time_ms
    rows = [
        [
            item.licence.id,
            item.licence.name,
            _may(item),
            f"{item.state} ({item.cause})" if item.cause else item.state,
            item.licence.seat,
            _ends(item, now_ms),
        ]
        for item in found
    ]
    headings = ("licence", "name", "may", "state", "seat", "ends in")
    value = {"ledger_time_ms": now_ms, "licences": found}
    emit("marsa.licence.list/1", value, lambda: table(headings, rows))


@licence.command(
    "show",
    short_help="One licence: keys, announced keys, what may be done with it.",
    help=f"""{examples("marsa licence show acme", "marsa licence show acme --json")}

Show everything about a licence: who holds it, its keys and those that are announced, what may be
done with it in its present state, and when that ends by itself.
""",
)
@click.argument("name", metavar="ID")
def show(name: str) -> None:
    """As of the ledger clock."""
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.economy.licence(name)
        now_ms = node.client.economy.audits().ledger_time_ms
    emit("marsa.licence.show/1", found, lambda: _show_text(found, now_ms))


@licence.command(
    "apply",
    short_help="Ask for a licence, in public.",
    help=f"""{
        examples(
            "marsa licence apply kite.json --from alice --key kite-keys",
            "marsa licence apply kite.json --from savings --key kite-keys/roles.json --json",
        )
    }

Ask in public for the licence in GRANT.json, which `marsa validator grant` makes. The provider's
operations key signs, --from pays the fee. Validators and regulator grant it, or it lapses.
""",
)
@click.argument("grant", type=PTX, metavar="GRANT.json")
@click.option(
    "--from", "sender", required=True, metavar="NAME", help="Account or wallet that pays."
)
@click.option("--key", type=KEY_FILE, required=True, metavar="FILE", help="Keys of the provider.")
@GENESIS
@waited
@password_options
def apply(
    grant: Path,
    sender: str,
    key: Path,
    genesis: Path | None,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """The grant is checked as whoever admits it will check it."""
    from cli import accounts, nodes, payments, validator_grant, validator_keys
    from ledger.operations import Apply

    wait_ms = wait_of(no_wait, wait)
    wanted = validator_grant.load(grant)
    with nodes.connected() as node:
        trusted = validator_keys.find_genesis(node.chain_id, genesis)
        validator_grant.check(wanted, trusted, payments.now_ms())
        public = wanted.keys.operations.hex()
        signer = find_key(node, wanted.id, "operations", public, key)
        holder = accounts.find_holder(
            sender,
            lambda name: read_password(name, password_fd, password_file),
            chain_id=node.chain_id,
        )
        if not holder.is_public:
            confirm(f"Apply for licence '{wanted.id}', the fee paid by '{sender}'?")
        outcome, draft = spend(
            node, holder, 0, None, lambda _: Apply(wanted), wait_ms, more=(signer,)
        )
    value = {"licence": wanted.id, "fee": str(draft.fee)}
    says = (f"applied for licence '{wanted.id}'", f"marsa licence grant {grant}")
    done("marsa.licence.apply/1", outcome, value, says)


@licence.command(
    "grant",
    short_help="Grant a licence, applied for or not.",
    help=f"""{
        examples("marsa licence grant kite.json", "marsa licence grant kite.json --ptx grant.ptx")
    }

Grant the licence in GRANT.json; validators and regulator sign. One that was applied for is granted
as it was applied for. The same as `marsa validator admit`.
""",
)
@click.argument("grant", type=PTX, metavar="GRANT.json")
@GENESIS
@carried
def grant_licence(
    grant: Path, genesis: Path | None, ptx: Path | None, days: int, no_wait: bool, wait: str
) -> None:
    """Its certificate is checked against the authority in the genesis file."""
    admit_grant(grant, genesis, ptx, days, wait_of(no_wait, wait), "marsa.licence.grant/1")


@licence.command(
    "suspend",
    short_help="Stop a licence from minting; its coins stay.",
    help=f"""{
        examples(
            "marsa licence suspend acme --by regulator",
            "marsa licence suspend acme --by validators --ptx suspend.ptx",
        )
    }

Stop an issuer from minting; regulator or validators sign, either is enough. Its coins move on and
it may go on adding hours. A suspension that nobody ends is over after its longest time.
""",
)
@click.argument("name", metavar="ID")
@click.option(
    "--by",
    type=click.Choice((REGULATOR, "validators")),
    default="validators",
    show_default=True,
    help="Who signs.",
)
@carried
def suspend(name: str, by: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    from ledger.operations import Suspend

    schema = "marsa.licence.suspend/1"
    wait_ms = wait_of(no_wait, wait)
    carry_on_licence(Suspend, name, ptx, days, wait_ms, schema=schema, by=by)


@licence.command(
    "reinstate",
    short_help="End a suspension early.",
    help=f"""{
        examples("marsa licence reinstate acme", "marsa licence reinstate acme --ptx reinstate.ptx")
    }

End a suspension early; validators and regulator sign.
""",
)
@click.argument("name", metavar="ID")
@carried
def reinstate(name: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    from ledger.operations import Reinstate

    schema = "marsa.licence.reinstate/1"
    carry_on_licence(Reinstate, name, ptx, days, wait_of(no_wait, wait), schema=schema)


@licence.command(
    "revoke",
    short_help="End a licence for ever, and its seat with the epoch.",
    help=f"""{examples("marsa licence revoke acme", "marsa licence revoke acme --ptx revoke.ptx")}

End a licence for ever; validators and regulator sign. Its coins move on and stay counted, and a
validator's seat goes with the epoch. An application is gone at once.
""",
)
@click.argument("name", metavar="ID")
@carried
def revoke(name: str, ptx: Path | None, days: int, no_wait: bool, wait: str) -> None:
    from ledger.operations import Revoke

    schema = "marsa.licence.revoke/1"
    carry_on_licence(Revoke, name, ptx, days, wait_of(no_wait, wait), schema=schema)


@licence.command(
    "wind-down",
    short_help="An issuer stops for good; its coins are honoured.",
    help=f"""{
        examples(
            "marsa licence wind-down acme",
            "marsa licence wind-down acme --key acme-keys/roles.json",
        )
    }

Stop issuing for good; the issuer's operations key signs. Nothing is minted any more, the coins that
are out are honoured, and the licence closes when none is left. There is no way back but a new
grant.
""",
)
@click.argument("name", metavar="ID")
@key_option
@waited
def wind_down(name: str, key: Path | None, no_wait: bool, wait: str) -> None:
    from cli import nodes
    from ledger.operations import WindDown

    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        held = node.client.economy.licence(name)
        signer = find_key(node, name, "operations", held.licence.keys.operations, key)
        if key is not None:
            confirm(f"Wind down '{name}'? It never mints again.")
        operation = WindDown(name, signer.public, held.licence.version)
        outcome = act(node, operation, (signer,), wait_ms)
    says = (f"'{name}' winds down", f"marsa licence show {name}")
    done("marsa.licence.wind-down/1", outcome, {"licence": name}, says)


@licence.command(
    "rotate",
    short_help="Give a role another key.",
    help=f"""{
        examples(
            "marsa licence rotate acme treasury",
            "marsa licence rotate acme metering --key acme-keys/roles.json --out next.json",
        )
    }

Make a new key for ROLE (operations, treasury or metering) in a private file, and announce it; the
operations key and the new one sign. It counts after the chain's delay. Until then the old key
signs, from then on it does nothing.
""",
)
@click.argument("name", metavar="ID")
@click.argument("role", type=click.Choice(ROTATING))
@key_option
@click.option("--out", type=PTX, metavar="FILE", help="The new key's file; ID-ROLE-key.json.")
@waited
def rotate(
    name: str, role: str, key: Path | None, out: Path | None, no_wait: bool, wait: str
) -> None:
    """The key is on disk before anybody hears of it: a key that is announced and lost is lost."""
    from cli import nodes
    from cli.key_files import RoleKeyFile, save_new
    from ledger.operations import RotateKey

    wait_ms, file = wait_of(no_wait, wait), out or Path(f"{name}-{role}-key.json")
    with nodes.connected() as node:
        held = node.client.economy.licence(name)
        signer = find_key(node, name, "operations", held.licence.keys.operations, key)
        if any(item.role == role for item in held.rotations):
            detail = f"a new {role} key of '{name}' is announced already"
            hint = f"marsa licence show {name}"
            raise CliError("bad_role", detail, hint=hint, exit_code=ExitCode.REJECTED)
        fresh = save_new(file, lambda seed: RoleKeyFile(name, role, seed))
        operation = RotateKey(name, signer.public, held.licence.version, role, fresh.public)
        outcome = act(node, operation, (signer, fresh), wait_ms)
        delay = span_text(node.params.economy.rotation_ms)
    value = {"licence": name, "role": role, "new_key": fresh.public.hex(), "file": str(file)}
    what = f"the {role} key of '{name}' in {file} counts in {delay} of the ledger clock"
    done("marsa.licence.rotate/1", outcome, value, (what, f"marsa licence show {name}"))


def _may(item: schemas.LicenceObject) -> str:
    held = item.licence
    roles = (("validate", held.validator), ("issue", held.issuer))
    return ", ".join(role for role, granted in roles if granted) or "nothing"


def _ends(item: schemas.LicenceObject, now_ms: int) -> str:
    """What comes next: the end of the state, or a new key."""
    is_key = any(change.after_ms == item.deadline_ms for change in item.rotations)
    return ends_text(item.deadline_ms, now_ms) + (" (new key)" if is_key else "")


def _show_text(item: schemas.LicenceObject, now_ms: int) -> str:
    held = item.licence
    cause = f", on account of {item.cause}" if item.cause else ""
    lines = [
        f"licence  {held.id} ({held.name}; {held.jurisdiction}), version {held.version}",
        f"may      {_may(item)} until {held.expires}",
        f"state    {item.state}{cause} since {item.since}",
        f"seat     {held.seat}",
    ]
    if item.deadline_ms is not None:
        lines.append(f"ends     {rfc3339(item.deadline_ms)}, in {_ends(item, now_ms)}")
    lines.append(f"takes    {', '.join(item.allowed_actions) or 'nothing any more'}")
    for role in ("operations", "treasury", "metering", "consensus", "link"):
        lines.append(f"key      {role:<10} {getattr(held.keys, role)}")
    for rotation in item.rotations:
        in_text = ends_text(rotation.after_ms, now_ms)
        lines.append(f"new key  {rotation.role:<10} {rotation.key}, counts in {in_text}")
    lines.append(f"document {held.document_hash}")
    return "\n".join(lines)
