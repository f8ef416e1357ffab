"""When a primary that goes on deciding blocks is a bad one all the same.

Two causes beside silence: it passes over a transaction that it has been sent twice, and it decides
less than half of what this chain could, while a full block waits. Load alone is never a cause:
what waits behind a full pool is no proof, nor is a full block that a short burst left behind.

Pure, and integers only: time and facts come as arguments. Bounds: `PassedOver` holds what one
re-send names (`ledger.mempool.RESENT_MAX`), `Throughput` an hour of windows.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from ledger.block import (
    BLOCK_BYTES_MAX,
    BLOCK_SIGNATURES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    TRANSACTION_OPERATIONS_MAX,
)
from ledger.execution import (
    FREE_PER_IDENTITY_MAX,
    FREE_SHARE,
    TROUBLED_SHARE,
    Kind,
    kind_of,
    operations_max,
)
from ledger.mempool import TRANSACTIONS_MAX
from ledger.operations import identities
from ledger.parameters import PPM
from ledger.transaction import SignedTransaction

ROOMY_BLOCKS = 8
"""Blocks with room that an honest primary, who takes what came first, cannot make without it."""
ROOMY_PPM_MAX = 900_000
"""Below it a block has room: the next transaction that did not fit is smaller than the rest. Of
operations, of which a block holds few, it has while the largest transaction would have fitted."""
DECIDED_MAX = TRANSACTIONS_MAX + 4 * BLOCK_TRANSACTIONS_MAX
"""Of its class: a full pool, the room of all members beside it, and what is in flight."""
WINDOW_MS = 10_000
WINDOWS_MAX = 360  # the last hour
REST_MS = 600_000  # between two suspicions for low throughput: load that changed is no cause twice


@dataclass(frozen=True, slots=True)
class BlockFill:
    """What a block used: of its fullest limit in millionths, operations apart."""

    whole_ppm: int
    roomy: frozenset[Kind]
    """Those of which it could have held another one."""
    decided: Counter[Kind]
    """How many of each it holds."""

    @classmethod
    def of(cls, transactions: Sequence[SignedTransaction], troubled: Container[bytes]) -> BlockFill:
        """`troubled` are the assets in which few fees are taken."""
        by_kind: dict[Kind, list[SignedTransaction]] = {kind: [] for kind in Kind}
        for tx in transactions:
            by_kind[kind_of(tx, troubled)].append(tx)
        free, in_trouble = by_kind[Kind.FREE], by_kind[Kind.TROUBLED]
        issuers = Counter(issuer for tx in free for issuer in identities(tx.body.operations))
        most = max(issuers.values(), default=0) * PPM // FREE_PER_IDENTITY_MAX
        whole_ppm = _fill_ppm(transactions)
        roomy = set()
        if whole_ppm < ROOMY_PPM_MAX:
            roomy.add(Kind.PAYMENT)
            if _has_room(transactions):
                roomy.add(Kind.OPERATION)
                if most < ROOMY_PPM_MAX and _has_room(free, FREE_SHARE):
                    roomy.add(Kind.FREE)
                if _has_room(in_trouble, TROUBLED_SHARE):
                    roomy.add(Kind.TROUBLED)
        decided = Counter({kind: len(found) for kind, found in by_kind.items()})
        return cls(whole_ppm, frozenset(roomy), decided)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction that can be executed and waits for longer than T."""

    txid: bytes
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the counters stood at a transaction's second re-send."""

    kind: Kind
    at_ms: int
    roomy: int
    decided: int


