"""Transactions as JSON: conditions of locks, the part that is signed, the witness."""

from __future__ import annotations

from typing import TypeAlias

from node.api.forms import (
    Count,
    FeeForm,
    Form,
    Hex,
    Hex32,
    Hex64,
    InputForm,
    OperationForm,
    OutputForm,
)


class KeyForm(Form, frozen=True, kw_only=True, tag_field="type", tag="key"):
    key: Hex32


class ThresholdForm(Form, frozen=True, kw_only=True, tag_field="type", tag="threshold"):
    needed: Count
    keys: list[Hex32]


class AfterForm(Form, frozen=True, kw_only=True, tag_field="type", tag="after"):
    unit: Count
    value: Count


class BeforeForm(Form, frozen=True, kw_only=True, tag_field="type", tag="before"):
    unit: Count
    value: Count


class HashForm(Form, frozen=True, kw_only=True, tag_field="type", tag="hash"):
    digest: Hex32


class AllForm(Form, frozen=True, kw_only=True, tag_field="type", tag="all"):
    parts: list[ConditionForm]


class AnyForm(Form, frozen=True, kw_only=True, tag_field="type", tag="any"):
    parts: list[ConditionForm]


ConditionForm: TypeAlias = (
    KeyForm | ThresholdForm | AfterForm | BeforeForm | HashForm | AllForm | AnyForm
)


class BodyForm(Form, frozen=True, kw_only=True):
    """The part of a transaction that is signed."""

    version: Count
    chain_id: Hex32
    inputs: list[InputForm]
    outputs: list[OutputForm]
    fee: FeeForm
    operations: list[OperationForm]
    expires_at_ms: Count
    memo: Hex


class SignatureForm(Form, frozen=True, kw_only=True):
    key: Hex32
    signature: Hex64


class WitnessForm(Form, frozen=True, kw_only=True):
    conditions: list[ConditionForm]
    signatures: list[SignatureForm]
    preimages: list[Hex]


class TransactionForm(Form, frozen=True, kw_only=True):
    """A sealed transaction; its bytes are the canonical encoding of these fields."""

    body: BodyForm
    witness: WitnessForm
