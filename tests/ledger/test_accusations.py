"""The index of evidence: every accusation in a block, the newest first, counted again by audits."""

from __future__ import annotations

import pytest

from ledger import pruning, schema
from ledger.chain import Chain
from ledger.codec import encode_payload
from ledger.full_audit import audit_full
from ledger.genesis_state import genesis_state
from ledger.indexes import AccusationLine
from ledger.kv import MemoryKV
from ledger.schema import Accusation, DamagedChain
from ledger.transaction import SignedTransaction
from tests.ledger.world import World
from tests.node.api.harness import Node


def accused(*, is_archive: bool = True) -> tuple[Node, MemoryKV, list[SignedTransaction]]:
    """Two accusations in one block, after a payment, and a third in the next but one."""
    node, kv = Node(), MemoryKV()
    world = node.world
    node.chain = Chain.create(kv, genesis_state(world.genesis), is_archive=is_archive)
    first, second = world.accuse("val1"), world.accuse("val2")
    node.decide([world.transfer("alice", "bob"), first, second])
    node.decide([])
    third = world.accuse("val3")
    node.decide([third])
    return node, kv, [first, second, third]


def lines(chain: Chain) -> list[AccusationLine]:
    found: list[AccusationLine] = []
    start = None
    while True:
        page = chain.indexes.accusations(start=start, limit=1)
        found += page.items
        if page.next_start is None:
            return found
        start = page.next_start


def test_every_accusation_has_a_line() -> None:
    node, _, (first, second, third) = accused()
    assert lines(node.chain) == [
        AccusationLine(3, 0, 0, third.txid, "val3"),
        AccusationLine(1, 2, 0, second.txid, "val2"),
        AccusationLine(1, 1, 0, first.txid, "val1"),
    ]
    list(audit_full(node.chain))


def test_no_accusation_has_no_line() -> None:
    node = Node(World())
    node.decide([node.world.transfer("alice", "bob")])
    assert lines(node.chain) == []
    list(audit_full(node.chain))


@pytest.mark.parametrize("damage", ["lost", "changed", "surplus", "above"])
def test_the_full_audit_counts_them_again(damage: str) -> None:
    _, kv, (first, *_) = accused()
    key = schema.accusation_key(1, 1, 0)
    other = encode_payload(Accusation(first.txid, "val0"))
    match damage:
        case "lost":
            kv.write({}, [key])
        case "changed":
            kv.write({key: other}, ())
        case "surplus":
            kv.write({schema.accusation_key(2, 0, 0): other}, ())
        case "above":
            kv.write({schema.accusation_key(1, 1, 1): other}, ())
    with pytest.raises(DamagedChain):
        list(audit_full(Chain.open(kv)))


def test_a_line_outlives_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruned: who was accused in which block stays known, no audit minds."""
    monkeypatch.setattr(pruning, "BODIES_KEPT", 1)
    node, kv, txs = accused(is_archive=False)
    assert node.chain.bodies_from == 3
    assert len(lines(node.chain)) == len(txs)
    list(audit_full(Chain.open(kv)))
