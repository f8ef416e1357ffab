"""The append-only outputs: equal to a plain tree at every size, provable from stored nodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.mountain_range import (
    MountainRange,
    OutputProof,
    nodes_above,
    position_of,
    size_of,
    verify_output,
    verify_range,
)
from tests.ledger.commitment_reference import leaf, none_verifies, root_of


def grown(count: int) -> tuple[MountainRange, dict[int, bytes]]:
    outputs, nodes = MountainRange.empty().append(leaf(number) for number in range(count))
    return outputs, dict(nodes)


def naive_root(count: int) -> bytes:
    return root_of("outputs", count, [leaf(number) for number in range(count)])


@pytest.mark.parametrize("count", [*range(40), 64, 127, 500])
def test_root_equals_the_naive_tree(count: int) -> None:
    """Folded peaks are the Merkle tree over all leaves; the empty range has a root too."""
    assert grown(count)[0].root == naive_root(count)


@given(st.lists(st.integers(0, 40), max_size=12))
def test_splits_into_blocks_do_not_matter(sizes: list[int]) -> None:
    """Random blocks give the value and the nodes of one block with everything."""
    outputs, stored, first = MountainRange.empty(), dict[int, bytes](), 0
    for size in sizes:
        outputs, nodes = outputs.append([leaf(number) for number in range(first, first + size)])
        assert not stored.keys() & dict(nodes).keys()
        stored.update(nodes)
        first += size
    assert (outputs, stored) == grown(first)
    assert list(stored) == list(range(size_of(first)))


def test_nodes_are_numbered_where_they_are_looked_up() -> None:
    """Each complete node lies at `position_of` and is the top over its own leaves."""
    _, stored = grown(64)
    seen = set()
    for height in range(7):
        for index in range(64 >> height):
            first, last = index << height, (index + 1) << height
            alone, _ = MountainRange.empty().append(leaf(number) for number in range(first, last))
            position = position_of(index, height)
            assert stored[position] == alone.peaks[0]
            seen.add(position)
    assert seen == set(stored)


@given(st.integers(1, 120), st.integers(0, 60), st.data())
def test_proofs_come_from_stored_nodes(count: int, later: int, data: st.DataObject) -> None:
    """An older value still proves its outputs, whatever was appended to the store since."""
    outputs, _ = grown(count)
    _, stored = grown(count + later)
    index = data.draw(st.integers(0, count - 1))
    proof = outputs.prove(index, stored.__getitem__)
    for other in range(count):
        assert verify_output(outputs.root, leaf(other), proof) == (other == index)
        moved = OutputProof(other, count, proof.path)
        assert verify_output(outputs.root, leaf(index), moved) == (other == index)
    if later:
        assert not verify_output(naive_root(count + later), leaf(index), proof)


@given(st.integers(0, 200))
def test_load_finds_the_peaks(count: int) -> None:
    """At boot the count and the stored nodes are enough."""
    outputs, stored = grown(count)
    assert MountainRange.load(count, stored.__getitem__) == outputs


@given(st.integers(1, 200), st.integers(0, 6), st.data())
def test_ranges_are_proved_whole(count: int, height: int, data: st.DataObject) -> None:
    """A range of leaves with its path gives all nodes over it; another leaf, place, count or path
    gives nothing."""
    outputs, stored = grown(count)
    number = data.draw(st.integers(0, (count - 1) >> height))
    first = number << height
    leaves = [leaf(at) for at in range(first, min(first + (1 << height), count))]
    path = outputs.prove_range(number, height, stored.__getitem__)
    nodes = verify_range(outputs.root, count, number, height, leaves, path)
    assert nodes is not None
    assert [position for position, _ in nodes[:1]] == [size_of(first)]
    assert len(nodes) == size_of(len(leaves))
    assert nodes == [(position, stored[position]) for position, _ in nodes]
    if len(leaves) > 1:  # the node over them is no leaf, though it leads to the same root
        top = max(nodes)[1] if len(leaves).bit_count() == 1 else leaf(0)
        assert verify_range(outputs.root, count, number, height, [top], path) is None
    wrong = [
        (count, number, [*leaves[:-1], leaf(count)], path),
        (count, number, leaves[:-1], path),
        (count, number, [*leaves, leaf(count)], path),
        (count, number + 1, leaves, path),
        (count, number - 1, leaves, path),
        (count + 1, number, leaves, path),
        (count, number, leaves, (*path, leaf(0))),
        (count, number, leaves, path[1:] if path else (leaf(0),)),
        (count, (count - 1 >> height) + 1, [], path),
    ]
    for count_, number_, leaves_, path_ in wrong:
        assert verify_range(outputs.root, count_, number_, height, leaves_, path_) is None


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 100, 128, 200])
@pytest.mark.parametrize("height", [0, 1, 3, 7])
def test_nodes_above_a_level_follow_from_it(count: int, height: int) -> None:
    """With the nodes up to a level and those above it every node is there."""
    stored = grown(count)[1]
    above = dict(nodes_above(count, height, stored.__getitem__))
    assert above == {position: stored[position] for position in above}
    levels = range(height + 1, count.bit_length())
    expected = [position_of(at, level) for level in levels for at in range(count >> level)]
    assert sorted(above) == sorted(expected)


def test_a_range_that_was_never_made_crashes() -> None:
    """To prove what lies above the count, or below zero, is our own fault."""
    outputs, stored = grown(5)
    for number, height in ((5, 0), (2, 2), (-1, 0)):
        with pytest.raises(AssertionError):
            outputs.prove_range(number, height, stored.__getitem__)


@pytest.mark.parametrize(("count", "index"), [(1, 0), (6, 5), (11, 3), (21, 20), (64, 17)])
def test_every_flipped_bit_breaks_a_proof(count: int, index: int) -> None:
    """Each bit of the encoded proof is turned over once."""
    outputs, stored = grown(count)
    proof = outputs.prove(index, stored.__getitem__)
    assert none_verifies(proof, lambda bad: verify_output(outputs.root, leaf(index), bad))


def test_malformed_proofs_are_refused_without_raising() -> None:
    """Impossible indices, counts, lengths and hash sizes give False."""
    root = grown(3)[0].root
    path = (leaf(1), leaf(2))
    for proof in (
        OutputProof(-1, 3, path),
        OutputProof(3, 3, path),
        OutputProof(0, 0, ()),
        OutputProof(0, 1 << 64, (leaf(1),) * 64),
        OutputProof(0, 3, path[:1]),
        OutputProof(0, 3, (*path, leaf(3))),
        OutputProof(0, 3, (leaf(1), leaf(2)[:31])),
    ):
        assert verify_output(root, leaf(0), proof) is False
    assert verify_output(root, leaf(0)[:31], OutputProof(0, 3, path)) is False


def test_what_only_our_own_fault_can_bring_crashes() -> None:
    """Wrong peaks, leaf sizes and indices raise AssertionError."""
    outputs, stored = grown(5)
    with pytest.raises(AssertionError):
        MountainRange(5, outputs.peaks[:1])
    with pytest.raises(AssertionError):
        outputs.append([bytes(31)])
    for index in (-1, 5):
        with pytest.raises(AssertionError):
            outputs.prove(index, stored.__getitem__)
