"""Issuers and attestors among the clients: they promise hours, pledge devices, vouch, put up coins.

A stream of chance of their own, so that seeds without them run as they did. Each builds on what is
final; where two of their operations exclude each other, the later one is given up.
"""

from __future__ import annotations

from hashlib import sha256
from random import Random

from ledger.economy.capacity import CommitmentTerms
from ledger.operations import Attest, Commit, DepositBond, Operation, PledgeDevices
from ledger.transaction import asset_id
from tests.ledger.world import DAY_MS, GROUPS
from tests.sim.reference import Coin, Reference
from tests.sim.world import SimWorld

PROMISES_MAX = 6
"""Of each issuer."""
DEVICES_MAX = 4
MICROHOURS = 60_000
"""A minute: four devices are needed."""
ATTESTORS = tuple(f"att-{group}" for group in GROUPS)

Signed = tuple[Operation, list[str]]
"""What is asked and who signs."""


class Issuers:
    """What they want next."""

    def __init__(self, world: SimWorld, reference: Reference, seed: int) -> None:
        self._world = world
        self._book = reference.economy
        self.rng = Random(f"issuers/{seed}")
        self._made = 0
        self._names = [item.id for item in world.genesis.licences]

    def wish(self) -> list[Signed]:
        """One operation without a coin, or two of which one can be final."""
        draw = self.rng.random()
        if draw < 0.25:
            return self._commit()
        places = sorted(place for place in self._book.promises if place[0] in self._names)
        if not places:
            return []
        place = self.rng.choice(places)
        return self._pledge(place) if draw < 0.5 else self._attest(place)

    def deposit(self, coin: Coin, fee: int) -> DepositBond:
        """A part of a coin joins the bond of somebody else."""
        own = [x for x in self._names if asset_id(self._world.chain_id, x) != coin[0]]
        return DepositBond(self.rng.choice(own), coin[0], self.rng.randint(1, coin[1] - fee - 1))

    def _commit(self) -> list[Signed]:
        issuer = self.rng.choice(self._names)
        stand = sum(name == issuer for name, _ in self._book.promises)
        if stand >= PROMISES_MAX:
            return []
        self._made += 1
        begin_ms = self._world.genesis.time_ms
        terms = CommitmentTerms(
            id=f"sim-{self._made}",
            issuer=issuer,
            device_class="gpu-80g",
            region=f"region-{self._made}",
            workloads=("inference", "training"),
            from_ms=begin_ms,
            to_ms=begin_ms + 30 * DAY_MS,
            microhours=MICROHOURS,
        )
        number = self._book.lanes[issuer, "operations"]
        signer = f"{issuer}/operations"
        return [(Commit(self._world.key(signer).public, 0, number, terms), [signer])]

    def _pledge(self, place: tuple[str, str]) -> list[Signed]:
        held = self._book.promises[place]
        if len(held.devices) >= DEVICES_MAX:
            return []
        names = [f"{place}/{len(held.devices) + index}".encode() for index in range(2)]
        devices = tuple(sorted(sha256(name).digest() for name in names))
        signer = f"{place[0]}/operations"
        public = self._world.key(signer).public
        number = self._book.lanes[place[0], "operations"]
        operation = PledgeDevices(place[0], public, 0, number, place[1], held.version, devices)
        return [(operation, [signer])]

    def _attest(self, place: tuple[str, str]) -> list[Signed]:
        attestor = self.rng.choice(ATTESTORS)
        signer, number = f"attestor/{attestor}", self._book.lanes[attestor, "attestor"]
        public, held = self._world.key(signer).public, self._book.promises[place]
        said = (*place, held.born, held.to_ms, MICROHOURS)
        operation = Attest(attestor, public, 0, number, *said)
        return [(operation, [signer])]
