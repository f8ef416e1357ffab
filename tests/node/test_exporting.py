"""What a node exports of its chain: one epoch, a range, and the NEW-VIEWs that belong to it."""

from __future__ import annotations

import pytest

from consensus.messages import NewView, NewViewBody
from ledger import codec, schema
from ledger.block import COMMIT, VotePayload, header_hash, make_certificate, vote_hash
from ledger.chain import Chain
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.schema import DamagedChain
from ledger.witnesses import Witnesses
from node.errors import NodeError
from node.exporting import export_material
from tests.ledger.world import World, key, make_genesis

EPOCH_BLOCKS = 4
"""Behind the last: heights 1 to 5 are of epoch 0, 6 to 10 of epoch 1."""
HEIGHT = 11


class Node:
    """A chain of three epochs and a table of NEW-VIEWs in one store."""

    def __init__(self) -> None:
        self.world = World(make_genesis(epoch_blocks=EPOCH_BLOCKS, epoch_ms=1_000))
        self.kv = MemoryKV()
        self.chain = Chain.create(self.kv, genesis_state(self.world.genesis))
        self.witnesses = Witnesses(self.kv)
        for _ in range(HEIGHT):
            self._append()

    def _append(self) -> None:
        members = self.world.validators
        block, changes = self.world.make_block((), 1_000)
        self.world.state.apply(changes)
        header = block.header
        payload = VotePayload(header.epoch, COMMIT, 0, header.height, header_hash(header))
        message = vote_hash(self.world.chain_id, payload)
        signatures = {
            index: key(f"{members.members[index].licence}/consensus").sign(message)
            for index in range(members.quorum)
        }
        self.chain.append(block, make_certificate(payload, signatures), changes)

    def enter(self, epoch: int, view: int, height: int) -> NewView:
        message = NewView(NewViewBody(epoch, view, (), 0), bytes(64))
        self.witnesses.keep(height, view, codec.encode(message))
        return message


@pytest.fixture(scope="module")
def node() -> Node:
    return Node()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 5, (1, 5)),
        (0, 3, (1, 3)),  # genesis has no certificate
        (3, 7, (6, 7)),  # the epoch of the upper end
        (7, 8, (7, 8)),
        (10, 10, (10, 10)),
        (9, 99, (11, 11)),  # up to the last block
    ],
)
def test_range_of_one_epoch(node: Node, low: int, high: int, expected: tuple[int, int]) -> None:
    """The blocks between the ends, ascending, with the sets of their epoch and the one before."""
    material = export_material(node.chain, node.witnesses, low, high)
    heights = [item.header.height for item in material.blocks]
    epoch = (expected[0] - 1) // (EPOCH_BLOCKS + 1)
    assert heights == list(range(expected[0], expected[1] + 1))
    assert material.chain_id == node.world.chain_id
    assert material.validators == node.chain.validators(epoch)
    assert [item.epoch for item in material.previous] == ([epoch - 1] if epoch else [])
    for item in material.blocks:
        assert item.header == node.chain.header(item.header.height)
        assert item.certificate == node.chain.certificate(item.header.height)


def test_new_views_are_those_of_the_range_and_of_the_epoch() -> None:
    """Also those of views that began right after the last block, where a stopped node stands."""
    node = Node()
    kept = [node.enter(1, 1, 6), node.enter(1, 2, 8), node.enter(1, 3, 9)]
    node.enter(0, 1, 3)
    boundary = node.enter(1, 4, 11)
    node.enter(2, 1, 11)
    material = export_material(node.chain, node.witnesses, 6, 10)
    assert material.new_views == (*kept, boundary)
    assert export_material(node.chain, node.witnesses, 7, 8).new_views == tuple(kept[1:])


@pytest.mark.parametrize(("low", "high"), [(0, 0), (12, 20)])
def test_heights_that_are_not_there(node: Node, low: int, high: int) -> None:
    """The error names what there is."""
    with pytest.raises(NodeError, match=f"blocks 1 to {HEIGHT}, not {low} to {high}") as caught:
        export_material(node.chain, node.witnesses, low, high)
    assert caught.value.code == "no_such_blocks"


def test_kept_message_that_cannot_be_read_is_damage() -> None:
    """A bit flipped in the table: this machine's fault, and said so."""
    node = Node()
    node.enter(0, 1, 2)
    ((name, _),) = node.kv.scan(schema.NEW_VIEW, limit=2)
    node.kv.write({name: b"damaged"}, [])
    with pytest.raises(DamagedChain, match="kept NEW-VIEW"):
        export_material(node.chain, node.witnesses, 1, 3)
