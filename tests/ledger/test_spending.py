"""What a condition needs of a witness and when it opens, against every assignment and moment."""

from __future__ import annotations

from itertools import product

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger.codec import encode_payload
from ledger.locks import (
    HEIGHT,
    TIME,
    After,
    All,
    Any,
    Before,
    Condition,
    HashLock,
    Key,
    Moment,
    is_satisfied,
    limits_of,
)
from ledger.reasons import Invalid, Reason
from ledger.spending import Items, check_open
from ledger.times import rfc3339
from tests.ledger import second_rules
from tests.ledger.test_locks import (
    DIGESTS,
    KEYS,
    SPENDERS,
    conditions,
    digests,
    moments,
    signers,
)

LOCK = bytes(32)
GRID = [Moment(height, time_ms) for height in range(6) for time_ms in range(6)]
"""The limits of the conditions lie between 1 and 4: nothing changes beyond 5."""
ALICE, BOB = Key(SPENDERS[0]), Key(SPENDERS[1])
SECRET = HashLock(DIGESTS[0])
SWAP = Any((All((SECRET, BOB)), All((After(HEIGHT, 3), ALICE))))


def needed(condition: Condition, keys: list[bytes], hashes: list[bytes]) -> set[bytes]:
    items = Items(keys, hashes)
    bits = items.needed(condition)
    return {name for name, bit in (items.keys | items.digests).items() if bits & bit}


def needed_by_trying(condition: Condition, keys: set[bytes], hashes: set[bytes]) -> set[bytes]:
    """Every assignment of truth to the limits, each for itself, in another implementation."""
    tree = msgpack.unpackb(encode_payload(condition))
    limits = second_rules.limits_of(tree)
    found = set()
    for values in product((False, True), repeat=len(limits)):
        truth = dict(zip(limits, values, strict=True))
        if second_rules.holds(tree, keys, hashes, truth):
            found |= {k for k in keys if not second_rules.holds(tree, keys - {k}, hashes, truth)}
            found |= {d for d in hashes if not second_rules.holds(tree, keys, hashes - {d}, truth)}
    return found


@settings(deadline=None)
@given(conditions, signers, digests)
@example(SWAP, {BOB.key, ALICE.key}, {SECRET.digest})
@example(All((Any((SECRET, After(TIME, 2))), BOB)), {BOB.key}, {SECRET.digest})
def test_needed_is_what_trying_every_assignment_finds(
    condition: Condition, keys: set[bytes], hashes: set[bytes]
) -> None:
    """One walk of the tree finds the same as the enumeration."""
    if len(list(limits_of(condition))) <= 6:
        found = needed(condition, sorted(keys), sorted(hashes))
        assert found == needed_by_trying(condition, keys, hashes)


@settings(deadline=None)
@given(conditions, moments)
def test_what_opens_a_lock_at_some_moment_is_never_spare(condition: Condition, at: Moment) -> None:
    """Leave out one by one what is not needed at a moment: whatever remains is no spare item,
    at that moment or another. Time is no argument of the rule, so a waiting witness stays good."""
    keys, hashes = set(KEYS), set(DIGESTS)
    if not is_satisfied(condition, keys, hashes, at):
        return
    for item in sorted(keys | hashes):
        if is_satisfied(condition, keys - {item}, hashes - {item}, at):
            keys.discard(item)
            hashes.discard(item)
    assert needed(condition, sorted(keys), sorted(hashes)) == keys | hashes


@settings(deadline=None)
@given(conditions, signers, digests)
def test_what_is_missing_is_named_by_kind(
    condition: Condition, keys: set[bytes], hashes: set[bytes]
) -> None:
    """A missing signature when no preimage could help, a missing preimage when one could."""
    items = Items(sorted(keys), sorted(hashes))
    if is_satisfied(condition, keys, hashes, None):
        items.check_complete(condition, LOCK)
        return
    with pytest.raises(Invalid) as caught:
        items.check_complete(condition, LOCK)
    could = is_satisfied(condition, keys, DIGESTS, None)
    assert caught.value.reason is (Reason.MISSING_PREIMAGE if could else Reason.MISSING_SIGNATURE)
    if could:
        assert any(digest.hex() in caught.value.detail for digest in set(DIGESTS) - hashes)


