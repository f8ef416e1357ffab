"""Spending conditions: their hashes, their rules, when they are satisfied."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.codec import decode_payload, encode_payload
from ledger.locks import (
    KEYS_MAX,
    All,
    Any,
    Condition,
    HashLock,
    Key,
    Threshold,
    check_condition,
    is_satisfied,
    keys_of,
    lock_hash,
)
from ledger.reasons import Invalid, Reason
from ledger.transaction import Witness
from tests.ledger.world import key

KEYS = tuple(sorted(key(f"holder {index}").public for index in range(KEYS_MAX)))
conditions = st.recursive(
    st.one_of(
        st.builds(Key, st.sampled_from(KEYS)),
        st.builds(HashLock, st.binary(min_size=32, max_size=32)),
    ),
    lambda inner: st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    max_leaves=8,
)


@given(conditions)
def test_every_type_decodes(condition: Condition) -> None:
    """Conditions that are not enforced yet travel unchanged inside a witness."""
    data = encode_payload(Witness((condition,), ()))
    assert decode_payload(data, Witness, size_max=len(data)).conditions == (condition,)


@given(conditions, conditions)
def test_different_conditions_have_different_locks(one: Condition, two: Condition) -> None:
    """Equal locks mean equal conditions."""
    assert (lock_hash(one) == lock_hash(two)) == (one == two)


@given(st.integers(1, 5), st.integers(1, 5))
def test_threshold_counts_its_own_keys(needed: int, size: int) -> None:
    """Satisfied by exactly the sets that hold at least `needed` of its keys."""
    condition = Threshold(min(needed, size), KEYS[:size])
    check_condition(condition)
    for count in range(size + 1):
        for signers in combinations(KEYS[:size], count):
            found = is_satisfied(condition, {*signers, KEYS[-1]})
            assert found == (count >= condition.needed)


def test_a_key_is_satisfied_by_itself_alone() -> None:
    """Its signature satisfies it, no other does."""
    assert is_satisfied(Key(KEYS[0]), {KEYS[0]})
    assert not is_satisfied(Key(KEYS[0]), set(KEYS[1:]))


def test_types_without_rules_are_never_satisfied() -> None:
    """Even asked without `check_condition`, nothing opens them."""
    assert not is_satisfied(Any((Key(KEYS[0]),)), {KEYS[0]})


def test_limits_are_inclusive() -> None:
    """Sixteen keys pass the count; one more is refused."""
    check_condition(Threshold(1, KEYS))
    with pytest.raises(Invalid) as caught:
        check_condition(All((Threshold(1, KEYS), Key(KEYS[0]))))
    assert caught.value.reason is Reason.BAD_LOCK
    assert len(list(keys_of(All((Threshold(1, KEYS), Key(KEYS[0])))))) == KEYS_MAX + 1
