"""A block that is not executed again comes to what executing it would have come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest

from ledger.block import Block
from ledger.economy.reserve import Reserve
from ledger.execution import execute_block
from ledger.objects import key_of
from ledger.reasons import Invalid, Reason
from ledger.schema import DamagedChain
from ledger.transaction import SignedTransaction
from ledger.view import Changes, Head, Outpoint, OutputEntry, View
from node import executor
from tests.ledger.world import World
from tests.sim.remembered_blocks import remembered_execution


class Counted:
    """A view that counts what it is asked for single values, and may answer one wrongly."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.asked: Counter[object] = Counter()
        self.wrong: dict[bytes, bytes | None] = {}
        self.forgotten = b""

    @property
    def head(self) -> Head:
        return self._view.head

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        self.asked[outpoint] += 1
        return self._view.output(outpoint)

    def is_spent(self, outpoint: Outpoint) -> bool:
        return self._view.is_spent(outpoint)

    def object(self, key: bytes) -> bytes | None:
        self.asked[key] += 1
        return self.wrong[key] if key in self.wrong else self._view.object(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return (row for row in self._view.objects(prefix) if row[0] != self.forgotten)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Block]]:
    """The blocks that were really executed."""
    found: list[Block] = []

    def execute(view: View, block: Block, txs: list[SignedTransaction]) -> Changes:
        found.append(block)
        return execute_block(view, block, txs)

    monkeypatch.setattr(executor, "execute_block", execute)
    with remembered_execution():
        yield found


def made() -> tuple[World, Block, list[SignedTransaction]]:
    world = World()
    txs = [world.mint(), world.transfer("alice", "bob")]
    return world, world.make_block(txs)[0], txs


def test_the_second_node_reads_the_same_and_is_given_the_changes(runs: list[Block]) -> None:
    """It is asked for every value, as often as the first was, and executes nothing."""
    world, block, txs = made()
    one, other = Counted(world.state), Counted(world.state)
    changes = executor.execute_block(one, block, txs)
    assert executor.execute_block(other, block, txs) is changes
    assert one.asked == other.asked
    assert sum(one.asked.values()) > 10
    assert len(runs) == 1


def test_a_node_that_reads_another_value_executes_for_itself(runs: list[Block]) -> None:
    """Each value that the first one read is lost once: nobody is given the changes of another
    state, and what was read is read no oftener than by a node that remembers nothing."""
    world, block, txs = made()
    one = Counted(world.state)
    changes = executor.execute_block(one, block, txs)
    keys = [key for key in one.asked if isinstance(key, bytes) and world.state.object(key)]
    assert len(keys) > 3
    for key in keys:
        other, alone = Counted(world.state), Counted(world.state)
        other.wrong[key] = alone.wrong[key] = None
        came_to = []
        for view, execute in ((other, executor.execute_block), (alone, execute_block)):
            try:
                found = execute(view, block, txs)
                came_to.append(f"{found.head.hash.hex()} {found is changes}")
            except (Invalid, DamagedChain) as error:
                came_to.append(str(error))
        assert came_to[0] == came_to[1]
        assert other.asked == alone.asked
    assert len(runs) == 1 + len(keys)


def test_a_row_that_is_gone_is_a_difference(runs: list[Block]) -> None:
    """Lists of objects are compared row by row: a mint leans on the bonds' issuers."""
    world, block, txs = made()
    executor.execute_block(world.state, block, txs)
    other = Counted(world.state)
    other.forgotten = key_of(Reserve, world.asset("val1"))
    with pytest.raises(Invalid) as refused:
        executor.execute_block(other, block, txs)
    assert refused.value.reason is Reason.SHORT_BOND
    assert len(runs) == 2


def test_what_fails_is_not_remembered(runs: list[Block]) -> None:
    """Every node finds for itself that a block is bad."""
    world, block, txs = made()
    bad = msgspec.structs.replace(
        block, header=msgspec.structs.replace(block.header, state_root=bytes(32))
    )
    for _ in range(2):
        with pytest.raises(Invalid) as refused:
            executor.execute_block(world.state, bad, txs)
        assert refused.value.reason is Reason.BAD_STATE_ROOT
    assert len(runs) == 2
