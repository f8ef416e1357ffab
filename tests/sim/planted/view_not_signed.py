"""The view is not among what a vote signs: a PREPARE of one view is good in every other.

Had by: QBFT signs a ROUND-CHANGE without prepared block by kind, height and round alone; this is
its cousin for votes. Certificates of old views can then pass for newer ones.
"""

from __future__ import annotations

from ledger import codec
from ledger.block import VotePayload
from ledger.crypto import tagged_hash
from tests.sim.planting import Planted

_vote_hash = tagged_hash("vote")


def vote_hash(chain_id: bytes, payload: VotePayload) -> bytes:
    signed = (payload.epoch, payload.phase, payload.height, payload.block_hash)
    return _vote_hash(chain_id, codec.encode_payload(signed))


PLANTED = Planted(
    target="ledger.block:vote_hash",
    wrong=vote_hash,
    checkers=("DoubleSigned",),
)
