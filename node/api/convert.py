"""Ledger structs as answers, and what clients send or hold as ledger structs.

Both directions are here, so that a test can walk there and back. Reading is strict: whatever a
form holds ends as canonical bytes that `ledger.transaction.decode` reads like any others, so JSON
and MessagePack are refused for the same reasons.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger import block as blocks
from ledger import codec, locks, transaction
from ledger.crypto import HASH_BYTES
from ledger.merkle import MerkleProof
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339
from ledger.transaction import SignedTransaction
from ledger.validators import VALIDATORS_MAX, ValidatorSet
from node.api import forms, schemas, transaction_forms
from node.api.convert_operations import operation_form, read_operation

CONDITION_DEPTH_MAX = 2 * locks.DEPTH_MAX
"""Deeper JSON is not turned into anything: `check_condition` refuses half of it already."""


# Ledger to answer.


def header_answer(header: blocks.Header) -> schemas.Header:
    return schemas.Header(
        hash=blocks.header_hash(header).hex(),
        version=header.version,
        chain_id=header.chain_id.hex(),
        epoch=header.epoch,
        height=header.height,
        parent_hash=header.parent_hash.hex(),
        tx_root=header.tx_root.hex(),
        evidence_root=header.evidence_root.hex(),
        receipts_root=header.receipts_root.hex(),
        state_root=header.state_root.hex(),
        validators_hash=header.validators_hash.hex(),
        next_validators_hash=header.next_validators_hash.hex(),
        time_ms=header.time_ms,
        time=rfc3339(header.time_ms),
        proposer=header.proposer.hex(),
    )


def certificate_answer(
    certificate: blocks.Certificate, validators: ValidatorSet
) -> schemas.Certificate:
    signers = zip(certificate.signer_indices, certificate.signatures, strict=True)
    return schemas.Certificate(
        epoch=certificate.epoch,
        phase=certificate.phase,
        view=certificate.view,
        height=certificate.height,
        block_hash=certificate.block_hash.hex(),
        signers=[
            schemas.Signer(
                index=index,
                licence=validators.members[index].licence,
                signature=signature.hex(),
            )
            for index, signature in signers
        ],
    )


def transaction_answer(tx: SignedTransaction) -> transaction_forms.TransactionForm:
    return transaction_forms.TransactionForm(
        body=_body_form(tx.body),
        witness=transaction_forms.WitnessForm(
            conditions=[condition_form(item) for item in tx.witness.conditions],
            signatures=[
                transaction_forms.SignatureForm(key=item.key.hex(), signature=item.signature.hex())
                for item in tx.witness.signatures
            ],
            preimages=[item.hex() for item in tx.witness.preimages],
        ),
    )


def _body_form(body: transaction.Transaction) -> transaction_forms.BodyForm:
    return transaction_forms.BodyForm(
        version=body.version,
        chain_id=body.chain_id.hex(),
        inputs=[
            forms.InputForm(
                txid=item.txid.hex(),
                index=item.index,
                asset=item.asset.hex(),
                amount=str(item.amount),
            )
            for item in body.inputs
        ],
        outputs=[
            forms.OutputForm(asset=item.asset.hex(), amount=str(item.amount), lock=item.lock.hex())
            for item in body.outputs
        ],
        fee=forms.FeeForm(asset=body.fee.asset.hex(), amount=str(body.fee.amount)),
        operations=[operation_form(item) for item in body.operations],
        expires_at_ms=body.expires_at_ms,
        memo=body.memo.hex(),
    )


def _part_forms(parts: Iterable[locks.Condition]) -> list[transaction_forms.ConditionForm]:
    return [condition_form(part) for part in parts]


def condition_form(condition: locks.Condition) -> transaction_forms.ConditionForm:
    match condition:
        case locks.Key():
            return transaction_forms.KeyForm(key=condition.key.hex())
        case locks.Threshold():
            keys = [key.hex() for key in condition.keys]
            return transaction_forms.ThresholdForm(needed=condition.needed, keys=keys)
        case locks.After():
            return transaction_forms.AfterForm(unit=condition.unit, value=condition.value)
        case locks.Before():
            return transaction_forms.BeforeForm(unit=condition.unit, value=condition.value)
        case locks.HashLock():
            return transaction_forms.HashForm(digest=condition.digest.hex())
        case locks.All():
            return transaction_forms.AllForm(
                parts=[condition_form(part) for part in condition.parts]
            )
        case locks.Any():
            return transaction_forms.AnyForm(
                parts=[condition_form(part) for part in condition.parts]
            )


def list_proof_answer(proof: MerkleProof) -> schemas.ListProof:
    return schemas.ListProof(
        index=proof.index, count=proof.count, path=[step.hex() for step in proof.path]
    )


# Answer or form to ledger; raises Invalid(MALFORMED) where a value cannot be.


def read_hash(text: str, what: str) -> bytes:
    """32 bytes of strict lower-case hex."""
    data = read_hex(text, what)
    if len(data) != HASH_BYTES:
        raise Invalid(Reason.MALFORMED, f"{what} has {len(data)} bytes, expected {HASH_BYTES}")
    return data


def read_hex(text: str, what: str) -> bytes:
    """Strict lower-case hex: what is read is written back the same."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise Invalid(Reason.MALFORMED, f"{what} is not hex") from None
    if data.hex() != text:
        raise Invalid(Reason.MALFORMED, f"{what} is not lower-case hex")
    return data


