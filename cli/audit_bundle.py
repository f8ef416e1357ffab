"""`marsa audit reserve` and `marsa audit verify-bundle`: every coin against its reserve, proved.

Both show what `cli.verify_bundle` found, and nothing that it did not find; the first takes the
bundle from a node, the second from a file. An earlier bundle says what has changed since.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.audit import genesis_option, genesis_path
from cli.base import Command, examples, settings
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.output import emit, table
from cli.units import percent
from ledger.amounts import format_amount
from ledger.times import DAY_MS, HOUR_MS, MINUTE_MS, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.verify_bundle import Report
    from cli.verify_bytes import Refused
    from cli.verify_reserve import Row

RESERVE_SCHEMA = "marsa.audit.reserve/1"
VERIFY_SCHEMA = "marsa.audit.verify-bundle/1"
NAMES_SHOWN_MAX = 12
"""Objects in a line for people; JSON has them all."""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    "reserve",
    cls=Command,
    help=f"""{
        examples(
            "marsa audit reserve",
            "marsa audit reserve --bundle today.reserve",
            "marsa audit reserve --since yesterday.reserve --issuer acme --json",
        )
    }

Show what each issuer has outstanding and what stands behind it. A quorum of the validators, who
follow from those of genesis, signed the state; reserves, bands and bonds are worked out again here
from the objects in it. Exit code 9 when something does not hold, and when an issuer is in deficit
or caged.
""",
)
@click.option("--issuer", metavar="ID", help="Only this issuer.")
@click.option(
    "--bundle",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the proof in this new file, for `marsa audit verify-bundle`.",
)
@click.option("--since", type=FILE, help="Show what changed since this earlier bundle.")
@genesis_option
def reserve(
    issuer: str | None, file: Path | None, since: Path | None, genesis_file: Path | None
) -> int:
    """From one bundle, so that all figures are of one height."""
    from cli import nodes

    with nodes.connected() as node:
        genesis = _read(genesis_path(node, genesis_file))
        data = node.client.reserve_bundle()
    report = _checked(data, genesis, f"what {node.client.url} shows")
    earlier = None if since is None else _checked(_read(since), genesis, str(since))
    rows = [row for row in report.rows if issuer in (None, row.issuer)]
    if not rows:
        known = ", ".join(row.issuer for row in report.rows)
        detail = f"there is no issuer '{issuer}' (issuers: {known})"
        raise not_found("unknown_issuer", detail, "marsa audit reserve")
    if earlier is not None and earlier.height > report.height:
        detail = f"{since} is of height {earlier.height}, the node's last block is {report.height}"
        raise usage_error("later_bundle", detail, "give an earlier bundle to --since")
    if file is not None:
        _write_new(file, data)
    is_sound = all(row.is_sound for row in rows)
    value = {
        "height": report.height,
        "issuers": [row_json(row) | _changes_json(row, earlier) for row in rows],
        "ok": is_sound,
        "since": None if earlier is None else earlier.height,
        "objects": None if earlier is None else _objects_changed(report, earlier),
        "bundle": None if file is None else _file_json(file, data),
    }
    emit(RESERVE_SCHEMA, value, lambda: _reserve_text(report, rows, earlier, file, data))
    return ExitCode.OK if is_sound else ExitCode.CHECK_FAILED


@click.command(
    "verify-bundle",
    cls=Command,
    help=f"""{
        examples(
            "marsa audit verify-bundle today.reserve --genesis genesis.json",
            "marsa audit verify-bundle today.reserve --genesis genesis.json --json",
        )
    }

