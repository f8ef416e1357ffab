"""Old bodies go, a few with each block; everything else stays, and audits know what is gone."""

from __future__ import annotations

from random import Random

import pytest

from ledger import pruning, schema
from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.chain_load import scan_all
from ledger.full_audit import audit_full
from ledger.kv import MemoryKV
from ledger.proofs import verify_transaction
from ledger.schema import DamagedChain
from tests.ledger.chain_world import EPOCH_BLOCKS, LOCKS, World, is_valid
from tests.ledger.snapshot_world import all_chunks, begin, grown

KEPT = 5
ALLOCATIONS = [(0, 0, 1000), (1, 1, 500), (0, 0, 7), (2, 0, 1)]


@pytest.fixture(autouse=True)
def few_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BODIES_KEPT", KEPT)


def start(kv: MemoryKV, *, is_archive: bool = False) -> Chain:
    chain = Chain.open(kv, is_archive=is_archive)
    audit_boot(chain, is_valid)
    return chain


def extend(world: World, chains: list[Chain], random: Random, blocks: int) -> None:
    for _ in range(blocks):
        made = world.random_block(random, random.randrange(1, 4))
        for chain in chains:
            chain.append(made.block, made.certificate, made.changes)


def test_the_last_bodies_stay_and_all_else_does() -> None:
    """A chain that prunes beside one that archives: they differ in old bodies and nothing else."""
    world, kvs, random = World(), (MemoryKV(), MemoryKV()), Random(1)
    changes = world.genesis(ALLOCATIONS)
    chain = Chain.create(kvs[0], changes, is_archive=False)
    archive = Chain.create(kvs[1], changes)
    for height in range(1, 4 * KEPT):
        extend(world, [chain, archive], random, 1)
        assert chain.bodies_from == max(0, height - KEPT + 1)
        assert archive.bodies_from == 0
    stores = [dict(scan_all(kv, b"")) for kv in kvs]
    marker = stores[0].pop(schema.BODIES_KEY)
    assert int.from_bytes(marker, "big") == chain.bodies_from
    gone = [key for key in stores[1] if key not in stores[0]]
    lowest = schema.body_key(chain.bodies_from, 0)
    assert gone == [key for key in stores[1] if key.startswith(schema.BODY) and key < lowest]
    assert gone
    assert stores[0] == {key: value for key, value in stores[1].items() if key not in gone}
    for made in world.blocks:
        height = made.block.header.height
        is_kept = height >= chain.bodies_from
        assert chain.block(height) == (made.block if is_kept else None)
        assert chain.header(height) == made.block.header
        assert chain.certificate(height) == made.certificate
        assert chain.transaction_count(height) == len(made.transactions)
        for position, tx in enumerate(made.transactions):
            assert (chain.transaction(tx.txid) is not None) == is_kept
            assert (chain.raw_transaction(height, position) is not None) == is_kept
            assert chain.indexes.place(tx.txid) == (height, position)
            proof = chain.transaction_proof(height, position)
            assert proof is not None
            assert verify_transaction(tx.wtxid, proof)
    for lock in LOCKS:
        assert chain.indexes.history(lock, limit=1000) == archive.indexes.history(lock, limit=1000)
    for kv in kvs:
        list(audit_full(start(kv), is_valid))


def test_a_store_that_begins_to_prune_catches_up_in_steps() -> None:
    """An archive of many blocks opened to prune: four more go with each block, and a restart or a
    time as an archive again changes nothing of that."""
    world, kv, random = World(), MemoryKV(), Random(2)
    chain = Chain.create(kv, world.genesis(ALLOCATIONS))
    extend(world, [chain], random, 20)
    chain = start(kv)
    assert chain.bodies_from == 0
    for blocks, lowest in ((1, 4), (1, 8), (1, 12), (1, 16), (1, 20), (1, 22), (1, 23)):
        extend(world, [chain], random, blocks)
        assert chain.bodies_from == min(lowest, chain.height - KEPT + 1)
        chain = start(kv)
        list(audit_full(chain, is_valid))
    lowest = chain.bodies_from
    archive = start(kv, is_archive=True)
    extend(world, [archive], random, 3)
    assert archive.bodies_from == start(kv).bodies_from == lowest
    list(audit_full(archive, is_valid))


def test_pruning_after_an_import_begins_above_the_base() -> None:
    """The first own bodies of an imported chain stay as long as any, and then go."""
    world, original = grown(MemoryKV(), seed=3, outputs=5)
    state = original.freeze()
    kv = MemoryKV()
    taking = begin(kv, state.manifest)
    for number, data in all_chunks(state).items():
        taking.add(number, data)
    taking.finish()
    chain = start(kv)
    extend(world, [chain], Random(1), KEPT)
    assert chain.bodies_from == EPOCH_BLOCKS + 1
    list(audit_full(start(kv), is_valid))
    extend(world, [chain], Random(2), 2)
    assert chain.bodies_from == EPOCH_BLOCKS + 3
    list(audit_full(start(kv), is_valid))


def test_damage_of_a_pruned_chain_is_found() -> None:
    """Every record taken away or changed in turn: the audits miss nothing but lines of histories,
    spenders, spent outputs and places of transactions of which no body tells any more."""
    world, kv = World(), MemoryKV()
    chain = Chain.create(kv, world.genesis(ALLOCATIONS), is_archive=False)
    extend(world, [chain], Random(4), 2 * KEPT)
    list(audit_full(start(kv), is_valid))
    for key, value in scan_all(kv, b""):
        if is_untold(chain, key, value):
            continue
        image = kv.copy()
        image.write({}, [key])
        assert is_found(image), key
        image = kv.copy()
        image.write({key: value[:-1] + bytes((value[-1] ^ 1,)) if value else b"\0"}, ())
        assert is_found(image), key


def is_found(kv: MemoryKV) -> bool:
    try:
        list(audit_full(start(kv), is_valid))
    except (DamagedChain, schema.OlderLayout):
        return True
    return False


def is_untold(chain: Chain, key: bytes, value: bytes) -> bool:
    if key.startswith(schema.SPENT_BY):
        return schema.read_place(value)[0] < chain.bodies_from
    if key.startswith(schema.TRANSACTION):
        place = schema.read_origin(value)[1]
        return place is not None and place[0] < chain.bodies_from
    if key.startswith(schema.OUTPUT):
        outpoint, _ = schema.read_output(value)
        spender = chain.indexes.spender(outpoint)
        return spender is not None and spender[0] < chain.bodies_from
    return key.startswith(schema.HISTORY) and int.from_bytes(key[33:41], "big") < chain.bodies_from


def test_bodies_pruned_above_the_tip_are_damage() -> None:
    """A note that says so is found at the start."""
    world, kv = World(), MemoryKV()
    Chain.create(kv, world.genesis(ALLOCATIONS))
    for lowest, is_damage in ((1, False), (2, True)):
        kv.write({schema.BODIES_KEY: lowest.to_bytes(8, "big")}, ())
        assert is_found(kv) == is_damage


def test_a_lost_list_of_transactions_stops_pruning() -> None:
    """Without the list it is not known which bodies to delete: damage, and nothing is written."""
    world, kv = World(), MemoryKV()
    chain = Chain.create(kv, world.genesis(ALLOCATIONS), is_archive=False)
    extend(world, [chain], Random(5), KEPT)
    kv.write({}, [schema.leaves_key(1)])
    made = world.random_block(Random(6), 1)
    with pytest.raises(DamagedChain):
        chain.append(made.block, made.certificate, made.changes)
    assert chain.height == KEPT
    assert kv.get(schema.header_key(KEPT + 1)) is None
