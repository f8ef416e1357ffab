"""The header beside a prepared certificate is believed without hashing it, its parent too.

Had by: pbft-java, where ByzzFuzz broke agreement with one changed PRE-PREPARE: no digest bound
what a message said about a block to the block.
"""

from __future__ import annotations

from consensus.messages import PreparedEntry
from consensus.view_change import Rules
from ledger.block import PREPARE, check_certificate
from ledger.reasons import Invalid
from tests.sim.planted_focus import forged
from tests.sim.planting import Planted


def _is_proved(entry: PreparedEntry, view: int, rules: Rules) -> bool:
    certificate = entry.certificate
    if certificate.epoch != rules.epoch or certificate.view >= view:
        return False
    if certificate.height != entry.header.height:
        return False
    try:
        check_certificate(certificate, rules.chain_id, rules.validators, PREPARE, rules.is_valid)
    except Invalid:
        return False
    return True


PLANTED = Planted(
    target="consensus.view_change:_is_proved",
    wrong=_is_proved,
    checkers=("agreement", "LockedBlock", "liveness"),
    focus=forged,
)
