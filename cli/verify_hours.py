"""What promised hours are worth: of each commitment the hours that count, and R of an issuer.

- a commitment is so many µh a period over [from_ms, to_ms); it counts LIVE and CONTESTED;
- an attestation counts in full for half its life, then less with each whole period; only those of
  attestors that are licensed now count, and only as far as the schedule went when it was given;
- of each stretch of a schedule counts the k-th highest figure among distinct groups, never more
  than is promised, or than the pledged devices can deliver;
- an hour is worth the least factor of its class over the commitment's workloads;
- hours delivered in the present period have left it;
- R is the sum over current and future periods, in millionths of a coin, floored once; what is due
  are the periods before the one in which 7 days from the present one end; neither is more than the
  largest amount.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cli.verify_bytes import Fault, Refused, named
from cli.verify_layouts import AMOUNT_OR_ZERO, ATTESTOR, CLOCK, COMMITMENT, PARAMETERS, STANDARD

PPM = 1_000_000
DUE_MS = 7 * 24 * 3_600_000
HOUR_MS = 3_600_000
MICROHOURS_A_HOUR = 1_000_000
MICROHOURS_MAX = 2**40
LIVE, CONTESTED = 2, 3

Objects = dict[str, list[Any]]
"""Proved objects by the name of their kind, positional, in ascending order of identity."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a schedule in which the same attestations count; ends are numbers of periods."""

    microhours: int
    first: int
    end: int
    counted: tuple[Any, ...]
    """The attestations whose figures are the k highest."""


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that the worth of hours depends on."""

    clock_ms: int
    parameters: Any
    factors: dict[tuple[str, str], int]
    groups: dict[str, str]
    """Of attestors that are licensed now."""

    @classmethod
    def of(cls, objects: Objects) -> Book:
        standard = named(STANDARD, objects[STANDARD.name][0])
        attestors = [named(ATTESTOR, item) for item in objects[ATTESTOR.name]]
        return cls(
            clock_ms=named(CLOCK, objects[CLOCK.name][0]).time_ms,
            parameters=named(PARAMETERS, objects[PARAMETERS.name][0]),
            factors={(item.device_class, item.workload): item.factor for item in standard.factors},
            groups={item.grant.id: item.grant.group for item in attestors if item.is_active},
        )

    @property
    def period(self) -> int:
        """The number of the period in which the clock stands."""
        period_ms: int = self.parameters.period_ms
        return self.clock_ms // period_ms

    @property
    def due_end(self) -> int:
        """What is due lies before this period."""
        period_ms: int = self.parameters.period_ms
        return self.period + DUE_MS // period_ms

    def weight(self, entry: Any, figure: int) -> int:
        """The figure after decay."""
        period_ms = self.parameters.period_ms
        life: int = self.parameters.economy.attestation_life_ms // period_ms
        age = self.period - entry.since_ms // period_ms
        whole = life // 2
        return figure if age <= whole else figure * max(0, life - age) // (life - whole)

    def hears(self, entry: Any) -> bool:
        """Whether it is of an attestor that is licensed now, has not faded and is not over."""
        is_fresh = self.weight(entry, MICROHOURS_MAX) > 0 and entry.until_ms > self.clock_ms
        return is_fresh and entry.attestor in self.groups

    def factor(self, terms: Any) -> int:
        """What one of its hours is worth, in millionths of a coin."""
        return min(self.factors[terms.device_class, name] for name in terms.workloads)

    def stretches(self, item: Any) -> Iterator[Stretch]:
        """A commitment's schedule, cut where attestations of a shorter one end; what ends before
        the schedule begins cuts nothing."""
        period_ms = self.parameters.period_ms
        begin = item.terms.from_ms // period_ms
        for until_ms in sorted({entry.until_ms for entry in item.attestations}):
            reaching = [entry for entry in item.attestations if entry.until_ms >= until_ms]
            figure, counted = self._agreed(item, reaching)
            end = max(begin, until_ms // period_ms)
            yield Stretch(figure, begin, end, counted)
            begin = end

    def _agreed(self, item: Any, entries: list[Any]) -> tuple[int, tuple[Any, ...]]:
        """µh a period on which enough groups agree, and whose figures those are."""
        best: dict[str, tuple[int, str, Any]] = {}
        for entry in entries:
            group = self.groups.get(entry.attestor)
            if group is None or not self.weight(entry, MICROHOURS_MAX):
                continue
            found = (self.weight(entry, entry.microhours), entry.attestor, entry)
            if group not in best or found[:2] > best[group][:2]:
                best[group] = found
        ranked = sorted(best.values(), key=lambda found: found[:2], reverse=True)
        needed = self.parameters.attestation_groups
        if len(ranked) < needed:
            return 0, ()
        able = item.devices * MICROHOURS_A_HOUR * self.parameters.period_ms // HOUR_MS
        figure = min(ranked[needed - 1][0], item.terms.microhours, able)
        return figure, tuple(entry for _, _, entry in ranked[:needed])

    def ahead(self, item: Any) -> list[Stretch]:
        """Stretches with hours that count, from the present period on."""
        if not counts(item):
            return []
        cut = [
            Stretch(part.microhours, max(part.first, self.period), part.end, part.counted)
            for part in self.stretches(item)
        ]
        return [part for part in cut if part.microhours and part.first < part.end]

    def gone(self, item: Any) -> int:
        """µh of the present period that were delivered and left with the coins for them; never more
        than count in it."""
        if item.delivered_in != self.period:
            return 0
        now = [part for part in self.ahead(item) if part.first == self.period]
        return min(item.delivered, now[0].microhours) if now else 0

    def total(self, items: list[Any], end: int | None = None) -> int:
        """R, or what of it lies before a period; at most the largest amount."""
        worth = 0
        for item in items:
            factor = self.factor(item.terms)
            for part in self.ahead(item):
                last = part.end if end is None else min(part.end, end)
                worth += part.microhours * factor * max(0, last - part.first)
            worth -= self.gone(item) * factor
        return min(worth // PPM, AMOUNT_OR_ZERO.high)


def counts(item: Any) -> bool:
    return item.state in (LIVE, CONTESTED)


def check_attestations(objects: Objects) -> int:
    """Every attestation is of an attestor that was licensed, of no more and no longer than is
    promised, and not from the future, nor are deliveries; every factor is there. How many; raises
    Refused."""
    known = {item[0][0] for item in objects[ATTESTOR.name]}
    book, count = Book.of(objects), 0
    for value in objects[COMMITMENT.name]:
        item = named(COMMITMENT, value)
        terms, where = item.terms, f"commitment '{item.terms.id}' of '{item.terms.issuer}'"
        for workload in terms.workloads:
            if (terms.device_class, workload) not in book.factors:
                detail = f"{where}: no factor of {terms.device_class}/{workload}"
                raise Refused(Fault.BAD_OBJECT, detail)
        names = [entry.attestor for entry in item.attestations]
        if not all(a < b for a, b in pairwise(names)):
            detail = f"{where}: attestors are not in ascending order"
            raise Refused(Fault.BAD_ATTESTATION, detail)
        for entry in item.attestations:
            misfit = _misfit(entry, terms, known, book.clock_ms)
            if misfit:
                detail = f"{where}, attestor '{entry.attestor}': {misfit}"
                raise Refused(Fault.BAD_ATTESTATION, detail)
            count += 1
        if item.delivered_in > book.period:
            raise Refused(Fault.BAD_OBJECT, f"{where}: hours delivered later than the ledger clock")
    return count


def _misfit(entry: Any, terms: Any, known: set[str], clock_ms: int) -> str:
    if entry.attestor not in known:
        return "there is none"
    if max([entry.microhours, *[item.microhours for item in entry.lower]]) > terms.microhours:
        return "more than was committed"
    if entry.until_ms > terms.to_ms:
        return "for longer than was committed"
    if max([entry.since_ms, *[item.since_ms for item in entry.lower]]) > clock_ms:
        return "later than the ledger clock"
    return ""
