"""A chaos run on the real processes of a devnet: faults by schedule, clients, the end, the facts.

Whatever happens, also Ctrl-C, the run ends with everything healed: links open, paused nodes going
on, nodes that it killed started again. Nodes are started with interpreters of their own here: this
process has an event loop and threads, which no fork survives.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cli import bench_target, payments
from cli.async_client import AsyncClient
from cli.bench_target import Target
from cli.bench_transactions import Coin, Owners
from cli.client import ClientError
from cli.devnet import chaos_clients, control, faults, launch, processes
from cli.devnet.chaos_clients import CLIENTS, LIFETIME_MS, REQUEST_S, Clients, Figures, Wish
from cli.devnet.chaos_end import Facts, collect
from cli.devnet.chaos_plan import Fault, Schedule, Step
from cli.devnet.faults import Groups
from cli.devnet.history import Happening, History
from cli.devnet.judge import RECOVERY_MS_MAX, End, Verdict, judge, told_final
from cli.devnet.launch import LOG_NAME
from cli.devnet.links import Rule
from cli.devnet.state import DevnetNode, Place
from cli.errors import CliError, ExitCode
from cli.wallet.build import Terms
from node.supervise import Services

FUNDED_MS_MAX = 15_000
SETTLE_MS_MAX = 30_000
"""After recovery: everything pending is final or refused, all nodes at one height."""
POLL_S = 0.1
SECRET_BYTES = 32
TRACEBACK = b"Traceback (most recent call last)"

Report = Callable[[float, str, str, Figures], None]
"""Seconds since the beginning, what, whom; and how the clients fare."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and its verdict."""

    verdict: Verdict
    figures: Figures
    height: int
    recovery_ms: int | None
    history: Path


@dataclass
class Injector:
    """Makes faults and undoes them. Remembers what it did, so that all of it can be undone."""

    place: Place
    find_primary: Callable[[], DevnetNode]
    down: set[str] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    """One change at a time, also where whoever asked for it was interrupted meanwhile."""
    _is_over: bool = False
    _cuts: dict[Step, list[Rule]] = field(default_factory=dict)

    def begin(self, step: Step) -> list[DevnetNode]:
        """Blocks; returns whom it befell."""
        with self._turn:
            if self._is_over:
                return []
            nodes = [self.place.node(name) for name in step.nodes] or [self.find_primary()]
            match step.fault:
                case Fault.KILL | Fault.RESTART:
                    self._end(nodes, gently=step.fault is Fault.RESTART)
                case Fault.PAUSE:
                    for node in nodes:
                        self._pause(node)
                case _:
                    self._cuts[step] = self._rules(step, nodes)
                    self._apply()
        return nodes

    def finish(self, step: Step, nodes: Sequence[DevnetNode]) -> None:
        """Blocks until it is undone, not until the nodes have recovered."""
        with self._turn:
            if self._is_over:
                return
            match step.fault:
                case Fault.KILL | Fault.RESTART:
                    for node in nodes:
                        self._start(node)
                case Fault.PAUSE:
                    for node in nodes:
                        self._resume(node)
                case _:
                    del self._cuts[step]
                    self._apply()

    def heal(self) -> None:
        """Undo everything that is left; nothing begins after it."""
        with self._turn:
            self._is_over = True
            for name in sorted(self.paused):
                self._resume(self.place.node(name))
            for name in sorted(self.down):
                self._start(self.place.node(name))
            if self.place.devnet.faults:
                faults.change_links(self.place, heal=True)

    def ended_alone(self) -> list[str]:
        """Nodes that do not run, and were not stopped by this run."""
        alive = control.running(self.place)
        return [
            node.name
            for node in self.place.devnet.nodes
            if node.name not in alive and node.name not in self.down
        ]

    def _end(self, nodes: Sequence[DevnetNode], *, gently: bool) -> None:
        alive = control.running(self.place)
        found = [alive[node.name] for node in nodes if node.name in alive]
        self.down.update(node.name for node in nodes if node.name in alive)
        if gently:
            processes.stop(found, control.STOP_S)
        else:
            processes.kill(found)

    def _start(self, node: DevnetNode) -> None:
        if node.name not in self.down:
            return  # it ended by itself before, which the verdict says
        directory = self.place.node_dir(node).resolve()
        launch.rotate_log(directory)
        launch.spawn(directory)
        self.down.discard(node.name)

    def _pause(self, node: DevnetNode) -> None:
        process = processes.running(self.place.node_dir(node))
        if process is not None and processes.send(process, signal.SIGSTOP):
            self.paused.add(node.name)

    def _resume(self, node: DevnetNode) -> None:
        process = processes.running(self.place.node_dir(node))
        if process is not None:
            processes.send(process, signal.SIGCONT)
        self.paused.discard(node.name)

    def _rules(self, step: Step, nodes: Sequence[DevnetNode]) -> list[Rule]:
        if step.fault is Fault.DELAY:
            slow = [faults.slow_rules(self.place, item, delay_ms=step.delay_ms) for item in nodes]
            return [rule for rules in slow for rule in rules]
        names = tuple(node.name for node in nodes)
        others = tuple(node.name for node in self.place.devnet.nodes if node.name not in names)
        if step.fault is Fault.HALVES:
            return faults.cut_rules(Groups((names, others)))
        each_alone = Groups((*((name,) for name in names), others))
        rules = faults.cut_rules(each_alone)
        if step.fault is Fault.ONE_WAY:
            return [rule for rule in rules if rule.source in names]
        return rules

    def _apply(self) -> None:
        rules = [rule for found in self._cuts.values() for rule in found]
        faults.change_links(self.place, faults.merge(rules), heal=True)


