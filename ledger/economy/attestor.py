"""Attestors: who vouches for capacity, rules on challenges and draws devices for audits.

Attestors of one group count as one, whatever their number: independence is licensed, not claimed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from ledger.codec import Bytes32, Slug, UInt, Wire
from ledger.crypto import tagged_hash
from ledger.economy.licence import Name

ATTESTORS_MAX = 64
PANEL_SEATS = 5
PANEL_NEEDED = 3

_seat_hash = tagged_hash("panel")


class AttestorGrant(Wire, frozen=True):
    """Who is licensed to attest, in which independence group, by which key."""

    id: Slug
    name: Name
    group: Slug
    key: Bytes32


class Attestor(Wire, frozen=True):
    """A licensed attestor. Identity: the slug.

    `version` counts admissions and removals; one that was removed stays, so that no old operation
    of it comes back to life.
    """

    TYPE: ClassVar[int] = 37
    grant: AttestorGrant
    is_active: bool
    version: UInt
    strikes: UInt
    """Nonces that were committed and not revealed."""

    @property
    def id(self) -> str:
        return self.grant.id

    def struck(self) -> Attestor:
        return msgspec.structs.replace(self, strikes=self.strikes + 1)


def groups_of(attestors: Iterable[Attestor]) -> dict[str, str]:
    """Attestors that count, with their groups."""
    return {item.id: item.grant.group for item in attestors if item.is_active}


def draw_panel(groups: dict[str, str], parties: Iterable[str], seed: bytes) -> tuple[str, ...]:
    """Up to five attestors of distinct groups, none in the group of a party, in order of their
    draw. Nobody chooses them: `seed` is fixed by the block before."""
    closed = {groups[name] for name in parties if name in groups}
    panel: list[str] = []
    for name in sorted(groups, key=lambda item: _seat_hash(seed, item.encode("ascii"))):
        if groups[name] not in closed and len(panel) < PANEL_SEATS:
            closed.add(groups[name])
            panel.append(name)
    return tuple(panel)
