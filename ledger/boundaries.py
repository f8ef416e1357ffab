"""From one epoch to the next by its last block: how the set of a later epoch comes to be known.

Whoever knows the set of an epoch checks the certificate of its last block; that block's header
names the next set. So the sets of all epochs follow from genesis, or from one that is configured,
at the price of one header and one certificate an epoch, and no block in between is needed.

A store that begins at a snapshot keeps them for all epochs below it, so that any node can show
the way from genesis to whoever comes after.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from ledger import codec, schema
from ledger.block import Certificate, Header, IsValid
from ledger.chain import Chain
from ledger.codec import Wire
from ledger.crypto import verify
from ledger.kv import KeyValue
from ledger.reasons import Invalid, Reason
from ledger.schema import DamagedChain, EpochEnd
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
    """The boundary of an epoch; None where it has not ended."""
    end = chain.epoch_end(epoch)
    if end is None:
        header = _last_header(chain, epoch)
        if header is None:
            return None
        certificate = chain.certificate(header.height)
        if certificate is None:
            raise DamagedChain(f"the end of epoch {epoch}, height {header.height}, is not whole")
        end = EpochEnd(header, certificate)
    following = chain.validators(epoch + 1)
    if following is None:
        raise DamagedChain(f"the validators of epoch {epoch + 1} are missing")
    return Boundary(end.header, end.certificate, following.members)


def keep_first(kv: KeyValue, validators: ValidatorSet) -> None:
    """Write the set of epoch 0 into a store for an import."""
    if validators.epoch != 0:
        raise AssertionError(f"the validators of epoch {validators.epoch} are not the first")
    kv.write({schema.validators_key(0): codec.encode_payload(validators)}, ())


def keep_boundaries(kv: KeyValue, boundaries: Iterable[Boundary]) -> None:
    """Write boundaries, which are checked, into a store for an import, in one batch."""
    puts = {}
    for item in boundaries:
        epoch = item.header.epoch
        following = ValidatorSet(epoch + 1, item.following)
        end = EpochEnd(item.header, item.certificate)
        puts[schema.epoch_end_key(epoch)] = codec.encode_payload(end)
        puts[schema.validators_key(epoch + 1)] = codec.encode_payload(following)
    kv.write(puts, ())


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
