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
from consensus.view_change import Rules
from ledger import transaction
from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.kv import MemoryKV, StorageError
from ledger.mempool import Mempool
from ledger.objects import load_one
from ledger.parameters import Parameters
from ledger.reasons import Invalid
from node.engine import Engine
from node.epochs import rules_at
from node.intake import Intake
from node.verify import Verifier
from node.vote_guard import Permission, Refused, VoteGuard
from node.wal import INSTANCE_ID_BYTES, LogDamaged, WriteAheadLog
from p2p.gossip import Gossip, read_batch
from p2p.wire import RESENT, TXS
from tests.sim.disk import PowerCut, SimKV, SimLogFile
from tests.sim.signatures import SignatureBook, WatchedGuard, WatchedKey
from tests.sim.world import SimWorld

MONOTONIC_START_MS_MAX = 1_000_000
"""Monotonic clocks of different machines have nothing in common."""
GENESIS_TO_START_MS = 1_000
PATIENCE_LOST_MS = 1_000_000
"""Longer than any time-out."""
Image = tuple[MemoryKV, bytes]
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
        drift_permille: int = 0,
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
        self.fail_after: int | None = None
        """Writes until the disk fails; then every write does until the next start."""
        self.fsync_ms = 0
        """How long a sync of the log takes at most."""
        self.lag_ms = 0
        """How long the syncs of the present event took."""
        self.is_damaged = False
        """Its disk is not what it wrote: it may refuse to start, and must not vote blindly."""
        self.refused = 0
        self._clock_ms = clock_ms
        self._send = send
        self._rng = rng
        self._skew_ms = skew_ms
        self._rate_permille = 1_000 + drift_permille
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
        self.fail_after = None
        self._boot_ms = self._rng.randrange(MONOTONIC_START_MS_MAX) - self._own_ms()
        verifier = Verifier(self.world.is_valid)
        chain = Chain.open(self._kv)
        if self.is_damaged:
            audit_boot(chain, self.world.is_valid)
        rules = rules_at(chain, verifier.is_valid)
        mempool = Mempool()
        self.gossip = Gossip()
        fees = load_one(chain, Parameters).fees
        self.intake = Intake(chain, mempool, verifier, fees)
        guard = self._open_guard(rules)
        self.engine = Engine(
            rules=rules,
            chain=chain,
            mempool=mempool,
            verifier=verifier,
            guard=guard,
            outbox=self,
            now=self.now,
        )

    def _open_guard(self, rules: Rules) -> VoteGuard:
        """As the node does: without a sound log it follows. Only a bad disk makes a log unsound."""
        key = self.world.member_key(self.member)
        log, records, why = None, [], ""
        try:
            log, records = WriteAheadLog.open(self._log)
            if self.book is None:
                return VoteGuard(key, rules, log, records, new_log=self._fresh_log)
            guard = WatchedGuard(
                WatchedKey(key, self.book), rules, log, records, new_log=self._fresh_log
            )
        except (LogDamaged, Invalid) as error:
            if not self.is_damaged or self.book is None:
                raise
            why = str(error)
            guard = WatchedGuard(
                WatchedKey(key, self.book), rules, None, new_log=self._fresh_log, why=why
            )
        guard.book = self.book
        return guard

    def vote_anyway(self) -> None:
        """An evil member's guard never says no: not at a start, not when it hears its twin."""
        assert self.engine is not None
        self.engine.guard.permission = Permission.ALLOWED
        self.engine.guard.hear = lambda member, status: False  # type: ignore[method-assign]
        self.engine.allow_voting()

    def recover(self) -> None:
        """The operator's word to a member that lost its memory; refused while too few answered."""
        assert self.engine is not None
        try:
            self.engine.guard.recover()
        except Refused:
            return
        self.engine.allow_voting()
        self.engine.tick(self.now)

    def become_twin(self, other: SimNode) -> None:
        """Take a copy of another machine's disk: one key, two memories from now on."""
        self.restore(other.image())

    def image(self) -> Image:
        """What a copy of the whole data directory holds now."""
        return self._kv.image(), self._log.read_all()

    def restore(self, image: Image) -> None:
        """The copy comes back. While the machine is down."""
        self._kv.restore(image[0])
        self._log.replace(image[1])

    def flip(self) -> str:
        """A bit on the disk is another. While the machine is down."""
        part = self._rng.choice((self._kv, self._log))
        part.flip(self._rng)
        return "chain" if part is self._kv else "log"

    def log_image(self) -> bytes:
        """What a careless copy of the log holds now."""
        return self._log.read_all()

    def restore_log(self, image: bytes) -> None:
        """The careless copy comes back. While the machine is down."""
        self._log.replace(image)

    def lose_log(self) -> None:
        """A new disk for the log, as an operator would set it up: fresh and empty."""
        self._fresh_log()

    def _fresh_log(self) -> WriteAheadLog:
        self._log = SimLogFile(self._boundary)
        return WriteAheadLog.create(self._log, bytes(INSTANCE_ID_BYTES))

    def crash(self) -> None:
        """The engine is gone. If the process was killed, the machine still holds what it wrote;
        if the power failed, some bytes of the unsynced log may be left."""
        self.engine = None
        self.cut_after = None
        self.lag_ms = 0
        if self._rng.random() < POWER_FAILURES:
            self._log.crash(self._rng.randint(0, self._log.unsynced_bytes))

    @property
    def now(self) -> Now:
        own_ms = self._own_ms()
        wall_ms = self.world.genesis.time_ms + GENESIS_TO_START_MS + own_ms + self._skew_ms
        return Now(own_ms + self._boot_ms, wall_ms)

    @property
    def wake_ms(self) -> int:
        """When the engine wants its next tick, on the simulation's clock."""
        assert self.engine is not None
        own_ms = self.engine.deadline_ms - self._boot_ms
        return -(-own_ms * 1_000 // self._rate_permille)

    def _own_ms(self) -> int:
        """This machine's clocks run at a rate of their own."""
        return self._clock_ms() * self._rate_permille // 1_000

    # What reaches it. Each raises PowerCut where the power fails.

    def receive(self, sender: int, number: int, payload: bytes) -> None:
        """A message from a member; what is bad about it is its sender's fault."""
        assert self.engine is not None
        try:
            if number == TXS:
                self._take_batch(payload, None)
            elif number == RESENT:
                self._take_batch(payload, self.world.public(sender))
            else:
                self.engine.receive(self.world.public(sender), number, payload, self.now)
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
        self.gossip.push(raw)
        for payload in self.gossip.take():
            self.send(None, TXS, payload)
        self.engine.tick(self.now)
        return ""

    def tick(self) -> None:
        assert self.engine is not None
        self.engine.tick(self.now)

    def lose_patience(self) -> None:
        """As after a stall: everything that this member waits for is overdue."""
        assert self.engine is not None
        state = self.engine.replica.state
        state.progress_ms = state.next_suspect_ms = self._boot_ms - PATIENCE_LOST_MS
        if state.quorum_ms is not None:
            state.quorum_ms = state.progress_ms
        self.engine.tick(self.now)

    def connected(self, members: frozenset[int]) -> None:
        assert self.engine is not None
        self.engine.connected(frozenset(map(self.world.public, members)), self.now)

    def _take_batch(self, payload: bytes, resent_by: bytes | None) -> None:
        assert self.engine is not None
        for raw in read_batch(payload):
            try:
                self.intake.admit(transaction.decode(raw), self.now, resent_by=resent_by)
            except Invalid:
                self.refused += 1
        self.engine.tick(self.now)

    # The outbox.

    def send(self, to: bytes | None, number: int, payload: bytes) -> None:
        if self._log.unsynced_bytes:
            raise AssertionError("a message leaves before the log is on the disk")
        self._boundary("send")
        self._send(None if to is None else self.world.machine(to), number, payload)

    def _boundary(self, name: str) -> None:
        if name == "log.synced" and self.fsync_ms:
            self.lag_ms += self._rng.randint(0, self.fsync_ms)
        if self.fail_after is not None and name != "send":
            self.fail_after -= 1
            if self.fail_after <= 0:
                raise StorageError(f"the disk fails at {name}")
        if self.cut_after is None:
            return
        self.cut_after -= 1
        if self.cut_after <= 0:
            self.cut_at = name
            raise PowerCut
