"""A state and its roots a second time, naively; it imports nothing of the node.

A state is three plain values: all outputs ever made in order, which of them are spent, and the
objects by key. Every root is worked out from scratch; what a leaf is, once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

from tests.ledger.second_codec import TYPE_BYTES, unpack, write
from tests.ledger.second_rules import pack
from tests.ledger.second_shape import digest

RATIO_MAX = 10**9
LEAVES_MAX = 16_384
_PARAMETERS = bytes([TYPE_BYTES["Parameters"]])
"""The key of the object that every state holds."""


def tree_top(node: str, level: list[bytes]) -> bytes:
    """From the top down: the left half holds the largest power of two below the count."""
    if len(level) == 1:
        return level[0]
    half = 1 << (len(level) - 1).bit_length() - 1
    return digest(node, tree_top(node, level[:half]), tree_top(node, level[half:]))


def list_root(root: str, node: str, level: list[bytes], count: int) -> bytes:
    tops = [tree_top(node, level)] if level else []
    return digest(root, count.to_bytes(8, "big"), *tops)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    level = [digest("merkle/leaf", leaf) for leaf in leaves]
    return list_root("merkle/root", "merkle/node", level, len(level))


@lru_cache(maxsize=LEAVES_MAX)
def object_leaf(key: bytes, value: bytes) -> tuple[int, bytes]:
    """Where it stands, and its hash."""
    place = digest("objects/key", key)
    leaf = digest("objects/leaf", place, digest("objects/value", value))
    return int.from_bytes(place, "big"), leaf


def object_root(objects: dict[bytes, bytes]) -> bytes:
    leaves = [object_leaf(key, value) for key, value in objects.items()]

    def top(items: list[tuple[int, bytes]], bit: int) -> bytes:
        if len(items) <= 1:
            return items[0][1] if items else bytes(32)
        halves = [[item for item in items if item[0] >> bit & 1 == side] for side in (0, 1)]
        return digest("objects/node", top(halves[0], bit - 1), top(halves[1], bit - 1))

    return top(leaves, 255)


class Economy(NamedTuple):
    """Numbers of the compute coin, in the order of their array."""

    deliverability_ppm: int
    mint_cap_ppm: int
    bond_ppm: int
    deposit_ppm: int
    life_ms: int
    lower_ms: int
    proposal_ms: int
    contest_ms: int
    cure_ms: int
    bond_cure_ms: int
    application_ms: int
    suspension_ms: int
    rotation_ms: int
    regulator_rotation_ms: int
    winddown_ms: int
    order_ms_max: int
    audit_devices: int
    accept_ms: int
    closing_ms: int
    tick_ms: int
    penalty_ppm: int
    penalty_ppm_max: int
    forgive_ms: int
    step_ppm: int
    step_spacing_ms: int
    notice_ms: int
    trigger_ppm: int


@dataclass
class State:
    """Outputs as [txid, index, asset, amount, lock, height], and the block in the making."""

    chain_id: bytes
    outputs: list[list[Any]] = field(default_factory=list)
    spent: set[int] = field(default_factory=set)
    objects: dict[bytes, bytes] = field(default_factory=dict)
    height: int = 0
    time_ms: int = 0
    parent_hash: bytes = b""
    touched: set[bytes] = field(default_factory=set)
    """Keys of objects that the block wrote or removed."""
    is_open: bool = False
    """The block holds a transaction that is not of government."""
    operations: int = 0
    """In the block."""
    free_operations: int = 0

    def copy(self) -> State:
        """Another state that begins as this one."""
        return replace(
            self,
            outputs=list(self.outputs),
            spent=set(self.spent),
            objects=dict(self.objects),
            touched=set(self.touched),
        )

    def put(self, kind: str, identity: bytes, value: Any) -> None:
        key = bytes([TYPE_BYTES[kind]]) + identity
        self.objects[key] = write(kind, value)
        self.touched.add(key)

    def get(self, kind: str, identity: bytes = b"") -> Any:
        data = self.objects.get(bytes([TYPE_BYTES[kind]]) + identity)
        return None if data is None else unpack(data)

    def drop(self, kind: str, identity: bytes) -> None:
        key = bytes([TYPE_BYTES[kind]]) + identity
        self.objects.pop(key, None)
        self.touched.add(key)

    def all(self, kind: str, start: bytes = b"") -> list[Any]:
        """Those whose identity begins so, in ascending order."""
        prefix = bytes([TYPE_BYTES[kind]]) + start
        keys = sorted([key for key in self.objects if key.startswith(prefix)])
        return [unpack(self.objects[key]) for key in keys]

    @property
    def clock_ms(self) -> int:
        """The ledger clock."""
        return int(self.get("LedgerClock")[0])

    @property
    def period_ms(self) -> int:
        return int(self.get("Parameters")[4])

    @property
    def period(self) -> int:
        """The number of the present period."""
        return self.clock_ms // self.period_ms

    @property
    def economy(self) -> Economy:
        return _economy(self.objects[_PARAMETERS])

    def pay(self, txid: bytes, index: int, output: list[Any]) -> None:
        """Make an output [asset, amount, lock]."""
        self.outputs.append([txid, index, *output, self.height])

    def roots(self) -> dict[str, bytes]:
        leaves = [digest("output", pack([1, *item, bytes(16)])) for item in self.outputs]
        count = len(leaves)
        chunks = []
        for first in range(0, count, 1024):
            flags = bytearray(128)
            for index in self.spent:
                if first <= index < first + 1024:
                    flags[(index - first) // 8] |= 1 << index % 8
            chunks.append(digest("spent/chunk", bytes(flags)))
        lines = [supply_line(item) for item in self.all("Reserve")]
        roots = {
            "outputs": list_root("outputs/root", "outputs/node", leaves, count),
            "spent": list_root("spent/root", "spent/node", chunks, count),
            "objects": object_root(self.objects),
            "supply": merkle_root([digest("supply", pack(line)) for line in lines]),
        }
        roots["state"] = digest(
            "state",
            roots["outputs"],
            count.to_bytes(8, "big"),
            roots["spent"],
            roots["objects"],
            roots["supply"],
        )
        return roots


@lru_cache(maxsize=16)
def _economy(parameters: bytes) -> Economy:
    return Economy(*unpack(parameters)[13])


def supply_line(reserve: list[Any]) -> list[Any]:
    asset, _, supply, backing, soon = reserve[:5]
    ratios = [
        min(part * 10**6 // supply, RATIO_MAX) if supply else RATIO_MAX for part in (backing, soon)
    ]
    return [asset, supply, backing, *ratios]
