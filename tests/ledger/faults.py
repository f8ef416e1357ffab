"""Every fault that a transaction can have, each with the one reason that it must be refused with.

A fault is bytes, made from a good transaction of `world.World`. Where a fault needs a signature to
get past earlier checks, it is signed anew. `needs_state` marks those that only a state can show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgpack
import msgspec

from ledger import transaction
from ledger.block import TRANSACTION_BYTES_MAX
from ledger.codec import encode
from ledger.crypto import ZERO_HASH
from ledger.execution import Execution
from ledger.locks import After, All, Before, HashLock, Key, Threshold, lock_hash
from ledger.locks import Any as AnyOf
from ledger.operations import Burn, EndEpoch, Mint
from ledger.reasons import Reason
from ledger.transaction import (
    Fee,
    Input,
    KeySignature,
    Output,
    SealedTransaction,
    SignedTransaction,
    Transaction,
    Witness,
)
from tests.ledger.world import COIN, DAY_MS, World, key, lock_of, sign

# The neutral point: as a key it lets one signature verify for any message under lax rules.
SMALL_ORDER_KEY = bytes((1,)) + bytes(31)
# y = p, another spelling of y = 0.
NON_CANONICAL_KEY = (2**255 - 19).to_bytes(32, "little")
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


@dataclass(frozen=True)
class Fault:
    """Bytes of a bad transaction and why they are refused."""

    name: str
    raw: bytes
    reason: Reason
    needs_state: bool = False


def judge(world: World, raw: bytes, execution: Execution | None = None) -> SignedTransaction:
    """The whole way of a transaction up to the state; raises Invalid."""
    tx = transaction.decode(raw)
    transaction.check_stateless(tx, world.chain_id, world.fees)
    transaction.check_signatures(tx)
    (execution or world.execution()).add(tx)
    return tx


def transaction_faults(world: World) -> list[Fault]:
    """Of everything but what `faults_membership` holds."""
    return [
        *byte_faults(world),
        *field_faults(world),
        *body_faults(world),
        *witness_faults(world),
        *preimage_faults(world),
        *lock_faults(world),
        *state_faults(world),
        *operation_faults(world),
    ]


def byte_faults(world: World) -> list[Fault]:
    """Faults of the encoding as a whole."""
    raw = world.transfer("alice", "bob").raw
    amount = msgpack.packb(COIN)
    assert amount[0] == 0xCE
    longer = raw.replace(amount, b"\xcf\0\0\0\0" + amount[1:], 1)
    tree = _tree(raw)
    tree[0][4] = {0: tree[0][4][0]}
    return [
        Fault("no bytes", b"", Reason.MALFORMED),
        Fault("type byte alone", b"\x01", Reason.MALFORMED),
        Fault("another type", b"\x02" + raw[1:], Reason.MALFORMED),
        Fault("a later version", b"\x01\x02" + raw[2:], Reason.UNSUPPORTED_VERSION),
        Fault("cut short", raw[:-1], Reason.MALFORMED),
        Fault("trailing byte", raw + b"\0", Reason.TRAILING_BYTES),
        Fault("not msgpack", b"\x01\x01\xc1", Reason.MALFORMED),
        Fault("not an array", b"\x01\x01\x05", Reason.MALFORMED),
        Fault("a map for an array", _pack(tree), Reason.MALFORMED),
        Fault("amount in more bytes than needed", longer, Reason.NON_CANONICAL),
        Fault("above 16 KiB", raw + bytes(TRANSACTION_BYTES_MAX), Reason.TOO_LARGE),
        Fault("nested without end", b"\x01\x01" + b"\x92" * 8_000, Reason.MALFORMED),
    ]


def field_faults(world: World) -> list[Fault]:
    """Faults of the shape of single fields."""
    good, minted = world.transfer("alice", "bob").raw, world.mint().raw
    faults = []
    bad_amounts: dict[str, Any] = {
        "zero": 0,
        "negative": -1,
        "boolean": True,
        "2^62": 1 << 62,
        "2^64 - 1": (1 << 64) - 1,
        "float": 5.0,
        "text": "5",
        "fullwidth digits": "１２３",
        "nil": None,
    }
    for name, value in bad_amounts.items():
        for where, path in (("output", (0, 3, 0, 1)), ("input", (0, 2, 0, 3))):
            faults.append(_changed(f"{where} amount {name}", good, path, value, Reason.BAD_AMOUNT))
        mint_path = (0, 5, 0, 5)
        faults.append(_changed(f"mint amount {name}", minted, mint_path, value, Reason.BAD_AMOUNT))
    others: Sequence[tuple[str, bytes, tuple[int, ...], Any, Reason]] = (
        ("fee negative", good, (0, 4, 1), -1, Reason.BAD_AMOUNT),
        ("version 0", good, (0, 0), 0, Reason.UNSUPPORTED_VERSION),
        ("version 2", good, (0, 0), 2, Reason.UNSUPPORTED_VERSION),
        ("chain id of 31 bytes", good, (0, 1), bytes(31), Reason.MALFORMED),
        ("txid as text", good, (0, 2, 0, 0), "x" * 32, Reason.MALFORMED),
        ("index above 32 bits", good, (0, 2, 0, 1), 1 << 32, Reason.MALFORMED),
        ("index negative", good, (0, 2, 0, 1), -1, Reason.MALFORMED),
        ("lock of 33 bytes", good, (0, 3, 0, 2), bytes(33), Reason.MALFORMED),
        ("expiry negative", good, (0, 6), -1, Reason.MALFORMED),
        ("memo of 257 bytes", good, (0, 7), bytes(257), Reason.MEMO_TOO_LONG),
        ("mint key of 31 bytes", minted, (0, 5, 0, 2), bytes(31), Reason.MALFORMED),
        ("unknown operation", minted, (0, 5, 0, 0), 99, Reason.UNKNOWN_OPERATION),
        ("operation named by text", minted, (0, 5, 0, 0), "mint", Reason.UNKNOWN_OPERATION),
        ("issuer in capitals", minted, (0, 5, 0, 1), "VAL0", Reason.MALFORMED),
        ("issuer with a line end", minted, (0, 5, 0, 1), "val0\n", Reason.MALFORMED),
        ("issuer in another alphabet", minted, (0, 5, 0, 1), "vаl0", Reason.MALFORMED),
        ("lane 256", minted, (0, 5, 0, 3), 256, Reason.MALFORMED),
        ("unknown lock type", good, (1, 0, 0, 0), 99, Reason.BAD_LOCK),
        ("lock key of 31 bytes", good, (1, 0, 0, 1), bytes(31), Reason.BAD_LOCK),
        ("signature of 63 bytes", good, (1, 1, 0, 1), bytes(63), Reason.MALFORMED),
        ("preimage of 65 bytes", good, (1, 2), [bytes(65)], Reason.MALFORMED),
        ("65 preimages", good, (1, 2), [b""] * 65, Reason.MALFORMED),
        ("preimage as text", good, (1, 2), ["x"], Reason.MALFORMED),
        ("a witness without preimages", good, (1,), _tree(good)[1][:2], Reason.MALFORMED),
        ("65 inputs", good, (0, 2), _tree(good)[0][2] * 65, Reason.MALFORMED),
        ("65 outputs", good, (0, 3), _tree(good)[0][3] * 65, Reason.MALFORMED),
        ("17 operations", minted, (0, 5), _tree(minted)[0][5] * 17, Reason.MALFORMED),
        ("a ninth field", good, (0,), [*_tree(good)[0], 1], Reason.MALFORMED),
        ("a missing field", good, (0,), _tree(good)[0][:-1], Reason.MALFORMED),
    )
    return faults + [_changed(*item) for item in others]


def body_faults(world: World) -> list[Fault]:
    """Faults that the body shows alone, signed by those who would have to."""
    coin = world.coin("alice")
    other = world.coin("alice", "val1")
    fee = Fee(coin.asset, 2_000)
    change = Output(coin.asset, coin.amount - 2_000, lock_of("alice"))
    body = world.body([coin], [change], fee=fee)
    replace = msgspec.structs.replace
    less = replace(change, amount=change.amount - 1)
    more = replace(change, amount=change.amount + 1)
    foreign = replace(change, asset=other.asset)
    cheap = replace(change, amount=coin.amount - 100)
    burn = Burn(coin.asset, 5)
    mint = Mint("val0", key("val0/treasury").public, 0, 0, 5)
    rows: Sequence[tuple[str, Transaction, Reason]] = (
        ("another chain", replace(body, chain_id=ZERO_HASH), Reason.WRONG_CHAIN),
        ("no inputs, no operations", world.body(), Reason.NO_EFFECT),
        ("one output spent twice", replace(body, inputs=(coin, coin)), Reason.DUPLICATE_INPUT),
        ("less goes out", replace(body, outputs=(less,)), Reason.UNBALANCED),
        ("more goes out", replace(body, outputs=(more,)), Reason.UNBALANCED),
        ("another asset goes out", replace(body, outputs=(foreign,)), Reason.UNBALANCED),
        ("burn beside full change", replace(body, operations=(burn,)), Reason.UNBALANCED),
        ("minted and not put out", replace(body, operations=(mint,)), Reason.UNBALANCED),
        ("burn of what is minted", world.body(operations=(mint, burn)), Reason.UNBALANCED),
        (
            "fee below the bytes",
            replace(body, outputs=(cheap,), fee=Fee(coin.asset, 100)),
            Reason.FEE_TOO_LOW,
        ),
        (
            "no fee",
            replace(body, outputs=(replace(change, amount=coin.amount),), fee=Fee(ZERO_HASH, 0)),
            Reason.FEE_TOO_LOW,
        ),
    )
    faults = [
        Fault(name, sign(item, ["alice"], ["val0/treasury"]).raw, reason)
        for name, item, reason in rows
        if item.operations
    ]
    faults += [
        Fault(name, sign(item, ["alice"]).raw, reason)
        for name, item, reason in rows
        if not item.operations
    ]
    fee_in_minted = world.body(
        [coin],
        [Output(coin.asset, coin.amount, lock_of("alice"))],
        fee=Fee(world.asset("val1"), 2_000),
        operations=[Mint("val1", key("val1/treasury").public, 0, 0, 2_000)],
    )
    free_with_fee = world.body(
        [],
        [Output(world.asset(), 3_000, lock_of("alice"))],
        fee=Fee(world.asset(), 2_000),
        operations=[Mint("val0", key("val0/treasury").public, 0, 0, 5_000)],
    )
    return [
        *faults,
        Fault(
            "fee in an asset that is not spent",
            sign(fee_in_minted, ["alice"], ["val1/treasury"]).raw,
            Reason.FEE_NOT_ALLOWED,
        ),
        Fault(
            "fee without inputs",
            sign(free_with_fee, [], ["val0/treasury"]).raw,
            Reason.FEE_NOT_ALLOWED,
        ),
    ]


def witness_faults(world: World) -> list[Fault]:
    """Faults of conditions and signatures."""
    good = world.transfer("alice", "bob")
    spare = sign(good.body, ["alice"], ["bob"])
    condition = Key(key("bob").public)
    unneeded = sign(good.body, ["alice"], ["bob"], conditions=[condition])
    minted = world.mint()
    twice = _with_witness(good, good.witness.conditions * 2, good.witness.signatures)
    ordered = sorted((Key(key(name).public) for name in ("alice", "bob")), key=lock_hash)
    both = sorted((spare.witness.signatures), key=lambda item: item.key)
    return [
        Fault("spare signature", spare.raw, Reason.SPARE_SIGNATURE),
        Fault("spare condition", unneeded.raw, Reason.SPARE_CONDITION, needs_state=True),
        Fault(
            "no signature",
            _with_witness(good, good.witness.conditions, ()),
            Reason.MISSING_SIGNATURE,
        ),
        Fault(
            "operation without its signature",
            _with_witness(minted, (), ()),
            Reason.MISSING_SIGNATURE,
        ),
        Fault(
            "signed by somebody else",
            _with_witness(good, good.witness.conditions, minted.witness.signatures),
            Reason.MISSING_SIGNATURE,
        ),
        Fault(
            "signature of another body", _resigned(good, minted.body, "alice"), Reason.BAD_SIGNATURE
        ),
        Fault("signature flipped", _mangled(good, _flip), Reason.BAD_SIGNATURE),
        Fault("S above the group order", _mangled(good, _lift_s), Reason.BAD_SIGNATURE),
        Fault("small-order R", _mangled(good, _neutral_r), Reason.BAD_SIGNATURE),
        Fault("condition given twice", twice, Reason.WITNESS_ORDER),
        Fault(
            "conditions in descending order",
            _with_witness(good, ordered[::-1], both),
            Reason.WITNESS_ORDER,
        ),
        Fault(
            "signatures in descending order",
            _with_witness(good, ordered, both[::-1]),
            Reason.WITNESS_ORDER,
        ),
        Fault(
            "signature given twice",
            _with_witness(good, good.witness.conditions, good.witness.signatures * 2),
            Reason.WITNESS_ORDER,
        ),
        Fault(
            "no condition",
            minted_spend(world).raw,
            Reason.MISSING_CONDITION,
            needs_state=True,
        ),
    ]


def preimage_faults(world: World) -> list[Fault]:
    """Preimages that are missing, too many or out of order."""
    good, ruled = world.transfer("alice", "bob"), world.govern(EndEpoch(0))
    one, two = sorted((b"one", b"two"), key=lambda item: sha256(item).digest())
    hashes = [HashLock(sha256(item).digest()) for item in (one, two)]
    owner = Key(key("alice").public)
    both, either = All((owner, *hashes)), All((owner, AnyOf(tuple(hashes))))
    rows: Sequence[tuple[str, Any, Sequence[bytes], Reason]] = (
        ("of no hash", owner, [one], Reason.SPARE_PREIMAGE),
        ("two of one", either, [one, two], Reason.SPARE_PREIMAGE),
        ("descending", both, [two, one], Reason.WITNESS_ORDER),
        ("twice", both, [one, one], Reason.WITNESS_ORDER),
        ("one of two", both, [one], Reason.MISSING_PREIMAGE),
        ("another", either, [b"three"], Reason.MISSING_PREIMAGE),
    )
    faults = [
        Fault(
            f"preimage: {name}",
            _with_witness(good, [lock], good.witness.signatures, preimages),
            reason,
        )
        for name, lock, preimages, reason in rows
    ]
    ruled_raw = _with_witness(ruled, (), ruled.witness.signatures, [one])
    return [*faults, Fault("preimage: for a quorum", ruled_raw, Reason.SPARE_PREIMAGE)]


def minted_spend(world: World) -> SignedTransaction:
    """A transfer that also mints, so that a signature is needed without any condition; its
    witness lacks the condition."""
    coin = world.coin("alice")
    body = world.body(
        [coin],
        [Output(coin.asset, coin.amount + 3_000, lock_of("alice"))],
        fee=Fee(coin.asset, 2_000),
        operations=[Mint("val0", key("val0/treasury").public, 0, 0, 5_000)],
    )
    return sign(body, [], ["val0/treasury"])


def lock_faults(world: World) -> list[Fault]:
    """Conditions that nobody may spend, or that break their own rules."""
    alice, bob = sorted((key("alice").public, key("bob").public))
    single = Key(alice)
    nested: Any = single
    for _ in range(6):
        nested = All((nested,))
    keys = tuple(sorted(key(f"member {index}").public for index in range(16)))
    hashed, owner = HashLock(bytes(32)), key("alice").public
    chain = All((All((All((All((hashed,)),)),)),))
    rows: Sequence[tuple[str, Any, Reason]] = (
        ("height 0", After(0, 0), Reason.BAD_LOCK),
        ("time 2^53", Before(1, 2**53), Reason.BAD_LOCK),
        ("unit 2", After(2, 5), Reason.BAD_LOCK),
        ("no parts", All(()), Reason.BAD_LOCK),
        ("17 parts", AnyOf((single,) * 17), Reason.BAD_LOCK),
        ("66 nodes", AnyOf((chain,) * 13), Reason.BAD_LOCK),
        ("nine limits", AnyOf((single, *(Before(0, 9),) * 9)), Reason.BAD_LOCK),
        ("nobody needs the signature", After(0, 5), Reason.SPARE_SIGNATURE),
        ("both", All((Key(bob), single)), Reason.MISSING_SIGNATURE),
        ("hash", hashed, Reason.MISSING_PREIMAGE),
        ("key and hash", All((Key(owner), hashed, Before(0, 1))), Reason.MISSING_PREIMAGE),
        ("3 of 2 inside", All((Threshold(3, (alice, bob)),)), Reason.BAD_LOCK),
        ("descending inside", AnyOf((Threshold(1, (bob, alice)),)), Reason.BAD_LOCK),
        ("small-order key inside", AnyOf((Key(owner), Key(SMALL_ORDER_KEY))), Reason.BAD_KEY),
        ("seven levels", nested, Reason.BAD_LOCK),
        ("17 keys", All((Threshold(1, keys), single)), Reason.BAD_LOCK),
        ("3 of 2", Threshold(3, (alice, bob)), Reason.BAD_LOCK),
        ("threshold keys descending", Threshold(1, (bob, alice)), Reason.BAD_LOCK),
        ("threshold key twice", Threshold(1, (alice, alice)), Reason.BAD_LOCK),
        ("small-order key", Key(SMALL_ORDER_KEY), Reason.BAD_KEY),
        ("non-canonical key", Key(NON_CANONICAL_KEY), Reason.BAD_KEY),
        (
            "small-order key in a threshold",
            Threshold(1, tuple(sorted((SMALL_ORDER_KEY, alice)))),
            Reason.BAD_KEY,
        ),
    )
    good = world.transfer("alice", "bob")
    return [
        Fault(f"lock: {name}", _with_witness(good, [lock], good.witness.signatures), reason)
        for name, lock, reason in rows
    ]


def state_faults(world: World) -> list[Fault]:
    """Faults that inputs and time show against the state."""
    coin = world.coin("alice")
    fee = Fee(coin.asset, 2_000)

    def spend(item: Input, **changes: Any) -> bytes:
        change = Output(item.asset, item.amount - 2_000, lock_of("alice"))
        body = world.body([item], [change], fee=Fee(item.asset, 2_000), **changes)
        return sign(body, ["alice"]).raw

    replace = msgspec.structs.replace
    unknown = replace(coin, txid=bytes(32))
    other_index = replace(coin, index=1)
    richer = replace(coin, amount=coin.amount + 1)
    recoloured = replace(coin, asset=world.asset("val1"))
    stolen = sign(
        world.body(
            [world.coin("bob")],
            [Output(coin.asset, coin.amount - 2_000, lock_of("alice"))],
            fee=fee,
        ),
        ["alice"],
    )
    rows = (
        ("unknown input", spend(unknown), Reason.UNKNOWN_INPUT),
        ("unknown index", spend(other_index), Reason.UNKNOWN_INPUT),
        ("declared amount is wrong", spend(richer), Reason.INPUT_MISMATCH),
        ("declared asset is wrong", spend(recoloured), Reason.INPUT_MISMATCH),
        ("somebody else's coin", stolen.raw, Reason.MISSING_CONDITION),
        ("expired", spend(coin, life_ms=0), Reason.EXPIRED),
        ("expires in eight days", spend(coin, life_ms=8 * DAY_MS), Reason.EXPIRES_TOO_LATE),
    )
    return [Fault(name, raw, reason, needs_state=True) for name, raw, reason in rows]


def operation_faults(world: World) -> list[Fault]:
    """Mints that the state refuses."""
    treasury = key("val0/treasury").public

    def mint(operation: Mint, signer: str) -> bytes:
        output = Output(world.asset(operation.issuer), operation.amount, lock_of("alice"))
        return sign(world.body([], [output], operations=[operation]), [], [signer]).raw

    two = [Mint("val0", treasury, 0, 0, 5), Mint("val0", treasury, 0, 0, 5)]
    repeated = sign(
        world.body([], [Output(world.asset(), 10, lock_of("alice"))], operations=two),
        [],
        ["val0/treasury"],
    )
    nobody = Mint("nobody", key("nobody").public, 0, 0, 5)
    wrong = Mint("val0", key("val0/operations").public, 0, 0, 5)
    rows = (
        ("mint by an unknown issuer", mint(nobody, "nobody"), Reason.UNKNOWN_ISSUER),
        ("mint with another role's key", mint(wrong, "val0/operations"), Reason.WRONG_ROLE_KEY),
        ("mint number skipped", world.mint(number=1).raw, Reason.OPERATION_GAP),
        ("mint number repeated", repeated.raw, Reason.REPLAYED_OPERATION),
        ("mint above headroom", world.mint(amount=10**15).raw, Reason.ABOVE_HEADROOM),
    )
    return [Fault(name, raw, reason, needs_state=True) for name, raw, reason in rows]


def _tree(raw: bytes) -> Any:
    return msgpack.unpackb(raw[2:])


def _pack(tree: Any) -> bytes:
    return b"\x01\x01" + bytes(msgpack.packb(tree))


def _changed(name: str, raw: bytes, path: tuple[int, ...], value: Any, reason: Reason) -> Fault:
    tree = _tree(raw)
    place = tree
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return Fault(name, _pack(tree), reason)


def _with_witness(
    tx: SignedTransaction,
    conditions: Sequence[Any],
    signatures: Sequence[KeySignature],
    preimages: Sequence[bytes] = (),
) -> bytes:
    witness = Witness(tuple(conditions), tuple(signatures), tuple(preimages))
    return encode(SealedTransaction(tx.body, witness))


def _resigned(tx: SignedTransaction, other: Transaction, name: str) -> bytes:
    signature = key(name).sign(transaction.sighash(other))
    item = KeySignature(key(name).public, signature)
    return _with_witness(tx, tx.witness.conditions, [item])


def _mangled(tx: SignedTransaction, change: Callable[[bytes], bytes]) -> bytes:
    (item,) = tx.witness.signatures
    bad = KeySignature(item.key, change(item.signature))
    return _with_witness(tx, tx.witness.conditions, [bad])


def _flip(signature: bytes) -> bytes:
    return bytes((signature[0] ^ 1,)) + signature[1:]


def _lift_s(signature: bytes) -> bytes:
    lifted = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    return signature[:32] + lifted.to_bytes(32, "little")


def _neutral_r(signature: bytes) -> bytes:
    return SMALL_ORDER_KEY + signature[32:]
