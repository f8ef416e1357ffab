"""`marsa node backup` and `marsa node restore`: a node in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from cli.base import Command, examples
from cli.errors import not_found, usage_error
from cli.output import emit
from cli.progress import Progress
from cli.units import quoted

DIRECTORY = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "backup",
    cls=Command,
    help=f"""{
        examples("marsa node backup val3 val3.backup", "marsa node backup val3 val3.backup --json")
    }

Copy a node that does not run into one new file: chain, keys, certificates, genesis and settings,
but not its votes. The file is as secret as the keys in it.
""",
)
@click.argument("directory", type=DIRECTORY)
@click.argument("file", type=FILE)
def backup(directory: Path, file: Path) -> None:
    """Whole or not at all."""
    from cli import node_setup
    from cli.node_errors import node_errors_mapped
    from node import backup as backups

    if file.exists():
        raise usage_error("file_exists", f"{file} exists and is not changed", "choose another name")
    with node_errors_mapped(), _bar("copying") as report:
        node = node_setup.load(directory, ())
        header = backups.backup(node, file, report)
    size = file.stat().st_size
    value = {
        "file": str(file),
        "name": header.name,
        "role": header.role,
        "genesis_hash": header.genesis_hash,
        "height": header.height,
        "bytes": size,
    }
    text = (
        f"'{header.name}' at height {header.height} is in {file}, {size:,} bytes; it holds "
        f"{'no keys' if node.is_observer else 'its keys'}\n"
        f"restore it with: marsa node restore {quoted(file)} DIRECTORY"
    )
    emit("marsa.node.backup/1", value, text)


@click.command(
    "restore",
    cls=Command,
    help=f"""{
        examples(
            "marsa node restore val3.backup val3", "marsa node restore val3.backup val3 --json"
        )
    }

Make a node in a new directory from a file of `marsa node backup`. A file that is damaged or not
whole is refused before anything is written. A restored validator cannot know what its key signed
since: it follows and does not vote for two epochs, or until `marsa node recover`. The original must
never run again.
""",
)
@click.argument("file", type=FILE)
@click.argument("directory", type=DIRECTORY)
def restore(file: Path, directory: Path) -> None:
    """Says what the node will wait for."""
    from cli.node_errors import node_errors_mapped
    from node import backup as backups

    if not file.is_file():
        raise not_found("no_backup", f"there is no file {file}", "marsa node backup DIRECTORY FILE")
    if directory.exists() and any(directory.iterdir()):
        raise usage_error(
            "directory_not_empty",
            f"{directory} is not empty and is not changed",
            "choose a new directory; for a damaged chain alone: "
            f"marsa node reset {quoted(directory)}",
        )
    with node_errors_mapped(), _bar("restoring") as report:
        header, node = backups.restore(file, directory, report)
    value = {
        "directory": str(directory),
        "name": header.name,
        "role": header.role,
        "genesis_hash": header.genesis_hash,
        "height": header.height,
        "votes": False,
    }
    text = (
        f"'{header.name}' is restored at height {header.height}: marsa node run {quoted(directory)}"
    )
    if not node.is_observer:
        text += (
            "\nA backup holds no votes: it will follow and not vote for two epochs, or until you "
            f"say, once it runs: marsa node recover {quoted(directory)}"
        )
    emit("marsa.node.restore/1", value, text)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that appears with the first report, which knows the total."""
    with ExitStack() as stack:
        bars: list[Progress] = []

        def report(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(Progress(what, total, "bytes")))
            bars[0].reach(done)

        yield report
