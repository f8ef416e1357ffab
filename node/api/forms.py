"""What a client may send as JSON, and the small types that both directions share.

Conventions: an amount is a decimal string of base units; a hash, key, signature or piece of bytes
is lower-case hex; every other integer is below 2^53. An unknown field is an error. The shape is
that of `ledger.transaction`, field by field; `node.api.convert` turns one into the other.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

JSON_INT_MAX = (1 << 53) - 1  # the largest integer that every JSON reader keeps exactly

Amount = Annotated[str, Meta(pattern=r"^[0-9]{1,19}\Z")]
"""Base units (µ) as ASCII digits."""
Hex = Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{2})*\Z")]
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Hex64 = Annotated[str, Meta(pattern=r"^[0-9a-f]{128}\Z")]
Count = Annotated[int, Meta(ge=0, le=JSON_INT_MAX)]


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a client may send; an unknown field is an error."""


class InputForm(Form, frozen=True, kw_only=True):
    txid: Hex32
    index: Count
    asset: Hex32
    amount: Amount


class OutputForm(Form, frozen=True, kw_only=True):
    asset: Hex32
    amount: Amount
    lock: Hex32


class FeeForm(Form, frozen=True, kw_only=True):
    asset: Hex32
    amount: Amount


class MintForm(Form, frozen=True, kw_only=True, tag_field="type", tag="mint"):
    issuer: str
    key: Hex32
    lane: Count
    number: Count
    amount: Amount


class BurnForm(Form, frozen=True, kw_only=True, tag_field="type", tag="burn"):
    asset: Hex32
    amount: Amount


class RoleKeysForm(Form, frozen=True, kw_only=True):
    operations: Hex32
    treasury: Hex32
    metering: Hex32
    consensus: Hex32
    link: Hex32


class GrantForm(Form, frozen=True, kw_only=True):
    """A licence as genesis.json writes it."""

    id: str
    name: str
    jurisdiction: str
    document_hash: Hex32
    certificate: Hex
    certificate_hash: Hex32
    keys: RoleKeysForm
    expires_ms: Count
    validator: bool
    issuer: bool


class AdmitForm(Form, frozen=True, kw_only=True, tag_field="type", tag="admit"):
    grant: GrantForm
    version: Count


class RemoveForm(Form, frozen=True, kw_only=True, tag_field="type", tag="remove"):
    licence: str
    version: Count


class SuspendForm(Form, frozen=True, kw_only=True, tag_field="type", tag="suspend"):
    licence: str
    version: Count


class RevokeForm(Form, frozen=True, kw_only=True, tag_field="type", tag="revoke"):
    licence: str
    version: Count


class ReinstateForm(Form, frozen=True, kw_only=True, tag_field="type", tag="reinstate"):
    licence: str
    version: Count


class EndEpochForm(Form, frozen=True, kw_only=True, tag_field="type", tag="end-epoch"):
    epoch: Count


class ValidatorReadyForm(Form, frozen=True, kw_only=True, tag_field="type", tag="validator-ready"):
    licence: str
    key: Hex32
    height: Count
    block_hash: Hex32


class VoteForm(Form, frozen=True, kw_only=True):
    epoch: Count
    phase: Count
    view: Count
    height: Count
    block_hash: Hex32


class EvidenceForm(Form, frozen=True, kw_only=True, tag_field="type", tag="evidence"):
    licence: str
    key: Hex32
    first: VoteForm
    first_signature: Hex64
    second: VoteForm
    second_signature: Hex64


class RegulatorKeysForm(Form, frozen=True, kw_only=True):
    needed: Count
    keys: list[Hex32]


class AttestorForm(Form, frozen=True, kw_only=True):
    id: str
    name: str
    group: str
    key: Hex32


class TermsForm(Form, frozen=True, kw_only=True):
    """A commitment as genesis.json writes it."""

    id: str
    issuer: str
    device_class: str
    region: str
    workloads: list[str]
    from_ms: Count
    to_ms: Count
    microhours: Count


class ApplyForm(Form, frozen=True, kw_only=True, tag_field="type", tag="apply"):
    grant: GrantForm


class WindDownForm(Form, frozen=True, kw_only=True, tag_field="type", tag="wind-down"):
    licence: str
    key: Hex32
    version: Count


class RotateKeyForm(Form, frozen=True, kw_only=True, tag_field="type", tag="rotate-key"):
    licence: str
    key: Hex32
    version: Count
    role: str
    new_key: Hex32


class RotateRegulatorForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="rotate-regulator"
):
    version: Count
    keys: RegulatorKeysForm


class AdmitAttestorForm(Form, frozen=True, kw_only=True, tag_field="type", tag="admit-attestor"):
    attestor: AttestorForm
    version: Count


class RemoveAttestorForm(Form, frozen=True, kw_only=True, tag_field="type", tag="remove-attestor"):
    attestor: str
    version: Count


class CommitForm(Form, frozen=True, kw_only=True, tag_field="type", tag="commit"):
    key: Hex32
    lane: Count
    number: Count
    terms: TermsForm


class PledgeDevicesForm(Form, frozen=True, kw_only=True, tag_field="type", tag="pledge-devices"):
    issuer: str
    key: Hex32
    lane: Count
    number: Count
    commitment: str
    version: Count
    devices: list[Hex32]


class AmendForm(Form, frozen=True, kw_only=True, tag_field="type", tag="amend"):
    issuer: str
    key: Hex32
    lane: Count
    number: Count
    commitment: str
    version: Count
    microhours: Count
    to_ms: Count


