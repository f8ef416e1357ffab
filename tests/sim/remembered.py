"""What was decoded once is not decoded again while a simulation runs.

Every message, transaction and record is bytes, and every node decodes what it gets. But bytes of
one kind always mean the same frozen value, and most of them reach several nodes: the second one
is given the value of the first. Faults are not remembered. The node's functions are the ones that
stand in its modules when the simulation begins, so that a planted bug is remembered as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ledger import codec, transaction
from ledger.codec import Wire, WireT
from ledger.transaction import SignedTransaction

VALUES_MAX = 20_000
"""Of each kind of memory; a simulation seldom decodes more. Then everything is forgotten."""


@contextmanager
def remembered_decoding() -> Iterator[None]:
    """Replace `codec.decode` and `transaction.decode` by ones that remember."""
    decode, decode_transaction = codec.decode, transaction.decode
    values: dict[tuple[bytes, type[Wire]], Wire] = {}
    transactions: dict[bytes, SignedTransaction] = {}

    def remember(data: bytes, cls: type[WireT], *, size_max: int) -> WireT:
        value = values.get((data, cls))
        if value is None or len(data) > size_max:
            value = decode(data, cls, size_max=size_max)
            if len(values) >= VALUES_MAX:
                values.clear()
            values[data, cls] = value
        return value  # type: ignore[return-value]

    def remember_transaction(raw: bytes) -> SignedTransaction:
        tx = transactions.get(raw)
        if tx is None:
            tx = decode_transaction(raw)
            if len(transactions) >= VALUES_MAX:
                transactions.clear()
            transactions[raw] = tx
        return tx

    codec.decode, transaction.decode = remember, remember_transaction
    try:
        yield
    finally:
        codec.decode, transaction.decode = decode, decode_transaction
