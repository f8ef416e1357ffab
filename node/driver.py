"""The engine's shell on the event loop: clock, links, the way in of transactions, who waits.

Frames of consensus go straight into the engine from the reader of their link, so that a busy node
slows its peers down instead of queueing without bound. Transactions are admitted in slices
(`node.turns`), between which everything else gets its turn: those of peers from one bounded inbox,
those of clients a slice of one request after the other, so that votes wait for two and not for a
hundred.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from hashlib import sha256
from typing import TypeAlias

from consensus.effects import Now
from consensus.status import make_status
from ledger import codec, transaction
from ledger.economy.licence import LicenceState
from ledger.mempool import Mempool
from ledger.reasons import Invalid, Reason
from ledger.reserve_history import ReserveHistory
from ledger.transaction import SignedTransaction
from node.api.services import Submission
from node.clock_check import ClockCheck
from node.directory import Directory, believed, may_change_licences
from node.engine import Engine
from node.events import Events
from node.fetching import FETCH_BYTES_MAX, Fetch, FetchChunk, Give, GiveChunk
from node.inbox import Inbox, Pushed
from node.intake import SMALL_BYTES_MAX, Intake, Looked
from node.joining import Joining
from node.serving import ALL_OTHERS, Allowance
from node.snapshot_client import SnapshotClient
from node.snapshot_serving import SnapshotServing
from node.timings import Timings
from node.turns import Turns
from node.verify import TOGETHER_MIN
from node.verify_workers import VerifyWorkers
from node.waiters import Waiters
from p2p import wire
from p2p.gossip import Gossip
from p2p.handshake import RefusedReason
from p2p.network import Network
from p2p.peer import Peer
from p2p.refusals import describe_rival

AHEAD_MAX = 128
"""Verified together on other cores."""
GROUP = 16
"""Looked at together, kind of work after kind of work: each finds its code in the caches then."""
PUSH_BYTES = 32 << 10
"""Of a long request so much is pushed at once: a frame a slice would hold a handful each."""
FOLLOWER_STATUS_MS = 200
"""To all that only follow, however many blocks there are: 32 of them cost a block or two."""
SAMPLE_PAUSE_MS = 1_000
"""A sample of the reserve is a synced write: a node that catches up does it for few blocks."""
BEHIND_BLOCKS = 16
"""A node that lacks more takes nothing that peers push: it would verify what final blocks bring,
against a state that refuses most of it. A node that is merely busy lacks one or two."""
Take: TypeAlias = Callable[[Submission], None]
_HELD = frozenset((Reason.ALREADY_KNOWN, Reason.ALREADY_FINAL))

log = logging.getLogger("marsa.driver")


def read_clocks() -> Now:
    """The two clocks of this machine."""
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


def _key(raw: bytes) -> bytes:
    """Under which copies of these bytes are known."""
    return sha256(raw).digest()


class Driver:
    """Owns the engine at run time. Every method runs on the event loop."""

    def __init__(
        self,
        engine: Engine,
        intake: Intake,
        mempool: Mempool,
        directory: Directory,
        history: ReserveHistory,
    ) -> None:
        self.engine = engine
        self.history = history
        self._sampled_ms = 0
        self.network: Network | None = None
        self.snapshots: SnapshotClient | None = None
        self.workers: VerifyWorkers | None = None
        self.events = Events(engine.chain)
        self.serving = SnapshotServing(
            engine.executor.snapshot,
            lambda peer: peer in engine.validators.index_by_key,
            self._give_chunk,
        )
        self.accepts_transactions = True
        self.last_final_ms: int | None = None
        self.timings = Timings()
        self._clock_check = ClockCheck()
        self._key_in_use = False
        self._tell_followers_ms = 0
        self._intake = intake
        self._mempool = mempool
        mempool.on_dropped = self._forget
        self._gossip = Gossip()
        self._allowance = Allowance()
        self.directory = directory
        self._inbox = Inbox()
        self._joining = Joining(engine.chain, engine.guard)
        self._turns = Turns(time.monotonic)
        self._admitting = 0
        engine.is_admitting = self._is_admitting
        self._inbox_ready = asyncio.Event()
        self._wake = asyncio.Event()
        self._waiters = Waiters(mempool)

    def clock_warning(self) -> str:
        """What is wrong with this machine's wall clock, empty when nothing is."""
        head_ms = self.engine.chain.head.header.time_ms
        return self._clock_check.warning(head_ms, read_clocks().wall_ms)

    # What the network asks (p2p.network.Owner).

    def admit(self, link_key: bytes) -> str | RefusedReason:
        """Links of licensed nodes carry consensus, whether they have a seat now or had or will
        have one; what the engine hears on them is judged by the epoch. Others only follow."""
        licence = self.directory.licence(link_key)
        if licence is None:
            return RefusedReason.LICENCE_UNKNOWN
        if licence.state is LicenceState.REVOKED:
            return RefusedReason.LICENCE_INACTIVE
        return licence.grant.id

    @property
    def dropped_bytes(self) -> int:
        """Of transactions that peers sent and that found no room in the inbox."""
        return self._inbox.dropped_bytes

    def height(self) -> int:
        return self.engine.chain.height

    def on_link_up(self, peer: Peer) -> None:
        self._key_in_use = False
        self._links_changed()

    def on_link_down(self, peer: Peer) -> None:
        self._links_changed()

    def on_key_in_use(self) -> None:
        """Validators are linked with another process of this key; f + 1 of them do not lie."""
        if self.network is None:
            return
        telling = believed(self.network.key_in_use_at(), self.engine.validators)
        if not telling:
            return
        if not self._key_in_use:
            self._key_in_use = True
            log.warning("%s", describe_rival(telling))
        if self.engine.guard.distrust_key():
            log.warning("guard %s", self.engine.guard.reason)
            self.engine.review_voting()
            self.tick()

    def on_frame(self, peer: Peer, number: int, payload: bytes) -> None:
        """Everything that a peer sends; Invalid costs the peer points."""
        if number == wire.TXS:
            self._queue(peer.identity, payload, from_follower=not peer.may_consensus)
            return
        key = self.directory.key(peer.identity)
        if number == wire.RESENT:
            if key in self.engine.validators.index_by_key:
                self._queue(peer.identity, payload, resent_by=key)
            return
        if number == wire.FETCH:
            self._answer(key, payload)
            return
        if (
            number == wire.GIVE
            and self.snapshots is not None
            and self.snapshots.take(peer, payload)
        ):
            return
        self.engine.receive(key, number, payload, read_clocks())
        self._after_engine()

    def pause(self, *, is_paused: bool) -> None:
        """Fetch no blocks for now, or again: at once, not with what a peer says a second later."""
        self.engine.sync.pause(is_paused=is_paused)
        if not is_paused:
            self.tick()

    def is_pruned(self, licensed: Collection[bytes], f: int) -> bool:
        """Whether so many peers have pruned the next block that a snapshot is the way."""
        return self.engine.sync.is_pruned(licensed, f)

    def tick(self) -> None:
        """Something outside changed what the engine may do: look at it now."""
        self.engine.tick(read_clocks())
        self._after_engine()

    # Services.

    async def run_timer(self) -> None:
        """Tick the engine at its deadlines."""
        self._look_at_clock()
        while True:
            now = read_clocks()
            wait_s = (self.engine.deadline_ms - now.monotonic_ms) / 1_000
            if wait_s <= 0:
                self.engine.tick(now)
                self._after_engine()
                await asyncio.sleep(0.001)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()

    async def run_inbox(self) -> None:
        """Admit what peers pushed."""
        while True:
            await self._inbox_ready.wait()
            self._inbox_ready.clear()
            pushed = self._inbox.take()
            if pushed is None:  # another reader has it
                continue
            with self._turns.pushing():
                while pushed is not None:
                    self._turns.peers = self.engine.validators.n - 1
                    await self._admit(pushed.raws, pushed, lambda _: None)
                    pushed = self._inbox.take()

    # What the API asks (node.api.services.Intake).

    async def submit(self, raws: Sequence[bytes]) -> Sequence[Submission]:
        """Admit each; a result for each, in order."""
        results: list[Submission] = []
        with self._turns.request(len(raws)) as looked_at:

            def take(result: Submission) -> None:
                looked_at()
                results.append(result)

            await self._admit(raws, None, take)
        return results

    def wait_s(self) -> float:
        """How long what clients submitted will take, or since when a full block has waited."""
        self._look_at_pool()
        return self._turns.wait_s()

    async def check(self, raw: bytes) -> SignedTransaction:
        tx = transaction.decode(raw)
        self._intake.check(tx, read_clocks())
        return tx

    async def wait_final(self, txid: bytes, seconds: float) -> None:
        """Return when the transaction is final or refused, or when the time is over."""
        await self._waiters.wait(txid, seconds)

    # Inside.

    def _links_changed(self) -> None:
        if self.network is None:
            return
        linked = frozenset([self.directory.key(name) for name in self.network.linked()])
        self.engine.connected(linked, read_clocks())
        self._after_engine()

    def _answer(self, peer: bytes, payload: bytes) -> None:
        validators = self.engine.validators
        who = peer if peer in validators.index_by_key else ALL_OTHERS
        now_s = time.monotonic()
        if not self._allowance.may_ask(who, now_s):
            return
        wanted = codec.decode(payload, Fetch, size_max=FETCH_BYTES_MAX).wanted
        if isinstance(wanted, FetchChunk):
            self.serving.ask(peer, wanted)
            return
        begun_s = time.thread_time()
        self.engine.receive(peer, wire.FETCH, payload, read_clocks())
        spent_s = time.thread_time() - begun_s
        self._allowance.charge(who, now_s, spent_s, shares=validators.n)

    def _give_chunk(self, peer: bytes, chunk: GiveChunk) -> None:
        if self.network is not None:
            identity = self.directory.identity(peer)
            self.network.send(identity, wire.GIVE, codec.encode(Give(chunk)))

    def _queue(
        self,
        source: str,
        payload: bytes,
        *,
        resent_by: bytes | None = None,
        from_follower: bool = False,
    ) -> None:
        if self._is_behind():
            self._inbox.dropped_bytes += len(payload)
            return
        self._inbox.put(source, payload, resent_by, from_follower=from_follower)
        self._inbox_ready.set()

    def _is_behind(self) -> bool:
        state = self.engine.replica.state
        takes_snapshot = self.snapshots is not None and self.snapshots.target_height > 0
        return takes_snapshot or state.known_height > state.height + BEHIND_BLOCKS

    async def _admit(self, raws: Sequence[bytes], pushed: Pushed | None, take: Take) -> None:
        """`pushed` is the batch that they came in; None: a client of this node brought them."""
        self._admitting += 1
        try:
            for start in range(0, len(raws), AHEAD_MAX):
                await self._admit_part(raws[start : start + AHEAD_MAX], pushed, take)
                self._push(PUSH_BYTES)
        finally:
            self._admitting -= 1
            self._push()  # what a request that is broken off brought, too
            if len(self._mempool) and not self._is_admitting():
                self.engine.deadline_ms = 0  # the primary waits for no more: the timer looks now
                self._wake.set()

    def _is_admitting(self) -> bool:
        return self._admitting > 0 or len(self._inbox) > 0

    async def _admit_part(self, raws: Sequence[bytes], pushed: Pushed | None, take: Take) -> None:
        """Of many free cores verify the signatures first, while the loop does something else."""
        resent_by = None if pushed is None else pushed.resent_by
        keys = [_key(raw) for raw in raws]
        looked: dict[bytes, Looked] = {}  # by key

        def look(at: int) -> None:
            if keys[at] not in looked and not self._gossip.knows(keys[at]):
                looked[keys[at]] = self._intake.look(raws[at], resent_by=resent_by)

        def look_at_group(group: range) -> None:
            for at in group:
                if len(raws[at]) <= SMALL_BYTES_MAX:
                    look(at)
            self._intake.check_small([looked[keys[at]] for at in group if keys[at] in looked])

        def admit(at: int) -> None:
            if at % GROUP == 0 and self.accepts_transactions:
                look_at_group(range(at, min(at + GROUP, len(raws))))
            take(self._admit_one(raws[at], keys[at], pushed, looked.get(keys[at])))

        is_own, after = pushed is None, self._use_admitted
        if self.workers is not None and len(raws) >= TOGETHER_MIN:
            await self._turns.each(range(len(raws)), look, is_own=is_own, after=after)
            wanted = [item.tx for item in looked.values() if item.tx and not item.refusal]
            with nullcontext() if is_own else self._turns.elsewhere():
                await self.workers.verify(wanted)
        await self._turns.each(range(len(raws)), admit, is_own=is_own, after=after)

    def _admit_one(
        self, raw: bytes, key: bytes, pushed: Pushed | None, looked: Looked | None = None
    ) -> Submission:
        """The result; what is refused is not remembered as seen, for the next block or free room
        may make it right, and the primary must listen when others send it again. What comes from
        outside the mesh of validators, be it through a follower, is pushed to all of them. `looked`
        is what was said of it before its turn."""
        if not self.accepts_transactions:
            refusal = Invalid(Reason.LOW_DISK_SPACE, "the disk of this node is nearly full")
            return Submission(None, refusal=refusal)
        is_new = self._gossip.is_new(key)
        resent_by = None if pushed is None else pushed.resent_by
        if pushed is not None and not is_new and resent_by is None:
            return Submission(None)
        none_waited = len(self._mempool) <= self.engine.executor.in_flight_count()
        looked = looked or self._intake.look(raw, resent_by=resent_by)
        txid = None if looked.tx is None else looked.tx.txid
        try:
            self._intake.admit_looked(looked, read_clocks(), resent_by=resent_by)
        except Invalid as refusal:
            if refusal.reason in _HELD:
                return Submission(txid)
            self._gossip.forget(key)
            return Submission(txid, refusal=refusal)
        if pushed is None or pushed.from_follower:
            self._gossip.push(raw)
        if none_waited:
            self.tick()
        return Submission(txid, is_new=True)

    def _forget(self, tx: SignedTransaction) -> None:
        """The pool dropped it, and the next block may make it right: a copy is not old news."""
        self._gossip.forget(_key(tx.raw))

    def _use_admitted(self) -> None:
        if self.engine.waits_for_transactions:
            self.tick()

    def _push(self, bytes_min: int = 1) -> None:
        """What was admitted, to every validator that is linked, once it is so much."""
        if self.network is None or self._gossip.pending_bytes < bytes_min:
            return
        for payload in self._gossip.take():
            self.network.push(wire.TXS, payload)

    def _after_engine(self) -> None:
        """Tell whoever waits what became final, and re-arm the timer."""
        finalized, self.engine.finalized = self.engine.finalized, []
        for block in finalized:
            now = read_clocks()
            self.last_final_ms = now.monotonic_ms
            self.timings.note(block.header.height, block.header.time_ms, now.wall_ms)
            log.info("decided block=%d txs=%d", block.header.height, len(block.transactions))
            for tx in block.transactions:  # copies that still come need no second look
                self._gossip.is_new(_key(tx.raw))
        if any(map(may_change_licences, finalized)):
            self.directory.refresh()
            if self.network is not None:
                self.network.look_again()
            self._links_changed()
        if finalized:
            self._look_at_pool()
            self.events.publish(finalized)
            self._sample()
            self.engine.accountability.block_came()
            self._tell_followers()
            self._judge_clock(finalized[-1].header.time_ms)
            self._waiters.settle()
            self._announce()
        liars, self.engine.accountability.liars = self.engine.accountability.liars, []
        for name in map(self.directory.licensed, liars):
            if self.network is not None and name is not None:
                self.network.penalise(name, "false proof")
        if self.engine.accountability.offer(self._refusal):
            self._use_admitted()
            self._push()
        self._wake.set()

    def _sample(self) -> None:
        """How issuers stand, for charts; with pauses where many blocks come at once."""
        now_ms, chain = read_clocks().monotonic_ms, self.engine.chain
        if now_ms - self._sampled_ms >= SAMPLE_PAUSE_MS and self.history.is_due(chain):
            self._sampled_ms = now_ms
            self.history.keep(chain)

    def _look_at_pool(self) -> None:
        self._turns.look(full_block_waits=self.engine.oversight.full_block_waits())

    def _refusal(self, tx: SignedTransaction) -> Reason | None:
        refusal = self._admit_one(tx.raw, _key(tx.raw), None).refusal
        return None if refusal is None else refusal.reason

    def _tell_followers(self) -> None:
        """Who gets no votes hears of a block by STATUS alone: soon after it, not within a second.
        What is left out now the STATUS of each second says."""
        now_ms = read_clocks().monotonic_ms
        if self.network is None or self.network.is_observer or now_ms < self._tell_followers_ms:
            return
        followers = [peer for peer in self.network.peers() if not peer.may_consensus]
        if followers:
            self._tell_followers_ms = now_ms + FOLLOWER_STATUS_MS
            payload = codec.encode(make_status(self.engine.replica.state))
            for peer in followers:
                peer.send(wire.STATUS, payload)

    def _announce(self) -> None:
        """Ask for the seat that this node was admitted to, once it may take it."""
        if self.engine.member is not None:
            return
        state = self.engine.replica.state
        is_at_tip = state.synced and state.height >= state.known_height
        tx = self._joining.announcement(is_at_tip=is_at_tip)
        if tx is not None:
            log.info("ready for a seat txid=%s", tx.txid.hex())
            self._admit_one(tx.raw, _key(tx.raw), None)
            self._use_admitted()
            self._push()

    def _judge_clock(self, header_time_ms: int) -> None:
        """Only the newest block says what time it is."""
        state = self.engine.replica.state
        if state.synced and state.height >= state.known_height:
            self._clock_check.saw(header_time_ms, read_clocks().wall_ms)
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        self._clock_check.look(self.engine.chain.head.header.time_ms, read_clocks().wall_ms)
