"""From two conflicting votes to the transaction that puts them on the chain.

Pure: the engine hands in what its replica found, the caller puts the result into the pool and
gossips it like any other. It needs no signature, for the votes in it are signed by the accused, so
it makes no difference which node sends it. One a member and epoch is enough: the licence loses its
seat when the epoch ends, however often it lied.
"""

from __future__ import annotations

from consensus.effects import Evidence as Conflict
from consensus.messages import Vote
from ledger import transaction
from ledger.operations import Evidence
from ledger.transaction import NO_FEE, SignedTransaction, Transaction, Witness
from ledger.validators import ValidatorSet

ACCUSED_MAX = 256
"""Members and epochs that are remembered: eight epochs in which all of 32 members lie."""
LIFETIME_MS = 24 * 3_600_000
"""A pool keeps an accusation so long while evil primaries pass it over. Well below what a
transaction may have, for the clock of a block may be behind ours."""


class Accusations:
    """What this node accused whom of since it started, the oldest forgotten first."""

    __slots__ = ("_chain_id", "_made")

    def __init__(self, chain_id: bytes) -> None:
        self._chain_id = chain_id
        self._made: dict[tuple[bytes, int], None] = {}

    def __len__(self) -> int:
        return len(self._made)

    def make(
        self, conflict: Conflict, validators: ValidatorSet, *, wall_ms: int
    ) -> SignedTransaction | None:
        """The transaction against the signer of two votes of the epoch of `validators`.

        None where this node accused it in that epoch already.
        """
        member = validators.members[conflict.first.signer]
        place = (member.key, validators.epoch)
        if place in self._made:
            return None
        if len(self._made) >= ACCUSED_MAX:
            del self._made[next(iter(self._made))]
        self._made[place] = None
        first, second = sorted((conflict.first, conflict.second), key=_block_hash)
        evidence = Evidence(
            licence=member.licence,
            key=member.key,
            first=first.payload,
            first_signature=first.signature,
            second=second.payload,
            second_signature=second.signature,
        )
        body = Transaction(
            version=1,
            chain_id=self._chain_id,
            inputs=(),
            outputs=(),
            fee=NO_FEE,
            operations=(evidence,),
            expires_at_ms=wall_ms + LIFETIME_MS,
            memo=b"",
        )
        return transaction.seal(body, Witness((), (), ()))


def _block_hash(vote: Vote) -> bytes:
    return vote.block_hash
