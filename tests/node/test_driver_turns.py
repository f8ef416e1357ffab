"""Requests take turns of one slice, whatever they bring and whenever they end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ledger import mempool
from ledger.codec import encode_payload
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from node import driver as module
from node import turns
from node.verify import TOGETHER_MIN
from node.verify_workers import VerifyWorkers
from p2p.gossip import Batch
from p2p.network import Network
from tests.node.test_driver import DEADLINE_S, Shell


@pytest.fixture
def shell() -> Shell:
    return Shell()


async def test_requests_of_clients_take_turns(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come at once, the loop has its turn after a slice of one of them."""
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    order: list[str] = []
    admit = shell.driver._admit_one
    raws = [shell.world.transfer("alice", "bob", 1 + number).raw for number in range(12)]

    def noted(*arguments: Any) -> Any:
        order.append("client")
        return admit(*arguments)

    async def votes() -> None:
        while order.count("client") < len(raws):
            order.append("vote")
            await asyncio.sleep(0)

    monkeypatch.setattr(shell.driver, "_admit_one", noted)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        for start in range(0, len(raws), 3):
            group.create_task(shell.driver.submit(raws[start : start + 3]))
        group.create_task(votes())
    runs = [len(list(run)) for who, run in itertools.groupby(order) if who == "client"]
    assert sum(runs) == len(raws)
    assert max(runs) <= 2


class NoCores:
    """Finds nothing good, and counts what it was asked about."""

    def __init__(self) -> None:
        self.asked = 0

    async def verify(self, txs: Sequence[SignedTransaction]) -> None:
        self.asked += len(txs)


@pytest.mark.parametrize("why", [Reason.MEMPOOL_FULL, Reason.BAD_SIGNATURE])
async def test_other_cores_verify_nothing_that_is_refused_without_them(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, why: Reason
) -> None:
    """For want of room, or because its signature was found bad before."""
    cores = NoCores()
    shell.driver.workers = cast(VerifyWorkers, cores)
    txs = [shell.world.transfer("alice", "bob", 1 + number) for number in range(TOGETHER_MIN)]
    raws = [tx.raw for tx in txs]
    if why is Reason.MEMPOOL_FULL:
        await shell.driver.submit([shell.world.transfer("bob", "carol", 1).raw])
        monkeypatch.setattr(mempool, "SENDER_MAX", 1)
        monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 1)
    else:
        signatures = [tx.witness.signatures[0].signature for tx in txs]
        swaps = [(item, item[:32] + bytes(32)) for item in signatures]
        raws = [raw.replace(*item) for raw, item in zip(raws, swaps, strict=True)]
        await shell.driver.submit(raws)
        assert cores.asked == TOGETHER_MIN
        cores.asked = 0
    results = await shell.driver.submit(raws)
    assert {item.refusal.reason for item in results if item.refusal} == {why}
    assert cores.asked == 0


