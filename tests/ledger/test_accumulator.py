"""The state root: what it binds, how blocks move it, and a claim followed up to it."""

from dataclasses import replace

import msgspec
import pytest

from ledger.accumulator import Commitments, StateRoots
from ledger.codec import decode_payload, encode_payload
from ledger.mountain_range import MountainRange, verify_output
from ledger.object_tree import ObjectTree, verify_absent, verify_object
from ledger.spent_bitmap import SpentBitmap, verify_spent, verify_unspent
from tests.ledger.commitment_reference import leaf, none_verifies, tagged

GENESIS = Commitments(
    MountainRange.empty(), SpentBitmap.empty(), ObjectTree.empty(), leaf(1_000_000)
)


def two_blocks() -> tuple[Commitments, Commitments, dict[int, bytes]]:
    first, nodes = GENESIS.advance(
        created=[leaf(n) for n in range(1_500)],
        spent=[],
        objects={b"licence": leaf(1), b"reserve": leaf(2)},
        supply_root=leaf(10),
    )
    second, more = first.advance(
        created=[leaf(1_500), leaf(1_501)],
        spent=[3, 1_500],
        objects={b"licence": None, b"reserve": leaf(3)},
        supply_root=leaf(11),
    )
    return first, second, dict(nodes + more)


def test_state_root_hashes_its_five_parts() -> None:
    """The root equals the tagged hash written from its description."""
    _, state, _ = two_blocks()
    expected = tagged(
        "state",
        state.outputs.root,
        (1_502).to_bytes(8, "big"),
        state.spent.root,
        state.objects.root,
        leaf(11),
    )
    assert state.state_root == state.roots.state_root == expected


def test_every_part_moves_the_state_root() -> None:
    """Changing any one field of the opening changes the root."""
    _, state, _ = two_blocks()
    roots = state.roots
    for name in ("outputs_root", "spent_root", "objects_root", "supply_root"):
        assert msgspec.structs.replace(roots, **{name: leaf(5)}).state_root != state.state_root
    assert msgspec.structs.replace(roots, outputs_count=1).state_root != state.state_root
    assert replace(state, supply_root=leaf(12)).state_root != state.state_root


def test_one_block_or_two() -> None:
    """A block with everything ends where the two blocks ended; nothing of the parent changed."""
    first, second, _ = two_blocks()
    before = first.state_root
    once, _ = GENESIS.advance(
        created=[leaf(n) for n in range(1_502)],
        spent=[1_500, 3],
        objects={b"reserve": leaf(3)},
        supply_root=leaf(11),
    )
    assert once == second
    assert once.state_root == second.state_root != before == first.state_root


def test_claims_are_followed_up_to_the_state_root() -> None:
    """Output, spent flag and object verify under the roots that open the header's state root."""
    first, second, stored = two_blocks()
    roots = decode_payload(encode_payload(second.roots), StateRoots, size_max=256)
    assert roots.state_root == second.state_root
    for index, spent in ((3, True), (4, False), (1_500, True), (1_501, False)):
        made = second.outputs.prove(index, stored.__getitem__)
        flag = second.spent.prove(index)
        assert verify_output(roots.outputs_root, leaf(index), made)
        assert verify_spent(roots.spent_root, made.index, flag) == spent
        assert verify_unspent(roots.spent_root, made.index, flag) != spent
    licence, reserve = second.objects.prove(b"licence"), second.objects.prove(b"reserve")
    assert verify_absent(roots.objects_root, b"licence", licence)
    assert verify_object(roots.objects_root, b"reserve", leaf(3), reserve)
    assert not verify_object(first.roots.objects_root, b"reserve", leaf(3), reserve)


def test_every_flipped_bit_breaks_the_opening() -> None:
    """Each bit of the encoded roots is turned over once."""
    _, state, _ = two_blocks()
    assert none_verifies(state.roots, lambda damaged: damaged.state_root == state.state_root)


def test_every_output_has_a_flag() -> None:
    """Counts that differ between the parts crash: our own fault."""
    with pytest.raises(AssertionError):
        replace(GENESIS, outputs=MountainRange.empty().append([leaf(1)])[0])
