"""The text of a partially signed transaction: a .ptx file. Pure.

A JSON document that can be mailed. Body and conditions stand in it as canonical bytes in hex; the
summary is for people who read the text: `load` makes it anew from the body and refuses a document
that says anything else. `describe` is therefore a part of the format: other words would be another
format, with another number.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cli.wallet.operation_text import describe_operation
from cli.wallet.ptx import Ptx, add, create, digest_of, reveal
from ledger import codec, json_form
from ledger.address import HRP_BY_NETWORK, encode_address
from ledger.block import TRANSACTION_BYTES_MAX
from ledger.codec import Amount, Bytes32, Wire
from ledger.locks import Condition
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339
from ledger.transaction import (
    INPUTS_MAX,
    OPERATIONS_MAX,
    OUTPUTS_MAX,
    PREIMAGE_BYTES_MAX,
    PREIMAGES_MAX,
    SIGNATURES_MAX,
    Fee,
    Input,
    KeySignature,
    Transaction,
)

FORMAT = "marsa.ptx/2"
PTX_BYTES_MAX = 256 * 1024
"""Several times the text of the largest transaction, in hex and in words."""

Text = Annotated[str, Meta(max_length=4_096)]


class Paid(Wire, frozen=True):
    """An output, for people."""

    address: Text
    asset: Bytes32
    amount: Amount


class Summary(Wire, frozen=True):
    """What a body does, made from it and from nothing else."""

    spends: Annotated[tuple[Input, ...], Meta(max_length=INPUTS_MAX)]
    pays: Annotated[tuple[Paid, ...], Meta(max_length=OUTPUTS_MAX)]
    fee: Fee
    operations: Annotated[tuple[Text, ...], Meta(max_length=OPERATIONS_MAX)]
    expires: Text
    memo: Text


class Revealed(Wire, frozen=True):
    """Conditions as bytes, because their JSON would need a second canonical form."""

    conditions: Annotated[tuple[Condition, ...], Meta(max_length=INPUTS_MAX)]


class Document(Wire, frozen=True):
    """The fields of a .ptx file, in their order. All but five are there to be compared."""

    format: Text
    network: Text
    chain_id: Bytes32
    txid: Bytes32
    summary: Summary
    body: Annotated[bytes, Meta(max_length=TRANSACTION_BYTES_MAX)]
    conditions: Annotated[bytes, Meta(max_length=TRANSACTION_BYTES_MAX)]
    signatures: Annotated[tuple[KeySignature, ...], Meta(max_length=SIGNATURES_MAX)]
    preimages: Annotated[
        tuple[Annotated[bytes, Meta(max_length=PREIMAGE_BYTES_MAX)], ...],
        Meta(max_length=PREIMAGES_MAX),
    ]


def dump(ptx: Ptx) -> bytes:
    """The text of a document: equal documents are equal bytes."""
    return json_form.dumps(
        Document(
            format=FORMAT,
            network=ptx.network,
            chain_id=ptx.body.chain_id,
            txid=ptx.txid,
            summary=describe(ptx),
            body=codec.encode_payload(ptx.body),
            conditions=codec.encode_payload(Revealed(ptx.conditions)),
            signatures=ptx.signatures,
            preimages=ptx.preimages,
        )
    )


def load(data: bytes) -> Ptx:
    """Read a document; believes nothing in it that can be made from its body. Raises Invalid."""
    found = json_form.loads(data, Document, size_max=PTX_BYTES_MAX)
    if found.format != FORMAT:
        detail = f"format {found.format!r}, this program reads {FORMAT}"
        raise Invalid(Reason.UNSUPPORTED_VERSION, detail)
    body = codec.decode_payload(found.body, Transaction, size_max=TRANSACTION_BYTES_MAX)
    revealed = codec.decode_payload(found.conditions, Revealed, size_max=TRANSACTION_BYTES_MAX)
    bare = create(body, found.network, revealed.conditions)
    keys = [item.key for item in found.signatures]
    if len(set(keys)) != len(keys):
        raise Invalid(Reason.MALFORMED, "two signatures by one key")
    if len(set(map(digest_of, found.preimages))) != len(found.preimages):
        raise Invalid(Reason.MALFORMED, "a preimage stands in it twice")
    facts = (
        ("chain_id", found.chain_id, body.chain_id),
        ("txid", found.txid, bare.txid),
        ("summary", found.summary, describe(bare)),
    )
    for name, said, made in facts:
        if said != made:
            raise Invalid(Reason.BAD_BODY, f"its {name} is not that of its body; trust none of it")
    return add(reveal(bare, found.preimages), found.signatures)


def describe(ptx: Ptx) -> Summary:
    """The summary that a document of this body carries."""
    body, hrp = ptx.body, HRP_BY_NETWORK[ptx.network]
    return Summary(
        spends=body.inputs,
        pays=tuple(
            Paid(encode_address(item.lock, hrp), item.asset, item.amount) for item in body.outputs
        ),
        fee=body.fee,
        operations=tuple(describe_operation(item) for item in body.operations),
        expires=rfc3339(body.expires_at_ms),
        memo=ascii(body.memo.decode("utf-8", "backslashreplace"))[1:-1],
    )