async def test_what_other_cores_verify_is_decoded_in_turns(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many requests come at once with however many transactions, the loop has its turn."""
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    shell.driver.workers = cast(VerifyWorkers, NoCores())
    order: list[str] = []
    decode = module.transaction.decode
    txs = [shell.world.transfer("alice", "bob", 1 + number) for number in range(3 * TOGETHER_MIN)]

    def noted(raw: bytes) -> SignedTransaction:
        order.append("client")
        return decode(raw)

    async def votes() -> None:
        while order.count("client") < len(txs):
            order.append("vote")
            await asyncio.sleep(0)

    monkeypatch.setattr(module.transaction, "decode", noted)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        for start in range(0, len(txs), TOGETHER_MIN):
            raws = [tx.raw for tx in txs[start : start + TOGETHER_MIN]]
            group.create_task(shell.driver.submit(raws))
        group.create_task(votes())
    runs = [len(list(run)) for who, run in itertools.groupby(order) if who == "client"]
    assert sum(runs) == len(txs)
    assert max(runs) <= 2


async def test_what_a_request_brought_is_pushed_though_it_is_broken_off(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is over after the first slice."""
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    pushed: list[bytes] = []
    network = SimpleNamespace(push=lambda _, payload: pushed.append(payload))
    shell.driver.network = cast(Network, network)
    raws = [shell.world.transfer("alice", "bob", 1).raw, shell.world.transfer("bob", "eve", 2).raw]
    submitting = asyncio.get_running_loop().create_task(shell.driver.submit(raws))
    await asyncio.sleep(0)
    submitting.cancel()
    await asyncio.wait([submitting])
    assert submitting.cancelled()
    assert not shell.driver.engine.is_admitting()
    assert pushed == [encode_payload(Batch((raws[0],)))]


async def test_primary_is_told_of_more_at_hand(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the last of a request is admitted and no batch of a peer waits; then its timer looks at
    once, for nothing else would wake it before the distance of two blocks is over."""
    raws = [shell.world.transfer("alice", "bob", 1 + number).raw for number in range(3)]
    engine, admit = shell.driver.engine, shell.driver._admit_one
    during: list[bool] = []

    def noted(*arguments: Any) -> Any:
        during.append(engine.is_admitting())
        return admit(*arguments)

    monkeypatch.setattr(shell.driver, "_admit_one", noted)
    assert not engine.is_admitting()
    await shell.driver.submit(raws)
    assert during == [True] * len(raws)
    assert not engine.is_admitting()
    assert engine.deadline_ms == 0
    assert shell.driver._wake.is_set()
    shell.driver._queue("val1", encode_payload(Batch((raws[0],))))
    assert engine.is_admitting()


async def test_clients_wait_while_a_peer_has_more(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four validators a client's slice comes after one of each of the other three."""
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    order: list[str] = []
    admit, is_over = shell.driver._admit_one, asyncio.Event()
    raws = [shell.world.transfer("alice", "bob", 1 + number).raw for number in range(12)]

    def noted(raw: bytes, pushed: Any, *more: Any) -> Any:
        order.append("client" if pushed is None else "peer")
        if len(order) == len(raws):
            is_over.set()
        return admit(raw, pushed, *more)

    monkeypatch.setattr(shell.driver, "_admit_one", noted)
    shell.driver._queue("val1", encode_payload(Batch(tuple(raws[3:]))))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        inbox = group.create_task(shell.driver.run_inbox())
        await asyncio.sleep(0)
        await shell.driver.submit(raws[:3])
        await is_over.wait()
        inbox.cancel()
    places = [place for place, who in enumerate(order) if who == "client"]
    assert [after - before for before, after in itertools.pairwise(places)] == [4, 4]


async def test_wait_counts_what_clients_submitted(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a request until it is looked at or broken off."""
    waits: list[float] = []
    admit = shell.driver._admit_one

    def noted(*arguments: Any) -> Any:
        waits.append(shell.driver.wait_s())
        return admit(*arguments)

    monkeypatch.setattr(shell.driver, "_admit_one", noted)
    await shell.driver.submit([shell.world.transfer("alice", "bob", 1).raw])
    assert waits[0] > 0
    assert shell.driver.wait_s() == 0
    raws = [shell.world.transfer("bob", "eve", 1).raw]
    async with shell.driver._turns._locks[True]:
        submitting = asyncio.get_running_loop().create_task(shell.driver.submit(raws))
        await asyncio.sleep(0)
        assert shell.driver.wait_s() > 0
        submitting.cancel()
        await asyncio.wait([submitting])
    assert shell.driver.wait_s() == 0


async def test_wait_counts_what_a_full_block_of_the_pool_has_waited(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since the oldest of it came; less than a block is no queue, however old."""
    await shell.driver.submit([shell.world.transfer("alice", "bob", 1).raw])
    begun_ms = module.read_clocks().monotonic_ms
    later = module.Now(begun_ms + 5_000, 0)
    monkeypatch.setattr(module, "read_clocks", lambda: later)
    assert shell.driver.wait_s() == 0
    monkeypatch.setattr(module, "BLOCK_TRANSACTIONS_MAX", 1)
    assert shell.driver.wait_s() == pytest.approx(5.0, abs=0.5)
