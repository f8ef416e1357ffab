"""The load against a node with the real API: everything final, busy nodes obeyed, faults named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from cli import bench_load
from cli.bench_load import Load, drive
from cli.errors import CliError
from ledger.reasons import Invalid, Reason
from ledger.transaction import Fee, Input, Output, SignedTransaction
from node.api.services import Submission
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import lock_of, sign

COUNT = 50


@pytest.fixture
def node() -> Iterator[LiveNode]:
    with live_node() as node:
        yield node


def transfers(node: LiveNode) -> tuple[list[bytes], list[bytes]]:
    """A transaction with `COUNT` outputs, and one that spends each."""
    world = node.world
    coin = world.coin("alice")
    part = (coin.amount - 100_000) // COUNT
    outputs = [Output(coin.asset, part, lock_of("alice"))] * COUNT
    fee = Fee(coin.asset, coin.amount - part * COUNT)
    first = sign(world.body([coin], outputs, fee=fee), ["alice"])
    rest = [_transfer(node, first, index, part) for index in range(COUNT)]
    return [first.raw], [tx.raw for tx in rest]


def _transfer(node: LiveNode, made: SignedTransaction, index: int, part: int) -> SignedTransaction:
    asset = made.body.outputs[index].asset
    spent = Input(made.txid, index, asset, part)
    return node.world.transfer("alice", "bob", part // 2, coin=spent)


async def test_all_that_is_sent_becomes_final_level_by_level(node: LiveNode) -> None:
    """Two loads of which the second spends the first: counted, timed, in blocks."""
    seen: list[int] = []
    loads = transfers(node)
    record = await drive([node.url], loads, under_way_max=20, batch=8, on_final=seen.append)
    assert len(record.finals) == COUNT
    assert sum(count for _, count in record.blocks) == COUNT
    assert all(sent <= final for sent, final in record.finals)
    assert record.started_s <= record.finals[0][0] <= record.sending_ended_s
    assert seen[-1] == COUNT + 1
    assert seen == sorted(seen)


async def test_no_more_is_under_way_than_allowed(
    node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool never holds more than the limit, though four batches would fit into it."""
    loads = transfers(node)
    waiting: list[int] = []
    decide = node.decide

    def counting(txs: Sequence[SignedTransaction] | None = None) -> object:
        waiting.append(len(node.mempool))
        return decide(txs)

    monkeypatch.setattr(node, "decide", counting)
    await drive([node.url], loads, under_way_max=10, batch=5)
    assert max(waiting) <= 10


class BusyNode(LiveNode):
    """Has no room for the first requests."""

    refusals: list[Reason]

    async def submit(self, raws: Sequence[bytes]) -> list[Submission]:
        if not self.refusals:
            return await super().submit(raws)
        reason = self.refusals.pop()
        taken = await super().submit(raws[1:])
        return [Submission(None, refusal=Invalid(reason, "so it is")), *taken]


@pytest.fixture
def busy(node: LiveNode) -> BusyNode:
    node.__class__ = BusyNode
    assert isinstance(node, BusyNode)
    node.refusals = []
    return node


async def test_a_transaction_without_room_is_sent_again(
    busy: BusyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lone refusal answers 429 and names its wait; one of a batch comes with the results."""
    monkeypatch.setattr(bench_load, "RETRY_S", 0.0)
    first, rest = transfers(busy)
    busy.refusals = [Reason.MEMPOOL_FULL, Reason.SENDER_QUOTA]
    record = await drive([busy.url], [first, rest], under_way_max=100)
    assert len(record.finals) == COUNT
    assert busy.refusals == []


async def test_any_other_refusal_ends_the_run(busy: BusyNode) -> None:
    """A load whose transactions are wrong measures nothing."""
    first, rest = transfers(busy)
    await drive([busy.url], [first], under_way_max=100)
    busy.refusals = [Reason.UNKNOWN_INPUT]
    with pytest.raises(CliError, match="unknown_input") as caught:
        await drive([busy.url], [rest], under_way_max=100)
    assert caught.value.code == "load_refused"


async def test_a_network_that_decides_nothing_is_given_up(
    node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end, with how many are left and at which height."""
    monkeypatch.setattr(bench_load, "STALL_S", 0.05)
    node.is_deciding = False
    first, _ = transfers(node)
    with pytest.raises(CliError, match="1 transactions") as caught:
        await drive([node.url], [first], under_way_max=100)
    assert caught.value.code == "stalled"


async def test_sending_ends_with_the_time(node: LiveNode) -> None:
    """No time at all: nothing is sent, and that is no fault."""
    first, _ = transfers(node)
    record = await drive([node.url], [first], under_way_max=100, seconds=0.0)
    assert (record.finals, record.blocks) == ([], [])


async def test_a_load_that_is_stopped_ends_with_what_is_under_way(node: LiveNode) -> None:
    """What was sent is counted, the rest is never sent."""
    first, rest = transfers(node)
    await drive([node.url], [first], under_way_max=100)
    loads: list[Load] = []

    def stop(done: int) -> None:
        if done:
            loads[0].stop()

    record = await drive(
        [node.url], [rest], under_way_max=5, batch=5, on_final=stop, on_start=loads.append
    )
    assert 0 < len(record.finals) < COUNT
