"""What a node does not keep any more, or never had: said to be pruned, never to be unknown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ledger import pruning
from ledger.boundaries import Boundary, boundary_of, keep_boundaries, keep_first
from ledger.chain import Chain
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.reasons import Invalid, Reason
from ledger.snapshot_import import Import
from ledger.snapshot_make import FrozenState
from ledger.transaction import SignedTransaction
from node.api import schemas
from node.api.schemas import Page
from node.intake import Intake
from node.verify import Verifier
from tests.cli.bundle_world import genesis_text, verified
from tests.ledger.snapshot_world import all_chunks
from tests.ledger.world import World, make_genesis
from tests.node.api.harness import Node, open_api
from tests.node.test_intake import now

KEPT = 2
TIP = 6
EPOCH_BLOCKS = 3


@pytest.fixture
def pruning_node(monkeypatch: pytest.MonkeyPatch) -> tuple[Node, SignedTransaction]:
    """Six blocks, of which the last two have bodies; the first block's transaction."""
    monkeypatch.setattr(pruning, "BODIES_KEPT", KEPT)
    node = Node()
    genesis = genesis_state(node.world.genesis)
    node.chain = Chain.create(MemoryKV(), genesis, is_archive=False)
    tx = node.world.transfer("alice", "bob")
    node.decide([tx])
    for _ in range(TIP - 1):
        node.decide([])
    return node, tx


async def test_a_pruned_block_is_gone_and_its_certificate_is_not(
    pruning_node: tuple[Node, SignedTransaction],
) -> None:
    """410 below the oldest body, 200 from there on, 404 above the tip; headers are all there."""
    node, _ = pruning_node
    statuses = {}
    async with open_api(node) as api:
        for height in range(TIP + 2):
            reply = await api.ask(f"/blocks/{height}")
            statuses[height] = (reply.status, "" if reply.status == 200 else reply.code)
        certificate = await api.ask("/blocks/1/certificate")
        headers = await api.read("/headers?start=0", Page[schemas.CertifiedHeader])
        listed = await api.read("/blocks", Page[schemas.BlockSummary])
    oldest = TIP - KEPT + 1
    assert statuses == {
        **dict.fromkeys(range(oldest), (410, "pruned")),
        **dict.fromkeys(range(oldest, TIP + 1), (200, "")),
        TIP + 1: (404, "not_found"),
    }
    assert certificate.status == 200
    assert len(headers.items) == TIP + 1
    assert [item.transactions for item in listed.items] == [0] * (TIP - 1) + [1, 0]


async def test_a_pruned_transaction_is_final(pruning_node: tuple[Node, SignedTransaction]) -> None:
    """Its place and time are told, its bytes and proof are not, and that is said by name; what it
    spent is spent."""
    node, tx = pruning_node
    name, spent = tx.txid.hex(), tx.body.inputs[0]
    async with open_api(node) as api:
        found = await api.read(f"/transactions/{name}", schemas.TransactionStatus)
        proof = await api.ask(f"/transactions/{name}/proof")
        path = f"/outpoints/{spent.txid.hex()}:{spent.index}"
        outpoint = await api.read(path, schemas.Outpoint)
    assert (found.status, found.height, found.position) == ("final", 1, 0)
    assert (found.code, found.transaction, found.proof) == ("pruned", None, None)
    assert (proof.status, proof.code) == (410, "pruned")
    assert (outpoint.status, outpoint.spent_by) == ("spent", None)


def test_a_pruned_transaction_that_comes_again_is_final(
    pruning_node: tuple[Node, SignedTransaction],
) -> None:
    """The way into the pool knows it by its place."""
    node, tx = pruning_node
    fees = node.world.genesis.parameters.fees
    intake = Intake(node.chain, node.mempool, Verifier(), fees)
    with pytest.raises(Invalid) as caught:
        intake.admit(tx, now(node.world))
    assert caught.value.reason is Reason.ALREADY_FINAL


@pytest.fixture
def imported_node() -> Node:
    """A chain that began with the snapshot at height 3, and one block more."""
    original = Node(World(make_genesis(epoch_blocks=EPOCH_BLOCKS, epoch_ms=1_000)))
    while not original.chain.head.header.ends_epoch:
        original.decide([])
    assert original.chain.height >= EPOCH_BLOCKS
    node = Node(original.world)
    first = boundary_of(original.chain, 0)
    assert first is not None
    node.chain = Chain.open(imported(original.chain.freeze(), original.world, [first]))
    node.decide([])
    return node


def imported(state: FrozenState, world: World, boundaries: Sequence[Boundary]) -> MemoryKV:
    """As a node takes one: the way from genesis first, then the state."""
    kv = MemoryKV()
    validators = world.genesis.validators
    keep_first(kv, validators)
    keep_boundaries(kv, boundaries)
    taking = Import.begin(kv, state.manifest, world.chain_id, validators)
    for number, data in all_chunks(state).items():
        taking.add(number, data)
    taking.finish()
    return kv


async def test_below_a_snapshot_everything_is_pruned(imported_node: Node) -> None:
    """Blocks to the base, certificates and headers below it; the list ends above it."""
    node = imported_node
    base = node.chain.base
    async with open_api(node) as api:
        blocks = [await api.ask(f"/blocks/{height}") for height in range(base + 1)]
        below = await api.ask(f"/blocks/{base - 1}/certificate")
        genesis = await api.ask("/blocks/0/certificate")
        headers = await api.ask("/headers?start=0")
        cursor = await api.read(f"/headers?start={base}", Page[schemas.CertifiedHeader])
        listed = await api.read("/blocks", Page[schemas.BlockSummary])
        own = await api.ask(f"/blocks/{base}/certificate")
        status = await api.ask("/status")
    for reply in (*blocks, below, genesis, headers):
        assert (reply.status, reply.code) == (410, "pruned")
    assert [item.header.height for item in cursor.items] == [base, base + 1]
    assert [item.height for item in listed.items] == [base + 1]
    assert listed.next_cursor is None
    assert (own.status, status.status) == (200, 200)


async def test_the_bundle_of_the_reserve_needs_no_block_below(imported_node: Node) -> None:
    """Who validated in each epoch is kept from genesis on: whoever has the genesis file believes
    it."""
    async with open_api(imported_node) as api:
        bundle = await api.ask("/reserve/bundle")
        text = genesis_text(api.node)
    assert verified(bundle.body, text).height == imported_node.chain.height
