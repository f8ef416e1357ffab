"""Capacity: hours that an issuer commits, and those that independent attestors vouch for.

Compute is a flow, an unused hour is gone: a commitment is a schedule of µh (millionths of a
device hour) per period over whole periods of the ledger clock, with the devices that are pledged
to it, no more of them than it needs. What counts is the k-th highest figure among attestations of
distinct groups: no k - 1 groups together can raise it, and no single attestor that overstates can
either.

    (none) -> PROPOSED -> LIVE <-> CONTESTED -> VOID
    PROPOSED lapses, LIVE ends with its schedule

LIVE with too few fresh attestations counts for nothing (`is_stale`) until they are renewed. A
lower figure changes nothing at once: it stops minting, and counts after a day if its author is one
of the k, else only by ruling. So one hostile attestor changes nothing for holders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.codec import Bytes32, Slug, UInt, Wire
from ledger.economy.attestor import PANEL_NEEDED
from ledger.economy.parameters import EconomyParameters
from ledger.economy.schedule import check_schedule
from ledger.reasons import Invalid, Reason
from ledger.times import HOUR_MS, rfc3339

MICROHOURS_A_HOUR = 1_000_000
MICROHOURS_MAX = 1 << 40
"""Per period: a million devices for an hour."""
WORKLOADS_MAX = 8
ATTESTATIONS_MAX = 16
PLEDGE_DEVICES_MAX = 256
"""Devices in one operation."""
COMMITMENTS_OF_ISSUER_MAX = 32
"""So that no issuer keeps others from renewing theirs."""
DEVICES_OF_ISSUER_MAX = 10_000
"""Pledged to all of them, void ones included, whose devices stay objects until they end: 7 MB of a
node's memory. What their hours need is no limit, for a promise is free."""
COMMITMENTS_MAX = 1_024
"""On a chain: all are read and measured at each period's start, in 20 to 45 ms (`SWEEP_OBJECTS_MAX`
says when it takes longer)."""

MicroHours = Annotated[int, Meta(ge=0, le=MICROHOURS_MAX)]
Workloads = Annotated[tuple[Slug, ...], Meta(min_length=1, max_length=WORKLOADS_MAX)]


class CommitmentState(IntEnum):
    """What is stored; that one is stale or has ended follows from the clock."""

    PROPOSED = 1
    LIVE = 2
    CONTESTED = 3
    VOID = 4


class LowerFigure(Wire, frozen=True):
    """What an attestor says less than before, and since when."""

    microhours: MicroHours
    since_ms: UInt


class Attestation(Wire, frozen=True):
    """`attestor` vouches for so many µh a period of one commitment since `since_ms`.

    `until_ms` is where the schedule ended that it saw: who amends it later gets no hours by that.
    """

    attestor: Slug
    microhours: MicroHours
    since_ms: UInt
    until_ms: UInt
    lower: Annotated[tuple[LowerFigure, ...], Meta(max_length=1)]


class CommitmentTerms(Wire, frozen=True):
    """`microhours` a period of one device class over [from_ms, to_ms)."""

    id: Slug
    issuer: Slug
    device_class: Slug
    region: Slug
    workloads: Workloads
    from_ms: UInt
    to_ms: UInt
    microhours: MicroHours

    @property
    def line(self) -> tuple[str, str, str]:
        """Schedules of one line of the ladder do not overlap."""
        return (self.issuer, self.device_class, self.region)


