"""`marsa bench catchup --blocks` and `--snapshot`: a validator comes back from far behind.

Blocks: while it is away the others make small blocks as fast as they agree. Then nothing else
happens, and it fetches, proves and executes all of them.

Snapshot: while it is away so many coins are made. Then the others take a full load, an epoch is
ended, and it takes the state over the network: how long that lasts, and what the network keeps of
its rate. Both times it starts with `sync.snapshot_distance` set to what decides which way it
goes; after the measurement it is started anew without.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click
import uvloop

from cli.bench_catchup import (
    CATCH_UP_S,
    WARMUP_S,
    CatchUp,
    Look,
    caught_up,
    choose,
    come_back,
    rate,
)
from cli.bench_load import Load, Record, drive
from cli.bench_run import SPARE, UNDER_WAY_MAX, Funds, Plan, Run
from cli.bench_target import Target
from cli.client import Client
from cli.devnet import control, members, processes
from cli.errors import CliError, ExitCode
from cli.output import note
from cli.progress import Progress

BLOCK_TRANSFERS = 10
"""In a batch, and so in most blocks of `--blocks`."""
BATCHES_UNDER_WAY = 2
"""One is decided while the next is on its way."""
PART_TRANSFERS = 2_000
"""Sent before the height is looked at again."""
GROW_S = 1_200.0
"""For making the blocks; what there is by then is measured."""
PART_COINS = 100_000
"""Funded at once: what is kept in memory of a million coins is what the load spends."""
BEFORE_S = 15.0
"""Of full load without the validator, which its rate is compared with."""
MEANWHILE_S = 180.0
"""The load lasts so long at most: half as long again as a snapshot may take."""


@dataclass(frozen=True, slots=True)
class BlocksFigures:
    """From a validator's first answer until it had every block."""

    node: str
    catch_up: CatchUp


@dataclass(frozen=True, slots=True)
class SnapshotFigures:
    """Rates are transactions a second."""

    node: str
    outputs: int
    seconds: float
    """From the validator's first answer until its chain was that of the snapshot."""
    before_tps: float
    meanwhile_tps: float
    """While the snapshot was taken."""

    @property
    def kept(self) -> float:
        return self.meanwhile_tps / self.before_tps


class FarBench:
    """One run against one devnet; the validator runs again at the end, however that comes."""

    def __init__(self, target: Target, accounts: int) -> None:
        self._node = choose(target)
        self._others = tuple(
            node.api for node in target.place.devnet.validators if node != self._node
        )
        self._place = target.place
        self._run = Run(replace(target, urls=self._others), Plan(0.0, 0.0, accounts))

    def blocks(self, count: int) -> BlocksFigures:
        """Raises CliError and what the clients raise."""
        raws = self._run.prepare(count * BLOCK_TRANSFERS)
        with control.exclusive(self._place.devnet.name):
            try:
                control.kill(self._place, self._node)
                self._grow(raws, count)
                with Progress(f"{self._node.name} catches up", count, "blocks") as progress:
                    looks = uvloop.run(self._come_back(0, None, progress))
            finally:
                self._restore()
        return BlocksFigures(self._node.name, caught_up(self._node, looks, self._others[0]))

    def snapshot(self, outputs: int) -> SnapshotFigures:
        """Raises CliError and what the clients raise."""
        probed = self._run.probe()
        needed = int(probed * SPARE * (WARMUP_S + BEFORE_S + MEANWHILE_S))
        with control.exclusive(self._place.devnet.name):
            try:
                control.kill(self._place, self._node)
                away = self._height()
                raws = self._run.sign(self._fund(outputs, needed))
                note("the network takes a full load")
                record, looks, base = uvloop.run(self._take(raws, away))
            finally:
                self._restore()
        return figures(self._node.name, outputs, record, looks, base)

    # Inside.

    def _height(self) -> int:
        with Client(self._others[0]) as client:
            return client.status().sync.height

    def _grow(self, raws: Sequence[bytes], count: int) -> None:
        """Small blocks until there are so many."""
        first, deadline_s = self._height(), time.monotonic() + GROW_S
        grown = at = 0
        with Progress(f"making blocks without {self._node.name}", count, "blocks") as progress:
            while grown < count and at < len(raws) and time.monotonic() < deadline_s:
                part = raws[at : at + PART_TRANSFERS]
                under_way = BATCHES_UNDER_WAY * BLOCK_TRANSFERS
                uvloop.run(
                    drive(self._others, [part], under_way_max=under_way, batch=BLOCK_TRANSFERS)
                )
                at += len(part)
                grown = self._height() - first
                progress.reach(grown)
        if grown < count:
            note(f"there are {grown:,} blocks, not {count:,}: that is what is measured")

    def _fund(self, outputs: int, needed: int) -> Funds:
        """So many coins; those are kept that the load will spend."""
        funds = self._run.fund(min(needed, outputs, PART_COINS))
        kept, made = list(funds.coins), len(funds.coins)
        while made < outputs:
            part = self._run.fund(min(outputs - made, PART_COINS), funds.seed)
            made += len(part.coins)
            kept += part.coins[: max(0, needed - len(kept))]
            note(f"{made:,} of {outputs:,} outputs are there")
        return replace(funds, coins=kept)

    async def _end_epoch(self) -> int:
        """While the load goes on: in a thread, which is given the context of this command."""
        context = click.get_current_context()

        def end() -> int:
            with context:
                return members.end_epoch(self._place)

        return await asyncio.to_thread(end)

    async def _take(self, raws: Sequence[bytes], away: int) -> tuple[Record, list[Look], int]:
        """Also the height of the snapshot, which is made last: epochs of a devnet are short."""
        loads: list[Load] = []

        async def under_load() -> tuple[list[Look], int]:
            await asyncio.sleep(WARMUP_S + BEFORE_S)
            base = await self._end_epoch()
            with Progress(f"{self._node.name} takes the snapshot", base, "blocks") as progress:
                looks = await self._come_back(base - away, base, progress)
            for load in loads:
                load.stop()
            return looks, base

        record, (looks, base) = await asyncio.gather(
            drive(
                self._others,
                [raws],
                under_way_max=UNDER_WAY_MAX,
                seconds=WARMUP_S + BEFORE_S + CATCH_UP_S,
                on_start=loads.append,
            ),
            under_load(),
        )
        return record, looks, base

    async def _come_back(self, distance: int, goal: int | None, progress: Progress) -> list[Look]:
        return await come_back(
            self._place,
            self._node,
            self._others[0],
            (f"sync.snapshot_distance={distance}",),
            goal=goal,
            on_look=progress.reach,
        )

    def _restore(self) -> None:
        process = control.running(self._place).get(self._node.name)
        if process is not None:
            processes.stop([process], control.STOP_S)
        control.start(self._place, [self._node])


def figures(
    node: str, outputs: int, record: Record, looks: Sequence[Look], base: int
) -> SnapshotFigures:
    """`base` is the height of the snapshot; raises CliError where it was not taken."""
    first, last = looks[0], looks[-1]
    if first.height >= base:
        raise CliError(
            "nothing_measured",
            f"{node} stood at {first.height} first, and the snapshot at {base}",
            hint="make it larger: --snapshot 100000",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return SnapshotFigures(
        node=node,
        outputs=outputs,
        seconds=last.at_s - first.at_s,
        before_tps=rate(record, record.started_s + WARMUP_S, first.at_s),
        meanwhile_tps=rate(record, first.at_s, min(last.at_s, record.sending_ended_s)),
    )
