"""Frames of every number with payloads of every kind, whole and changed by chance: whatever comes,
an engine says Invalid or takes it, and never raises anything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from random import Random

from consensus.messages import MESSAGE_BY_TYPE, Suspect
from ledger import codec
from ledger.block import COMMIT, PREPARE, Block
from ledger.codec import Wire
from ledger.reasons import Invalid
from node.fetching import (
    Fetch,
    FetchBody,
    FetchRange,
    FetchTransactions,
    FinalBlock,
    Give,
    GiveBody,
    GivePruned,
    GiveRange,
    GiveTransactions,
)
from tests.node.test_engine import KEYS, KIT, Bench

NUMBERS = (*MESSAGE_BY_TYPE, Fetch.TYPE, Give.TYPE, 0, 1, 99, 255)
CHANGED_A_PAIR = 12
SEED = 20_261_130


def payloads(block: Block) -> Iterator[Wire]:
    """One of each kind, as honest members send it about this block."""
    header = block.header
    changes = [KIT.view_change(member, 1, entries=[KIT.entry(header)]) for member in (0, 1, 2)]
    yield KIT.pre_prepare(header)
    yield KIT.vote(2, PREPARE, header)
    yield KIT.vote(2, COMMIT, header)
    yield Suspect(0, 1)
    yield changes[0]
    yield KIT.new_view(1, changes)
    yield KIT.status(header)
    yield Fetch(FetchRange(1, 3))
    yield Fetch(FetchBody(b"\1" * 32))
    yield Fetch(FetchTransactions(b"\1" * 32, (b"\2" * 32,)))
    yield Give(GiveBody(block))
    yield Give(GiveTransactions(b"\1" * 32, (b"\2",)))
    yield Give(GivePruned(1, 9))
    yield Give(GiveRange((FinalBlock(block, KIT.certificate(COMMIT, header)),)))


def changed(rng: Random, payload: bytes) -> bytes:
    """A byte is another one, some are gone, or some more are there."""
    at = rng.randrange(len(payload))
    match rng.randrange(3):
        case 0:
            return payload[:at] + bytes((rng.randrange(256),)) + payload[at + 1 :]
        case 1:
            return payload[:at] + payload[at + rng.randint(1, 40) :]
        case _:
            return payload[:at] + rng.randbytes(rng.randint(1, 40)) + payload[at:]


def test_every_envelope_with_every_payload() -> None:
    """All pairs from members and from strangers; then each payload changed a few times."""
    rng = Random(SEED)
    bench = Bench()
    block, _ = bench.block()
    senders = (*KEYS, b"observer:1")
    told = {Invalid: 0, None: 0}
    for number, message in product(NUMBERS, payloads(block)):
        good = codec.encode(message)
        frames = [good, *(changed(rng, good) for _ in range(CHANGED_A_PAIR))]
        for frame in frames:
            bench.clock_ms += 1
            reason = Invalid
            with suppress(Invalid):
                bench.engine.receive(rng.choice(senders), number, frame, bench.now)
                reason = None
            told[reason] += 1
    assert bench.chain.height <= 1
    assert min(told.values()) >= 50, told
