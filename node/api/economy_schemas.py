"""What the HTTP API answers about the economy: licences, capacity, bonds, orders, quotes.

Every object says its `state`, the names of the operations that it takes in this state
(`allowed_actions`, whoever may sign them), and when the state ends by itself (`deadline_ms` on the
ledger clock, for orders of header time; null where it does not).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from node.api.epoch_schemas import Licence
from node.api.forms import Amount, Count, Form, Hex32
from node.api.schemas import Answer, IssuerReserve, Lane


class Stateful(Answer, frozen=True, kw_only=True):
    """Base of objects with a life."""

    state: str
    allowed_actions: list[str]
    deadline_ms: Count | None
    deadline: str | None


class Issuer(Stateful, frozen=True, kw_only=True):
    """`state` is its band; `lanes` lists those in use, every other lane's next number is 0."""

    id: str
    name: str
    jurisdiction: str
    licence: str
    asset: Hex32
    treasury_key: Hex32
    lanes: list[Lane]
    reserve: IssuerReserve


class RotationNotice(Answer, frozen=True, kw_only=True):
    """A key that is announced and counts after a moment of the ledger clock."""

    role: str
    key: Hex32
    after_ms: Count
    after: str


class LicenceObject(Stateful, frozen=True, kw_only=True):
    """A licence as of now. `cause` says why it is suspended, empty elsewhere; `lanes` lists those
    of its operations key that are in use."""

    licence: Licence
    since_ms: Count
    since: str
    cause: str
    rotations: list[RotationNotice]
    lanes: list[Lane]


class Attestor(Stateful, frozen=True, kw_only=True):
    """`lanes` lists those in use; every other lane's next number is 0."""

    id: str
    name: str
    group: str
    key: Hex32
    version: Count
    strikes: Count
    lanes: list[Lane]


class AttestationOf(Answer, frozen=True, kw_only=True):
    """One attestor's word. `weighted` is what is left of the figure after its age; `lower` a
    smaller figure that waits, null without one."""

    attestor: str
    group: str
    microhours: Amount
    weighted: Amount
    since_ms: Count
    since: str
    age_ms: Count
    lower: Amount | None


class Commitment(Stateful, frozen=True, kw_only=True):
    """Capacity that an issuer promised, in millionths of a device hour for each period.

    `counted_microhours` is what its attestations let count, `worth` what the periods left are worth
    in the issuer's reserve, `promised` what they were worth if all that its issuer says counted,
    `at_stake` what a challenge is about: the same, were all that attestors said fresh, and
    `deposit_needed` what whoever challenges it puts up. A live commitment with too few fresh
    attestations is `stale`.
    """

    id: str
    issuer: str
    device_class: str
    region: str
    workloads: list[str]
    from_ms: Count
    to_ms: Count
    from_time: str
    to_time: str
    microhours: Amount
    counted_microhours: Amount
    worth: Amount
    promised: Amount
    at_stake: Amount
    deposit_needed: Amount
    version: Count
    born: Count
    """The height of its birth: a later one of the same name is another."""
    devices: Count
    is_frozen: bool
    """Attestations contradict each other: its issuer does not mint."""
    attestations: list[AttestationOf]


class PanelVote(Answer, frozen=True, kw_only=True):
    attestor: str
    upheld: bool


class Challenge(Stateful, frozen=True, kw_only=True):
    """`open` until three agree, then `upheld` or `dismissed` until the next block settles it."""

    issuer: str
    commitment: str
    asset: Hex32
    deposit: Amount
    penalty: Amount
    """What the issuer's bond pays to the challenger when it is upheld."""
    refund_lock: Hex32
    since_ms: Count
    panel: list[str]
    votes: list[PanelVote]


class BondPart(Answer, frozen=True, kw_only=True):
    """`counts`: whether the coin's own issuer is active and not in deficit."""

    asset: Hex32
    issuer: str
    amount: Amount
    counts: bool


class Conduct(Answer, frozen=True, kw_only=True):
    """How an issuer serves its orders: `strikes` for acts that it missed and that are not forgiven
    yet, and what penalties took of its bond today."""

    strikes: Count
    forgiven_ms: Count | None
    """When the next strike is forgiven; null without one."""
    next_penalty_ppm: Count
    """Of an order, if it misses one now."""
    paid_today: Amount


class Backing(Stateful, frozen=True, kw_only=True):
    """Everything behind an issuer's coin; `state` is its band."""

    reserve: IssuerReserve
    since_ms: Count
    since: str
    is_frozen: bool
    margin_limit: Amount
    """The most that may be outstanding after minting."""
    mint_cap: Amount
    minted: Amount
    """In the present period."""
    bond_required: Amount
    bond_worth: Amount
    short_since_ms: Count | None
    bond: list[BondPart]
    conduct: Conduct


class Order(Stateful, frozen=True, kw_only=True):
    """A compliance order; `targets` are the locks that it freezes, also as addresses."""

    id: str
    reference: Hex32
    version: Count
    targets: list[Hex32]
    addresses: list[str]


class SealedNonce(Answer, frozen=True, kw_only=True):
    attestor: str
    digest: Hex32
    nonce: Hex32 | None


class AuditRound(Answer, frozen=True, kw_only=True):
    """Nonces of one period."""

    period: Count
    sealed: list[SealedNonce]


class Opening(Answer, frozen=True, kw_only=True):
    """Devices that an issuer is to open for a period, until `deadline_ms` of the ledger clock.
    `drawn` lists them, page after page, where one opening is asked for, and is empty in the list
    of all. `next_cursor` is opaque and null at the end."""

    period: Count
    issuer: str
    seed: Hex32
    devices: Count
    drawn: list[Hex32]
    opened: Count
    deadline_ms: Count
    next_cursor: str | None = None


class Audits(Answer, frozen=True, kw_only=True):
    """`period` is the present one, `period_ms` its length."""

    period: Count
    period_ms: Count
    ledger_time_ms: Count
    rounds: list[AuditRound]
    openings: list[Opening]


class MintQuoteForm(Form, frozen=True, kw_only=True):
    """Would this much be minted now?"""

    issuer: Annotated[str, Meta(min_length=1, max_length=32)]
    amount: Amount


class MintQuote(Answer, frozen=True, kw_only=True):
    """The answer of the very predicate that execution uses, after the last block. `code` and
    `message` are empty where it would be taken."""

    height: Count
    issuer: str
    amount: Amount
    allowed: bool
    code: str
    message: str
    backing: Backing
