"""Operations: what a transaction does beside moving coins.

Who stands behind one is told by its shape. One with a `key` is signed by that key, and the state
says whether it is the right one. Government (`Governance`) goes alone in a transaction without
inputs; its `carrier` says whether validators, regulator or both sign. A holder's operations are
bound to the inputs of their transaction. Evidence carries no signature but those of the votes in
it: two of one key that no honest member signs both.

Each transaction holds once, so its signatures are of no use afterwards: by the outputs that it
spends, by the next number of a lane, or because the state remembers it until it expires. The
version of an object, or its state, says that a wish still means what it was signed for; it is no
such protection, for objects go and others come by their name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger.block import VotePayload
from ledger.codec import Amount, Bytes32, Signature, Slug, UInt, Wire
from ledger.economy.attestor import AttestorGrant
from ledger.economy.capacity import PLEDGE_DEVICES_MAX, CommitmentTerms, MicroHours
from ledger.economy.compliance import Targets
from ledger.economy.licence import LicenceGrant
from ledger.economy.regulator import Carrier, RegulatorKeys
from ledger.economy.spot_audit import OPENED_MAX
from ledger.economy.standard import Version
from ledger.economy.step import Added, Raised
from ledger.redemption_operations import (
    AcceptRedemption,
    CancelRedemption,
    CloseRedemption,
    DisputeRedemption,
    OnRedemption,
    PostReceipt,
    ReadyRedemption,
    Redeem,
    RuleRedemption,
)

LaneNumber = Annotated[int, Meta(ge=0, le=255)]
Devices = Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=PLEDGE_DEVICES_MAX)]
OpenedDevices = Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=OPENED_MAX)]

TREASURY = "treasury"
OPERATIONS = "operations"
ATTESTOR = "attestor"


class Mint(Wire, frozen=True, tag=1):
    """Issuer `issuer` mints `amount` of its coin; signed by its treasury key.

    `number` is the next in `lane` of (issuer, treasury): lanes let several machines mint without
    waiting for each other, numbers make each operation single-use.
    """

    name: ClassVar[str] = "mint"
    issuer: Slug
    key: Bytes32
    lane: LaneNumber
    number: UInt
    amount: Amount


class Burn(Wire, frozen=True, tag=2):
    """The holder of `amount` of `asset` destroys it; bound to the spent inputs by conservation."""

    name: ClassVar[str] = "burn"
    asset: Bytes32
    amount: Amount


class Admit(Wire, frozen=True, tag=3):
    """Grant a licence (`version` 0), grant one that was applied for, or grant one anew that has
    no seat.

    With `validator` its holder takes a seat once its node is ready.
    """

    name: ClassVar[str] = "admit"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    grant: LicenceGrant
    version: UInt


class Remove(Wire, frozen=True, tag=4):
    """Take the seat of a licence, or its wish for one; the licence stays."""

    name: ClassVar[str] = "remove"
    carrier: ClassVar[Carrier] = Carrier.VALIDATORS
    licence: Slug
    version: UInt


class Suspend(Wire, frozen=True, tag=5):
    """Stop a licence from minting. Its coins move on, and its seat stays."""

    name: ClassVar[str] = "suspend"
    carrier: ClassVar[Carrier] = Carrier.EITHER
    licence: Slug
    version: UInt


class Revoke(Wire, frozen=True, tag=6):
    """End a licence, and its seat with the epoch."""

    name: ClassVar[str] = "revoke"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    licence: Slug
    version: UInt


class EndEpoch(Wire, frozen=True, tag=7):
    """Make the block that holds this the last of the epoch."""

    name: ClassVar[str] = "end-epoch"
    carrier: ClassVar[Carrier] = Carrier.VALIDATORS
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


class Apply(Wire, frozen=True, tag=10):
    """Ask for a licence, in public; signed by the operations key of the grant asked for, paid
    for by whoever brings it."""

    name: ClassVar[str] = "apply"
    grant: LicenceGrant

    @property
    def key(self) -> bytes:
        return self.grant.keys.operations


class Reinstate(Wire, frozen=True, tag=11):
    """End a suspension early."""

    name: ClassVar[str] = "reinstate"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    licence: Slug
    version: UInt


class WindDown(Wire, frozen=True, tag=12):
    """An issuer stops for good; signed by its operations key. Its coins are honoured."""

    name: ClassVar[str] = "wind-down"
    licence: Slug
    key: Bytes32
    version: UInt


class RotateKey(Wire, frozen=True, tag=13):
    """Announce a role's next key; signed by the operations key and by the new one."""

    name: ClassVar[str] = "rotate-key"
    licence: Slug
    key: Bytes32
    version: UInt
    role: Slug
    new_key: Bytes32


