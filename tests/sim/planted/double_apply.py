"""A block that catching up appended is delivered again when its votes arrive.

Had by: SmartBFT three times after synchronisation (#553, #560, #570).
"""

from __future__ import annotations

from consensus.effects import CaughtUp, Now
from node.engine import Engine
from tests.sim.planting import Planted


def _apply_next_final(self: Engine, now: Now) -> bool:
    item = self.sync.next_block(self.chain.height)
    if item is None:
        return False
    executed = self.executor.execute_final(item)
    self._append_executed(executed, item.certificate, now)
    self.finalized.append(self.finalized[-1])
    self._inbox.appendleft(CaughtUp(item.block.header, item.certificate))
    return True


PLANTED = Planted(
    target="node.engine:Engine._apply_next_final",
    wrong=_apply_next_final,
    checkers=("exactly once, in order",),
)
