"""A primary with a window of four: what is in flight is neither waited for nor proposed again."""

from __future__ import annotations

import pytest

from consensus.messages import PrePrepare
from consensus.replica_state import START_WAIT_MS
from ledger import codec
from ledger.block import COMMIT, PREPARE, Header, header_hash
from ledger.transaction import SignedTransaction
from node.building import BUSY_INTERVAL_MS
from tests.consensus.kit import Kit
from tests.node import test_engine
from tests.node.test_engine import Bench
from tests.sim.clients import Clients
from tests.sim.reference import Reference

KIT = Kit(4, 4)
OTHERS = (1, 2, 3)


class Primary(Bench):
    """Member 0; block 1 is final."""

    def __init__(self) -> None:
        super().__init__(member=0)
        self.built = 0
        build = self.engine.executor.build

        def counted(*arguments):  # type: ignore[no-untyped-def]
            self.built += 1
            return build(*arguments)

        self.engine.executor.build = counted  # type: ignore[method-assign]
        for other in OTHERS:
            self.hear(other, KIT.status(heard=0b1111))
        self.pass_ms(START_WAIT_MS)
        self.vote(self.proposed()[0], PREPARE, COMMIT)
        assert self.chain.height == 1

    def proposed(self) -> list[Header]:
        """Since the last question."""
        sent = [item[2] for item in self.sent if item[1] == PrePrepare.TYPE]
        self.sent.clear()
        return [codec.decode(item, PrePrepare, size_max=1 << 17).header for item in sent]

    def vote(self, header: Header, *phases: int) -> None:
        for phase in phases:
            for member in OTHERS[:2]:
                self.hear(member, KIT.vote(member, phase, header))

    def admit(self, tx: SignedTransaction) -> None:
        self.intake.admit(tx, self.now)
        self.pass_ms(0)


@pytest.fixture
def primary(monkeypatch: pytest.MonkeyPatch) -> Primary:
    monkeypatch.setattr(test_engine, "KIT", KIT)
    return Primary()


@pytest.fixture
def payments() -> list[SignedTransaction]:
    clients = Clients(KIT.world, Reference(KIT.world), seed=1)
    made = [tx for _ in range(40) for tx in clients.make(0, cheat=False) if tx.body.inputs]
    assert len(made) > 2
    return made


def test_the_next_block_waits_for_none_in_flight(
    primary: Primary, payments: list[SignedTransaction]
) -> None:
    """The second goes out while the first has no votes, on top of it and without its transactions.
    Votes and time bring no third as long as nothing new waits, and none is even built."""
    interval_ms = KIT.world.genesis.parameters.block_interval_ms
    headers = []
    for tx in payments[:2]:
        primary.admit(tx)
        primary.pass_ms(interval_ms)
        headers += primary.proposed()
    first, second = headers
    assert (first.height, second.height) == (2, 3)
    assert second.parent_hash == header_hash(first)
    built = primary.built
    primary.vote(first, PREPARE)
    primary.vote(second, PREPARE)
    primary.pass_ms(10 * interval_ms)
    assert (primary.proposed(), primary.built) == ([], built)
    primary.vote(second, COMMIT)
    assert primary.chain.height == 1
    primary.vote(first, COMMIT)
    assert primary.chain.height == 3
    assert len(primary.mempool) == 0


def test_while_more_comes_in_blocks_in_flight_keep_a_distance(
    primary: Primary, payments: list[SignedTransaction]
) -> None:
    """From the one that was built last, though none became final since; the engine asks to be
    woken then."""
    primary.engine.is_admitting = lambda: True
    primary.pass_ms(BUSY_INTERVAL_MS)
    primary.admit(payments[0])
    primary.pass_ms(BUSY_INTERVAL_MS)
    assert len(primary.proposed()) == 1
    built_ms = primary.clock_ms
    primary.admit(payments[1])
    primary.pass_ms(BUSY_INTERVAL_MS - 1)
    assert primary.proposed() == []
    assert primary.engine.deadline_ms == built_ms + BUSY_INTERVAL_MS
    primary.pass_ms(1)
    assert [header.height for header in primary.proposed()] == [3]
