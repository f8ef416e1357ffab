"""How fast a validator that was away comes back, and what the network pays for it.

Two rounds, in each of which one validator is killed while the others take a full load. In the quiet
one the load ends before the validator starts again: what it does alone, on a machine that has time
for it. In the busy one the load goes on: what is left of the network's rate meanwhile. The time of
a catch-up is from the validator's first answer to the first one with the height of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvloop

from cli.async_client import AsyncClient
from cli.bench_load import Record, drive
from cli.bench_run import SPARE, UNDER_WAY_MAX, Plan, Run
from cli.bench_target import Target
from cli.client import Client, ClientError, all_items
from cli.devnet import control, launch
from cli.devnet.state import DevnetNode, Place
from cli.errors import CliError, ExitCode
from cli.output import note
from cli.progress import Progress
from node.api import schemas
from node.api.schemas import PAGE_ITEMS_MAX, Page

WARMUP_S = 3.0
"""After the validator is gone the others may change their view: that is not their rate."""
LOOK_EVERY_S = 0.02
ASK_S = 2.0
CATCH_UP_S = 600.0
"""Twice what 10,000 blocks may take."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What a validator did from its first answer to the height of the others."""

    seconds: float
    blocks: int
    transactions: int

    @property
    def tps(self) -> float:
        return self.transactions / self.seconds

    @property
    def blocks_a_second(self) -> float:
        return self.blocks / self.seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """The result. Rates are transactions a second."""

    node: str
    peak_tps: float
    """Of the other validators, in the first round."""
    quiet: CatchUp
    busy: CatchUp
    before_tps: float
    """Of the network in the second round, until the validator is back."""
    meanwhile_tps: float

    @property
    def ratio(self) -> float:
        return self.quiet.tps / self.peak_tps

    @property
    def kept(self) -> float:
        return self.meanwhile_tps / self.before_tps


@dataclass(frozen=True, slots=True)
class Look:
    """What the validator's status said, and when."""

    at_s: float
    height: int


class Bench:
    """One run against one devnet."""

    def __init__(self, target: Target, seconds: float, accounts: int) -> None:
        self._target = target
        self._seconds = seconds
        self._run = Run(target, Plan(seconds, WARMUP_S, accounts))
        self._node = choose(target)
        validators = target.place.devnet.validators
        self._others = [node.api for node in validators if node != self._node]

    def measure(self) -> Figures:
        """Everything, in order; raises CliError and what the clients raise. The validator runs
        again at the end, however that comes."""
        place = self._target.place
        probed = self._run.probe()
        raws = self._run.prepare(
            int(probed * SPARE * 3 * (self._seconds + WARMUP_S)) + UNDER_WAY_MAX
        )
        with control.exclusive(place.devnet.name):
            try:
                peak, quiet = self._quiet(raws)
                rest = raws[len(peak.finals) :]
                record, since_s, busy, until_s = self._busy(rest)
            finally:
                if self._node.name not in control.running(place):
                    control.start(place, [self._node])
        return Figures(
            node=self._node.name,
            peak_tps=rate(peak, peak.started_s + WARMUP_S, peak.sending_ended_s),
            quiet=quiet,
            busy=busy,
            before_tps=rate(record, record.started_s + WARMUP_S, since_s),
            meanwhile_tps=rate(record, since_s, min(until_s, record.sending_ended_s)),
        )

    def _quiet(self, raws: Sequence[bytes]) -> tuple[Record, CatchUp]:
        control.kill(self._target.place, self._node)
        note(f"{self._node.name} is away while the others take a full load")
        seconds = self._seconds + WARMUP_S
        with Progress("full load without it", round(seconds), "seconds"):
            record = uvloop.run(self._drive(raws, seconds))
        looks = uvloop.run(self._come_back(0.0))
        return record, self._catch_up(looks)

    def _busy(self, raws: Sequence[bytes]) -> tuple[Record, float, CatchUp, float]:
        control.kill(self._target.place, self._node)
        note(f"{self._node.name} is away again, and comes back under load")

        async def both() -> tuple[Record, list[Look]]:
            away_s = self._seconds + WARMUP_S
            return await asyncio.gather(self._drive(raws, 2 * away_s), self._come_back(away_s))

        with Progress("full load", round(2 * self._seconds), "seconds"):
            record, looks = uvloop.run(both())
        return record, looks[0].at_s, self._catch_up(looks), looks[-1].at_s

    async def _drive(self, raws: Sequence[bytes], seconds: float) -> Record:
        return await drive(self._others, [raws], under_way_max=UNDER_WAY_MAX, seconds=seconds)

    async def _come_back(self, after_s: float) -> list[Look]:
        await asyncio.sleep(after_s)
        return await come_back(self._target.place, self._node, self._others[0])

    def _catch_up(self, looks: Sequence[Look]) -> CatchUp:
        return caught_up(self._node, looks, self._others[0])


