"""Taking a seat: an admitted node says on chain that it holds the chain, once it may vote there.

Said once an epoch while it waits, from the moment when it is at the tip and its guard will sign in
the next epoch: a seat whose member does not vote would cost the others their margin.
"""

from __future__ import annotations

import logging

from ledger.chain import Chain
from ledger.crypto import ZERO_HASH
from ledger.economy.licence import Licence, Seat
from ledger.epochs import Epoch
from ledger.objects import load_all, load_one
from ledger.operations import ValidatorReady
from ledger.transaction import NO_FEE, KeySignature, SignedTransaction, Transaction, Witness, seal
from node.guards import Guard
from node.vote_guard import Refused

READY_LIFE_MS = 60_000
"""Said again when it found no place in a block for so long."""

log = logging.getLogger("marsa.joining")


class Joining:
    """One a node that has a consensus key."""

    def __init__(self, chain: Chain, guard: Guard) -> None:
        self._chain = chain
        self._guard = guard
        self._said_until_ms = 0
        self._said_in_epoch = -1

    def announcement(self, *, is_at_tip: bool) -> SignedTransaction | None:
        """The transaction to send now, None while there is nothing to say."""
        if not is_at_tip or not self._guard.is_sure_next:
            return None
        epoch, time_ms = load_one(self._chain, Epoch), self._chain.head.header.time_ms
        was_said = self._said_in_epoch == epoch.number and time_ms <= self._said_until_ms
        if was_said or epoch.base_hash == ZERO_HASH:
            return None
        licence = self._waiting_licence()
        if licence is None:
            return None
        until_ms = time_ms + READY_LIFE_MS
        operation = ValidatorReady(
            licence.grant.id, self._guard.public, epoch.base_height, epoch.base_hash
        )
        body = Transaction(
            version=1,
            chain_id=self._chain.chain_id,
            inputs=(),
            outputs=(),
            fee=NO_FEE,
            operations=(operation,),
            expires_at_ms=until_ms,
            memo=b"",
        )
        try:
            signature = KeySignature(self._guard.public, self._guard.sign_ready(body))
        except Refused as refusal:
            log.warning("not ready for a seat: %s", refusal)
            return None
        self._said_in_epoch, self._said_until_ms = epoch.number, until_ms
        return seal(body, Witness((), (signature,), ()))

    def _waiting_licence(self) -> Licence | None:
        for licence in load_all(self._chain, Licence):
            if licence.grant.keys.consensus == self._guard.public:
                return licence if licence.seat is Seat.WAITING else None
        return None
