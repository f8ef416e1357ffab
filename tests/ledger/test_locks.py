"""Spending conditions: their hashes, their rules, when they are satisfied."""

from __future__ import annotations

from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.codec import decode_payload, encode_payload
from ledger.locks import (
    DEPTH_MAX,
    HEIGHT,
    KEYS_MAX,
    LIMIT_VALUE_MAX,
    LIMITS_MAX,
    NODES_MAX,
    TIME,
    After,
    All,
    Any,
    Before,
    Condition,
    HashLock,
    Key,
    Moment,
    Threshold,
    check_condition,
    digests_of,
    is_satisfied,
    keys_of,
    limits_of,
    lock_hash,
    nodes_of,
)
from ledger.reasons import Invalid, Reason
from ledger.transaction import Witness
from tests.ledger.world import key

KEYS = tuple(sorted(key(f"holder {index}").public for index in range(KEYS_MAX)))
DIGESTS = tuple(sha256(bytes((index,))).digest() for index in range(3))
SPENDERS = KEYS[:4]
leaves = st.one_of(
    st.builds(Key, st.sampled_from(SPENDERS)),
    st.builds(
        lambda needed, keys: Threshold(min(needed, len(keys)), tuple(sorted(keys))),
        st.integers(1, 3),
        st.sets(st.sampled_from(SPENDERS), min_size=1, max_size=3),
    ),
    st.builds(HashLock, st.sampled_from(DIGESTS)),
    st.builds(After, st.integers(HEIGHT, TIME), st.integers(1, 4)),
    st.builds(Before, st.integers(HEIGHT, TIME), st.integers(1, 4)),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(kind, st.lists(inner, min_size=1, max_size=3).map(tuple)) for kind in (All, Any)
    ),
    max_leaves=8,
)
signers = st.sets(st.sampled_from(SPENDERS))
digests = st.sets(st.sampled_from(DIGESTS))
moments = st.builds(Moment, st.integers(0, 5), st.integers(0, 5))


@settings(deadline=None)
@given(conditions)
def test_every_type_travels(condition: Condition) -> None:
    """Conditions go unchanged through the bytes of a witness."""
    data = encode_payload(Witness((condition,), (), ()))
    assert decode_payload(data, Witness, size_max=len(data)).conditions == (condition,)


@settings(deadline=None)
@given(conditions, conditions)
def test_different_conditions_have_different_locks(one: Condition, two: Condition) -> None:
    """Equal locks mean equal conditions."""
    assert (lock_hash(one) == lock_hash(two)) == (one == two)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 5))
def test_threshold_counts_its_own_keys(needed: int, size: int) -> None:
    """Satisfied by exactly the sets that hold at least `needed` of its keys."""
    condition = Threshold(min(needed, size), KEYS[:size])
    check_condition(condition)
    for count in range(size + 1):
        for names in combinations(KEYS[:size], count):
            found = is_satisfied(condition, {*names, KEYS[-1]}, (), None)
            assert found == (count >= condition.needed)


def test_each_leaf_is_satisfied_by_its_own_alone() -> None:
    """A key by its signature, a hash by its preimage; one is never taken for the other."""
    assert is_satisfied(Key(KEYS[0]), {KEYS[0]}, (), None)
    assert not is_satisfied(Key(KEYS[0]), set(KEYS[1:]), KEYS, None)
    assert is_satisfied(HashLock(DIGESTS[0]), (), {DIGESTS[0]}, None)
    assert not is_satisfied(HashLock(DIGESTS[0]), DIGESTS, set(DIGESTS[1:]), None)


@pytest.mark.parametrize("unit", [HEIGHT, TIME])
def test_after_begins_at_its_value_and_before_ends_there(unit: int) -> None:
    """At 6 of its own unit, `before 7` holds and `after 7` fails; at 7 the other way round."""
    for value in (6, 7, 8):
        at = Moment(value, 0) if unit == HEIGHT else Moment(0, value)
        assert is_satisfied(After(unit, 7), (), (), at) == (value >= 7)
        assert is_satisfied(Before(unit, 7), (), (), at) == (value < 7)
    assert is_satisfied(After(unit, 7), (), (), None)
    assert is_satisfied(Before(unit, 7), (), (), None)


@settings(deadline=None)
@given(conditions, signers, digests, signers, digests, st.none() | moments)
def test_more_never_hurts(
    condition: Condition,
    keys: set[bytes],
    hashes: set[bytes],
    more_keys: set[bytes],
    more_hashes: set[bytes],
    at: Moment | None,
) -> None:
    """What is satisfied stays so with further signatures and preimages, and without the limits."""
    if is_satisfied(condition, keys, hashes, at):
        assert is_satisfied(condition, keys | more_keys, hashes | more_hashes, at)
        assert is_satisfied(condition, keys, hashes, None)


def test_walks_name_what_is_in_the_tree() -> None:
    """Nodes, keys, digests and limits, level by level and with repetitions."""
    early, late = Before(TIME, 5), After(HEIGHT, 3)
    inner = Any((HashLock(DIGESTS[0]), late, Threshold(1, KEYS[:2])))
    tree = All((Key(KEYS[1]), inner, early))
    assert nodes_of(tree) == [tree, Key(KEYS[1]), inner, early, *inner.parts]
    assert list(keys_of(tree)) == [KEYS[1], *KEYS[:2]]
    assert list(digests_of(tree)) == [DIGESTS[0]]
    assert list(limits_of(tree)) == [early, late]


def nested(depth: int) -> Condition:
    return Key(KEYS[0]) if depth == 1 else All((nested(depth - 1),))


AT_THE_LIMIT: dict[str, tuple[Condition, Condition]] = {
    "keys": (Threshold(1, KEYS), All((Threshold(1, KEYS), Key(KEYS[0])))),
    "depth": (nested(DEPTH_MAX), nested(DEPTH_MAX + 1)),
    "nodes": (
        All((*(Any((HashLock(DIGESTS[0]),) * 15),) * 3, Any((HashLock(DIGESTS[0]),) * 14))),
        All((Any((HashLock(DIGESTS[0]),) * 15),) * 4),
    ),
    "limits": (
        All((After(HEIGHT, LIMIT_VALUE_MAX),) * LIMITS_MAX),
        All((After(HEIGHT, 1),) * (LIMITS_MAX + 1)),
    ),
}


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_limits_are_inclusive(name: str) -> None:
    """As much as is allowed passes; one more is refused."""
    good, bad = AT_THE_LIMIT[name]
    check_condition(good)
    with pytest.raises(Invalid) as caught:
        check_condition(bad)
    assert caught.value.reason is Reason.BAD_LOCK


def test_the_trees_above_have_the_sizes_that_they_should() -> None:
    """The table tests the limits and not something near them."""
    assert [len(nodes_of(tree)) for tree in AT_THE_LIMIT["nodes"]] == [
        NODES_MAX,
        NODES_MAX + 1,
    ]
    assert len(list(keys_of(AT_THE_LIMIT["keys"][1]))) == KEYS_MAX + 1


def test_equal_parts_are_allowed() -> None:
    """Coins may lie on such a lock before anybody sees its condition: it can be spent."""
    check_condition(All((Key(KEYS[0]), Key(KEYS[0]), After(HEIGHT, 3), After(HEIGHT, 3))))
