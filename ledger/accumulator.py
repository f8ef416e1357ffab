"""What a header's `state_root` commits to, and how one block moves it.

Four parts: every output ever made, which of them are spent, the protocol objects, and the supply
with its backing. Each part proves its own claims (`verify_output`, `verify_spent`,
`verify_unspent`, `verify_object`, `verify_absent`); `StateRoots` ties the part's root to the
header, and the header's certificate makes it final.

Everything here is a value: a block that is not final yet has `Commitments` of its own, which
share with those of its parent all that the block did not touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ledger.codec import Bytes32, UInt, Wire
from ledger.crypto import tagged_hash
from ledger.merkle import count_bytes
from ledger.mountain_range import MountainRange
from ledger.object_tree import ObjectTree
from ledger.spent_bitmap import SpentBitmap

_state = tagged_hash("state")


class StateRoots(Wire, frozen=True):
    """The opening of a state root: what a proof about one part needs of the others."""

    outputs_root: Bytes32
    outputs_count: UInt
    spent_root: Bytes32
    objects_root: Bytes32
    supply_root: Bytes32

    @property
    def state_root(self) -> bytes:
        return _state(
            self.outputs_root,
            count_bytes(self.outputs_count),
            self.spent_root,
            self.objects_root,
            self.supply_root,
        )


@dataclass(frozen=True, slots=True)
class Commitments:
    """The state of one height as it is committed. Every output has a flag."""

    outputs: MountainRange
    spent: SpentBitmap
    objects: ObjectTree
    supply_root: bytes

    def __post_init__(self) -> None:
        if self.outputs.count != self.spent.count:
            raise AssertionError(f"{self.outputs.count} outputs, {self.spent.count} spent flags")

    @property
    def roots(self) -> StateRoots:
        return StateRoots(
            self.outputs.root,
            self.outputs.count,
            self.spent.root,
            self.objects.root,
            self.supply_root,
        )

    @property
    def state_root(self) -> bytes:
        return self.roots.state_root

    def advance(
        self,
        *,
        created: Iterable[bytes],
        spent: Iterable[int],
        objects: Mapping[bytes, bytes | None],
        supply_root: bytes,
    ) -> tuple[Commitments, list[tuple[int, bytes]]]:
        """The commitments after one block, and the (position, hash) output nodes to persist.

        `created` are leaf hashes in order, `spent` indices of outputs (those of this block
        included), `objects` the changed keys with the hash of their value, None for removed.
        """
        outputs, nodes = self.outputs.append(created)
        after = Commitments(
            outputs,
            self.spent.spend(spent, outputs.count),
            self.objects.update(objects),
            supply_root,
        )
        return after, nodes