class RotateRegulator(Wire, frozen=True, tag=14):
    """Announce the regulator's next keys."""

    name: ClassVar[str] = "rotate-regulator"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    version: UInt
    keys: RegulatorKeys


class AdmitAttestor(Wire, frozen=True, tag=15):
    """License an attestor (`version` 0), or one that was removed anew."""

    name: ClassVar[str] = "admit-attestor"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    attestor: AttestorGrant
    version: UInt


class RemoveAttestor(Wire, frozen=True, tag=16):
    """Nothing that an attestor said or says counts any more."""

    name: ClassVar[str] = "remove-attestor"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    attestor: Slug
    version: UInt


class Commit(Wire, frozen=True, tag=17):
    """Promise hours; signed by the issuer's operations key."""

    name: ClassVar[str] = "commit"
    key: Bytes32
    lane: LaneNumber
    number: UInt
    terms: CommitmentTerms


class PledgeDevices(Wire, frozen=True, tag=18):
    """Pledge devices, in ascending order, to a commitment until it ends."""

    name: ClassVar[str] = "pledge-devices"
    issuer: Slug
    key: Bytes32
    lane: LaneNumber
    number: UInt
    commitment: Slug
    version: UInt
    devices: Devices


class Amend(Wire, frozen=True, tag=19):
    """Promise more hours a period, or hours for longer."""

    name: ClassVar[str] = "amend"
    issuer: Slug
    key: Bytes32
    lane: LaneNumber
    number: UInt
    commitment: Slug
    version: UInt
    microhours: MicroHours
    to_ms: UInt


class Attest(Wire, frozen=True, tag=20):
    """An attestor vouches for so many µh a period of a commitment.

    It names the commitment by its birth and says how far its word reaches, not the version: that
    one counts up with each pledge and amendment, so that the issuer could keep a word of fewer
    hours off the chain for ever.
    """

    name: ClassVar[str] = "attest"
    attestor: Slug
    key: Bytes32
    lane: LaneNumber
    number: UInt
    issuer: Slug
    commitment: Slug
    born: UInt
    """The height of the commitment's birth: a later one of its name is another."""
    until_ms: UInt
    """Where the schedule ends that the attestor saw: who amends it meanwhile gains no hours."""
    microhours: MicroHours


class OpenChallenge(Wire, frozen=True, tag=21):
    """Doubt a commitment, with a deposit that the transaction spends; the loser pays."""

    name: ClassVar[str] = "challenge"
    issuer: Slug
    commitment: Slug
    asset: Bytes32
    amount: Amount
    refund_lock: Bytes32


class Rule(Wire, frozen=True, tag=22):
    """A panel member says whether a challenge is upheld."""

    name: ClassVar[str] = "rule"
    attestor: Slug
    key: Bytes32
    issuer: Slug
    commitment: Slug
    upheld: bool
    since_ms: UInt
    """When the challenge was opened: a vote is for that one, and for no later one."""


class SealNonce(Wire, frozen=True, tag=23):
    """An attestor commits to its nonce for the next period's draw."""

    name: ClassVar[str] = "seal-nonce"
    attestor: Slug
    key: Bytes32
    period: UInt
    digest: Bytes32


class RevealNonce(Wire, frozen=True, tag=24):
    """An attestor reveals its nonce of the past period."""

    name: ClassVar[str] = "reveal-nonce"
    attestor: Slug
    key: Bytes32
    period: UInt
    nonce: Bytes32


class OpenDevices(Wire, frozen=True, tag=25):
    """An issuer opens devices, in ascending order, that were drawn for a period; `opened` is how
    many it opened before."""

    name: ClassVar[str] = "open-devices"
    issuer: Slug
    key: Bytes32
    period: UInt
    opened: UInt
    devices: OpenedDevices


class DepositBond(Wire, frozen=True, tag=26):
    """Coins that the transaction spends join an issuer's bond."""

    name: ClassVar[str] = "deposit-bond"
    issuer: Slug
    asset: Bytes32
    amount: Amount


class WithdrawBond(Wire, frozen=True, tag=27):
    """An issuer takes back what its bond holds beyond the required; signed by its treasury."""

    name: ClassVar[str] = "withdraw-bond"
    issuer: Slug
    key: Bytes32
    lane: LaneNumber
    number: UInt
    asset: Bytes32
    amount: Amount


class FreezeOrder(Wire, frozen=True, tag=28):
    """Freeze the coins under some locks until a moment of header time."""

    name: ClassVar[str] = "freeze"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    order: Slug
    reference: Bytes32
    targets: Targets
    until_ms: UInt


class RenewOrder(Wire, frozen=True, tag=29):
    """Let an order end later, or earlier."""

    name: ClassVar[str] = "renew-order"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    order: Slug
    version: UInt
    until_ms: UInt


