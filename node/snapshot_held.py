"""The state at the end of the last epoch, held for whoever is far behind.

One is held, the newest: what of the store was overwritten since stays on the disk for it, and who
takes an older one begins anew with this. It does not outlive the process: a node that was started
since has none to give until the next epoch ends.
"""

from __future__ import annotations

from ledger.chain import Chain
from ledger.snapshot import Manifest
from ledger.snapshot_make import FrozenState, make_chunk


class HeldSnapshot:
    """One a chain. `renew` after each block that ends an epoch, before the next is appended."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._state: FrozenState | None = None
        if chain.height and chain.head.header.ends_epoch:
            self.renew()

    def renew(self) -> None:
        """Let the one before go and hold the state after the chain's last block."""
        before, self._state = self._state, self._chain.freeze()
        if before is not None:
            before.close()

    def manifest(self, epoch: int) -> Manifest | None:
        """Of the end of this epoch, if that is what is held."""
        state = self._of(epoch)
        return None if state is None else state.manifest

    def chunk(self, epoch: int, number: int) -> bytes | None:
        """An encoded chunk, made now: up to 50 ms where all outputs in it are unspent."""
        state = self._of(epoch)
        return None if state is None else make_chunk(state, number)

    def _of(self, epoch: int) -> FrozenState | None:
        state = self._state
        return state if state is not None and state.head.header.epoch == epoch else None
