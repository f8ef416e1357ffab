"""Spending conditions: a small declarative tree, revealed only when its output is spent.

An output holds `lock_hash(condition)`, 32 bytes; the spender reveals the condition. Because a lock
is only a hash, nobody can check a condition before coins lie on it: what is refused here can never
be spent. So the rules are those that bound the work, and no others; equal parts, for instance, are
allowed.

The tree is monotone: a further signature or preimage never makes a satisfied condition fail, and
neither does a limit of time that begins to hold. That is what lets `ledger.spending` define
"exactly what is needed".
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple, TypeAlias

from msgspec import Meta

from ledger.codec import Bytes32, Wire, encode_payload
from ledger.crypto import is_canonical_key, part_hash
from ledger.reasons import Invalid, Reason

DEPTH_MAX = 6
KEYS_MAX = 16  # over the whole tree
NODES_MAX = 64
"""Over the whole tree: checking a condition walks it a few times, about 1 us a node."""
LIMITS_MAX = 8
"""Of `after` and `before` over the whole tree: the search for the moment at which a lock opens
looks at every pair of a height and a time that are named in it."""
LIMIT_VALUE_MAX = (1 << 53) - 1
"""Every reader of JSON keeps it exactly; as a time it is in the year 287396."""
HEIGHT = 0
TIME = 1

_lock_hash = part_hash("lock")

LimitValue = Annotated[int, Meta(ge=1, le=LIMIT_VALUE_MAX)]


class Moment(NamedTuple):
    """Height and header time of a block; `unit` of a limit is an index into it."""

    height: int
    time_ms: int


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
    unit: Annotated[int, Meta(ge=HEIGHT, le=TIME)]
    value: LimitValue


class Before(Wire, frozen=True, tag=4):
    """Satisfied below a height (unit 0) or a header time in milliseconds (unit 1)."""

    name: ClassVar[str] = "before"
    unit: Annotated[int, Meta(ge=HEIGHT, le=TIME)]
    value: LimitValue


class HashLock(Wire, frozen=True, tag=5):
    """Satisfied by the preimage of `digest`: plain SHA-256 without a tag, as other chains have it,
    so that one secret opens the coins of a swap on both."""

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

_INNER = (All, Any)
_LIMITS = (After, Before)


def lock_hash(condition: Condition) -> bytes:
    """The 32 bytes that an output carries for `condition`."""
    return _lock_hash(encode_payload(condition))


def nodes_of(condition: Condition) -> list[Condition]:
    """Every node of the tree, level by level, itself first."""
    found = [condition]
    for node in found:  # grows while it runs, by each node once
        if isinstance(node, _INNER):
            found.extend(node.parts)
    return found


def keys_of(condition: Condition) -> Iterator[bytes]:
    """Every key named anywhere in the tree, with repetitions."""
    return _keys_among(nodes_of(condition))


def digests_of(condition: Condition) -> Iterator[bytes]:
    """Every digest named anywhere in the tree, with repetitions."""
    return (node.digest for node in nodes_of(condition) if isinstance(node, HashLock))


def limits_of(condition: Condition) -> Iterator[After | Before]:
    """Every limit of time in the tree, with repetitions."""
    return (node for node in nodes_of(condition) if isinstance(node, _LIMITS))


def check_condition(condition: Condition) -> None:
    """Rules beyond the shape; raises Invalid.

    Depth, nodes, keys and limits of time are counted, the keys of a threshold ascend strictly and
    are no fewer than needed, keys are canonical and not of small order.
    """
    if isinstance(condition, Key):
        keys = [condition.key]
    else:
        _check_depth(condition, DEPTH_MAX)
        nodes = nodes_of(condition)
        keys = list(_keys_among(nodes))
        limits = sum(isinstance(node, _LIMITS) for node in nodes)
        for what, count, most in (
            ("nodes", len(nodes), NODES_MAX),
            ("keys", len(keys), KEYS_MAX),
            ("limits of time", limits, LIMITS_MAX),
        ):
            if count > most:
                raise Invalid(Reason.BAD_LOCK, f"{count} {what}, at most {most}")
        for node in nodes:
            if isinstance(node, Threshold):
                _check_threshold(node)
    for key in keys:
        if not is_canonical_key(key):
            raise Invalid(Reason.BAD_KEY, f"{key.hex()} is not canonical or of small order")


def is_satisfied(
    condition: Condition,
    signers: Container[bytes],
    digests: Container[bytes],
    at: Moment | None,
) -> bool:
    """Whether these signatures and preimages satisfy a condition in a block of this moment.

    None asks whether they could: every limit of time then counts as satisfied.
    """
    match condition:
        case Key():
            return condition.key in signers
        case Threshold():
            return sum(key in signers for key in condition.keys) >= condition.needed
        case HashLock():
            return condition.digest in digests
        case After():
            return at is None or at[condition.unit] >= condition.value
        case Before():
            return at is None or at[condition.unit] < condition.value
        case All():
            return all(is_satisfied(part, signers, digests, at) for part in condition.parts)
        case Any():
            return any(is_satisfied(part, signers, digests, at) for part in condition.parts)


def _keys_among(nodes: list[Condition]) -> Iterator[bytes]:
    for node in nodes:
        if isinstance(node, Key):
            yield node.key
        elif isinstance(node, Threshold):
            yield from node.keys


def _check_threshold(condition: Threshold) -> None:
    if condition.needed > len(condition.keys):
        raise Invalid(Reason.BAD_LOCK, f"{condition.needed} of {len(condition.keys)} keys")
    if any(a >= b for a, b in pairwise(condition.keys)):
        raise Invalid(Reason.BAD_LOCK, "threshold keys are not in strictly ascending order")


def _check_depth(condition: Condition, left: int) -> None:
    if left == 0:
        raise Invalid(Reason.BAD_LOCK, f"conditions nest deeper than {DEPTH_MAX}")
    if isinstance(condition, _INNER):
        for part in condition.parts:
            _check_depth(part, left - 1)
