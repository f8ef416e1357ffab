"""Operations: what a transaction does beside moving coins.

Mint carries the next number of a lane; the others act on an object whose version or epoch they
name. So each holds once, and its signatures are of no use afterwards.

Governance operations (`Governance`) are carried by the operations keys of a quorum of validators,
alone in a transaction without inputs. Evidence carries no signature but those of the votes in it:
two of one key that no honest member signs both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger.block import VotePayload
from ledger.codec import Amount, Bytes32, Signature, Slug, UInt, Wire
from ledger.economy.licence import LicenceGrant


class Mint(Wire, frozen=True, tag=1):
    """Issuer `issuer` mints `amount` of its coin; signed by its treasury key.

    `number` is the next in `lane` of (issuer, treasury): lanes let several machines mint without
    waiting for each other, numbers make each operation single-use.
    """

    name: ClassVar[str] = "mint"
    issuer: Slug
    key: Bytes32
    lane: Annotated[int, Meta(ge=0, le=255)]
    number: UInt
    amount: Amount


class Burn(Wire, frozen=True, tag=2):
    """The holder of `amount` of `asset` destroys it; bound to the spent inputs by conservation."""

    name: ClassVar[str] = "burn"
    asset: Bytes32
    amount: Amount


class Admit(Wire, frozen=True, tag=3):
    """Grant a licence (`version` 0), or grant it anew to one that has no seat.

    With `validator` its holder takes a seat once its node is ready.
    """

    name: ClassVar[str] = "admit"
    grant: LicenceGrant
    version: UInt


class Remove(Wire, frozen=True, tag=4):
    """Take the seat of a licence, or its wish for one; the licence stays."""

    name: ClassVar[str] = "remove"
    licence: Slug
    version: UInt


class Suspend(Wire, frozen=True, tag=5):
    """Stop a licence from minting. Its coins move on, and its seat stays."""

    name: ClassVar[str] = "suspend"
    licence: Slug
    version: UInt


class Revoke(Wire, frozen=True, tag=6):
    """End a licence, and its seat with the epoch."""

    name: ClassVar[str] = "revoke"
    licence: Slug
    version: UInt


class EndEpoch(Wire, frozen=True, tag=7):
    """Make the block that holds this the last of the epoch."""

    name: ClassVar[str] = "end-epoch"
    epoch: UInt


class ValidatorReady(Wire, frozen=True, tag=8):
    """An admitted validator holds the chain up to the epoch's base; signed by its consensus key."""

    name: ClassVar[str] = "validator-ready"
    licence: Slug
    key: Bytes32
    height: UInt
    block_hash: Bytes32


class Evidence(Wire, frozen=True, tag=9):
    """Two votes of one key for different blocks at one place; they prove themselves."""

    name: ClassVar[str] = "evidence"
    licence: Slug
    key: Bytes32
    first: VotePayload
    first_signature: Signature
    second: VotePayload
    second_signature: Signature


OnLicence: TypeAlias = Remove | Suspend | Revoke
Governance: TypeAlias = Admit | OnLicence | EndEpoch
Operation: TypeAlias = Mint | Burn | Governance | ValidatorReady | Evidence

GOVERNORS = "(validators)"
"""Who stands behind governance. No slug, so that no licence shares their quota."""


def identity_of(operation: Operation) -> str | None:
    """Whose quota of free transactions an operation uses; None for a holder's.

    Evidence has a quota of its own for each accused, who could fill any that it shares.
    """
    match operation:
        case Mint():
            return operation.issuer
        case Burn():
            return None
        case ValidatorReady():
            return operation.licence
        case Evidence():
            return f"(evidence against {operation.licence})"
        case _:
            return GOVERNORS


def identities(operations: Iterable[Operation]) -> list[str]:
    """Of all of them, each once."""
    return sorted({name for name in map(identity_of, operations) if name is not None})
