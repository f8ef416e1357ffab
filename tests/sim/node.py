"""One simulated machine: a disk that survives, and the node's own core, which does not.

Nothing of the node is built anew here. `start` does what the node does at its start: open the log,
replay it into a guard, open the chain, make an engine. A power cut throws the engine away at a
chosen effect; the disk keeps what was durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from random import Random
from typing import Protocol

from consensus.effects import Now
from consensus.view_change import Rules
from ledger import boot_audit, transaction
from ledger.chain import Chain
from ledger.kv import MemoryKV, StorageError
from ledger.mempool import Mempool
from ledger.objects import load_one
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from ledger.witnesses import Witnesses
from node.engine import Engine
from node.epochs import rules_at
from node.intake import Intake
from node.joining import Joining
from node.signing import LocalKey
from node.verify import Verifier
from node.vote_guard import Permission, Refused, VoteGuard
from node.wal import INSTANCE_ID_BYTES, LogDamaged, WriteAheadLog
from p2p.gossip import Gossip, read_batch
from p2p.wire import RESENT, TXS
from tests.sim.disk import Misread, PowerCut, SimKV, SimLogFile
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
GROWING = ("log.append", "log.replace", "kv.write")
"""What a full disk refuses."""
UNREADABLE = ("header", "middle", "removed")
"""Damage of the log that its own check values show; the rest looks like a shorter log."""


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
        self.cut_where: str | None = None
        """Counts effects of this name only."""
        self.cuts_at_start: list[int] = []
        """Effects until the power fails again, after each of the next starts."""
        self.cut_at = ""
        self.fail_at: str | None = None
        """The write point that fails next, once."""
        self.fails_on = False
        """Once it failed, every write does until the next start."""
        self.is_full = False
        """No write that needs room succeeds, over all starts."""
        self.lies = False
        """What it acknowledges is gone with the power."""
        self.broken_promises = ""
        """What the last power failure took though it was acknowledged."""
        self.trouble = ""
        """What the disk did in this life that may well end it."""
        self.strikes: Counter[str] = Counter()
        """What the disk did in all lives, and where."""
        self.failed_starts = 0
        self.fsync_ms = 0
        """How long a sync of the log takes at most."""
        self.lag_ms = 0
        """How long the syncs of the present event took."""
        self.is_damaged = False
        """Its disk is not what it wrote: it may refuse to start, and must not vote blindly."""
        self.refused = 0
        self.admitting = 0.0
        """How often it is found checking more transactions than it holds."""
        self._admitting_rng = Random(f"admitting/{address}")
        self._clock_ms = clock_ms
        self._send = send
        self._rng = rng
        self._wall_start_ms = world.genesis.time_ms + GENESIS_TO_START_MS + skew_ms
        self._rate_permille = 1_000 + drift_permille
        self._boot_ms = 0
        self._failing = False
        self._kv = SimKV(self._boundary, world.new_store())
        self._kv.on_misread = self._note_misread
        self._log = SimLogFile(self._boundary)
        WriteAheadLog.create(self._log, bytes(INSTANCE_ID_BYTES))

    # Life and death.

    def start(self) -> None:
        """As the node starts; raises what stops a node."""
        self.incarnation += 1
        self.failed_starts += 1
        self.trouble = ""
        if self.cuts_at_start:
            self.cut_after, self.cut_where = self.cuts_at_start.pop(0), None
        self._boot_ms = self._rng.randrange(MONOTONIC_START_MS_MAX) - self._own_ms()
        verifier = Verifier(self.world.is_valid)
        chain = Chain.open(self._kv)
        if self.is_damaged:
            boot_audit.audit_boot(chain, self.world.is_valid)
        rules = rules_at(chain, verifier.is_valid)
        mempool = Mempool()
        self.gossip = Gossip()
        fees = load_one(chain, Parameters).fees
        self.intake = Intake(chain, mempool, verifier, fees)
        guard = self._open_guard(rules)
        self.linked: frozenset[int] = frozenset()
        self.joining = Joining(chain, guard)
        self.engine = Engine(
            rules=rules,
            chain=chain,
            mempool=mempool,
            verifier=verifier,
            guard=guard,
            outbox=self,
            witnesses=Witnesses(self._kv),
            now=self.now,
        )
        self.engine.is_admitting = lambda: self._admitting_rng.random() < self.admitting
        self.failed_starts = 0

    def run(self, action: Callable[[], None]) -> None:
        """One event. Only the node itself reads wrongly, not whoever checks it afterwards."""
        self._kv.may_misread = True
        try:
            action()
        finally:
            self._kv.may_misread = False

    def _open_guard(self, rules: Rules) -> VoteGuard:
        """As the node does: without a sound log it follows. Only a bad disk makes a log unsound."""
        key = self.world.member_key(self.member)
        if self.book is None:
            log, records = WriteAheadLog.open(self._log)
            plain = LocalKey(key, rules.chain_id)
            return VoteGuard(plain, rules, log, records, new_log=self._fresh_log)
        watched = WatchedKey(key, self.book)
        local = LocalKey(watched, rules.chain_id)
        try:
            log, records = WriteAheadLog.open(self._log)
            guard = WatchedGuard(local, rules, log, records, new_log=self._fresh_log)
        except (FileNotFoundError, LogDamaged, Invalid) as error:
            if not self.is_damaged:
                raise
            guard = WatchedGuard(local, rules, None, new_log=self._fresh_log, why=str(error))
        guard.book, guard.heard_from, watched.guard = self.book, set(), guard
        return guard

    def vote_anyway(self) -> None:
        """An evil member's guard never says no: not at a start, not when it hears its twin."""
        assert self.engine is not None
        self.engine.guard.permission = Permission.ALLOWED
        self.engine.guard.hear = lambda member, status: False  # type: ignore[method-assign]
        self.engine.review_voting()

    def recover(self) -> None:
        """The operator's word to a member that lost its memory; refused while too few answered."""
        assert self.engine is not None
        guard = self.engine.guard
        try:
            guard.recover()
        except Refused:
            return
        if self.book is not None:
            self.book.recovered(guard.vote_above)
        self.engine.review_voting()
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
        self._log.restore(image[1])

    @property
    def has_log(self) -> bool:
        return self._log.exists

    def harm_log(self, wanted: Collection[str]) -> str:
        """One of these things happens to the log on the disk, if any can. While the machine is
        down."""
        place = self._log.place_of(self._rng, wanted) if self.has_log else ""
        if not place:
            return ""
        self._log.harm(place, self._rng)
        if self.book is not None:
            if place in UNREADABLE:
                self.book.must_follow = True
            else:
                self.book.forget()
        return place

    def harm_chain(self) -> str:
        """A bit of the chain on the disk is another. While the machine is down."""
        return self._kv.harm(self._rng)

    def replace_chain(self, *, with_log: bool) -> None:
        """As the operator is told to: a new database, at times a new log with it."""
        self._kv.restore(self.world.new_store())
        if with_log:
            self.lose_log()
            if self.book is not None:
                self.book.must_follow = True

    def begin_lying(self) -> None:
        """From now on the disk acknowledges and does not write, until the power fails."""
        self.lies = self._log.lies = True
        self._kv.begin_lying()

    def watch_values(self) -> None:
        """Its disk keeps older values, for reads that answer with one."""
        self._kv.watch_values()

    def misread(self, kind: Misread, after: int) -> None:
        """The read after so many others answers wrongly."""
        self._kv.misread(kind, after, self._rng)

    def heal_disk(self) -> None:
        """It is a good disk from now on; what it holds stays as it is."""
        self.fail_at, self.is_full, self._failing = None, False, False
        self._kv.forget_misread()

    def log_image(self) -> bytes:
        """What a careless copy of the log holds now."""
        return self._log.read_all()

    def restore_log(self, image: bytes) -> None:
        """The careless copy comes back. While the machine is down."""
        self._log.restore(image)

    def lose_log(self) -> None:
        """A new disk for the log, as an operator would set it up: fresh and empty."""
        self._fresh_log()

    def _fresh_log(self) -> WriteAheadLog:
        self._log = SimLogFile(self._boundary)
        self._log.lies = self.lies
        return WriteAheadLog.create(self._log, bytes(INSTANCE_ID_BYTES))

    def crash(self) -> None:
        """The engine is gone. If the process was killed, the machine still holds what it wrote;
        if the power failed, some bytes of the unsynced log may be left."""
        self.engine = None
        self.cut_after = None
        self._failing = False
        self.lag_ms = 0
        if self.lies:
            self._lose_what_was_promised()
        elif self._rng.random() < POWER_FAILURES:
            self._log.crash(self._rng.randint(0, self._log.unsynced_bytes))
        self._kv.end_handle()

    def _lose_what_was_promised(self) -> None:
        """Of a disk that lied the log, the chain or both are as they were before."""
        lost = self._rng.choice(("log", "chain", "log and chain"))
        self.lies = self._log.lies = False
        if lost == "log":
            self._kv.keep_all()
        if lost == "chain":
            self._log.restore(self._log.read_all())
        self._log.crash()
        self.strikes[f"lying: {lost}"] += 1
        self.broken_promises = lost

    @property
    def index(self) -> int:
        """Its place in the present set, or where it stood in the first."""
        seated = None if self.engine is None else self.engine.member
        return self.member if seated is None else seated

    @property
    def epoch(self) -> int:
        """The present one, as far as it knows."""
        return 0 if self.engine is None else self.engine.validators.epoch

    @property
    def now(self) -> Now:
        own_ms = self._own_ms()
        return Now(own_ms + self._boot_ms, own_ms + self._wall_start_ms)

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
        now = self.now
        try:
            tx = transaction.decode(raw)
            self.intake.admit(tx, now)
        except Invalid as error:
            return error.reason.value
        self.gossip.is_new(tx.wtxid)
        self.gossip.push(raw)
        for payload in self.gossip.take():
            self.send(None, TXS, payload)
        self.engine.tick(now)
        return ""

    def accuse(self) -> None:
        """As the node does: what it found goes into its own pool and everybody's."""
        assert self.engine is not None
        self.engine.accountability.offer(self._refusal)

    def _refusal(self, tx: SignedTransaction) -> Reason | None:
        refusal = self.submit(tx.raw)
        return Reason(refusal) if refusal else None

    def announce(self) -> None:
        """As the node does after final blocks: ask for the seat that it was admitted to."""
        assert self.engine is not None
        state = self.engine.replica.state
        is_at_tip = state.synced and state.height >= state.known_height
        tx = self.joining.announcement(is_at_tip=is_at_tip)
        if tx is not None:
            self.submit(tx.raw)

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
        self.linked = members
        self.engine.connected(frozenset(map(self.world.public, members)), self.now)

    def _take_batch(self, payload: bytes, resent_by: bytes | None) -> None:
        assert self.engine is not None
        now = self.now
        for raw in read_batch(payload):
            try:
                self.intake.admit(transaction.decode(raw), now, resent_by=resent_by)
            except Invalid:
                self.refused += 1
        self.engine.tick(now)

    # The outbox.

    def send(self, to: bytes | None, number: int, payload: bytes) -> None:
        if self._log.unsynced_bytes:
            raise AssertionError("a message leaves before the log is on the disk")
        self._boundary("send")
        self._send(None if to is None else self.world.machine(to), number, payload)

    def _boundary(self, name: str) -> None:
        if name == "log.synced" and self.fsync_ms:
            self.lag_ms += self._rng.randint(0, self.fsync_ms)
        if name != "send":
            self._touch_disk(name)
        if self.cut_after is None or self.cut_where not in (None, name):
            return
        self.cut_after -= 1
        if self.cut_after <= 0:
            self.cut_at = name
            self.strikes[f"power: {name}"] += 1
            raise PowerCut

    def _touch_disk(self, name: str) -> None:
        """Raises where this write fails."""
        kind = ""
        if self.is_full and name in GROWING:
            kind = "full"
        elif self._failing:
            kind = "still failing"
        elif self.fail_at == name:
            kind, self.fail_at, self._failing = "failing", None, self.fails_on
        if kind:
            self.strikes[f"{kind}: {name}"] += 1
            self.trouble = f"the disk is {kind} at {name}"
            raise StorageError(self.trouble)

    def _note_misread(self, kind: Misread, place: str) -> None:
        """What is written from now on may be wrong as well."""
        self.strikes[f"misread: {kind.value}"] += 1
        self.strikes[f"misread at: {place}"] += 1
        self.trouble = f"a read of {place} answers {kind.value}"
        self.is_damaged = True
