"""From chosen coins to a transaction: outputs, change, fee, signatures. Pure.

The fee depends on the size, the size on the witness and on the lengths of the numbers, so a draft
carries a witness with empty signatures (they have one length) and is built again until its fee
pays for it. A draft therefore needs public keys only: it is shown, and has its txid, before any
password is asked.

Change below what spending it would cost goes to the fee; there is never an output of zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cli.wallet import selection
from cli.wallet.selection import Coin
from ledger.codec import AMOUNT_LIMIT
from ledger.crypto import SIGNATURE_BYTES, ZERO_HASH, SigningKey
from ledger.locks import After, All, Any, Before, Condition, HashLock, Key, Threshold
from ledger.operations import Burn, Mint, Operation, keys_that_sign
from ledger.transaction import (
    NO_FEE,
    PREIMAGE_BYTES_MAX,
    Fee,
    FeeSchedule,
    Input,
    KeySignature,
    Output,
    SignedTransaction,
    Transaction,
    Witness,
    asset_id,
    check_signatures,
    check_stateless,
    seal,
    sighash,
    transaction_id,
)

FEE_ROUNDS_MAX = 8
"""A fee changes its own length by a few bytes at most, so two rounds are the rule."""
INPUT_BYTES = 88
"""The longest encoding of an input: what a coin costs whoever spends it."""
CHANGE_BYTES = 80
ADDRESS_BYTES = 140
"""What a further address adds to a witness: its condition, a key and a signature."""

Conditions = Mapping[bytes, Condition]
"""What opens each of the sender's locks, by lock hash."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every transaction of one command has in common."""

    chain_id: bytes
    fees: FeeSchedule
    expires_at_ms: int
    memo: bytes = b""

    @property
    def dust(self) -> int:
        """Change that costs more to spend than it is worth."""
        return self.fees.per_byte * INPUT_BYTES

    @property
    def address_cost(self) -> int:
        """What spending from a further address costs, beside its coins."""
        return self.fees.per_byte * ADDRESS_BYTES + self.fees.per_signature

    @property
    def tolerance(self) -> int:
        """What a payment may leave over and still need no change."""
        return self.dust + self.fees.per_byte * CHANGE_BYTES + self.fees.per_new_output


@dataclass(frozen=True, slots=True)
class Part:
    """An amount of one asset."""

    asset: bytes
    amount: int


Taken = Callable[[Part], Operation]
"""The operation that takes an amount."""


def burned(part: Part) -> Operation:
    return Burn(part.asset, part.amount)


@dataclass(frozen=True, slots=True)
class Payment:
    """Who gets what; with `to` None an operation takes it, as `taken` says: burns it, unless told
    otherwise. The fee is paid in the asset of the first part."""

    parts: tuple[Part, ...]
    to: bytes | None
    change_lock: bytes
    taken: Taken = burned


@dataclass(frozen=True, slots=True)
class Draft:
    """An unsigned transaction whose fee fits."""

    body: Transaction
    coins: tuple[Coin, ...]
    conditions: tuple[Condition, ...]
    """Of the locks of its coins, by ascending lock hash."""
    keys: tuple[bytes, ...]
    """Public keys that sign, ascending; of a threshold as many as it needs, others do as well. For
    other locks of several keys whoever signs decides."""
    parts: tuple[Part, ...]
    change: Mapping[bytes, int]

    @property
    def txid(self) -> bytes:
        return transaction_id(self.body)

    @property
    def fee(self) -> int:
        return self.body.fee.amount


def draft_single(
    terms: Terms, coins: Sequence[Coin], conditions: Conditions, payment: Payment, *, seed: int
) -> Draft | None:
    """Pay one part with coins of its asset; None when no choice of them covers it."""
    (part,) = payment.parts
    usable = [coin for coin in coins if coin.asset == part.asset]

    def fee_of(chosen: Sequence[Coin]) -> int:
        body = _body(terms, chosen, payment, {}, AMOUNT_LIMIT - 1)
        return _fee(terms, body, chosen, conditions)

    chosen = selection.cover(usable, part.amount, fee_of, tolerance=terms.tolerance, seed=seed)
    if chosen is None and 0 < len(usable) <= selection.INPUTS_MAX:
        # `fee_of` is a few µ too high: whoever sends the last µ spends every coin anyway.
        chosen = usable
    return None if chosen is None else draft_exact(terms, chosen, conditions, payment)


