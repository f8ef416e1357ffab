"""`marsa validator grant`: the grant of a new validator that others admit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.errors import usage_error
from cli.output import emit
from ledger.times import DAY_MS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from ledger.genesis import Genesis

FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)
DAYS = 730
DAYS_MAX = 3_650


@click.command(
    "grant",
    cls=Command,
    short_help="Make the grant of a new validator, and its keys if it has none.",
    help=f"""{
        examples(
            "marsa validator grant kite.json --id kite --name 'Kite Compute' --keys kite-keys",
            "marsa validator grant kite.json --id kite --name 'Kite Compute' --keys kite-keys "
            "--genesis genesis.json --authority authority-key.pem",
        )
    }

Have the authority's key sign the licence certificate of a new validator, and write the grant that
the present validators admit. Its keys are those that `marsa validator keys new` made, or else are
made here in a new directory. On a devnet genesis and authority are those of the devnet.
""",
)
@click.argument("file", type=FILE, metavar="GRANT.json")
@click.option("--id", "licence", required=True, metavar="ID", help="Licence id: a-z, 0-9 and -.")
@click.option("--name", required=True, metavar="TEXT", help="Name of the provider, for people.")
@click.option("--jurisdiction", default="Devnet", show_default=True, help="Where it is licensed.")
@click.option("--keys", type=DIRECTORY, required=True, metavar="DIRECTORY", help="Its keys.")
@click.option("--genesis", type=FILE, metavar="FILE", help="The chain's genesis file.")
@click.option("--authority", type=FILE, metavar="FILE", help="The authority's private key.")
@click.option(
    "--days",
    type=Number(1, DAYS_MAX),
    default=DAYS,
    show_default=True,
    help="How long the licence lasts.",
)
@click.option("--issuer", is_flag=True, help="It may issue coins too.")
def grant(
    file: Path,
    licence: str,
    name: str,
    jurisdiction: str,
    keys: Path,
    genesis: Path | None,
    authority: Path | None,
    days: int,
    issuer: bool,
) -> None:
    """Grant last: a grant without keys would be of no use."""
    from cli import genesis_licence, payments, validator_grant
    from cli.node_errors import node_errors_mapped
    from cli.role_keys import KeyDirectory
    from node.files import write_atomic
    from node.keys import PUBLIC_MODE

    if file.exists():
        raise usage_error("file_exists", f"{file} exists and is not changed")
    trusted = _genesis(genesis)
    with node_errors_mapped():
        place = KeyDirectory.of(keys, licence)
        signer = _authority(trusted, authority)
        made = genesis_licence.new_grant(
            trusted,
            signer,
            place.public,
            licence,
            name,
            jurisdiction,
            expires_ms=payments.now_ms() + days * DAY_MS,
            issuer=issuer,
        )
        validator_grant.check(made, trusted, payments.now_ms())
        place.save(made.certificate)
    write_atomic(file, validator_grant.dump(made), PUBLIC_MODE)
    value = {"file": str(file), "licence": licence, "keys": str(keys)}
    text = f"grant of '{licence}' in {file}, its keys in {keys}; next: marsa validator admit {file}"
    emit("marsa.validator.grant/1", value, text)


def _genesis(file: Path | None) -> Genesis:
    from cli import accounts, validator_keys
    from cli.genesis import read_genesis

    if file is not None:
        return read_genesis(file)
    found = [accounts.describe_devnet(directory) for directory in accounts.devnets()]
    chains = {item.genesis_hash for item in found if item is not None}
    genesis = validator_keys.devnet_genesis(chains.pop()) if len(chains) == 1 else None
    if genesis is None:
        detail = "for which chain? There is no devnet here, or more than one"
        raise usage_error("genesis_needed", detail, "name its genesis file with --genesis FILE")
    return genesis


def _authority(genesis: Genesis, file: Path | None) -> Ed25519PrivateKey:
    from cli.validator_keys import devnet_authority_key
    from node.keys import load_private_key

    if file is not None:
        return load_private_key(file)
    key = devnet_authority_key(genesis)
    if key is None:
        detail = "the authority of this chain licenses providers"
        raise usage_error("authority_needed", detail, "give its key with --authority FILE")
    return key
