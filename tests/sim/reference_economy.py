"""The reference's economy: commitments, devices and bonds. Naive, from the rules.

It judges what is final and answers with a fault, or with nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ledger.chain import Chain
from ledger.economy.bond import Bond
from ledger.economy.capacity import CapacityCommitment
from ledger.objects import load_all
from ledger.operations import Attest, Commit, DepositBond, Operation, PledgeDevices, Revoke
from tests.sim.world import SimWorld

Place = tuple[str, str]
"""Issuer, id of the commitment."""


@dataclass
class Promise:
    """A commitment that a client made."""

    microhours: int
    to_ms: int
    born: int
    version: int = 0
    devices: set[bytes] = field(default_factory=set)
    figures: dict[str, int] = field(default_factory=dict)
    """By attestor."""


@dataclass
class EconomyBook:
    """As of the last block."""

    world: SimWorld
    lanes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Next numbers by (owner, role): clients use lane 0."""
    promises: dict[Place, Promise] = field(default_factory=dict)
    bonds: Counter[tuple[str, bytes]] = field(default_factory=Counter)
    """What was put up since genesis, by (issuer, asset)."""
    revoked: set[str] = field(default_factory=set)

    def held(self) -> Counter[bytes]:
        """Coins in bonds since genesis, by asset."""
        total: Counter[bytes] = Counter()
        for (_, asset), amount in self.bonds.items():
            total[asset] += amount
        return total

    def operate(
        self, operation: Operation, signers: set[bytes], left: Counter[bytes], height: int
    ) -> str:
        match operation:
            case Commit():
                return self._commit(operation, signers, height)
            case PledgeDevices():
                return self._pledge(operation, signers)
            case Attest():
                return self._attest(operation, signers)
            case DepositBond(issuer, asset, amount):
                left[asset] -= amount
                self.bonds[issuer, asset] += amount
            case Revoke(name):
                self.revoked.add(name)
        return ""

    def is_past(self, operation: Operation) -> bool:
        """What is final has made it impossible."""
        match operation:
            case Commit():
                return operation.number < self.lanes[operation.terms.issuer, "operations"]
            case Attest():
                return operation.number < self.lanes[operation.attestor, "attestor"]
            case PledgeDevices():
                return operation.number < self.lanes[operation.issuer, "operations"]
            case _:
                return False

    def differences(self, chain: Chain) -> str:
        """What a stored state says otherwise."""
        extra = sum(item.amount for item in load_all(chain, Bond))
        extra -= sum(item.amount for item in self.world.genesis.bonds)
        if extra != sum(self.bonds.values()):
            return f"bonds hold {extra} more than at genesis: {self.bonds}"
        stored = {(x.terms.issuer, x.terms.id): x for x in load_all(chain, CapacityCommitment)}
        for place, item in self.promises.items():
            held = stored.get(place)
            if held is None:
                return f"{place} is missing"
            figures = {said.attestor: said.microhours for said in held.attestations}
            found = (held.version, held.devices, figures)
            if found != (item.version, len(item.devices), item.figures):
                return f"{place} is {found}, not {item}"
        return ""

    def _commit(self, operation: Commit, signers: set[bytes], height: int) -> str:
        terms = operation.terms
        fault = self._use(terms.issuer, "operations", operation.number, signers)
        if (terms.issuer, terms.id) in self.promises:
            return f"{terms.issuer} promises {terms.id} twice"
        self.promises[terms.issuer, terms.id] = Promise(terms.microhours, terms.to_ms, height)
        return fault

    def _pledge(self, operation: PledgeDevices, signers: set[bytes]) -> str:
        held = self.promises[operation.issuer, operation.commitment]
        others = set().union(*(item.devices for item in self.promises.values()))
        if operation.version != held.version or others.intersection(operation.devices):
            return f"{operation.commitment} takes devices at version {operation.version}: {held}"
        held.version += 1
        held.devices.update(operation.devices)
        return self._use(operation.issuer, "operations", operation.number, signers)

    def _attest(self, operation: Attest, signers: set[bytes]) -> str:
        held = self.promises[operation.issuer, operation.commitment]
        seen = (held.born, held.to_ms)
        if (operation.born, operation.until_ms) != seen or operation.microhours > held.microhours:
            return f"{operation.attestor} attests {operation.microhours} of {held}"
        held.figures[operation.attestor] = operation.microhours
        return self._use(operation.attestor, "attestor", operation.number, signers)

    def _use(self, owner: str, role: str, number: int, signers: set[bytes]) -> str:
        if number != self.lanes[owner, role]:
            return f"{owner} uses number {number} after {self.lanes[owner, role]}"
        self.lanes[owner, role] += 1
        name = f"attestor/{owner}" if role == "attestor" else f"{owner}/{role}"
        return self._signed(name, signers)

    def _signed(self, name: str, signers: set[bytes]) -> str:
        return "" if self.world.key(name).public in signers else f"{name} did not sign"
