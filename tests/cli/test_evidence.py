"""`marsa evidence list`: the accused, found in the chain, each pair of votes verified again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from cli import evidence
from cli.client import Client
from ledger import codec, transaction
from ledger.block import Block
from ledger.operations import Evidence, Suspend
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction, Witness
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import World, sign

EMPTY = Witness((), (), ())


@pytest.fixture
def node(marsa_home: object) -> Iterator[LiveNode]:
    """A live node with one block of a transfer."""
    with live_node() as node:
        node.inside(lambda: node.decide([node.world.transfer("alice", "bob")]))
        yield node


def accuse(world: World, name: str) -> SignedTransaction:
    return sign(world.body(operations=[world.evidence(name)]), [])


def test_nobody_is_accused(marsa: Marsa, node: LiveNode) -> None:
    """An empty list, and a sentence for people."""
    result = marsa("evidence", "list", "--node", node.url, "--json")
    assert result.code == 0, result.err
    assert result.json["licences"] == []
    assert result.json["height"] == 1
    text = marsa("evidence", "list", "--node", node.url).out
    assert "no licence is accused or suspended" in text


def test_the_accused_with_block_transaction_and_votes(marsa: Marsa, node: LiveNode) -> None:
    """One accused by evidence in block 2, one suspended by the validators in block 3."""
    tx = accuse(node.world, "val1")
    node.inside(lambda: node.decide([tx]))
    suspend = node.world.govern(Suspend("val2", 0))
    node.inside(lambda: node.decide([suspend]))
    result = marsa("evidence", "list", "--node", node.url, "--json")
    assert result.code == 0, result.err
    accused, suspended = result.json["licences"]
    assert (accused["licence"], accused["state"], accused["height"]) == ("val1", "accused", 2)
    assert accused["txid"] == tx.txid.hex()
    (operation,) = tx.body.operations
    assert isinstance(operation, Evidence)
    proof = accused["proof"]
    assert (proof["epoch"], proof["phase"], proof["view"], proof["height"]) == (0, "prepare", 2, 7)
    assert proof["first"] == {
        "hash": operation.first.block_hash.hex(),
        "signature": operation.first_signature.hex(),
    }
    assert proof["first"]["hash"] < proof["second"]["hash"]
    assert (suspended["licence"], suspended["state"]) == ("val2", "suspended")
    assert (suspended["height"], suspended["proof"]) == (None, None)
    text = marsa("evidence", "list", "--node", node.url).out
    assert "two PREPAREs at height 7, view 2, epoch 0" in text
    assert "no evidence in the blocks searched" in text


@pytest.mark.parametrize(("limit", "height"), [(1, None), (2, 2), (3, 2)])
def test_search_is_limited(marsa: Marsa, node: LiveNode, limit: int, height: int | None) -> None:
    """The evidence is in the block below the newest."""
    node.inside(lambda: node.decide([accuse(node.world, "val1")]))
    node.inside(lambda: node.decide([]))
    result = marsa("evidence", "list", "--node", node.url, "--json", "--blocks", limit)
    (accused,) = result.json["licences"]
    assert accused["height"] == height


def test_votes_that_the_node_invents_are_refused(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves the block with a signature changed: exit code 9 and no list."""
    node.inside(lambda: node.decide([accuse(node.world, "val1")]))
    fetch = Client.raw_block

    def spoiled(self: Client, at: int | str) -> bytes:
        block = codec.decode(fetch(self, at), Block, size_max=1 << 20)
        raw = block.transactions[0]
        tx = transaction.decode(raw)
        (operation,) = tx.body.operations
        changed = msgspec.structs.replace(operation, first_signature=bytes(64))
        body = msgspec.structs.replace(tx.body, operations=(changed,))
        return codec.encode(Block(block.header, (transaction.seal(body, EMPTY).raw,)))

    monkeypatch.setattr(Client, "raw_block", spoiled)
    result = marsa("evidence", "list", "--node", node.url)
    assert (result.code, result.out) == (9, "")
    assert "bad_signature" in result.err


def test_what_is_no_conflict_or_of_another_chain_is_refused() -> None:
    """The same vote twice; votes at two places; a transaction of another chain."""
    world = World()
    good = world.evidence("val1")
    moved = msgspec.structs.replace(good.second, height=8)
    for bad in (
        msgspec.structs.replace(good, second=good.first, second_signature=good.first_signature),
        msgspec.structs.replace(good, second=moved),
    ):
        body = world.body(operations=[bad])
        with pytest.raises(Invalid) as caught:
            evidence.verified(transaction.seal(body, EMPTY), world.chain_id)
        assert caught.value.reason is Reason.NO_CONFLICT
    tx = accuse(world, "val1")
    assert evidence.verified(tx, world.chain_id) == [good]
    with pytest.raises(Invalid) as caught:
        evidence.verified(tx, bytes(32))
    assert caught.value.reason is Reason.WRONG_CHAIN
