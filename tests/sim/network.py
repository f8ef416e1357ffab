"""The simulated network: carries encoded bytes, late, twice, in another order or not at all.

Links are directed. A member may run at two addresses (twins): what is sent to it reaches both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from tests.sim.clock import Timeline
from tests.sim.plan import Plan
from tests.sim.trace import Trace

Deliver = Callable[[int, int, int, bytes], None]
"""(to address, from member, message number, payload)"""

MUTED_LOSS = 0.9
"""How much is lost of a kind of message that is muted."""
STRAGGLER = 10
"""Times the latency that a straggling message takes."""


class Network:
    """All links between the addresses of a cluster."""

    def __init__(self, plan: Plan, timeline: Timeline, trace: Trace, deliver: Deliver) -> None:
        self._plan = plan
        self._timeline = timeline
        self._trace = trace
        self._deliver = deliver
        self._rng = Random(f"network/{plan.seed}")
        self._latencies_ms = range(plan.latency_ms[0], plan.latency_ms[1] + 1)
        self._members: dict[int, int] = {}
        self._cuts: dict[int, frozenset[tuple[int, int]]] = {}
        self._cut: frozenset[tuple[int, int]] = frozenset()
        self._last_ms: dict[tuple[int, int], int] = {}
        self._cut_count = 0
        self.muted: dict[int, int | None] = {}
        """Numbers of messages of which most are lost, but not those to this address."""
        self.only: dict[int, int] = {}
        """Numbers of messages that reach this address alone."""
        self.ambushes: dict[int, Callable[[int], None]] = {}
        """What happens at the next message of a number; takes the address that sends it."""
        self.silenced: set[int] = set()
        """Numbers of messages that never arrive."""
        self.is_faulty = False
        """Whether messages are lost, doubled and late; else they only take their time."""

    def join(self, address: int, member: int) -> None:
        self._members[address] = member

    def addresses(self, member: int) -> list[int]:
        return [address for address, owner in self._members.items() if owner == member]

    def cut(self, links: Iterable[tuple[int, int]]) -> int:
        """Cut directed links (from, to) until `mend` with the answer."""
        self._cut_count += 1
        self._cuts[self._cut_count] = frozenset(links)
        self._cut = frozenset().union(*self._cuts.values())
        return self._cut_count

    def mend(self, number: int) -> None:
        self._cuts.pop(number, None)
        self._cut = frozenset().union(*self._cuts.values())

    def heal(self) -> None:
        """From now on every message arrives once, in its time."""
        self._cuts.clear()
        self._cut = frozenset()
        self.is_faulty = False
        self.muted.clear()
        self.only.clear()
        self.ambushes.clear()

    def is_linked(self, one: int, other: int) -> bool:
        """Whether a connection between two addresses would live."""
        return (one, other) not in self._cut and (other, one) not in self._cut

    def send(
        self, source: int, to: int | None, number: int, payload: bytes, *, late_ms: int = 0
    ) -> None:
        """From an address to a member, or to all others; `late_ms` passed before it left."""
        if number in self.ambushes:
            self.ambushes.pop(number)(source)
        sender = self._members[source]
        for address, member in self._members.items():
            if member != sender and (to is None or to == member):
                self._carry(source, sender, address, number, payload, late_ms)

    def _carry(
        self, source: int, sender: int, to: int, number: int, payload: bytes, late_ms: int
    ) -> None:
        if (source, to) in self._cut or number in self.silenced:
            return
        if self.only.get(number, to) != to:
            return
        plan, rng = self._plan, self._rng
        copies = 1
        if self.is_faulty:
            is_muted = number in self.muted and self.muted[number] != to
            loss = max(plan.loss, MUTED_LOSS) if is_muted else plan.loss
            if rng.random() < loss:
                self._trace.line(self._timeline.now_ms, f"a{source}>a{to}", f"lost {number}")
                return
            copies += rng.random() < plan.duplication
        for _ in range(copies):
            due_ms = self._due_ms(source, to, late_ms)
            self._timeline.at(due_ms, lambda: self._deliver(to, sender, number, payload))

    def _due_ms(self, source: int, to: int, late_ms: int) -> int:
        plan, rng = self._plan, self._rng
        latency_ms = rng.choice(self._latencies_ms)
        if self.is_faulty and rng.random() < plan.straggling:
            latency_ms *= STRAGGLER
        due_ms = self._timeline.now_ms + late_ms + latency_ms
        if plan.in_order:
            due_ms = max(due_ms, self._last_ms.get((source, to), 0))
            self._last_ms[source, to] = due_ms
        return due_ms
