"""The states at the ends of the last two epochs, held for whoever is far behind.

Two, so that whoever begins to take the newest has at least an epoch to do it, whenever the next one
ends. What of the objects was overwritten since stays on the disk for them. They do not outlive the
process: a node that was started since has none to give until the next epoch ends.
"""

from __future__ import annotations

from ledger.chain import Chain
from ledger.snapshot import Manifest
from ledger.snapshot_make import FrozenState, Steps, chunk_steps, make_chunk

HELD_MAX = 2


class HeldSnapshot:
    """One a chain. `renew` after each block that ends an epoch, before the next is appended."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._states: list[FrozenState] = []  # the newest last
        if chain.height and chain.head.header.ends_epoch:
            self.renew()

    def renew(self) -> None:
        """Hold the state after the chain's last block, and let the oldest go."""
        self._states.append(self._chain.freeze())
        if len(self._states) > HELD_MAX:
            self._states.pop(0).close()

    def manifest(self, epoch: int) -> Manifest | None:
        """Of the end of this epoch, if that is held."""
        state = self._of(epoch)
        return None if state is None else state.manifest

    def chunk(self, epoch: int, number: int) -> bytes | None:
        """An encoded chunk, made now: up to 50 ms where all outputs in it are unspent."""
        state = self._of(epoch)
        return None if state is None else make_chunk(state, number)

    def chunk_steps(self, epoch: int, number: int) -> Steps:
        """The same in small steps, between which the state may be let go: then None."""
        state = self._of(epoch)
        if state is None:
            return None
        steps = chunk_steps(state, number)
        while state in self._states:
            try:
                next(steps)
            except StopIteration as done:
                chunk: bytes | None = done.value
                return chunk
            yield
        return None

    def _of(self, epoch: int) -> FrozenState | None:
        held = (state for state in self._states if state.head.header.epoch == epoch)
        return next(held, None)