async def come_back(
    place: Place,
    node: DevnetNode,
    other: str,
    assignments: Sequence[str] = (),
    *,
    goal: int | None = None,
    on_look: Callable[[int], object] = lambda height: None,
) -> list[Look]:
    """Start a validator, and look at it until it has the height of the other, or that which is its
    goal; raises CliError."""
    await asyncio.to_thread(launch.spawn, place.node_dir(node), assignments)
    deadline_s = time.monotonic() + CATCH_UP_S
    looks: list[Look] = []
    async with (
        AsyncClient(node.api, timeout_s=ASK_S) as own,
        AsyncClient(other, timeout_s=ASK_S) as ahead,
    ):
        while time.monotonic() < deadline_s:
            with contextlib.suppress(ClientError):
                height = (await own.status()).sync.height
                looks.append(Look(time.monotonic(), height))
                on_look(height)
                if height >= ((await ahead.status()).sync.height if goal is None else goal):
                    return looks
            await asyncio.sleep(LOOK_EVERY_S)
    raise CliError(
        "behind",
        f"{node.name} did not catch up within {CATCH_UP_S:g} s",
        hint=f"see its log: marsa devnet logs {node.name}",
        exit_code=ExitCode.TIMEOUT,
    )


def caught_up(node: DevnetNode, looks: Sequence[Look], other: str) -> CatchUp:
    """What the node did between its first answer and its last; raises CliError for nothing."""
    first, last = looks[0], looks[-1]
    if last.height <= first.height:
        raise CliError(
            "nothing_measured",
            f"{node.name} had caught up before its first answer",
            hint="let it be away for longer: --seconds 60",
            exit_code=ExitCode.CHECK_FAILED,
        )
    with Client(other) as client:
        count = transactions_between(
            lambda cursor: client.blocks(limit=PAGE_ITEMS_MAX, cursor=cursor),
            first.height,
            last.height,
        )
    return CatchUp(last.at_s - first.at_s, last.height - first.height, count)


def transactions_between(
    fetch: Callable[[str | None], Page[schemas.BlockSummary]], low: int, high: int
) -> int:
    """In the blocks above `low` up to `high`, from pages that begin with the newest."""
    count = 0
    for block in all_items(fetch):
        if block.height <= low:
            break
        if block.height <= high:
            count += block.transactions
    return count


def rate(record: Record, begin_s: float, end_s: float) -> float:
    """What became final in this time, a second."""
    count = sum(begin_s <= final_s < end_s for _, final_s in record.finals)
    if end_s <= begin_s or not count:
        raise CliError(
            "nothing_measured",
            "the load ended before there was anything to measure",
            hint="measure for longer: --seconds 60",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return count / (end_s - begin_s)


def choose(target: Target) -> DevnetNode:
    """The last validator that is not the primary; raises CliError where too few run."""
    nodes = target.place.devnet.validators
    with Client(target.urls[0]) as client:
        consensus = client.status().consensus
    if consensus.connected < consensus.validators:
        raise CliError(
            "devnet_not_well",
            f"{', '.join(consensus.missing)} is not connected: one more away, and nothing moves",
            hint="marsa devnet up",
            exit_code=ExitCode.UNREACHABLE,
        )
    return [node for node in nodes if node.licence != consensus.primary][-1]
