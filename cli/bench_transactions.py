"""The transactions of a load, made before any clock starts: a fan-out, then transfers. Pure.

A coin becomes as many coins of one size as there are to be transfers, spread evenly over accounts
of the load's own, in levels of transactions with `FAN` outputs. Each of those coins is spent by
one transfer of 1 input and 2 outputs: a payment to another account, and change. So transfers
depend on nothing but the fan-out, and may be sent to any node in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cli.wallet.build import Terms
from ledger import codec, transaction
from ledger.codec import AMOUNT_LIMIT
from ledger.crypto import SIGNATURE_BYTES, ZERO_HASH, SigningKey, tagged_hash
from ledger.locks import Key, lock_hash
from ledger.transaction import (
    OUTPUTS_MAX,
    Fee,
    FeeSchedule,
    Input,
    KeySignature,
    Output,
    SealedTransaction,
    Transaction,
    Witness,
    transaction_id,
)

FAN = OUTPUTS_MAX
"""Outputs of a transaction of the fan-out: the fewest levels."""
PAYMENT = 1_000
"""What each of the two outputs of a transfer gets, in µ. Amounts change no cost."""

_account_seed = tagged_hash("bench-account")


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output and which of `Owners` may spend it."""

    txid: bytes
    index: int
    asset: bytes
    amount: int
    owner: int


class Owners:
    """Keys and locks by index, all from one seed."""

    def __init__(self, seed: bytes, count: int) -> None:
        seeds = [_account_seed(seed, index.to_bytes(4, "big")) for index in range(count)]
        self.keys = [SigningKey(item) for item in seeds]
        self.locks = [lock_hash(Key(key.public)) for key in self.keys]

    def __len__(self) -> int:
        return len(self.keys)


def fund(
    terms: Terms, faucet: SigningKey, coin: Coin, owners: Owners, amount: int
) -> tuple[bytes, Coin]:
    """Give `amount` of the faucet's coin to the first owner, the rest back to the faucet."""
    rest = coin.amount - amount - fee_at_most(terms.fees, 2)
    outputs = [
        Output(coin.asset, amount, owners.locks[0]),
        Output(coin.asset, rest, lock_hash(Key(faucet.public))),
    ]
    raw, txid = spend(terms, faucet, coin, outputs)
    return raw, Coin(txid, 0, coin.asset, amount, 0)


@dataclass(frozen=True, slots=True)
class FanOut:
    """`levels` depend each on the one before; `coins` are there when the last is final."""

    levels: list[list[bytes]]
    coins: list[Coin]


@cache
def amount_needed(terms: Terms, count: int) -> int:
    """What a coin must hold to become `count` coins, each enough for a transfer and its fee."""
    if count == 1:
        return fee_at_most(terms.fees, 2) + 2 * PAYMENT
    parts = _parts(count)
    # All parts but the last are equal, so two calls a level do for any count.
    total = amount_needed(terms, parts[0]) * (len(parts) - 1) + amount_needed(terms, parts[-1])
    return total + fee_at_most(terms.fees, len(parts))


def fan_out(terms: Terms, owners: Owners, coin: Coin, count: int) -> FanOut:
    """Split a coin of `amount_needed(terms, count)`."""
    levels: list[list[bytes]] = []
    coins: list[Coin] = []
    frontier = [(coin, count)]
    while frontier:
        raws: list[bytes] = []
        below: list[tuple[Coin, int]] = []
        for parent, wanted in frontier:
            if wanted == 1:
                coins.append(parent)
                continue
            parts = _parts(wanted)
            heirs = [(len(below) + i) % len(owners) for i in range(len(parts))]
            outputs = [
                Output(parent.asset, amount_needed(terms, part), owners.locks[heir])
                for part, heir in zip(parts, heirs, strict=True)
            ]
            raw, txid = spend(terms, owners.keys[parent.owner], parent, outputs)
            raws.append(raw)
            for index, (part, heir) in enumerate(zip(parts, heirs, strict=True)):
                child = Coin(txid, index, parent.asset, outputs[index].amount, heir)
                below.append((child, part))
        if raws:
            levels.append(raws)
        frontier = below
    return FanOut(levels, coins)


def transfer(terms: Terms, owners: Owners, coin: Coin) -> bytes:
    """Pay the next account and give the rest back."""
    rest = coin.amount - PAYMENT - fee_at_most(terms.fees, 2)
    outputs = [
        Output(coin.asset, PAYMENT, owners.locks[(coin.owner + 1) % len(owners)]),
        Output(coin.asset, rest, owners.locks[coin.owner]),
    ]
    return spend(terms, owners.keys[coin.owner], coin, outputs)[0]


@dataclass(frozen=True, slots=True)
class SigningJob:
    """A share of the transfers, for a process of its own."""

    terms: Terms
    seed: bytes
    accounts: int
    coins: Sequence[Coin]


def sign_transfers(job: SigningJob) -> list[bytes]:
    """One transfer for each coin."""
    owners = _owners(job.seed, job.accounts)
    return [transfer(job.terms, owners, coin) for coin in job.coins]


@cache
def _owners(seed: bytes, count: int) -> Owners:
    return Owners(seed, count)


def _parts(count: int) -> list[int]:
    """How many coins each output has to become: as few levels as possible, the last one less."""
    part = 1
    while part * FAN < count:
        part *= FAN
    whole, rest = divmod(count, part)
    return [part] * whole + [rest] * (rest > 0)


def spend(
    terms: Terms, key: SigningKey, coin: Coin, outputs: Sequence[Output]
) -> tuple[bytes, bytes]:
    """Bytes and txid of a signed transaction; what the outputs leave over is its fee."""
    fee = coin.amount - sum([output.amount for output in outputs])
    body = _body(terms.chain_id, coin, outputs, fee, terms.expires_at_ms)
    signature = key.sign(transaction.sighash(body))
    witness = Witness((Key(key.public),), (KeySignature(key.public, signature),), ())
    return codec.encode(SealedTransaction(body, witness)), transaction_id(body)


@cache
def fee_at_most(fees: FeeSchedule, outputs: int) -> int:
    """The fee of a transaction of 1 input and so many outputs, whatever its numbers."""
    largest = AMOUNT_LIMIT - 1
    coin = Coin(ZERO_HASH, (1 << 32) - 1, ZERO_HASH, largest, 0)
    lines = [Output(ZERO_HASH, largest, ZERO_HASH)] * outputs
    body = _body(ZERO_HASH, coin, lines, largest, codec.UINT_MAX)
    empty = KeySignature(ZERO_HASH, bytes(SIGNATURE_BYTES))
    return fees.required(transaction.seal(body, Witness((Key(ZERO_HASH),), (empty,), ())))


def _body(
    chain_id: bytes, coin: Coin, outputs: Sequence[Output], fee: int, expires_at_ms: int
) -> Transaction:
    return Transaction(
        version=1,
        chain_id=chain_id,
        inputs=(Input(coin.txid, coin.index, coin.asset, coin.amount),),
        outputs=tuple(outputs),
        fee=Fee(coin.asset, fee),
        operations=(),
        expires_at_ms=expires_at_ms,
        memo=b"",
    )
