"""Chunks of a state: each alone is proved by the manifest, and nothing but the truth passes."""

from __future__ import annotations

from dataclasses import replace as replace_values
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger import codec, snapshot
from ledger.block import PREPARE
from ledger.chain import Chain
from ledger.codec import AMOUNT_LIMIT, UINT_MAX, Wire
from ledger.crypto import ZERO_HASH
from ledger.kv import MemoryKV
from ledger.mountain_range import MountainRange, size_of
from ledger.node_records import records_of
from ledger.object_tree import place_of
from ledger.reasons import Invalid, Reason
from ledger.schema import (
    OBJECT,
    DamagedChain,
    object_key,
    outpoint_value,
    output_key,
    output_value,
)
from ledger.snapshot import (
    CHUNK_BYTES_MAX,
    OBJECT_KEY_BYTES_MAX,
    OBJECTS_BYTES_MAX,
    OBJECTS_MAX,
    SUBTREE_DEPTH_MAX,
    CheckedObjects,
    CheckedOutputs,
    Manifest,
    ObjectChunk,
    OutputChunk,
    StoredObject,
    Unspent,
    check_chunk,
    check_manifest,
)
from ledger.snapshot_make import FrozenState, make_chunk
from ledger.spent_bitmap import CHUNK_BYTES, CHUNK_FLAGS, SpentBitmap, SpentProof
from ledger.transaction import OutPoint
from ledger.view import Outpoint, OutputEntry, output_leaf
from tests.ledger.chain_world import CHAIN_ID, World, certificate_of, is_valid, validators
from tests.ledger.snapshot_world import all_chunks, append, extend, grown, imported


def frozen(seed: int = 1, outputs: int = 5, epochs: int = 1, big: int = 0) -> FrozenState:
    _, chain = grown(MemoryKV(), seed=seed, outputs=outputs, epochs=epochs, big=big)
    return chain.freeze()


def refused(manifest: Manifest, number: int, chunk: Wire) -> Reason:
    with pytest.raises(Invalid) as caught:
        check_chunk(manifest, number, codec.encode(chunk))
    return caught.value.reason


def decoded(state: FrozenState, number: int, cls: type[codec.WireT]) -> codec.WireT:
    data = make_chunk(state, number)
    assert data is not None
    return codec.decode(data, cls, size_max=CHUNK_BYTES_MAX)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    outputs=st.sampled_from([0, 1, 9, CHUNK_FLAGS - 8, CHUNK_FLAGS, 2 * CHUNK_FLAGS + 17]),
    big=st.sampled_from([0, 9, 20]),
)
def test_chunks_hold_exactly_the_state(seed: int, outputs: int, big: int) -> None:
    """Random chains: what all chunks hold together is every output, flag and object, no more."""
    world, chain = grown(MemoryKV(), seed=seed, outputs=outputs, transfers=40, big=big)
    state = chain.freeze()
    check_manifest(state.manifest, CHAIN_ID, validators(0), is_valid)
    found_outputs, found_objects, halved = {}, {}, 0
    for number, data in all_chunks(state).items():
        assert len(data) <= CHUNK_BYTES_MAX
        checked = check_chunk(state.manifest, number, data)
        if isinstance(checked, CheckedOutputs):
            for item in checked.unspent:
                found_outputs[(item.outpoint.txid, item.outpoint.index)] = item.entry
            assert all(chain.node(position) == node for position, node in checked.nodes)
            assert checked.flags == chain.head.commitments.spent.chunk(number)
        else:
            found_objects.update(checked.objects)
            halved += bool(checked.halves)
    assert found_outputs == world.outputs
    assert found_objects == world.objects
    assert bool(halved) == (big * 60_000 > OBJECTS_BYTES_MAX)


def test_every_node_makes_the_same_bytes() -> None:
    """A node that executed all blocks and one that imported the state cut it alike."""
    state = frozen(outputs=CHUNK_FLAGS + 3, big=10)
    other = Chain.open(imported(state)).freeze()
    assert all_chunks(other) == all_chunks(state)
    assert other.manifest == state.manifest