def read_transaction(form: transaction_forms.TransactionForm) -> bytes:
    """The canonical bytes of a transaction form; whether they are valid is not looked at."""
    sealed = transaction.SealedTransaction(
        body=_read_body(form.body),
        witness=transaction.Witness(
            conditions=tuple([read_condition(item) for item in form.witness.conditions]),
            signatures=tuple(
                [
                    transaction.KeySignature(bytes.fromhex(item.key), bytes.fromhex(item.signature))
                    for item in form.witness.signatures
                ]
            ),
            preimages=tuple([bytes.fromhex(item) for item in form.witness.preimages]),
        ),
    )
    return codec.encode(sealed)


def _read_body(body: transaction_forms.BodyForm) -> transaction.Transaction:
    return transaction.Transaction(
        version=body.version,
        chain_id=bytes.fromhex(body.chain_id),
        inputs=tuple(
            [
                transaction.Input(
                    bytes.fromhex(item.txid),
                    item.index,
                    bytes.fromhex(item.asset),
                    int(item.amount),
                )
                for item in body.inputs
            ]
        ),
        outputs=tuple(
            [
                transaction.Output(
                    bytes.fromhex(item.asset), int(item.amount), bytes.fromhex(item.lock)
                )
                for item in body.outputs
            ]
        ),
        fee=transaction.Fee(bytes.fromhex(body.fee.asset), int(body.fee.amount)),
        operations=tuple([read_operation(item) for item in body.operations]),
        expires_at_ms=body.expires_at_ms,
        memo=bytes.fromhex(body.memo),
    )


def read_condition(form: transaction_forms.ConditionForm) -> locks.Condition:
    """The condition of a form; `check_condition` is for the caller."""
    return _read_condition(form, CONDITION_DEPTH_MAX)


def _read_condition(form: transaction_forms.ConditionForm, depth_left: int) -> locks.Condition:
    if not depth_left:
        raise Invalid(Reason.BAD_LOCK, f"conditions nest deeper than {locks.DEPTH_MAX}")
    match form:
        case transaction_forms.KeyForm():
            return locks.Key(bytes.fromhex(form.key))
        case transaction_forms.ThresholdForm():
            return locks.Threshold(form.needed, tuple([bytes.fromhex(key) for key in form.keys]))
        case transaction_forms.AfterForm():
            return locks.After(form.unit, form.value)
        case transaction_forms.BeforeForm():
            return locks.Before(form.unit, form.value)
        case transaction_forms.HashForm():
            return locks.HashLock(bytes.fromhex(form.digest))
        case transaction_forms.AllForm():
            return locks.All(tuple([_read_condition(part, depth_left - 1) for part in form.parts]))
        case transaction_forms.AnyForm():
            return locks.Any(tuple([_read_condition(part, depth_left - 1) for part in form.parts]))


def read_header(answer: schemas.Header) -> blocks.Header:
    """The header that an answer describes; its `hash` is not looked at."""
    return codec.checked(
        blocks.Header(
            version=answer.version,
            chain_id=bytes.fromhex(answer.chain_id),
            epoch=answer.epoch,
            height=answer.height,
            parent_hash=bytes.fromhex(answer.parent_hash),
            tx_root=bytes.fromhex(answer.tx_root),
            evidence_root=bytes.fromhex(answer.evidence_root),
            receipts_root=bytes.fromhex(answer.receipts_root),
            state_root=bytes.fromhex(answer.state_root),
            validators_hash=bytes.fromhex(answer.validators_hash),
            next_validators_hash=bytes.fromhex(answer.next_validators_hash),
            time_ms=answer.time_ms,
            proposer=bytes.fromhex(answer.proposer),
        )
    )


def read_certificate(answer: schemas.Certificate) -> blocks.Certificate:
    """The certificate that an answer describes; raises Invalid for an impossible signer."""
    signers = 0
    for item in answer.signers:
        if item.index >= VALIDATORS_MAX or signers >> item.index:
            raise Invalid(Reason.BAD_CERTIFICATE, "signers are not in ascending order of index")
        signers |= 1 << item.index
    return codec.checked(
        blocks.Certificate(
            epoch=answer.epoch,
            phase=answer.phase,
            view=answer.view,
            height=answer.height,
            block_hash=bytes.fromhex(answer.block_hash),
            signers=signers,
            signatures=tuple([bytes.fromhex(item.signature) for item in answer.signers]),
        )
    )


def read_list_proof(answer: schemas.ListProof) -> MerkleProof:
    return codec.checked(
        MerkleProof(answer.index, answer.count, tuple([bytes.fromhex(h) for h in answer.path]))
    )
