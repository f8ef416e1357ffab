"""VIEW-CHANGE and NEW-VIEW: what is dropped, what is derived, and that nothing prepared is lost."""

from __future__ import annotations

from itertools import combinations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import NewView
from consensus.view_change import CheckedViewChange, check_new_view, check_view_change, derive
from ledger.block import COMMIT, PREPARE, header_hash
from ledger.reasons import Invalid
from tests.consensus.kit import Kit

KIT = Kit(4, window=4)
ONE, TWO, THREE = KIT.chain(3)[1:]


def checked(member: int, view: int = 3, **options: object) -> CheckedViewChange:
    return check_view_change(KIT.view_change(member, view, **options), KIT.rules)


def test_a_good_view_change_holds() -> None:
    """Its base is proved and its entries by ascending height are kept."""
    result = checked(1, base=ONE, entries=[KIT.entry(TWO), KIT.entry(THREE, view=2)])
    assert [entry.header.height for entry in result.entries] == [2, 3]
    assert result.base == ONE


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        (
            "a COMMIT certificate",
            msgspec.structs.replace(KIT.entry(TWO), certificate=KIT.certificate(COMMIT, TWO)),
        ),
        (
            "another header",
            msgspec.structs.replace(KIT.entry(TWO), header=KIT.header(ONE, salt="x")),
        ),
        ("a view that is not before", KIT.entry(TWO, view=3)),
        (
            "too few signers",
            msgspec.structs.replace(
                KIT.entry(TWO), certificate=KIT.certificate(PREPARE, TWO, signers=[0, 1])
            ),
        ),
        ("at the base", KIT.entry(ONE)),
    ],
)
def test_a_bad_entry_is_dropped_and_the_others_count(name: str, entry: object) -> None:
    """One bad entry must not cost a committed block that another entry proves."""
    result = checked(1, base=ONE, entries=[entry, KIT.entry(THREE)])
    assert [item.header.height for item in result.entries] == [3], name


def test_entries_beyond_the_window_are_dropped() -> None:
    """Nobody can have prepared them."""
    headers = KIT.chain(6)
    result = checked(1, entries=[KIT.entry(headers[4]), KIT.entry(headers[5])])
    assert [entry.header.height for entry in result.entries] == [4]


@pytest.mark.parametrize(
    "changes",
    [
        {"base_certificate": ()},
        {"base_certificate": (KIT.certificate(PREPARE, ONE),)},
        {"base_certificate": (KIT.certificate(COMMIT, TWO),)},
        {"base_certificate": (KIT.certificate(COMMIT, ONE, signers=[0, 1]),)},
        {"epoch": 1},
        {"view": 0},
    ],
)
def test_a_bad_base_drops_the_whole_message(changes: dict[str, object]) -> None:
    """No certificate, one of another phase, block or quorum, another epoch, view 0."""
    with pytest.raises(Invalid):
        checked(1, base=ONE, entries=[KIT.entry(TWO)], **changes)


def test_genesis_needs_no_certificate_but_must_be_this_one() -> None:
    """Another genesis is no base."""
    assert checked(1).base.height == 0
    other = msgspec.structs.replace(KIT.genesis, time_ms=KIT.genesis.time_ms + 1)
    with pytest.raises(Invalid):
        checked(1, base=other)


@pytest.mark.parametrize("signer", [KIT.n, KIT.n + 1, 31])
def test_a_signer_outside_the_set_is_refused(signer: int) -> None:
    """From the first index that no member has to the last that fits the message."""
    stranger = KIT.view_change(0, 3, signer=signer)
    with pytest.raises(Invalid):
        check_view_change(stranger, KIT.rules)
    members = [KIT.view_change(member, 3) for member in range(KIT.quorum - 1)]
    with pytest.raises(Invalid):
        check_new_view(KIT.new_view(3, [*members, stranger]), KIT.rules, {})


def test_a_signature_of_somebody_else_is_refused() -> None:
    """The claimed signer is who must have signed, over this very body."""
    message = KIT.view_change(1, 3)
    stolen = msgspec.structs.replace(message, body=msgspec.structs.replace(message.body, signer=2))
    with pytest.raises(Invalid):
        check_view_change(stolen, KIT.rules)
    moved = msgspec.structs.replace(message, body=msgspec.structs.replace(message.body, view=4))
    with pytest.raises(Invalid):
        check_view_change(moved, KIT.rules)


