"""Catching up by blocks and certificates: a plan, without clock or socket.

A target counts only with its certificate. Ranges are asked of one member at a time; a member that
is silent for `ANSWER_MS` or gives something wrong is passed over for the next one. Each block is
proved by its own certificate, executed and compared before it is appended, by the same engine
that appends decided blocks.
"""

from __future__ import annotations

from collections import deque

from consensus.view_change import Rules
from ledger.block import COMMIT, Certificate, check_certificate, header_hash
from ledger.reasons import Invalid, Reason
from node.fetching import RANGE_BLOCKS_MAX, FetchRange, FinalBlock, GiveRange

ANSWER_MS = 2_000


class SyncPlan:
    """What is known to exist, what was asked for and what waits to be applied."""

    def __init__(self, rules: Rules, others: tuple[int, ...]) -> None:
        self._rules = rules
        self._others = others
        self.target = 0
        self._proved_by: int | None = None
        self._asked: tuple[int, int, int] | None = None  # member, start height, monotonic ms
        self._member: int | None = None  # who is asked until it fails us
        self._waiting: deque[FinalBlock] = deque()

    def want(self, member: int, certificate: Certificate) -> None:
        """`certificate` is verified: blocks up to its height exist and `member` has them."""
        if certificate.height > self.target:
            self.target = certificate.height
            self._proved_by = member

    def request(self, height: int, now_ms: int) -> tuple[int, FetchRange] | None:
        """Whom to ask for the blocks after `height`, or None while nothing is due."""
        if height >= self.target:
            self._asked = self._member = None  # whoever was asked need not answer any more
            return None
        if self._waiting:
            return None
        if self._asked is not None and now_ms < self._asked[2] + ANSWER_MS:
            return None
        if self._asked is not None:
            self._turn_to_next()
        member = self._proved_by if self._member is None else self._member
        if member is None:
            return None
        self._member = member
        self._asked = (member, height + 1, now_ms)
        return member, FetchRange(height + 1, min(self.target, height + RANGE_BLOCKS_MAX))

    def deadline_ms(self) -> int | None:
        """When the asked member is given up (monotonic)."""
        return None if self._asked is None else self._asked[2] + ANSWER_MS

    def give(self, member: int, given: GiveRange) -> None:
        """Take an answer that was asked for; raises Invalid where a certificate does not hold.

        The blocks before the bad one are kept, its sender is passed over.
        """
        if self._asked is None or self._asked[0] != member:
            return
        start = self._asked[1]
        self._asked = None
        for offset, item in enumerate(given.blocks):
            try:
                self._check(item, start + offset)
            except Invalid:
                self._turn_to_next()
                raise
            self._waiting.append(item)

    def next_block(self, height: int) -> FinalBlock | None:
        """The block after `height` if it waits; older ones are dropped."""
        while self._waiting and self._waiting[0].block.header.height <= height:
            self._waiting.popleft()
        if self._waiting and self._waiting[0].block.header.height == height + 1:
            return self._waiting.popleft()
        self._waiting.clear()
        return None

    def pass_over(self) -> None:
        """A proved block had a body of another: drop what waits and ask somebody else."""
        self._turn_to_next()
        self._waiting.clear()
        self._asked = None

    def _turn_to_next(self) -> None:
        """The member after the one that failed us, round the whole set."""
        if self._member in self._others:
            place = self._others.index(self._member)
            self._member = self._others[(place + 1) % len(self._others)]

    def _check(self, item: FinalBlock, height: int) -> None:
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
