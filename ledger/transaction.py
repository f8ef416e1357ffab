"""Transactions: what they hold, their identities, and every check that needs no state.

An input declares the asset and the amount of the output that it spends. So conservation can be
checked without a ledger, an offline signer sees what it gives away, and the ledger only compares
(compare BIP 143, which signs amounts for the same reason). One signature of a key over the body
serves every input and operation that needs that key.

`txid` hashes the body. `wtxid` hashes the txid and the witness: caches and the memory of refused
transactions key on it, because two encodings of one body may differ in validity.

Conservation, per asset, as an equality:
inputs + minted + taken from objects = outputs + burned + put into objects + fee.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger import codec
from ledger.amounts import format_amount
from ledger.block import TRANSACTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX, VotePayload
from ledger.carried import carried_signatures
from ledger.codec import Amount, AmountOrZero, Bytes32, Signature, UInt, Wire
from ledger.crypto import ZERO_HASH, pair_hash, part_hash, tagged_hash, verify
from ledger.locks import Condition, Key, check_condition, lock_hash
from ledger.operations import (
    Apply,
    Burn,
    ByHolder,
    DepositBond,
    Evidence,
    Governance,
    Mint,
    OpenChallenge,
    Operation,
    WithdrawBond,
    count_of,
    keys_that_sign,
)
from ledger.reasons import Invalid, Reason
from ledger.redemption_operations import DisputeRedemption, Redeem
from ledger.spending import Items

INPUTS_MAX = 64
OUTPUTS_MAX = 64
OPERATIONS_MAX = 16
SIGNATURES_MAX = 64
PREIMAGES_MAX = 64
PREIMAGE_BYTES_MAX = 64
"""Twice the digest; what opens coins on two chains is kept within the limits of both."""
MEMO_BYTES_MAX = 256
LIFETIME_MS_MAX = 7 * 24 * 3_600_000

_txid = part_hash("txid")
_wtxid = pair_hash("wtxid")
_witness_hash = part_hash("witness")
_sighash = pair_hash("transaction")
_asset_id = tagged_hash("asset")

ASSET_KIND_COIN = 0


class OutPoint(Wire, frozen=True):
    """Names one output: the transaction that made it and its position there."""

    txid: Bytes32
    index: Annotated[int, Meta(ge=0, lt=1 << 32)]


class Input(Wire, frozen=True):
    """Spends one output; asset and amount are declared and must match the ledger."""

    txid: Bytes32
    index: Annotated[int, Meta(ge=0, lt=1 << 32)]
    asset: Bytes32
    amount: Amount

    @property
    def outpoint(self) -> tuple[bytes, int]:
        return (self.txid, self.index)


class Output(Wire, frozen=True):
    """`amount` base units of `asset` for whoever satisfies the condition that hashes to `lock`."""

    asset: Bytes32
    amount: Amount
    lock: Bytes32


class Fee(Wire, frozen=True):
    """Paid in one asset that the transaction spends; (zero hash, 0) where nothing is due."""

    asset: Bytes32
    amount: AmountOrZero


NO_FEE = Fee(ZERO_HASH, 0)


class Transaction(Wire, frozen=True):
    """The body: everything that is signed."""

    version: Annotated[int, Meta(ge=1, le=1)]
    chain_id: Bytes32
    inputs: Annotated[tuple[Input, ...], Meta(max_length=INPUTS_MAX)]
    outputs: Annotated[tuple[Output, ...], Meta(max_length=OUTPUTS_MAX)]
    fee: Fee
    operations: Annotated[tuple[Operation, ...], Meta(max_length=OPERATIONS_MAX)]
    expires_at_ms: UInt
    memo: Annotated[bytes, Meta(max_length=MEMO_BYTES_MAX)]


class KeySignature(Wire, frozen=True):
    """One key's signature over the body."""

    key: Bytes32
    signature: Signature


class Witness(Wire, frozen=True):
    """The conditions of the spent outputs (by ascending lock hash, each once), signatures (by
    ascending key, one for each distinct key) and preimages (by ascending SHA-256, each once)."""

    conditions: Annotated[tuple[Condition, ...], Meta(max_length=INPUTS_MAX)]
    signatures: Annotated[tuple[KeySignature, ...], Meta(max_length=SIGNATURES_MAX)]
    preimages: Annotated[
        tuple[Annotated[bytes, Meta(max_length=PREIMAGE_BYTES_MAX)], ...],
        Meta(max_length=PREIMAGES_MAX),
    ]

    @property
    def keys(self) -> list[bytes]:
        """Of the signatures, in their order."""
        return [item.key for item in self.signatures]

    @property
    def digests(self) -> list[bytes]:
        """Of the preimages, in their order: plain SHA-256."""
        return [sha256(preimage).digest() for preimage in self.preimages]


