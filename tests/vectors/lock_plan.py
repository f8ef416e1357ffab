"""The story behind `locks.json`: coins under hashes and limits of time, taken, offered, refunded.

After each height stands what the state now refuses, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from ledger.locks import (
    HEIGHT,
    TIME,
    After,
    All,
    Any,
    Before,
    Condition,
    HashLock,
    Key,
    Threshold,
    lock_hash,
)
from ledger.reasons import Reason
from ledger.transaction import Fee, Input, Output, SignedTransaction
from tests.ledger.world import COIN, TIME_MS, World, key, lock_of, sign
from tests.vectors.epoch_plan import Refusals, Step

SECRETS = (b"swordfish", b"", bytes(range(64)))
"""Of usual length, empty, the longest."""
REFUND_HEIGHT = 4
OFFER_HEIGHT = 3
OFFER_BACK_MS = TIME_MS + 50_000
FEE = 3_000


def hash_of(secret: bytes) -> HashLock:
    return HashLock(sha256(secret).digest())


def key_of(name: str) -> Key:
    return Key(key(name).public)


def swap(secret: bytes) -> Condition:
    """Bob's for the secret, alice's again from a height on."""
    refund = All((After(HEIGHT, REFUND_HEIGHT), key_of("alice")))
    return Any((All((hash_of(secret), key_of("bob"))), refund))


OFFER = Any(
    (
        All((Before(HEIGHT, OFFER_HEIGHT), key_of("carol"))),
        All((After(TIME, OFFER_BACK_MS), key_of("alice"))),
    )
)
"""Carol's below a height, alice's again from a time on."""
VAULT = All(
    (
        Threshold(2, tuple(sorted(key(name).public for name in ("alice", "bob", "carol")))),
        Any((hash_of(SECRETS[1]), All((hash_of(SECRETS[2]), Before(TIME, TIME_MS + 10_000))))),
    )
)
NEVER = All((Before(HEIGHT, 2), After(HEIGHT, 9), key_of("bob")))
LOCKS = (swap(SECRETS[0]), swap(SECRETS[2]), OFFER, VAULT, NEVER)


def fund(world: World) -> SignedTransaction:
    """A coin under each lock, paid by alice."""
    spent = world.coin("alice")
    outputs = [Output(spent.asset, COIN, lock_hash(item)) for item in LOCKS]
    change = spent.amount - len(LOCKS) * COIN - FEE
    outputs.append(Output(spent.asset, change, lock_of("alice")))
    return sign(world.body([spent], outputs, fee=Fee(spent.asset, FEE)), ["alice"])


def spend(
    world: World, condition: Condition, signers: Sequence[str], *secrets: bytes
) -> SignedTransaction:
    """The coin under a lock, to bob."""
    lock = lock_hash(condition)
    (coin,) = [
        Input(*outpoint, entry.asset, entry.amount)
        for outpoint, entry in world.state.outputs.items()
        if entry.lock == lock
    ]
    body = world.body(
        [coin],
        [Output(coin.asset, coin.amount - FEE, lock_of("bob"))],
        fee=Fee(coin.asset, FEE),
    )
    return sign(body, [], signers, conditions=[condition], preimages=secrets)


def lock_steps() -> Iterator[Step]:
    """Every block of the story."""
    yield Step(1_000, lambda world: [fund(world)], _after_funding)
    yield Step(
        1_000,
        lambda world: [
            spend(world, swap(SECRETS[0]), ["bob"], SECRETS[0]),
            spend(world, VAULT, ["alice", "carol"], SECRETS[1]),
        ],
        _before_the_refund,
    )
    yield Step(47_000, lambda world: [], lambda world: [])
    yield Step(
        1_000,
        lambda world: [
            spend(world, swap(SECRETS[2]), ["alice"]),
            spend(world, OFFER, ["alice"]),
        ],
        lambda world: [],
    )


def _after_funding(world: World) -> Refusals:
    first = swap(SECRETS[0])
    vault = (world, VAULT, ["alice", "bob"])
    return [
        ("refund too early", spend(world, first, ["alice"]), Reason.NOT_YET),
        ("never", spend(world, NEVER, ["bob"]), Reason.TOO_LATE),
        ("nobody signed", spend(world, first, [], SECRETS[0]), Reason.MISSING_SIGNATURE),
        ("no secret", spend(world, first, ["bob"]), Reason.MISSING_PREIMAGE),
        ("other secret", spend(world, first, ["bob"], SECRETS[1]), Reason.MISSING_PREIMAGE),
        (
            "two secrets",
            spend(world, first, ["bob"], *SECRETS[:2]),
            Reason.SPARE_PREIMAGE,
        ),
        ("three of two", spend(*vault[:2], ["alice", "bob", "carol"]), Reason.MISSING_PREIMAGE),
        ("spare secret", spend(*vault, *SECRETS), Reason.SPARE_PREIMAGE),
        ("one of two", spend(world, VAULT, ["bob"], SECRETS[1]), Reason.MISSING_SIGNATURE),
        (
            "spare signer",
            spend(world, VAULT, ["alice", "bob", "carol"], SECRETS[1]),
            Reason.SPARE_SIGNATURE,
        ),
    ]


def _before_the_refund(world: World) -> Refusals:
    return [
        ("offer over", spend(world, OFFER, ["carol"]), Reason.TOO_LATE),
        ("offer not back", spend(world, OFFER, ["alice"]), Reason.NOT_YET),
        ("refund one block early", spend(world, swap(SECRETS[2]), ["alice"]), Reason.NOT_YET),
    ]
