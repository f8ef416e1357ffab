"""A whole cluster under virtual time: one seed, one run, all checkers.

Three phases: calm until every honest node has a block; faults for `fault_ms`; then everything
heals but the evil members, and what is pending must become final within `LIVENESS_TIMEOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random

from consensus.replica_state import ReplicaBroken
from ledger.errors import InvariantBroken
from ledger.transaction import SignedTransaction
from node import wal
from node.engine import Engine
from node.vote_guard import Permission
from tests.sim.byzantine import Saboteur
from tests.sim.checkers import Checkers, Violation
from tests.sim.clients import Asked, Clients
from tests.sim.clock import Timeline
from tests.sim.disk import PowerCut
from tests.sim.faults import Faults
from tests.sim.membership import Membership
from tests.sim.network import Network
from tests.sim.node import SimNode
from tests.sim.plan import FAITHFUL, Evil, Plan
from tests.sim.reference import reference_quorum
from tests.sim.saboteurs import make_saboteur
from tests.sim.signatures import Locks, SignatureBook
from tests.sim.trace import Trace
from tests.sim.world import SimWorld, sim_world

STOPS = (OSError, ReplicaBroken, InvariantBroken)
"""What ends the process of a node in good order."""
LIVENESS_TIMEOUTS = 20
"""In so many base timeouts after healing everything pending is final."""
REST_MS = 5_000
"""Views must not move for so long after everything is final."""
CALM_MS = 60_000
"""In so much time without faults anything happens that is to happen at all."""
START_SPREAD_MS = (200, 3_000)
CHECK_MS = 250
SHORT_EPOCH_BLOCKS = 5
"""So few blocks are made while views come to rest."""


class Cluster:
    """All machines, their network and their clients."""

    def __init__(self, plan: Plan, *, printed: bool = False, world: SimWorld | None = None) -> None:
        self.plan = plan
        self.trace = Trace(printed=printed)
        self.timeline = Timeline()
        self.world = world or sim_world(
            plan.n,
            plan.window,
            mocked=plan.mocked,
            epoch_blocks=plan.epoch_blocks,
            epoch_ms=plan.epoch_ms,
        )
        self.checkers = Checkers(self.world)
        self.clients = Clients(self.world, self.checkers.reference, plan.seed)
        self._locks = Locks(self._enough_commits)
        self.network = Network(plan, self.timeline, self.trace, self._deliver)
        self.nodes: dict[int, SimNode] = {}
        self.saboteurs: dict[int, Saboteur] = {}
        self.paused: dict[int, list[Callable[[], None]]] = {}
        self.calm = True
        """Before the faults: evil members still behave."""
        self.healed = False
        self._rng = Random(f"cluster/{plan.seed}")
        self._ticks: dict[int, int] = {}
        lost = {member for member, weak in plan.weak.items() if weak not in FAITHFUL}
        self._unsound = lost | plan.evil.keys()
        for member in range(plan.n):
            self._add_node(member, member)
            if plan.evil.get(member) is Evil.TWINS:
                self._add_node(plan.n + member, member)
        self.faults = Faults(self)
        self.membership = Membership(self, plan.turns, plan.fault_ms)

    def add_joiner(self, address: int, machine: int) -> SimNode:
        """A machine that genesis does not know; it starts now."""
        self._add_node(address, machine)
        node = self.nodes[address]
        self.start(node)
        return node

    def faulty_of(self, names: Iterable[str]) -> int:
        """How many of these licences belong to members that are evil, dead or have bad disks."""
        faulty = {self.world.licence(member) for member in self.plan.evil.keys() | self.plan.weak}
        return len(faulty.intersection(names))

    def _enough_commits(self, epoch: int) -> int:
        """With those of all members that may sign for anything these are a quorum."""
        sets = self.checkers.reference.epochs.sets
        names = {member.licence for member in sets[min(epoch, len(sets) - 1)].members}
        dead = [member for member, evil in self.plan.evil.items() if evil is Evil.DEAD]
        silent = names.intersection(map(self.world.licence, dead))
        return reference_quorum(len(names)) - self.faulty_of(names) + len(silent)

    def _add_node(self, address: int, member: int) -> None:
        evil = self.plan.evil.get(member)
        honest = evil is None or evil is Evil.DEAD
        skew_ms = self.plan.skew_ms
        rng = Random(f"node/{self.plan.seed}/{address}")
        node = SimNode(
            self.world,
            address,
            member,
            lambda: self.timeline.now_ms,
            lambda to, number, payload: self._post(address, to, number, payload),
            rng,
            skew_ms=rng.randint(-skew_ms, skew_ms),
            book=self._book(member) if honest else None,
            drift_permille=rng.randint(-self.plan.drift_permille, self.plan.drift_permille),
        )
        node.admitting = self.plan.admitting
        self.nodes[address] = node
        self.network.join(address, member)
        if evil is not None and not honest:
            self.saboteurs[address] = make_saboteur(evil, node, self)

    def _book(self, member: int) -> SignatureBook:
        is_weak = member in self.plan.weak
        return SignatureBook(self.world.chain_id, member, self._locks, is_weak=is_weak)

    # Questions.

    @property
    def now_ms(self) -> int:
        return self.timeline.now_ms

    def honest(self) -> list[SimNode]:
        """Nodes that follow the protocol, dead ones included."""
        return [node for node in self.nodes.values() if node.book is not None]

    def live(self) -> list[SimNode]:
        """Honest nodes that are up."""
        return [node for node in self.honest() if node.engine is not None]

    def lasting(self) -> list[SimNode]:
        """Honest nodes that outlive the faults with what they know."""
        return [node for node in self.honest() if node.member not in self._unsound]

    # Phases.

    def run(self) -> None:
        """The whole seed; raises Violation."""
        self.begin()
        self.network.is_faulty = True
        self.faults.begin()
        self.membership.begin()
        self.pass_ms(self.plan.fault_ms)
        self.heal()
        self.finish()

    def begin(self) -> None:
        """All machines start, agree on a first block and may vote; from then on evil is evil."""
        spread_ms = self._rng.choice(START_SPREAD_MS)
        for node in [item for item in self.nodes.values() if item.address < self.plan.n]:
            delay_ms = self._rng.randint(0, spread_ms)
            self.timeline.at(delay_ms, lambda node=node: self.start(node))
        self._load()
        self.until(self._has_begun, CALM_MS, "the first block, and all to vote")
        self.calm = False
        for address, node in self.nodes.items():
            if address >= self.plan.n:
                node.become_twin(self.nodes[node.member])
                self.start(node)

    def heal(self) -> None:
        """No more faults but those of evil members, and no more load."""
        self.faults.end()
        self.healed = True
        self.trace.line(self.now_ms, "cluster", "healed")

    def finish(self) -> None:
        """What is pending becomes final, views come to rest, and every stored chain is right."""
        self.until(self.is_settled, self._liveness_ms(), "everything pending to be final")
        self.until(self.faults.weak.are_whole, CALM_MS, "bad disks to be replaced")
        self._come_to_rest()
        for node in [node for node in self.honest() if node.engine is not None]:
            self.checkers.whole_chain(node.address, node.engine.chain)

    def _liveness_ms(self) -> int:
        """Base time-outs, and for each bad primary one as long as the faults have made it."""
        base_ms = self.world.genesis.parameters.view_timeout_ms
        states = [node.engine.replica.state for node in self.lasting() if node.engine]
        longest_ms = max([state.timeout_ms for state in states], default=base_ms)
        return LIVENESS_TIMEOUTS * base_ms + len(self._unsound) * longest_ms

    def pass_ms(self, duration_ms: int) -> None:
        """Let virtual time pass."""
        end_ms = self.now_ms + duration_ms
        self.until(lambda: self.now_ms >= end_ms, duration_ms + CALM_MS, "time to pass")

    def until(self, condition: Callable[[], bool], limit_ms: int, what: str) -> None:
        timeline = self.timeline
        end_ms, check_ms = timeline.now_ms + limit_ms, 0
        while True:
            now_ms = timeline.now_ms
            if now_ms >= check_ms:
                if condition():
                    return
                check_ms = now_ms + CHECK_MS
            if now_ms > end_ms:
                detail = f"waited {limit_ms} ms for {what}: {self.describe()}"
                raise Violation("liveness", "cluster", detail)
            timeline.step()

    def _come_to_rest(self) -> None:
        """Soon views stay where they are while a new transaction becomes final.

        An evil primary may spoil a round; then its view ends, and at most f are evil. Where a round
        ends an epoch, another primary begins: such a round counts once for each member. A view that
        nobody has entered yet, because nothing was pending, ends first: that takes as long as
        anything pending would.
        """
        if not all(active for _, active in self._views()):
            self._make_coin()
            self.until(self.is_settled, self._liveness_ms(), "a new transaction to be final")
        rounds = self.world.validators.f + 2
        if self.plan.epoch_blocks <= SHORT_EPOCH_BLOCKS:
            rounds += self.world.validators.n
        for _ in range(rounds):
            views = self._views()
            self._make_coin()
            self.pass_ms(REST_MS)
            if self._views() == views and self.is_settled():
                return
        raise Violation("views at rest", "cluster", self.describe())

    def _make_coin(self) -> None:
        self.until(lambda: bool(self.clients.make(self.now_ms, cheat=False)), CALM_MS, "a coin")

    def _views(self) -> list[tuple[int, bool]]:
        states = [node.engine.replica.state for node in self.lasting() if node.engine]
        return [(state.view, state.active) for state in states]

    def _all_at(self, height: int) -> bool:
        engines = [node.engine for node in self.lasting()]
        return all(engine is not None and engine.chain.height >= height for engine in engines)

    def _has_begun(self) -> bool:
        engines = [node.engine for node in self.lasting() if node.engine is not None]
        may_vote = all(engine.guard.permission is Permission.ALLOWED for engine in engines)
        return self._all_at(1) and may_vote

    def is_settled(self) -> bool:
        return not self.clients.asked and self._all_at(self.checkers.height)

    def describe(self) -> str:
        """Where everybody stands, for a failure."""
        parts = [f"pending {len(self.clients.asked)}"]
        for node in self.nodes.values():
            if node.engine is None:
                parts.append(f"n{node.address} down")
                continue
            state = node.engine.replica.state
            parts.append(
                f"n{node.address}{'' if node.book else ' evil'} view={state.view}"
                f"{'' if state.active else '?'} height={state.height}"
                f" pool={len(node.engine.mempool)} {node.engine.guard.permission.name}"
                f"{'' if state.synced else ' not synced'} T={state.timeout_ms}"
            )
        return "; ".join(parts)

    # Nodes.

    def start(self, node: SimNode) -> None:
        """Bring a machine up."""
        if node.engine is not None:
            return
        self.act(node, "start", node.start)
        if node.engine is None:
            return
        if node.book is None:
            node.vote_anyway()
        else:
            new = self.checkers.started(node.address, node.engine.chain, whole=node.is_damaged)
            self._final(node, new)
        self._schedule(node)
        self.reconnect()

    def crash(self, node: SimNode) -> None:
        """Cut the power between two events."""
        if node.engine is not None:
            self._go_down(node, "crash")

    def _go_down(self, node: SimNode, why: str) -> None:
        self.trace.line(self.now_ms, self._where(node), why)
        node.crash()
        self.faults.crashed(node)
        self.reconnect()

    def reconnect(self) -> None:
        """Tell every node whom it is linked with, as closed and new connections do."""
        for node in list(self.nodes.values()):
            self.timeline.after(1, lambda node=node: self._tell_connected(node))

    def _tell_connected(self, node: SimNode) -> None:
        if node.engine is None:
            return
        up = {other.member for other in self.nodes.values() if self._is_linked(node, other)}
        members = frozenset(up | {node.member})
        if node.linked != members:
            shown = ",".join(map(str, sorted(members)))
            self.act(node, f"connected {shown}", lambda: node.connected(members))

    def _is_linked(self, one: SimNode, other: SimNode) -> bool:
        if other.engine is None:
            return False
        return not self.plan.notices_cuts or self.network.is_linked(one.address, other.address)

    def act(self, node: SimNode, what: str, action: Callable[[], None]) -> None:
        """One event of a node and what must hold after it; a message has its line already."""
        if node.address in self.paused:
            self.paused[node.address].append(lambda: self.act(node, what, action))
            return
        if what != "start" and node.engine is None:
            return
        if what:
            self.trace.line(self.now_ms, self._where(node), what)
        try:
            node.run(action)
        except PowerCut:
            self._go_down(node, f"power cut at {node.cut_at}")
            return
        except Violation:
            raise
        except Exception as error:
            if node.book is None:
                self.trace.line(self.now_ms, self._where(node), f"evil node broke: {error!r}")
                node.crash()
                return
            if not self._may_stop(node, error):
                raise Violation(type(error).__name__, f"node {node.address}", str(error)) from error
            self._go_down(node, f"stopped: {error}")
            return
        self._after(node, what)

    def _may_stop(self, node: SimNode, error: Exception) -> bool:
        """A node ends its process where its disk fails or lies, and nowhere else."""
        if isinstance(error, OSError) and node.trouble:
            return True
        return node.is_damaged and isinstance(error, STOPS)

    def _after(self, node: SimNode, what: str) -> None:
        engine = node.engine
        if engine is None:
            return
        if engine.finalized:
            engine.accountability.block_came()
        if engine.accountability.liars:
            self._judge_liars(node, engine)
        if node.book is not None and engine.accountability.accusations:
            self.timeline.after(1, lambda: self.act(node, "accuses", node.accuse))
        if node.lag_ms:
            self.faults.stall(node, node.lag_ms)
            node.lag_ms = 0
        if engine.finalized:
            if node.book is not None:
                whole = not node.is_damaged
                self._final(node, self.checkers.finalized(node.address, engine, whole=whole))
            engine.finalized.clear()
            if node.book is not None and engine.member is None:
                self.timeline.after(1, lambda: self.act(node, "", node.announce))
        if node.book is not None:
            self.checkers.bounds(node.address, engine, whole=not node.is_damaged)
            if what == "tick" and node.wake_ms <= self.now_ms:
                detail = f"asks to be woken at {node.wake_ms}, it is {self.now_ms}"
                raise Violation("busy loop", f"node {node.address}", detail)
        self._schedule(node)

    def _judge_liars(self, node: SimNode, engine: Engine) -> None:
        """Who is charged for a false proof is evil: honest members send none, whatever happens."""
        for key in engine.accountability.liars:
            if node.book is not None and self.world.machine(key) not in self.plan.evil:
                detail = f"is charged for a false proof by node {node.address}"
                raise Violation("honest", f"node {self.world.machine(key)}", detail)
        engine.accountability.liars.clear()

    def _final(self, node: SimNode, transactions: list[SignedTransaction]) -> None:
        height = node.engine.chain.height if node.engine else 0
        self.trace.line(self.now_ms, self._where(node), f"final {height}")
        self.clients.final(transactions)

    def _schedule(self, node: SimNode) -> None:
        if node.engine is None:
            return
        wake_ms = max(node.wake_ms, self.now_ms + 1)
        if self._ticks.get(node.address) == wake_ms:
            return
        self._ticks[node.address] = wake_ms
        incarnation = node.incarnation
        self.timeline.at(wake_ms, lambda: self._tick(node, wake_ms, incarnation))

    def _tick(self, node: SimNode, wake_ms: int, incarnation: int) -> None:
        current = self._ticks.get(node.address) == wake_ms
        if current and node.engine is not None and node.incarnation == incarnation:
            del self._ticks[node.address]
            self.act(node, "tick", node.tick)

    def _where(self, node: SimNode) -> str:
        if node.engine is None:
            return f"n{node.address} down"
        state = node.engine.replica.state
        return f"n{node.address} v{state.view}{'' if state.active else '?'} h{state.height}"

    # Messages.

    def _post(self, address: int, to: int | None, number: int, payload: bytes) -> None:
        saboteur = self.saboteurs.get(address)
        if saboteur is None or self.calm:
            late_ms = self.nodes[address].lag_ms
            self.network.send(address, to, number, payload, late_ms=late_ms)
        else:
            for item in saboteur.outgoing(to, number, payload):
                self.network.send(address, *item)

    def _deliver(self, address: int, sender: int, number: int, payload: bytes) -> None:
        node = self.nodes[address]
        if node.engine is None:
            return
        saboteur = self.saboteurs.get(address)
        if saboteur is not None and not self.calm:
            for item in saboteur.incoming(sender, number, payload):
                self.network.send(address, *item)
        self.trace.message(self.now_ms, self._where(node), sender, number, payload)
        self.act(node, "", lambda: node.receive(sender, number, payload))

    # Load.

    def _load(self) -> None:
        if not self.healed:
            cheat = self.plan.double_spends and self._rng.random() < 0.2
            if not self.calm:
                self.clients.make(self.now_ms, cheat=cheat)
                if self.plan.economy:
                    self.clients.manage(self.now_ms)
            gap_ms = self.plan.load_gap_ms
        else:
            gap_ms = 100
        up = [node for node in self.live() if node.address not in self.paused]
        for item in self.clients.due(self.now_ms) if up else ():
            node = self._rng.choice(up)
            self._submit(node, item)
        self.timeline.after(self._rng.randint(1, 2 * gap_ms), self._load)

    def _submit(self, node: SimNode, item: Asked) -> None:
        def submit() -> None:
            reason = node.submit(item.tx.raw)
            if reason:
                self.clients.refused(item, reason)

        if item.tx.txid in self.clients.asked:
            self.act(node, f"client {item.tx.txid.hex()[:8]}", submit)


@contextmanager
def small_logs(size_bytes: int | None) -> Iterator[None]:
    """Let the logs of a run rotate early."""
    kept = wal.LOG_BYTES_ROTATE
    wal.LOG_BYTES_ROTATE = kept if size_bytes is None else size_bytes
    try:
        yield
    finally:
        wal.LOG_BYTES_ROTATE = kept
