"""What the HTTP API answers about redemption: orders, disputes, quotes.

An order's `deadline_ms` is on the ledger clock; `then` is the state that it enters when that
passes and nobody did anything.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from node.api.economy_schemas import PanelVote, Stateful
from node.api.forms import Amount, Count, Form, Hex32
from node.api.schemas import Answer

SPAN_MS_MAX = 1 << 42
"""139 years: with the clock added it is still an integer that every reader of JSON keeps."""
SpanMs = Annotated[int, Meta(ge=0, le=SPAN_MS_MAX)]
Name = Annotated[str, Meta(min_length=1, max_length=32)]


class Dispute(Answer, frozen=True, kw_only=True):
    """`open` until three of the panel agree, then `upheld` or `dismissed` until the next block."""

    verdict: str
    by: str
    """`holder` or `issuer`."""
    claimed: Amount
    """What is said to be delivered."""
    asset: Hex32
    deposit: Amount
    refund_lock: Hex32
    since_ms: Count
    deadline_ms: Count
    panel: list[str]
    votes: list[PanelVote]


class Redemption(Stateful, frozen=True, kw_only=True):
    """An order for compute. amount = burned + residual + remaining + refunded.

    `waits_for` says who is to act: `hours`, `issuer`, `holder`, `both`, `time`, `panel`, `block`,
    or empty where all is over.
    """

    id: Hex32
    then: str
    """The state after the deadline; `forgotten` of an order that ended."""
    waits_for: str
    since_ms: Count
    since: str
    has_ended: bool
    is_paid: bool
    issuer: str
    commitment: str
    workload: str
    device_class: str | None
    """Of the commitment; null once that is over."""
    region: str | None
    asset: Hex32
    amount: Amount
    burned: Amount
    """Delivered, by the highest receipt."""
    residual: Amount
    """Turned into a claim, because the issuer did not cover its coins."""
    remaining: Amount
    """Coins that lie in the order now."""
    refunded: Amount
    deliverable: Amount
    """What the remaining coins bring now; less than they are while their issuer is in deficit."""
    factor: Count
    units: Count
    """Of the workload's reference job: so many are one coin."""
    microhours: Amount
    """Device time for the whole amount, in millionths of an hour."""
    reserved_microhours: Amount
    start_by_ms: Count
    start_by: str
    end_ms: Count
    end: str
    queue_until_ms: Count
    """0 where it was not to wait."""
    queue_ahead: Count | None
    """How many wait before it; null where it does not wait, and in lists."""
    endpoint: str
    session_key: Hex32
    session_hash: Hex32 | None
    refund_lock: Hex32
    refund_address: str
    receipt: Count
    """The number of the highest receipt; 0 before the first."""
    used_microhours: Amount
    meter_root: Hex32 | None
    dispute: Dispute | None


class RedeemQuoteForm(Form, frozen=True, kw_only=True):
    """Would an order of this much be taken now?

    Without `commitment` the node looks for one. Times are spans from the ledger clock on: it is to
    begin within `start_within_ms`, to be over within `within_ms`, and may wait `queue_ms` for its
    turn and for hours.
    """

    amount: Amount
    workload: Name
    device_class: Name | None = None
    issuer: Name | None = None
    region: Name | None = None
    commitment: Name | None = None
    start_within_ms: SpanMs | None = None
    within_ms: SpanMs | None = None
    queue_ms: SpanMs = 0


class RedeemTerms(Answer, frozen=True, kw_only=True):
    """What to put into the operation, so that it is what was asked about."""

    issuer: str
    commitment: str
    workload: str
    start_by_ms: Count
    start_by: str
    end_ms: Count
    end: str
    queue_until_ms: Count


class RedeemOffer(Answer, frozen=True, kw_only=True):
    """A commitment that serves what was asked for. `free_microhours` are free until `end_ms`:
    the first end at which they suffice, else the last one possible. Who waits comes before."""

    issuer: str
    commitment: str
    device_class: str
    region: str
    factor: Count
    units: Count
    """Of the workload's reference job, a coin."""
    microhours: Amount
    free_microhours: Amount
    end_ms: Count
    end: str
    waiting: Count
    """Orders that wait for its hours: one more waits behind them, or is refused."""
    is_free: bool
    """Enough hours are free and nobody waits."""


class RedeemQuote(Answer, frozen=True, kw_only=True):
    """The answer of the very predicate that execution uses, after the last block.

    `code` and `message` are empty where it would be taken; `terms` and what follows from them are
    of the first of `offers`, null or zero where nothing serves what was asked for. `left_off`: how
    many commitments were not looked at.
    """

    height: Count
    ledger_time_ms: Count
    period_ms: Count
    amount: Amount
    allowed: bool
    code: str
    message: str
    is_queued: bool
    """It would wait: the hours are not free, or others wait for them."""
    asked_ms: Count
    """When the next period begins: then all who wait are asked, in order."""
    terms: RedeemTerms | None
    start_by_min_ms: Count
    """An issuer has so much time to accept and to prepare."""
    end_max_ms: Count
    solvency: str
    """The issuer's band; empty without an offer."""
    deliverable: Amount
    """What the amount brings: in a deficit the covered share."""
    covered: Amount
    outstanding: Amount
    """`deliverable` is amount * covered / outstanding; both 0 where all coins are covered."""
    offers: list[RedeemOffer]
    left_off: Count
