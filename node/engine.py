"""The engine: carries out what a replica asks for, in one order and in this one place.

Persist, sign, send, execute, append. Synchronous and without a clock: the node's driver and the
simulator call the same methods with the time. Whatever fails on this machine (disk, a broken
invariant) is raised and ends the process; whatever comes from outside raises `Invalid` to whoever
handed it in, and nothing has changed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from consensus.effects import (
    CaughtUp,
    Connected,
    Decided,
    Distrusted,
    Event,
    Execute,
    Executed,
    Now,
    Output,
    Pending,
    Proposed,
    Received,
    Signed,
    Tick,
    VoteRequest,
    VotingAllowed,
    VotingStopped,
)
from consensus.messages import MESSAGE_BY_TYPE, Message, NewViewBody, Status, ViewChangeBody
from consensus.replica import Replica
from consensus.replica_state import Restored
from consensus.view_change import Rules
from ledger import codec
from ledger.block import PREPARE, Block, Certificate, Header, header_hash
from ledger.chain import Chain
from ledger.mempool import Mempool
from ledger.objects import load_one
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from ledger.validators import ValidatorSet
from ledger.witnesses import Witnesses
from node import serving
from node.accountability import Accountability
from node.bodies import Bodies
from node.building import ExecutedBlock
from node.epochs import EarlyMessages, epoch_of, rules_after
from node.executor import BlockExecutor
from node.fetching import (
    FETCH_BYTES_MAX,
    GIVE_BYTES_MAX,
    Fetch,
    Give,
    GiveBody,
    GivePruned,
    GiveRange,
    GiveTransactions,
    Wanted,
)
from node.guards import Guard
from node.oversight import Oversight
from node.sync import SyncPlan
from node.verify import Verifier
from node.vote_guard import Refused
from p2p.gossip import batches
from p2p.wire import RESENT

MESSAGE_BYTES_MAX = 1 << 20  # NEW-VIEW; the link enforces each message's own limit before

log = logging.getLogger("marsa.engine")


class Outbox(Protocol):
    """Where messages go; never blocks, drops what a peer does not take."""

    def send(self, to: bytes | None, number: int, payload: bytes) -> None:
        """To the peer with this consensus key or other name, or to all."""


@dataclass(frozen=True, slots=True)
class FinalizedBlock:
    """What became final, for whoever waits for it; `objects` that changed, None for removed."""

    header: Header
    certificate: Certificate
    transactions: list[SignedTransaction]
    objects: Mapping[bytes, bytes | None]


class Engine:
    """One node's core: replica, guard, pool and chain, driven by `now`.

    Peers are named by their consensus keys; what has none has another name. Replicas count
    members by their place in the set of one epoch: with each epoch comes another replica.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        chain: Chain,
        mempool: Mempool,
        verifier: Verifier,
        guard: Guard,
        outbox: Outbox,
        witnesses: Witnesses,
        now: Now,
    ) -> None:
        self.chain = chain
        self.mempool = mempool
        self.guard = guard
        self._outbox = outbox
        self.sync = SyncPlan(rules, guard.public)
        self.executor = BlockExecutor(chain, mempool, verifier, load_one(chain, Parameters))
        patience_ms = rules.timing.view_timeout_ms
        self.oversight = Oversight(chain, mempool, self.executor.load, patience_ms, now)
        self._early = EarlyMessages()
        self._linked: frozenset[bytes] = frozenset()
        self.accountability = Accountability(chain.chain_id, witnesses)
        self._inbox: deque[Event] = deque()
        self._outputs: list[Output] = []  # of this turn, those with effects
        self._replica_deadline_ms = now.monotonic_ms
        self._parent: bytes | None = None  # of the next proposal, as found at the end of this turn
        self._pending_since_ms: int | None = None
        self.is_admitting: Callable[[], bool] = lambda: False  # checks more at this moment
        self.finalized: list[FinalizedBlock] = []
        self.heights: dict[bytes, int] = {}
        """Of the other members, as their last STATUS proved."""
        self._begin_epoch(rules, guard.restored(chain.height), (), now)
        self.deadline_ms = now.monotonic_ms

    @property
    def validators(self) -> ValidatorSet:
        """Of the present epoch."""
        return self._rules.validators

    @property
    def member(self) -> int | None:
        """This node's place among them; None while it has no seat."""
        return self.replica.state.member

    @property
    def waits_for_transactions(self) -> bool:
        """A proposal lacks some: what the pool takes in now may complete it."""
        return len(self._bodies) > 0

    # What happens to a node.

    def receive(self, peer: bytes, number: int, payload: bytes, now: Now) -> None:
        """A frame from a peer; raises Invalid when it is none of ours."""
        if number == Fetch.TYPE:
            wanted = codec.decode(payload, Fetch, size_max=FETCH_BYTES_MAX).wanted
            self._serve(peer, wanted)
            return
        if number == Give.TYPE:
            self._take(peer, codec.decode(payload, Give, size_max=GIVE_BYTES_MAX), now)
            return
        kind = MESSAGE_BY_TYPE.get(number)
        if kind is None:
            raise Invalid(Reason.MALFORMED, f"message number {number}")
        message: Message = codec.decode(payload, kind, size_max=MESSAGE_BYTES_MAX)
        validators = self._rules.validators
        if epoch_of(message) > validators.epoch:
            self._hear_ahead(peer, message)
        elif peer in validators.index_by_key:
            self._inbox.append(Received(validators.index_by_key[peer], message))
        self._run(now)

    def tick(self, now: Now) -> None:
        """The deadline passed, or the pool changed."""
        self._inbox.append(Tick())
        self._run(now)

    def connected(self, peers: frozenset[bytes], now: Now) -> None:
        """The peers that are linked now."""
        self._linked = peers
        self.sync.note_links(peers)
        self._note_links()
        self._run(now)

    def review_voting(self) -> None:
        """Tell the replica whether the guard signs now. The next `tick` acts on it.

        Called whenever the answer may have changed; nothing else lets a replica vote.
        """
        if self.guard.can_sign:
            self._inbox.append(VotingAllowed(self.guard.vote_above, self.guard.view_min))
        else:
            self._inbox.append(VotingStopped())

    # Epochs.

    def _begin_epoch(
        self, rules: Rules, restored: Restored, heard: Iterable[int], now: Now
    ) -> None:
        """A replica of its own for the epoch, on top of the chain."""
        self._rules = rules
        chain = self.chain
        member = self.validators.index_by_key.get(self.guard.public)
        others = tuple(index for index in range(self.validators.n) if index != member)
        self._bodies = Bodies(self.mempool.get_by_wtxid, others)
        self.replica = Replica(
            rules,
            member,
            chain.head.header,
            chain.certificate(chain.height),
            restored,
            now,
            heard,
        )

    def _enter_epoch(self, now: Now) -> None:
        """The last block of an epoch was appended: all that was under way in it is void.

        Whoever was heard in it is heard: it stood below the block that all begin with.
        """
        before = self.replica.state
        keys = {self._key_of(index) for index in before.status_from}
        rules = rules_after(self._rules, self.chain)
        index_by_key = rules.validators.index_by_key
        heard = [index for key, index in index_by_key.items() if key in keys]
        self._inbox.clear()
        self.guard.enter_epoch(rules, self.chain.height)
        self.sync.enter_epoch(rules)
        self.oversight.forget()
        self._begin_epoch(rules, self.guard.restored(self.chain.height), heard, now)
        log.info("epoch %d begins members=%d", rules.epoch, rules.validators.n)
        self.review_voting()
        self._note_links()
        self._inbox.append(Pending(self._pending_since_ms))
        for peer, message in self._early.take():
            if peer in index_by_key and epoch_of(message) == rules.epoch:
                self._inbox.append(Received(index_by_key[peer], message))

    def _hear_ahead(self, peer: bytes, message: Message) -> None:
        """Of a later epoch: nothing that it says can be proved yet."""
        if isinstance(message, Status):
            self.sync.hear_claim(peer)
        elif epoch_of(message) == self._rules.epoch + 1:
            self._early.keep(peer, message)

    def _note_links(self) -> None:
        index_by_key = self.validators.index_by_key
        linked = {index_by_key[key] for key in self._linked if key in index_by_key}
        own = set() if self.member is None else {self.member}
        self._inbox.append(Connected(frozenset(linked | own)))

    def _key_of(self, member: int) -> bytes:
        return self.validators.members[member].key

    # The loop.

    def _run(self, now: Now) -> None:
        self._note_pending()
        self._hear_self()
        self._watch_primary(now)
        while True:
            while self._inbox:
                self._step(self._inbox.popleft(), now)
            self._carry_out(now)
            if not self._inbox and not self._apply_next_final(now) and not self._propose(now):
                break
        if len(self.executor.executed) > len(self.replica.state.executed):
            self.executor.keep(self.replica.state.executed)
        self._ask_peers(now)
        self._set_deadline(now)

    def _step(self, event: Event, now: Now) -> None:
        """Most steps ask for nothing: only those that do are carried out."""
        output = self.replica.step(event, now)
        self.accountability.entered(self.replica.state.new_view)
        self._replica_deadline_ms = output.deadline_ms
        if output.has_effects:
            self._outputs.append(output)
        if isinstance(event, Received) and isinstance(event.message, Status):
            self._hear(event.sender, event.message)

    def _carry_out(self, now: Now) -> None:
        """Persist, sign, send, execute, append: each for all steps of the turn together."""
        outputs, self._outputs = self._outputs, []
        if not outputs:
            self._execute_complete()
            return
        for output in outputs:
            for request in output.votes:
                self._stage(request)
        self._inbox.extend([Signed(message) for message in self.guard.flush()])
        for output in outputs:
            for item in output.send:
                to = None if item.to is None else self._key_of(item.to)
                self._outbox.send(to, item.message.TYPE, codec.encode(item.message))
        for output in outputs:
            for wanted in output.execute:
                self._assemble(wanted, now)
        self._execute_complete()
        for output in outputs:
            for ask in output.catch_up:
                self.sync.want(self._key_of(ask.member), ask.certificate)
            for conflict in output.evidence:
                self.accountability.found(conflict, self.validators, self.chain.height, now)
            self.accountability.liars += map(self._key_of, output.liars)
        for output in outputs:  # last, for the end of an epoch ends all of this
            for decided in output.decided:
                self._append(decided, now)

    # Persist and sign.

    def _stage(self, request: VoteRequest | ViewChangeBody | NewViewBody) -> None:
        block = None
        if isinstance(request, VoteRequest) and request.payload.phase == PREPARE:
            block = self.executor.executed[request.payload.block_hash].block
        try:
            self.guard.stage(request, synced=self.replica.state.synced, block=block)
        except Refused as refusal:
            log.warning("vote refused: %s", refusal)

    def _hear(self, sender: int, status: Status) -> None:
        """The guard counts a STATUS once the replica found its height proved."""
        state = self.replica.state
        if status.epoch != self._rules.epoch:
            return
        if sender not in state.status_from or status.height > state.known_height:
            return
        self.heights[self._key_of(sender)] = status.height
        if self.guard.hear(sender, status):
            self._on_permission()

    def _hear_self(self) -> None:
        if self.guard.hear_self(self.chain.height):
            self._on_permission()

    def _on_permission(self) -> None:
        if self.guard.can_sign:
            log.info("guard %s", self.guard.permission.value)
        else:
            log.warning("guard %s", self.guard.reason)
        self.review_voting()

    # Execute.

    def _assemble(self, wanted: Execute, now: Now) -> None:
        if wanted.block_hash in self.executor.executed:
            self._inbox.append(Executed(wanted.header, wanted.block_hash, None))
            return
        self._bodies.want(
            wanted.block_hash, wanted.header, wanted.leaves, wanted.sources, now.monotonic_ms
        )
        logged = self.guard.block(wanted.block_hash)
        if logged is not None:
            self._bodies.give_body(GiveBody(logged), wanted.block_hash)

    def _execute_complete(self) -> None:
        if not self._bodies:
            return
        for assembly in self._bodies.complete():
            if assembly.header.height <= self.chain.height:
                continue
            view = self.executor.view_of(assembly.header.parent_hash)
            if view is None:  # its parent's body is still on the way
                self._bodies.put_back(assembly)
                continue
            reason = self.executor.execute(assembly, view)
            self._inbox.append(Executed(assembly.header, assembly.block_hash, reason))

    # Append.

    def _append(self, decided: Decided, now: Now) -> None:
        executed = self.executor.executed.get(decided.block_hash)
        if decided.header.height <= self.chain.height:
            return
        assert executed is not None, "decided before it was executed"
        self._append_executed(executed, decided.certificate, now)
        self.oversight.decided(executed.transactions, now)

    def _append_executed(self, executed: ExecutedBlock, certificate: Certificate, now: Now) -> None:
        header = executed.block.header
        self.executor.append(executed, certificate)
        self.guard.committed(header.height)
        self._bodies.drop_through(header.height)
        transactions, objects = executed.transactions, executed.changes.objects
        self.finalized.append(FinalizedBlock(header, certificate, transactions, objects))
        if header.ends_epoch:
            self._enter_epoch(now)

    def _apply_next_final(self, now: Now) -> bool:
        """One block of a catch-up: header and body are proved already; executed and appended here.

        One that fails is our fault, not the giver's: a quorum stands behind it.
        """
        item = self.sync.next_block(self.chain.height)
        if item is None:
            return False
        executed = self.executor.execute_final(item)
        self._append_executed(executed, item.certificate, now)
        self.oversight.forget()
        self._inbox.appendleft(CaughtUp(item.block.header, item.certificate))
        return True

    # Propose.

    def _propose(self, now: Now) -> bool:
        parent = self.replica.parent_to_extend(now)
        self._parent = None if parent is None else parent[0]
        if self._parent is None or not self._is_due(self._parent, now):
            return False
        view = self.executor.view_of(self._parent)
        if view is None:
            return False
        executed = self.executor.build(view, self.guard.public, now)
        if not executed.transactions and not self.replica.heartbeat_due(now):
            return False
        header = executed.changes.head.header
        self.executor.executed[executed.changes.head.hash] = executed
        leaves = tuple([tx.wtxid for tx in executed.transactions])
        self._inbox.append(Proposed(header, leaves))
        return True

    def _is_due(self, parent: bytes, now: Now) -> bool:
        due_ms = self._ripe_ms(parent)
        is_ripe = due_ms is not None and now.monotonic_ms >= due_ms
        return is_ripe or self.replica.heartbeat_due(now)

    def _ripe_ms(self, parent: bytes) -> int | None:
        final_ms, is_busy = self.replica.state.progress_ms, self.is_admitting()
        return self.executor.ripe_ms(parent, final_ms=final_ms, is_busy=is_busy)

    # Peers.

    def _serve(self, peer: bytes, wanted: Wanted) -> None:
        held, find = self.executor.snapshot, self.mempool.get_by_wtxid
        given = serving.answer(wanted, self.chain, held, find, self._find_block)
        if given is not None:
            self._outbox.send(peer, Give.TYPE, codec.encode(Give(given)))

    def _take(self, peer: bytes, message: Give, now: Now) -> None:
        try:
            match message.given:
                case GiveTransactions() as given:
                    self._bodies.give_transactions(given)
                case GiveBody() as given:
                    self._bodies.give_body(given, header_hash(given.block.header))
                case GiveRange() as given:
                    self.sync.give(peer, given)
                    self._fetch(self.sync.request_ahead(now.monotonic_ms))
                case GivePruned() as given:
                    self.sync.hear_pruned(peer, given)
        finally:
            self._run(now)  # whatever was wrong with it, somebody else is asked

    def _ask_peers(self, now: Now) -> None:
        if self._bodies:
            for member, wanted in self._bodies.requests(now.monotonic_ms):
                self._outbox.send(self._key_of(member), Fetch.TYPE, codec.encode(Fetch(wanted)))
        self._fetch(self.sync.request(self.chain.height, now.monotonic_ms))

    def _fetch(self, request: tuple[bytes, Wanted] | None) -> None:
        if request is not None:
            self._outbox.send(request[0], Fetch.TYPE, codec.encode(Fetch(request[1])))

    def _note_pending(self) -> None:
        since_ms = self.mempool.oldest_since_ms
        if since_ms != self._pending_since_ms:
            self._pending_since_ms = since_ms
            self._inbox.appendleft(Pending(since_ms))  # a tick must not judge by an old one

    def _watch_primary(self, now: Now) -> None:
        state = self.replica.state
        late = [tx.raw for tx in self.oversight.watch(state, now)]
        for payload in batches(late):
            self._outbox.send(self._key_of(state.primary), RESENT, payload)
        if self.oversight.cause != state.distrust:
            self._inbox.append(Distrusted(self.oversight.cause))
            if self.oversight.cause:
                log.warning("primary suspected: %s", self.oversight.cause)

    def _set_deadline(self, now: Now) -> None:
        """What was due already was done or waits for another event, never for the clock."""
        due_ms = self._replica_deadline_ms
        body_ms = self._bodies.deadline_ms() if self._bodies else None
        if body_ms is not None and body_ms < due_ms:
            due_ms = body_ms
        range_ms = self.sync.deadline_ms()
        if range_ms is not None and range_ms < due_ms:
            due_ms = range_ms
        block_ms = None if self._parent is None else self._ripe_ms(self._parent)
        if block_ms is not None and now.monotonic_ms < block_ms < due_ms:
            due_ms = block_ms
        self.deadline_ms = due_ms

    def _find_block(self, block_hash: bytes) -> Block | None:
        executed = self.executor.executed.get(block_hash)
        return executed.block if executed is not None else self.guard.block(block_hash)
