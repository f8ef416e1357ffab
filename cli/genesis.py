"""`marsa genesis`: make, extend, check and read the file that a chain begins with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Group, Number, examples
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.output import emit, table
from cli.units import ACCOUNTS_MAX, parse_period
from ledger.amounts import format_amount
from ledger.times import rfc3339

if TYPE_CHECKING:
    from ledger.genesis import Genesis

FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command(
    "genesis",
    cls=Group,
    help=f"""{
        examples("marsa genesis new --devnet --seed 0 > genesis.json", "marsa genesis check FILE")
    }

The file that a chain begins with. Its hash is the chain's identity; white space does not count.
""",
)
def genesis() -> None:
    """Group of commands."""


@genesis.command(
    "new",
    short_help="Make the genesis of a devnet, and its keys.",
    help=f"""{
        examples(
            "marsa genesis new --devnet --seed 0 > genesis.json",
            "marsa genesis new --devnet -n 7 --out DIRECTORY",
        )
    }

Print a genesis for test networks: licensed validators, issuers with attested capacity, funded
accounts. The same seed gives the same bytes. With --out it is written to a new directory together
with every key that it names; all of them are public test keys.
""",
)
@click.option("--devnet", is_flag=True, help="For a test network; the only kind made by a command.")
@click.option("--seed", type=Number(0, (1 << 63) - 1), help="Derive all keys and times from it.")
@click.option(
    "-n",
    "validators",
    type=Number(4, 32),
    default=4,
    show_default=True,
    help="Validators.",
)
@click.option(
    "--accounts",
    type=Number(2, ACCOUNTS_MAX),
    default=10,
    show_default=True,
    help="Funded accounts.",
)
@click.option("--period", default="60s", show_default=True, help="The unit of delivery.")
@click.option("--out", type=DIRECTORY, metavar="DIRECTORY", help="Write genesis and keys here.")
def new(
    devnet: bool,
    seed: int | None,
    validators: int,
    accounts: int,
    period: str,
    out: Path | None,
) -> None:
    """The bytes alone on standard output, or a directory with everything."""
    from cli.devnet import plan
    from ledger.genesis import chain_id, dump

    if not devnet:
        raise usage_error(
            "usage",
            "a genesis whose keys are not public is put together by the licence authority",
            "with all it begins with: marsa network init; for a devnet: marsa genesis new --devnet",
        )
    blueprint = plan.make_blueprint(
        seed, validators=validators, accounts=accounts, period_ms=parse_period(period)
    )
    if out is None:
        click.echo(dump(blueprint.genesis), nl=False)
        return
    if out.exists():
        raise usage_error("directory_exists", f"{out} exists and is not changed")
    plan.write_everything(out, blueprint)
    found = chain_id(blueprint.genesis).hex()
    value = {"genesis_hash": found, "directory": str(out)}
    emit("marsa.genesis.new/1", value, f"genesis {found} and its keys are in {out}")


@genesis.command(
    "add-validator",
    short_help="Add a licensed validator to a genesis file.",
    help=f"""{
        examples(
            "marsa genesis add-validator genesis.json --id kite --name 'Kite Compute' "
            "--authority authority-key.pem --keys kite-keys",
            "marsa node init val4 --genesis genesis.json --licence kite --keys kite-keys",
        )
    }

Sign the licence certificate of a new validator with the authority's key, and add the licence to the
file. Its keys are those that `marsa validator keys new` made, or else are made here in a new
directory. The chain's identity changes: do it before any node was initialised.
""",
)
@click.argument("file", type=FILE)
@click.option("--id", "licence", required=True, metavar="ID", help="Licence id: a-z, 0-9 and -.")
@click.option("--name", required=True, metavar="TEXT", help="Name of the provider, for people.")
@click.option("--jurisdiction", default="Devnet", show_default=True, help="Where it is licensed.")
@click.option(
    "--authority", type=FILE, required=True, metavar="FILE", help="The authority's private key."
)
@click.option("--keys", type=DIRECTORY, required=True, metavar="DIRECTORY", help="Its keys.")
def add_validator(
    file: Path, licence: str, name: str, jurisdiction: str, authority: Path, keys: Path
) -> None:
    """New keys, a certificate, one more licence; the file is replaced whole."""
    from cli import genesis_licence
    from cli.node_errors import node_errors_mapped
    from ledger.genesis import chain_id, dump
    from node.files import write_atomic

    with node_errors_mapped():
        extended = genesis_licence.add_validator(
            read_genesis(file), licence, name, jurisdiction, authority, keys
        )
    write_atomic(file, dump(extended), file.stat().st_mode & 0o777)
    found = chain_id(extended).hex()
    value = {"genesis_hash": found, "licence": licence, "keys": str(keys)}
    text = f"'{licence}' is added, its keys are in {keys}\nthe chain is now {found}"
    emit("marsa.genesis.add-validator/1", value, text)


@genesis.command(
    "check",
    short_help="Check every rule; exit code 9 when one is broken.",
    help=f"""{
        examples("marsa genesis check genesis.json", "marsa genesis check genesis.json --json")
    }

