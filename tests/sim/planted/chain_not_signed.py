"""The chain's id is not among what a vote signs: votes of a test network are good in this one.

Had by: QBFT, whose ROUND-CHANGE can be replayed across chains that share keys; Hyperledger Fabric
(CVE-2024-45244) for replayed transactions.
"""

from __future__ import annotations

from ledger import codec
from ledger.block import VotePayload
from ledger.crypto import tagged_hash
from tests.sim.planting import Planted

_vote_hash = tagged_hash("vote")


def vote_hash(chain_id: bytes, payload: VotePayload) -> bytes:
    return _vote_hash(codec.encode_payload(payload))


PLANTED = Planted(
    target="ledger.block:vote_hash",
    wrong=vote_hash,
    checkers=("DoubleSigned",),
)
