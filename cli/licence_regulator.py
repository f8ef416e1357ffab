"""`marsa licence regulator`: the keys that stand beside the validators, and the next ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import wait_of
from cli.base import Group, Number, examples
from cli.errors import usage_error
from cli.output import emit
from cli.spans import ends_text
from cli.tx_create import PTX
from cli.tx_sign import REGULATOR_KEYS
from cli.validator import carried, carry

if TYPE_CHECKING:
    from node.api.epoch_schemas import Regulator


@click.command(
    "regulator",
    cls=Group,
    help=f"""{
        examples(
            "marsa licence regulator show",
            "marsa licence regulator rotate --needed 2 --public 3b6a… --public 81f0… "
            "--ptx rotate.ptx",
        )
    }

The regulator's keys, k of n, stand beside the validators behind all that is licensed, and may
suspend alone. They change only with the validators, and long after that was announced.
""",
)
def regulator() -> None:
    """Group of commands."""


@regulator.command(
    "show",
    short_help="The keys in force, and those that are announced.",
    help=f"""{examples("marsa licence regulator show", "marsa licence regulator show --json")}

Show the regulator's keys, how many of them must sign, and which count from when on.
""",
)
def show() -> None:
    """As of the ledger clock."""
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.epoch().regulator
        now_ms = node.client.economy.audits().ledger_time_ms
    emit("marsa.licence.regulator.show/1", found, lambda: _text(found, now_ms))


@regulator.command(
    "key",
    short_help="Make one of the regulator's next keys in a private file.",
    help=f"""{
        examples(
            "marsa licence regulator key next-1.json --name 'State Office'",
            "marsa licence regulator key next-1.json --name 'State Office' --json",
        )
    }

Make a key in a private file, and show its public half, for `rotate`. Each holder does this itself,
and signs with `tx sign --key FILE` once the key counts.
""",
)
@click.argument("file", type=PTX, metavar="FILE")
@click.option("--name", required=True, metavar="TEXT", help="Whose key it is, for people.")
def key(file: Path, name: str) -> None:
    """From the system's randomness; a file that exists is not touched."""
    from cli.key_files import RegulatorKeyFile, save_new

    public = save_new(file, lambda seed: RegulatorKeyFile(name, seed)).public
    value = {"file": str(file), "regulator": name, "public": public.hex()}
    text = f"a key of the regulator ({name}) is in {file}\npublic  {public.hex()}"
    following = "marsa licence regulator rotate --needed K --public KEY --public KEY"
    emit("marsa.licence.regulator.key/1", value, f"{text}\nnext: {following}")


@regulator.command(
    "rotate",
    short_help="Announce the regulator's next keys.",
    help=f"""{
        examples(
            "marsa licence regulator rotate --needed 1 --public 3b6a…",
            "marsa licence regulator rotate --needed 2 --public 3b6a… --public 81f0… "
            "--ptx rotate.ptx",
        )
    }

Announce the keys that come next, all of them, those that stay too; validators and the present keys
sign. They count after the chain's delay, and until then another announcement takes the place of
this one.
""",
)
@click.option(
    "--needed",
    type=Number(1, REGULATOR_KEYS),
    required=True,
    metavar="K",
    help="So many of them must sign.",
)
@click.option(
    "--public",
    "keys",
    multiple=True,
    required=True,
    metavar="KEY",
    help="64 hex digits; repeat it.",
)
@carried
def rotate(
    needed: int, keys: tuple[str, ...], ptx: Path | None, days: int, no_wait: bool, wait: str
) -> None:
    """The version follows from the present keys."""
    from cli import nodes
    from cli.key_files import read_public
    from ledger.economy.regulator import RegulatorKeys
    from ledger.operations import RotateRegulator

    public = sorted({read_public(item) for item in keys})
    if len(public) != len(keys) or not needed <= len(public) <= REGULATOR_KEYS:
        detail = f"{needed} of {len(public)} different keys, {len(keys)} are given"
        raise usage_error("usage", detail, f"give each key once, at most {REGULATOR_KEYS}")
    schema, wait_ms = "marsa.licence.regulator.rotate/1", wait_of(no_wait, wait)
    with nodes.connected() as node:
        epoch = node.client.epoch()
        operation = RotateRegulator(epoch.regulator.version, RegulatorKeys(needed, tuple(public)))
        carry(node, epoch, operation, ptx, days, wait_ms, schema=schema)


def _text(found: Regulator, now_ms: int) -> str:
    lines = [f"{found.needed} of these {len(found.keys)} keys sign, version {found.version}"]
    lines += [f"key      {item}" for item in found.keys]
    if found.announced is not None:
        coming = found.announced
        left = ends_text(coming.after_ms, now_ms)
        lines.append(f"{coming.needed} of these {len(coming.keys)} from {coming.after}, in {left}")
        lines += [f"new key  {item}" for item in coming.keys]
    return "\n".join(lines)
