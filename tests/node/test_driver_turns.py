"""Requests take turns of one slice, whatever they bring and whenever they end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ledger import mempool
from ledger.block import COMMIT, Certificate
from ledger.codec import encode_payload
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from node import driver as module
from node import turns
from node.engine import FinalizedBlock
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
    """Of four validators a client's slice comes after three of peers, however many readers their
    inbox has; when it runs dry clients have all."""
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    order: list[str] = []
    admit = shell.driver._admit_one
    raws = [shell.world.transfer("alice", "bob", 1 + number).raw for number in range(20)]

    def noted(raw: bytes, key: bytes, pushed: Any, *more: Any) -> Any:
        order.append("client" if pushed is None else "peer")
        return admit(raw, key, pushed, *more)

    monkeypatch.setattr(shell.driver, "_admit_one", noted)
    for start in (8, 12, 16):
        shell.driver._queue("val1", encode_payload(Batch(tuple(raws[start : start + 4]))))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        readers = [group.create_task(shell.driver.run_inbox()) for _ in range(2)]
        await asyncio.sleep(0)
        await shell.driver.submit(raws[:8])
        for reader in readers:
            reader.cancel()
    places = [place for place, who in enumerate(order) if who == "client"]
    apart = [after - before for before, after in itertools.pairwise(places)]
    assert apart[:3] == [4] * 3
    assert apart[-3:] == [1] * 3


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


async def test_wait_counts_since_when_a_full_block_waits(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the primary is judged by: what fills no block is no queue."""
    is_full = [True]
    clock = itertools.count().__next__
    monkeypatch.setattr(shell.driver, "_turns", turns.Turns(clock))
    monkeypatch.setattr(shell.driver.engine.oversight, "full_block_waits", lambda: is_full[0])
    assert (shell.driver.wait_s(), shell.driver.wait_s()) == (1, 2)
    is_full[0] = False
    assert shell.driver.wait_s() == 0


class SlowCores:
    """Verify until they are told to end."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def verify(self, txs: Sequence[SignedTransaction]) -> None:
        self.has_begun.set()
        await self.may_end.wait()


async def test_clients_have_the_loop_while_other_cores_verify_for_peers(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many slices they had already."""
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    cores = SlowCores()
    shell.driver.workers = cast(VerifyWorkers, cores)
    raws = [shell.world.transfer("alice", "bob", 1 + at).raw for at in range(2 * TOGETHER_MIN)]
    shell.driver._queue("val1", encode_payload(Batch(tuple(raws[TOGETHER_MIN:]))))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        reader = group.create_task(shell.driver.run_inbox())
        await cores.has_begun.wait()
        results = await shell.driver.submit(raws[: TOGETHER_MIN - 1])
        cores.may_end.set()
        reader.cancel()
    assert len(results) == TOGETHER_MIN - 1


async def test_each_block_has_a_look_at_what_waits(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool that was full once and is again when somebody asks was not full all the time."""
    is_full = [True]
    monkeypatch.setattr(shell.driver, "_turns", turns.Turns(itertools.count().__next__))
    oversight = shell.driver.engine.oversight
    monkeypatch.setattr(oversight, "full_block_waits", lambda: is_full[0])
    shell.driver.wait_s()
    is_full[0] = False
    header = shell.driver.engine.chain.head.header
    certificate = Certificate(0, COMMIT, 0, 0, bytes(32), 0, ())
    shell.driver.engine.finalized.append(FinalizedBlock(header, certificate, [], {}))
    shell.driver._after_engine()
    is_full[0] = True
    assert shell.driver.wait_s() == 1
