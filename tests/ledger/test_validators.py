"""Quorums: any two share an honest member, whatever the size of the set."""

from __future__ import annotations

import pytest

from ledger.reasons import Invalid, Reason
from ledger.validators import (
    VALIDATORS_MAX,
    VALIDATORS_MIN,
    Member,
    ValidatorSet,
    fault_limit,
    quorum_size,
)


def members(count: int) -> list[Member]:
    return [Member(bytes([255 - index]) * 32, f"val{index}") for index in range(count)]


@pytest.mark.parametrize("n", range(VALIDATORS_MIN, VALIDATORS_MAX + 1))
def test_two_quorums_share_an_honest_member_and_one_can_form(n: int) -> None:
    """2q - n > f, and the n - f honest members make a quorum alone; q is the least such number."""
    f, q = fault_limit(n), quorum_size(n)
    assert n >= 3 * f + 1 > n - 3
    assert 2 * q - n > f >= 2 * (q - 1) - n
    assert n - f >= q


@pytest.mark.parametrize(("n", "q"), [(4, 3), (5, 4), (6, 4), (7, 5), (10, 7), (32, 22)])
def test_quorums_of_known_sizes(n: int, q: int) -> None:
    """Figures worked out by hand; for 5 and 6 a literal 2f + 1 would say 3."""
    assert quorum_size(n) == q


def test_members_stand_in_order_of_their_keys() -> None:
    """Index, primary and hash follow from the keys, not from the order in which they came."""
    one, two = ValidatorSet.of(members(5)), ValidatorSet.of(members(5)[::-1])
    assert one == two
    assert one.hash == two.hash != ValidatorSet.of(members(5), 1).hash
    assert [member.key for member in one.members] == sorted(item.key for item in members(5))
    assert [one.index_by_key[member.key] for member in one.members] == list(range(5))
    assert [one.primary(view) for view in range(6)] == [0, 1, 2, 3, 4, 0]
    assert [ValidatorSet.of(members(5), epoch).primary(1) for epoch in range(5)] == [1, 2, 3, 4, 0]
    assert (one.n, one.f, one.quorum) == (5, 1, 4)


@pytest.mark.parametrize("count", [0, VALIDATORS_MIN - 1, VALIDATORS_MAX + 1])
def test_impossible_sizes_are_refused(count: int) -> None:
    """Fewer than four or more than thirty-two is no set; the number is named."""
    with pytest.raises(Invalid, match=f"{count} validators") as caught:
        ValidatorSet.of(members(count))
    assert caught.value.reason is Reason.BAD_GENESIS


def test_repeated_keys_and_licences_are_refused() -> None:
    """One seat a key, one seat a licence."""
    with pytest.raises(Invalid, match="share a consensus key"):
        ValidatorSet.of([*members(4), Member(members(1)[0].key, "other")])
    with pytest.raises(Invalid, match="share a licence"):
        ValidatorSet.of([*members(4), Member(bytes(32), "val0")])
