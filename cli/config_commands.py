"""`marsa config`: the options of a node, where each came from, and what they may be."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from cli.base import Group, examples, settings
from cli.node_commands import directory_argument, set_option
from cli.output import emit, json_text, table

BUILT_IN = "built in"


@click.command(
    "config",
    cls=Group,
    help=f"""{examples("marsa config show val5 --origin", "marsa config check val5")}

The options of a node: a flag wins over MARSA_* in the environment, that over marsa.toml, and that
over what is built in.
""",
)
def config() -> None:
    """Group of commands."""


@config.command(
    "show",
    short_help="Every option and its value.",
    help=f"""{
        examples("marsa config show val5", "marsa config show val5 --origin --set log.level=debug")
    }

Show every option of a node as `marsa node run` would take it here and now. With --origin also where
each value comes from: a flag, a variable, marsa.toml, or built in.
""",
)
@directory_argument
@set_option
@click.option("--origin", is_flag=True, help="Where each value comes from.")
def show(directory: Path, assignments: tuple[str, ...], origin: bool) -> None:
    """Peers and all other options, one a line."""
    options, origins = _read(directory, assignments)
    value = {
        "directory": str(directory.absolute()),
        "options": {
            name: {"value": item, "origin": origins.get(name, BUILT_IN)}
            for name, item in options.items()
        },
    }
    rows = [[name, _text(item), origins.get(name, BUILT_IN)] for name, item in options.items()]
    width = 3 if origin else 2
    headings = ("option", "value", "origin")[:width]
    emit("marsa.config.show/1", value, lambda: table(headings, [row[:width] for row in rows]))


@config.command(
    "check",
    short_help="Whether marsa.toml and the variables make sense.",
    help=f"""{
        examples("marsa config check val5", "marsa config check val5 --set api.listen=0.0.0.0:80")
    }

Check the options alone: names, values, and what contradicts what. Whether the node could start with
them, with its genesis, keys, chain and ports, is `marsa node check`.
""",
)
@directory_argument
@set_option
def check(directory: Path, assignments: tuple[str, ...]) -> None:
    """Ends with an error that names file and key."""
    _, origins = _read(directory, assignments)
    value = {"ok": True, "set": len(origins)}
    emit("marsa.config.check/1", value, f"{directory / 'marsa.toml'} is fine")


@config.command(
    "schema",
    short_help="What marsa.toml may say, as JSON Schema.",
    help=f"""{examples("marsa config schema > marsa.schema.json", "marsa config schema --json")}

Print the JSON Schema of marsa.toml, which editors and other tools take to complete and check it.
""",
)
def schema() -> None:
    """JSON both ways; with --json inside an object of our own."""
    from node.config import Options

    # Its patterns are JavaScript's, where nothing but $ is the end of a text.
    found = json.loads(json.dumps(msgspec.json.schema(Options)).replace(r"\\Z", "$"))
    if settings().json:
        click.echo(json_text("marsa.config.schema/1", {"json_schema": found}))
    else:
        click.echo(json.dumps(found, indent=2))


def _read(
    directory: Path, assignments: tuple[str, ...]
) -> tuple[dict[str, object], dict[str, str]]:
    """The options by `section.key`, and where they came from."""
    from cli import node_setup
    from cli.node_errors import node_errors_mapped

    with node_errors_mapped():
        options, origins = node_setup.read_options(directory, assignments)
    flat: dict[str, object] = {}
    for name, value in msgspec.to_builtins(options).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat, origins


def _text(value: object) -> str:
    """As TOML writes it."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return json.dumps(value, ensure_ascii=False)
