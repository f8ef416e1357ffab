"""The sparse tree of objects: one form for one content, proofs of presence and of absence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.crypto import pair_hash
from ledger.object_tree import (
    PATH_BITS,
    ObjectLeaf,
    ObjectProof,
    ObjectTree,
    place_of,
    subtree_of,
    verify_absent,
    verify_halves,
    verify_object,
    verify_subtree,
)
from tests.ledger.commitment_reference import leaf, none_verifies, tagged

keys = st.integers(0, 60).map(lambda number: b"object %d" % number)
values = st.integers(0, 5).map(leaf)
contents = st.dictionaries(keys, values, max_size=40)


def naive_top(leaves: dict[str, bytes], depth: int = 0) -> bytes:
    """The subtree over leaves by their bits, recomputed from nothing."""
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        [(bits, value)] = leaves.items()
        return tagged("objects/leaf", int(bits, 2).to_bytes(32, "big"), value)
    halves = [
        {bits: value for bits, value in leaves.items() if bits[depth] == side} for side in "01"
    ]
    return tagged("objects/node", *(naive_top(half, depth + 1) for half in halves))


def naive_root(content: dict[bytes, bytes]) -> bytes:
    places = {key: int.from_bytes(tagged("objects/key", key), "big") for key in content}
    return naive_top({f"{places[key]:0256b}": value for key, value in content.items()})


@given(st.lists(st.dictionaries(keys, st.none() | values, max_size=15), max_size=8))
def test_updates_and_removals_against_a_plain_dict(
    batches: list[dict[bytes, bytes | None]],
) -> None:
    """After each batch the root is that of the content alone, removals of absent keys included."""
    tree, content = ObjectTree.empty(), dict[bytes, bytes]()
    for batch in batches:
        tree = tree.update(batch)
        for key, value in batch.items():
            content.pop(key, None)
            if value is not None:
                content[key] = value
        assert tree.root == naive_root(content)
    assert tree == ObjectTree.empty().update(dict(content))
    assert tree.update(dict.fromkeys(content)) == ObjectTree.empty()


@given(contents, st.data(), st.integers(1, 10))
def test_order_does_not_matter(content: dict[bytes, bytes], data: st.DataObject, size: int) -> None:
    """The same content in shuffled batches of any size has one root."""
    items = data.draw(st.permutations(list(content.items())))
    tree = ObjectTree.empty()
    for first in range(0, len(items), size):
        tree = tree.update(dict(items[first : first + size]))
    assert tree == ObjectTree.empty().update(dict(content))


@given(contents, keys)
def test_each_key_is_proved_present_or_absent(content: dict[bytes, bytes], key: bytes) -> None:
    """Exactly the true claim verifies: the value, another value, or nothing."""
    tree = ObjectTree.empty().update(dict(content))
    proof = tree.prove(key)
    for number in range(7):
        expected = content.get(key) == leaf(number)
        assert verify_object(tree.root, key, leaf(number), proof) == expected
    assert verify_absent(tree.root, key, proof) == (key not in content)


@given(contents)
def test_each_subtree_is_proved_whole(content: dict[bytes, bytes]) -> None:
    """From the root down every node is a subtree with just its keys; none stands elsewhere."""
    tree = ObjectTree.empty().update(dict(content))
    numbers = [1]
    for number in numbers:  # grows while it runs
        shape = tree.subtree(number)
        assert shape is not None
        depth = number.bit_length() - 1
        below = {key: value for key, value in content.items() if is_below(key, number)}
        assert len(shape.path) == depth
        assert bool(shape.halves) == (len(below) > 1)
        assert verify_subtree(tree.root, number, below, shape.path)
        for wrong in ({**below, b"another": leaf(9)}, dict(list(below.items())[1:])):
            if wrong != below:
                assert not verify_subtree(tree.root, number, wrong, shape.path)
        assert not verify_subtree(tree.root, number, below, (*shape.path, bytes(32)))
        if not shape.halves:
            assert tree.subtree(2 * number) is tree.subtree(2 * number + 1) is None
            continue
        left, right = shape.halves
        assert verify_halves(tree.root, number, (left, right), shape.path)
        assert not verify_halves(tree.root, number, (right, left), shape.path)
        assert not verify_halves(tree.root, 2 * number, (left, right), shape.path)
        numbers += (2 * number, 2 * number + 1)


def is_below(key: bytes, number: int) -> bool:
    return subtree_of(place_of(key), number.bit_length() - 1) == number


def test_subtrees_have_numbers_from_one_to_the_deepest() -> None:
    """Other numbers are our own fault; the deepest subtree is a single place."""
    for number in (-1, 0, 2 << PATH_BITS):
        with pytest.raises(AssertionError):
            ObjectTree.empty().subtree(number)
    place = place_of(b"key")
    assert subtree_of(place, PATH_BITS) == 1 << PATH_BITS | int.from_bytes(place, "big")
    assert ObjectTree.empty().subtree((2 << PATH_BITS) - 1) is None


@given(contents)
def test_a_proof_of_one_key_says_nothing_false_of_another(content: dict[bytes, bytes]) -> None:
    """Every proof against every key: presence only of its own, absence only of absent ones."""
    tree = ObjectTree.empty().update(dict(content))
    everything = [b"object %d" % number for number in range(0, 61, 3)]
    for one in everything:
        proof = tree.prove(one)
        for two in everything:
            value = content.get(two, leaf(0))
            if verify_object(tree.root, two, value, proof):
                assert one == two and two in content
            if verify_absent(tree.root, two, proof):
                assert two not in content


@pytest.mark.parametrize("size", [30, 45])
def test_every_flipped_bit_breaks_a_proof(size: int) -> None:
    """Each bit of encoded proofs is turned over: of presence, and of absence of either kind."""
    tree = ObjectTree.empty().update({b"object %d" % n: leaf(n) for n in range(size)})
    kinds = set()
    for number in range(200):
        key = b"object %d" % number
        proof = tree.prove(key)
        kind = (number < size, len(proof.other))
        if kind in kinds:
            continue
        kinds.add(kind)

        def is_valid(bad: ObjectProof, key: bytes = key, value: bytes = leaf(number)) -> bool:
            present = verify_object(tree.root, key, value, bad)
            return present or verify_absent(tree.root, key, bad)

        assert is_valid(proof)
        assert none_verifies(proof, is_valid)
    assert kinds == {(True, 0), (False, 0), (False, 1)}


def test_the_smallest_trees() -> None:
    """Nothing is 32 zero bytes and shows every absence; one leaf is the root itself."""
    nothing = ObjectTree.empty()
    assert nothing.root == bytes(32)
    assert verify_absent(nothing.root, b"a", nothing.prove(b"a"))
    one = nothing.update({b"a": leaf(1)})
    assert one.root == tagged("objects/leaf", tagged("objects/key", b"a"), leaf(1))
    assert verify_object(one.root, b"a", leaf(1), one.prove(b"a"))
    assert verify_absent(one.root, b"b", one.prove(b"b"))


def test_a_leaf_from_elsewhere_shows_no_absence() -> None:
    """A forged tree has a leaf at a place that is not its own: it proves nothing about the place.

    The root fits, so the check of the shared bits alone refuses it; the key itself is refused as
    its own neighbour in the same way.
    """
    place = tagged("objects/key", b"object 1")
    for flipped in (0, 1):
        other = bytearray(place)
        other[-1 if flipped else 0] ^= 1 if flipped else 0x80
        hashed = tagged("objects/leaf", bytes(other), leaf(1))
        pair = (leaf(2), hashed) if place[0] >> 7 else (hashed, leaf(2))
        proof = ObjectProof((leaf(2),), (ObjectLeaf(bytes(other), leaf(1)),))
        assert verify_absent(tagged("objects/node", *pair), b"object 1", proof) == bool(flipped)
    own = ObjectProof((), (ObjectLeaf(place, leaf(1)),))
    assert not verify_absent(tagged("objects/leaf", place, leaf(1)), b"object 1", own)


def test_malformed_proofs_are_refused_without_raising() -> None:
    """Too many siblings, hashes of other sizes and spare leaves give False."""
    tree = ObjectTree.empty().update({b"a": leaf(1), b"b": leaf(2)})
    good = tree.prove(b"a")
    strange = ObjectLeaf(leaf(3), leaf(4))
    for proof in (
        ObjectProof((), ()),
        ObjectProof((leaf(1),) * PATH_BITS, ()),
        ObjectProof((leaf(1),) * (PATH_BITS + 1), ()),
        ObjectProof((leaf(1),) * 100_000, (strange,)),
        ObjectProof((good.path[0][:31], *good.path[1:]), ()),
        ObjectProof(good.path, (strange,)),
        ObjectProof(good.path, (strange, strange)),
        ObjectProof(good.path, (ObjectLeaf(b"", leaf(4)),)),
        ObjectProof(good.path, (ObjectLeaf(leaf(3), b""),)),
    ):
        assert verify_object(tree.root, b"a", leaf(1), proof) is False
        assert verify_absent(tree.root, b"a", proof) is False
    assert verify_object(tree.root, b"a", leaf(1)[:31], good) is False


def test_other_sizes_are_refused_under_their_own_root() -> None:
    """Hashes of 31 or 33 bytes and spare leaves, even where the root was made from them."""
    place = tagged("objects/key", b"a")
    elsewhere = bytes([place[0] ^ 1]) + place[1:]
    hash_leaf, hash_node = pair_hash("objects/leaf"), pair_hash("objects/node")
    for size in (31, 32, 33):
        fits, strange = size == 32, bytes(size)
        root = hash_leaf(place, strange)
        assert verify_object(root, b"a", strange, ObjectProof((), ())) == fits
        for other in (ObjectLeaf(elsewhere, strange), ObjectLeaf((elsewhere * 2)[:size], leaf(1))):
            root = hash_leaf(other.place, other.value_hash)
            assert verify_absent(root, b"a", ObjectProof((), (other,))) == fits
            assert not verify_absent(root, b"a", ObjectProof((), (other, other)))
        pair = (strange, bytes(32)) if place[0] >> 7 else (bytes(32), strange)
        assert verify_absent(hash_node(*pair), b"a", ObjectProof((strange,), ())) == fits


def test_unchanged_subtrees_are_shared() -> None:
    """Removing what is not there gives the very same nodes back, not equal ones."""
    tree = ObjectTree.empty().update({b"object %d" % n: leaf(n) for n in range(20)})
    assert tree.update({b"object 99": None})._top is tree._top
    assert tree.update({})._top is tree._top


def test_a_value_hash_has_32_bytes() -> None:
    """Anything else is our own fault and crashes."""
    for size in (0, 31, 33):
        with pytest.raises(AssertionError):
            ObjectTree.empty().update({b"a": bytes(size)})
