"""Chains at the end of an epoch, and all chunks of their snapshots."""

from __future__ import annotations

from random import Random

from ledger.boundaries import boundary_of, keep_boundaries, keep_first
from ledger.chain import Chain
from ledger.kv import KeyValue, MemoryKV
from ledger.snapshot import CheckedObjects, Manifest, check_chunk
from ledger.snapshot_import import Import
from ledger.snapshot_make import FrozenState, make_chunk
from tests.ledger.chain_world import CHAIN_ID, EPOCH_BLOCKS, World, is_valid, validators


def grown(
    kv: KeyValue, *, seed: int, outputs: int, epochs: int = 1, transfers: int = 4, big: int = 0
) -> tuple[World, Chain]:
    """A chain at the end of an epoch, with so many outputs in genesis and `big` large objects."""
    world, random = World(), Random(seed)
    allocations = [
        (random.randrange(4), random.randrange(2), random.randrange(1, 10**9))
        for _ in range(outputs)
    ]
    chain = Chain.create(kv, world.genesis(allocations))
    if big:
        objects = {b"\x24%d" % number: random.randbytes(60_000) for number in range(big)}
        append(chain, world, world.make([], dict(objects)))
    extend(chain, world, random, epochs * EPOCH_BLOCKS - chain.height, transfers)
    return world, chain


def extend(chain: Chain, world: World, random: Random, blocks: int, transfers: int = 4) -> None:
    """Append random blocks."""
    for _ in range(blocks):
        append(chain, world, world.random_block(random, random.randrange(transfers + 1)))


def append(chain: Chain, world: World, made: object) -> None:
    """Append the block that the world made last."""
    last = world.blocks[-1]
    assert last is made
    chain.append(last.block, last.certificate, last.changes, last.transactions)


def all_chunks(state: FrozenState) -> dict[int, bytes]:
    """Every chunk by its number, found as an importer finds them."""
    manifest = state.manifest
    numbers = [*range(manifest.output_chunks), manifest.object_chunk(1)]
    chunks = {}
    for number in numbers:  # grows while it runs
        data = make_chunk(state, number)
        assert data is not None
        chunks[number] = data
        checked = check_chunk(manifest, number, data)
        if isinstance(checked, CheckedObjects):
            numbers += checked.halves
    return chunks


def keep_ends(kv: KeyValue, chain: Chain, epoch: int) -> None:
    """The first set and the ends of all epochs before this one, as whoever imports walked them."""
    first = chain.validators(0)
    assert first is not None
    keep_first(kv, first)
    for number in range(epoch):
        boundary = boundary_of(chain, number)
        assert boundary is not None
        keep_boundaries(kv, [boundary])


def begin(kv: KeyValue, manifest: Manifest) -> Import:
    return Import.begin(kv, manifest, CHAIN_ID, validators(manifest.header.epoch), is_valid)


def imported(state: FrozenState, giver: Chain | None = None) -> MemoryKV:
    """A store that took the whole snapshot; after epoch 0 the giver shows the way to it."""
    kv = MemoryKV()
    if giver is not None:
        keep_ends(kv, giver, state.manifest.header.epoch)
    taking = begin(kv, state.manifest)
    for number, data in all_chunks(state).items():
        assert taking.add(number, data)
    taking.finish()
    return kv
