"""New outputs enter the commitment in the order of a set, which differs between processes.

Had by: Aptos, which stood still in October 2023: a change for speed was not deterministic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ledger.accumulator import Commitments
from tests.sim.planting import Planted


def advance(
    self: Commitments,
    *,
    created: Iterable[bytes],
    spent: Iterable[int],
    objects: Mapping[bytes, bytes | None],
    supply_root: bytes,
) -> tuple[Commitments, list[tuple[int, bytes]]]:
    outputs, nodes = self.outputs.append(list(set(created)))
    after = Commitments(
        outputs,
        self.spent.spend(spent, outputs.count),
        self.objects.update(objects),
        supply_root,
    )
    return after, nodes


PLANTED = Planted(
    target="ledger.accumulator:Commitments.advance",
    wrong=advance,
    twice=True,
)
