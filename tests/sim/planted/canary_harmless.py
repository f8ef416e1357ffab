"""Nothing is wrong here: the sum is written another way. Whoever finds this bug is wrong.

Had by: nobody.
"""

from __future__ import annotations

from consensus.quorum import VoteSet
from tests.sim.planting import Planted


def count(self: VoteSet, block_hash: bytes) -> int:
    return len([vote for vote in self._by_signer.values() if vote.block_hash == block_hash])


PLANTED = Planted(
    target="consensus.quorum:VoteSet.count",
    wrong=count,
    test="tests/consensus/test_quorum.py",
    seeds=20,
)