class CapacityCommitment(Wire, frozen=True):
    """Terms and where they stand. Identity: issuer, zero byte, id."""

    TYPE: ClassVar[int] = 38
    terms: CommitmentTerms
    state: CommitmentState
    version: UInt
    since_ms: UInt
    """When `state` began, on the ledger clock."""
    born: UInt
    """The height of its block: a later one of the same name is another."""
    devices: UInt
    """How many are pledged."""
    attestations: Annotated[tuple[Attestation, ...], Meta(max_length=ATTESTATIONS_MAX)]
    """By ascending attestor."""
    pledged_in: UInt
    """The last period in which devices were pledged."""
    devices_before: UInt
    """How many were pledged before that period."""
    delivered_in: UInt
    """The last period in which hours were delivered."""
    delivered: UInt
    """µh in that period: they left the reserve before the period did."""

    @staticmethod
    def identity(issuer: str, name: str) -> bytes:
        return f"{issuer}\0{name}".encode("ascii")

    @property
    def key(self) -> bytes:
        """Its identity."""
        return self.identity(self.terms.issuer, self.terms.id)

    @property
    def counts(self) -> bool:
        return self.state in (CommitmentState.LIVE, CommitmentState.CONTESTED)

    def devices_until(self, period: int) -> int:
        """How many were pledged in this period or before, asked at the latest when the one after
        the next begins: what happened in one period is all that is kept."""
        return self.devices_before if self.pledged_in > period else self.devices

    def delivered_of(self, period: int) -> int:
        """µh of the present period that are delivered."""
        return self.delivered if self.delivered_in == period else 0


class Device(Wire, frozen=True):
    """One device, pledged to one commitment until that ends. Identity: the device's id."""

    TYPE: ClassVar[int] = 45
    id: Bytes32
    issuer: Slug
    commitment: Slug
    born: UInt
    """Of the commitment."""
    until_ms: UInt
    """When it is asked whether the commitment is over."""
    opened: UInt
    """The last period for which it was opened in a spot audit; 0 before the first."""
    pledged_in: UInt
    """The period in which it was pledged."""

    def stood_in(self, period: int) -> bool:
        """Whether a spot audit for this period may draw it. In the one after, nonces are revealed,
        and an id could be made up that is not drawn."""
        return self.pledged_in <= period


@dataclass(frozen=True, slots=True)
class Measure:
    """What figures are judged by: groups of the attestors that count, how many must agree, time."""

    groups: Mapping[str, str]
    needed: int
    period_ms: int
    life_ms: int
    clock_ms: int

    def hears(self, item: Attestation) -> bool:
        """Whether it counts at all: of a licensed attestor, not faded, and of hours that are not
        over. The answer is the same throughout a period: a word reaches to the end of one."""
        is_fresh = self.weight(item.since_ms, MICROHOURS_MAX) > 0 and item.until_ms > self.clock_ms
        return is_fresh and item.attestor in self.groups

    def weight(self, since_ms: int, figure: int) -> int:
        """A figure after decay: whole for half its life, then less with each whole period."""
        life = self.life_ms // self.period_ms
        half = life // 2
        age = self.clock_ms // self.period_ms - since_ms // self.period_ms
        if age <= half:
            return figure
        return figure * max(0, life - age) // (life - half)


def deadline(held: CapacityCommitment, parameters: EconomyParameters) -> int | None:
    """The last moment of the present state; contested it is the challenge that has one."""
    if held.state is CommitmentState.CONTESTED:
        return None
    if held.state is CommitmentState.PROPOSED:
        return min(held.terms.to_ms, held.since_ms + parameters.proposal_ms)
    return held.terms.to_ms


def matured(
    held: CapacityCommitment, clock_ms: int, parameters: EconomyParameters
) -> CapacityCommitment | None:
    """As of the clock; None once it is over. Contested, it stands until the challenge is decided,
    counting nothing after its schedule."""
    moment = deadline(held, parameters)
    return held if moment is None or clock_ms <= moment else None


def propose(
    terms: CommitmentTerms, *, clock_ms: int, period_ms: int, height: int
) -> CapacityCommitment:
    """Over whole periods, not over, at most 365 days from now; raises Invalid(BAD_SCHEDULE)."""
    check_schedule(terms.from_ms, terms.to_ms, clock_ms, period_ms)
    if list(terms.workloads) != sorted(set(terms.workloads)):
        raise Invalid(Reason.BAD_SCHEDULE, f"'{terms.id}': workloads ascend, each once")
    if terms.microhours == 0:
        raise Invalid(Reason.BAD_SCHEDULE, f"'{terms.id}': no hours")
    return CapacityCommitment(
        terms, CommitmentState.PROPOSED, 0, clock_ms, height, 0, (), 0, 0, 0, 0
    )


def overlaps(terms: CommitmentTerms, other: CommitmentTerms) -> bool:
    """Whether both promise hours of one line at one time."""
    same = terms.line == other.line
    return same and terms.from_ms < other.to_ms and other.from_ms < terms.to_ms