def test_a_frozen_state_stays_while_the_chain_moves_on() -> None:
    """Blocks that spend outputs and change objects later do not show in the chunks."""
    world, chain = grown(MemoryKV(), seed=3, outputs=30)
    state = chain.freeze()
    before = all_chunks(state)
    outputs = dict(world.outputs)
    extend(chain, world, Random(4), 6, transfers=10)
    append(chain, world, world.make([], {b"\x20clock": None}))
    assert all_chunks(state) == before
    assert world.outputs != outputs
    state.close()


def test_only_the_end_of_an_epoch_is_frozen() -> None:
    """Genesis and a block within an epoch are refused."""
    world = World()
    chain = Chain.create(MemoryKV(), world.genesis([(0, 0, 1)]))
    with pytest.raises(AssertionError):
        chain.freeze()
    extend(chain, world, Random(1), 1)
    with pytest.raises(AssertionError):
        chain.freeze()


def test_every_flipped_bit_of_a_chunk_is_refused() -> None:
    """Chunks of outputs, of objects and of halves: no bit may change, no byte be added or lost."""
    state = frozen(outputs=4, big=9)
    big = {number: data for number, data in all_chunks(state).items() if len(data) > 5_000}
    for number, data in all_chunks(state).items():
        step = 997 if number in big else 1
        for place in range(0, len(data), step):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            with pytest.raises(Invalid):
                check_chunk(state.manifest, number, bytes(changed))
        for other in (data[:-1], data + b"\0", b""):
            with pytest.raises(Invalid):
                check_chunk(state.manifest, number, other)


def test_every_flipped_bit_of_a_manifest_is_refused() -> None:
    """Nothing in it is taken on trust but the set of validators that the caller knows."""
    data = codec.encode(frozen().manifest)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            with pytest.raises(Invalid):
                manifest = codec.decode(bytes(changed), Manifest, size_max=len(data))
                check_manifest(manifest, CHAIN_ID, validators(0), is_valid)


def test_a_manifest_is_refused_by_name() -> None:
    """Each thing that can be wrong with it has its reason."""
    world, chain = grown(MemoryKV(), seed=1, outputs=5)
    manifest = chain.freeze().manifest
    inner = world.blocks[0]
    middle = Manifest(inner.block.header, inner.certificate, inner.changes.head.commitments.roots)
    prepared = replace(manifest, certificate=certificate_of(chain.head, PREPARE))
    roots = replace(manifest.roots, supply_root=ZERO_HASH)
    wrong = [
        (manifest, ZERO_HASH, 0, Reason.WRONG_CHAIN),
        (manifest, CHAIN_ID, 1, Reason.BAD_PROOF),
        (middle, CHAIN_ID, 0, Reason.BAD_PROOF),
        (prepared, CHAIN_ID, 0, Reason.BAD_CERTIFICATE),
        (replace(manifest, certificate=inner.certificate), CHAIN_ID, 0, Reason.BAD_CERTIFICATE),
        (replace(manifest, roots=roots), CHAIN_ID, 0, Reason.BAD_PROOF),
    ]
    for value, chain_id, epoch, reason in wrong:
        with pytest.raises(Invalid) as caught:
            check_manifest(value, chain_id, validators(epoch), is_valid)
        assert caught.value.reason is reason
    with pytest.raises(Invalid) as caught:
        check_manifest(manifest, CHAIN_ID, validators(0), lambda *_: False)
    assert caught.value.reason is Reason.BAD_CERTIFICATE


def test_chunks_of_another_height_or_number_are_refused() -> None:
    """A chunk passes under its own manifest and number only."""
    world, chain = grown(MemoryKV(), seed=7, outputs=CHUNK_FLAGS + 40, big=9)
    old = chain.freeze()
    append(chain, world, world.random_block(Random(2), 30))
    append(chain, world, world.make([], {b"\x20new": b"\x20\x01"}))
    extend(chain, world, Random(8), 1)
    new = chain.freeze()
    old_chunks, new_chunks = all_chunks(old), all_chunks(new)
    for number, data in old_chunks.items():
        with pytest.raises(Invalid):
            check_chunk(new.manifest, number, data)
        for other in old_chunks.keys() - {number}:
            with pytest.raises(Invalid):
                check_chunk(old.manifest, other, data)
    for number, data in new_chunks.items():
        with pytest.raises(Invalid):
            check_chunk(old.manifest, number, data)