@dataclass
class Chaos:
    """One run against one running devnet."""

    place: Place
    target: Target
    schedule: Schedule
    history: History
    report: Report

    def run(self) -> Outcome:
        """Everything, in order; raises CliError where it could not be judged."""
        try:
            return asyncio.run(self._run())
        except* CliError as group:
            failed = group
        raise _first(failed) from None

    async def _run(self) -> Outcome:
        logs = _log_sizes(self.place)
        async with contextlib.AsyncExitStack() as stack:
            connections = {
                node.name: await stack.enter_async_context(
                    AsyncClient(node.api, timeout_s=REQUEST_S)
                )
                for node in self.place.devnet.nodes
            }
            params = self.target.params
            clients = Clients(
                terms=Terms(
                    bytes.fromhex(params.chain_id),
                    self.target.fees,
                    payments.now_ms() + LIFETIME_MS,
                ),
                owners=Owners(secrets.token_bytes(SECRET_BYTES), CLIENTS),
                nodes=connections,
                history=self.history,
                started_s=time.monotonic(),
                hrp=params.address_prefix,
            )
            coins, funding = await self._fund(clients)
            heights = [(await client.status()).sync.height for client in connections.values()]
            clients.started_s = time.monotonic()  # nothing is in the history before
            injector = Injector(self.place, lambda: self._primary())
            try:
                await self._under_load(clients, injector, coins)
                complaints = [f"{name} ended by itself" for name in injector.ended_alone()]
            finally:
                await asyncio.to_thread(injector.heal)
            healed_ms = clients.now_ms()
            self._tell(clients, "healed", "everything")
            recovered_ms = await self._recover(clients)
            unsettled = await self._settle(clients)
            self._tell(clients, "settled", "")
            await self._level(clients)
            told = told_final(self.history.records)
            facts = await collect(self.place, connections, told, min(heights))
        complaints += [f"{name} does not run any more" for name in injector.ended_alone()]
        complaints += _tracebacks(self.place, logs)
        end = End(
            chain=facts.chain,
            chain_fault=facts.chain_fault,
            nodes=facts.nodes,
            locks=clients.owners.locks,
            funding=funding,
            unsettled=unsettled,
            healed_ms=healed_ms,
            recovered_ms=recovered_ms,
            complaints=complaints,
        )
        return self._outcome(clients, end, facts)

    def _outcome(self, clients: Clients, end: End, facts: Facts) -> Outcome:
        return Outcome(
            verdict=judge(self.history.records, self.schedule, end),
            figures=clients.figures,
            height=len(facts.chain) - 1,
            recovery_ms=None if end.recovered_ms is None else end.recovered_ms - end.healed_ms,
            history=self.history.path,
        )

    # The run.

    async def _fund(self, clients: Clients) -> tuple[list[Coin], str]:
        needed = 2 * chaos_clients.COINS * chaos_clients.COIN
        coin = await asyncio.to_thread(bench_target.largest_coin, self.target, needed)
        raw, coins = chaos_clients.fund(clients.terms, self.target.faucet, coin, clients.owners)
        txid = coins[0].txid.hex()
        for name, client in clients.nodes.items():
            await client.submit_batch([raw])
            if not await _until(FUNDED_MS_MAX, partial(_is_final, clients, txid, name)):
                raise CliError(
                    "not_funded",
                    f"the clients' first coins were not final on {name} in time",
                    hint="see who is missing with: marsa devnet status",
                    exit_code=ExitCode.TIMEOUT,
                )
        return coins, txid

    async def _under_load(
        self, clients: Clients, injector: Injector, coins: Sequence[Coin]
    ) -> None:
        """Faults and payments side by side, until the schedule is over."""
        self._tell(clients, "load", f"{CLIENTS} clients pay each other")
        async with asyncio.TaskGroup() as group:
            services = Services(group)
            services.spawn("load", self._load(clients, coins))
            for number, step in enumerate(self.schedule.steps):
                services.spawn(f"step-{number}", self._step(clients, injector, step))

    async def _load(self, clients: Clients, coins: Sequence[Coin]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.schedule.length_ms / 1_000):
                await clients.run(coins)

    async def _step(self, clients: Clients, injector: Injector, step: Step) -> None:
        await asyncio.sleep(step.at_ms / 1_000 - clients.now_ms() / 1_000)
        start_ms = clients.now_ms()
        nodes = await asyncio.to_thread(injector.begin, step)
        who = " ".join(node.name for node in nodes)
        delay = f" by {step.delay_ms} ms" if step.delay_ms else ""
        self._tell(clients, step.fault.value, f"{who}{delay} for {step.length_ms / 1_000:.1f} s")
        await asyncio.sleep(max(0.0, (step.end_ms - clients.now_ms()) / 1_000))
        await asyncio.to_thread(injector.finish, step, nodes)
        self._tell(clients, f"end of {step.fault.value}", who)
        for node in nodes:
            self.history.add(
                Happening(
                    node=node.name,
                    start_ms=start_ms,
                    end_ms=clients.now_ms(),
                    fault=step.fault.value,
                )
            )

    def _primary(self) -> DevnetNode:
        """Whom most nodes take for the primary; the first node where nobody answers."""
        named = [
            item.status.consensus.primary
            for item in control.look(self.place)
            if item.status is not None
        ]
        nodes = {node.licence: node for node in self.place.devnet.validators}
        most = max(named, key=named.count, default="")
        return nodes.get(most, self.place.devnet.validators[0])

    def _tell(self, clients: Clients, what: str, whom: str) -> None:
        self.report(clients.now_ms() / 1_000, what, whom, clients.figures)

    # After it.

    async def _recover(self, clients: Clients) -> int | None:
        """When a payment became final after healing; None if none did in time."""
        pending = [wishes[0] for wishes in clients.unsettled.values()]
        coin = clients.any_free()
        wish = clients.wish(coin) if coin is not None else pending[0]
        clients.unsettled.setdefault(wish.spends, [wish])

        async def is_final() -> bool:
            for name in clients.nodes:
                await clients.hand_over(wish, name)
                if (await clients.look(wish.txid, name)).outcome == "final":
                    return True
            return False

        return clients.now_ms() if await _until(RECOVERY_MS_MAX, is_final) else None

    async def _settle(self, clients: Clients) -> list[str]:
        """Hand over again what has no final answer, until it has one; what is left without."""

        async def is_settled() -> bool:
            for outpoint, wishes in list(clients.unsettled.items()):
                if await self._is_decided(clients, wishes):
                    del clients.unsettled[outpoint]
            return not clients.unsettled

        await _until(SETTLE_MS_MAX, is_settled)
        return [wish.txid for wishes in clients.unsettled.values() for wish in wishes]

    async def _is_decided(self, clients: Clients, wishes: Sequence[Wish]) -> bool:
        """One of them is final, or a node that is up refuses each of them."""
        refused = 0
        for wish in wishes:
            for name in clients.nodes:
                pay = await clients.hand_over(wish, name)
                look = await clients.look(wish.txid, name)
                if look.outcome == "final":
                    clients.figures.final += 1
                    return True
                refused += pay.outcome == "refused" and look.outcome != "pending"
        return refused == len(wishes) * len(clients.nodes)

    async def _level(self, clients: Clients) -> None:
        """Wait until all nodes are at one height; the verdict says who is not."""

        async def is_level() -> bool:
            tips = [await clients.tip(name) for name in clients.nodes]
            return len({None if tip is None else tip.height for tip in tips}) == 1

        await _until(SETTLE_MS_MAX, is_level)


def _first(group: BaseExceptionGroup[CliError]) -> CliError:
    """One of them: a command ends with one error."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _is_final(clients: Clients, txid: str, name: str) -> bool:
    with contextlib.suppress(ClientError):
        return (await clients.nodes[name].transaction(txid, wait_s=1)).status == "final"
    return False


async def _until(limit_ms: int, condition: Callable[[], Awaitable[bool]]) -> bool:
    deadline = time.monotonic() + limit_ms / 1_000
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


def _log_sizes(place: Place) -> dict[str, int]:
    found = {node.name: place.node_dir(node) / LOG_NAME for node in place.devnet.nodes}
    return {name: path.stat().st_size if path.exists() else 0 for name, path in found.items()}


def _tracebacks(place: Place, before: dict[str, int]) -> list[str]:
    """Which nodes logged one since then."""
    found = []
    for node in place.devnet.nodes:
        path = place.node_dir(node) / LOG_NAME
        data = path.read_bytes() if path.exists() else b""
        start = before[node.name] if before[node.name] <= len(data) else 0
        if TRACEBACK in data[start:]:
            found.append(f"{node.name} logged a traceback: {path}")
    return found
