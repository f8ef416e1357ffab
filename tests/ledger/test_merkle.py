"""The Merkle tree over a list: its shape, its proofs, and what must not verify."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codec import UINT_MAX
from ledger.crypto import pair_hash, tagged_hash
from ledger.merkle import (
    DEPTH_MAX,
    MerkleProof,
    climb,
    merkle_proof,
    merkle_root,
    verify_merkle,
)
from tests.ledger.commitment_reference import leaf, none_verifies, root_of, tagged


def leaves_of(count: int) -> list[bytes]:
    return [leaf(number) for number in range(count)]


def test_pair_hash_is_the_tagged_hash() -> None:
    """The fast hash of a node equals the general one and the one written from the description."""
    for name in ("merkle/node", "x"):
        expected = tagged(name, leaf(1), leaf(2))
        assert pair_hash(name)(leaf(1), leaf(2)) == tagged_hash(name)(leaf(1), leaf(2)) == expected


@pytest.mark.parametrize("count", [*range(34), 63, 64, 65, 257])
def test_root_equals_the_naive_tree(count: int) -> None:
    """Bottom up with promotion is top down with the largest power of two on the left."""
    leaves = leaves_of(count)
    hashed = [tagged("merkle/leaf", item) for item in leaves]
    assert merkle_root(leaves) == root_of("merkle", count, hashed)


def test_root_of_nothing_is_defined() -> None:
    """The empty list commits to the count zero alone."""
    assert merkle_root([]) == tagged("merkle/root", bytes(8))


def test_duplicating_the_odd_leaf_changes_the_root() -> None:
    """Lists that collide where odd leaves are doubled (CVE-2012-2459) have two roots here."""
    one, two, three = leaves_of(3)
    assert merkle_root([one, two, three]) != merkle_root([one, two, three, three])
    assert merkle_root([one]) != merkle_root([one, one])


def test_a_node_is_no_leaf() -> None:
    """The hash of an inner node, given as a leaf, makes another root (tags and count differ)."""
    one, two = leaves_of(2)
    node = tagged("merkle/node", tagged("merkle/leaf", one), tagged("merkle/leaf", two))
    assert merkle_root([node]) != merkle_root([one, two])


@given(st.integers(1, 150), st.data())
def test_a_proof_verifies_for_its_own_leaf_only(count: int, data: st.DataObject) -> None:
    """Any index of any list: right leaf at right place passes; other leaf, place, root do not."""
    leaves = leaves_of(count)
    index = data.draw(st.integers(0, count - 1))
    root, proof = merkle_root(leaves), merkle_proof(leaves, index)
    assert verify_merkle(root, leaves[index], proof)
    assert not verify_merkle(merkle_root(leaves[:-1]), leaves[index], proof)
    for other in range(count):
        moved = MerkleProof(other, count, proof.path)
        assert verify_merkle(root, leaves[other], proof) == (other == index)
        assert verify_merkle(root, leaves[index], moved) == (other == index)


@pytest.mark.parametrize(("count", "index"), [(1, 0), (2, 1), (7, 6), (13, 4), (40, 39)])
def test_every_flipped_bit_breaks_a_proof(count: int, index: int) -> None:
    """Each bit of the encoded proof is turned over once."""
    leaves = leaves_of(count)
    root, proof = merkle_root(leaves), merkle_proof(leaves, index)
    assert none_verifies(proof, lambda damaged: verify_merkle(root, leaves[index], damaged))


@pytest.mark.parametrize(
    "proof",
    [
        MerkleProof(-1, 3, (leaf(7), leaf(8))),
        MerkleProof(3, 3, (leaf(7), leaf(8))),
        MerkleProof(0, 0, ()),
        MerkleProof(0, -5, ()),
        MerkleProof(0, 1, (leaf(7),)),
        MerkleProof(0, 3, (leaf(7),)),
        MerkleProof(0, 3, (leaf(7), leaf(8), leaf(9))),
        MerkleProof(0, 3, (leaf(7), leaf(8)[:31])),
        MerkleProof(0, 3, (b"", leaf(8))),
        MerkleProof(0, 1 << 64, (leaf(7),) * 64),
        MerkleProof(0, UINT_MAX + 1, (leaf(7),) * DEPTH_MAX),
        MerkleProof(0, 3, (leaf(7),) * 100_000),
    ],
)
def test_malformed_proofs_are_refused_without_raising(proof: MerkleProof) -> None:
    """Values that no decoder would let through still only give False."""
    leaves = leaves_of(3)
    assert verify_merkle(merkle_root(leaves), leaves[0], proof) is False


def test_the_largest_count_has_the_longest_path() -> None:
    """`DEPTH_MAX` siblings are read for `UINT_MAX` leaves; one more or one fewer are refused."""
    node = pair_hash("merkle/node")
    for siblings, expected in ((DEPTH_MAX - 1, False), (DEPTH_MAX, True), (DEPTH_MAX + 1, False)):
        top = climb(node, leaf(0), 0, UINT_MAX, (leaf(1),) * siblings)
        assert (top is not None) == expected


def test_climb_refuses_what_is_no_hash() -> None:
    """31 and 33 bytes would shift the fixed-length preimage of a node."""
    node = pair_hash("merkle/node")
    for size, expected in ((31, False), (32, True), (33, False)):
        assert (climb(node, bytes(size), 0, 2, (leaf(1),)) is not None) == expected
        assert (climb(node, leaf(1), 0, 2, (bytes(size),)) is not None) == expected


def test_a_negative_index_is_no_other_name_of_a_leaf() -> None:
    """In a list of two, -1 would take the way of 1."""
    leaves = leaves_of(2)
    proof = MerkleProof(-1, 2, merkle_proof(leaves, 1).path)
    assert not verify_merkle(merkle_root(leaves), leaves[1], proof)


def test_proving_what_is_not_there_is_our_fault() -> None:
    """An index outside the list is no input of strangers: it crashes."""
    for index in (-1, 3):
        with pytest.raises(AssertionError):
            merkle_proof(leaves_of(3), index)