def test_lies_about_outputs_are_refused() -> None:
    """An output left out, doubled, hidden as spent, moved; flags or path of others."""
    state = frozen(seed=5, outputs=CHUNK_FLAGS + 9)
    chunk, other = decoded(state, 0, OutputChunk), decoded(state, 1, OutputChunk)
    first, second, *rest = chunk.unspent
    moved = replace(first, entry=replace(first.entry, leaf=first.entry.leaf + 1))
    richer = replace(first, entry=replace(first.entry, amount=first.entry.amount + 1))
    wrong = [
        replace(chunk, unspent=chunk.unspent[1:]),
        replace(chunk, unspent=(first, *chunk.unspent)),
        replace(chunk, unspent=(second, first, *rest)),
        replace(chunk, unspent=(moved, second, *rest)),
        replace(chunk, unspent=(richer, second, *rest)),
        replace(chunk, unspent=chunk.unspent[1:], spent=(ZERO_HASH, *chunk.spent)),
        replace(chunk, unspent=chunk.unspent[:-1], spent=(*chunk.spent, ZERO_HASH)),
        replace(chunk, flags=other.flags),
        replace(chunk, flags=replace(chunk.flags, path=other.flags.path)),
        replace(chunk, flags=replace(chunk.flags, count=chunk.flags.count + 1)),
        replace(chunk, path=()),
        replace(chunk, path=(*chunk.path, ZERO_HASH)),
        replace(chunk, path=other.path),
    ]
    for chunk in wrong:
        assert refused(state.manifest, 0, chunk) is Reason.BAD_PROOF


def test_lies_about_flags_are_refused() -> None:
    """An unspent output hidden as spent, a spent one shown as unspent: every leaf is the true one,
    and only the flags' own root tells."""
    world, chain = grown(MemoryKV(), seed=6, outputs=9, transfers=0)
    old = chain.freeze()
    entries = {item.entry.leaf: item for item in decoded(old, 0, OutputChunk).unspent}
    append(chain, world, world.random_block(Random(3), 2))
    extend(chain, world, Random(4), 2, transfers=0)
    state = chain.freeze()
    chunk = decoded(state, 0, OutputChunk)
    flags = int.from_bytes(chunk.flags.chunk, "little")
    spent = next(leaf for leaf in entries if flags >> leaf & 1)
    unspent = next(leaf for leaf in entries if not flags >> leaf & 1)
    leaves = {item.entry.leaf: item for item in chunk.unspent}
    revived = {**leaves, spent: entries[spent]}
    spent_leaves = [leaf for leaf in range(chunk.flags.count) if flags >> leaf & 1]
    hashes = dict(zip(spent_leaves, chunk.spent, strict=True))
    hidden = {**hashes, unspent: chain.node(size_of(unspent))}
    lies = [
        (flags & ~(1 << spent), {k: v for k, v in hashes.items() if k != spent}, revived),
        (flags | 1 << unspent, hidden, {k: v for k, v in leaves.items() if k != unspent}),
    ]
    for number, spent_hashes, shown in lies:
        proof = replace(chunk.flags, chunk=number.to_bytes(CHUNK_BYTES, "little"))
        lie = OutputChunk(
            chunk.path,
            proof,
            tuple([spent_hashes[leaf] for leaf in sorted(spent_hashes)]),
            tuple([shown[leaf] for leaf in sorted(shown)]),
        )
        assert refused(state.manifest, 0, lie) is Reason.BAD_PROOF
    assert make_chunk(state, 0) == codec.encode(chunk)


