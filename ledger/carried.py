"""Signatures inside operations: words of somebody who does not sign the transaction.

Evidence carries two votes of a member, a posted receipt the holder's word. They are verified with
the signatures of the transaction, before anything looks at a state.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.block import vote_hash
from ledger.economy.redemption import receipt_hash
from ledger.operations import Evidence, Operation
from ledger.redemption_operations import PostReceipt


def carried_signatures(
    operation: Operation, chain_id: bytes
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(key, message, signature) of each."""
    match operation:
        case Evidence():
            key = operation.key
            yield key, vote_hash(chain_id, operation.first), operation.first_signature
            yield key, vote_hash(chain_id, operation.second), operation.second_signature
        case PostReceipt():
            message = receipt_hash(chain_id, operation.receipt)
            yield operation.session_key, message, operation.signature
        case _:
            return