def draft_mixed(
    terms: Terms,
    coins: Sequence[Coin],
    conditions: Conditions,
    amount: int,
    payment: Payment,
    *,
    seed: int,
) -> Draft | None:
    """Pay `amount` with as few assets as possible; `payment.parts` is filled in here.

    Assets follow each other by what is held of them; all but the last are used up. The fee is in
    the first, so its part shrinks until the fee fits.
    """
    held: Counter[bytes] = Counter()
    for coin in coins:
        held[coin.asset] += coin.amount
    order = sorted(held, key=lambda asset: (-held[asset], asset))
    fee = 0
    for _ in range(FEE_ROUNDS_MAX):
        chosen: list[Coin] = []
        parts: list[Part] = []
        left = amount
        for asset in order:
            reserved = fee if asset == order[0] else 0
            part = min(left, held[asset] - reserved)
            if part <= 0:
                break
            own = [coin for coin in coins if coin.asset == asset]
            picked = selection.select(own, part + reserved, tolerance=0, seed=seed)
            if picked is None:
                return None
            chosen += picked
            parts.append(Part(asset, part))
            left -= part
        if left > 0 or len(chosen) > selection.INPUTS_MAX:
            return None
        filled = replace(payment, parts=tuple(parts))
        change = {p.asset: 1 for p in parts}
        needed = _fee(terms, _body(terms, chosen, filled, change, fee), chosen, conditions)
        if needed <= fee:
            return draft_exact(terms, chosen, conditions, filled)
        fee = needed
    return None


def draft_exact(
    terms: Terms, coins: Sequence[Coin], conditions: Conditions, payment: Payment
) -> Draft | None:
    """Pay with all of these coins; None when they do not cover the payment and the fee."""
    left: Counter[bytes] = Counter()
    for coin in coins:
        left[coin.asset] += coin.amount
    for part in payment.parts:
        left[part.asset] -= part.amount
    if any(amount < 0 for amount in left.values()):
        return None
    fee_asset = payment.parts[0].asset
    spare = left[fee_asset]
    fee = 0
    for _ in range(FEE_ROUNDS_MAX):
        rest = spare - fee
        change = {**left, fee_asset: rest if rest > terms.dust else 0}
        paid = fee if rest > terms.dust else spare
        body = _body(terms, coins, payment, change, paid)
        needed = _fee(terms, body, coins, conditions)
        if needed <= paid:
            kept = {asset: amount for asset, amount in change.items() if amount}
            revealed = _revealed(coins, conditions)
            keys = tuple(sorted({*_signers(revealed), *_operators(body)}))
            return Draft(body, tuple(coins), revealed, keys, payment.parts, kept)
        if needed > spare:
            # With change it is too dear; without, it may fit.
            bare = _body(terms, coins, payment, {**left, fee_asset: 0}, spare)
            if _fee(terms, bare, coins, conditions) > spare:
                return None
            needed = spare
        fee = needed
    return None


def draft_merged(
    terms: Terms, coins: Sequence[Coin], conditions: Conditions, lock: bytes
) -> Draft | None:
    """All of these coins, of one asset, in one output; None when they are not worth the fee."""
    asset, worth = coins[0].asset, selection.total(coins)
    whole = Payment((Part(asset, worth),), lock, lock)
    fee = _fee(terms, _body(terms, coins, whole, {}, worth), coins, conditions)
    if fee >= worth:
        return None
    merged = replace(whole, parts=(Part(asset, worth - fee),))
    return draft_exact(terms, coins, conditions, merged)


