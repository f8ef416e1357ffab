"""Checking a transaction's proof with the genesis file alone: no node is asked or trusted.

The file is what `marsa tx proof` writes. From its bytes and the genesis everything is computed
again: chain id and validators, txid, leaf, path to the header's root, hash of the header, and a
quorum's signatures over that hash. Fields that only repeat what was computed must agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cli.errors import CliError, ExitCode
from ledger import genesis as genesis_file
from ledger import transaction
from ledger.block import COMMIT, Header, check_certificate, header_hash
from ledger.merkle import verify_merkle
from ledger.reasons import Invalid
from ledger.transaction import SignedTransaction
from ledger.validators import ValidatorSet
from node.api import convert, schemas


@dataclass(frozen=True, slots=True)
class Verified:
    """What a proof has shown, each step as a sentence."""

    tx: SignedTransaction
    header: Header
    signers: tuple[str, ...]
    checks: tuple[str, ...]


def read_proof(data: bytes, source: str) -> schemas.TransactionProof:
    """A proof file; raises CliError(bad_proof)."""
    try:
        return msgspec.json.decode(data, type=schemas.TransactionProof)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _failed(f"{source} is not a proof: {error}") from None


def verify(proof: schemas.TransactionProof, genesis_data: bytes) -> Verified:
    """Run every check; raises CliError(bad_proof or a reason of the ledger) with exit code 9."""
    try:
        return _verify(proof, genesis_data)
    except Invalid as error:
        raise _failed(error.detail, code=error.reason.value) from None


def _verify(proof: schemas.TransactionProof, genesis_data: bytes) -> Verified:
    genesis = genesis_file.load(genesis_data)
    chain_id = genesis_file.chain_id(genesis)
    validators = genesis.validators
    header = convert.read_header(proof.header)
    _need(header.chain_id == chain_id, f"the header is of chain {header.chain_id.hex()}")
    checks = [f"the genesis file gives chain {chain_id.hex()}, which the header names"]

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
        f"{len(signers)} of {validators.n} validators of the genesis signed block "
        f"{block_hash.hex()}: {', '.join(signers)}"
    )
    return Verified(tx, header, signers, tuple(checks))


def _check_quorum(
    proof: schemas.TransactionProof, header: Header, block_hash: bytes, validators: ValidatorSet
) -> tuple[str, ...]:
    """A quorum of the genesis set committed exactly this header; their licences."""
    certificate = convert.read_certificate(proof.certificate)
    _need(header.validators_hash == validators.hash, "other validators than those of the genesis")
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
