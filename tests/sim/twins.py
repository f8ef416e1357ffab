"""Twins: one member runs twice with one key, in every small schedule.

Four members and a second machine with the key of one of them are five machines, each an honest
`Replica`. Whatever the pair does is what a single evil member could do: vote twice, propose two
blocks, deny what it prepared. (Bano and others, "Twins: BFT Systems Made Robust", 2021.)

A scenario is three rounds. In each the machines are divided in two sides that do not hear each
other, and a leader is chosen: all suspect until the next view of that primary is wanted. Then the
leader's machines propose, and everything but COMMITs is delivered inside the sides. Who hears the
round's COMMITs is chosen too: each side its own, or one side those of all and the other none, so
that a block may be final at one machine and merely prepared at the others. The first round is view
0; the last one's COMMITs stay inside the sides. That makes 16 partitions * 3 hearings in the first
round, 16 * 3 * 4 leaders in the second, 16 * 4 in the third; the pair is member 0 or member 1 (a
backup of view 0; backups differ in nothing but their turn to lead, and leaders are enumerated).

After the rounds everything heals but the pair goes on. Checked: no two machines decide different
blocks at one height; each machine decides every height once, in order; and within `HEALING_MS` of
virtual time all decide a block that is above every block decided before.

`python -m tests.sim.twins --all` runs them all and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from random import Random

import msgspec
from rich.progress import Progress

from consensus.effects import CaughtUp, Event, Pending, Proposed, Received, Tick
from consensus.messages import Commit, Message, Status, Suspect
from consensus.replica_state import ReplicaBroken
from ledger.block import Header, header_hash
from tests.consensus.kit import Kit, Member
from tests.sim.resumable import fingerprint, of_another_version, save

MEMBERS = 4
MACHINES = MEMBERS + 1  # the last one has the key of another
PAIRS = (0, 1)  # whose key it has
PARTITIONS = 1 << (MACHINES - 1)  # machine 0 is always on side 0
HEARINGS = 3
LEADERS = MEMBERS
FIRST = PARTITIONS * HEARINGS
SECOND = PARTITIONS * HEARINGS * LEADERS
THIRD = PARTITIONS * LEADERS
SCENARIOS = len(PAIRS) * FIRST * SECOND * THIRD
HEALING_MS = 40_000  # twenty timeouts
STEP_MS = 1_000
CATCH_UP_MS = 500  # after each round; what is proved final is fetched meanwhile
BLOCKS_A_ROUND = 2  # as far as the window allows
KNOWN_MAX = 100_000  # verdicts on signatures that are remembered
DELIVERIES_MAX = 20_000
CHUNK = 256  # scenarios between two lines of the state file


class Violation(AssertionError):
    """What must hold does not."""


@dataclass(frozen=True, slots=True)
class Round:
    """Sides by bit of the machine; `hearing` 0: own side, 1: side 0 hears all, 2: side 1."""

    leader: int
    sides: int
    hearing: int

    def side(self, machine: int) -> int:
        return self.sides >> machine & 1


@dataclass(frozen=True, slots=True)
class Scenario:
    """Its number says everything about it."""

    number: int

    @property
    def pair(self) -> int:
        return PAIRS[self.number // (FIRST * SECOND * THIRD)]

    @property
    def rounds(self) -> tuple[Round, Round, Round]:
        rest, third = divmod(self.number, THIRD)
        rest, second = divmod(rest, SECOND)
        first = rest % FIRST
        return (
            _round(first * LEADERS),  # view 0 has one leader
            _round(second),
            _round(third % LEADERS + LEADERS * HEARINGS * (third // LEADERS)),
        )


def _round(number: int) -> Round:
    rest, leader = divmod(number, LEADERS)
    sides, hearing = divmod(rest, HEARINGS)
    return Round(leader, sides << 1, hearing)


@cache
def _kit(window: int) -> Kit:
    kit = Kit(MEMBERS, window)
    known: dict[tuple[bytes, bytes, bytes], bool] = {}
    is_valid = kit.rules.is_valid

    def remembering(key: bytes, message: bytes, signature: bytes) -> bool:
        found = known.get((key, message, signature))
        if found is None:
            if len(known) >= KNOWN_MAX:
                known.clear()
            found = known[(key, message, signature)] = is_valid(key, message, signature)
        return found

    kit.rules = replace(kit.rules, is_valid=remembering)
    return kit


class Twins:
    """Five machines, what is between them and what they decided."""

    def __init__(self, scenario: Scenario, window: int) -> None:
        self.kit = _kit(window)
        self.scenario = scenario
        self.owner = (*range(MEMBERS), scenario.pair)
        self.machines = [Member(self.kit, member) for member in self.owner]
        self.round = scenario.rounds[0]
        self.healed = False
        self.flight: deque[tuple[int, int | None, Message]] = deque()
        self.commits: list[tuple[int, int | None, Message]] = []
        self.headers: dict[bytes, Header] = {header_hash(self.kit.genesis): self.kit.genesis}
        self.final: dict[int, bytes] = {}
        everyone = self.kit.status(heard=(1 << MEMBERS) - 1)
        for machine, actor in enumerate(self.machines):
            for member in self._others(machine):
                actor.hear(member, everyone)
            actor.sent.clear()

    def run(self) -> None:
        """The whole scenario; raises Violation, or ReplicaBroken of a machine."""
        view = 0
        for index, chosen in enumerate(self.scenario.rounds):
            self.round = chosen
            if index:
                view += 1 + (chosen.leader - view - 1) % MEMBERS
                for machine in range(MACHINES):
                    for member in self._others(machine)[:2]:  # f + 1
                        self._step(machine, Received(member, Suspect(0, view)))
            self._deliver()
            self._propose(chosen.leader)
            self._deliver()
            self._pass(CATCH_UP_MS)
        self._heal()

    def _heal(self) -> None:
        self.healed = True
        target = max(self.final, default=0) + 1
        for machine, actor in enumerate(self.machines):
            self._step(machine, Pending(actor.clock_ms))
        for _ in range(HEALING_MS // STEP_MS):
            self._pass(STEP_MS)
            self._deliver()
            for member in range(MEMBERS):
                self._propose(member)
            self._deliver()
            heights = [
                actor.state.height for actor in self.machines if actor.member != self.scenario.pair
            ]
            if min(heights) >= target:
                return
        raise Violation(f"heights {heights} after {HEALING_MS} ms of peace, not {target}")

    def _propose(self, leader: int) -> None:
        """The machines of a leader extend the chain as far as the window lets them, twice at most.

        Two machines of one member never build the same block.
        """
        for machine, actor in enumerate(self.machines):
            for _ in range(BLOCKS_A_ROUND if actor.member == leader else 0):
                extended = actor.replica.parent_to_extend(actor.now)
                if extended is None:
                    break
                view = actor.state.view
                header = self.kit.header(extended[1], view=view, salt=str(machine))
                self.headers[header_hash(header)] = header
                self._step(machine, Proposed(header, ()))

    def _deliver(self) -> None:
        """Until nothing is on its way; COMMITs when nothing else is."""
        for _ in range(DELIVERIES_MAX):
            if not self.flight:
                self.flight.extend(self.commits)
                self.commits.clear()
                if not self.flight:
                    return
            sender, to, message = self.flight.popleft()
            for machine, member in enumerate(self.owner):
                wanted = member != self.owner[sender] and to in (None, member)
                if wanted and self._hears(machine, sender, message):
                    self._step(machine, Received(self.owner[sender], message))
        raise Violation("the machines never stop talking")

    def _hears(self, machine: int, sender: int, message: Message) -> bool:
        if self.healed:
            return True
        if isinstance(message, Status):
            return False
        side = self.round.side(machine)
        if isinstance(message, Commit) and self.round.hearing:
            return side == self.round.hearing - 1
        return side == self.round.side(sender)

    def _pass(self, duration_ms: int) -> None:
        for actor in self.machines:
            actor.wait(duration_ms)
        for machine in range(MACHINES):
            self._step(machine, Tick())

    def _step(self, machine: int, event: Event) -> None:
        actor = self.machines[machine]
        height = actor.state.height
        if isinstance(event, CaughtUp):
            height = max(height, event.header.height)
        output = actor.step(event)
        for to, message in actor.sent:
            queue = self.commits if isinstance(message, Commit) else self.flight
            queue.append((machine, to, message))
        actor.sent.clear()
        for decided in output.decided:
            height += 1
            if decided.header.height != height:
                raise Violation(f"machine {machine} decides {decided.header.height} at {height}")
            self._check_final(machine, decided.header)
        for request in output.catch_up:
            certificate = request.certificate
            header = self.headers[certificate.block_hash]
            self._check_final(machine, header)
            self._step(machine, CaughtUp(header, certificate))

    def _check_final(self, machine: int, header: Header) -> None:
        """A decided block and everything below it is what others decided there."""
        while header.height:
            block_hash = header_hash(header)
            found = self.final.setdefault(header.height, block_hash)
            if found != block_hash:
                raise Violation(f"machine {machine} decides another block at {header.height}")
            header = self.headers[header.parent_hash]

    def _others(self, machine: int) -> list[int]:
        return [member for member in range(MEMBERS) if member != self.owner[machine]]


def failure_of(number: int, window: int) -> str:
    """What scenario `number` finds; empty when all that must hold does."""
    try:
        Twins(Scenario(number), window).run()
    except (Violation, ReplicaBroken) as fault:
        return f"{type(fault).__name__}: {fault}"
    return ""


def sample(seed: int, count: int) -> Iterator[int]:
    """Numbers of scenarios, drawn by a seed."""
    random = Random(seed)
    return (random.randrange(SCENARIOS) for _ in range(count))


def main(arguments: list[str]) -> int:
    """All scenarios, resumable; or some, drawn or by number. 1 if one failed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--all", action="store_true", help="every scenario, on all cores")
    chosen.add_argument("--sample", type=int, help="so many, drawn")
    chosen.add_argument("--number", type=int, help="one")
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path(".sim-twins.json"))
    options = parser.parse_args(arguments)
    if options.all:
        return _campaign(options.window, options.state)
    numbers = [options.number] if options.sample is None else sample(0, options.sample)
    started = time.monotonic()
    failures = [item for item in map(partial(_tell, options.window), numbers) if item]
    took_s = time.monotonic() - started
    print(f"{len(failures)} failures, {took_s:.1f} s", *failures, sep="\n")
    return 1 if failures else 0


