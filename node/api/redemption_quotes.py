"""Which commitment would serve an order, and what execution would say to it now.

A commitment is measured as execution measures it: its attested hours, less what its book keeps for
open orders. Where no end is asked for it is the first one by which enough hours are free. While
others wait for its hours nobody gets them before the next period begins, and so they are measured
without those of the present one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.backing import Yardstick
from ledger.crypto import ZERO_HASH
from ledger.draft import Draft
from ledger.economy import redemption
from ledger.economy.bond import Bond
from ledger.economy.book import Book
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.redemption import WINDOW_PERIODS_MAX
from ledger.economy.reserve import Reserve
from ledger.economy.standard import Standard, units_table
from ledger.handlers.redemption import ask
from ledger.reasons import Invalid, Reason
from ledger.redeeming import brings, free_hours
from ledger.redemption_operations import Redeem
from ledger.registers import COMMITMENTS, RESERVES
from ledger.times import rfc3339
from ledger.transaction import asset_id
from node.api import redemption_schemas as schemas

MEASURED_MAX = 32
"""Commitments that one quote measures: 2.5 ms each where the book is full."""


@dataclass(frozen=True, slots=True)
class Span:
    """The window that is meant, in milliseconds of the ledger clock."""

    start_by_ms: int
    queue_until_ms: int
    end_ms: int | None
    """None: the first at which hours are free."""
    period_ms: int
    now: int
    """The number of the present period."""

    @classmethod
    def of(cls, draft: Draft, form: schemas.RedeemQuoteForm) -> Span:
        """Unless told otherwise it begins a period later than it must: what is quoted now is sent a
        while later, and the clock moves on meanwhile."""
        clock_ms, period_ms = draft.clock_ms, draft.parameters.period_ms
        start_ms = form.start_within_ms
        if start_ms is None:
            start_ms = form.queue_ms + draft.economy.accept_ms + 2 * period_ms
        end_ms = form.within_ms
        if end_ms is not None:
            end_ms = (clock_ms + end_ms) // period_ms * period_ms
        queue_until_ms = clock_ms + form.queue_ms if form.queue_ms else 0
        return cls(clock_ms + start_ms, queue_until_ms, end_ms, period_ms, draft.period)

    @property
    def first(self) -> int:
        """The first period with which it may end: the one after the last moment to begin."""
        return -(-self.start_by_ms // self.period_ms)

    @property
    def asked_ms(self) -> int:
        """When the next period begins: who waits is asked then."""
        return (self.now + 1) * self.period_ms

    @property
    def last(self) -> int:
        return self.now + WINDOW_PERIODS_MAX - 1


def redeem_quote(
    draft: Draft, form: schemas.RedeemQuoteForm, amount: int, height: int
) -> schemas.RedeemQuote:
    """The answer for the best offer; where there is none, why."""
    span, found = Span.of(draft, form), matching(draft, form)
    offers, left_off = _offers(draft, found, form.workload, amount, span)
    terms: schemas.RedeemTerms | None = None
    reserve: Reserve | None = None
    refusal: Invalid | None = _nothing(form)
    is_free = False
    if found:
        terms = _terms(found[0], form.workload, span, offers[0] if offers else None)
        refusal, is_free = _asked(draft, terms, amount)
        reserve = RESERVES.get(draft, asset_id(draft.chain_id, terms.issuer))
    period_ms = draft.parameters.period_ms
    return schemas.RedeemQuote(
        height=height,
        ledger_time_ms=draft.clock_ms,
        period_ms=period_ms,
        amount=str(amount),
        allowed=refusal is None,
        code="" if refusal is None else refusal.reason.value,
        message="" if refusal is None else refusal.detail,
        is_queued=refusal is None and not is_free,
        asked_ms=span.asked_ms,
        terms=terms,
        start_by_min_ms=draft.clock_ms + draft.economy.accept_ms + period_ms,
        end_max_ms=draft.clock_ms + WINDOW_PERIODS_MAX * period_ms,
        solvency=reserve.solvency.name.lower() if reserve else "",
        deliverable=str(brings(reserve, amount) if reserve else 0),
        covered=str(reserve.batch_reserve if reserve else 0),
        outstanding=str(reserve.batch_supply if reserve else 0),
        offers=offers,
        left_off=left_off,
    )


def matching(draft: Draft, form: schemas.RedeemQuoteForm) -> list[CapacityCommitment]:
    """By the names that are asked for; any workload, counting or not."""
    try:
        prefix = b"" if form.issuer is None else Bond.prefix(form.issuer)
    except UnicodeEncodeError:
        return []
    return [
        item
        for item in COMMITMENTS.all(draft, prefix)
        if form.commitment in (None, item.terms.id)
        and form.device_class in (None, item.terms.device_class)
        and form.region in (None, item.terms.region)
    ]


def _offers(
    draft: Draft, found: Sequence[CapacityCommitment], workload: str, amount: int, span: Span
) -> tuple[list[schemas.RedeemOffer], int]:
    """Of those that serve it, the best first; and how many were not measured."""
    serving = [item for item in found if item.counts and workload in item.terms.workloads]
    yardstick = Yardstick.of(draft)
    offers = [
        _offer(draft, item, workload, amount, span, yardstick) for item in serving[:MEASURED_MAX]
    ]
    offers.sort(key=lambda x: (not x.is_free, x.end_ms, x.factor, x.issuer, x.commitment))
    return offers, max(0, len(serving) - MEASURED_MAX)


def _offer(
    draft: Draft,
    held: CapacityCommitment,
    workload: str,
    amount: int,
    span: Span,
    yardstick: Yardstick,
) -> schemas.RedeemOffer:
    terms = held.terms
    factor = yardstick.factors[terms.device_class, workload]
    microhours = redemption.hours_needed(amount, factor)
    stored = draft.load(Book, held.key)
    waiting = stored.queued if stored is not None else 0
    free = free_hours(draft, held, yardstick, span.now + 1 if waiting else span.now)
    if span.end_ms is not None:
        period = span.end_ms // span.period_ms - 1
    else:  # Later ends have no fewer free hours.
        ends = range(span.first, max(span.first, span.last) + 1)
        period = ends[min(bisect_left(ends, microhours, key=free), len(ends) - 1)]
    end_ms, free_now = (period + 1) * span.period_ms, free(period)
    return schemas.RedeemOffer(
        issuer=terms.issuer,
        commitment=terms.id,
        device_class=terms.device_class,
        region=terms.region,
        factor=factor,
        units=units_table(draft.one(Standard).references)[workload],
        microhours=str(microhours),
        free_microhours=str(free_now),
        end_ms=end_ms,
        end=rfc3339(end_ms),
        waiting=waiting,
        is_free=not waiting and microhours <= free_now,
    )


def _asked(draft: Draft, terms: schemas.RedeemTerms, amount: int) -> tuple[Invalid | None, bool]:
    """What execution says, and whether it would not wait."""
    try:
        return None, ask(draft, operation_of(terms, amount)).is_free
    except Invalid as error:
        return error, False


def operation_of(terms: schemas.RedeemTerms, amount: int) -> Redeem:
    """Keys have no part in whether it is taken."""
    return Redeem(
        issuer=terms.issuer,
        commitment=terms.commitment,
        workload=terms.workload,
        amount=amount,
        session_key=ZERO_HASH,
        refund_lock=ZERO_HASH,
        start_by_ms=terms.start_by_ms,
        end_ms=terms.end_ms,
        queue_until_ms=terms.queue_until_ms,
    )


def _terms(
    first: CapacityCommitment, workload: str, span: Span, offer: schemas.RedeemOffer | None
) -> schemas.RedeemTerms:
    """Of the offer; without one, of the first commitment of these names, for the rule to refuse."""
    issuer, commitment = first.terms.issuer, first.terms.id
    end_ms = span.end_ms or (span.first + 1) * span.period_ms
    if offer is not None:
        issuer, commitment, end_ms = offer.issuer, offer.commitment, offer.end_ms
    return schemas.RedeemTerms(
        issuer=issuer,
        commitment=commitment,
        workload=workload,
        start_by_ms=span.start_by_ms,
        start_by=rfc3339(span.start_by_ms),
        end_ms=end_ms,
        end=rfc3339(end_ms),
        queue_until_ms=span.queue_until_ms,
    )


def _nothing(form: schemas.RedeemQuoteForm) -> Invalid:
    asked = (form.issuer, form.commitment, form.device_class, form.region)
    wanted = ", ".join(f"'{item}'" for item in asked if item is not None) or "any name"
    return Invalid(Reason.UNKNOWN_COMMITMENT, f"there is no commitment of {wanted}, or it is over")