class SealedTransaction(Wire, frozen=True):
    """A body and its witness, as sent and stored. Type byte 1."""

    TYPE: ClassVar[int] = 1
    body: Transaction
    witness: Witness


class SignedTransaction(msgspec.Struct, frozen=True, gc=False):
    """A decoded transaction together with its bytes and identities, computed once."""

    raw: bytes
    body: Transaction
    witness: Witness
    txid: bytes
    wtxid: bytes
    locks: tuple[bytes, ...]
    """Lock hashes of the witness's conditions, in their order."""
    operations_count: int
    """As how many its operations are counted by the limits."""


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Parameters a, b, c of the fee, in µ; a chain constant from genesis."""

    per_byte: int
    per_signature: int
    per_new_output: int

    def required(self, tx: SignedTransaction) -> int:
        """a·bytes + b·signatures + c·max(0, outputs - inputs), never below a·bytes + b.

        Free (0) is only a transaction of licensed operations alone: no inputs, no burn.
        """
        body = tx.body
        if not body.inputs:
            return 0
        growth = max(0, len(body.outputs) - len(body.inputs))
        signatures = max(1, len(tx.witness.signatures))
        return (
            self.per_byte * len(tx.raw)
            + self.per_signature * signatures
            + self.per_new_output * growth
        )


def asset_id(chain_id: bytes, issuer: str) -> bytes:
    """The id of an issuer's coin; kind and window are part of it, nothing mutable is."""
    return _asset_id(
        chain_id, issuer.encode("ascii"), bytes((ASSET_KIND_COIN,)), (0).to_bytes(8, "big")
    )


def transaction_id(body: Transaction) -> bytes:
    """The txid, known to the sender before anything is sent."""
    return _txid(codec.encode_payload(body))


def sighash(body: Transaction) -> bytes:
    """The 32 bytes that every key signs: H(tag, chain_id, txid)."""
    return _sighash(body.chain_id, transaction_id(body))


def seal(body: Transaction, witness: Witness) -> SignedTransaction:
    """Encode a body and its witness; raises Invalid where the shape is wrong."""
    return decode(codec.encode(SealedTransaction(body, witness)))


def decode(raw: bytes) -> SignedTransaction:
    """Read a sealed transaction; raises Invalid with the reason of the first fault found."""
    sealed, body, witness = _decode_sealed(raw)
    txid = _txid(body)
    return SignedTransaction(
        raw=raw,
        body=sealed.body,
        witness=sealed.witness,
        txid=txid,
        wtxid=_wtxid(txid, _witness_hash(witness)),
        locks=tuple([lock_hash(condition) for condition in sealed.witness.conditions]),
        operations_count=count_of(sealed.body.operations),
    )


def check_stateless(tx: SignedTransaction, chain_id: bytes, fees: FeeSchedule) -> None:
    """Everything that needs neither state, time nor signature checks; raises Invalid."""
    body = tx.body
    if body.chain_id != chain_id:
        raise Invalid(Reason.WRONG_CHAIN, f"signed for {body.chain_id.hex()}")
    if not body.inputs and not body.operations:
        raise Invalid(Reason.NO_EFFECT, "neither inputs nor operations")
    if len({(spent.txid, spent.index) for spent in body.inputs}) != len(body.inputs):
        raise Invalid(Reason.DUPLICATE_INPUT, "one output is spent twice")
    if body.operations:
        _check_operations(tx)
        _check_holders(body)
    _check_conservation(body)
    _check_fee(tx, fees)
    check_witness(tx)


def check_witness(tx: SignedTransaction) -> None:
    """The witness is ordered, complete and minimal; signatures are not verified here, and limits
    of time are for the state."""
    witness = tx.witness
    if not _is_ascending(tx.locks):
        raise Invalid(Reason.WITNESS_ORDER, "conditions are not in ascending order of lock hash")
    keys, digests = witness.keys, witness.digests
    signers = frozenset(keys)
    if not _is_ascending(keys):
        raise Invalid(Reason.WITNESS_ORDER, "signatures are not in ascending order of key")
    if digests and not _is_ascending(digests):
        raise Invalid(Reason.WITNESS_ORDER, "preimages are not in ascending order of SHA-256")
    for condition in witness.conditions:
        check_condition(condition)
    if is_governance(tx.body):  # the state says whose signatures count, and how many
        _check_spare(frozenset(), frozenset(digests))
        return
    needed_keys = {key for item in tx.body.operations for key in keys_that_sign(item)}
    if not needed_keys <= signers:
        raise Invalid(Reason.MISSING_SIGNATURE, "an operation lacks a signature")
    needed_digests: set[bytes] = set()
    trees: list[tuple[Condition, bytes]] = []
    for condition, lock in zip(witness.conditions, tx.locks, strict=True):
        if not isinstance(condition, Key):
            trees.append((condition, lock))
        elif condition.key in signers:
            needed_keys.add(condition.key)
        else:
            raise Invalid(Reason.MISSING_SIGNATURE, f"lock {lock.hex()} lacks its signature")
    if trees:
        items, bits = Items(keys, digests), 0
        for condition, lock in trees:
            items.check_complete(condition, lock)
            bits |= items.needed(condition)
        needed_keys.update(key for key, bit in items.keys.items() if bits & bit)
        needed_digests.update(digest for digest, bit in items.digests.items() if bits & bit)
    _check_spare(signers - needed_keys, set(digests) - needed_digests)