Check every rule of a genesis file. The first that is broken is named, with exit code 9.
""",
)
@click.argument("file", type=FILE)
def check(file: Path) -> None:
    """Figures when it is valid."""
    from ledger.genesis import chain_id

    found = read_genesis(file)
    validators = found.validators
    value = {
        "ok": True,
        "genesis_hash": chain_id(found).hex(),
        "validators": validators.n,
        "faults_tolerated": validators.f,
        "quorum": validators.quorum,
        "issuers": len(found.issuers),
    }
    text = (
        f"valid: {validators.n} validators, {validators.f} may fail, "
        f"{len(found.issuers)} issuers, every coin backed"
    )
    emit("marsa.genesis.check/1", value, f"{text}\n{value['genesis_hash']}")


@genesis.command(
    "hash",
    short_help="The chain's identity.",
    help=f"""{examples("marsa genesis hash genesis.json", "marsa genesis hash genesis.json --json")}

Print the chain's identity: the hash of what the file says, not of its bytes.
""",
)
@click.argument("file", type=FILE)
def show_hash(file: Path) -> None:
    """In hexadecimal digits."""
    from ledger.genesis import chain_id

    found = chain_id(read_genesis(file)).hex()
    emit("marsa.genesis.hash/1", {"genesis_hash": found}, found)


@genesis.command(
    "show",
    short_help="Validators, issuers and their backing.",
    help=f"""{examples("marsa genesis show genesis.json", "marsa genesis show genesis.json --json")}

Show validators in their order, and what backs the coins of each issuer.
""",
)
@click.argument("file", type=FILE)
def show(file: Path) -> None:
    """Of a file that obeys every rule."""
    from ledger.genesis import chain_id

    found = read_genesis(file)
    backing = _backing(found)
    value = {
        "genesis_hash": chain_id(found).hex(),
        "network": found.network,
        "time_ms": found.time_ms,
        "validators": [
            {"licence": member.licence, "key": member.key.hex()}
            for member in found.validators.members
        ],
        "issuers": backing,
        "allocations": len(found.allocations),
    }
    emit("marsa.genesis.show/1", value, lambda: _show_text(found, backing))


def read_genesis(file: Path) -> Genesis:
    """A genesis file that obeys every rule; raises CliError."""
    from ledger.genesis import GENESIS_BYTES_MAX, load
    from ledger.reasons import Invalid

    if not file.is_file():
        raise not_found("no_genesis", f"there is no file {file}", "marsa genesis new --devnet")
    with file.open("rb") as opened:
        data = opened.read(GENESIS_BYTES_MAX + 1)
    try:
        return load(data)
    except Invalid as error:
        raise CliError(
            error.reason.value,
            f"{file}: {error.detail}",
            hint="correct the file; nothing was changed",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def _backing(found: Genesis) -> list[dict[str, str]]:
    """Per issuer, in µ: allocated, reserve, and what may be minted at once."""
    from ledger.economy.reserve import margin_limit
    from ledger.genesis import supply_by_issuer

    supply = supply_by_issuer(found)
    result = []
    for grant in found.issuers:
        reserve = found.hours(grant.id).reserve
        limit = margin_limit(reserve, found.parameters.margin_ppm)
        result.append(
            {
                "issuer": grant.id,
                "outstanding": str(supply[grant.id]),
                "reserve": str(reserve),
                "headroom": str(limit - supply[grant.id]),
            }
        )
    return result


def _show_text(found: Genesis, backing: list[dict[str, str]]) -> str:
    from ledger.genesis import chain_id

    rows = [
        [line["issuer"], *(format_amount(int(line[key])) for key in list(line)[1:])]
        for line in backing
    ]
    members = [[member.licence, member.key.hex()] for member in found.validators.members]
    return "\n".join(
        (
            f"chain {chain_id(found).hex()}",
            f"network {found.network}, begins {rfc3339(found.time_ms)}, "
            f"{len(found.allocations)} allocations",
            "",
            table(("validator", "consensus key"), members),
            "",
            table(("issuer", "outstanding", "reserve", "headroom"), rows),
        )
    )