def test_the_highest_base_is_taken() -> None:
    """Bases differ; entries at or below the highest one count no more."""
    derived = derive([checked(0, entries=[KIT.entry(ONE)]), checked(1, base=TWO), checked(2)])
    assert derived.base == TWO
    assert derived.proposals == ()
    assert derived.top == 2


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_entry_of_the_highest_view_wins(order: tuple[int, ...]) -> None:
    """Whatever the order of arrival."""
    old, new = KIT.header(salt="old"), KIT.header(view=1, salt="new")
    items = [
        checked(0, entries=[KIT.entry(old, view=0)]),
        checked(1, entries=[KIT.entry(new, view=1)]),
        checked(2, entries=[KIT.entry(old, view=0)]),
    ]
    derived = derive([items[index] for index in order])
    assert [entry.header for entry in derived.proposals] == [new]


def test_a_gap_ends_the_derived_heights() -> None:
    """Height 3 without height 2 was decided by nobody."""
    derived = derive(
        [checked(0, entries=[KIT.entry(ONE), KIT.entry(THREE)]), checked(1), checked(2)]
    )
    assert [entry.header.height for entry in derived.proposals] == [1]


def test_an_entry_that_does_not_continue_its_parent_ends_them() -> None:
    """The parent is computed from the header below, never taken from a claim."""
    other = KIT.header(salt="other")
    items = [checked(0, entries=[KIT.entry(other, view=1), KIT.entry(TWO)]), checked(1), checked(2)]
    assert [entry.header for entry in derive(items).proposals] == [other]
    forged = msgspec.structs.replace(TWO, parent_hash=header_hash(other))
    items[1] = checked(1, entries=[KIT.entry(forged, view=0)])
    assert [entry.header for entry in derive(items).proposals] == [other]


@given(st.data())
def test_a_committed_block_is_in_every_new_view(data: st.DataObject) -> None:
    """Whatever q VIEW-CHANGEs are taken: one of them holds the block that q members COMMITted.

    The members that sent COMMIT hold its certificate; f of all may deny it.
    """
    kit = Kit(data.draw(st.sampled_from([4, 5, 6, 7, 10])))
    header = kit.header()
    entry = kit.entry(header)
    f = kit.world.validators.f
    committed = data.draw(st.permutations(range(kit.n)))[: kit.quorum]
    liars = data.draw(st.permutations(range(kit.n)))[:f]
    items = [
        check_view_change(
            kit.view_change(
                member, 1, entries=[entry] if member in committed and member not in liars else []
            ),
            kit.rules,
        )
        for member in range(kit.n)
    ]
    for chosen in combinations(items, kit.quorum):
        assert [item.header for item in derive(chosen).proposals] == [header]


def make_new_view(
    view: int = 1, members: tuple[int, ...] = (0, 1, 2), **changes: object
) -> NewView:
    return KIT.new_view(view, [KIT.view_change(member, view) for member in members], **changes)


def test_a_good_new_view_holds() -> None:
    """q VIEW-CHANGEs for its view, signed by its primary."""
    derived = check_new_view(make_new_view(), KIT.rules, {})
    assert derived.base == KIT.genesis


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too few", make_new_view(members=(0, 1))),
        ("too many", make_new_view(members=(0, 1, 2, 3))),
        ("one twice", make_new_view(members=(0, 1, 1))),
        ("signed by another member", make_new_view(signer=2)),
        ("of another epoch", make_new_view(epoch=1)),
        ("for view 0", make_new_view(view=0)),
        (
            "with one for another view",
            KIT.new_view(1, [KIT.view_change(0, 1), KIT.view_change(1, 1), KIT.view_change(2, 2)]),
        ),
    ],
)
def test_a_bad_new_view_is_refused(name: str, message: object) -> None:
    """Everything that would let less than q members decide what a view begins with."""
    with pytest.raises(Invalid):
        check_new_view(message, KIT.rules, {})
        pytest.fail(name)


def test_what_is_known_is_not_checked_again_only_if_it_is_the_same() -> None:
    """A held VIEW-CHANGE of a member does not vouch for a different one inside a NEW-VIEW."""
    held = {2: checked(2, 1)}
    forged = KIT.view_change(2, 1, entries=[KIT.entry(ONE)])
    forged = msgspec.structs.replace(forged, signature=bytes(64))
    message = KIT.new_view(1, [KIT.view_change(0, 1), KIT.view_change(1, 1), forged])
    with pytest.raises(Invalid):
        check_new_view(message, KIT.rules, held)
