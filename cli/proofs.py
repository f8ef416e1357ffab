"""Checking a transaction's proof with the genesis file alone: no node is asked or trusted.

The file is what `marsa tx proof` writes. From its bytes and the genesis everything is computed
again: chain id and validators, txid, leaf, path to the header's root, hash of the header, and a
quorum's signatures over that hash. Fields that only repeat what was computed must agree. Where the
validators changed since genesis, the file holds each change.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cli.client import Client
from cli.errors import CliError, ExitCode
from cli.trust import validators_at
from ledger import genesis as genesis_file
from ledger import transaction
from ledger.block import COMMIT, Header, check_certificate, header_hash
from ledger.merkle import verify_merkle
from ledger.reasons import Invalid
from ledger.transaction import SignedTransaction
from ledger.validators import ValidatorSet
from node.api import convert, schemas
from node.api.epoch_schemas import SetChange


class Proof(schemas.TransactionProof, frozen=True, kw_only=True):
    """What a node proves, and how its validators follow from those of genesis."""

    changes: tuple[SetChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """What a proof has shown, each step as a sentence."""

    tx: SignedTransaction
    header: Header
    signers: tuple[str, ...]
    checks: tuple[str, ...]


def fetch_proof(client: Client, txid: str) -> Proof:
    """All that is needed to check it offline."""
    found = client.proof(txid)
    changes = client.set_changes(found.header.epoch)
    return Proof(**msgspec.structs.asdict(found), changes=tuple(changes))


def read_proof(data: bytes, source: str) -> Proof:
    """A proof file; raises CliError(bad_proof)."""
    try:
        return msgspec.json.decode(data, type=Proof)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _failed(f"{source} is not a proof: {error}") from None


def verify(proof: Proof, genesis_data: bytes) -> Verified:
    """Run every check; raises CliError(bad_proof or a reason of the ledger) with exit code 9."""
    try:
        return _verify(proof, genesis_data)
    except Invalid as error:
        raise _failed(error.detail, code=error.reason.value) from None


def _verify(proof: Proof, genesis_data: bytes) -> Verified:
    genesis = genesis_file.load(genesis_data)
    chain_id = genesis_file.chain_id(genesis)
    header = convert.read_header(proof.header)
    _need(header.chain_id == chain_id, f"the header is of chain {header.chain_id.hex()}")
    checks = [f"the genesis file gives chain {chain_id.hex()}, which the header names"]
    validators = validators_at(genesis, proof.changes, header.epoch)
    if proof.changes:
        count = len(proof.changes)
        checks.append(f"the validators changed {count} times since, each time signed by a quorum")

    tx = transaction.decode(convert.read_hex(proof.transaction, "the transaction"))
    _need(tx.txid.hex() == proof.txid, "the transaction's bytes have another txid")
    _need(tx.wtxid.hex() == proof.wtxid, "the transaction's bytes have another witness hash")
    _need(tx.body.chain_id == chain_id, "the transaction was signed for another chain")
    transaction.check_signatures(tx)
    checks.append(f"the bytes hash to txid {proof.txid} and their signatures are valid")

    path = convert.read_list_proof(proof.inclusion)
    _need(verify_merkle(header.tx_root, tx.wtxid, path), "the path does not lead to tx_root")
    checks.append(f"it is transaction {path.index + 1} of {path.count} of block {header.height}")

    block_hash = header_hash(header)
    _need(block_hash.hex() == proof.header.hash, "the header's fields have another hash")
    signers = _check_quorum(proof, header, block_hash, validators)
    checks.append(
        f"{len(signers)} of {validators.n} validators of epoch {header.epoch} signed block "
        f"{block_hash.hex()}: {', '.join(signers)}"
    )
    return Verified(tx, header, signers, tuple(checks))


def _check_quorum(
    proof: schemas.TransactionProof, header: Header, block_hash: bytes, validators: ValidatorSet
) -> tuple[str, ...]:
    """A quorum of the epoch's set committed exactly this header; their licences."""
    certificate = convert.read_certificate(proof.certificate)
    what = "other validators than those that follow from the genesis"
    _need(header.validators_hash == validators.hash, what)
    _need(certificate.block_hash == block_hash, "the certificate is of another block")
    _need(certificate.height == header.height, "the certificate is of another height")
    _need(certificate.epoch == header.epoch, "the certificate is of another epoch")
    check_certificate(certificate, header.chain_id, validators, COMMIT)
    return tuple(validators.members[index].licence for index in certificate.signer_indices)


def _need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _failed(otherwise)


def _failed(detail: str, *, code: str = "bad_proof") -> CliError:
    return CliError(
        code,
        f"the proof does not hold: {detail}",
        hint="fetch it again with: marsa tx proof TXID, and use the genesis file of its chain",
        exit_code=ExitCode.CHECK_FAILED,
    )