def amended(
    held: CapacityCommitment, *, microhours: int, to_ms: int, clock_ms: int, period_ms: int
) -> CapacityCommitment:
    """More hours, or for longer: a promise never shrinks. Raises Invalid."""
    terms = held.terms
    if (microhours, to_ms) == (terms.microhours, terms.to_ms):
        promised = f"{microhours} µh until {rfc3339(to_ms)}"
        raise Invalid(Reason.NO_EFFECT, f"'{terms.id}' promises {promised}")
    if microhours < terms.microhours or to_ms < terms.to_ms or held.state is CommitmentState.VOID:
        promised = f"{terms.microhours} µh until {rfc3339(terms.to_ms)}"
        asked = f"{microhours} until {rfc3339(to_ms)} asked"
        raise Invalid(Reason.BAD_SCHEDULE, f"'{terms.id}' promises {promised}, {asked}")
    if to_ms != terms.to_ms:
        check_schedule(terms.from_ms, to_ms, clock_ms, period_ms)
    terms = msgspec.structs.replace(terms, microhours=microhours, to_ms=to_ms)
    return msgspec.structs.replace(held, terms=terms, version=held.version + 1)


def pledged(
    held: CapacityCommitment, count: int, *, clock_ms: int, period_ms: int
) -> CapacityCommitment:
    """The commitment with `count` further devices; raises Invalid(TOO_MANY)."""
    terms, devices = held.terms, held.devices + count
    needed = devices_needed(terms.microhours, period_ms)
    if devices > needed:
        detail = f"{devices} devices, '{terms.id}' of '{terms.issuer}' needs {needed}"
        raise Invalid(Reason.TOO_MANY, f"{detail} for {terms.microhours} µh a period")
    period = clock_ms // period_ms
    is_first = held.pledged_in != period
    return msgspec.structs.replace(
        held,
        version=held.version + 1,
        devices=devices,
        pledged_in=period,
        devices_before=held.devices if is_first else held.devices_before,
    )


def delivered(held: CapacityCommitment, microhours: int, period: int) -> CapacityCommitment:
    """The commitment after so many µh more of the present period were delivered."""
    gone = held.delivered_of(period) + microhours
    return msgspec.structs.replace(held, delivered_in=period, delivered=gone)


