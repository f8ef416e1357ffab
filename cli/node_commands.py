"""`marsa node`: one node in a directory of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Group, examples
from cli.errors import usage_error
from cli.output import confirm, emit
from cli.units import parse_duration, quoted

if TYPE_CHECKING:
    from node.api import schemas

DIRECTORY = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
WATCH_S = 1.0

directory_argument = click.argument("directory", type=DIRECTORY, default=".")
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Override an option of marsa.toml, as in --set log.level=debug.",
)


@click.command(
    "node",
    cls=Group,
    table={
        "top": ("cli.node_top:top", "A live screen: view, votes, blocks, mempool, links."),
        "peers": ("cli.node_peers:peers", "Who a node is linked with."),
        "backup": ("cli.node_backup:backup", "Copy a stopped node, but for its votes, to a file."),
        "restore": ("cli.node_backup:restore", "Make a node from such a file."),
        "reset": ("cli.node_reset:reset", "Delete the chain of a node, to fetch it again."),
        "export-forensics": (
            "cli.node_export:export_forensics",
            "What a stopped node knows of a fork, for `marsa audit forensics`.",
        ),
    },
    help=f"""{
        examples(
            "marsa node init val5 --genesis genesis.json --licence kite --keys kite-keys",
            "marsa node run val5",
        )
    }

One node: its directory, its process, how it fares. A whole test network is `marsa devnet up`.
""",
)
def node() -> None:
    """Group of commands."""


@node.command(
    "init",
    short_help="Make a node's directory.",
    help=f"""{
        examples(
            "marsa node init val5 --genesis genesis.json --licence kite --keys kite-keys",
            "marsa node init val5 --genesis genesis.json --licence kite --keys kite-keys "
            "--listen 0.0.0.0:8740 --peer acme=198.51.100.7:8740",
            "marsa node init watcher --genesis genesis.json --observer watcher "
            "--peer acme=198.51.100.7:8740",
        )
    }

Make a new directory with marsa.toml, in which every option is explained, the genesis, the keys,
an empty vote log, and the chain's state at height 0. Keys are copied from a directory with
consensus.json and link.pem, and licence.pem for a licence that is not in genesis. Peers can be
added to marsa.toml later. Start a validator of genesis before the chain makes block 1; later it
only follows for two epochs, or until you say `marsa node recover`. With --observer the node has no
licence and no keys: it follows, and serves the API.
""",
)
@click.argument("directory", type=DIRECTORY)
@click.option("--genesis", type=FILE, required=True, metavar="FILE", help="The chain's genesis.")
@click.option("--licence", metavar="ID", help="This validator's licence.")
@click.option("--keys", type=DIRECTORY, metavar="DIRECTORY", help="Its keys.")
@click.option("--observer", metavar="NAME", help="No validator but an observer, called so.")
@click.option("--listen", metavar="HOST:PORT", help="For other nodes; 127.0.0.1:8740 else.")
@click.option("--api", metavar="HOST:PORT", help="For clients; 127.0.0.1:8640 else.")
@click.option("--operations", metavar="HOST:PORT", help="For metrics; 127.0.0.1:8840 else.")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="ID=HOST:PORT",
    help="Another validator; once for each, a quorum at least.",
)
def init(
    directory: Path,
    genesis: Path,
    licence: str | None,
    keys: Path | None,
    observer: str | None,
    listen: str | None,
    api: str | None,
    operations: str | None,
    peers: tuple[str, ...],
) -> None:
    """A directory that `node run` can start in, whole or not at all."""
    from cli import node_setup
    from cli.genesis import read_genesis
    from cli.node_errors import node_errors_mapped

    name = licence if observer is None else observer
    if name is None or (licence is None) != (keys is None) or (licence and observer):
        raise usage_error("usage", "either --licence ID with --keys DIRECTORY, or --observer NAME")
    addresses = {"p2p": listen, "api": api, "operations": operations}
    with node_errors_mapped():
        made = node_setup.init(
            directory,
            read_genesis(genesis),
            name,
            keys,
            addresses={name: text for name, text in addresses.items() if text is not None},
            peers=dict(_split(text, "ID=HOST:PORT") for text in peers),
        )
    value = {
        "directory": str(directory),
        "role": made.role,
        "licence": made.licence,
        "genesis_hash": made.network.genesis_hash,
    }
    text = f"'{name}' is ready in {directory}; start it with: marsa node run {quoted(directory)}"
    emit("marsa.node.init/1", value, text)


@node.command(
    "check",
    short_help="Check that a node can start; exit code 9 when it cannot.",
    help=f"""{examples("marsa node check val5", "marsa node check val5 --json")}

