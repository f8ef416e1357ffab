"""The spent flags: against a plain set, over blocks, branches, restarts and bad proofs."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reasons import Invalid
from ledger.spent_bitmap import (
    CHUNK_BYTES,
    CHUNK_FLAGS,
    SpentBitmap,
    SpentProof,
    verify_spent,
    verify_unspent,
)
from tests.ledger.commitment_reference import leaf, none_verifies, root_of, tagged

COUNT_MAX = 12 * CHUNK_FLAGS


def naive_chunk(spent: Collection[int], number: int) -> bytes:
    flags = [number * CHUNK_FLAGS + at in spent for at in range(CHUNK_FLAGS)]
    return bytes(sum(flags[i * 8 + j] << j for j in range(8)) for i in range(CHUNK_BYTES))


def naive_root(spent: Collection[int], count: int) -> bytes:
    width = -(-count // CHUNK_FLAGS)
    hashed = [tagged("spent/chunk", naive_chunk(spent, number)) for number in range(width)]
    return root_of("spent", count, hashed)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, set[int]]]:
    """Blocks as (count after, newly spent): counts rise, no index comes twice."""
    blocks: list[tuple[int, set[int]]] = []
    count, gone = 0, set[int]()
    for _ in range(draw(st.integers(1, 5))):
        count += draw(st.one_of(st.just(0), st.integers(0, 3), st.integers(0, COUNT_MAX // 5)))
        picks = st.sets(st.integers(0, count - 1), max_size=8) if count else st.just(set[int]())
        spent = draw(picks) - gone
        gone |= spent
        blocks.append((count, spent))
    return blocks


@given(histories())
def test_blocks_against_a_plain_set(blocks: list[tuple[int, set[int]]]) -> None:
    """After each block the root is the naive one; at the end one single batch gives it too."""
    bitmap, gone = SpentBitmap.empty(), set[int]()
    for count, spent in blocks:
        bitmap = bitmap.spend(spent, count)
        gone |= spent
        assert bitmap.root == naive_root(gone, count)
        assert all(bitmap.is_spent(index) for index in gone)
    assert bitmap == SpentBitmap.empty().spend(sorted(gone, reverse=True), bitmap.count)
    near = {index + step for index in gone for step in (-1, 1)} & set(range(bitmap.count))
    assert {index for index in near if bitmap.is_spent(index)} == near & gone


@pytest.mark.parametrize("width", range(1, 18))
def test_growth_without_spends(width: int) -> None:
    """Clear chunks, made at once or beside older ones, hash like any others at every width."""
    count = width * CHUNK_FLAGS
    assert SpentBitmap.empty().spend([], count).root == naive_root((), count)
    assert SpentBitmap.empty().spend([7], count).root == naive_root({7}, count)
    older = SpentBitmap.empty().spend([7], 3 * CHUNK_FLAGS)
    assert older.spend([], count + 3_072).root == naive_root({7}, count + 3_072)


@given(histories())
def test_changed_chunks_rebuild_the_value(blocks: list[tuple[int, set[int]]]) -> None:
    """Storing each block's changed chunks and loading gives the same value: once each, no more."""
    bitmap, stored = SpentBitmap.empty(), dict[int, bytes]()
    for count, spent in blocks:
        after = bitmap.spend(spent, count)
        changed = after.changed_chunks(bitmap)
        assert [number for number, _ in changed] == sorted({i // CHUNK_FLAGS for i in spent})
        stored.update(changed)
        bitmap = after
    loaded = SpentBitmap.load(stored, bitmap.count)
    assert loaded == bitmap
    assert loaded.changed_chunks(bitmap) == []
    assert dict(loaded.changed_chunks(SpentBitmap.empty())) == stored


@given(histories(), st.data())
def test_one_proof_tells_spent_from_unspent(
    blocks: list[tuple[int, set[int]]], data: st.DataObject
) -> None:
    """A proof verifies for exactly the flag that is set, and never beyond the count."""
    bitmap, gone = SpentBitmap.empty(), set[int]()
    for count, spent in blocks:
        bitmap, gone = bitmap.spend(spent, count), gone | spent
    if not bitmap.count:
        return
    anywhere = st.integers(0, bitmap.count - 1)
    index = data.draw(st.one_of(anywhere, st.sampled_from(sorted(gone))) if gone else anywhere)
    proof = bitmap.prove(index)
    assert verify_spent(bitmap.root, index, proof) == (index in gone)
    assert verify_unspent(bitmap.root, index, proof) == (index not in gone)
    for other in {*gone, 0, index ^ 1, index + CHUNK_FLAGS, bitmap.count - 1, bitmap.count, -1}:
        made = 0 <= other < bitmap.count
        assert not verify_spent(bitmap.root, other, proof) or (made and other in gone)
        assert not verify_unspent(bitmap.root, other, proof) or (made and other not in gone)


def test_a_proof_of_one_chunk_is_none_of_another() -> None:
    """Five different chunks: each proof speaks for its own flags and for no others."""
    spent = {CHUNK_FLAGS * number + number for number in range(5)}
    bitmap = SpentBitmap.empty().spend(spent, 5 * CHUNK_FLAGS)
    for one in spent:
        for two in spent:
            proof = bitmap.prove(one)
            assert verify_spent(bitmap.root, two, proof) == (one == two)
            assert verify_unspent(bitmap.root, two + 7, proof) == (one == two)


def test_values_on_one_base_do_not_disturb_each_other() -> None:
    """Two branches on a base: each has its own spends, the base has none, subtrees are shared."""
    base = SpentBitmap.empty().spend([5], 6_000)
    one, two = base.spend([6, 5_000], 6_000), base.spend([7], 7_000)
    flags = [[value.is_spent(i) for i in (5, 6, 7, 5_000)] for value in (base, one, two)]
    assert flags == [[True, False, False, False], [True, True, False, True], [True, False, True, 0]]
    assert one.chunk(3) is base.chunk(3)
    assert one.changed_chunks(base) == [(0, one.chunk(0)), (4, one.chunk(4))]


@pytest.mark.parametrize("index", [0, 2_047, 4_999])
def test_every_flipped_bit_breaks_a_proof(index: int) -> None:
    """Each bit of the encoded proof is turned over once; the claim is spent, then unspent."""
    for spent, verify in (({0, 2_047, 4_999}, verify_spent), ({1, 3_000}, verify_unspent)):
        bitmap = SpentBitmap.empty().spend(spent, 5_000)
        assert verify(bitmap.root, index, bitmap.prove(index))

        def is_valid(bad: SpentProof, value: SpentBitmap = bitmap) -> bool:
            return verify_spent(value.root, index, bad) or verify_unspent(value.root, index, bad)

        assert none_verifies(bitmap.prove(index), is_valid)


def test_malformed_proofs_are_refused_without_raising() -> None:
    """Impossible counts, chunks, path lengths and hash sizes give False for both claims."""
    bitmap = SpentBitmap.empty().spend([3], 3_000)
    good = bitmap.prove(3)
    for index, proof in (
        (-1, good),
        (3_000, good),
        (1 << 70, good),
        (3, SpentProof(0, good.chunk, good.path)),
        (3, SpentProof(-1, good.chunk, good.path)),
        (3, SpentProof(1 << 64, good.chunk, (leaf(1),) * 54)),
        (3, SpentProof(1 << 70, good.chunk, (leaf(1),) * 60)),
        (3, SpentProof(3_000, good.chunk[:-1], good.path)),
        (3, SpentProof(3_000, b"", good.path)),
        (3, SpentProof(3_000, good.chunk, good.path[:-1])),
        (3, SpentProof(3_000, good.chunk, (*good.path, leaf(1)))),
        (3, SpentProof(3_000, good.chunk, (good.path[0][:31], *good.path[1:]))),
    ):
        assert verify_spent(bitmap.root, index, proof) is False
        assert verify_unspent(bitmap.root, index, proof) is False


def test_a_chunk_of_another_size_is_refused_under_its_own_root() -> None:
    """Even where the root was made from it."""
    for size in (CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1):
        root = root_of("spent", 9, [tagged("spent/chunk", bytes(size))])
        proof = SpentProof(9, bytes(size), ())
        assert verify_unspent(root, 8, proof) == (size == CHUNK_BYTES)


@given(
    st.sets(st.integers(0, 3 * CHUNK_FLAGS - 1)),
    st.integers(0, 3 * CHUNK_FLAGS),
    st.integers(0, 4 * CHUNK_FLAGS),
)
def test_the_first_unspent_is_that_of_a_plain_set(kept: set[int], first: int, end: int) -> None:
    """Few are left of three chunks; ranges that are empty, or end above the count."""
    count = 3 * CHUNK_FLAGS - 9
    unspent = {index for index in kept if index < count}
    bitmap = SpentBitmap.empty().spend(set(range(count)) - unspent, count)
    expected = min((index for index in unspent if first <= index < end), default=None)
    assert bitmap.first_unspent(first, min(end, count)) == expected


def test_a_double_spend_crashes() -> None:
    """Twice in one batch, again in a later one, or before the output exists: our own fault."""
    bitmap = SpentBitmap.empty().spend([1_500], 2_000)
    for indices, count in (([7, 7], 2_000), ([1_500], 2_000), ([2_000], 2_000), ([-1], 2_000)):
        with pytest.raises(AssertionError, match=str(indices[-1])):
            bitmap.spend(indices, count)
    assert bitmap.spend([2_000], 2_001).is_spent(2_000)


def test_what_only_our_own_fault_can_bring_crashes() -> None:
    """A shrinking count and questions beyond the count raise AssertionError."""
    bitmap = SpentBitmap.empty().spend([], 10)
    with pytest.raises(AssertionError):
        bitmap.spend([], 9)
    with pytest.raises(AssertionError):
        SpentBitmap.empty().changed_chunks(bitmap)
    for index in (-1, 10):
        with pytest.raises(AssertionError):
            bitmap.is_spent(index)
        with pytest.raises(AssertionError):
            bitmap.prove(index)
    with pytest.raises(AssertionError):
        bitmap.chunk(1)


def test_damaged_chunks_are_refused_at_boot() -> None:
    """Wrong size, a chunk beyond the count, a flag at or above the count."""
    full = b"\xff" * CHUNK_BYTES
    assert SpentBitmap.load({0: full}, CHUNK_FLAGS).is_spent(CHUNK_FLAGS - 1)
    for chunks, count in (
        ({0: full[:-1]}, CHUNK_FLAGS),
        ({0: full}, CHUNK_FLAGS - 1),
        ({1: full}, CHUNK_FLAGS),
        ({2: full}, CHUNK_FLAGS),
        ({-1: full}, CHUNK_FLAGS),
        ({0: full}, 0),
    ):
        with pytest.raises(Invalid):
            SpentBitmap.load(chunks, count)
