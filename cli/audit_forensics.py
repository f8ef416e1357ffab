"""`marsa audit forensics`: who made two contradicting blocks final, from exported files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, examples
from cli.errors import CliError, ExitCode, usage_error
from cli.output import emit, table

if TYPE_CHECKING:
    from consensus.forensics import Finding, Message, Proof
    from consensus.testimony import Material
    from consensus.view_change import Rules
    from ledger.block import Certificate
    from ledger.genesis import Genesis
    from ledger.reasons import Invalid

SCHEMA = "marsa.audit.forensics/1"
FILES_MAX = 32
"""One for each member of the largest set."""

MATERIAL = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    "forensics",
    cls=Command,
    help=f"""{
        examples(
            "marsa node export-forensics val0 a.forensics --from 4100 --to 4200",
            "marsa audit forensics a.forensics b.forensics --genesis genesis.json",
        )
    }

Compare what two operators exported. Where their chains contradict each other, name the validators
who made that possible, each with signed messages that prove it. Files of further operators help
where a message is missing. Exit code 9 when the two contradict each other, 0 when they do not.
""",
)
@click.argument("one", metavar="A", type=MATERIAL)
@click.argument("other", metavar="B", type=MATERIAL)
@click.argument("more", metavar="[MORE]...", type=MATERIAL, nargs=-1)
@click.option(
    "--genesis",
    "genesis_file",
    type=MATERIAL,
    help="The genesis file that you trust; that of the devnet on this machine unless given.",
)
def forensics(one: Path, other: Path, more: tuple[Path, ...], genesis_file: Path | None) -> int:
    """All signatures are verified here; the files are trusted for nothing."""
    from consensus.forensics import investigate
    from ledger.reasons import Invalid

    files = [one, other, *more]
    if len(files) > FILES_MAX:
        raise usage_error("too_many_files", f"{len(files)} files, at most {FILES_MAX} are read")
    materials = [read_material(file) for file in files]
    genesis = _genesis(materials[0].chain_id, one, genesis_file)
    try:
        rules = rules_for(materials[0], genesis)
        finding = investigate(materials, rules)
    except Invalid as error:
        raise _bad_export(", ".join(map(str, files)), error) from None
    emit(SCHEMA, to_json(finding, rules), lambda: to_text(finding, rules))
    return ExitCode.OK if finding is None else ExitCode.CHECK_FAILED


HINT_EXPORT = "export the same heights of both nodes: marsa node export-forensics DIRECTORY FILE"


def read_material(file: Path) -> Material:
    """A file of `marsa node export-forensics`; raises CliError."""
    from consensus.testimony import MATERIAL_BYTES_MAX, Material
    from ledger import codec
    from ledger.reasons import Invalid

    with file.open("rb") as opened:
        data = opened.read(MATERIAL_BYTES_MAX + 1)
    try:
        return codec.decode(data, Material, size_max=MATERIAL_BYTES_MAX)
    except Invalid as error:
        raise _bad_export(f"{file} is no export", error) from None


def _bad_export(what: str, error: Invalid) -> CliError:
    """Not exit code 9: that is the verdict that the files contradict each other."""
    return CliError(
        "bad_export",
        f"{what}: {error.detail}",
        hint=HINT_EXPORT,
        exit_code=ExitCode.USAGE,
        details={"reason": error.reason.value},
    )


def rules_for(material: Material, genesis: Genesis) -> Rules:
    """What to check by, from the genesis file and the sets of the material; raises Invalid.

    The first set is that of the genesis. A later one is believed as far as headers that both
    sides signed name it: a false set convicts nobody (see `consensus.forensics`).
    """
    from consensus.view_change import Rules
    from ledger.crypto import verify
    from ledger.genesis_state import genesis_state
    from ledger.reasons import Invalid, Reason
    from ledger.validators import ValidatorSet

    epoch = material.validators.epoch
    expected = list(range(max(0, epoch - 1), epoch + 1))
    sets = [*material.previous, material.validators]
    if [item.epoch for item in sets] != expected:
        raise Invalid(Reason.BAD_HEADER, f"epoch {epoch} comes with the sets of other epochs")
    for item in sets:
        if ValidatorSet.of(item.members, item.epoch) != item:
            raise Invalid(Reason.BAD_HEADER, f"the set of epoch {item.epoch} is out of order")
        if item.epoch == 0 and item != genesis.validators:
            raise Invalid(Reason.BAD_HEADER, "the set of epoch 0 is not that of the genesis")
    return Rules.of(
        genesis_state(genesis).head.header,
        material.validators,
        genesis.parameters,
        cache(verify),
        previous=material.previous[0] if material.previous else None,
    )


def to_json(finding: Finding | None, rules: Rules) -> dict[str, object]:
    """`proved` says whether more members than f are named."""
    if finding is None:
        return {"conflict": False, "epoch": rules.epoch, "culprits": []}
    members, needed = rules.validators.members, rules.validators.f + 1
    missing = finding.missing
    return {
        "conflict": True,
        "epoch": rules.epoch,
        "height": finding.height,
        "blocks": [
            {
                "hash": item.block_hash.hex(),
                "view": item.view,
                "signers": _names(item.signer_indices, rules),
            }
            for item in (finding.first, finding.second)
        ],
        "needed": needed,
        "proved": len(finding.culprits) >= needed,
        "culprits": [
            {
                "licence": members[index].licence,
                "key": members[index].key.hex(),
                "member": index,
                "proofs": [_proof_json(item) for item in finding.proofs if item.member == index],
            }
            for index in finding.culprits
        ],
        "missing": None
        if missing is None
        else {
            "view": missing.view,
            "height": missing.height,
            "hash": missing.block_hash.hex(),
            "holders": _names(missing.holders, rules),
        },
    }


def to_text(finding: Finding | None, rules: Rules) -> str:
    """For people: the two blocks, who is guilty of what, and what is missing."""
    if finding is None:
        return "the files do not contradict each other"
    members, needed = rules.validators.members, rules.validators.f + 1
    lines = [f"two final blocks at height {finding.height}, epoch {rules.epoch}"]
    lines += [_block_text(item, rules) for item in (finding.first, finding.second)]
    rows = [
        [members[item.member].licence, item.offence.value, "; ".join(map(_describe, item.messages))]
        for item in finding.proofs
    ]
    if rows:
        lines += ["", table(["guilty", "of", "signed"], rows), ""]
    lines.append(f"{len(finding.culprits)} proved guilty, at least {needed} must be")
    missing = finding.missing
    if missing is not None:
        names = ", ".join(_names(missing.holders, rules))
        lines.append(
            f"the NEW-VIEW of view {missing.view} that led to block {missing.block_hash.hex()} is "
            f"missing: add the export of whoever of {names} is honest"
        )
    elif len(finding.culprits) < needed:
        lines.append("export more heights below the conflict; or as many as a quorum are evil")
    return "\n".join(lines)


def _genesis(chain_id: bytes, source: Path, file: Path | None) -> Genesis:
    """The file given, or that of a devnet of this chain on this machine."""
    from cli.accounts import devnets
    from ledger import genesis as genesis_rules

    wanted = chain_id.hex()
    chosen = file
    if chosen is None:
        found = [directory / "genesis.json" for directory in devnets(wanted)]
        chosen = next((path for path in found if path.is_file()), None)
    if chosen is None:
        raise usage_error(
            "genesis_needed",
            f"no devnet on this machine has the chain {wanted} of {source}",
            "name the genesis file that you trust with --genesis FILE",
        )
    with chosen.open("rb") as opened:
        genesis = genesis_rules.load(opened.read(genesis_rules.GENESIS_BYTES_MAX + 1))
    expected = genesis_rules.chain_id(genesis).hex()
    if expected != wanted:
        raise CliError(
            "wrong_chain",
            f"{source} is of chain {wanted}, {chosen} of chain {expected}",
            hint="use the genesis file of that chain",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return genesis


def _names(indices: list[int] | tuple[int, ...], rules: Rules) -> list[str]:
    return [rules.validators.members[index].licence for index in indices]


def _block_text(certificate: Certificate, rules: Rules) -> str:
    signers = ", ".join(_names(certificate.signer_indices, rules))
    return f"  {certificate.block_hash.hex()} in view {certificate.view}, by {signers}"


def _proof_json(proof: Proof) -> dict[str, object]:
    from ledger import codec

    return {
        "offence": proof.offence.name.lower(),
        "messages": [
            {"text": _describe(item), "bytes": codec.encode(item).hex()} for item in proof.messages
        ],
        "ancestors": [codec.encode(header).hex() for header in proof.ancestors],
    }


def _describe(message: Message) -> str:
    from consensus.messages import NewView, Prepare, ViewChange

    if isinstance(message, ViewChange):
        body = message.body
        heights = ", ".join(str(entry.header.height) for entry in body.entries) or "none"
        return f"VIEW-CHANGE to view {body.view} from height {body.base.height}, entries: {heights}"
    if isinstance(message, NewView):
        return f"NEW-VIEW of view {message.body.view}"
    name = "PREPARE" if isinstance(message, Prepare) else "COMMIT"
    block = message.block_hash.hex()[:16]
    return f"{name} of {block} at height {message.height} in view {message.view}"