def test_lies_about_objects_are_refused() -> None:
    """An object left out, added, reordered or of another subtree; halves that are none."""
    state = frozen(big=9)
    root = state.manifest.object_chunk(1)
    halves = decoded(state, root, ObjectChunk)
    assert len(halves.halves) == 2
    left = decoded(state, state.manifest.object_chunk(2), ObjectChunk)
    right = decoded(state, state.manifest.object_chunk(3), ObjectChunk)
    assert len(left.objects) >= 2
    everything = sorted(
        (item for half in (left, right) for item in half.objects),
        key=lambda item: place_of(item.key),
    )
    small = frozen()
    whole = decoded(small, small.manifest.object_chunk(1), ObjectChunk)
    swapped = (whole.objects[1], whole.objects[0], *whole.objects[2:])
    wrong: list[tuple[FrozenState, int, ObjectChunk]] = [
        (state, root, replace(halves, halves=halves.halves[::-1])),
        (state, root, replace(halves, halves=halves.halves[:1])),
        (state, root, replace(halves, objects=left.objects)),
        (state, root, replace(left, path=())),
        (state, root + 1, replace(left, objects=left.objects[1:])),
        (state, root + 1, replace(left, objects=right.objects)),
        (state, root + 1, right),
        (state, root + 1, ObjectChunk(left.path, (), (ZERO_HASH, ZERO_HASH))),
        (small, small.manifest.object_chunk(1), replace(whole, objects=swapped)),
        (small, small.manifest.object_chunk(1), replace(whole, objects=whole.objects[:1] * 2)),
        (small, small.manifest.object_chunk(1), ObjectChunk((), (), ())),
    ]
    for holder, number, chunk in wrong:
        assert refused(holder.manifest, number, chunk) is Reason.BAD_PROOF
    with pytest.raises(Invalid):  # true, but too large to be a chunk
        check_chunk(state.manifest, root, codec.encode(ObjectChunk((), tuple(everything * 2), ())))


def test_halves_below_the_deepest_subtree_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """True halves, but of a subtree whose halves no chunk can hold."""
    state = frozen(big=9)
    number = state.manifest.object_chunk(1)
    halves = decoded(state, number, ObjectChunk)
    assert halves.halves
    monkeypatch.setattr(snapshot, "SUBTREE_DEPTH_MAX", 0)
    assert refused(state.manifest, number, halves) is Reason.BAD_PROOF


def test_objects_may_be_halved_below_a_chunk() -> None:
    """Who halves further than needed says nothing wrong: the halves are asked for instead."""
    state = frozen()
    shape = state.head.commitments.objects.subtree(1)
    assert shape is not None
    number = state.manifest.object_chunk(1)
    chunk = ObjectChunk(shape.path, (), shape.halves)
    checked = check_chunk(state.manifest, number, codec.encode(chunk))
    expected = (state.manifest.object_chunk(2), state.manifest.object_chunk(3))
    assert checked == CheckedObjects({}, expected)
    assert all(make_chunk(state, half) is not None for half in expected)


def test_numbers_without_a_chunk() -> None:
    """Below zero, above all subtrees and below a leaf of the tree there is nothing to make."""
    state = frozen()
    manifest = state.manifest
    data = make_chunk(state, 0)
    assert data is not None
    last = manifest.object_chunk((2 << SUBTREE_DEPTH_MAX) - 1)
    for number in (-1, last, last + 1, UINT_MAX):
        assert make_chunk(state, number) is None
        with pytest.raises(Invalid):
            check_chunk(manifest, number, data)


