"""Spending conditions: a small declarative tree, revealed only when its output is spent.

An output holds `lock_hash(condition)`, 32 bytes; the spender reveals the condition. All types
decode, so that a later version of the rules needs no new format; `key` and `threshold` are
enforced, an output locked by any other type cannot be spent yet and is refused by name.

The tree is monotone: a further signature never makes a satisfied condition fail. That is what
lets `transaction.check_witness` define "exactly the signatures needed" as "without any one of
them something is no longer satisfied".
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import pairwise
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger.codec import Bytes32, UInt, Wire, encode_payload
from ledger.crypto import is_canonical_key, tagged_hash
from ledger.reasons import Invalid, Reason

DEPTH_MAX = 6
KEYS_MAX = 16  # over the whole tree

_lock_hash = tagged_hash("lock")


class Key(Wire, frozen=True, tag=1):
    """Satisfied by a signature of `key`."""

    name: ClassVar[str] = "key"
    key: Bytes32


class Threshold(Wire, frozen=True, tag=2):
    """Satisfied by signatures of `needed` of `keys`, which stand in strictly ascending order."""

    name: ClassVar[str] = "threshold"
    needed: Annotated[int, Meta(ge=1, le=KEYS_MAX)]
    keys: Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=KEYS_MAX)]


class After(Wire, frozen=True, tag=3):
    """Satisfied from a height (unit 0) or a header time in milliseconds (unit 1) on."""

    name: ClassVar[str] = "after"
    unit: Annotated[int, Meta(ge=0, le=1)]
    value: UInt


class Before(Wire, frozen=True, tag=4):
    """Satisfied below a height (unit 0) or a header time in milliseconds (unit 1)."""

    name: ClassVar[str] = "before"
    unit: Annotated[int, Meta(ge=0, le=1)]
    value: UInt


class HashLock(Wire, frozen=True, tag=5):
    """Satisfied by the preimage of `digest`."""

    name: ClassVar[str] = "hash"
    digest: Bytes32


class All(Wire, frozen=True, tag=6):
    """Satisfied when every part is."""

    name: ClassVar[str] = "all"
    parts: Annotated[tuple[Condition, ...], Meta(min_length=1, max_length=KEYS_MAX)]


class Any(Wire, frozen=True, tag=7):
    """Satisfied when one part is."""

    name: ClassVar[str] = "any"
    parts: Annotated[tuple[Condition, ...], Meta(min_length=1, max_length=KEYS_MAX)]


Condition: TypeAlias = Key | Threshold | After | Before | HashLock | All | Any


def lock_hash(condition: Condition) -> bytes:
    """The 32 bytes that an output carries for `condition`."""
    return _lock_hash(encode_payload(condition))


def keys_of(condition: Condition) -> Iterator[bytes]:
    """Every key named anywhere in the tree, with repetitions."""
    if isinstance(condition, Key):
        yield condition.key
    elif isinstance(condition, Threshold):
        yield from condition.keys
    elif isinstance(condition, All | Any):
        for part in condition.parts:
            yield from keys_of(part)


def check_condition(condition: Condition) -> None:
    """Rules beyond the shape; raises Invalid.

    Depth and number of keys are limited, threshold keys ascend strictly and are no fewer than
    needed, keys are canonical and not of small order, and the type is one that is enforced.
    """
    _check_depth(condition, DEPTH_MAX)
    keys = list(keys_of(condition))
    if len(keys) > KEYS_MAX:
        raise Invalid(Reason.BAD_LOCK, f"{len(keys)} keys, at most {KEYS_MAX}")
    if not isinstance(condition, Key | Threshold):
        raise Invalid(Reason.UNSUPPORTED_LOCK, f"a lock of type '{condition.name}'")
    if isinstance(condition, Threshold):
        if condition.needed > len(condition.keys):
            raise Invalid(Reason.BAD_LOCK, f"{condition.needed} of {len(condition.keys)} keys")
        if any(a >= b for a, b in pairwise(keys)):
            raise Invalid(Reason.BAD_LOCK, "threshold keys are not in strictly ascending order")
    for key in keys:
        if not is_canonical_key(key):
            raise Invalid(Reason.BAD_KEY, f"{key.hex()} is not canonical or of small order")


def is_satisfied(condition: Condition, signers: Set[bytes]) -> bool:
    """Whether the keys that signed satisfy a condition that passed `check_condition`."""
    if isinstance(condition, Key):
        return condition.key in signers
    if isinstance(condition, Threshold):
        return sum(key in signers for key in condition.keys) >= condition.needed
    return False


def _check_depth(condition: Condition, left: int) -> None:
    if left == 0:
        raise Invalid(Reason.BAD_LOCK, f"conditions nest deeper than {DEPTH_MAX}")
    if isinstance(condition, All | Any):
        for part in condition.parts:
            _check_depth(part, left - 1)