Check configuration, genesis, keys, directory, stored chain, free space and ports of a node that
is not running. The first fault is named.
""",
)
@directory_argument
@set_option
def check(directory: Path, assignments: tuple[str, ...]) -> None:
    """All that `node run` checks before it begins."""
    from cli import node_setup
    from cli.node_errors import node_errors_mapped

    with node_errors_mapped():
        config = node_setup.load(directory, assignments)
        fault = node_setup.check(config)
    value = {
        "ok": True,
        "role": config.role,
        "licence": config.licence,
        "genesis_hash": config.network.genesis_hash,
        "votes": not fault and not config.is_observer,
        "reason": fault,
    }
    text = f"'{config.name}' can start: marsa node run {quoted(directory)}"
    if fault:
        begin = f"marsa node recover {quoted(directory)}"
        text += f"\nIt will follow and not vote: {fault}. Once it runs: {begin}"
    emit("marsa.node.check/1", value, text)


@node.command(
    "run",
    short_help="Run a node until SIGTERM or Ctrl-C.",
    help=f"""{
        examples("marsa node run val5", "marsa node run val5 --set log.format=json 2> node.log")
    }

Run a node in the foreground. Its log goes to standard error, one event a line.
""",
)
@directory_argument
@set_option
def run(directory: Path, assignments: tuple[str, ...]) -> int:
    """The node's exit code is the command's."""
    from cli import node_setup
    from cli.node_errors import node_errors_mapped
    from node.app import run_node

    with node_errors_mapped():
        config = node_setup.load(directory, assignments)
        node_setup.check_addresses(config)
        os.chdir(config.directory)  # where the admin socket's path is short enough
        return run_node(config)


@node.command(
    "status",
    short_help="How a running node fares.",
    help=f"""{examples("marsa node status", "marsa node status -w --node http://127.0.0.1:8641")}

Ask a node's API where it stands. With -w ask again each second until Ctrl-C.
""",
)
@click.option("-w", "watch", is_flag=True, help="Again each second; a line when it changes.")
def status(watch: bool) -> None:
    """One line, or one at each change."""
    from cli import nodes

    with nodes.connected() as found:
        shown = found.client.status()
        emit("marsa.node.status/1", shown, lambda: _status_text(shown))
        while watch:
            time.sleep(WATCH_S)
            before, shown = _status_text(shown), found.client.status()
            if _status_text(shown) != before:
                emit("marsa.node.status/1", shown, _status_text(shown))


@node.command(
    "recover",
    short_help="Let a node vote again whose memory of votes was lost.",
    help=f"""{examples("marsa node recover val5", "marsa node recover val5 --yes --wait 60s")}

A node whose vote log is missing, damaged or older than its votes follows without voting, because
it might contradict itself; so does one that is started for the first time after block 1, for an
empty log looks like a lost one. Once you are sure that no other copy of it runs, this lets it vote,
above everything that it could have signed: two windows above what is final, eight blocks where four
heights are in flight. The node must be running.
""",
)
@directory_argument
@click.option("--wait", default="30s", show_default=True, help="Wait so long until it votes.")
def recover(directory: Path, wait: str) -> None:
    """Through the admin socket in the node's directory."""
    from cli import node_setup
    from cli.node_errors import node_errors_mapped

    wait_ms = parse_duration(wait)
    with node_errors_mapped():
        config = node_setup.load(directory, ())
        confirm(
            f"Two running copies of '{config.licence}' would break the chain's safety and cost its "
            "licence. Is this the only copy?"
        )
        node_setup.recover(config, wait_ms)
    value = {"licence": config.licence, "accepted": True}
    emit("marsa.node.recover/1", value, f"'{config.name}' may vote again")


def _split(text: str, form: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise usage_error("usage", f"{text!r} is not of the form {form}")
    return name, value


def _status_text(found: schemas.Status) -> str:
    from cli.payments import describe_consensus

    sync = found.sync
    mark = " (observer)" if found.node.role == "observer" else ""
    return (
        f"{found.node.name}{mark}: height {sync.height}, block time {sync.header_time}, "
        f"{describe_consensus(found)}"
        + (f"\nkey: {found.node.key}" if found.node.key.startswith("signer ") else "")
    ) + "".join(f"\nwarning: {warning}" for warning in found.warnings)