def check_signatures(
    tx: SignedTransaction, is_valid: Callable[[bytes, bytes, bytes], bool] = verify
) -> None:
    """Verify every signature (about 45 us each); raises Invalid(BAD_SIGNATURE)."""
    for number, (key, message, signature) in enumerate(signatures_of(tx)):
        if not is_valid(key, message, signature):
            where = "" if number < len(tx.witness.signatures) else "inside an operation, "
            raise Invalid(Reason.BAD_SIGNATURE, f"{where}by key {key.hex()}")


def signatures_of(tx: SignedTransaction) -> list[tuple[bytes, bytes, bytes]]:
    """(key, 32-byte message, signature) of the witness and of what operations carry."""
    chain_id = tx.body.chain_id
    message = _sighash(chain_id, tx.txid)
    found = [(item.key, message, item.signature) for item in tx.witness.signatures]
    for operation in tx.body.operations:
        found.extend(carried_signatures(operation, chain_id))
    return found


def is_governance(body: Transaction) -> bool:
    """Whether validators or regulator carry it instead of the keys that it names."""
    return bool(body.operations) and any(isinstance(item, Governance) for item in body.operations)


def _check_spare(keys: Set[bytes], digests: Set[bytes]) -> None:
    if keys:
        raise Invalid(Reason.SPARE_SIGNATURE, f"nothing needs that of {min(keys).hex()}")
    if digests:
        raise Invalid(Reason.SPARE_PREIMAGE, f"nothing needs that of {min(digests).hex()}")


def _is_ascending(values: Sequence[bytes]) -> bool:
    return len(values) < 2 or all(a < b for a, b in pairwise(values))


def _check_operations(tx: SignedTransaction) -> None:
    body = tx.body
    alone = not body.inputs and all(isinstance(item, Governance) for item in body.operations)
    if is_governance(body) and not alone:
        detail = "operations of the validators go without inputs and without others"
        raise Invalid(Reason.NOT_ALONE, detail)
    if tx.operations_count > TRANSACTION_OPERATIONS_MAX:
        detail = f"devices to pledge count as {tx.operations_count} operations"
        raise Invalid(Reason.TOO_MANY, f"{detail}, at most {TRANSACTION_OPERATIONS_MAX} may be")
    for operation in body.operations:
        if isinstance(operation, Evidence):
            first, second = operation.first, operation.second
            at_one_place = _place(first) == _place(second)
            if not at_one_place or first.block_hash >= second.block_hash:
                detail = "two votes at one place, for different blocks in ascending order"
                raise Invalid(Reason.NO_CONFLICT, f"needed are {detail}")


def _place(vote: VotePayload) -> tuple[int, int, int, int]:
    return (vote.epoch, vote.phase, vote.view, vote.height)


def flows(operation: Operation, chain_id: bytes) -> tuple[bytes, int]:
    """The asset and amount that an operation brings into its transaction, negative where it takes
    them out: burned, or put into an object. Nothing for most."""
    match operation:
        case Mint():
            return asset_id(chain_id, operation.issuer), operation.amount
        case WithdrawBond():
            return operation.asset, operation.amount
        case Burn() | OpenChallenge() | DepositBond() | DisputeRedemption():
            return operation.asset, -operation.amount
        case Redeem():
            return asset_id(chain_id, operation.issuer), -operation.amount
        case _:
            return ZERO_HASH, 0


def _check_holders(body: Transaction) -> None:
    """What a holder's operations take is spent: nobody's licensed operations stand in for the
    holder's inputs."""
    if not any(isinstance(item, ByHolder) for item in body.operations):
        return
    if not body.inputs and any(isinstance(item, Apply) for item in body.operations):
        raise Invalid(Reason.FEE_TOO_LOW, "an application is paid for: it needs an input")
    left: Counter[bytes] = Counter()
    for operation in body.operations:
        asset, amount = flows(operation, body.chain_id)
        left[asset] -= min(0, amount)
    for spent in body.inputs:
        left[spent.asset] -= spent.amount
    for asset, amount in sorted(left.items()):
        if amount > 0:
            detail = f"asset {asset.hex()}: takes {format_amount(amount)} more than it spends"
            raise Invalid(Reason.UNBALANCED, detail)


