"""Answers and ledger structs are the same thing in two shapes: walked there and back."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from ledger import codec, transaction
from ledger.block import Certificate, Header
from ledger.codec import AMOUNT_LIMIT
from ledger.economy.licence import LicenceGrant
from ledger.json_form import from_json, to_json
from ledger.locks import LIMIT_VALUE_MAX, After, All, Before, HashLock, Key, Threshold
from ledger.locks import Any as AnyOf
from ledger.merkle import MerkleProof
from ledger.operations import Admit, Operation
from ledger.reasons import Invalid, Reason
from ledger.transaction import (
    Fee,
    Input,
    KeySignature,
    Output,
    SealedTransaction,
    Transaction,
    Witness,
)
from node.api import convert, schemas
from node.api.forms import JSON_INT_MAX, OperationForm
from node.api.transaction_forms import TransactionForm
from tests.ledger.shapes import any_of
from tests.ledger.world import World

WORLD = World()
HASHES = st.binary(min_size=32, max_size=32)
SIGNATURES = st.binary(min_size=64, max_size=64)
AMOUNTS = st.integers(1, AMOUNT_LIMIT - 1)
NUMBERS = st.integers(0, JSON_INT_MAX)
INDICES = st.integers(0, (1 << 32) - 1)
ANY_ONE = settings(phases=[Phase.generate])
"""For `find`: what comes first will do, the least would be looked for long."""


def tuples(items: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=most).map(tuple)


LEAF_LOCKS = st.one_of(
    st.builds(Key, HASHES),
    st.builds(Threshold, st.integers(1, 16), st.lists(HASHES, min_size=1, max_size=3).map(tuple)),
    st.builds(After, st.integers(0, 1), st.integers(1, LIMIT_VALUE_MAX)),
    st.builds(Before, st.integers(0, 1), st.integers(1, LIMIT_VALUE_MAX)),
    st.builds(HashLock, HASHES),
)
LOCKS = st.recursive(
    LEAF_LOCKS,
    lambda parts: st.one_of(
        st.builds(All, st.lists(parts, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(parts, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)
OPERATIONS = st.one_of([any_of(kind, JSON_INT_MAX) for kind in get_args(Operation)])
BODIES = st.builds(
    Transaction,
    version=st.just(1),
    chain_id=HASHES,
    inputs=tuples(st.builds(Input, HASHES, INDICES, HASHES, AMOUNTS)),
    outputs=tuples(st.builds(Output, HASHES, AMOUNTS, HASHES)),
    fee=st.builds(Fee, HASHES, st.integers(0, AMOUNT_LIMIT - 1)),
    operations=tuples(OPERATIONS),
    expires_at_ms=NUMBERS,
    memo=st.binary(max_size=256),
)
WITNESSES = st.builds(
    Witness,
    tuples(LOCKS),
    tuples(st.builds(KeySignature, HASHES, SIGNATURES)),
    tuples(st.binary(max_size=64)),
)


@given(BODIES, WITNESSES)
def test_transaction_survives_the_way_through_json(body: Transaction, witness: Witness) -> None:
    """Random transactions become JSON and come back as the same bytes."""
    raw = codec.encode(SealedTransaction(body, witness))
    data = msgspec.json.encode(convert.transaction_answer(transaction.decode(raw)))
    form = msgspec.json.decode(data, type=TransactionForm)
    assert convert.read_transaction(form) == raw


@given(BODIES, WITNESSES)
def test_answers_hold_no_number_that_a_reader_could_round(body: Transaction, w: Witness) -> None:
    """Every JSON number of a transaction is an integer below 2^53; amounts are strings."""
    raw = codec.encode(SealedTransaction(body, w))
    data = msgspec.json.encode(convert.transaction_answer(transaction.decode(raw)))

    def check(value: object) -> None:
        if isinstance(value, dict):
            assert all(isinstance(value.get(name, ""), str) for name in ("amount", "txid"))
            for item in value.values():
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)
        else:
            assert isinstance(value, str | bool) or 0 <= value <= JSON_INT_MAX
            assert type(value) in (str, bool, int)

    check(json.loads(data))


@pytest.mark.parametrize("kind", get_args(Operation), ids=lambda kind: kind.name)
def test_every_operation_has_a_form_under_its_own_name(kind: type[Any]) -> None:
    """Its type is its name, its fields are those of the operation; one more is refused."""
    form = next(item for item in get_args(OperationForm) if item.__struct_config__.tag == kind.name)
    assert form.__struct_fields__ == kind.__struct_fields__
    operation = find(any_of(kind, JSON_INT_MAX), lambda _: True, settings=ANY_ONE)
    raw = codec.encode(SealedTransaction(WORLD.body(operations=[operation]), Witness((), (), ())))
    answer = json.loads(msgspec.json.encode(convert.transaction_answer(transaction.decode(raw))))
    (found,) = answer["body"]["operations"]
    assert found.pop("type") == kind.name
    assert found == to_json(operation, kind)
    found |= {"type": kind.name, "more": 1}
    with pytest.raises(msgspec.ValidationError, match="unknown field `more`"):
        msgspec.json.decode(json.dumps(answer), type=TransactionForm)


@given(any_of(LicenceGrant, JSON_INT_MAX))
def test_a_grant_is_written_as_in_genesis(item: LicenceGrant) -> None:
    """An admission's grant is, key for key, what genesis.json holds for a licence."""
    raw = codec.encode(
        SealedTransaction(WORLD.body(operations=[Admit(item, 0)]), Witness((), (), ()))
    )
    answer = json.loads(msgspec.json.encode(convert.transaction_answer(transaction.decode(raw))))
    written = answer["body"]["operations"][0]["grant"]
    assert written == to_json(item, LicenceGrant)
    assert from_json(written, LicenceGrant, "") == item


