"""Catching up by blocks and certificates: a plan, without clock or socket.

A target counts only with its certificate. A peer that claims a later epoch, of which nothing can
be proved yet, is only a reason to ask: blocks prove themselves. Ranges are asked of one peer at a
time, the next one while a range is executed; one that is silent for `ANSWER_MS`, has pruned them or
gives something wrong is passed over for the next. Each block is proved by its own certificate, and
its body by the header, before it waits here. It is executed and compared before it is appended, by
the same engine that appends decided blocks. An answer is used up to the end of an epoch: what
follows is proved by members that only the applied block names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from consensus.view_change import Rules
from ledger import transaction
from ledger.block import COMMIT, Block, Certificate, check_certificate, header_hash
from ledger.execution import check_body
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from node.fetching import RANGE_BLOCKS_MAX, FetchRange, FinalBlock, GivePruned, GiveRange

ANSWER_MS = 2_000
CLAIMS_MAX = 64
"""Peers whose claim of a later epoch is remembered, and beside the members whose failure is."""


@dataclass(frozen=True, slots=True)
class ProvedBlock:
    """A final block of this chain, whose body was read."""

    block: Block
    certificate: Certificate
    transactions: list[SignedTransaction]


@dataclass(frozen=True, slots=True)
class _Asked:
    peer: bytes
    start: int
    at_ms: int
    is_proved: bool
    """Whether a certificate says that the blocks exist, or a bare claim."""


class SyncPlan:
    """What is known to exist, what was asked for and what waits to be applied.

    Peers are named by their consensus keys, which outlive an epoch.
    """

    def __init__(self, rules: Rules, own: bytes) -> None:
        self._own = own
        self.target = 0
        self._proved_by: bytes | None = None
        self._asked: _Asked | None = None
        self._peer: bytes | None = None  # who is asked until it fails us
        self._claims: dict[bytes, None] = {}  # by the order in which they are asked
        self._waiting: deque[ProvedBlock] = deque()
        self._height = 0
        self._failed: dict[bytes, bool] = {}
        """Who was asked for the block after `_height` in vain: whether it has pruned it."""
        self._linked: frozenset[bytes] = frozenset()
        self._is_paused = False
        self.enter_epoch(rules)

    def __len__(self) -> int:
        return len(self._waiting)

    def enter_epoch(self, rules: Rules) -> None:
        """From now on certificates are of this epoch."""
        self._rules = rules
        keys = [member.key for member in rules.validators.members]
        self._others = [key for key in keys if key != self._own]

    def note_links(self, linked: frozenset[bytes]) -> None:
        """Who is linked now: a follower need not have a link with every member.

        Who is no longer will not answer: somebody else is asked at once.
        """
        gone, self._linked = self._linked - linked, linked
        for peer in gone:
            self._claims.pop(peer, None)
        if self._asked is not None and self._asked.peer in gone:
            self._turn_to_next()
            self._asked = None

    def pause(self, *, is_paused: bool) -> None:
        """Ask for nothing while a snapshot is taken that makes the blocks needless."""
        if is_paused != self._is_paused:
            self._is_paused = is_paused
            self._asked = None

    def is_pruned(self, licensed: Collection[bytes], f: int) -> bool:
        """Whether the next block is not to be had: more than `f` of these peers say that they have
        pruned it, so one at least does not lie, and no other of them is left to be asked."""
        told = sum(1 for peer in licensed if self._failed.get(peer))
        able = self._linked.intersection(self._others).union(self._claims).intersection(licensed)
        return told > f and able <= self._failed.keys()

    def want(self, peer: bytes, certificate: Certificate) -> None:
        """`certificate` is verified: blocks up to its height exist and `peer` has them."""
        if certificate.height > self.target:
            self.target = certificate.height
            self._proved_by = peer

    def hear_claim(self, peer: bytes) -> None:
        """`peer` says that it is in a later epoch."""
        if len(self._claims) < CLAIMS_MAX:
            self._claims.setdefault(peer)

    def request(self, height: int, now_ms: int) -> tuple[bytes, FetchRange] | None:
        """Whom to ask for the blocks after `height`, or None while nothing is due."""
        if height != self._height:
            self._height, self._failed = height, {}
        is_proved = height < self.target
        if not is_proved:
            self._peer = None
            if self._asked is not None and (self._asked.is_proved or self._asked.start <= height):
                self._asked = None  # whoever was asked need not answer any more
        if self._is_paused or self._waiting or self._is_awaited(is_proved, now_ms):
            return None
        if self._asked is not None:
            self._fail(self._asked.peer)
        peer = self._next_peer() if is_proved else self._next_claimant()
        if peer is None:
            self._asked = None
            return None
        self._asked = _Asked(peer, height + 1, now_ms, is_proved)
        end = height + RANGE_BLOCKS_MAX
        return peer, FetchRange(height + 1, min(self.target, end) if is_proved else end)

    def request_ahead(self, now_ms: int) -> tuple[bytes, FetchRange] | None:
        """Whom to ask for the blocks after those that wait, so that they come while these are
        executed; None where nothing is proved to follow in this epoch."""
        if not self._waiting or self._asked is not None or self._is_paused or self._peer is None:
            return None
        last = self._waiting[-1].block.header
        if last.height >= self.target or last.ends_epoch:
            return None
        self._asked = _Asked(self._peer, last.height + 1, now_ms, is_proved=True)
        end = min(self.target, last.height + RANGE_BLOCKS_MAX)
        return self._peer, FetchRange(last.height + 1, end)

    def deadline_ms(self) -> int | None:
        """When the asked peer is given up (monotonic)."""
        return None if self._asked is None else self._asked.at_ms + ANSWER_MS

    def give(self, peer: bytes, given: GiveRange) -> None:
        """Take an answer that was asked for; raises Invalid where a certificate does not hold.

        The blocks before the bad one are kept, its sender is passed over.
        """
        asked = self._asked
        if asked is None or asked.peer != peer:
            return
        self._asked = None
        for offset, item in enumerate(given.blocks):
            try:
                proved = self._check(item, asked.start + offset)
            except Invalid:
                self._fail(peer)
                raise
            self._waiting.append(proved)
            if item.block.header.ends_epoch:
                break
        if not asked.is_proved:
            self.hear_claim(peer)  # it kept its word: there may be more

    def hear_pruned(self, peer: bytes, given: GivePruned) -> None:
        """What was asked for is gone; raises Invalid for an answer that contradicts itself.

        Who says it again is waited for like one that is silent: else a round of all would follow
        the other without a pause.
        """
        asked = self._asked
        if asked is None or asked.peer != peer or asked.start != given.start:
            return
        if given.lowest <= given.start:
            self._asked = None
            self._fail(peer)
            detail = f"height {given.start} is pruned, and {given.lowest} is the lowest body"
            raise Invalid(Reason.MALFORMED, detail)
        if peer in self._failed:
            self._failed[peer] = True
            return
        self._asked = None
        self._fail(peer, is_pruned=True)

    def next_block(self, height: int) -> ProvedBlock | None:
        """The block after `height` if it waits; older ones are dropped."""
        while self._waiting and self._waiting[0].block.header.height <= height:
            self._waiting.popleft()
        if self._waiting and self._waiting[0].block.header.height == height + 1:
            return self._waiting.popleft()
        self._waiting.clear()
        return None

    def _is_awaited(self, is_proved: bool, now_ms: int) -> bool:
        """What is proved to exist does not wait for the answer to a claim."""
        asked = self._asked
        in_time = asked is not None and now_ms < asked.at_ms + ANSWER_MS
        return in_time and asked is not None and (asked.is_proved or not is_proved)

    def _next_peer(self) -> bytes | None:
        """Who has no link would only cost the time until it is given up."""
        self._peer = self._proved_by if self._peer is None else self._peer
        if not self._linked.isdisjoint(self._others):
            while self._peer is not None and self._peer not in self._linked:
                self._turn_to_next()
        return self._peer

    def _next_claimant(self) -> bytes | None:
        """Members first: whoever else is linked could claim the whole day."""
        if not self._claims:
            return None
        peer = next((key for key in self._claims if key in self._others), next(iter(self._claims)))
        del self._claims[peer]
        return peer

    def _fail(self, peer: bytes, *, is_pruned: bool = False) -> None:
        """It was asked for the next block and did not give it."""
        if peer in self._others or len(self._failed) < CLAIMS_MAX:  # followers displace no member
            self._failed[peer] = is_pruned or self._failed.get(peer, False)
        self._turn_to_next()

    def _turn_to_next(self) -> None:
        """The member after the one that failed us, round the whole set."""
        if self._peer is None:
            return
        place = self._others.index(self._peer) if self._peer in self._others else -1
        self._peer = self._others[(place + 1) % len(self._others)]

    def _check(self, item: FinalBlock, height: int) -> ProvedBlock:
        header, certificate = item.block.header, item.certificate
        names_block = (
            header.height == height
            and certificate.height == height
            and certificate.epoch == header.epoch == self._rules.epoch
            and certificate.block_hash == header_hash(header)
        )
        if not names_block:
            raise Invalid(Reason.BAD_CERTIFICATE, f"of another block than that at {height}")
        rules = self._rules
        check_certificate(certificate, rules.chain_id, rules.validators, COMMIT, rules.is_valid)
        transactions = [transaction.decode(raw) for raw in item.block.transactions]
        check_body(header, [tx.wtxid for tx in transactions])
        return ProvedBlock(item.block, certificate, transactions)