class LiftOrder(Wire, frozen=True, tag=30):
    """End an order now."""

    name: ClassVar[str] = "lift-order"
    carrier: ClassVar[Carrier] = Carrier.BOTH
    order: Slug
    version: UInt


class ProposeStandard(Wire, frozen=True, tag=41):
    """Give notice of the next version of the standard: higher throughputs of workloads, those of
    new ones, and factors of new classes or workloads. All other factors follow."""

    name: ClassVar[str] = "propose-standard"
    carrier: ClassVar[Carrier] = Carrier.VALIDATORS
    version: Version
    raised: Raised
    added: Added


class WithdrawStandard(Wire, frozen=True, tag=42):
    """Take a step back before it takes effect."""

    name: ClassVar[str] = "withdraw-standard"
    carrier: ClassVar[Carrier] = Carrier.VALIDATORS
    since_ms: UInt
    """When it was noticed: a later step to the same version is another."""


OnLicence: TypeAlias = Remove | Suspend | Revoke | Reinstate
OnOrder: TypeAlias = FreezeOrder | RenewOrder | LiftOrder
OnAttestor: TypeAlias = AdmitAttestor | RemoveAttestor
OnStandard: TypeAlias = ProposeStandard | WithdrawStandard
Governance: TypeAlias = (
    Admit | OnLicence | EndEpoch | RotateRegulator | OnAttestor | OnOrder | OnStandard
)
ByAttestor: TypeAlias = Attest | Rule | SealNonce | RevealNonce
OnCapacity: TypeAlias = Commit | PledgeDevices | Amend | OpenDevices
ByHolder: TypeAlias = Burn | Apply | OpenChallenge | DepositBond | Redeem | DisputeRedemption
Operation: TypeAlias = (
    Mint
    | WithdrawBond
    | ByHolder
    | Governance
    | ValidatorReady
    | Evidence
    | WindDown
    | RotateKey
    | OnCapacity
    | ByAttestor
    | OnRedemption
)
Numbered: TypeAlias = Mint | WithdrawBond | Commit | PledgeDevices | Amend | Attest

DEVICES_AN_OPERATION = 8
"""Each pledged device is an object that stays, more than half a kilobyte of each node's memory: a
pledge counts as one operation for each so many begun."""

GOVERNORS = "(government)"
"""Who stands behind governance. No slug, so that no licence shares their quota."""


def identity_of(operation: Operation) -> str | None:
    """Whose quota of free transactions an operation uses; None for a holder's.

    Evidence has a quota of its own for each accused, who could fill any that it shares.
    """
    if isinstance(operation, ByHolder):
        return None
    match operation:
        case Mint() | WithdrawBond() | PledgeDevices() | Amend() | OpenDevices():
            return operation.issuer
        case AcceptRedemption() | ReadyRedemption() | PostReceipt():
            return operation.issuer
        case Commit():
            return operation.terms.issuer
        case ValidatorReady() | WindDown() | RotateKey():
            return operation.licence
        case Attest() | Rule() | SealNonce() | RevealNonce() | RuleRedemption():
            return f"(attestor {operation.attestor})"
        case CancelRedemption() | CloseRedemption():
            return f"(orders of {operation.issuer})"
        case Evidence():
            return f"(evidence against {operation.licence})"
        case _:
            return GOVERNORS


def identities(operations: Iterable[Operation]) -> list[str]:
    """Of all of them, each once."""
    return sorted({name for name in map(identity_of, operations) if name is not None})


def count_of(operations: Iterable[Operation]) -> int:
    """How many they are for the limits of a transaction and a block."""
    return sum(
        [
            -(-len(item.devices) // DEVICES_AN_OPERATION) if isinstance(item, PledgeDevices) else 1
            for item in operations
        ]
    )


def keys_that_sign(operation: Operation) -> tuple[bytes, ...]:
    """The keys that an operation itself asks for; government has none, evidence brings its own."""
    match operation:
        case RotateKey():
            return (operation.key, operation.new_key)
        case Evidence():
            return ()
        case _:
            key: bytes | None = getattr(operation, "key", None)
            return () if key is None else (key,)


def lane_of(operation: Numbered) -> tuple[str, str, int]:
    """(owner, role, lane) of an operation that carries a number."""
    match operation:
        case Commit():
            return (operation.terms.issuer, OPERATIONS, operation.lane)
        case PledgeDevices() | Amend():
            return (operation.issuer, OPERATIONS, operation.lane)
        case Attest():
            return (operation.attestor, ATTESTOR, operation.lane)
        case _:
            return (operation.issuer, TREASURY, operation.lane)