def _campaign(window: int, path: Path) -> int:
    """Chunk after chunk; after each the state file says where to go on and what failed."""
    state = _load(path, window)
    chunks = [
        range(first, min(first + CHUNK, SCENARIOS))
        for first in range(state.chunks * CHUNK, SCENARIOS, CHUNK)
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawn) as pool, Progress() as progress:
        task = progress.add_task(f"twins, window {window}", total=SCENARIOS)
        progress.update(task, completed=state.chunks * CHUNK)
        for failures in pool.map(partial(_run_chunk, window), chunks):
            state = replace(state, chunks=state.chunks + 1, failures=(*state.failures, *failures))
            save(msgspec.json.encode(state), path)
            progress.update(task, completed=min(state.chunks * CHUNK, SCENARIOS))
            for failure in failures:
                progress.console.print(failure)
    print(f"{SCENARIOS} scenarios, window {window}: {len(state.failures)} failures")
    return 1 if state.failures else 0


@dataclass(frozen=True, slots=True)
class CampaignState:
    """How many chunks are done, and what they found."""

    code: str
    window: int
    chunks: int = 0
    failures: tuple[str, ...] = ()


def _load(path: Path, window: int) -> CampaignState:
    code = fingerprint(Path(__file__))
    if not path.exists():
        return CampaignState(code, window)
    state = msgspec.json.decode(path.read_bytes(), type=CampaignState)
    if state.code != code:
        raise SystemExit(of_another_version(path))
    if state.window != window:
        raise SystemExit(f"{path} is of window {state.window}: name another file with --state")
    return state


def _run_chunk(window: int, numbers: range) -> list[str]:
    return [failure for number in numbers if (failure := _tell(window, number))]


def _tell(window: int, number: int) -> str:
    failure = failure_of(number, window)
    command = f".venv/bin/python -m tests.sim.twins --number {number} --window {window}"
    return f"{failure}; {command}" if failure else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
