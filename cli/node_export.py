"""`marsa node export-forensics`: what a stopped node testifies with when chains contradict."""

from __future__ import annotations

from pathlib import Path

import click

from cli.base import Command, Number, examples
from cli.errors import CliError, ExitCode, usage_error
from cli.output import emit, note
from ledger.codec import UINT_MAX

SCHEMA = "marsa.node.export-forensics/1"


@click.command(
    "export-forensics",
    cls=Command,
    help=f"""{
        examples(
            "marsa node export-forensics val0 a.forensics --from 4100 --to 4200",
            "marsa node export-forensics val0 tip.forensics --from 4200 --to 4200 --json",
        )
    }

Write headers, certificates and kept NEW-VIEWs of a range of heights of one epoch into a file for
`marsa audit forensics`. The node must not be running. Everything in the file is signed by
validators and public; it holds no transactions and no keys.
""",
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--from", "low", type=Number(0, UINT_MAX), required=True, metavar="HEIGHT")
@click.option("--to", "high", type=Number(0, UINT_MAX), required=True, metavar="HEIGHT")
def export_forensics(directory: Path, file: Path, low: int, high: int) -> None:
    """Nothing is ever overwritten: it may be the only copy of what another node said."""
    from cli import node_setup
    from cli.node_errors import node_errors_mapped
    from ledger import codec
    from node.exporting import export_directory

    if low > high:
        raise usage_error("usage", f"--from {low} is above --to {high}")
    with node_errors_mapped():
        config = node_setup.load(directory, ())
        material = export_directory(config, low, high)
    data = codec.encode(material)
    try:
        with file.open("xb") as opened:
            opened.write(data)
    except FileExistsError:
        hint = "name another file, or move that one away"
        raise CliError(
            "file_exists", f"{file} exists and is not changed", hint=hint, exit_code=ExitCode.USAGE
        ) from None
    heights = [item.header.height for item in material.blocks]
    value = {
        "file": str(file),
        "epoch": material.validators.epoch,
        "from": heights[0],
        "to": heights[-1],
        "new_views": len(material.new_views),
    }
    text = (
        f"{file}: heights {heights[0]} to {heights[-1]} of epoch {material.validators.epoch}, "
        f"{len(material.new_views)} NEW-VIEWs; compare with: marsa audit forensics {file} OTHER"
    )
    if heights[0] > low or heights[-1] < high:
        note(
            f"asked were heights {low} to {high}: a file holds those of one epoch, as far as they "
            "are stored here; ask for the others by themselves"
        )
    emit(SCHEMA, value, text)
