"""Catching up through the engine: one peer of each bad kind beside honest ones.

Each test names what the bad peer does. It speaks first and is asked; the node comes to the tip
with the others, and who lied is charged. The clock is the test's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from consensus.messages import Status
from ledger import codec
from ledger.block import COMMIT, PREPARE, Block
from ledger.chain import Chain
from ledger.execution import Execution
from ledger.kv import MemoryKV
from ledger.reasons import Invalid, Reason
from node.fetching import (
    FETCH_BYTES_MAX,
    Fetch,
    FetchRange,
    FinalBlock,
    Give,
    Given,
    GivePruned,
    GiveRange,
    Wanted,
)
from node.serving import answer
from node.snapshot_held import HeldSnapshot
from node.sync import ANSWER_MS
from tests.node import test_engine
from tests.node.test_engine import MEMBER, payment
from tests.node.test_engine_epochs import KIT, Bench, certificate, status

BLOCKS = 7
"""Three epochs of two blocks and one block more."""
STATUS_MS = 1_000
STEP_MS = 100
END_MS = 60_000
LIAR, HONEST = 0, (2, 3)
Serve = Callable[[Wanted], tuple[Given | None, int]]
"""An answer and after how many milliseconds it is there; None: never."""
Say = Callable[[], Status]


def grow() -> Chain:
    """The chain that the honest peers have."""
    chain = Chain.create(MemoryKV(), KIT.world.changes)
    proposer = KIT.world.validators.members[0].key
    for height in range(1, BLOCKS + 1):
        time_ms = KIT.genesis.time_ms + 1_500 * height
        changes = Execution(chain, time_ms=time_ms, proposer=proposer).finish()
        header = changes.head.header
        chain.append(Block(header, ()), certificate(COMMIT, header), changes, [])
    return chain


CHAIN = grow()
HELD = HeldSnapshot(CHAIN)


def honest(wanted: Wanted) -> tuple[Given | None, int]:
    return answer(wanted, CHAIN, HELD, lambda _: None, lambda _: None), 30


def silent(wanted: Wanted) -> tuple[Given | None, int]:
    return None, 0


def drips(wanted: Wanted) -> tuple[Given | None, int]:
    """A byte a second: a frame that is not whole is no answer, and this one is whole too late."""
    return honest(wanted)[0], ANSWER_MS + STEP_MS


def says_pruned(wanted: Wanted) -> tuple[Given | None, int]:
    return (GivePruned(wanted.start, BLOCKS + 1) if isinstance(wanted, FetchRange) else None), 30


def spoil(change: Callable[[FinalBlock], FinalBlock]) -> Serve:
    """The first block of every range is changed."""

    def serve(wanted: Wanted) -> tuple[Given | None, int]:
        given, delay_ms = honest(wanted)
        if isinstance(given, GiveRange):
            given = GiveRange((change(given.blocks[0]), *given.blocks[1:]))
        return given, delay_ms

    return serve


def forged_signature(item: FinalBlock) -> FinalBlock:
    forged = replace(item.certificate, signatures=(bytes(64),) * len(item.certificate.signatures))
    return FinalBlock(item.block, forged)


def prepared_only(item: FinalBlock) -> FinalBlock:
    return FinalBlock(item.block, certificate(PREPARE, item.block.header))


def of_another_epoch(item: FinalBlock) -> FinalBlock:
    """Signed by the same keys for the same height, as if it were of the next epoch."""
    header = replace(item.block.header, epoch=item.block.header.epoch + 1)
    return FinalBlock(Block(header, ()), certificate(COMMIT, header))


def certificate_of_another_epoch(item: FinalBlock) -> FinalBlock:
    header = replace(item.block.header, epoch=item.block.header.epoch + 1)
    return FinalBlock(item.block, certificate(COMMIT, header))


def wrong_body(item: FinalBlock) -> FinalBlock:
    return FinalBlock(Block(item.block.header, (payment().raw,)), item.certificate)


def no_transaction(item: FinalBlock) -> FinalBlock:
    return FinalBlock(Block(item.block.header, (b"\1" * 64,)), item.certificate)


def at(height: int) -> Status:
    """What a node says that stands at this height."""
    header = CHAIN.header(height)
    assert header is not None
    return status(header, header.epoch + header.ends_epoch) if height else KIT.status()


def tip() -> Status:
    return at(BLOCKS)


class Laggard:
    """A node at height 0 and its peers; the one of `LIAR` speaks first."""

    def __init__(self, peers: dict[int, Serve], says: dict[int, Say] | None = None) -> None:
        self.bench = Bench()
        self.peers = peers
        self.says = dict.fromkeys(peers, tip) | (says or {})
        self.asked: Counter[int] = Counter()
        self.charged: dict[int, Reason] = {}
        self._coming: list[tuple[int, int, Give]] = []
        keys = [test_engine.KEYS[member] for member in peers]
        self.bench.engine.connected(frozenset(keys), self.bench.now)

    @property
    def height(self) -> int:
        return self.bench.chain.height

    def run(self) -> None:
        """Until it is at the tip, or for a minute of its clock."""
        for now_ms in range(0, END_MS, STEP_MS):
            if now_ms % STATUS_MS == 0:
                for member, say in self.says.items():
                    self.bench.hear(member, say())
            self._deliver()
            if self.height == BLOCKS:
                return
            self.bench.pass_ms(STEP_MS)

    def _deliver(self) -> None:
        sent, self.bench.sent = self.bench.sent, []
        for to, number, payload in sent:
            if number == Fetch.TYPE and to is not None:
                self.asked[to] += 1
                wanted = codec.decode(payload, Fetch, size_max=FETCH_BYTES_MAX).wanted
                given, delay_ms = self.peers[to](wanted)
                if given is not None:
                    self._coming.append((self.bench.clock_ms + delay_ms, to, Give(given)))
        due = [item for item in self._coming if item[0] <= self.bench.clock_ms]
        self._coming = [item for item in self._coming if item not in due]
        for _, member, given in due:
            try:
                self.bench.hear(member, given)
            except Invalid as error:
                self.charged[member] = error.reason


@pytest.fixture(autouse=True)
def epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_engine, "KIT", KIT)
    assert MEMBER not in (LIAR, *HONEST)


def beside_honest_ones(serve: Serve, say: Say = tip) -> Laggard:
    """It comes to the tip, and one of `LIAR`'s kind was asked or heard on the way."""
    laggard = Laggard({LIAR: serve} | dict.fromkeys(HONEST, honest), {LIAR: say})
    laggard.run()
    assert laggard.height == BLOCKS
    assert set(laggard.charged) <= {LIAR}
    return laggard


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (forged_signature, Reason.BAD_CERTIFICATE),
        (prepared_only, Reason.BAD_CERTIFICATE),
        (of_another_epoch, Reason.BAD_CERTIFICATE),
        (certificate_of_another_epoch, Reason.BAD_CERTIFICATE),
        (wrong_body, Reason.BAD_BODY),
        (no_transaction, Reason.MALFORMED),
    ],
)
def test_a_range_with_a_lie(lie: Callable[[FinalBlock], FinalBlock], reason: Reason) -> None:
    """A bad certificate, one of another epoch, a wrong body: charged by its reason."""
    laggard = beside_honest_ones(spoil(lie))
    assert laggard.asked[LIAR] > 0
    assert laggard.charged == {LIAR: reason}