def verdict(condition: Condition, keys: set[bytes], hashes: set[bytes], at: Moment) -> str:
    try:
        check_open(condition, LOCK, keys, hashes, at)
    except Invalid as error:
        assert error.detail.startswith(f"lock {LOCK.hex()} ")
        return f"{error.reason.value}: {error.detail[70:]}"
    return "open"


@settings(deadline=None)
@given(conditions, signers, digests, moments)
def test_refusals_say_when(
    condition: Condition, keys: set[bytes], hashes: set[bytes], at: Moment
) -> None:
    """Against every moment of a grid: open now, at the first height and time from now on, or since
    when not any more."""

    def holds(moment: Moment) -> bool:
        return is_satisfied(condition, keys, hashes, moment)

    def opening(height: int, time_ms: int) -> Moment | None:
        later = [item for item in GRID if item.height >= height and item.time_ms >= time_ms]
        return next((item for item in later if holds(item)), None)

    found, first = verdict(condition, keys, hashes, at), opening(*at)
    if first == at:
        assert found == "open"
    elif first is not None:
        waits = []
        if first.height > at.height:
            waits.append(f"height {first.height}, this is {at.height}")
        if first.time_ms > at.time_ms:
            waits.append(f"header time {rfc3339(first.time_ms)}, this is {rfc3339(at.time_ms)}")
        assert found == f"not_yet: opens from {' and '.join(waits)}"
    elif opening(0, 0) is None:
        assert found == "too_late: opens at no moment"
    elif opening(0, at.time_ms) is not None:
        since = next(height for height in range(6) if opening(height, at.time_ms) is None)
        assert found == f"too_late: was closed from height {since}, this is {at.height}"
    else:
        since = next(time_ms for time_ms in range(6) if opening(0, time_ms) is None)
        moments = f"{rfc3339(since)}, this is {rfc3339(at.time_ms)}"
        assert found == f"too_late: was closed from header time {moments}"


def test_a_swap_step_by_step() -> None:
    """Bob with the secret at any height, alice from height 3 on, and nobody's item is spare then
    that was not before."""
    assert needed(SWAP, [BOB.key], [SECRET.digest]) == {BOB.key, SECRET.digest}
    assert needed(SWAP, [ALICE.key], []) == {ALICE.key}
    for height in (2, 3):
        assert verdict(SWAP, {BOB.key}, {SECRET.digest}, Moment(height, 0)) == "open"
    refused = verdict(SWAP, {ALICE.key}, set(), Moment(2, 0))
    assert refused == "not_yet: opens from height 3, this is 2"
    assert verdict(SWAP, {ALICE.key}, set(), Moment(3, 0)) == "open"


def test_an_offer_that_ends_by_either_clock() -> None:
    """The first of the two ends is named."""
    offer = All((ALICE, Before(HEIGHT, 3), Before(TIME, 4)))
    keys = {ALICE.key}
    assert verdict(offer, keys, set(), Moment(2, 3)) == "open"
    by_height = verdict(offer, keys, set(), Moment(3, 3))
    assert by_height == "too_late: was closed from height 3, this is 3"
    by_time = verdict(offer, keys, set(), Moment(3, 9))
    moments = "1970-01-01T00:00:00.004Z, this is 1970-01-01T00:00:00.009Z"
    assert by_time == f"too_late: was closed from header time {moments}"


@settings(deadline=None)
@given(st.data())
def test_parts_of_two_locks_are_judged_apart(data: st.DataObject) -> None:
    """A signature that one of two conditions needs is needed, whatever the other says."""
    one, two = data.draw(conditions), data.draw(conditions)
    keys, hashes = sorted(SPENDERS), sorted(DIGESTS)
    apart = needed(one, keys, hashes) | needed(two, keys, hashes)
    can_hold = all(is_satisfied(item, keys, hashes, None) for item in (one, two))
    if can_hold and len(list(limits_of(All((one, two))))) <= 6:
        assert apart == needed_by_trying(All((one, two)), set(keys), set(hashes))
