"""Blocks, what they commit to, and the certificates that make them final.

A header never holds the view: a block that is proposed again after a view change keeps its hash.
A certificate stands beside its block and is not hashed: any q signatures prove the same fact.

All signatures of a certificate cover one preimage (chain, epoch, phase, view, height, hash), so a
vote of one phase, view or chain can never be counted in another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar

from msgspec import Meta

from ledger import codec
from ledger.codec import Bytes32, Signature, UInt, Wire
from ledger.crypto import ZERO_HASH, tagged_hash, verify
from ledger.reasons import Invalid, Reason
from ledger.validators import VALIDATORS_MAX, ValidatorSet

TRANSACTION_BYTES_MAX = 16 * 1024
BLOCK_TRANSACTIONS_MAX = 2_000
BLOCK_SIGNATURES_MAX = 4_000
BLOCK_OPERATIONS_MAX = 256
"""The dearest takes a millisecond, whatever its bytes and its fee: a mint measures all hours of its
issuer. By the other limits a block would hold 17 s of them."""
TRANSACTION_OPERATIONS_MAX = 32
"""As a pledge of as many devices as one may name counts. No part of a block has less room at first,
so that nothing waits for ever."""
BLOCK_BYTES_MAX = 1_048_576  # of transactions; the frame that carries a block may hold 2 MiB
HEADER_BYTES_MAX = 512
BLOCK_FRAME_BYTES_MAX = 2 * 1024 * 1024
CLOCK_SKEW_MS_MAX = 10_000

PREPARE = 1
COMMIT = 2

_header_hash = tagged_hash("header")
_vote_hash = tagged_hash("vote")

IsValid = Callable[[bytes, bytes, bytes], bool]
"""(key, message, signature) -> whether the signature is the key's over the message."""


class Header(Wire, frozen=True):
    """What a block is. Type byte 2; hashes are 32 bytes, times are UTC milliseconds."""

    TYPE: ClassVar[int] = 2
    version: Annotated[int, Meta(ge=1, le=1)]
    chain_id: Bytes32
    epoch: UInt
    height: UInt
    parent_hash: Bytes32
    tx_root: Bytes32
    evidence_root: Bytes32
    receipts_root: Bytes32
    state_root: Bytes32
    """The state after this block."""
    validators_hash: Bytes32
    next_validators_hash: Bytes32
    time_ms: UInt
    proposer: Bytes32
    """Consensus key of the member that built the block."""

    @property
    def ends_epoch(self) -> bool:
        """Whether the next block belongs to the next epoch: a set's hash covers its epoch."""
        return self.next_validators_hash != self.validators_hash


RawTransaction = Annotated[bytes, Meta(min_length=1, max_length=TRANSACTION_BYTES_MAX)]


class Block(Wire, frozen=True):
    """A header and the sealed transactions in their order. Type byte 3."""

    TYPE: ClassVar[int] = 3
    header: Header
    transactions: Annotated[tuple[RawTransaction, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]


class VotePayload(Wire, frozen=True):
    """What a PREPARE or COMMIT signature covers, with the chain id."""

    epoch: UInt
    phase: Annotated[int, Meta(ge=PREPARE, le=COMMIT)]
    view: UInt
    height: UInt
    block_hash: Bytes32


class Certificate(Wire, frozen=True):
    """q signatures of distinct members over one vote. Type byte 4.

    `signers` is a bitmap over member indices, lowest bit first; signatures in index order.
    """

    TYPE: ClassVar[int] = 4
    epoch: UInt
    phase: Annotated[int, Meta(ge=PREPARE, le=COMMIT)]
    view: UInt
    height: UInt
    block_hash: Bytes32
    signers: Annotated[int, Meta(ge=0, lt=1 << VALIDATORS_MAX)]
    signatures: Annotated[tuple[Signature, ...], Meta(max_length=VALIDATORS_MAX)]

    @property
    def payload(self) -> VotePayload:
        return VotePayload(self.epoch, self.phase, self.view, self.height, self.block_hash)

    @property
    def signer_indices(self) -> list[int]:
        return [index for index in range(VALIDATORS_MAX) if self.signers >> index & 1]


def header_hash(header: Header) -> bytes:
    """The block's identity."""
    return _header_hash(codec.encode_payload(header))


def vote_hash(chain_id: bytes, payload: VotePayload) -> bytes:
    """The 32 bytes that a PREPARE or COMMIT signs."""
    return _vote_hash(chain_id, codec.encode_payload(payload))


def make_certificate(payload: VotePayload, signatures: dict[int, bytes]) -> Certificate:
    """From signatures by member index; the caller passes exactly a quorum."""
    order = sorted(signatures)
    return Certificate(
        epoch=payload.epoch,
        phase=payload.phase,
        view=payload.view,
        height=payload.height,
        block_hash=payload.block_hash,
        signers=sum(1 << index for index in order),
        signatures=tuple(signatures[index] for index in order),
    )


def check_certificate(
    certificate: Certificate,
    chain_id: bytes,
    validators: ValidatorSet,
    phase: int,
    is_valid: IsValid = verify,
) -> None:
    """Exactly q distinct members of `validators` signed this phase; raises Invalid.

    The caller compares epoch, height and hash with what it expects.
    """
    signers = certificate.signer_indices
    if certificate.phase != phase:
        raise Invalid(Reason.BAD_CERTIFICATE, "of the wrong phase")
    if len(signers) != validators.quorum or len(signers) != len(certificate.signatures):
        detail = f"{len(signers)} signers, {len(certificate.signatures)} signatures"
        raise Invalid(Reason.BAD_CERTIFICATE, f"{detail}, quorum is {validators.quorum}")
    if signers[-1] >= validators.n:
        raise Invalid(Reason.BAD_CERTIFICATE, f"signer {signers[-1]} is not a member")
    message = vote_hash(chain_id, certificate.payload)
    for index, signature in zip(signers, certificate.signatures, strict=True):
        if not is_valid(validators.members[index].key, message, signature):
            raise Invalid(Reason.BAD_CERTIFICATE, f"signature of member {index} is wrong")


def is_commit_of(certificate: Certificate, header: Header, block_hash: bytes) -> bool:
    """Whether a certificate claims to make this block final; its signatures are not looked at."""
    return (
        certificate.phase == COMMIT
        and certificate.height == header.height
        and certificate.epoch == header.epoch
        and certificate.block_hash == block_hash
    )


def genesis_parent() -> bytes:
    """The parent hash of height 0."""
    return ZERO_HASH
