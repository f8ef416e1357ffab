"""`marsa tx sign`: look at what a file would do, and add a signature or a secret.

No node is asked: the file holds all that is signed, and the genesis file says whom to trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.output import confirm, emit, note
from cli.passwords import password_options, read_password
from cli.tx_create import PTX
from cli.tx_lock import read_secret
from cli.tx_text import body_text
from cli.units import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.wallet.ptx import Ptx
    from ledger.crypto import SigningKey

REGULATOR_KEYS = 16
"""As many as a regulator may have."""
GENESIS = click.option("--genesis", type=PTX, metavar="FILE", help="The chain's genesis file.")


@click.command(
    "sign",
    cls=Command,
    short_help="Add a signature to a file.",
    help=f"""{
        examples(
            "marsa tx sign rent.ptx --from savings",
            "marsa tx sign admit.ptx --key kite-keys/roles.json --genesis genesis.json",
            "marsa tx sign swap.ptx --from bob --secret swap.secret",
        )
    }

Show what a file would do, and sign it. A wallet or account signs payments, the role keys of a
provider (roles.json, or the directory that holds it) and the regulator's keys, one a file,
government; on a devnet --validator ID and --regulator NUMBER stand for such files. No node is
asked. Whoever signs an admission checks the certificate in it against the authority in the genesis
file. A secret (see `tx secret`) goes into the file for a lock that asks for it, with a signature or
alone.
""",
)
@click.argument("file", type=PTX, metavar="FILE.ptx")
@click.option("--from", "sender", metavar="NAME", help="Account or wallet that signs.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Role keys of a provider, or a key of the regulator.",
)
@click.option("--validator", metavar="ID", help="The role keys of this validator of a devnet.")
@click.option(
    "--regulator",
    type=Number(1, REGULATOR_KEYS),
    help="This one of the keys of a devnet's regulator.",
)
@click.option("--secret", type=PTX, metavar="FILE", help="Reveal the secret of a hash lock.")
@GENESIS
@password_options
def sign(
    file: Path,
    sender: str | None,
    key: Path | None,
    validator: str | None,
    regulator: int | None,
    secret: Path | None,
    genesis: Path | None,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """Checks come before the question, the question before the password."""
    from cli import payments, tx_file
    from cli.wallet import ptx as ptxs

    signers = [item for item in (sender, key, validator, regulator) if item is not None]
    if len(signers) > 1 or not (signers or secret):
        detail = "say who signs: one of --from, --key, --validator and --regulator"
        raise usage_error("usage", detail)
    ptx = tx_file.read(file)
    if ptx.is_governance and sender is not None:
        detail = "government is signed with operations keys of validators and the regulator's keys"
        raise usage_error("usage", detail, f"marsa tx sign {quoted(file)} --key roles.json")
    tx_file.check_not_expired(file, ptx, payments.now_ms())
    _check_admissions(ptx, genesis)
    preimages = [] if secret is None else [read_secret(secret)]
    with tx_file.refusing(file):
        ptxs.reveal(ptx, preimages)
    if sender is not None:
        keys = _wallet_keys(ptx, sender, password_fd, password_file)
    else:
        keys = _role_keys(ptx, key, validator, regulator) if signers else ()

    def change(found: Ptx) -> Ptx:
        revealed = ptxs.reveal(_same(ptx, found), preimages)
        return ptxs.sign(revealed, keys) if keys else revealed

    before, after = tx_file.update(file, change)
    added = sorted(after.signers - before.signers)
    value = {
        "file": str(file),
        "txid": ptx.txid.hex(),
        "signed_by": [item.public.hex() for item in keys if item.public in after.signers],
        "added": len(added),
        "signatures": len(after.signatures),
        "secrets": len(after.preimages),
    }
    said = [f"secrets in it: {len(after.preimages)}"] if secret else []
    if keys:
        count = f"{len(added)} new, {len(after.signatures)} in all"
        said.append(f"signed: {count if added else 'was signed by it before'}")
    emit("marsa.tx.sign/1", value, f"{'; '.join(said)}; next: marsa tx inspect {quoted(file)}")


def _check_admissions(ptx: Ptx, genesis: Path | None) -> None:
    from cli import payments, validator_grant, validator_keys
    from ledger.operations import Admit

    grants = [item.grant for item in ptx.body.operations if isinstance(item, Admit)]
    if grants:
        trusted = validator_keys.find_genesis(ptx.body.chain_id.hex(), genesis)
        for grant in grants:
            validator_grant.check(grant, trusted, payments.now_ms())


def _wallet_keys(
    ptx: Ptx, sender: str, password_fd: int | None, password_file: Path | None
) -> Sequence[SigningKey]:
    from cli import accounts
    from cli.wallet import ptx as ptxs

    holder = accounts.find_holder(
        sender,
        lambda name: read_password(name, password_fd, password_file),
        chain_id=ptx.body.chain_id.hex(),
    )
    useful = ptxs.signing_keys(ptx)
    if useful is not None and useful.isdisjoint(holder.public_keys):
        raise _not_a_signer(ptx, f"no key of '{sender}'")
    _ask(ptx, sender, is_public=holder.is_public)
    return holder.unlock()


def _role_keys(
    ptx: Ptx, key: Path | None, validator: str | None, regulator: int | None
) -> Sequence[SigningKey]:
    """Government wants the operations key alone."""
    from cli import key_files
    from cli.wallet import ptx as ptxs

    if key is not None:
        name, keys = key_files.load_keys(key)
    elif validator is not None:
        name, keys = validator, _devnet_keys(ptx, validator)
    else:
        name, keys = f"regulator {regulator}", _devnet_regulator(ptx, regulator or 0)
    if ptx.is_governance:
        keys = keys[:1]
    useful = ptxs.signing_keys(ptx)
    if useful is not None and useful.isdisjoint(item.public for item in keys):
        raise _not_a_signer(ptx, f"no role key of '{name}'")
    _ask(ptx, name, is_public=key is None)
    return keys


def _devnet_keys(ptx: Ptx, validator: str) -> tuple[SigningKey, ...]:
    from cli import validator_keys

    keys = validator_keys.devnet_provider_keys(ptx.body.chain_id.hex(), validator)
    if not keys:
        detail = f"there is no key of validator '{validator}' of a devnet with this chain here"
        raise not_found("unknown_validator_key", detail, "give the key itself with --key FILE")
    return keys


def _devnet_regulator(ptx: Ptx, number: int) -> tuple[SigningKey, ...]:
    from cli import validator_keys

    genesis = validator_keys.devnet_genesis(ptx.body.chain_id.hex())
    wanted = [] if genesis is None else [key.hex() for key in genesis.regulator.keys]
    keys = () if genesis is None else validator_keys.devnet_regulator_keys(genesis, wanted)
    if not 1 <= number <= len(keys):
        detail = f"there is no regulator's key {number} of a devnet with this chain here"
        raise not_found("unknown_regulator_key", detail, "give the key itself with --key FILE")
    return keys[number - 1 : number]


def _ask(ptx: Ptx, name: str, *, is_public: bool) -> None:
    """What is signed is shown first; keys that everybody knows sign without a question."""
    note(body_text(ptx), verbosity=-1)
    if not is_public:
        confirm(f"Sign this as '{name}'?")


def _not_a_signer(ptx: Ptx, who: str) -> CliError:
    return CliError(
        "spare_signature",
        f"nothing in transaction {ptx.txid.hex()} needs a signature by {who}",
        hint="marsa tx inspect shows who may sign",
        exit_code=ExitCode.CHECK_FAILED,
    )


def _same(shown: Ptx, found: Ptx) -> Ptx:
    """What is signed is what was shown, though the file may have got signatures meanwhile."""
    from ledger.reasons import Invalid, Reason

    if shown.body != found.body:
        raise Invalid(Reason.BAD_BODY, "it holds another transaction than a moment ago")
    return found