class AttestForm(Form, frozen=True, kw_only=True, tag_field="type", tag="attest"):
    attestor: str
    key: Hex32
    lane: Count
    number: Count
    issuer: str
    commitment: str
    born: Count
    until_ms: Count
    microhours: Count


class OpenChallengeForm(Form, frozen=True, kw_only=True, tag_field="type", tag="challenge"):
    issuer: str
    commitment: str
    asset: Hex32
    amount: Amount
    refund_lock: Hex32


class RuleForm(Form, frozen=True, kw_only=True, tag_field="type", tag="rule"):
    attestor: str
    key: Hex32
    issuer: str
    commitment: str
    upheld: bool
    since_ms: Count


class SealNonceForm(Form, frozen=True, kw_only=True, tag_field="type", tag="seal-nonce"):
    attestor: str
    key: Hex32
    period: Count
    digest: Hex32


class RevealNonceForm(Form, frozen=True, kw_only=True, tag_field="type", tag="reveal-nonce"):
    attestor: str
    key: Hex32
    period: Count
    nonce: Hex32


class OpenDevicesForm(Form, frozen=True, kw_only=True, tag_field="type", tag="open-devices"):
    issuer: str
    key: Hex32
    period: Count
    opened: Count
    devices: list[Hex32]


class DepositBondForm(Form, frozen=True, kw_only=True, tag_field="type", tag="deposit-bond"):
    issuer: str
    asset: Hex32
    amount: Amount


class WithdrawBondForm(Form, frozen=True, kw_only=True, tag_field="type", tag="withdraw-bond"):
    issuer: str
    key: Hex32
    lane: Count
    number: Count
    asset: Hex32
    amount: Amount


class FreezeOrderForm(Form, frozen=True, kw_only=True, tag_field="type", tag="freeze"):
    order: str
    reference: Hex32
    targets: list[Hex32]
    until_ms: Count


class RenewOrderForm(Form, frozen=True, kw_only=True, tag_field="type", tag="renew-order"):
    order: str
    version: Count
    until_ms: Count


class LiftOrderForm(Form, frozen=True, kw_only=True, tag_field="type", tag="lift-order"):
    order: str
    version: Count


class RedeemForm(Form, frozen=True, kw_only=True, tag_field="type", tag="redeem"):
    issuer: str
    commitment: str
    workload: str
    amount: Amount
    session_key: Hex32
    refund_lock: Hex32
    start_by_ms: Count
    end_ms: Count
    queue_until_ms: Count


class CancelRedemptionForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="cancel-redemption"
):
    issuer: str
    order: Hex32
    key: Hex32


class AcceptRedemptionForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="accept-redemption"
):
    issuer: str
    order: Hex32
    key: Hex32


class ReadyRedemptionForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="ready-redemption"
):
    issuer: str
    order: Hex32
    key: Hex32
    endpoint: str
    session_hash: Hex32


class ReceiptForm(Form, frozen=True, kw_only=True):
    order: Hex32
    number: Count
    delivered: Amount
    microhours: Count
    meter_root: Hex32


class PostReceiptForm(Form, frozen=True, kw_only=True, tag_field="type", tag="post-receipt"):
    issuer: str
    key: Hex32
    receipt: ReceiptForm
    session_key: Hex32
    signature: Hex64


class CloseRedemptionForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="close-redemption"
):
    issuer: str
    order: Hex32
    key: Hex32


class DisputeRedemptionForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="dispute-redemption"
):
    issuer: str
    order: Hex32
    key: Hex32
    claimed: Amount
    asset: Hex32
    amount: Amount
    refund_lock: Hex32


class RuleRedemptionForm(Form, frozen=True, kw_only=True, tag_field="type", tag="rule-redemption"):
    attestor: str
    key: Hex32
    order: Hex32
    upheld: bool


class ReferenceForm(Form, frozen=True, kw_only=True):
    """Units of a workload's reference job that are one standard compute hour."""

    workload: str
    units: Count


class FactorForm(Form, frozen=True, kw_only=True):
    """What an hour of a device class is worth at a workload, in millionths of a coin."""

    device_class: str
    workload: str
    factor: Count


class ProposeStandardForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="propose-standard"
):
    version: Count
    raised: list[ReferenceForm]
    added: list[FactorForm]


class WithdrawStandardForm(
    Form, frozen=True, kw_only=True, tag_field="type", tag="withdraw-standard"
):
    since_ms: Count


OperationForm: TypeAlias = (
    MintForm
    | BurnForm
    | AdmitForm
    | RemoveForm
    | SuspendForm
    | RevokeForm
    | EndEpochForm
    | ValidatorReadyForm
    | EvidenceForm
    | ApplyForm
    | ReinstateForm
    | WindDownForm
    | RotateKeyForm
    | RotateRegulatorForm
    | AdmitAttestorForm
    | RemoveAttestorForm
    | CommitForm
    | PledgeDevicesForm
    | AmendForm
    | AttestForm
    | OpenChallengeForm
    | RuleForm
    | SealNonceForm
    | RevealNonceForm
    | OpenDevicesForm
    | DepositBondForm
    | WithdrawBondForm
    | FreezeOrderForm
    | RenewOrderForm
    | LiftOrderForm
    | RedeemForm
    | CancelRedemptionForm
    | AcceptRedemptionForm
    | ReadyRedemptionForm
    | PostReceiptForm
    | CloseRedemptionForm
    | DisputeRedemptionForm
    | RuleRedemptionForm
    | ProposeStandardForm
    | WithdrawStandardForm
)
