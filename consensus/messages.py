"""What replicas say to each other. One struct a message; numbers are append-only.

A PREPARE or COMMIT is a signature over `block.VotePayload`; q of them make a certificate. A
PRE-PREPARE carries its primary's PREPARE signature, so that no vote is ever counted twice.
VIEW-CHANGE and NEW-VIEW are signed as a whole, because they are passed on. SUSPECT and STATUS
bind nobody; the link on which they arrive names their sender.

After Castro and Liskov, "Practical Byzantine Fault Tolerance", OSDI 1999, section 4.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger.block import (
    BLOCK_TRANSACTIONS_MAX,
    COMMIT,
    PREPARE,
    Certificate,
    Header,
    VotePayload,
)
from ledger.codec import Bytes32, Signature, UInt, Wire, encode_payload
from ledger.crypto import tagged_hash
from ledger.parameters import WINDOW_MAX
from ledger.validators import VALIDATORS_MAX

MemberIndex = Annotated[int, Meta(ge=0, lt=VALIDATORS_MAX)]
MemberBitmap = Annotated[int, Meta(ge=0, lt=1 << VALIDATORS_MAX)]

_view_change_hash = tagged_hash("view-change")
_new_view_hash = tagged_hash("new-view")


class PrePrepare(Wire, frozen=True):
    """The primary of `view` proposes a block; `signature` is its PREPARE of it.

    `leaves` are the ids (wtxid) of the block's transactions in order; bodies travel before.
    """

    TYPE: ClassVar[int] = 20
    view: UInt
    header: Header
    leaves: Annotated[tuple[Bytes32, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]
    signature: Signature


class Prepare(Wire, frozen=True):
    """`signer` executed the block and found what its header says."""

    TYPE: ClassVar[int] = 21
    phase: ClassVar[int] = PREPARE
    epoch: UInt
    view: UInt
    height: UInt
    block_hash: Bytes32
    signer: MemberIndex
    signature: Signature

    @property
    def payload(self) -> VotePayload:
        return VotePayload(self.epoch, PREPARE, self.view, self.height, self.block_hash)


class Commit(Wire, frozen=True):
    """`signer` holds q PREPAREs for the block and for every ancestor in the window."""

    TYPE: ClassVar[int] = 22
    phase: ClassVar[int] = COMMIT
    epoch: UInt
    view: UInt
    height: UInt
    block_hash: Bytes32
    signer: MemberIndex
    signature: Signature

    @property
    def payload(self) -> VotePayload:
        return VotePayload(self.epoch, COMMIT, self.view, self.height, self.block_hash)


class Suspect(Wire, frozen=True):
    """The sender would rather have `view` than the one before; it still votes there."""

    TYPE: ClassVar[int] = 23
    epoch: UInt
    view: UInt


class PreparedEntry(Wire, frozen=True):
    """A block above the base that was prepared, with the proof."""

    header: Header
    certificate: Certificate


class ViewChangeBody(Wire, frozen=True):
    """What a replica takes along into `view`.

    `base` is its last committed header with the certificate (none for genesis); `entries` hold,
    by ascending height above it, the prepared certificate of the highest view it ever held.
    """

    epoch: UInt
    view: UInt
    base: Header
    base_certificate: Annotated[tuple[Certificate, ...], Meta(max_length=1)]
    entries: Annotated[tuple[PreparedEntry, ...], Meta(max_length=WINDOW_MAX)]
    signer: MemberIndex


class ViewChange(Wire, frozen=True):
    """A signed `ViewChangeBody`, re-sent byte for byte."""

    TYPE: ClassVar[int] = 24
    body: ViewChangeBody
    signature: Signature


class NewViewBody(Wire, frozen=True):
    """q whole VIEW-CHANGE messages; everyone derives the proposals from them alone."""

    epoch: UInt
    view: UInt
    view_changes: Annotated[tuple[ViewChange, ...], Meta(max_length=VALIDATORS_MAX)]
    signer: MemberIndex


class NewView(Wire, frozen=True):
    """A signed `NewViewBody`."""

    TYPE: ClassVar[int] = 25
    body: NewViewBody
    signature: Signature


class Held(Wire, frozen=True):
    """What the sender holds for one height of its current view."""

    height: UInt
    proposal: Annotated[int, Meta(ge=0, le=1)]
    prepares: MemberBitmap
    commits: MemberBitmap


class VoteMark(Wire, frozen=True):
    """The highest vote of `member` that the sender has verified, with the member's signature.

    A claim without it would let any one member keep another from voting after a restart.
    """

    member: MemberIndex
    epoch: UInt
    view: UInt
    height: UInt
    phase: Annotated[int, Meta(ge=PREPARE, le=COMMIT)]
    block_hash: Bytes32
    signature: Signature

    @property
    def payload(self) -> VotePayload:
        return VotePayload(self.epoch, self.phase, self.view, self.height, self.block_hash)

    @property
    def order(self) -> tuple[int, int, int, int]:
        return (self.epoch, self.view, self.height, self.phase)


class Status(Wire, frozen=True):
    """Where the sender stands; on connect and every second, always.

    Whoever sees that the sender lacks one of its messages sends that message again.
    """

    TYPE: ClassVar[int] = 26
    epoch: UInt
    view: UInt
    active: Annotated[int, Meta(ge=0, le=1)]
    """1 when the sender votes in `view`, 0 while it waits for the view's NEW-VIEW."""
    height: UInt
    heard: MemberBitmap
    """Members whose STATUS the sender has received since it started, itself included."""
    certificate: Annotated[tuple[Certificate, ...], Meta(max_length=1)]
    held: Annotated[tuple[Held, ...], Meta(max_length=WINDOW_MAX)]
    view_changes: MemberBitmap
    votes: Annotated[tuple[VoteMark, ...], Meta(max_length=VALIDATORS_MAX)]


Message: TypeAlias = PrePrepare | Prepare | Commit | Suspect | ViewChange | NewView | Status
Vote: TypeAlias = Prepare | Commit
Signable: TypeAlias = VotePayload | ViewChangeBody | NewViewBody

MESSAGE_BY_TYPE: dict[int, type[Message]] = {
    cls.TYPE: cls for cls in (PrePrepare, Prepare, Commit, Suspect, ViewChange, NewView, Status)
}


def make_vote(payload: VotePayload, signer: int, signature: bytes) -> Vote:
    """The message that carries a signed payload."""
    cls = Prepare if payload.phase == PREPARE else Commit
    return cls(payload.epoch, payload.view, payload.height, payload.block_hash, signer, signature)


def view_change_hash(chain_id: bytes, body: ViewChangeBody) -> bytes:
    """The 32 bytes that a VIEW-CHANGE signs."""
    return _view_change_hash(chain_id, encode_payload(body))


def new_view_hash(chain_id: bytes, body: NewViewBody) -> bytes:
    """The 32 bytes that a NEW-VIEW signs."""
    return _new_view_hash(chain_id, encode_payload(body))
