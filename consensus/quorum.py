"""Counting votes: one of each member, a second and different one is evidence."""

from __future__ import annotations

from consensus.messages import Vote


class VoteSet:
    """The votes of one (view, height, phase), by member."""

    __slots__ = ("_by_signer",)

    def __init__(self) -> None:
        self._by_signer: dict[int, Vote] = {}

    def of(self, signer: int) -> Vote | None:
        return self._by_signer.get(signer)

    def add(self, vote: Vote) -> Vote | None:
        """Keep a verified vote; answers the member's earlier vote if it was a different one.

        The first vote stays: an equivocator gains nothing by a second one.
        """
        first = self._by_signer.setdefault(vote.signer, vote)
        return None if first.block_hash == vote.block_hash else first

    def bitmap(self) -> int:
        """Members whose vote is held, lowest index first."""
        return sum(1 << signer for signer in self._by_signer)

    def count(self, block_hash: bytes) -> int:
        return sum([vote.block_hash == block_hash for vote in self._by_signer.values()])

    def quorum_hash(self, quorum: int) -> bytes | None:
        """The hash that `quorum` members voted for, if there is one; there is at most one."""
        if len(self._by_signer) < quorum:
            return None
        counts: dict[bytes, int] = {}
        for vote in self._by_signer.values():
            counts[vote.block_hash] = counts.get(vote.block_hash, 0) + 1
        return next((found for found, count in counts.items() if count >= quorum), None)

    def signatures(self, block_hash: bytes, quorum: int) -> dict[int, bytes]:
        """The first `quorum` signatures for a hash by member index."""
        found = {
            signer: vote.signature
            for signer, vote in sorted(self._by_signer.items())
            if vote.block_hash == block_hash
        }
        return dict(list(found.items())[:quorum])
