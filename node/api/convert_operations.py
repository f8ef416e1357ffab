"""Operations of a transaction as JSON forms, and forms as operations.

A grant stands as it does in genesis.json, so that what an authority wrote for one is good for the
other.
"""

from __future__ import annotations

from ledger import operations as ops
from ledger.block import VotePayload
from ledger.economy.licence import LicenceGrant, RoleKeys
from node.api import forms


def operation_form(operation: ops.Operation) -> forms.OperationForm:
    match operation:
        case ops.Mint():
            return forms.MintForm(
                issuer=operation.issuer,
                key=operation.key.hex(),
                lane=operation.lane,
                number=operation.number,
                amount=str(operation.amount),
            )
        case ops.Burn():
            return forms.BurnForm(asset=operation.asset.hex(), amount=str(operation.amount))
        case ops.Admit():
            grant = _grant_form(operation.grant)
            return forms.AdmitForm(grant=grant, version=operation.version)
        case ops.Remove():
            return forms.RemoveForm(licence=operation.licence, version=operation.version)
        case ops.Suspend():
            return forms.SuspendForm(licence=operation.licence, version=operation.version)
        case ops.Revoke():
            return forms.RevokeForm(licence=operation.licence, version=operation.version)
        case ops.EndEpoch():
            return forms.EndEpochForm(epoch=operation.epoch)
        case ops.ValidatorReady():
            return forms.ValidatorReadyForm(
                licence=operation.licence,
                key=operation.key.hex(),
                height=operation.height,
                block_hash=operation.block_hash.hex(),
            )
        case ops.Evidence():
            return forms.EvidenceForm(
                licence=operation.licence,
                key=operation.key.hex(),
                first=_vote_form(operation.first),
                first_signature=operation.first_signature.hex(),
                second=_vote_form(operation.second),
                second_signature=operation.second_signature.hex(),
            )


def read_operation(form: forms.OperationForm) -> ops.Operation:
    """Whether it is valid is not looked at."""
    match form:
        case forms.MintForm():
            return ops.Mint(
                issuer=form.issuer,
                key=bytes.fromhex(form.key),
                lane=form.lane,
                number=form.number,
                amount=int(form.amount),
            )
        case forms.BurnForm():
            return ops.Burn(bytes.fromhex(form.asset), int(form.amount))
        case forms.AdmitForm():
            return ops.Admit(_read_grant(form.grant), form.version)
        case forms.RemoveForm():
            return ops.Remove(form.licence, form.version)
        case forms.SuspendForm():
            return ops.Suspend(form.licence, form.version)
        case forms.RevokeForm():
            return ops.Revoke(form.licence, form.version)
        case forms.EndEpochForm():
            return ops.EndEpoch(form.epoch)
        case forms.ValidatorReadyForm():
            return ops.ValidatorReady(
                licence=form.licence,
                key=bytes.fromhex(form.key),
                height=form.height,
                block_hash=bytes.fromhex(form.block_hash),
            )
        case forms.EvidenceForm():
            return ops.Evidence(
                licence=form.licence,
                key=bytes.fromhex(form.key),
                first=_read_vote(form.first),
                first_signature=bytes.fromhex(form.first_signature),
                second=_read_vote(form.second),
                second_signature=bytes.fromhex(form.second_signature),
            )


def _grant_form(grant: LicenceGrant) -> forms.GrantForm:
    keys = grant.keys
    return forms.GrantForm(
        id=grant.id,
        name=grant.name,
        jurisdiction=grant.jurisdiction,
        document_hash=grant.document_hash.hex(),
        certificate=grant.certificate.hex(),
        certificate_hash=grant.certificate_hash.hex(),
        keys=forms.RoleKeysForm(
            operations=keys.operations.hex(),
            treasury=keys.treasury.hex(),
            metering=keys.metering.hex(),
            consensus=keys.consensus.hex(),
            link=keys.link.hex(),
        ),
        expires_ms=grant.expires_ms,
        validator=grant.validator,
        issuer=grant.issuer,
    )


def _read_grant(form: forms.GrantForm) -> LicenceGrant:
    keys = form.keys
    return LicenceGrant(
        id=form.id,
        name=form.name,
        jurisdiction=form.jurisdiction,
        document_hash=bytes.fromhex(form.document_hash),
        certificate=bytes.fromhex(form.certificate),
        certificate_hash=bytes.fromhex(form.certificate_hash),
        keys=RoleKeys(
            operations=bytes.fromhex(keys.operations),
            treasury=bytes.fromhex(keys.treasury),
            metering=bytes.fromhex(keys.metering),
            consensus=bytes.fromhex(keys.consensus),
            link=bytes.fromhex(keys.link),
        ),
        expires_ms=form.expires_ms,
        validator=form.validator,
        issuer=form.issuer,
    )


def _vote_form(vote: VotePayload) -> forms.VoteForm:
    return forms.VoteForm(
        epoch=vote.epoch,
        phase=vote.phase,
        view=vote.view,
        height=vote.height,
        block_hash=vote.block_hash.hex(),
    )


def _read_vote(form: forms.VoteForm) -> VotePayload:
    return VotePayload(
        epoch=form.epoch,
        phase=form.phase,
        view=form.view,
        height=form.height,
        block_hash=bytes.fromhex(form.block_hash),
    )
