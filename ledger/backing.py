"""How issuers stand: the figures behind each coin, worked out from all that they depend on.

An issuer is judged anew after each block that touches it, before it mints or takes back bond, and
all are at each period's start, when hours of the past period have left. Everything depends on the
number of the period and on stored objects alone, so that a recount at any later moment of the
period finds the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ledger.draft import Draft
from ledger.economy import challenge
from ledger.economy.attestor import Attestor, groups_of
from ledger.economy.bond import Bond, required, worth
from ledger.economy.capacity import CapacityCommitment, Measure
from ledger.economy.issuance import Backing
from ledger.economy.licence import Licence
from ledger.economy.reserve import Hours, Reserve, Solvency, at_stake, hours_of, judged, promised
from ledger.economy.standard import FactorTable, Standard, factor_table
from ledger.registers import COMMITMENTS, LICENCES, RESERVES, name
from ledger.transaction import asset_id


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What all hours are measured by at one moment."""

    factors: FactorTable
    measure: Measure

    @classmethod
    def of(cls, draft: Draft) -> Yardstick:
        parameters = draft.parameters
        measure = Measure(
            groups=groups_of(draft.all(Attestor)),
            needed=parameters.attestation_groups,
            period_ms=parameters.period_ms,
            life_ms=parameters.economy.attestation_life_ms,
            clock_ms=draft.clock_ms,
        )
        return cls(factor_table(draft.one(Standard).factors), measure)

    def hours(self, draft: Draft, issuer: str) -> Hours:
        return self.hours_of(COMMITMENTS.all(draft, Bond.prefix(issuer)))

    def hours_of(self, commitments: Iterable[CapacityCommitment]) -> Hours:
        return hours_of(commitments, self.factors, self.measure)

    def at_stake(self, held: CapacityCommitment) -> int:
        return at_stake(held, self.factors, self.measure)

    def promised(self, held: CapacityCommitment) -> int:
        return promised(held, self.factors, self.measure)


def deposit_needed(draft: Draft, held: CapacityCommitment, yardstick: Yardstick) -> int:
    """What a challenge of this commitment must deposit now, in µ. Its bond counts as it lies, also
    in coins of issuers in trouble: penalties are paid from all of it."""
    issuer = held.terms.issuer
    reserve = RESERVES.get(draft, asset_id(draft.chain_id, issuer))
    economy = draft.economy
    return challenge.deposit_needed(
        yardstick.at_stake(held),
        economy.deposit_ppm,
        bond=sum(item.amount for item in draft.all(Bond, Bond.prefix(issuer))),
        bond_needed=required(reserve.supply, economy.bond_ppm) if reserve is not None else 0,
    )


def sound_assets(draft: Draft) -> frozenset[bytes]:
    """Coins that count in bonds: their issuers are active and not in deficit."""
    good = (Solvency.HEALTHY, Solvency.WARN)
    reserves, clock_ms = RESERVES.all(draft), draft.clock_ms
    return frozenset(
        [
            held.asset
            for held in reserves
            if held.solvency in good and is_sound(LICENCES.get(draft, name(held.issuer)), clock_ms)
        ]
    )


def is_sound(held: Licence | None, clock_ms: int) -> bool:
    """Whether coins of this issuer count for somebody else's obligations."""
    return held is not None and held.is_active(clock_ms)


def backing_of(draft: Draft, issuer: str) -> Backing | None:
    """All that minting depends on, the issuer's hours measured anew: what fell earlier in the same
    block backs no coin. How the issuers of the coins in its bond stand is as they were judged last.
    None where there is no such issuer."""
    held = RESERVES.get(draft, asset_id(draft.chain_id, issuer))
    if held is None:
        return None
    held = judged(
        held,
        Yardstick.of(draft).hours(draft, issuer),
        is_short=held.short_since_ms > 0,
        clock_ms=draft.clock_ms,
        parameters=draft.parameters,
    )
    minted = held.minted if held.period == draft.period else 0
    bonds = tuple(draft.all(Bond, Bond.prefix(issuer)))
    return Backing(held, minted, bonds, sound_assets(draft))


