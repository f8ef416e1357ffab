"""An attestor by itself: renews what it vouches for, and seals and reveals its nonces.

It vouches for what the pledged machines can deliver, as if it had measured them: on a devnet there
are no machines. Nonces derive from its key, so that an agent that starts again knows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from cli.agents.seen import Seen
from ledger.crypto import tagged_hash
from ledger.economy.capacity import MICROHOURS_A_HOUR
from ledger.economy.spot_audit import nonce_digest
from ledger.operations import Attest, Operation, RevealNonce, SealNonce
from ledger.times import HOUR_MS

RENEW_SHARE = 4
"""Renewed after a quarter of its life: half of it is needed before a figure begins to decay."""
ATTESTED_MAX = 8
"""Commitments that one attestor renews at one look, the oldest word first."""

_nonce = tagged_hash("agent/nonce")


class AttestorAgent:
    """One attestor of a devnet. `vouches`: whether it attests, or only draws and may rule."""

    def __init__(self, name: str, seed: bytes, public: bytes, *, vouches: bool) -> None:
        self.name = name
        self.vouches = vouches
        self._secret = sha256(seed).digest()
        self._public = public

    def decide(self, seen: Seen) -> list[Operation]:
        """What it would have on the chain now, each in a transaction of its own."""
        me = seen.attestors.get(self.name)
        if me is None or me.state != "active":
            return []
        numbers = {item.lane: item.next_number for item in me.lanes}
        return [*self._nonces(seen), *(self._attest(seen, numbers) if self.vouches else ())]

    def _nonces(self, seen: Seen) -> Iterator[Operation]:
        present = seen.audits.period
        rounds = {item.period: item.sealed for item in seen.audits.rounds}
        sealed = {item.attestor for item in rounds.get(present + 1, ())}
        if self.name not in sealed:
            digest = nonce_digest(self.name.encode("ascii"), self._nonce_of(present + 1))
            yield SealNonce(self.name, self._public, present + 1, digest)
        for item in rounds.get(present - 1, ()):
            if item.attestor == self.name and item.nonce is None:
                nonce = self._nonce_of(present - 1)
                yield RevealNonce(self.name, self._public, present - 1, nonce)

    def _nonce_of(self, period: int) -> bytes:
        return _nonce(self._secret, period.to_bytes(8, "big"))

    def _attest(self, seen: Seen, numbers: dict[int, int]) -> Iterator[Operation]:
        """Each in a lane of its own: a lane takes one operation a block."""
        due = []
        for item in seen.commitments:
            own = next((x.since_ms for x in item.attestations if x.attestor == self.name), 0)
            able = item.devices * MICROHOURS_A_HOUR * seen.period_ms // HOUR_MS
            figure = min(int(item.microhours), able)
            is_old = seen.now_ms - own > seen.attestation_life_ms // RENEW_SHARE
            if item.state in ("proposed", "live", "stale") and figure and is_old:
                due.append((own, figure, item))
        due.sort(key=lambda entry: (entry[0], entry[2].issuer, entry[2].id))
        for lane, (_, figure, item) in enumerate(due[:ATTESTED_MAX]):
            yield Attest(
                attestor=self.name,
                key=self._public,
                lane=lane,
                number=numbers.get(lane, 0),
                issuer=item.issuer,
                commitment=item.id,
                born=item.born,
                until_ms=item.to_ms,
                microhours=figure,
            )
