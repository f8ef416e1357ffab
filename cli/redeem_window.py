"""Which window an order may have now, told to whoever asked for another. Pure.

The rule is `ledger.economy.redemption.check_window`: an issuer has time to accept and to prepare,
whoever waits for hours stops before that, and the whole is over within so many periods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.spans import SECOND_MS, exact_span

if TYPE_CHECKING:
    from node.api import redemption_schemas as schemas


@dataclass(frozen=True, slots=True)
class Window:
    """What is possible, in milliseconds from the ledger clock on, and what comes closest to what
    was asked for: that is kept wherever it can be."""

    queue_ms: int
    start_min_ms: int
    start_ms: int | None
    """None: not asked for, and what follows of itself is possible."""
    within_min_ms: int
    within_ms: int | None
    max_ms: int

    @property
    def text(self) -> str:
        queue = f"--queue {exact_span(self.queue_ms)}, " if self.queue_ms else ""
        return (
            f"possible now: {queue}--start-by {exact_span(self.start_min_ms)} or more, --within "
            f"{exact_span(self.within_min_ms)} to {exact_span(self.max_ms)}"
        )

    @property
    def options(self) -> list[str]:
        """Of the command that asks for it."""
        spans = (("--queue", self.queue_ms or None), ("--start-by", self.start_ms))
        return [
            f"{name} {exact_span(span)}"
            for name, span in (*spans, ("--within", self.within_ms))
            if span is not None
        ]


def possible(form: schemas.RedeemQuoteForm, found: schemas.RedeemQuote) -> Window:
    """With a period to spare before it must have begun: the clock moves on while one asks."""
    period_ms, clock_ms = found.period_ms, found.ledger_time_ms
    lead_ms, max_ms = found.start_by_min_ms - clock_ms, found.end_max_ms - clock_ms
    max_ms -= max_ms % SECOND_MS  # what can be typed
    latest_ms = max_ms - period_ms
    queue_ms = min(form.queue_ms, latest_ms - lead_ms - period_ms)
    start_min_ms = queue_ms + lead_ms + period_ms
    start_ms = form.start_within_ms
    if start_ms is not None and not queue_ms + lead_ms < start_ms <= latest_ms:
        start_ms = min(max(start_ms, start_min_ms), latest_ms)
    within_min_ms = (start_min_ms if start_ms is None else start_ms) + period_ms
    within_ms = form.within_ms
    if within_ms is not None:
        within_ms = min(max(within_ms, within_min_ms), max_ms)
    return Window(queue_ms, start_min_ms, start_ms, within_min_ms, within_ms, max_ms)