HEADERS = st.builds(
    Header,
    version=st.just(1),
    **{
        name: HASHES if "hash" in name or "root" in name else NUMBERS
        for name in Header.__struct_fields__
        if name not in ("version", "chain_id", "proposer")
    },
    chain_id=HASHES,
    proposer=HASHES,
)


@given(HEADERS)
def test_header_survives(header: Header) -> None:
    """A header comes back as it went, whatever its hash field was replaced by."""
    answer = convert.header_answer(header)
    assert convert.read_header(answer) == header
    assert convert.read_header(msgspec.structs.replace(answer, hash="00" * 32)) == header


@given(st.sets(st.integers(0, 3)), SIGNATURES, NUMBERS)
def test_certificate_survives(signers: set[int], signature: bytes, view: int) -> None:
    """A certificate of any members comes back; names stand beside the indices."""
    certificate = Certificate(
        epoch=0,
        phase=2,
        view=view,
        height=1,
        block_hash=bytes(32),
        signers=sum(1 << index for index in signers),
        signatures=(signature,) * len(signers),
    )
    validators = WORLD.validators
    answer = convert.certificate_answer(certificate, validators)
    assert convert.read_certificate(answer) == certificate
    assert all(item.licence == validators.members[item.index].licence for item in answer.signers)


@pytest.mark.parametrize("indices", [[1, 0], [0, 0], [32], [0, 1 << 40]])
def test_certificate_with_impossible_signers(indices: list[int]) -> None:
    """Signers out of order, twice or beyond the largest set are refused, cheaply."""
    answer = schemas.Certificate(
        epoch=0,
        phase=2,
        view=0,
        height=1,
        block_hash="00" * 32,
        signers=[schemas.Signer(index=i, licence="x", signature="00" * 64) for i in indices],
    )
    with pytest.raises(Invalid) as caught:
        convert.read_certificate(answer)
    assert caught.value.reason is Reason.BAD_CERTIFICATE


@given(st.integers(0, 9), st.integers(10, 20), st.lists(HASHES, max_size=5))
def test_list_proof_survives(index: int, count: int, path: list[bytes]) -> None:
    """A proof of inclusion comes back as it went."""
    proof = MerkleProof(index, count, tuple(path))
    assert convert.read_list_proof(convert.list_proof_answer(proof)) == proof


@pytest.mark.parametrize(
    "text", ["", "00" * 31, "00" * 33, "AA" * 32, " " + "00" * 32, "0g" * 32, "００" * 32, "0"]
)
def test_hashes_are_read_strictly(text: str) -> None:
    """Wrong lengths, capitals, spaces and other alphabets are no hash."""
    with pytest.raises(Invalid) as caught:
        convert.read_hash(text, "the txid")
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000_001, "2027-01-15T08:00:00.001Z"),
        ((1 << 63) - 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_for_people(time_ms: int, text: str) -> None:
    """Milliseconds as RFC 3339 in UTC; the end of that notation is not crossed."""
    assert convert.rfc3339(time_ms) == text
