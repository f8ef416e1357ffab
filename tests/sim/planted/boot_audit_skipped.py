"""A start believes its database: the last blocks are not looked at.

Had by: every program on LevelDB's defaults; one flipped byte of its log opens without a word and
leaves a hole below the tip.
"""

from __future__ import annotations

from ledger.block import IsValid
from ledger.chain import Chain
from ledger.crypto import verify
from tests.sim.plan import Weak
from tests.sim.planted_focus import bad_disk
from tests.sim.planting import Planted


def audit_boot(chain: Chain, is_valid: IsValid = verify) -> None:
    """Nothing."""


PLANTED = Planted(
    target="ledger.boot_audit:audit_boot",
    wrong=audit_boot,
    checkers=("stored chain", "certificate", "agreement", "honest"),
    focus=bad_disk(Weak.FLIPPED),
)
