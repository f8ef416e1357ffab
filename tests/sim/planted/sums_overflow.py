"""Sums of amounts wrap around at 64 bits: outputs that are worth more than the inputs balance.

Had by: Bitcoin in 2010, block 74,638: 184 billion coins out of nothing.
"""

from __future__ import annotations

from collections import Counter

from ledger.operations import Burn, Mint
from ledger.reasons import Invalid, Reason
from ledger.transaction import Transaction, asset_id
from tests.sim.planting import Planted

WORD = 1 << 64


def _check_conservation(body: Transaction) -> None:
    left: Counter[bytes] = Counter()
    for spent in body.inputs:
        left[spent.asset] += spent.amount
    for operation in body.operations:
        if isinstance(operation, Mint):
            left[asset_id(body.chain_id, operation.issuer)] += operation.amount
        elif isinstance(operation, Burn):
            left[operation.asset] -= operation.amount
    for output in body.outputs:
        left[output.asset] -= output.amount
    left[body.fee.asset] -= body.fee.amount
    for asset in sorted(left):
        if left[asset] % WORD:
            raise Invalid(Reason.UNBALANCED, f"asset {asset.hex()}")


PLANTED = Planted(
    target="ledger.transaction:_check_conservation",
    wrong=_check_conservation,
    checkers=("admission", "validity"),
)
