"""A certificate with q signatures is believed, whoever gave them: one member signs q times.

Had by: BFT-SMaRt (#62, ba14d8d7), which counted messages, not equal values of distinct members.
"""

from __future__ import annotations

from ledger.block import Certificate, IsValid, vote_hash
from ledger.crypto import verify
from ledger.reasons import Invalid, Reason
from ledger.validators import ValidatorSet
from tests.sim.planting import Planted


def check_certificate(
    certificate: Certificate,
    chain_id: bytes,
    validators: ValidatorSet,
    phase: int,
    is_valid: IsValid = verify,
) -> None:
    keys = [validators.members[index].key for index in certificate.signer_indices]
    message = vote_hash(chain_id, certificate.payload)
    good = [
        signature
        for signature in certificate.signatures
        if any(is_valid(key, message, signature) for key in keys)
    ]
    if certificate.phase != phase or len(good) < validators.quorum:
        raise Invalid(Reason.BAD_CERTIFICATE, f"{len(good)} good signatures")


PLANTED = Planted(
    target="ledger.block:check_certificate",
    wrong=check_certificate,
    checkers=("liveness", "VoteWhileBehind"),
)
