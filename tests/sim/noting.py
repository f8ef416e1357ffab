"""A cluster that is watched: what its trace says, what was sent and what came of it, which machines
were down, and what an evil member's engine wanted to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from p2p.wire import PRE_PREPARE
from tests.sim.cluster import Cluster
from tests.sim.node import SimNode
from tests.sim.plan import Plan, draw_plan

REST_MS_MAX = 500
"""No machine of a calm cluster has nothing to do for so long."""
Links = frozenset[tuple[int, int]]


@dataclass(slots=True, eq=False)
class Letter:
    """One message on its way to one address, and what became of it."""

    source: int
    to: int
    number: int
    payload: bytes
    sent_ms: int
    under: str
    """What the link was asked to do to it: "cut", "mute", "spare" (those of a muted kind to the one
    member that hears them all) or nothing."""
    came_ms: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cut:
    """Links that were asked to be cut, and who had proposed last."""

    links: Links
    proposer: int


class Sent(NamedTuple):
    """One message that left an address, to a member or (None) to all others."""

    now_ms: int
    to: int | None
    number: int
    payload: bytes


@dataclass(slots=True, eq=False)
class Wish:
    """What an engine wanted to send, and what left for it in the same moment."""

    address: int
    wanted: Sent
    left: list[Sent] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        return self.left == [self.wanted]

    @property
    def is_changed(self) -> bool:
        """Something left, and not only what was wanted, to whomever."""
        return any(item[2:] != self.wanted[2:] for item in self.left)


class Watched(Cluster):
    """Keeps what its trace says."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.said: list[str] = []
        line = self.trace.line

        def keep(now_ms: int, where: str, what: str) -> None:
            self.said.append(what)
            line(now_ms, where, what)

        self.trace.line = keep  # type: ignore[method-assign]

    def count(self, text: str) -> int:
        return sum(text in what for what in self.said)


