"""What a transaction that waits counts as, and when it is looked at again."""

from __future__ import annotations

import msgspec

from ledger.claims import Claim, claims_of
from ledger.locks import Before, Key, limits_of
from ledger.operations import Evidence, ValidatorReady, identities
from ledger.transaction import SignedTransaction

RATE_UNIT = 1_000


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One that waits, and under what the pool counts it."""

    tx: SignedTransaction
    since_ms: int
    rate: int
    """Fee in µ per `RATE_UNIT` bytes."""
    is_free: bool
    owners: tuple[bytes, ...]
    """Signing keys or, of a free one, identities; it is counted under each."""
    weight: int
    """As how many: a paying one as its operations."""
    resent_by: bytes | None
    claims: tuple[Claim, ...]


def entry_of(tx: SignedTransaction, now_ms: int, resent_by: bytes | None) -> Entry:
    """As it waits from `now_ms` (monotonic) on, in the room of whoever sends it again."""
    body = tx.body
    is_free = not body.inputs
    if is_free:
        owners = tuple([name.encode("ascii") for name in identities(body.operations)])
    elif resent_by is not None:
        owners = ()
    else:
        owners = tuple([item.key for item in tx.witness.signatures])
    weight = 1 if is_free else max(1, tx.operations_count)
    rate = body.fee.amount * RATE_UNIT // len(tx.raw)
    return Entry(tx, now_ms, rate, is_free, owners, weight, resent_by, claims_of(tx))


def is_statement(tx: SignedTransaction) -> bool:
    """Evidence or a claim of a seat, free and with nothing beside it: what judges or makes members
    holds back no more than one operation, and each licence has few."""
    operations = tx.body.operations
    alone = not tx.body.inputs and len(operations) == 1
    return alone and isinstance(operations[0], Evidence | ValidatorReady)


def may_close(tx: SignedTransaction) -> bool:
    """Whether a block may come that is too late for one of its locks."""
    trees = [condition for condition in tx.witness.conditions if not isinstance(condition, Key)]
    return any(isinstance(limit, Before) for tree in trees for limit in limits_of(tree))