class PassedOver:
    """What the present primary was sent again, and what it decided since."""

    def __init__(self) -> None:
        self._marks: dict[bytes, _Mark | None] = {}  # None: re-sent once
        self._roomy: Counter[Kind] = Counter()  # blocks with room
        self._decided: Counter[Kind] = Counter()  # transactions

    def __len__(self) -> int:
        return len(self._marks)

    def forget(self) -> None:
        """Another primary, or one that may not have heard."""
        self._marks.clear()

    def on_resent(self, round_: Sequence[Waiting], now_ms: int) -> None:
        """All of `round_` went to the primary; whatever is absent waits no more."""
        held, self._marks = self._marks, {}
        for item in round_:
            mark = held.get(item.txid)
            is_other = mark is None or mark.kind is not item.kind
            if is_other and item.txid in held:
                roomy, decided = self._roomy[item.kind], self._decided[item.kind]
                mark = _Mark(item.kind, now_ms, roomy, decided)
            self._marks[item.txid] = mark

    def on_decided(self, fill: BlockFill) -> None:
        """A block became final."""
        self._roomy.update(fill.roomy)
        self._decided.update(fill.decided)

    def accusing(self, now_ms: int, patience_ms: int) -> Iterator[bytes]:
        """Transactions that an honest primary would have decided, if they still wait."""
        for txid, mark in self._marks.items():
            if mark is None:
                continue
            had_room = (
                now_ms >= mark.at_ms + patience_ms
                and self._roomy[mark.kind] >= mark.roomy + ROOMY_BLOCKS
            )
            if had_room or self._decided[mark.kind] > mark.decided + DECIDED_MAX:
                yield txid


class Throughput:
    """What was decided in windows of 10 s, against the best of the last hour."""

    def __init__(self, now_ms: int) -> None:
        self._begin_ms = now_ms
        self._decided_ppm = 0
        self._is_fair = False  # the first window may begin anywhere
        self._past: deque[tuple[int, int]] = deque(maxlen=WINDOWS_MAX)  # (begin, decided)
        self._slow_until_ms = now_ms
        self._rest_until_ms = now_ms

    def forget(self) -> None:
        """Another primary, or a lag of our own: this window judges nobody."""
        self._is_fair = False
        self._slow_until_ms = self._begin_ms

    def is_open(self, now_ms: int) -> bool:
        """Whether `look` can change anything: a window that was not full for once stays so."""
        return self._is_fair or now_ms >= self._begin_ms + WINDOW_MS

    def look(self, now_ms: int, *, full_block_waits: bool) -> None:
        """To be called whenever what waits or the time has changed."""
        if now_ms >= self._begin_ms + WINDOW_MS:
            self._end_window(now_ms)
        self._is_fair = self._is_fair and full_block_waits

    def on_decided(self, fill: BlockFill) -> None:
        self._decided_ppm += fill.whole_ppm

    def is_slow(self, now_ms: int) -> bool:
        return now_ms < self._slow_until_ms

    def _end_window(self, now_ms: int) -> None:
        """A window that nobody ended in time says nothing: this machine stood still."""
        end_ms = self._begin_ms + WINDOW_MS
        in_time = now_ms < end_ms + WINDOW_MS
        if in_time:
            since_ms = now_ms - WINDOWS_MAX * WINDOW_MS
            best_ppm = max([ppm for at_ms, ppm in self._past if at_ms > since_ms], default=0)
            is_slow = self._is_fair and 2 * self._decided_ppm < best_ppm
            if is_slow and now_ms >= self._rest_until_ms:
                self._slow_until_ms = now_ms + WINDOW_MS
                self._rest_until_ms = now_ms + REST_MS
            self._past.append((self._begin_ms, self._decided_ppm))
        self._begin_ms = end_ms if in_time else now_ms
        self._decided_ppm = 0
        self._is_fair = True


def _has_room(transactions: Sequence[SignedTransaction], share: int = 1) -> bool:
    """Whether any other one would have fitted into this part of a block."""
    left = operations_max(share) - sum(tx.operations_count for tx in transactions)
    fits = left >= TRANSACTION_OPERATIONS_MAX
    return fits and _fill_ppm(transactions) * share < ROOMY_PPM_MAX


def _fill_ppm(transactions: Sequence[SignedTransaction]) -> int:
    """The fullest of a block's limits, operations apart."""
    signatures = sum(len(tx.witness.signatures) for tx in transactions)
    size_bytes = sum(len(tx.raw) for tx in transactions)
    return max(
        len(transactions) * PPM // BLOCK_TRANSACTIONS_MAX,
        signatures * PPM // BLOCK_SIGNATURES_MAX,
        size_bytes * PPM // BLOCK_BYTES_MAX,
    )