def calm_plan(**changes: object) -> Plan:
    """Four members and nothing that goes wrong, but for what the test names."""
    plan = replace(
        draw_plan(0),
        n=4,
        window=1,
        mocked=True,
        latency_ms=(1, 5),
        loss=0,
        duplication=0,
        straggling=0,
        evil={},
        weak={},
        episodes=(),
        episode_gap_ms=500,
        fault_ms=20_000,
        load_gap_ms=100,
        double_spends=False,
        skew_ms=0,
        drift_permille=0,
        fsync_ms=0,
        log_bytes_rotate=None,
        epoch_blocks=1_000,
        turns=(),
        admitting=0.0,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


class Noted(Watched):
    """Keeps every message, every cut, every start and end of a process, when each machine was at
    work and what each engine wanted to send. What it notes changes no run."""

    def __init__(self, plan: Plan) -> None:
        self.letters: list[Letter] = []
        """In the order of sending."""
        self.arrived: list[Letter] = []
        """In the order of arrival."""
        self.faulty: list[Letter] = []
        """Those that were sent while faults lasted."""
        self.cuts: list[Cut] = []
        self.lives: list[tuple[int, int, str]] = []
        """When, at which address, and "up" or why it went down."""
        self.worked: Counter[tuple[int, int]] = Counter()
        """How many events at which address and when."""
        self.unread = 0
        """Messages that came to a machine that was down, since all had begun."""
        self.fewest_up = plan.n
        """How many machines were up when the fewest were."""
        self.wishes: list[Wish] = []
        """In the order of sending, since all had begun."""
        self.unasked: list[tuple[int, Sent]] = []
        """What left an address though its engine wanted nothing at that moment."""
        self._wish: Wish | None = None
        self._on_way: dict[int, Letter] = {}
        self._asked: dict[int, Links] = {}
        super().__init__(plan)
        network = self.network
        self._carry, network._carry = network._carry, self._note_carry  # type: ignore[method-assign]
        self._send, network.send = network.send, self._note_send  # type: ignore[method-assign]
        self._cut, network.cut = network.cut, self._note_cut  # type: ignore[method-assign]
        self._mend, network.mend = network.mend, self._note_mend  # type: ignore[method-assign]

    def heal(self) -> None:
        self.faulty = [letter for letter in self.letters if letter.sent_ms >= self.begun_ms]
        self._asked.clear()
        self.healed_ms = self.now_ms
        super().heal()

    def begin(self) -> None:
        super().begin()
        self.begun_ms = self.now_ms + 1

    def start(self, node: SimNode) -> None:
        was_down = node.engine is None
        super().start(node)
        if was_down and node.engine is not None:
            self.lives.append((self.now_ms, node.address, "up"))

    def _go_down(self, node: SimNode, why: str) -> None:
        self.lives.append((self.now_ms, node.address, why))
        super()._go_down(node, why)
        self.fewest_up = min(self.fewest_up, len(self._up()))

    def downs(self) -> list[tuple[int, int, str]]:
        return [item for item in self.lives if item[2] != "up"]

    def together(self, within_ms: int) -> int:
        """How many machines went down within so much time, at most."""
        downs = self.downs()
        begun = [ms for ms, _, _ in downs]
        return max(
            len({where for ms, where, _ in downs if 0 <= ms - at <= within_ms}) for at in begun
        )

    def _up(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.engine is not None]

    def _add_node(self, address: int, member: int) -> None:
        super()._add_node(address, member)
        node = self.nodes[address]
        run = node.run

        def noted(action: Callable[[], None]) -> None:
            self.worked[self.now_ms, address] += 1
            run(action)

        node.run = noted  # type: ignore[method-assign]

    def _post(self, address: int, to: int | None, number: int, payload: bytes) -> None:
        self._wish = Wish(address, Sent(self.now_ms, to, number, payload))
        if not self.calm:
            self.wishes.append(self._wish)
        super()._post(address, to, number, payload)
        self._wish = None

    def _note_send(
        self, source: int, to: int | None, number: int, payload: bytes, *, late_ms: int = 0
    ) -> None:
        sent = Sent(self.now_ms, to, number, payload)
        if self._wish is not None:
            self._wish.left.append(sent)
        else:
            self.unasked.append((source, sent))
        self._send(source, to, number, payload, late_ms=late_ms)

    def _note_cut(self, links: Iterable[tuple[int, int]]) -> int:
        asked = frozenset(links)
        proposers = (item.source for item in reversed(self.letters) if item.number == PRE_PREPARE)
        self.cuts.append(Cut(asked, next(proposers)))
        number = self._cut(asked)
        self._asked[number] = asked
        return number

    def _note_mend(self, number: int) -> None:
        self._asked.pop(number, None)
        self._mend(number)

    def _note_carry(
        self, source: int, sender: int, to: int, number: int, payload: bytes, late_ms: int
    ) -> None:
        own = bytes(bytearray(payload))  # another object, so that it is known when it arrives
        letter = Letter(source, to, number, own, self.now_ms, self._under(source, to, number))
        self.letters.append(letter)
        self._on_way[id(own)] = letter
        self._carry(source, sender, to, number, own, late_ms)

    def _under(self, source: int, to: int, number: int) -> str:
        muted = self.network.muted
        if any((source, to) in links for links in self._asked.values()):
            return "cut"
        if number in muted:
            return "spare" if muted[number] == to else "mute"
        return ""

    def _deliver(self, address: int, sender: int, number: int, payload: bytes) -> None:
        letter = self._on_way[id(payload)]
        letter.came_ms.append(self.now_ms)
        self.arrived.append(letter)
        self.unread += not self.calm and self.nodes[address].engine is None
        super()._deliver(address, sender, number, payload)

    def came(self, under: str) -> list[bool]:
        """Of the messages that were sent under such a fault, whether each came."""
        return [bool(letter.came_ms) for letter in self.faulty if letter.under == under]

    def overtakings(self) -> int:
        """How many came after one that had left later on the same link."""
        order = {id(letter): place for place, letter in enumerate(self.letters)}
        last: Counter[tuple[int, int]] = Counter()
        found = 0
        for letter in self.arrived:
            link, place = (letter.source, letter.to), order[id(letter)]
            found += place < last[link]
            last[link] = max(last[link], place)
        return found

    def rests(self, address: int) -> list[tuple[int, int]]:
        """From when until when a machine did nothing for longer than usual, while faults lasted."""
        times = (ms for ms, where in self.worked if where == address)
        worked = sorted(ms for ms in times if self.begun_ms <= ms <= self.healed_ms)
        return [(one, next_) for one, next_ in pairwise(worked) if next_ - one > REST_MS_MAX]


def noted(**changes: object) -> Noted:
    """A short run with exactly these faults."""
    usual: dict[str, object] = {"fault_ms": 10_000, "episode_gap_ms": 1_500, "in_order": True}
    cluster = Noted(calm_plan(**{**usual, **changes}))
    cluster.run()
    return cluster


def share(found: Iterable[bool]) -> float:
    of = list(found)
    return sum(of) / len(of)


def out_of(address: int) -> Links:
    return frozenset((address, other) for other in range(4) if other != address)


def into(address: int) -> Links:
    return frozenset((other, address) for other in range(4) if other != address)