@dataclass(frozen=True, slots=True)
class Touched:
    """What a block changed that issuers are judged by."""

    issuers: set[str]
    """Whose coins, hours or bonds changed."""
    capacity: set[str]
    """Of these, whose hours did, since all were measured."""
    attestors: bool
    """One of them changed: all issuers are judged."""
    groups: bool
    """One of them did since all hours were measured: all are measured again."""


def judge(
    draft: Draft,
    touched: Touched | None = None,
    commitments: Iterable[CapacityCommitment] | None = None,
) -> None:
    """Write how the issuers stand that were touched, or all: first their hours, then their bonds,
    because the coins in a bond count by how their own issuers stand. `commitments` are all there
    are, from who has read them already."""
    held = RESERVES.all(draft)
    if touched is not None and not touched.attestors:
        held = [item for item in held if item.issuer in touched.issuers]
    if not held:
        return
    parameters, clock_ms = draft.parameters, draft.clock_ms
    hours = _hours_by_asset(draft, held, touched, commitments)
    for is_last in (False, True):
        sound = sound_assets(draft) if is_last else frozenset()
        for item in held:
            is_short = item.short_since_ms > 0
            if is_last:
                is_short = has_short_bond(draft, item, sound)
            stands = judged(
                item,
                hours[item.asset],
                is_short=is_short,
                clock_ms=clock_ms,
                parameters=parameters,
            )
            if stands != draft.load(Reserve, item.asset):
                RESERVES.put(draft, stands)


def _hours_by_asset(
    draft: Draft,
    reserves: Collection[Reserve],
    touched: Touched | None,
    commitments: Iterable[CapacityCommitment] | None,
) -> dict[bytes, Hours]:
    """Hours stand as they were judged until a commitment changes, an attestor, or the
    period: they are measured again only then."""
    fresh = {item.issuer for item in reserves}
    if touched is not None and not touched.groups:
        fresh &= touched.capacity
    hours = {item.asset: Hours(item.reserve, item.deliverable, item.is_frozen) for item in reserves}
    if not fresh:
        return hours
    by_issuer: dict[str, list[CapacityCommitment]] = {issuer: [] for issuer in fresh}
    if commitments is None:
        prefix = b"" if len(fresh) > 1 else Bond.prefix(min(fresh))
        commitments = COMMITMENTS.all(draft, prefix)
    for item in commitments:
        by_issuer.get(item.terms.issuer, []).append(item)
    yardstick = Yardstick.of(draft)
    for held in reserves:
        if held.issuer in fresh:
            hours[held.asset] = yardstick.hours_of(by_issuer[held.issuer])
    return hours


def has_short_bond(draft: Draft, held: Reserve, sound: frozenset[bytes]) -> bool:
    """Whether the bond of this issuer, in these coins, counts for less than it must."""
    needed = required(held.supply, draft.economy.bond_ppm)
    return worth(draft.all(Bond, Bond.prefix(held.issuer)), sound, needed) < needed


def touched_by(
    draft: Draft,
    changed: Mapping[bytes, bytes | None],
    measured: Mapping[bytes, bytes | None],
) -> Touched:
    """What the changed objects mean to issuers. All hours were measured by those in `measured` as
    they were then, so that those of a thousand commitments that a period's start lowered, or all
    because it struck an attestor, are not measured twice in one block."""
    coins: set[str] = set()
    capacity: set[str] = set()
    attestors = groups = False
    for key, data in changed.items():
        kind = key[0]
        is_measured = key in measured and measured[key] == data
        if kind == Reserve.TYPE:
            held = draft.load(Reserve, key[1:])
            if held is not None:
                coins.add(held.issuer)
        elif kind == CapacityCommitment.TYPE:
            coins.add(_issuer_in(key))
            if not is_measured:
                capacity.add(_issuer_in(key))
        elif kind == Bond.TYPE:
            coins.add(_issuer_in(key))
        elif kind == Attestor.TYPE:
            attestors = True
            groups = groups or not is_measured
    return Touched(coins, capacity, attestors, groups)


def _issuer_in(key: bytes) -> str:
    """Commitments and bonds are named by their issuer first."""
    return key[1:].split(b"\0", 1)[0].decode("ascii")
