"""The set of validators of one epoch: who votes, in which order, how many are needed.

n >= 3f + 1 members tolerate f faulty ones. Two quorums of q = ceil((n + f + 1) / 2) share at
least f + 1 members, hence one that is honest, for every n (Castro and Liskov 1999 take n = 3f + 1,
where q is 2f + 1; for n = 5 or 6 a literal 2f + 1 is unsafe).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from msgspec import Meta

from ledger.codec import Bytes32, Slug, UInt, Wire, encode_payload
from ledger.crypto import tagged_hash
from ledger.reasons import Invalid, Reason

VALIDATORS_MIN = 4
VALIDATORS_MAX = 32

_set_hash = tagged_hash("validators")


def fault_limit(n: int) -> int:
    """f: how many of n may be faulty."""
    return (n - 1) // 3


def quorum_size(n: int) -> int:
    """q: how many of n decide."""
    return (n + fault_limit(n) + 2) // 2


class Member(Wire, frozen=True):
    """One validator: its consensus key and the licence that carries it."""

    key: Bytes32
    licence: Slug


Members = Annotated[tuple[Member, ...], Meta(max_length=VALIDATORS_MAX)]


class ValidatorSet(Wire, frozen=True, dict=True, gc=True):
    """Members in ascending order of consensus key; a member is named by its index there.

    The hash covers the epoch: a header whose next set has another hash than its own ends an
    epoch, even where the members stay.
    """

    epoch: UInt
    members: Members

    @classmethod
    def of(cls, members: Iterable[Member], epoch: int = 0) -> ValidatorSet:
        """Order and check; raises Invalid for a bad size or a repeated key or licence."""
        ordered = tuple(sorted(members, key=lambda member: member.key))
        if not VALIDATORS_MIN <= len(ordered) <= VALIDATORS_MAX:
            detail = f"{len(ordered)} validators, {VALIDATORS_MIN} to {VALIDATORS_MAX} are allowed"
            raise Invalid(Reason.BAD_GENESIS, detail)
        if len({member.key for member in ordered}) != len(ordered):
            raise Invalid(Reason.BAD_GENESIS, "two validators share a consensus key")
        if len({member.licence for member in ordered}) != len(ordered):
            raise Invalid(Reason.BAD_GENESIS, "two validators share a licence")
        return cls(epoch, ordered)

    @cached_property
    def hash(self) -> bytes:
        return _set_hash(encode_payload(self))

    @cached_property
    def n(self) -> int:
        return len(self.members)

    @cached_property
    def f(self) -> int:
        return fault_limit(len(self.members))

    @cached_property
    def quorum(self) -> int:
        return quorum_size(len(self.members))

    @cached_property
    def index_by_key(self) -> dict[bytes, int]:
        return {member.key: index for index, member in enumerate(self.members)}

    def primary(self, view: int) -> int:
        """The index of the primary of a view of this epoch; each epoch begins with another."""
        return (self.epoch + view) % len(self.members)
