"""What happens to a replica and what it wants done: the whole of its contact with the world.

The engine carries out an `Output` in one order: persist, sign, send, execute, append. Votes leave
the replica unsigned; the guard checks, logs and signs them, and they come back as `Signed`.

Every message makes some of these values: they are structs, made in a fifth of the time that frozen
dataclasses take. None of them travels.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from consensus.messages import (
    Message,
    NewView,
    NewViewBody,
    PreparedEntry,
    ViewChange,
    ViewChangeBody,
    Vote,
)
from ledger.block import Certificate, Header, VotePayload
from ledger.reasons import Reason


class Now(msgspec.Struct, frozen=True):
    """Two clocks: timers use the monotonic one, the block-time check the wall clock."""

    monotonic_ms: int
    wall_ms: int


# Events


class Received(msgspec.Struct, frozen=True):
    """A decoded message from the member that its link names."""

    sender: int
    message: Message


class Signed(msgspec.Struct, frozen=True):
    """The guard logged and signed what this replica asked for."""

    message: Vote | ViewChange | NewView


class Executed(msgspec.Struct, frozen=True):
    """The block was executed on its parent's state; `reason` is None when its header is right."""

    header: Header
    block_hash: bytes
    reason: Reason | None


class Proposed(msgspec.Struct, frozen=True):
    """This node, the primary, built and executed a block on the parent that was asked for."""

    header: Header
    leaves: tuple[bytes, ...]


class CaughtUp(msgspec.Struct, frozen=True):
    """Blocks up to `header` were fetched, proved by their certificates and appended."""

    header: Header
    certificate: Certificate


class Connected(msgspec.Struct, frozen=True):
    """The members that are linked now, this one included."""

    members: frozenset[int]


class Pending(msgspec.Struct, frozen=True):
    """Since when (monotonic) the oldest executable transaction waits; None when none does."""

    since_ms: int | None


class Distrusted(msgspec.Struct, frozen=True):
    """Why the primary of this view, which goes on deciding, is suspected; empty: it is not."""

    why: str


class VotingAllowed(msgspec.Struct, frozen=True):
    """The guard may sign: at heights above `above_height` and in no view below `view_min`."""

    above_height: int
    view_min: int


class VotingStopped(msgspec.Struct, frozen=True):
    """The guard does not sign now: no permission, no key at hand, or a disk that is nearly full."""


class Tick(msgspec.Struct, frozen=True):
    """The deadline of the last output has passed."""


Event: TypeAlias = (
    Received
    | Signed
    | Executed
    | Proposed
    | CaughtUp
    | Connected
    | Pending
    | Distrusted
    | VotingAllowed
    | VotingStopped
    | Tick
)


# Effects


class VoteRequest(msgspec.Struct, frozen=True):
    """Sign this. A COMMIT comes with the prepared block that justifies it."""

    payload: VotePayload
    prepared: PreparedEntry | None = None


class Send(msgspec.Struct, frozen=True):
    """A message to one member, or to all others."""

    message: Message
    to: int | None = None


class Execute(msgspec.Struct, frozen=True):
    """Get the body of the block and execute it on the state of its parent.

    `leaves` is None where only the header is known. `sources` are members that hold the body.
    """

    block_hash: bytes
    header: Header
    leaves: tuple[bytes, ...] | None
    sources: tuple[int, ...]


class Decided(msgspec.Struct, frozen=True):
    """The executed block is final: append it."""

    header: Header
    block_hash: bytes
    certificate: Certificate


class CatchUp(msgspec.Struct, frozen=True):
    """`member` proved with `certificate` that blocks exist that this replica lacks."""

    member: int
    certificate: Certificate


class Evidence(msgspec.Struct, frozen=True):
    """Two votes of one member that an honest one never signs both."""

    first: Vote
    second: Vote


class Output(msgspec.Struct):
    """The effects of one step, in the order in which each list was filled."""

    votes: list[VoteRequest | ViewChangeBody | NewViewBody] = []
    send: list[Send] = []
    execute: list[Execute] = []
    decided: list[Decided] = []
    catch_up: list[CatchUp] = []
    evidence: list[Evidence] = []
    liars: list[int] = []
    """Members that sent a signature or certificate which does not hold, or a list that is not the
    header's; a certificate in an entry of a VIEW-CHANGE, which is left out, does not count."""
    deadline_ms: int = 0
    """Monotonic time of the next `Tick`."""

    @property
    def has_effects(self) -> bool:
        """Whether anything is to be done before that; mostly not."""
        return bool(
            self.send
            or self.votes
            or self.execute
            or self.decided
            or self.catch_up
            or self.evidence
            or self.liars
        )