def _check_conservation(body: Transaction) -> None:
    left: defaultdict[bytes, int] = defaultdict(int)
    for spent in body.inputs:
        left[spent.asset] += spent.amount
    for operation in body.operations:
        asset, amount = flows(operation, body.chain_id)
        if amount:
            left[asset] += amount
    for output in body.outputs:
        left[output.asset] -= output.amount
    left[body.fee.asset] -= body.fee.amount
    for asset, amount in sorted(left.items()):
        if amount != 0:
            side = "more goes out than in" if amount < 0 else "more comes in than goes out"
            detail = f"asset {asset.hex()}: {side}, by {format_amount(abs(amount))}"
            raise Invalid(Reason.UNBALANCED, detail)


def _check_fee(tx: SignedTransaction, fees: FeeSchedule) -> None:
    body = tx.body
    if not body.inputs:
        if body.fee != NO_FEE:
            raise Invalid(Reason.FEE_NOT_ALLOWED, "a transaction without inputs pays no fee")
        return
    required = fees.required(tx)
    if body.fee.amount < required:
        offered = format_amount(body.fee.amount)
        detail = f"{offered} coins offered, {format_amount(required)} needed ({required} µ)"
        raise Invalid(Reason.FEE_TOO_LOW, detail)
    if body.fee.asset not in [spent.asset for spent in body.inputs]:
        raise Invalid(Reason.FEE_NOT_ALLOWED, "the fee is in an asset that is not spent")


# Where the decoder stopped tells which rule was broken: the path of the field, by position.
# Body fields: 0 version, 2 inputs, 3 outputs, 4 fee, 5 operations, 7 memo. Operations begin with
# their number.
_REASON_BY_PATH: tuple[tuple[re.Pattern[str], Reason], ...] = (
    (re.compile(r"\$\[0\]\[2\]\[\d+\]\[3\]"), Reason.BAD_AMOUNT),
    (re.compile(r"\$\[0\]\[3\]\[\d+\]\[1\]"), Reason.BAD_AMOUNT),
    (re.compile(r"\$\[0\]\[4\]\[1\]"), Reason.BAD_AMOUNT),
    (re.compile(r"\$\[0\]\[5\]\[\d+\]\[0\]"), Reason.UNKNOWN_OPERATION),
    (re.compile(r"\$\[0\]\[7\]"), Reason.MEMO_TOO_LONG),
    (re.compile(r"\$\[0\]\[0\]"), Reason.UNSUPPORTED_VERSION),
    (re.compile(r"\$\[1\]\[0\]"), Reason.BAD_LOCK),
)

_OPERATION_FIELD = re.compile(r"\$\[0\]\[5\]\[(\d+)\]\[(\d+)\]")
_AMOUNTS_OF_OPERATIONS = {(1, 5), (2, 2), (21, 4), (26, 3), (27, 6)}
"""(number, field) of mint, burn, challenge, deposit and withdrawal; with other numbers these fields
are others."""


class _Numbered(msgspec.Struct, array_like=True):
    number: int


class _OperationNumbers(msgspec.Struct, array_like=True):
    """A body of which the numbers of the operations alone are read."""

    version: msgspec.Raw
    chain_id: msgspec.Raw
    inputs: msgspec.Raw
    outputs: msgspec.Raw
    fee: msgspec.Raw
    operations: tuple[_Numbered, ...]


_numbers_decoder = msgspec.msgpack.Decoder(tuple[_OperationNumbers, msgspec.Raw])


def _is_amount_of_operation(raw: bytes, path: str) -> bool:
    found = _OPERATION_FIELD.fullmatch(path)
    if found is None:
        return False
    index, field = int(found[1]), int(found[2])
    try:
        body, _ = _numbers_decoder.decode(raw[codec.ENVELOPE_BYTES :])
    except (msgspec.DecodeError, RecursionError):
        return False  # More is wrong with it than an amount.
    return (body.operations[index].number, field) in _AMOUNTS_OF_OPERATIONS


def _decode_sealed(raw: bytes) -> tuple[SealedTransaction, bytes, bytes]:
    """With the bytes of body and witness."""
    try:
        return codec.decode_pair(raw, SealedTransaction, size_max=TRANSACTION_BYTES_MAX)
    except Invalid as error:
        if error.reason is Reason.MALFORMED:
            _, _, path = error.detail.removesuffix("`").rpartition(" - at `")
            if _is_amount_of_operation(raw, path):
                raise Invalid(Reason.BAD_AMOUNT, error.detail) from None
            for pattern, reason in _REASON_BY_PATH:
                wrong_type = reason is Reason.MEMO_TOO_LONG and "length" not in error.detail
                if pattern.match(path) and not wrong_type:
                    raise Invalid(reason, error.detail) from None
        raise
