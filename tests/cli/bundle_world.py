"""Bundles of small chains, as a node makes them, and as validators who all lie would sign them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache

from msgspec.structs import replace

from cli.verify_bundle import Report, verify
from cli.verify_bytes import Refused
from cli.verify_chain import Trust
from ledger import codec
from ledger import genesis as genesis_rules
from ledger.codec import Wire
from ledger.economy.reserve import Reserve, SupplyLine, supply_leaf, supply_line
from ledger.economy.standard import Factor, Reference
from ledger.merkle import merkle_root
from ledger.object_tree import ObjectTree
from ledger.objects import hash_of_value, key_of, load_all
from ledger.operations import ProposeStandard
from node.api.bundles import Bundles
from node.reserve_bundle import BUNDLE_BYTES_MAX, ProvedObject, ReserveBundle
from tests.cli.audit_world import certify
from tests.ledger.economy_world import EconomyWorld, lasting, with_economy
from tests.ledger.world import (
    COIN,
    PERIOD_MS,
    TIME_MS,
    World,
    attest,
    commitment,
    make_genesis,
)
from tests.node.api.harness import EconomyNode, Node
from tests.node.api.test_epochs import change_twice

STEP_SPACING_MS = 3 * PERIOD_MS


def small_node() -> Node:
    """Four issuers, one block, and coins minted in it."""
    node = Node()
    node.decide([node.world.mint(amount=7 * COIN)])
    return node


def changed_node() -> Node:
    """Five epochs; the validators changed twice."""
    node = Node()
    change_twice(node)
    return node


@cache
def small() -> tuple[Node, bytes, bytes]:
    """A node, its bundle, its genesis file."""
    node = small_node()
    return node, bundle_of(node), genesis_text(node)


@cache
def changed() -> tuple[Node, bytes, bytes]:
    node = changed_node()
    return node, bundle_of(node), genesis_text(node)


@cache
def stepped() -> EconomyNode:
    """Two steps of the standard were taken; a third is noticed."""
    values = {"notice_ms": 2 * PERIOD_MS, "step_spacing_ms": STEP_SPACING_MS}
    node = EconomyNode(EconomyWorld(with_economy(lasting(make_genesis()), **values)))
    tpu = Factor("tpu", "inference", 700_000)
    for version, units, added in ((2, 1_100, ()), (3, 1_101, (tpu,)), (4, 1_200, ())):
        raised = (Reference("training", units),)
        node.decide([node.world.govern(ProposeStandard(version, raised, added))])
        while version < 4 and node.world.clock_ms < TIME_MS + (version - 1) * STEP_SPACING_MS:
            node.decide([], after_ms=30_000)
    return node


def bundle_of(node: Node) -> bytes:
    return asyncio.run(Bundles(node.chain, lambda: 0).get())


def genesis_text(node: Node) -> bytes:
    return genesis_rules.dump(node.world.genesis)


def read(data: bytes) -> ReserveBundle:
    return codec.decode(data, ReserveBundle, size_max=BUNDLE_BYTES_MAX)


@cache
def least() -> tuple[Node, bytes, bytes]:
    """Of everything that a bundle holds no more than a chain must have: four validators of whom
    two issue, with the other's coins for a bond, and two attestors."""
    whole = make_genesis()
    kept = {"val0", "val1"}
    attestors = whole.attestors[:2]
    figures = {grant.id: 900_000 for grant in attestors}
    genesis = replace(
        whole,
        attestors=attestors,
        licences=tuple(replace(item, issuer=item.id in kept) for item in whole.licences),
        commitments=tuple(attest(whole.nonce, commitment(name), figures) for name in sorted(kept)),
        bonds=tuple(item for item in whole.bonds if {item.issuer, item.coin} <= kept),
        allocations=tuple(item for item in whole.allocations if item.issuer in kept),
    )
    node = Node(World(genesis))
    node.decide([])
    return node, bundle_of(node), genesis_text(node)


@cache
def trust_of(text: bytes) -> Trust:
    """Read once: thousands of spoiled bundles are held against it."""
    return Trust.of(text)


def verified(data: bytes, text: bytes) -> Report:
    """The report on a bundle that holds."""
    report = Report()
    verify(report, data, trust_of(text))
    return report


def fault_of(data: bytes, text: bytes) -> str:
    """The code of what does not hold; empty where everything does."""
    try:
        verify(Report(), data, trust_of(text))
    except Refused as error:
        assert error.detail
        return error.fault.value
    return ""


def lie(
    node: Node,
    changed: Mapping[bytes, Wire | None],
    *,
    lines: Callable[[list[SupplyLine]], list[SupplyLine]] = list,
    **fields: object,
) -> bytes:
    """A bundle of the state with some objects set or removed, other lines of supply or fields of
    the header, signed by a quorum all the same."""
    honest = read(bundle_of(node))
    values = {key: codec.encode(value) if value else None for key, value in changed.items()}
    hashes = {key: None if value is None else hash_of_value(value) for key, value in values.items()}
    tree: ObjectTree = node.chain.head.commitments.objects.update(hashes)
    objects = {item.key: item.value for item in honest.objects} | values
    rows = sorted((key, value) for key, value in objects.items() if value is not None)
    prefix = key_of(Reserve)
    reserves = [
        codec.decode(value, Reserve, size_max=len(value))
        for key, value in rows
        if key.startswith(prefix)
    ]
    supply = lines([supply_line(item) for item in reserves])
    supply_root = merkle_root([supply_leaf(line) for line in supply])
    roots = replace(honest.roots, objects_root=tree.root, supply_root=supply_root)
    header = replace(honest.header, state_root=roots.state_root, **fields)
    return codec.encode(
        replace(
            honest,
            header=header,
            certificate=certify(node.world, header),
            roots=roots,
            supply=tuple(supply),
            objects=tuple([ProvedObject(key, value, tree.prove(key).path) for key, value in rows]),
        )
    )


def reserve_of(node: Node, issuer: str) -> tuple[bytes, Reserve]:
    found = next(item for item in load_all(node.chain, Reserve) if item.issuer == issuer)
    return key_of(Reserve, found.asset), found
