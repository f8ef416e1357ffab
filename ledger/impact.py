"""What a standard would do to each issuer, were it in force now: the hours that it needs next.

Nothing depends on it: it is for people, who give notice of a step and prepare for one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.backing import Yardstick
from ledger.draft import Draft
from ledger.economy.bond import Bond
from ledger.economy.reserve import margin_limit
from ledger.economy.standard import Factors, factor_table
from ledger.parameters import PPM
from ledger.registers import COMMITMENTS, RESERVES


@dataclass(frozen=True, slots=True)
class Impact:
    """One issuer, in µ; as its reserve was judged last, and measured anew by other factors."""

    issuer: str
    outstanding: int
    reserve: int
    reserve_after: int
    limit: int
    """The most that may be outstanding after minting."""
    limit_after: int
    missing: int
    """By how much the reserve would have to be more for minting."""
    hours: dict[str, int]
    """µh that make it up by themselves, for each class of which the issuer has commitments."""


def impact_of(draft: Draft, factors: Factors) -> list[Impact]:
    """By issuer. The same hours are measured by both: that some pass until then is left out."""
    table, now = factor_table(factors), Yardstick.of(draft)
    after, margin_ppm = Yardstick(table, now.measure), draft.parameters.margin_ppm
    found = []
    for held in sorted(RESERVES.all(draft), key=lambda item: item.issuer):
        commitments = COMMITMENTS.all(draft, Bond.prefix(held.issuer))
        reserve = after.hours_of(commitments).reserve
        missing = max(0, -(-held.supply * PPM // (PPM - margin_ppm)) - reserve)
        least: dict[str, int] = {}
        for item in commitments:
            name = item.terms.device_class
            for workload in item.terms.workloads:
                factor = table[name, workload]
                least[name] = min(least.get(name, factor), factor)
        found.append(
            Impact(
                issuer=held.issuer,
                outstanding=held.supply,
                reserve=held.reserve,
                reserve_after=reserve,
                limit=margin_limit(held.reserve, margin_ppm),
                limit_after=margin_limit(reserve, margin_ppm),
                missing=missing,
                hours={name: -(-missing * PPM // least[name]) for name in sorted(least)},
            )
        )
    return found
