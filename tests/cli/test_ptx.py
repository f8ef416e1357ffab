"""Documents of partially signed transactions: any order, no signature lost, nothing believed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from hashlib import sha256, sha512
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from cli.wallet import ptx_document
from cli.wallet.ptx import (
    Approvers,
    Ptx,
    add,
    combine,
    create,
    finalize,
    needs,
    refusals_at,
    reveal,
    sign,
)
from ledger import codec
from ledger.crypto import SigningKey, verify
from ledger.locks import HEIGHT, After, All, Condition, HashLock, Key, Moment, Threshold, lock_hash
from ledger.locks import Any as AnyOf
from ledger.operations import (
    Admit,
    Mint,
    Operation,
    Remove,
    Suspend,
)
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import (
    Fee,
    KeySignature,
    Output,
    Transaction,
    check_witness,
    decode,
    sighash,
)
from tests.ledger.world import COIN, REGULATORS, World, grant, key, lock_of

WORLD = World()
NAMES = ("val0", "val1", "val2", "val3")
OPERATORS = [key(f"{name}/operations") for name in NAMES]
REGULATOR = [key(name) for name in REGULATORS]
APPROVERS = Approvers(
    0,
    3,
    {k.public: n for k, n in zip(OPERATORS, NAMES, strict=True)},
    2,
    tuple(sorted(k.public for k in REGULATOR)),
)
STRANGER = key("stranger")
OWNERS = sorted((key(name) for name in ("ann", "ben", "cid", "dot")), key=lambda k: k.public)
TWO_OF_FOUR = Threshold(2, tuple(owner.public for owner in OWNERS))


def governance(*operations: Operation) -> Ptx:
    return create(WORLD.body(operations=operations or [Remove("val3", 0)]), "devnet")


def payment(*conditions: Condition) -> Ptx:
    coin = WORLD.coin("alice")
    rest = coin.amount - COIN - 5_000
    outputs = [Output(coin.asset, COIN, lock_of("bob")), Output(coin.asset, rest, lock_of("alice"))]
    body = WORLD.body([coin], outputs, fee=Fee(coin.asset, 5_000), memo=b"rent \xff")
    return create(body, "devnet", conditions or [TWO_OF_FOUR])


def refusal(call: Any, *arguments: Any, **named: Any) -> Reason:
    with pytest.raises(Invalid) as caught:
        call(*arguments, **named)
    return caught.value.reason


def edited(ptx: Ptx, **changes: Any) -> bytes:
    return json.dumps({**json.loads(ptx_document.dump(ptx)), **changes}).encode()


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_order_of_combining_gives_the_same_file(data: st.DataObject) -> None:
    """Copies signed apart by any signers, combined in any order and grouping: the same bytes, and
    every signature of every copy is in them."""
    bare = data.draw(st.sampled_from([governance(), payment()]))
    signers = OPERATORS if bare.is_governance else OWNERS
    parts = data.draw(
        st.lists(st.sets(st.sampled_from(signers), min_size=1), min_size=2, max_size=5)
    )
    copies = [sign(bare, part) for part in parts]
    expected = combine(bare, *copies)
    shuffled = data.draw(st.permutations(copies))
    cut = data.draw(st.integers(1, len(shuffled)))
    left, right = combine(*shuffled[:cut]), combine(bare, *shuffled[cut:])
    merged = combine(right, left, left)
    assert ptx_document.dump(merged) == ptx_document.dump(expected)
    assert merged.signers == {item.public for part in parts for item in part}
    assert ptx_document.load(ptx_document.dump(merged)) == merged


@given(st.sets(st.sampled_from(OPERATORS), min_size=3), st.booleans())
@settings(max_examples=30, deadline=None)
def test_exactly_a_quorum_goes_into_the_witness(signers: set[SigningKey], strange: bool) -> None:
    """Of three or four approvals, with or without one that does not count, the three smallest keys
    are taken, the ledger accepts them, and the file keeps all."""
    ptx = sign(governance(), [*signers, *([STRANGER] if strange else [])])
    tx = finalize(ptx, WORLD.fees, approvers=APPROVERS)
    used = [item.key for item in tx.witness.signatures]
    assert used == sorted(item.public for item in signers)[:3]
    check_transaction(WORLD.state, tx, time_ms=WORLD.time_ms + 1)
    assert len(ptx.signatures) == len(signers) + strange


@pytest.mark.parametrize(
    ("operation", "validators", "regulators", "expected"),
    [
        (Admit(grant("val9", issuer=False), 0), 4, 3, (3, 2)),
        (Remove("val3", 0), 3, 3, (3, 0)),
        (Suspend("val3", 0), 4, 0, (3, 0)),
        (Suspend("val3", 0), 0, 3, (0, 2)),
        (Suspend("val3", 0), 2, 2, (0, 2)),
        (Suspend("val3", 0), 3, 2, (3, 0)),
    ],
)
def test_government_is_carried_by_those_whom_it_wants(
    operation: Operation, validators: int, regulators: int, expected: tuple[int, int]
) -> None:
    """Exactly a quorum of validators, exactly as many of the regulator's keys, or both; where
    either may, whoever is complete. The ledger accepts each."""
    signers = [*OPERATORS[:validators], *REGULATOR[:regulators]]
    tx = finalize(sign(governance(operation), signers), WORLD.fees, approvers=APPROVERS)
    used = {item.key for item in tx.witness.signatures}
    found = [len(used & {key.public for key in keys}) for keys in (OPERATORS, REGULATOR)]
    assert tuple(found) == expected
    check_transaction(WORLD.state, tx, time_ms=WORLD.time_ms + 1)


def test_fewer_than_a_quorum_is_refused_with_the_number() -> None:
    """q - 1 approvals, or q with one that does not count, are not enough; nobody is named a
    signer without a node."""
    for signers in (OPERATORS[:2], [*OPERATORS[:2], STRANGER]):
        with pytest.raises(Invalid, match=r"1 of the validators of epoch 0") as caught:
            finalize(sign(governance(), signers), WORLD.fees, approvers=APPROVERS)
        assert caught.value.reason is Reason.NEEDS_QUORUM
    assert refusal(finalize, sign(governance(), OPERATORS), WORLD.fees) is Reason.NEEDS_QUORUM


@pytest.mark.parametrize("signers", [*itertools.combinations(range(4), 2), (0, 1, 2, 3)])
def test_a_threshold_takes_as_many_as_it_needs(signers: Sequence[int]) -> None:
    """Two of four, whichever they are; of four the smallest two. The witness is minimal."""
    ptx = sign(payment(), [OWNERS[index] for index in signers])
    tx = finalize(ptx, WORLD.fees)
    assert [item.key for item in tx.witness.signatures] == [OWNERS[i].public for i in signers[:2]]
    check_witness(tx)
    assert decode(tx.raw) == tx


def test_one_signature_serves_several_locks() -> None:
    """Locks that share keys: no signature of the witness can be left out."""
    one, two = OWNERS[:2]
    shared = (Key(one.public), Threshold(1, (one.public, two.public)))
    ptx = sign(payment(*shared), [one, two])
    tx = finalize(ptx, WORLD.fees)
    assert [item.key for item in tx.witness.signatures] == [one.public]


def test_only_conditions_of_spent_coins_count() -> None:
    """With the locks from a node a foreign condition is left out, and one that is not revealed
    is named as missing."""
    ptx = sign(payment(TWO_OF_FOUR, Key(STRANGER.public)), OWNERS[:2])
    assert refusal(finalize, ptx, WORLD.fees) is Reason.MISSING_SIGNATURE
    tx = finalize(ptx, WORLD.fees, locks={lock_hash(TWO_OF_FOUR)})
    assert tx.witness.conditions == (TWO_OF_FOUR,)
    locks = {lock_hash(TWO_OF_FOUR), lock_of("alice")}
    with pytest.raises(Invalid, match="whose condition is not revealed"):
        finalize(ptx, WORLD.fees, locks=locks)


def test_copies_add_what_each_reveals() -> None:
    """Two parties reveal the conditions of their own coins and sign; together it is whole."""
    ours, theirs = TWO_OF_FOUR, Key(STRANGER.public)
    mine, other = sign(payment(ours), OWNERS[:2]), sign(payment(theirs), [STRANGER])
    both = combine(mine, other)
    assert both == combine(other, mine)
    assert set(both.conditions) == {ours, theirs}
    tx = finalize(both, WORLD.fees, locks={lock_hash(ours), lock_hash(theirs)})
    assert len(tx.witness.signatures) == 3
    many = [Threshold(1, (key(f"owner {index}").public,)) for index in range(65)]
    assert refusal(payment, *many) is Reason.TOO_LARGE


def test_preimages_travel_and_combine_like_signatures() -> None:
    """Copies of which one has the secret and one the signature make a whole in any order; with two
    ways open the witness holds one, with a moment the one that is open then."""
    ann, ben = OWNERS[:2]
    secret, digest = b"secret", HashLock(sha256(b"secret").digest())
    late = All((After(HEIGHT, 5), Key(ben.public)))
    lock = AnyOf((All((digest, Key(ann.public))), late))
    bare = payment(lock)
    known, signed = reveal(bare, [secret, secret]), sign(bare, [ann])
    assert refusal(reveal, bare, [b"other"]) is Reason.SPARE_PREIMAGE
    assert refusal(finalize, known, WORLD.fees) is Reason.MISSING_SIGNATURE
    assert refusal(finalize, signed, WORLD.fees) is Reason.MISSING_PREIMAGE
    both = combine(known, signed)
    assert both == combine(signed, known)
    assert ptx_document.load(ptx_document.dump(both)) == both
    twice = json.loads(ptx_document.dump(both))["preimages"] * 2
    assert refusal(ptx_document.load, edited(both, preimages=twice)) is Reason.MALFORMED
    (need,) = needs(known)
    assert (need.tree, need.left, need.known) == (lock, 1, (digest.digest,))
    assert needs(both)[0].left == 0
    every = sign(both, [ben])
    for height, names, shown in ((4, [ann], 1), (5, [ann], 1), (None, [ann], 1)):
        at = None if height is None else Moment(height, 0)
        witness = finalize(every, WORLD.fees, at=at).witness
        assert (witness.keys, len(witness.preimages)) == ([k.public for k in names], shown)
    refund = sign(bare, [ben])
    assert finalize(refund, WORLD.fees, at=Moment(4, 0)).witness.keys == [ben.public]
    for height, reasons in ((4, [Reason.NOT_YET]), (5, [])):
        found = refusals_at(refund, needs(refund), Moment(height, 0))
        assert [item.reason for item in found] == reasons


def test_only_the_way_that_is_open_is_taken() -> None:
    """The smaller key's way opens later: before that the other's is taken."""
    ann, ben = OWNERS[:2]
    ways = All((After(HEIGHT, 5), Key(ann.public))), Key(ben.public)
    ptx = sign(payment(AnyOf(ways)), [ann, ben])
    for height, signer in ((4, ben), (5, ann)):
        tx = finalize(ptx, WORLD.fees, at=Moment(height, 0))
        assert tx.witness.keys == [signer.public]


def test_needs_say_who_may_sign_and_who_has() -> None:
    """For each lock and each acting key: how many, of whom, who is there."""
    (need,) = needs(sign(payment(), OWNERS[:1]))
    assert (need.needed, need.left, need.signed) == (2, 1, (OWNERS[0].public,))
    assert need.keys == tuple(owner.public for owner in OWNERS)
    treasury = key("val0/treasury")
    mint = Mint("val0", treasury.public, 0, 0, COIN)
    output = Output(WORLD.asset(), COIN, lock_of("bob"))
    minting = create(WORLD.body([], [output], operations=[mint]), "devnet")
    assert [(n.what, n.keys, n.left) for n in needs(minting)] == [
        ("operation 'mint'", (treasury.public,), 1)
    ]
    assert finalize(sign(minting, [treasury, STRANGER]), WORLD.fees).body == minting.body
    (need,) = needs(sign(governance(), OPERATORS[:1]), approvers=APPROVERS)
    assert (need.what, need.needed, need.left) == ("the validators of epoch 0", 3, 2)


def test_bad_and_foreign_signatures_are_refused_by_name() -> None:
    """A signature over something else, one with a flipped bit, one that nothing needs."""
    ptx = payment()
    elsewhere = sign(payment(TWO_OF_FOUR, Key(STRANGER.public)), OWNERS[:1])
    good = sign(ptx, OWNERS[:1]).signatures[0]
    other = OWNERS[0].sign(b"something else")
    flipped = bytes([good.signature[0] ^ 1]) + good.signature[1:]
    for bad in (other, flipped):
        assert refusal(add, ptx, [KeySignature(good.key, bad)]) is Reason.BAD_SIGNATURE
    assert refusal(sign, ptx, [STRANGER]) is Reason.SPARE_SIGNATURE
    foreign = KeySignature(STRANGER.public, good.signature)
    assert refusal(add, ptx, [foreign]) is Reason.SPARE_SIGNATURE
    assert refusal(combine, ptx, governance()) is Reason.BAD_BODY
    assert combine(ptx, elsewhere).signers == elsewhere.signers  # the body is the same


def test_two_signatures_by_one_key_leave_the_smaller() -> None:
    """Signing twice changes nothing; of two that both verify the smaller stays, whichever came
    first, so that the order of combining is still of no consequence."""
    owner = OWNERS[0]
    ptx = sign(payment(), [owner])
    assert sign(ptx, [owner]) == ptx
    second = KeySignature(owner.public, _other_signature("ann ben cid dot", owner, ptx))
    assert second != ptx.signatures[0] and verify(owner.public, sighash(ptx.body), second.signature)
    both = [add(ptx, [second]), combine(add(payment(), [second]), ptx)]
    smaller = min(second.signature, ptx.signatures[0].signature)
    assert [item.signatures for item in both] == [(KeySignature(owner.public, smaller),)] * 2


def _other_signature(names: str, owner: SigningKey, ptx: Ptx) -> bytes:
    """A valid signature with a nonce that RFC 8032 would not choose."""
    (name,) = [name for name in names.split() if key(name).public == owner.public]
    half = bytearray(sha512(sha256(name.encode()).digest()).digest()[:32])
    half[0], half[31] = half[0] & 248, (half[31] & 127) | 64
    order = (1 << 252) + 27742317777372353535851937790883648493
    nonce = 4_711
    point = crypto_scalarmult_ed25519_base_noclamp(nonce.to_bytes(32, "little"))
    digest = sha512(point + owner.public + sighash(ptx.body)).digest()
    challenge = int.from_bytes(digest, "little") % order
    scalar = (nonce + challenge * int.from_bytes(half, "little")) % order
    return point + scalar.to_bytes(32, "little")


def test_too_many_signatures_are_refused() -> None:
    """A transaction holds 64; more than that of strangers cannot be piled into a file."""
    strangers = [key(f"stranger {index}") for index in range(65)]
    full = sign(governance(), strangers[:64])
    assert len(full.signatures) == 64
    assert refusal(sign, full, strangers[64:]) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("format", "marsa.ptx/1", Reason.UNSUPPORTED_VERSION),
        ("network", "moon", Reason.MALFORMED),
        ("network", "main", Reason.BAD_BODY),
        ("chain_id", "00" * 32, Reason.BAD_BODY),
        ("txid", "00" * 32, Reason.BAD_BODY),
        ("body", "00", Reason.MALFORMED),
        ("conditions", "91c0", Reason.MALFORMED),
        ("signatures", [{"key": "00" * 32, "signature": "00" * 64}], Reason.SPARE_SIGNATURE),
        ("preimages", ["00"], Reason.SPARE_PREIMAGE),
        ("preimages", ["00" * 65], Reason.MALFORMED),
        ("note", "please sign", Reason.MALFORMED),
    ],
)
def test_a_document_that_contradicts_itself_is_refused(
    field: str, value: object, reason: Reason
) -> None:
    """Every field is compared with the body; unknown ones are refused."""
    assert refusal(ptx_document.load, edited(payment(), **{field: value})) is reason


def test_a_summary_is_never_believed() -> None:
    """Another receiver, amount, fee, memo or operation in the readable part is found."""
    for ptx in (payment(), governance()):
        summary = json.loads(ptx_document.dump(ptx))["summary"]
        lies: list[dict[str, object]] = [
            {"memo": "a gift"},
            {"expires": "2099-01-01T00:00:00.000Z"},
            {"pays": []} if summary["pays"] else {"operations": ["end epoch 0"]},
        ]
        if summary["pays"]:
            lies.append({"pays": [{**summary["pays"][0], "amount": "1"}, *summary["pays"][1:]]})
        for lie in lies:
            changed = edited(ptx, summary={**summary, **lie})
            assert refusal(ptx_document.load, changed) is Reason.BAD_BODY


def test_damaged_documents_are_refused() -> None:
    """Not JSON, too large, a key twice in the list, a signature of another document."""
    ptx = sign(payment(), OWNERS[:1])
    item = json.loads(ptx_document.dump(ptx))["signatures"][0]
    assert refusal(ptx_document.load, b"{") is Reason.MALFORMED
    assert refusal(ptx_document.load, b" " * 300_000) is Reason.TOO_LARGE
    assert refusal(ptx_document.load, edited(ptx, signatures=[item, item])) is Reason.MALFORMED
    other = sign(create(WORLD.body([WORLD.coin("bob")]), "devnet", [TWO_OF_FOUR]), OWNERS[:1])
    foreign = json.loads(ptx_document.dump(other))["signatures"]
    assert refusal(ptx_document.load, edited(ptx, signatures=foreign)) is Reason.BAD_SIGNATURE


@given(st.binary(max_size=200))
def test_nothing_but_a_refusal_leaves_the_reader(data: bytes) -> None:
    """Whatever the bytes are."""
    with pytest.raises(Invalid):
        ptx_document.load(data)


def test_what_cannot_be_signed_is_not_created() -> None:
    """Conditions that the ledger refuses, and bodies without a shape."""
    assert refusal(payment, Threshold(2, TWO_OF_FOUR.keys[:1])) is Reason.BAD_LOCK
    bad = WORLD.body(memo=b"x" * 300)
    assert isinstance(bad, Transaction)
    assert refusal(create, bad, "devnet") is Reason.MALFORMED


def test_the_largest_transaction_fits_its_document() -> None:
    """Sixteen admissions with long certificates, as many as the ledger's limit of bytes allows."""
    operations = [Admit(grant(f"val{index}"), 0) for index in range(10, 26)]
    ptx = sign(governance(*operations), OPERATORS)
    data = ptx_document.dump(ptx)
    assert len(data) < ptx_document.PTX_BYTES_MAX
    assert ptx_document.load(data) == ptx
    assert codec.encode_payload(ptx.body)
