"""Free transactions that role keys sign, for processes that act by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from ledger import transaction
from ledger.crypto import SigningKey
from ledger.operations import Operation
from ledger.transaction import NO_FEE, KeySignature, Transaction, Witness

LIFE_MS = 60_000
"""What is not final by then is decided anew."""


def signed_free(
    chain_id: bytes, operations: Sequence[Operation], key: SigningKey, now_ms: int
) -> bytes:
    """The sealed bytes; `now_ms` is header time."""
    body = Transaction(
        version=1,
        chain_id=chain_id,
        inputs=(),
        outputs=(),
        fee=NO_FEE,
        operations=tuple(operations),
        expires_at_ms=now_ms + LIFE_MS,
        memo=b"",
    )
    signature = KeySignature(key.public, key.sign(transaction.sighash(body)))
    return transaction.seal(body, Witness((), (signature,), ())).raw
