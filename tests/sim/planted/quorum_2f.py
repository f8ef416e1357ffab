"""A quorum is 2f, so that two of them need not share an honest member.

In 2f + 1 members it lacks one; hard-coded multiples of f are wrong for n = 5 and 6 as well.
Had by: Hyperledger Sawtooth PBFT, which took more than 2f of any n.
"""

from __future__ import annotations

from ledger.validators import fault_limit
from tests.sim.planting import Planted


def quorum_size(n: int) -> int:
    return 2 * fault_limit(n)


PLANTED = Planted(
    target="ledger.validators:quorum_size",
    wrong=quorum_size,
    checkers=("certificate", "agreement", "LockedBlock"),
)
