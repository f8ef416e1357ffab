"""One output may be spent twice by one transaction.

Had by: Bitcoin Core (CVE-2018-17144): the check was taken out because it seemed to be made twice.
"""

from __future__ import annotations

from ledger.reasons import Invalid, Reason
from ledger.transaction import (
    FeeSchedule,
    SignedTransaction,
    _check_conservation,
    _check_fee,
    _check_holders,
    _check_operations,
    check_witness,
)
from tests.sim.planting import Planted


def check_stateless(tx: SignedTransaction, chain_id: bytes, fees: FeeSchedule) -> None:
    body = tx.body
    if body.chain_id != chain_id:
        raise Invalid(Reason.WRONG_CHAIN, f"signed for {body.chain_id.hex()}")
    if not body.inputs and not body.operations:
        raise Invalid(Reason.NO_EFFECT, "neither inputs nor operations")
    if body.operations:
        _check_operations(tx)
        _check_holders(body)
    _check_conservation(body)
    _check_fee(tx, fees)
    check_witness(tx)


PLANTED = Planted(
    target="ledger.transaction:check_stateless",
    wrong=check_stateless,
    checkers=("admission", "validity"),
)
