"""From one epoch to the next by its last block: how the set of a later epoch comes to be known.

Whoever knows the set of an epoch checks the certificate of its last block; that block's header
names the next set. So the sets of all epochs follow from genesis, or from one that is configured,
at the price of one header and one certificate an epoch, and no block in between is needed.
"""

from __future__ import annotations

from typing import ClassVar

from ledger.block import Certificate, Header, IsValid
from ledger.chain import Chain
from ledger.codec import Wire
from ledger.crypto import verify
from ledger.reasons import Invalid, Reason
from ledger.schema import DamagedChain
from ledger.snapshot import check_last_block
from ledger.validators import Members, ValidatorSet

BOUNDARY_BYTES_MAX = 6 * 1024
"""Of an encoded boundary with 32 members whose licences have the longest names."""


class Boundary(Wire, frozen=True):
    """The last block of an epoch, made final, and who validates in the next."""

    TYPE: ClassVar[int] = 13
    header: Header
    certificate: Certificate
    following: Members


def check_boundary(
    boundary: Boundary, chain_id: bytes, validators: ValidatorSet, is_valid: IsValid = verify
) -> ValidatorSet:
    """The set of the epoch after that of `validators`; raises Invalid."""
    header = boundary.header
    check_last_block(header, boundary.certificate, chain_id, validators, is_valid)
    following = ValidatorSet(header.epoch + 1, boundary.following)
    if following.hash != header.next_validators_hash:
        raise Invalid(Reason.BAD_PROOF, f"epoch {following.epoch} has other validators")
    return following


def boundary_of(chain: Chain, epoch: int) -> Boundary | None:
    """The boundary of an epoch; None where it has not ended, or ended below the chain's base."""
    header = _last_header(chain, epoch)
    if header is None:
        return None
    certificate, following = chain.certificate(header.height), chain.validators(epoch + 1)
    if certificate is None or following is None:
        raise DamagedChain(f"the end of epoch {epoch}, height {header.height}, is not whole")
    return Boundary(header, certificate, following.members)


def _last_header(chain: Chain, epoch: int) -> Header | None:
    """The last header of an epoch that ended; epochs only grow, so it is searched by halves."""
    low, high = chain.base, chain.height
    while low < high:
        middle = (low + high + 1) // 2
        header = chain.header(middle)
        if header is not None and header.epoch <= epoch:
            low = middle
        else:
            high = middle - 1
    header = chain.header(low)
    return header if header is not None and header.epoch == epoch and header.ends_epoch else None
