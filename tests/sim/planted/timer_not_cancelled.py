"""The timer of a transaction runs on when it is final: primaries are suspected that do their work.

Had by: Hyperledger Fabric 0.6 (PR#639) and BFT-SMaRt (9d484851), whose timers fired for nothing.
"""

from __future__ import annotations

from consensus.effects import Event, Now, Output, Pending
from consensus.replica import Replica
from tests.sim.planting import Planted

_right = Replica._handle


def _handle(self: Replica, event: Event, out: Output, now: Now) -> None:
    if event != Pending(None):
        _right(self, event, out, now)


PLANTED = Planted(
    target="consensus.replica:Replica._handle",
    wrong=_handle,
    checkers=("views at rest", "liveness"),
)
