"""`marsa validator keys`: the keys of a provider's roles."""

from __future__ import annotations

from pathlib import Path

import click

from cli.base import Group, examples
from cli.output import emit, table

DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.command(
    "keys",
    cls=Group,
    help=f"""{
        examples(
            "marsa validator keys new kite-keys --id kite", "marsa validator keys show kite-keys"
        )
    }

The keys of a provider's five roles: operations, treasury, metering, consensus and link. One key a
role, so that losing one costs one power only.
""",
)
def keys() -> None:
    """Group of commands."""


@keys.command(
    "new",
    short_help="Make the five role keys in a new private directory.",
    help=f"""{
        examples(
            "marsa validator keys new kite-keys --id kite",
            "marsa validator keys new kite-keys --id kite --json",
        )
    }

Make the keys of a provider's five roles in a new directory of mode 0700, each file 0600, and show
the public halves. roles.json is for the people who sign, consensus.json and link.pem are for the
node. A licence for them: `marsa validator grant --keys`.
""",
)
@click.argument("directory", type=DIRECTORY)
@click.option("--id", "licence", required=True, metavar="ID", help="Licence id: a-z, 0-9 and -.")
def new(directory: Path, licence: str) -> None:
    """From the system's randomness; a directory that exists is not touched."""
    from cli import role_keys

    provider = role_keys.ProviderKeys.new(licence)
    role_keys.save(directory, provider)
    public = {role: getattr(provider.public, role) for role in role_keys.ROLES}
    text = f"the keys of '{licence}' are in {directory}\n"
    _emit("marsa.validator.keys.new/1", directory, licence, public, text)


@keys.command(
    "show",
    short_help="Public keys and their fingerprints, no secrets.",
    help=f"""{
        examples(
            "marsa validator keys show kite-keys", "marsa validator keys show kite-node/keys --json"
        )
    }

Show the public key of each role whose file is in a directory, with its fingerprint: the first 128
bits of its SHA-256, for two people to compare aloud. Nothing secret is shown.
""",
)
@click.argument("directory", type=DIRECTORY)
def show(directory: Path) -> None:
    """Of a node's directory the two keys that a node has."""
    from cli import role_keys
    from cli.node_errors import node_errors_mapped

    with node_errors_mapped():
        public = role_keys.public_keys(directory)
        licence = ""
        if (directory / role_keys.ROLES_NAME).is_file():
            licence = role_keys.load_role_keys(directory).licence
    _emit("marsa.validator.keys.show/1", directory, licence, public)


def _emit(
    schema: str, directory: Path, licence: str, public: dict[str, bytes], text: str = ""
) -> None:
    from cli.role_keys import fingerprint

    rows = [[role, key.hex(), fingerprint(key)] for role, key in public.items()]
    value = {
        "directory": str(directory),
        "licence": licence or None,
        "keys": [{"role": role, "public": key, "fingerprint": shown} for role, key, shown in rows],
    }
    emit(schema, value, text + table(("role", "public key", "fingerprint"), rows))