Check a bundle of `marsa audit reserve` with nothing but the genesis file: no node, no network, and
code that shares nothing with a node's. Says line by line what holds. Exit code 9 when something
does not, and when an issuer is in deficit or caged.
""",
)
@click.argument("bundle", type=FILE)
@click.option(
    "--genesis", "genesis_file", type=FILE, required=True, help="The genesis file that you trust."
)
def verify_bundle(bundle: Path, genesis_file: Path) -> int:
    """The first thing that does not hold ends it, after what did."""
    from cli.verify_bundle import Report, verify
    from cli.verify_bytes import Refused
    from cli.verify_chain import Trust

    report, fault = Report(), None
    try:
        verify(report, _read(bundle), Trust.of(_read(genesis_file)))
    except Refused as error:
        fault = error
    emit(VERIFY_SCHEMA, _verify_json(report, fault), lambda: _verify_text(report, fault))
    if fault is not None and not settings().json:
        raise _failed(fault, str(bundle))
    holds = fault is None and not report.deficits
    return ExitCode.OK if holds else ExitCode.CHECK_FAILED


def row_json(row: Row) -> dict[str, object]:
    """One issuer; amounts are decimal strings, times those of the ledger clock."""
    return {
        "issuer": row.issuer,
        "status": row.band,
        "outstanding": str(row.outstanding),
        "reserve": str(row.reserve),
        "coverage_ppm": row.coverage_ppm,
        "deliverability_ppm": row.deliverability_ppm,
        "due": str(row.due),
        "residual": str(row.residual),
        "headroom": str(max(0, row.limit - row.outstanding)),
        "licence": row.licence,
        "asset": row.asset.hex(),
        "is_frozen": row.is_frozen,
        "minted": str(row.minted),
        "mint_cap": str(row.mint_cap),
        "bond_required": str(row.bond_required),
        "bond_worth": str(row.bond_worth),
        "bond": [
            {"issuer": part.issuer, "amount": str(part.amount), "counts": part.counts}
            for part in row.bond
        ],
        "commitments": row.commitments,
        "contested": row.contested,
        "oldest_attestation_ms": row.oldest_ms,
        "newest_attestation_ms": row.newest_ms,
        "until_ms": row.until_ms,
    }


def rows_text(rows: Sequence[Row], earlier: Report | None = None) -> str:
    """A table; with an earlier report, what has changed stands behind each figure."""
    headings = ["issuer", "band", "outstanding", "reserve", "coverage", "due in 7 d", "attested"]
    headings += ["until", "bond"]
    lines = []
    for row in rows:
        before = _of(earlier, row.issuer)
        lines.append(
            [
                row.issuer,
                row.band + (f" (was {before.band})" if before and before.band != row.band else ""),
                format_amount(row.outstanding) + _changed(row.outstanding, before, "outstanding"),
                format_amount(row.reserve) + _changed(row.reserve, before, "reserve"),
                percent(row.coverage_ppm),
                percent(row.deliverability_ppm),
                _ages(row),
                "-" if row.until_ms is None else rfc3339(row.until_ms)[:10],
                _bond(row, before),
            ]
        )
    notes = [note for row in rows for note in _notes(row)]
    return "\n".join([table(headings, lines), *notes])


def _ages(row: Row) -> str:
    """Of the newest and the oldest attestation that is counted on."""
    if row.newest_ms is None or row.oldest_ms is None:
        return "never"
    newest, oldest = _age(row.newest_ms), _age(row.oldest_ms)
    return f"{oldest} ago" if newest == oldest else f"{newest} to {oldest} ago"


def _bond(row: Row, before: Row | None) -> str:
    """What it counts for, of what is required."""
    worth = format_amount(row.bond_worth) + _changed(row.bond_worth, before, "bond_worth")
    return f"{worth} of {format_amount(row.bond_required)}"


def _notes(row: Row) -> Iterator[str]:
    """What does not go without saying."""
    if row.licence != "active":
        yield f"{row.issuer}: the licence is {row.licence}"
    if row.is_frozen:
        yield f"{row.issuer}: attestations contradict each other, nothing is minted meanwhile"
    if row.residual:
        claims = format_amount(row.residual)
        yield f"{row.issuer}: {claims} of claims wait for cover, for coins that had none"
    if row.contested:
        yield f"{row.issuer}: contested commitments: {row.contested}"
    if row.bond_worth < row.bond_required:
        parts = sum(not part.counts for part in row.bond)
        yield f"{row.issuer}: the bond is short; {parts} of its {len(row.bond)} coins do not count"


def _checked(data: bytes, genesis: bytes, source: str) -> Report:
    from cli.verify_bundle import Report, verify
    from cli.verify_bytes import Refused
    from cli.verify_chain import Trust

    report = Report()
    try:
        verify(report, data, Trust.of(genesis))
    except Refused as error:
        raise _failed(error, source) from None
    return report


def _failed(fault: Refused, source: str) -> CliError:
    return CliError(
        fault.fault.value,
        f"{source} is not proved: {fault.detail}",
        hint="ask another node for a bundle: marsa audit reserve --bundle FILE --node URL",
        exit_code=ExitCode.CHECK_FAILED,
    )


def _read(file: Path) -> bytes:
    """No more than the largest file that is read, and a byte that says that there was more."""
    from cli.verify_bundle import BUNDLE_BYTES_MAX

    with file.open("rb") as opened:
        return opened.read(BUNDLE_BYTES_MAX + 1)


def _write_new(file: Path, data: bytes) -> None:
    """Nothing is overwritten: an old bundle may be the only copy of what was proved then."""
    from node.files import write_new

    try:
        write_new(file, data, 0o644)
    except FileExistsError:
        hint = "name another file, or move that one away"
        raise CliError(
            "file_exists", f"{file} exists and is not changed", hint=hint, exit_code=ExitCode.USAGE
        ) from None


def _file_json(file: Path, data: bytes) -> dict[str, object]:
    return {"file": str(file), "bytes": len(data), "sha256": sha256(data).hexdigest()}


def _changes_json(row: Row, earlier: Report | None) -> dict[str, object]:
    if earlier is None:
        return {}
    before = _of(earlier, row.issuer)
    return {
        "outstanding_change": str(row.outstanding - (before.outstanding if before else 0)),
        "reserve_change": str(row.reserve - (before.reserve if before else 0)),
        "bond_change": str(row.bond_worth - (before.bond_worth if before else 0)),
        "status_before": before.band if before else None,
    }


def _objects_changed(report: Report, earlier: Report) -> dict[str, list[str]]:
    """Names of what came, went, or is another now; the clock always is."""
    now, then = report.objects, earlier.objects
    changed = [name for name in now if name in then and now[name] != then[name]]
    return {
        "added": sorted(now.keys() - then.keys()),
        "removed": sorted(then.keys() - now.keys()),
        "changed": sorted(changed),
    }


def _verify_json(report: Report, fault: Refused | None) -> dict[str, object]:
    """`checks` are what held, in order; `fault` is what did not."""
    return {
        "ok": fault is None and not report.deficits,
        "chain_id": report.chain_id.hex(),
        "epoch": report.epoch,
        "height": report.height,
        "time_ms": report.time_ms,
        "ledger_time_ms": report.ledger_ms,
        "signers": report.signers,
        "checks": [{"what": item.what, "found": item.found} for item in report.checks],
        "issuers": [row_json(row) for row in report.rows],
        "deficits": report.deficits,
        "fault": None if fault is None else {"code": fault.fault.value, "detail": fault.detail},
    }


def _verify_text(report: Report, fault: Refused | None) -> str:
    lines = [f"ok  {item.what:<13} {item.found}" for item in report.checks]
    if fault is None:
        lines += ["", rows_text(report.rows), _signed(report), _verdict(report)]
    return "\n".join(lines)


def _verdict(report: Report) -> str:
    if report.deficits:
        return f"the bundle holds; in deficit or caged: {', '.join(report.deficits)}"
    warned = [row.issuer for row in report.rows if row.band == "warn"]
    more = f"; minting stopped by margin or deliverability: {', '.join(warned)}" if warned else ""
    return f"the bundle holds, and every issuer's coins are covered{more}"


def _reserve_text(
    report: Report, rows: Sequence[Row], earlier: Report | None, file: Path | None, data: bytes
) -> str:
    lines = [rows_text(rows, earlier), _signed(report)]
    if earlier is not None:
        lines.append(f"in brackets: since height {earlier.height}, {rfc3339(earlier.time_ms)}")
        for what, names in _objects_changed(report, earlier).items():
            if names:
                lines.append(f"{what}: {_shortened(names)}")
    if file is not None:
        lines.append(f"{file}: {len(data):,} bytes, sha256 {sha256(data).hexdigest()}")
    return "\n".join(lines)


def _shortened(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN_MAX
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def _signed(report: Report) -> str:
    when = rfc3339(report.time_ms)
    return f"height {report.height}, {when}, signed by {len(report.signers)} validators"


def _of(report: Report | None, issuer: str) -> Row | None:
    rows = report.rows if report else []
    return next((row for row in rows if row.issuer == issuer), None)


def _changed(amount: int, before: Row | None, name: str) -> str:
    if before is None:
        return ""
    change = amount - getattr(before, name)
    sign = "+" if change > 0 else "-"
    return f" ({sign}{format_amount(abs(change))})" if change else ""


def _age(age_ms: int) -> str:
    for unit_ms, unit in ((DAY_MS, "d"), (HOUR_MS, "h")):
        if age_ms >= unit_ms:
            return f"{age_ms // unit_ms} {unit}"
    return f"{age_ms // MINUTE_MS} min"