def test_a_full_chunk_fits_into_its_frame() -> None:
    """The largest chunk of outputs, and of objects as they are cut, stay below the limit."""
    entry = OutputEntry(bytes(32), AMOUNT_LIMIT - 1, bytes(32), UINT_MAX, UINT_MAX, bytes(16))
    path = (bytes(32),) * 63
    outputs = OutputChunk(
        path,
        SpentProof(UINT_MAX, bytes(CHUNK_BYTES), path),
        (),
        (Unspent(OutPoint(bytes(32), 2**32 - 1), entry),) * CHUNK_FLAGS,
    )
    assert len(codec.encode(outputs)) <= CHUNK_BYTES_MAX // 4
    size = OBJECTS_BYTES_MAX // OBJECTS_MAX
    many = StoredObject(bytes(64), bytes(size - 64))
    long = StoredObject(bytes(OBJECT_KEY_BYTES_MAX), bytes(64_000))
    for items in ((many,) * OBJECTS_MAX, (long,) * (OBJECTS_BYTES_MAX // 64_256)):
        assert len(codec.encode(ObjectChunk((bytes(32),) * 52, items, ()))) <= CHUNK_BYTES_MAX


def test_a_store_without_a_record_makes_no_wrong_chunk() -> None:
    """An output that is not found by its leaf, an object that is gone: the node says so."""
    other = output_key(1)
    for lose in (output_key(2), object_key(b"\x21pot"), other):
        kv = MemoryKV()
        world, chain = grown(kv, seed=1, outputs=5, transfers=0)
        assert len(world.outputs) == 5
        state = chain.freeze()
        state.objects()
        assert isinstance(state.image, MemoryKV)
        harmed = state.image if lose == object_key(b"\x21pot") else kv
        puts = {lose: kv.get(output_key(0)) or b""} if lose == other else {}
        harmed.write(puts, [lose])
        with pytest.raises(DamagedChain):
            all_chunks(state)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 64), st.sampled_from((0.0, 0.3, 0.6, 0.95, 1.0)))
def test_a_chunk_has_what_is_stored(seed: int, each: int, spent_share: float) -> None:
    """However many outputs a transaction made, and however many of them are spent."""
    random, count = Random(seed), CHUNK_FLAGS + 300
    outpoints = [((at // each).to_bytes(32, "big"), at % each) for at in range(count)]
    entries = [
        OutputEntry(ZERO_HASH, random.randrange(1, 2**40), random.randbytes(32), at, at, bytes(16))
        for at in range(count)
    ]
    spent = {at for at in range(count) if random.random() < spent_share}
    state = state_of(outpoints, entries, spent)
    for number, leaves in enumerate((range(CHUNK_FLAGS), range(CHUNK_FLAGS, count))):
        data = make_chunk(state, number)
        assert data is not None
        checked = check_chunk(state.manifest, number, data)
        assert isinstance(checked, CheckedOutputs)
        assert checked.unspent == tuple(
            Unspent(OutPoint(*outpoints[at]), entries[at]) for at in leaves if at not in spent
        )


@pytest.mark.parametrize("each", [1, 64])
@pytest.mark.parametrize("harm", ["leaf", "cut", "type", "swapped"])
def test_a_damaged_output_makes_no_chunk(each: int, harm: str) -> None:
    """What a peer would call a lie is found by its maker, and is a damaged store."""
    outpoints = [((at // each).to_bytes(32, "big"), at % each) for at in range(100)]
    entries = [OutputEntry(ZERO_HASH, 7, bytes(32), 1, at, bytes(16)) for at in range(100)]
    state = state_of(outpoints, entries, {50})
    name, stored = outpoint_value(outpoints[20]), codec.encode(entries[20])
    values = {
        "leaf": name + codec.encode(entries[21]),
        "cut": name + stored[:-1],
        "type": name + b"\6" + stored[1:],
        "swapped": outpoint_value(outpoints[21]) + stored,
    }
    assert make_chunk(state, 0) is not None
    assert isinstance(state.store, MemoryKV)
    state.store.write({output_key(20): values[harm]}, ())
    with pytest.raises(DamagedChain, match=r"leaf 20|an output cannot be read"):
        make_chunk(state, 0)


def state_of(outpoints: list[Outpoint], entries: list[OutputEntry], spent: set[int]) -> FrozenState:
    """A state with these outputs, some of them spent, in a store in memory."""
    leaves = [output_leaf(*item) for item in zip(outpoints, entries, strict=True)]
    outputs, nodes = MountainRange.empty().append(leaves)
    kv = MemoryKV()
    kv.write(records_of(nodes), ())
    for at, (outpoint, entry) in enumerate(zip(outpoints, entries, strict=True)):
        if at not in spent:
            kv.write({output_key(at): output_value(outpoint, entry)}, ())
    head = frozen().head
    flags = SpentBitmap.empty().spend(spent, len(entries))
    commitments = replace_values(head.commitments, outputs=outputs, spent=flags)
    head = replace_values(head, commitments=commitments)
    return FrozenState(kv, kv.frozen(OBJECT), head, certificate_of(head))
