"""Supply and reserve of every issuer, worked out again from the objects that were proved.

Today's rules, in one place:
- a commitment is so many µh a period over [from_ms, to_ms); what counts of it is the k-th highest
  figure among attestors of distinct groups, 0 where fewer attest;
- an hour is worth the least factor of its class over the commitment's workloads;
- R is the sum over current and future periods, in millionths of a coin, floored once;
- what is due are the periods that begin within 7 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cli.verify_bytes import Fault, Refused, digest, named, pack
from cli.verify_chain import Trust
from cli.verify_keys import is_signed
from cli.verify_layouts import (
    ATTESTOR,
    CLOCK,
    COMMITMENT,
    LICENCE,
    LICENCE_STATES,
    PARAMETERS,
    RESERVE,
    STANDARD,
    SUPPLY_LINE,
)

PPM = 1_000_000
RATIO_PPM_MAX = 1_000_000_000
DUE_MS = 7 * 24 * 3_600_000
COIN_KIND = bytes(1)
NO_WINDOW = bytes(8)

Objects = dict[str, list[Any]]
"""Proved objects by the name of their kind, positional, in ascending order of identity."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was found about one issuer; amounts in µ, ages in ledger time."""

    issuer: str
    asset: bytes
    licence: str
    outstanding: int
    reserve: int
    due: int
    limit: int
    """Outstanding may be minted up to here: the reserve less the margin."""
    coverage_ppm: int
    deliverability_ppm: int
    commitments: int
    """That count for something now or later."""
    attested_ms: int | None
    """Age of the oldest attestation that is counted on; None without commitments."""
    until_ms: int | None
    """When the last of its commitments ends."""

    @property
    def is_covered(self) -> bool:
        return self.outstanding <= self.reserve


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that the worth of hours depends on."""

    clock_ms: int
    period_ms: int
    groups_needed: int
    margin_ppm: int
    factors: dict[tuple[str, str], int]
    groups: dict[str, str]

    @classmethod
    def of(cls, objects: Objects) -> Book:
        parameters = named(PARAMETERS, objects[PARAMETERS.name][0])
        standard = named(STANDARD, objects[STANDARD.name][0])
        attestors = [named(ATTESTOR, item) for item in objects[ATTESTOR.name]]
        return cls(
            clock_ms=named(CLOCK, objects[CLOCK.name][0]).time_ms,
            period_ms=parameters.period_ms,
            groups_needed=parameters.attestation_groups,
            margin_ppm=parameters.margin_ppm,
            factors={(item.device_class, item.workload): item.factor for item in standard.factors},
            groups={item.id: item.group for item in attestors},
        )

    @property
    def period(self) -> int:
        """The number of the period in which the clock stands."""
        return self.clock_ms // self.period_ms

    def last_due(self) -> list[int]:
        """Where the 7 days may end: figures are of some moment of this period, and where 7 days
        are no whole number of periods, the end moves once within it."""
        first = (self.period * self.period_ms + DUE_MS) // self.period_ms
        return list(range(first, (self.clock_ms + DUE_MS) // self.period_ms + 1))

    def worth(self, item: Any) -> int:
        """Of one period of a commitment, in millionths of a µ."""
        best: dict[str, int] = {}
        for entry in item.attestations:
            group = self.groups[entry.attestor]
            best[group] = max(entry.microhours, best.get(group, 0))
        ranked = sorted(best.values(), reverse=True)
        counted = ranked[self.groups_needed - 1] if len(ranked) >= self.groups_needed else 0
        return counted * min(self.factors[item.device_class, name] for name in item.workloads)

    def periods(self, item: Any, end: int | None = None) -> int:
        """Current and future periods of a commitment, those before the number `end`."""
        last: int = item.to_ms // self.period_ms
        first: int = max(self.period, item.from_ms // self.period_ms)
        return max(0, (last if end is None else min(last, end)) - first)

    def total(self, items: list[Any], end: int | None = None) -> int:
        """R, or what of it is due before a period."""
        return sum(self.worth(item) * self.periods(item, end) for item in items) // PPM


def check_attestations(objects: Objects, trust: Trust) -> int:
    """Every attestation is signed by its attestor, and every factor is there; the number of
    signatures. Raises Refused."""
    attestors = {item[0]: named(ATTESTOR, item) for item in objects[ATTESTOR.name]}
    factors = Book.of(objects).factors
    count = 0
    for value in objects[COMMITMENT.name]:
        item = named(COMMITMENT, value)
        for workload in item.workloads:
            if (item.device_class, workload) not in factors:
                detail = f"commitment '{item.id}': no factor of {item.device_class}/{workload}"
                raise Refused(Fault.BAD_OBJECT, detail)
        for entry in item.attestations:
            where = f"commitment '{item.id}', attestor '{entry.attestor}'"
            attestor = attestors.get(entry.attestor)
            if attestor is None:
                raise Refused(Fault.BAD_ATTESTATION, f"{where}: there is none")
            statement = pack([entry.attestor, entry.microhours, *value[:8]])
            message = digest("attestation", trust.nonce, statement)
            if entry.microhours > item.microhours:
                raise Refused(Fault.BAD_ATTESTATION, f"{where}: more than was committed")
            if not is_signed(attestor.key, message, entry.signature):
                raise Refused(Fault.BAD_ATTESTATION, f"{where}: the signature is wrong")
            count += 1
    return count


def check_figures(objects: Objects, supply: list[Any], trust: Trust) -> list[Row]:
    """Supply lines, reserves, licences and commitments agree, and the hours are worth what the
    chain says; a row for each issuer, by name. Raises Refused."""
    book = Book.of(objects)
    reserves = [named(RESERVE, item) for item in objects[RESERVE.name]]
    licences = {item[0][0]: named(LICENCE, item) for item in objects[LICENCE.name]}
    committed: dict[str, list[Any]] = {item.issuer: [] for item in reserves}
    for issuer in committed:
        if issuer not in licences:
            raise Refused(Fault.BAD_OBJECT, f"the licence of issuer '{issuer}' is missing")
    if len(reserves) != len(supply) or len(committed) != len(supply):
        detail = f"{len(supply)} supply lines, reserves of {len(committed)} issuers"
        raise Refused(Fault.BAD_SUPPLY, detail)
    for value in objects[COMMITMENT.name]:
        item = named(COMMITMENT, value)
        if item.issuer not in committed:
            raise Refused(Fault.BAD_OBJECT, f"commitment '{item.id}': no issuer '{item.issuer}'")
        committed[item.issuer].append(item)
    ends = book.last_due()
    for reserve, value in zip(reserves, supply, strict=True):
        items = committed[reserve.issuer]
        _check_line(reserve, named(SUPPLY_LINE, value), trust)
        found = book.total(items)
        if found != reserve.reserve:
            detail = f"reserve {reserve.reserve} µ, worked out {found} µ"
            raise Refused(Fault.BAD_FIGURE, f"issuer '{reserve.issuer}': {detail}")
        ends = [end for end in ends if book.total(items, end) == reserve.deliverable]
        if not ends:
            detail = f"due in 7 d {reserve.deliverable} µ, which is not what is worked out"
            raise Refused(Fault.BAD_FIGURE, f"issuer '{reserve.issuer}': {detail}")
    rows = [_row(book, item, licences[item.issuer], committed, trust) for item in reserves]
    return sorted(rows, key=lambda row: row.issuer)


def asset_of(chain_id: bytes, issuer: str) -> bytes:
    """The id of an issuer's coin."""
    return digest("asset", chain_id, issuer.encode("ascii"), COIN_KIND, NO_WINDOW)


