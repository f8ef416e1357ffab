"""One height in one view: proposed, prepared, committed, and nothing but those moves.

A slot lives as long as its view: entering another view makes new slots. What must outlive a view
(the prepared certificate of the highest view) is kept by the replica, not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.messages import Vote
from consensus.quorum import VoteSet
from ledger.block import PREPARE, Header


@dataclass(frozen=True, slots=True)
class Proposal:
    """The block of a slot. `derived` ones come from a NEW-VIEW and carry no leaves."""

    header: Header
    block_hash: bytes
    leaves: tuple[bytes, ...] | None
    sources: tuple[int, ...]
    derived: bool


@dataclass(slots=True)
class Slot:
    """What this replica holds and asked for at one (view, height)."""

    proposal: Proposal | None = None
    prepares: VoteSet = field(default_factory=VoteSet)
    commits: VoteSet = field(default_factory=VoteSet)
    asked_execution: bool = False
    asked_prepare: bool = False
    asked_commit: bool = False

    def votes(self, phase: int) -> VoteSet:
        return self.prepares if phase == PREPARE else self.commits

    def is_proposed(self, block_hash: bytes) -> bool:
        return self.proposal is not None and self.proposal.block_hash == block_hash

    def prepared_hash(self, quorum: int) -> bytes | None:
        """The proposal's hash once a quorum prepared it."""
        if self.proposal is None or self.prepares.count(self.proposal.block_hash) < quorum:
            return None
        return self.proposal.block_hash

    def own_votes(self, member: int) -> list[Vote]:
        found = (self.prepares.of(member), self.commits.of(member))
        return [vote for vote in found if vote is not None]
