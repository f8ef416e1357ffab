"""Of several prepared blocks for a height a NEW-VIEW takes the one of the lowest view.

Had by: concord-bft (PR#50) made a wrong choice too: it left out all certificates of a number when
one of them was bad, and lost a committed value.
"""

from __future__ import annotations

from collections.abc import Sequence

from consensus.messages import PreparedEntry
from consensus.view_change import CheckedViewChange, Derived
from ledger.block import header_hash
from tests.sim.planted_focus import laddered
from tests.sim.planting import Planted


def derive(view_changes: Sequence[CheckedViewChange]) -> Derived:
    highest = max(view_changes, key=lambda item: item.base.height)
    base = highest.base
    best: dict[int, PreparedEntry] = {}
    for item in view_changes:
        for entry in item.entries:
            held = best.get(entry.header.height)
            if held is None or entry.certificate.view < held.certificate.view:
                best[entry.header.height] = entry
    proposals = []
    parent = header_hash(base)
    height = base.height + 1
    while height in best and best[height].header.parent_hash == parent:
        proposals.append(best[height])
        parent = best[height].certificate.block_hash
        height += 1
    certificates = highest.message.body.base_certificate
    return Derived(base, certificates[0] if certificates else None, tuple(proposals))


PLANTED = Planted(
    target="consensus.view_change:derive",
    wrong=derive,
    checkers=("agreement", "LockedBlock"),
    focus=laddered,
)