def _check_line(reserve: Any, line: Any, trust: Trust) -> None:
    where = f"issuer '{reserve.issuer}'"
    if reserve.asset != asset_of(trust.chain_id, reserve.issuer):
        raise Refused(Fault.BAD_SUPPLY, f"{where} has another asset")
    expected = (
        reserve.asset,
        reserve.supply,
        reserve.reserve,
        _ratio(reserve.reserve, reserve.supply),
        _ratio(reserve.deliverable, reserve.supply),
    )
    names = (line.asset, line.supply, line.reserve, line.coverage_ppm, line.deliverability_ppm)
    if names != expected:
        raise Refused(Fault.BAD_SUPPLY, f"{where}: the supply line is not that of the reserve")


def _row(
    book: Book, reserve: Any, licence: Any, committed: dict[str, list[Any]], trust: Trust
) -> Row:
    counted = [
        item for item in committed[reserve.issuer] if book.worth(item) and book.periods(item)
    ]
    is_expired = licence.state == 1 and book.clock_ms > licence.grant.expires_ms
    return Row(
        issuer=reserve.issuer,
        asset=reserve.asset,
        licence="expired" if is_expired else LICENCE_STATES[licence.state],
        outstanding=reserve.supply,
        reserve=reserve.reserve,
        due=reserve.deliverable,
        limit=reserve.reserve * (PPM - book.margin_ppm) // PPM,
        coverage_ppm=_ratio(reserve.reserve, reserve.supply),
        deliverability_ppm=_ratio(reserve.deliverable, reserve.supply),
        commitments=len(counted),
        # Attestations carry no date; all there are were given for genesis.
        attested_ms=book.clock_ms - trust.time_ms if counted else None,
        until_ms=max((item.to_ms for item in counted), default=None),
    )


def _ratio(part: int, whole: int) -> int:
    return min(part * PPM // whole, RATIO_PPM_MAX) if whole else RATIO_PPM_MAX