def test_a_liar_alone_is_charged_each_time_and_moves_nothing() -> None:
    """Nobody else is there: it goes on claiming, pays for every answer, and nothing is stored."""
    laggard = Laggard({LIAR: spoil(wrong_body)})
    laggard.run()
    assert laggard.height == 0
    assert laggard.charged == {LIAR: Reason.BAD_BODY}


@pytest.mark.parametrize("serve", [silent, drips])
def test_a_peer_that_does_not_answer_in_time(serve: Serve) -> None:
    """Silent, or a byte a second: passed over after `ANSWER_MS`, and not charged."""
    laggard = beside_honest_ones(serve)
    assert laggard.asked[LIAR] > 0
    assert laggard.charged == {}


def test_a_height_that_is_too_high() -> None:
    """A thousand million in a far epoch, of which nothing can be proved: it costs one question,
    and no target comes of it."""
    far = replace(tip(), epoch=10**6, height=10**9)
    laggard = beside_honest_ones(silent, lambda: far)
    assert laggard.asked[LIAR] > 0
    assert laggard.bench.engine.sync.target <= BLOCKS


def test_a_height_that_is_too_high_in_this_epoch() -> None:
    """Above what its certificate proves: the claim is nobody's target."""
    far = replace(at(1), height=10**9)
    laggard = beside_honest_ones(honest, lambda: far)
    assert laggard.bench.engine.sync.target <= BLOCKS


@pytest.mark.parametrize("height", [0, 1, 3])
def test_a_height_that_is_too_low_or_stale(height: int) -> None:
    """It says for ever that it stands at genesis, in the first epoch or in the second."""
    laggard = beside_honest_ones(honest, lambda: at(height))
    assert laggard.charged == {}


def test_one_that_has_the_bodies_is_enough() -> None:
    """Two peers have pruned them and say so, the third has them all."""
    laggard = Laggard({LIAR: says_pruned, 2: says_pruned, 3: honest})
    laggard.run()
    assert laggard.height == BLOCKS
    assert laggard.asked[LIAR] + laggard.asked[2] > 0
    assert laggard.charged == {}


def test_where_all_have_pruned_it_is_known_and_not_asked_for_ever() -> None:
    """What the snapshot client waits for; each is asked at most once in `ANSWER_MS`."""
    laggard = Laggard(dict.fromkeys((LIAR, *HONEST), says_pruned))
    licensed = [test_engine.KEYS[member] for member in laggard.peers]
    laggard.run()
    assert laggard.height == 0
    assert laggard.bench.engine.sync.is_pruned(licensed, 1)
    assert sum(laggard.asked.values()) <= 3 * (END_MS // ANSWER_MS + 1)
    assert laggard.charged == {}
