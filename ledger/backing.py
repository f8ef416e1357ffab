"""How issuers stand: the figures behind each coin, worked out from all that they depend on.

An issuer is judged anew after each block that touches it, and all are at each period's start, when
hours of the past period have left. Everything depends on the number of the period and on stored
objects alone, so that a recount at any later moment of the period finds the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ledger.draft import Draft
from ledger.economy.attestor import Attestor, groups_of
from ledger.economy.bond import Bond, required, worth
from ledger.economy.capacity import CapacityCommitment, Measure
from ledger.economy.issuance import Backing
from ledger.economy.licence import Licence
from ledger.economy.reserve import Hours, Reserve, Solvency, hours_of, judged
from ledger.economy.standard import FactorTable, Standard, factor_table
from ledger.objects import key_of
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
        return cls(factor_table(draft.one(Standard)), measure)

    def hours(self, draft: Draft, issuer: str) -> Hours:
        return self.hours_of(COMMITMENTS.all(draft, Bond.prefix(issuer)))

    def hours_of(self, commitments: Iterable[CapacityCommitment]) -> Hours:
        return hours_of(commitments, self.factors, self.measure)


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
    """All that minting depends on; None where there is no such issuer."""
    held = RESERVES.get(draft, asset_id(draft.chain_id, issuer))
    if held is None:
        return None
    minted = held.minted if held.period == draft.period else 0
    bonds = tuple(draft.all(Bond, Bond.prefix(issuer)))
    return Backing(held, minted, bonds, sound_assets(draft))


def judge(draft: Draft, issuers: Collection[str] | None = None) -> None:
    """Write how these issuers stand, or all: first their hours, then their bonds, because the coins
    in a bond count by how their own issuers stand."""
    held = [item for item in RESERVES.all(draft) if issuers is None or item.issuer in issuers]
    if not held:
        return
    yardstick, parameters, clock_ms = Yardstick.of(draft), draft.parameters, draft.clock_ms
    hours = {item.asset: yardstick.hours(draft, item.issuer) for item in held}
    for is_last in (False, True):
        sound = sound_assets(draft) if is_last else frozenset()
        for item in held:
            is_short = item.short_since_ms > 0
            if is_last:
                is_short = _is_short(draft, item, sound)
            stands = judged(
                item,
                hours[item.asset],
                is_short=is_short,
                clock_ms=clock_ms,
                parameters=parameters,
            )
            if stands != draft.load(Reserve, item.asset):
                RESERVES.put(draft, stands)


def _is_short(draft: Draft, held: Reserve, sound: frozenset[bytes]) -> bool:
    needed = required(held.supply, draft.economy.bond_ppm)
    return worth(draft.all(Bond, Bond.prefix(held.issuer)), sound, needed) < needed


def touched_issuers(draft: Draft, changed: Iterable[bytes]) -> set[str] | None:
    """Issuers whose coins, hours or bond are among the changed keys; None for all, where an
    attestor came, went or was struck."""
    issuers: set[str] = set()
    reserve, attestor = key_of(Reserve), key_of(Attestor)
    by_issuer = (key_of(CapacityCommitment), key_of(Bond))
    for key in changed:
        if key.startswith(reserve):
            held = draft.load(Reserve, key[len(reserve) :])
            if held is not None:
                issuers.add(held.issuer)
        elif key.startswith(by_issuer):
            issuers.add(key[1:].split(b"\0", 1)[0].decode("ascii"))
        elif key.startswith(attestor):
            return None
    return issuers
