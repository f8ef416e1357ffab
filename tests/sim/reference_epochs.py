"""The reference's epochs: who validates, when that ends, who is paid. Naive, from the rules.

Names are licence ids. Wishes are kept in the order in which blocks took them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ledger.block import Header
from ledger.economy.licence import LicenceGrant
from ledger.locks import Key as KeyLock
from ledger.locks import lock_hash
from ledger.operations import (
    Admit,
    EndEpoch,
    Evidence,
    Operation,
    Remove,
    Revoke,
    ValidatorReady,
)
from ledger.parameters import Parameters
from ledger.validators import Member, ValidatorSet
from tests.sim.world import SimWorld

POTS_A_BLOCK = 16


@dataclass
class EpochBook:
    """As of the last block."""

    world: SimWorld
    number: int = 0
    base_height: int = 0
    members: list[str] = field(default_factory=list)
    ready: list[tuple[int, str]] = field(default_factory=list)
    leaving: list[tuple[int, str]] = field(default_factory=list)
    accused: list[str] = field(default_factory=list)
    barred: set[str] = field(default_factory=set)
    """Accused or suspended: may not mint."""
    grants: dict[str, LicenceGrant] = field(default_factory=dict)
    pots: dict[tuple[int, bytes], int] = field(default_factory=dict)
    payees: list[str] = field(default_factory=list)
    is_ending: bool = False
    sets: list[ValidatorSet] = field(default_factory=list)
    """Of every epoch that began."""

    def __post_init__(self) -> None:
        genesis = self.world.genesis
        self.base_ms = genesis.time_ms
        self.grants = {grant.id: grant for grant in genesis.licences}
        self.members = self._ordered([grant.id for grant in genesis.licences if grant.validator])
        self._note_set()

    @property
    def keys(self) -> list[bytes]:
        """Consensus keys of the next block's validators."""
        return [self.grants[name].keys.consensus for name in self.members]

    def shares(self) -> list[tuple[bytes, int, bytes]]:
        """(asset, amount, lock) of what the next block pays out of past fees."""
        if not self.payees:
            return []
        paid = []
        past = sorted(key for key in self.pots if key[0] < self.number)
        for epoch, asset in past[:POTS_A_BLOCK]:
            amount = self.pots.pop((epoch, asset))
            each = amount // len(self.payees)
            rest = amount - each * len(self.payees)
            if rest:
                self.collect(Counter({asset: rest}))
            for name in self.payees if each else []:
                treasury = self.grants[name].keys.treasury
                paid.append((asset, each, lock_hash(KeyLock(treasury))))
        return paid

    def collect(self, fees: Counter[bytes]) -> None:
        for asset, amount in fees.items():
            if amount:
                key = (self.number, asset)
                self.pots[key] = self.pots.get(key, 0) + amount

    def held(self) -> Counter[bytes]:
        """What the pots hold, by asset."""
        total: Counter[bytes] = Counter()
        for (_, asset), amount in self.pots.items():
            total[asset] += amount
        return total

    def operate(self, operation: Operation, height: int) -> None:
        match operation:
            case Admit(grant, _):
                self.grants[grant.id] = grant
            case ValidatorReady(name):
                self.ready.append((height, name))
            case Remove(name) | Revoke(name):
                self._vacate(name, height)
            case Evidence(name):
                self.accused.append(name)
                self.barred.add(name)
            case EndEpoch():
                self.is_ending = True

    def end_block(self, header: Header, numbers: Parameters) -> bool:
        """Whether the block ends an epoch; if so the next one begins."""
        behind = header.height - self.base_height - 1
        is_full = behind >= numbers.epoch_blocks
        is_old = header.time_ms - self.base_ms >= numbers.epoch_ms
        if not self.is_ending and not (is_full and is_old):
            return False
        for name in self.accused:
            self._vacate(name, header.height)
        self.payees = self.members
        self._change_seats()
        self.number += 1
        self.base_height, self.base_ms = header.height, header.time_ms
        self.accused, self.is_ending = [], False
        self._note_set()
        return True

    def _note_set(self) -> None:
        members = [Member(self.grants[name].keys.consensus, name) for name in self.members]
        self.sets.append(ValidatorSet(self.number, tuple(members)))

    def _change_seats(self) -> None:
        limit = (len(self.members) - 1) // 3
        going, coming = sorted(self.leaving)[:limit], sorted(self.ready)[:limit]
        while len(self.members) - len(going) + len(coming) > 32:
            coming.pop()
        while len(self.members) - len(going) + len(coming) < 4:
            going.pop()
        self.leaving = [item for item in self.leaving if item not in going]
        self.ready = [item for item in self.ready if item not in coming]
        gone = {name for _, name in going}
        stay = [name for name in self.members if name not in gone]
        self.members = self._ordered(stay + [name for _, name in coming])

    def _vacate(self, name: str, height: int) -> None:
        self.ready = [item for item in self.ready if item[1] != name]
        is_leaving = any(item[1] == name for item in self.leaving)
        if name in self.members and not is_leaving:
            self.leaving.append((height, name))

    def _ordered(self, names: list[str]) -> list[str]:
        return sorted(names, key=lambda name: self.grants[name].keys.consensus)
