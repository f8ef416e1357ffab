"""What the HTTP API answers about the standard: what is in force, the open step, what it does."""

from __future__ import annotations

from node.api.economy_schemas import Stateful
from node.api.forms import Amount, Count, FactorForm, Form, ReferenceForm
from node.api.schemas import Answer


class Standard(Answer, frozen=True, kw_only=True):
    """One version: units of each workload's reference job that are one hour of the standard, and
    what an hour of each device class is worth at each workload, in millionths of a coin. Times are
    of the ledger clock; `until` is null of the one in force and of one to come."""

    version: Count
    since_ms: Count
    since: str
    until_ms: Count | None
    until: str | None
    references: list[ReferenceForm]
    factors: list[FactorForm]


class ClassHours(Answer, frozen=True, kw_only=True):
    """Hours of one class, in millionths, that make up all of what is missing by themselves."""

    device_class: str
    microhours: Amount


class IssuerImpact(Answer, frozen=True, kw_only=True):
    """An issuer now and after the step, were it taken now; without one the two are alike.

    `missing` is what its reserve lacks for minting then: `hours` for each class of which it has
    commitments, at the least factor of their workloads.
    """

    issuer: str
    outstanding: Amount
    reserve: Amount
    reserve_after: Amount
    margin_limit: Amount
    margin_limit_after: Amount
    missing: Amount
    hours: list[ClassHours]


class Step(Answer, frozen=True, kw_only=True):
    """The standard to come. `noticed_ms` is when it was noticed or drafted, and names the step for
    who withdraws it; `cut_ppm` is the most that a factor falls by."""

    noticed_ms: Count
    noticed: str
    cut_ppm: Count
    standard: Standard


class Standards(Stateful, frozen=True, kw_only=True):
    """`state` is that of the open step: none, draft, noticed; at `deadline_ms` of the ledger clock
    a draft lapses and a noticed step takes effect."""

    height: Count
    ledger_time_ms: Count
    active: Standard
    step: Step | None
    issuers: list[IssuerImpact]


class StandardQuoteForm(Form, frozen=True, kw_only=True):
    """A proposal of the next version: what would it do?"""

    raised: list[ReferenceForm]
    added: list[FactorForm]


class StandardQuote(Answer, frozen=True, kw_only=True):
    """The answer of the very predicate that execution uses, after the last block. `code` and
    `message` are empty where the proposal would be taken; `step` is null where not."""

    height: Count
    version: Count
    allowed: bool
    code: str
    message: str
    step: Step | None
    issuers: list[IssuerImpact]
