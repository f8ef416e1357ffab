"""One simulated machine: a disk that survives, and the node's own core, which does not.

Nothing of the node is built anew here. `start` does what the node does at its start: open the log,
replay it into a guard, open the chain, make an engine. A power cut throws the engine away at a
chosen effect; the disk keeps what was durable.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from consensus.effects import Now
from ledger import transaction
from ledger.chain import Chain
from ledger.kv import MemoryKV
from ledger.mempool import Mempool
from ledger.objects import load_one
from ledger.parameters import Parameters
from ledger.reasons import Invalid
from node.engine import Engine
from node.intake import Intake
from node.verify import Verifier
from node.vote_guard import Permission, VoteGuard
from node.wal import INSTANCE_ID_BYTES, WriteAheadLog
from p2p.gossip import Gossip, read_batch
from p2p.wire import TXS
from tests.sim.disk import PowerCut, SimKV, SimLogFile
from tests.sim.signatures import SignatureBook, WatchedGuard, WatchedKey
from tests.sim.world import SimWorld

MONOTONIC_START_MS_MAX = 1_000_000
"""Monotonic clocks of different machines have nothing in common."""
GENESIS_TO_START_MS = 1_000
POWER_FAILURES = 0.6
"""Of all crashes; the others only kill the process."""


class Send(Protocol):
    def __call__(self, to: int | None, number: int, payload: bytes) -> None: ...


class SimNode:
    """A machine at an address. `engine` is None while it is down."""

    def __init__(
        self,
        world: SimWorld,
        address: int,
        member: int,
        clock_ms: Callable[[], int],
        send: Send,
        rng: Random,
        *,
        skew_ms: int,
        book: SignatureBook | None,
    ) -> None:
        self.world = world
        self.address = address
        self.member = member
        self.book = book
        self.engine: Engine | None = None
        self.incarnation = 0
        self.cut_after: int | None = None
        """Effects until the next power cut."""
        self.cut_at = ""
        self.refused = 0
        self._clock_ms = clock_ms
        self._send = send
        self._rng = rng
        self._skew_ms = skew_ms
        self._boot_ms = 0
        store = MemoryKV()
        Chain.create(store, world.changes)
        self._kv = SimKV(self._boundary, store)
        self._log = SimLogFile(self._boundary)
        WriteAheadLog.create(self._log, bytes(INSTANCE_ID_BYTES))

    # Life and death.

    def start(self) -> None:
        """As the node starts; raises what stops a node."""
        self.incarnation += 1
        self._boot_ms = self._rng.randrange(MONOTONIC_START_MS_MAX) - self._clock_ms()
        verifier = Verifier(self.world.is_valid)
        rules = self.world.rules(verifier.is_valid)
        log, records = WriteAheadLog.open(self._log)
        chain = Chain.open(self._kv)
        mempool = Mempool()
        self.gossip = Gossip()
        fees = load_one(chain, Parameters).fees
        self.intake = Intake(chain, mempool, verifier, fees)
        key = self.world.member_key(self.member)
        if self.book is None:
            guard = VoteGuard(key, self.member, rules, log, records)
        else:
            guard = WatchedGuard(WatchedKey(key, self.book), self.member, rules, log, records)
            guard.book = self.book
        self.engine = Engine(
            rules=rules,
            member=self.member,
            chain=chain,
            mempool=mempool,
            verifier=verifier,
            guard=guard,
            outbox=self,
            now=self.now,
        )

    def vote_anyway(self) -> None:
        """An evil member's guard never says no at a start."""
        assert self.engine is not None
        self.engine.guard.permission = Permission.ALLOWED
        self.engine.allow_voting()

    def become_twin(self, other: SimNode) -> None:
        """Take a copy of another machine's disk: one key, two memories from now on."""
        self._kv.copy_from(other._kv)
        self._log.replace(other._log.read_all())

    def log_image(self) -> bytes:
        """What a careless copy of the log holds now."""
        return self._log.read_all()

    def restore_log(self, image: bytes) -> None:
        """The careless copy comes back. While the machine is down."""
        self._log.replace(image)

    def lose_log(self) -> None:
        """A new disk for the log, as an operator would set it up: fresh and empty."""
        self._log = SimLogFile(self._boundary)
        WriteAheadLog.create(self._log, bytes(INSTANCE_ID_BYTES))

    def crash(self) -> None:
        """The engine is gone. If the process was killed, the machine still holds what it wrote;
        if the power failed, some bytes of the unsynced log may be left."""
        self.engine = None
        self.cut_after = None
        if self._rng.random() < POWER_FAILURES:
            self._log.crash(self._rng.randint(0, self._log.unsynced_bytes))

    @property
    def now(self) -> Now:
        clock_ms = self._clock_ms()
        wall_ms = self.world.genesis.time_ms + GENESIS_TO_START_MS + clock_ms + self._skew_ms
        return Now(clock_ms + self._boot_ms, wall_ms)

    @property
    def wake_ms(self) -> int:
        """When the engine wants its next tick, on the simulation's clock."""
        assert self.engine is not None
        return self.engine.deadline_ms - self._boot_ms

    # What reaches it. Each raises PowerCut where the power fails.

    def receive(self, sender: int, number: int, payload: bytes) -> None:
        """A message from a member; what is bad about it is its sender's fault."""
        assert self.engine is not None
        try:
            if number == TXS:
                self._take_batch(payload)
            else:
                self.engine.receive(sender, number, payload, self.now)
        except Invalid:
            self.refused += 1

    def submit(self, raw: bytes) -> str:
        """A client's transaction: into the pool and to all members. The refusal, if any."""
        assert self.engine is not None
        try:
            tx = transaction.decode(raw)
            self.intake.admit(tx, self.now)
        except Invalid as error:
            return error.reason.value
        self.gossip.is_new(tx.wtxid)
        self.gossip.push(raw, source=None)
        for push in self.gossip.take(["all"]):
            self.send(None, TXS, push.payload)
        self.engine.tick(self.now)
        return ""

    def tick(self) -> None:
        assert self.engine is not None
        self.engine.tick(self.now)

    def connected(self, members: frozenset[int]) -> None:
        assert self.engine is not None
        self.engine.connected(members, self.now)

    def _take_batch(self, payload: bytes) -> None:
        assert self.engine is not None
        for raw in read_batch(payload):
            try:
                self.intake.admit(transaction.decode(raw), self.now)
            except Invalid:
                self.refused += 1
        self.engine.tick(self.now)

    # The outbox.

    def send(self, to: int | None, number: int, payload: bytes) -> None:
        if self._log.unsynced_bytes:
            raise AssertionError("a message leaves before the log is on the disk")
        self._boundary("send")
        self._send(to, number, payload)

    def _boundary(self, name: str) -> None:
        if self.cut_after is None:
            return
        self.cut_after -= 1
        if self.cut_after <= 0:
            self.cut_at = name
            raise PowerCut
