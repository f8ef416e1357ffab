"""A SUSPECT raises the guard's view: whoever suspects votes no more, before f + 1 agree.

Had by: PBFT as published (Castro and Liskov 1999, 4.4), where a replica whose timer fires takes no
more messages of the view: one that is alone with its suspicion is lost until the next view.
"""

from __future__ import annotations

from consensus.effects import Now
from consensus.messages import Suspect
from node.engine import Engine
from tests.sim.planting import Planted

_right = Engine._carry_out


def _carry_out(self: Engine, now: Now) -> None:
    for item in [item for output in self._outputs for item in output.send]:
        if isinstance(item.message, Suspect):
            self.guard._memory._enter(item.message.epoch, item.message.view)
    _right(self, now)


PLANTED = Planted(
    target="node.engine:Engine._carry_out",
    wrong=_carry_out,
    checkers=("liveness", "views at rest"),
)