def devices_needed(microhours: int, period_ms: int) -> int:
    """How many devices deliver so many µh a period when they do nothing else; more may not be
    pledged: each is an object that is swept one day."""
    return -(-microhours * HOUR_MS // (MICROHOURS_A_HOUR * period_ms))


def attested(
    held: CapacityCommitment, attestor: str, *, figure: int, until_ms: int, measure: Measure
) -> CapacityCommitment:
    """The commitment with a further word of one attestor, on its hours until `until_ms`; raises
    Invalid.

    At once LIVE when enough groups agree. A word reaches no further than what is promised, which
    may be more than its author saw; to an hour that is not over; and no less far than what its
    author said before: that is taken back by a lower figure alone. A figure below what the
    attestor's own last one still counts for, or a first one below what counts, is noted as lower
    and waits.
    """
    terms = held.terms
    if held.state is CommitmentState.VOID:
        raise Invalid(Reason.COMMITMENT_OVER, f"'{terms.id}' of '{terms.issuer}' is void")
    if figure > terms.microhours or until_ms > terms.to_ms:
        most = f"commits {terms.microhours} until {rfc3339(terms.to_ms)}"
        detail = f"{figure} µh until {rfc3339(until_ms)}, '{terms.id}' of '{terms.issuer}' {most}"
        raise Invalid(Reason.ABOVE_COMMITMENT, detail)
    found = {item.attestor: item for item in held.attestations}
    before = found.get(attestor)
    if before is not None and not measure.hears(before):
        before = None
    first = max(terms.from_ms, measure.clock_ms) // measure.period_ms
    least_ms = (first + 1) * measure.period_ms if before is None else before.until_ms
    if until_ms < least_ms or until_ms % measure.period_ms:
        least = f"a word of '{attestor}' reaches to {rfc3339(least_ms)} at least"
        detail = f"until {rfc3339(until_ms)}, {least}"
        raise Invalid(Reason.BAD_SCHEDULE, f"{detail}, and to the end of a period")
    word = Attestation(attestor, figure, measure.clock_ms, until_ms, ())
    found[attestor] = _said(before, word, counted(held, measure), measure)
    if len(found) > ATTESTATIONS_MAX or _leaves_no_panel(found, attestor, measure):
        # Who says nothing any more makes room.
        found = {name: item for name, item in found.items() if measure.hears(item)}
    if len(found) > ATTESTATIONS_MAX:
        detail = f"'{terms.id}' has {ATTESTATIONS_MAX} attestations"
        raise Invalid(Reason.TOO_MANY, detail)
    if _leaves_no_panel(found, attestor, measure):
        detail = f"one more group that vouches for '{terms.id}' leaves fewer than {PANEL_NEEDED}"
        raise Invalid(Reason.NO_PANEL, f"{detail} to rule on a challenge")
    attestations = tuple([found[name] for name in sorted(found)])
    held = msgspec.structs.replace(held, attestations=attestations)
    if held.state is CommitmentState.PROPOSED and not is_stale(held, measure):
        held = msgspec.structs.replace(held, state=CommitmentState.LIVE, since_ms=measure.clock_ms)
    return held


def _leaves_no_panel(names: Iterable[str], attestor: str, measure: Measure) -> bool:
    """Whether this is the word of one more group, and so few would be left that nobody could rule
    on a challenge. 2 k - 1 groups may speak in any case: k of them tell the truth where k - 1 lie,
    who thus keep no commitment from being attested."""
    groups = measure.groups
    others = {groups[name] for name in names if name != attestor and name in groups}
    if groups[attestor] in others:
        return False
    speaking = len(others) + 1
    left = len(set(groups.values())) - speaking
    return left < PANEL_NEEDED and speaking >= 2 * measure.needed


def _said(
    before: Attestation | None, word: Attestation, counts: int, measure: Measure
) -> Attestation:
    """What stands of an attestor after a further word; `before` is its last one that is heard,
    `counts` what counts without this one. Only what is no less than was said before has waited
    since then: a still lower figure waits anew."""
    if before is None:
        is_lower = word.microhours < counts
        lower = (LowerFigure(word.microhours, word.since_ms),) if is_lower else ()
        return msgspec.structs.replace(word, lower=lower)
    if word.microhours >= measure.weight(before.since_ms, before.microhours):
        return word
    since_ms = word.since_ms
    if before.lower and word.microhours >= before.lower[0].microhours:
        since_ms = before.lower[0].since_ms
    return msgspec.structs.replace(before, lower=(LowerFigure(word.microhours, since_ms),))


def without_words_of(held: CapacityCommitment, attestor: str) -> CapacityCommitment:
    """As if the attestor had never said anything of it; the same where it has not."""
    left = tuple([item for item in held.attestations if item.attestor != attestor])
    if len(left) == len(held.attestations):
        return held
    return msgspec.structs.replace(held, attestations=left)


def lowered(held: CapacityCommitment, measure: Measure, lower_ms: int) -> CapacityCommitment:
    """Lower figures that waited long enough: those of authors among the k count, the others are
    dropped. One that by now counts for more than what it lowers takes its place at once: it is the
    fresher word. To be asked at each period's start."""
    since_ms = [item.lower[0].since_ms for item in held.attestations if item.lower]
    if not since_ms:
        return held
    has_waited = measure.clock_ms > min(since_ms) + lower_ms
    among = _counted_attestors(held, measure) if has_waited else set()
    changed = tuple([_settled(item, among, measure, lower_ms) for item in held.attestations])
    return msgspec.structs.replace(held, attestations=changed)


def _settled(item: Attestation, among: set[str], measure: Measure, lower_ms: int) -> Attestation:
    if not item.lower:
        return item
    figure, weight = item.lower[0], measure.weight
    left = weight(item.since_ms, item.microhours)
    if weight(figure.since_ms, figure.microhours) <= left:
        if measure.clock_ms <= figure.since_ms + lower_ms:
            return item
        if item.attestor not in among:
            return msgspec.structs.replace(item, lower=())
    return msgspec.structs.replace(
        item, microhours=figure.microhours, since_ms=figure.since_ms, lower=()
    )


def is_frozen(held: CapacityCommitment, measure: Measure) -> bool:
    """Somebody who is heard says less than counts: its issuer does not mint meanwhile."""
    contradicted = any(item.lower and measure.hears(item) for item in held.attestations)
    return held.counts and contradicted


def counted(held: CapacityCommitment, measure: Measure) -> int:
    """µh a period that count now: the k-th highest figure among groups, 0 where fewer attest; never
    more than is committed, or than the pledged devices can deliver."""
    figures = [figure for figure, _ in _best_by_group(held, measure).values()]
    return min(_agreed(figures, measure.needed), _able(held, measure))


def contested(held: CapacityCommitment, measure: Measure) -> int:
    """µh a period that a challenge is about, never less than counts: what attestors agreed on,
    however long ago; where too few said anything, what its devices can deliver.

    Words fade and come back while a challenge runs, so their age is left out. So is what is only
    promised: it costs nothing, and would put the deposit out of reach."""
    best: dict[str, int] = {}
    for item in held.attestations:
        group = measure.groups.get(item.attestor)
        if group is not None:
            best[group] = max(item.microhours, best.get(group, 0))
    able = _able(held, measure)
    if len(best) < measure.needed:
        return able
    return min(_agreed(best.values(), measure.needed), able)


def stretches(held: CapacityCommitment, measure: Measure) -> Iterator[tuple[int, int, int]]:
    """(µh a period that count, number of the first period, number after the last): the present and
    future periods of the schedule, from its end back, cut where those who attested a shorter one
    end."""
    now, able = measure.clock_ms // measure.period_ms, _able(held, measure)
    heard = sorted(_heard(held, measure), reverse=True)
    if len(heard) < measure.needed:
        return
    from_ms = held.terms.from_ms
    begins_ms = [max(item[0], from_ms) for item in heard[1:]] + [from_ms]
    best: dict[str, int] = {}
    for (until_ms, figure, _, group), begin_ms in zip(heard, begins_ms, strict=True):
        if figure >= best.get(group, 0):
            best[group] = figure
        if begin_ms == until_ms or len(best) < measure.needed:
            continue
        first = max(begin_ms // measure.period_ms, now)
        end = min(until_ms, held.terms.to_ms) // measure.period_ms
        if first < end:
            yield min(_agreed(best.values(), measure.needed), able), first, end


def is_stale(held: CapacityCommitment, measure: Measure) -> bool:
    """Fewer groups than needed attest of late."""
    return len(_best_by_group(held, measure)) < measure.needed


def _able(held: CapacityCommitment, measure: Measure) -> int:
    """The most that may count, whoever attests it."""
    able = held.devices * MICROHOURS_A_HOUR * measure.period_ms // HOUR_MS
    return min(held.terms.microhours, able)


def _agreed(figures: Collection[int], needed: int) -> int:
    """The k-th highest."""
    return sorted(figures)[-needed] if len(figures) >= needed else 0


def _heard(held: CapacityCommitment, measure: Measure) -> list[tuple[int, int, str, str]]:
    """(until when, figure after decay, attestor, group) of those that count at all."""
    groups, weight = measure.groups, measure.weight
    result = []
    for item in held.attestations:
        group = groups.get(item.attestor)
        if group is not None:
            figure = weight(item.since_ms, item.microhours)
            if figure or measure.hears(item):
                result.append((item.until_ms, figure, item.attestor, group))
    return result


def _best_by_group(held: CapacityCommitment, measure: Measure) -> dict[str, tuple[int, str]]:
    """Of each group that vouches for now its highest figure and whose it is; a group counts
    once."""
    best: dict[str, tuple[int, str]] = {}
    for until_ms, figure, attestor, group in _heard(held, measure):
        if until_ms > measure.clock_ms:
            best[group] = max((figure, attestor), best.get(group, (-1, "")))
    return best


def _counted_attestors(held: CapacityCommitment, measure: Measure) -> set[str]:
    """The authors of the k highest figures."""
    best = sorted(_best_by_group(held, measure).values(), reverse=True)
    return {name for _, name in best[: measure.needed]}
