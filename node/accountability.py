"""What this node keeps and says so that whoever lies can be named.

Whoever votes in a view can show what it entered with, before the first vote; whoever finds two
votes that no honest member signs both puts them on the chain.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from consensus.effects import Evidence, Now
from consensus.messages import NewView
from consensus.testimony import first_height
from ledger import codec
from ledger.mempool import WANT_OF_ROOM
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from ledger.validators import ValidatorSet
from ledger.witnesses import Witnesses
from node.accusing import ACCUSED_MAX, Accusations

log = logging.getLogger("marsa.engine")


_FOR_NOW = WANT_OF_ROOM | {Reason.LOW_DISK_SPACE}

Submit: TypeAlias = Callable[[SignedTransaction], Reason | None]
"""Put it into the own pool and everybody's; why it was refused, if it was."""


class Accountability:
    """One an engine; `accusations` wait for whoever puts them into the pool."""

    def __init__(self, chain_id: bytes, witnesses: Witnesses) -> None:
        self.accusations: list[SignedTransaction] = []
        self.liars: list[bytes] = []
        """Keys, one for each signature or certificate that does not hold: no evidence, since nobody
        signed it, but a bad message. They wait for whoever knows the links."""
        self._put_off: deque[SignedTransaction] = deque(maxlen=ACCUSED_MAX)  # there was no room
        self._witnesses = witnesses
        self._made = Accusations(chain_id)
        self._kept: NewView | None = None
        self._said: dict[bytes, int] = {}  # key -> height at which it was logged last

    def entered(self, new_view: NewView | None) -> None:
        """The replica stands in the view of this NEW-VIEW."""
        if new_view is not None and new_view is not self._kept:
            self._kept = new_view
            height, view = first_height(new_view), new_view.body.view
            self._witnesses.keep(height, view, codec.encode(new_view))

    def found(self, conflict: Evidence, validators: ValidatorSet, height: int, now: Now) -> None:
        """One transaction an epoch and one line a height against a member: whoever votes for
        everything must not fill the disk."""
        member = validators.members[conflict.first.signer]
        tx = self._made.make(conflict, validators, wall_ms=now.wall_ms)
        if tx is not None:
            self.accusations.append(tx)
        if self._said.get(member.key) != height:
            self._said[member.key] = height
            log.warning("evidence against %s %r", member.licence, conflict.second.payload)

    def offer(self, submit: Submit) -> bool:
        """Submit what was found, if anything was: that is the result. What finds no room is not
        found a second time, and waits for the next block."""
        waiting, self.accusations = self.accusations, []
        for tx in waiting:
            if submit(tx) in _FOR_NOW:
                self._put_off.append(tx)
        return bool(waiting)

    def block_came(self) -> None:
        """There may be room now."""
        self.accusations += self._put_off
        self._put_off.clear()