def draft_mint(
    terms: Terms, *, issuer: str, key: bytes, lane: int, number: int, amount: int, to: bytes
) -> Draft:
    """An issuer's new coins; free, because a licensed key signs."""
    asset = asset_id(terms.chain_id, issuer)
    body = Transaction(
        version=1,
        chain_id=terms.chain_id,
        inputs=(),
        outputs=(Output(asset, amount, to),),
        fee=NO_FEE,
        operations=(Mint(issuer, key, lane, number, amount),),
        expires_at_ms=terms.expires_at_ms,
        memo=terms.memo,
    )
    return Draft(body, (), (), (key,), (Part(asset, amount),), {})


def sign(terms: Terms, draft: Draft, keys: Iterable[SigningKey]) -> SignedTransaction:
    """Sign with those of `keys` that are needed, and check the result as a node will."""
    by_public = {key.public: key for key in keys}
    message = sighash(draft.body)
    signatures = tuple(
        KeySignature(public, by_public[public].sign(message)) for public in draft.keys
    )
    tx = seal(draft.body, Witness(draft.conditions, signatures, ()))
    check_stateless(tx, terms.chain_id, terms.fees)
    check_signatures(tx)
    return tx


def dearest_way(condition: Condition) -> tuple[int, int]:
    """Signatures and preimages, at most, that open a condition with nothing to spare."""
    match condition:
        case Key():
            return 1, 0
        case Threshold():
            return condition.needed, 0
        case HashLock():
            return 0, 1
        case After() | Before():
            return 0, 0
        case All() | Any():
            pick = sum if isinstance(condition, All) else max
            signatures, preimages = zip(*map(dearest_way, condition.parts), strict=True)
            return pick(signatures), pick(preimages)


def _body(
    terms: Terms,
    coins: Sequence[Coin],
    payment: Payment,
    change: Mapping[bytes, int],
    fee: int,
) -> Transaction:
    outputs: list[Output] = []
    operations: list[Operation] = []
    for part in payment.parts:
        if payment.to is None:
            operations.append(payment.taken(part))
        else:
            outputs.append(Output(part.asset, part.amount, payment.to))
    for asset in sorted(change):
        if change[asset]:
            outputs.append(Output(asset, change[asset], payment.change_lock))
    return Transaction(
        version=1,
        chain_id=terms.chain_id,
        inputs=tuple(Input(coin.txid, coin.index, coin.asset, coin.amount) for coin in coins),
        outputs=tuple(outputs),
        fee=Fee(payment.parts[0].asset, fee),
        operations=tuple(operations),
        expires_at_ms=terms.expires_at_ms,
        memo=terms.memo,
    )


def _fee(terms: Terms, body: Transaction, coins: Sequence[Coin], conditions: Conditions) -> int:
    """What a node asks for this body once it is signed, in the dearest way in which it may be."""
    revealed = _revealed(coins, conditions)
    keys, preimages = [*_signers(revealed), *_operators(body)], 0
    for condition in revealed:
        if not isinstance(condition, Key | Threshold):
            signatures, secrets = dearest_way(condition)
            keys += [ZERO_HASH] * signatures
            preimages += secrets
    unsigned = tuple(KeySignature(key, bytes(SIGNATURE_BYTES)) for key in keys)
    longest = (bytes(PREIMAGE_BYTES_MAX),) * preimages
    return terms.fees.required(seal(body, Witness(revealed, unsigned, longest)))


def _revealed(coins: Sequence[Coin], conditions: Conditions) -> tuple[Condition, ...]:
    return tuple(conditions[lock] for lock in sorted({coin.lock for coin in coins}))


def _operators(body: Transaction) -> list[bytes]:
    return [key for item in body.operations for key in keys_that_sign(item)]


def _signers(conditions: Iterable[Condition]) -> tuple[bytes, ...]:
    """As many keys as will sign; which of a threshold's they are does not change the fee."""
    keys: set[bytes] = set()
    for condition in conditions:
        if isinstance(condition, Key):
            keys.add(condition.key)
        elif isinstance(condition, Threshold):
            keys.update(condition.keys[: condition.needed])
    return tuple(sorted(keys))
