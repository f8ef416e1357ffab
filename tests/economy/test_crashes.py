"""Every write of an economy's life fails, or the machine stops beside it, and nothing is lost.

A block is one atomic write. So there are four ways to stop at each: the write fails or the power
goes, before it or after it. What is opened again is the state before the block or after it, whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ledger.block import COMMIT, Block, Certificate, VotePayload, make_certificate, vote_hash
from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.execution import execute_block
from ledger.full_audit import audit_full
from ledger.genesis_state import genesis_state
from ledger.invariants import recount
from ledger.kv import MemoryKV, StorageError
from ledger.transaction import SignedTransaction, decode
from ledger.validators import ValidatorSet
from ledger.view import Head
from tests.economy.stage import Stage, stream_genesis
from tests.economy.stream import Stream
from tests.ledger.world import key
from tests.sim.disk import PowerCut, SimKV

ACTIONS = 300
SEED = 11
ORDERS = (
    *("redeem", "accept-redemption", "ready-redemption", "post-receipt", "close-redemption"),
    *("dispute-redemption", "rule-redemption"),
)
"""What the life has among the rest."""
POINTS = ("kv.write", "kv.written")
STOPS: tuple[type[BaseException], ...] = (StorageError, PowerCut)
AUDIT_EVERY = 5
"""Blocks between two audits of the whole store, whose cost grows with the chain."""


@dataclass
class Life:
    """Blocks of a stream, with the head after each."""

    blocks: list[Block] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)


class Recorder(Stage):
    """A stage that keeps what it made."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(heads=[self.world.state.head])
        self._raws: list[bytes] = []

    def begin(self, after_ms: int) -> None:
        super().begin(after_ms)
        self._validators = self.world.validators
        self._raws = []

    def took(self, tx: SignedTransaction) -> None:
        self._raws.append(tx.raw)

    def end(self, *, counted: bool) -> None:
        super().end(counted=counted)
        head = self.world.state.head
        self.life.heads.append(head)
        self.life.blocks.append(Block(head.header, tuple(self._raws)))
        self.life.certificates.append(certificate(head, self._validators))


def certificate(head: Head, validators: ValidatorSet) -> Certificate:
    """Signed by a quorum of the set."""
    payload = VotePayload(head.header.epoch, COMMIT, 0, head.header.height, head.hash)
    message = vote_hash(head.header.chain_id, payload)
    signers = validators.members[: validators.quorum]
    return make_certificate(
        payload,
        {
            validators.index_by_key[member.key]: key(f"{member.licence}/consensus").sign(message)
            for member in signers
        },
    )


class Disk:
    """Stops at the next write, once it is told where and how."""

    def __init__(self) -> None:
        self.kv = SimKV(self._boundary, MemoryKV())
        self._next: tuple[str, type[BaseException]] | None = None

    def stop_at(self, point: str, how: type[BaseException]) -> None:
        self._next = (point, how)

    def _boundary(self, point: str) -> None:
        if self._next is not None and point == self._next[0]:
            how, self._next = self._next[1], None
            raise how("input/output error")


def append(chain: Chain, block: Block, signed: Certificate) -> None:
    """As a node that fetches the block does."""
    txs = [decode(raw) for raw in block.transactions]
    chain.append(block, signed, execute_block(chain, block, txs), txs)


@pytest.fixture(scope="module")
def life() -> Life:
    stream = Stream(SEED, stage=Recorder())
    stage = stream.run(ACTIONS)
    assert isinstance(stage, Recorder)
    assert sum(stage.taken.values()) > ACTIONS // 4
    assert min(stage.taken[name] for name in ORDERS) > 0
    return stage.life


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize("point", POINTS)
def test_the_economy_outlives_a_stop_at_every_write(
    life: Life, point: str, how: type[BaseException]
) -> None:
    """At each block the process ends at the same point of its write. The next one opens a whole
    state, which audits and a recount confirm, and goes on to the root that was never disturbed."""
    disk = Disk()
    disk.stop_at(point, how)
    with pytest.raises(how):
        Chain.create(disk.kv, genesis_state(stream_genesis()))
    disk.kv.end_handle()
    if next(disk.kv.scan(b"", limit=1), None) is None:
        Chain.create(disk.kv, genesis_state(stream_genesis()))
    chain = Chain.open(disk.kv)
    for height, (block, signed) in enumerate(
        zip(life.blocks, life.certificates, strict=True), start=1
    ):
        disk.stop_at(point, how)
        with pytest.raises(how):
            append(chain, block, signed)
        disk.kv.end_handle()
        chain = Chain.open(disk.kv)
        assert chain.head == life.heads[chain.height]
        assert chain.height == height - (point == "kv.write")
        audit_boot(chain)
        recount(chain, chain.outputs())
        if height % AUDIT_EVERY == 0:
            assert list(audit_full(chain))
        if chain.height < height:
            append(chain, block, signed)
        assert chain.head == life.heads[height]
    assert list(audit_full(chain))
