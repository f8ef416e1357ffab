"""Every final block is reported twice: the first block of the first seed must give it away.

Had by: nobody for long. If this one lives, the search reports nothing at all.
"""

from __future__ import annotations

from consensus.effects import Now
from ledger.block import Certificate
from node.building import ExecutedBlock
from node.engine import Engine
from tests.sim.planting import Planted

_right = Engine._append_executed


def _append_executed(
    self: Engine, executed: ExecutedBlock, certificate: Certificate, now: Now
) -> None:
    _right(self, executed, certificate, now)
    self.finalized.append(self.finalized[-1])


PLANTED = Planted(
    target="node.engine:Engine._append_executed",
    wrong=_append_executed,
    checkers=("exactly once, in order",),
)
