"""What a revealed condition needs of a witness, and at which moments it opens. Pure.

A signature or a preimage is needed when there is an assignment of truth to the limits of time in
the condition, each for itself, under which the condition holds with it and fails without it.
Nothing here looks at a clock, so what was no spare signature once never becomes one by waiting.

Without state a condition is judged as if every limit held: what fails even so fails for ever.
Whether the limits hold is asked against the state, with the block's height and header time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from functools import reduce
from typing import TypeAlias

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
    Threshold,
    digests_of,
    is_satisfied,
    limits_of,
)
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339

Cases: TypeAlias = tuple[int, int, int]
"""Sets of items, as bits. An item is in the first when some assignment makes the condition fail
even with it, in the second when one makes it hold with the item and fail without it, in the third
when one makes it hold even without the item. Each item is in one of them at least."""


class Items:
    """The signatures and preimages of a witness, a bit for each."""

    __slots__ = ("digests", "everything", "keys")

    def __init__(self, keys: Sequence[bytes], digests: Sequence[bytes]) -> None:
        self.keys = {key: 1 << index for index, key in enumerate(keys)}
        self.digests = {digest: 1 << index for index, digest in enumerate(digests, len(keys))}
        self.everything = (1 << len(keys) + len(digests)) - 1

    def check_complete(self, condition: Condition, lock: bytes) -> None:
        """With these the condition can hold; raises Invalid with what is missing."""
        if is_satisfied(condition, self.keys, self.digests, None):
            return
        named = list(digests_of(condition))
        if not is_satisfied(condition, self.keys, named, None):
            raise Invalid(Reason.MISSING_SIGNATURE, f"lock {lock.hex()} lacks a signature")
        first = next(digest for digest in named if digest not in self.digests)
        detail = f"lock {lock.hex()} lacks a preimage, for one that of {first.hex()}"
        raise Invalid(Reason.MISSING_PREIMAGE, detail)

    def needed(self, condition: Condition) -> int:
        """The bits of those that the condition needs."""
        return self._cases(condition)[1]

    def _cases(self, condition: Condition) -> Cases:
        """One walk for all items. The limits below two parts are different ones, so any case of
        one part occurs together with any case of the other."""
        match condition:
            case Key():
                return self._of_item(self.keys.get(condition.key, 0))
            case HashLock():
                return self._of_item(self.digests.get(condition.digest, 0))
            case Threshold():
                bits = [self.keys[key] for key in condition.keys if key in self.keys]
                if len(bits) == condition.needed:
                    return self._of_item(sum(bits))
                held = self.everything if len(bits) > condition.needed else 0
                return self.everything ^ held, 0, held
            case After() | Before():
                return self.everything, 0, self.everything
            case All():
                return reduce(_both, [self._cases(part) for part in condition.parts])
            case Any():
                return reduce(_either, [self._cases(part) for part in condition.parts])

    def _of_item(self, bits: int) -> Cases:
        """It holds because of all of these; without any it fails."""
        return (0, bits, self.everything ^ bits) if bits else (self.everything, 0, 0)


def check_open(
    condition: Condition,
    lock: bytes,
    signers: Set[bytes],
    digests: Set[bytes],
    at: Moment,
) -> None:
    """A complete condition holds at this moment; raises Invalid(NOT_YET, TOO_LATE).

    The refusal says from when on it opens, or since when it does not open any more.
    """

    def holds(moment: Moment) -> bool:
        return is_satisfied(condition, signers, digests, moment)

    if holds(at):
        return
    opening = first_opening(condition, holds, at)
    if opening is None:
        closed = _closing(condition, holds, at)
        raise Invalid(Reason.TOO_LATE, f"lock {lock.hex()} {closed}")
    waits = []
    if opening.height > at.height:
        waits.append(f"height {opening.height}, this is {at.height}")
    if opening.time_ms > at.time_ms:
        waits.append(f"header time {rfc3339(opening.time_ms)}, this is {rfc3339(at.time_ms)}")
    raise Invalid(Reason.NOT_YET, f"lock {lock.hex()} opens from {' and '.join(waits)}")


Holds: TypeAlias = Callable[[Moment], bool]


def first_opening(condition: Condition, holds: Holds, at: Moment) -> Moment | None:
    """The least height, and for it the least time, from `at` on at which the condition holds.

    Going back in time to the last `after` that was reached leaves each `after` as it is and makes
    a `before` fail nowhere: so if it holds anywhere, it holds at one of these.
    """
    heights, times = ({at[unit]} for unit in (HEIGHT, TIME))
    for limit in limits_of(condition):
        if isinstance(limit, After) and limit.value > at[limit.unit]:
            (heights, times)[limit.unit].add(limit.value)
    moments = (Moment(height, time) for height in sorted(heights) for time in sorted(times))
    return next(filter(holds, moments), None)


def _closing(condition: Condition, holds: Holds, at: Moment) -> str:
    """Since when a condition that opens no more after `at` did not."""

    def is_closed(moment: Moment) -> bool:
        return first_opening(condition, holds, moment) is None

    ends = [limit for limit in limits_of(condition) if isinstance(limit, Before)]
    if is_closed(Moment(0, 0)):
        return "opens at no moment"
    if not is_closed(Moment(0, at.time_ms)):
        heights = sorted(limit.value for limit in ends if limit.unit == HEIGHT)
        since = next(value for value in heights if is_closed(Moment(value, at.time_ms)))
        return f"was closed from height {since}, this is {at.height}"
    times = sorted(limit.value for limit in ends if limit.unit == TIME)
    since = next(value for value in times if is_closed(Moment(0, value)))
    return f"was closed from header time {rfc3339(since)}, this is {rfc3339(at.time_ms)}"


def _both(a: Cases, b: Cases) -> Cases:
    return a[0] | b[0], a[1] & (b[1] | b[2]) | a[2] & b[1], a[2] & b[2]


def _either(a: Cases, b: Cases) -> Cases:
    return a[0] & b[0], a[1] & (b[0] | b[1]) | a[0] & b[1], a[2] | b[2]
