"""Evil members that sign nothing wrong: they hold back, come late, or answer something else."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec

from consensus.messages import Status
from ledger import codec
from ledger.block import Block
from node.engine import MESSAGE_BYTES_MAX
from node.fetching import (
    GIVE_BYTES_MAX,
    FinalBlock,
    Give,
    GiveBody,
    GiveRange,
    GiveTransactions,
)
from p2p.wire import COMMIT, GIVE, NEW_VIEW, PRE_PREPARE, PREPARE, STATUS, TXS, VIEW_CHANGE
from tests.sim.byzantine import Posted
from tests.sim.node import SimNode

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

FAVOUR_MESSAGES = 60
"""So many messages to the same favoured members, then to others."""
MARGIN_MS_MAX = 200
"""How close to the time-out a delayer dares to go."""


class Withholder:
    """Sends bodies, votes and certificates to some members only."""

    def __init__(self, node: SimNode, rng: Random) -> None:
        self._node = node
        self._rng = rng
        kinds = (TXS, PRE_PREPARE, PREPARE, COMMIT, VIEW_CHANGE, NEW_VIEW, STATUS, GIVE)
        self._withheld = {kind for kind in kinds if rng.random() < 0.5}
        self._favoured: set[int] = set()
        self._sent = 0

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        if self._sent % FAVOUR_MESSAGES == 0:
            self._choose()
        self._sent += 1
        if number not in self._withheld:
            return [(to, number, payload)]
        wanted = sorted(self._favoured) if to is None else [to]
        return [(member, number, payload) for member in wanted if member in self._favoured]

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        return []

    def _choose(self) -> None:
        members = range(self._node.world.validators.n)
        others = [member for member in members if member != self._node.member]
        self._favoured = set(self._rng.sample(others, self._rng.randint(0, len(others) - 1)))


class Delayer:
    """As primary it proposes and enters views just before the others lose patience."""

    def __init__(self, node: SimNode, rng: Random, cluster: Cluster) -> None:
        self._node = node
        self._rng = rng
        self._cluster = cluster

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        if number not in (PRE_PREPARE, NEW_VIEW):
            return [(to, number, payload)]
        patience_ms = self._cluster.world.genesis.parameters.view_timeout_ms
        delay_ms = patience_ms - self._rng.randint(1, MARGIN_MS_MAX)
        network, address = self._cluster.network, self._node.address
        self._cluster.timeline.after(delay_ms, lambda: network.send(address, to, number, payload))
        return []

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        return []


class SyncLiar:
    """Tells a wrong height, and gives to who asks: nothing, or what does not belong together."""

    def __init__(self, node: SimNode, rng: Random) -> None:
        self._node = node
        self._rng = rng

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        draw = self._rng.random()
        if number == STATUS and draw < 0.5:
            return [(to, number, self._misplace(payload))]
        if number != GIVE or draw < 0.2:
            return [(to, number, payload)]
        if draw < 0.4:
            return []
        given = codec.decode(payload, Give, size_max=GIVE_BYTES_MAX).given
        return [(to, number, codec.encode(Give(self._spoil(given))))]

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        return []

    def _misplace(self, payload: bytes) -> bytes:
        status = codec.decode(payload, Status, size_max=MESSAGE_BYTES_MAX)
        height = max(0, status.height + self._rng.choice((-1, 1, 20)))
        certificate = status.certificate if self._rng.random() < 0.5 else ()
        lie = msgspec.structs.replace(status, height=height, certificate=certificate)
        return codec.encode(lie)

    def _spoil(
        self, given: GiveTransactions | GiveBody | GiveRange
    ) -> GiveTransactions | GiveBody | GiveRange:
        match given:
            case GiveTransactions(block_hash, transactions):
                return GiveTransactions(block_hash, (*transactions[1:], transactions[0][:-1]))
            case GiveBody(block):
                return GiveBody(self._spoil_block(block))
            case GiveRange(blocks):
                return GiveRange(self._spoil_range(blocks))

    def _spoil_range(self, blocks: tuple[FinalBlock, ...]) -> tuple[FinalBlock, ...]:
        place = self._rng.randrange(len(blocks))
        item, other = blocks[place], self._rng.choice(blocks)
        draw = self._rng.randrange(4)
        if draw == 0:
            return blocks[place:]  # from another height than was asked
        if draw == 1:
            spoilt = FinalBlock(item.block, other.certificate)
        elif draw == 2:  # the right certificate beside a wrong body
            spoilt = FinalBlock(self._spoil_block(item.block), item.certificate)
        else:
            header = msgspec.structs.replace(item.block.header, time_ms=1)
            spoilt = FinalBlock(Block(header, item.block.transactions), item.certificate)
        return (*blocks[:place], spoilt, *blocks[place + 1 :])

    def _spoil_block(self, block: Block) -> Block:
        raws = block.transactions
        return Block(block.header, raws[1:] if raws else (b"\x01" * 64,))
