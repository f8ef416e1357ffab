"""What happens to a replica and what it wants done: the whole of its contact with the world.

The engine carries out an `Output` in one order: persist, sign, send, execute, append. Votes leave
the replica unsigned; the guard checks, logs and signs them, and they come back as `Signed`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

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


@dataclass(frozen=True, slots=True)
class Now:
    """Two clocks: timers use the monotonic one, the block-time check the wall clock."""

    monotonic_ms: int
    wall_ms: int


# Events


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded message from the member that its link names."""

    sender: int
    message: Message


@dataclass(frozen=True, slots=True)
class Signed:
    """The guard logged and signed what this replica asked for."""

    message: Vote | ViewChange | NewView


@dataclass(frozen=True, slots=True)
class Executed:
    """The block was executed on its parent's state; `reason` is None when its header is right."""

    header: Header
    block_hash: bytes
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Proposed:
    """This node, the primary, built and executed a block on the parent that was asked for."""

    header: Header
    leaves: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Blocks up to `header` were fetched, proved by their certificates and appended."""

    header: Header
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Connected:
    """The members that are linked now, this one included."""

    members: frozenset[int]


@dataclass(frozen=True, slots=True)
class Pending:
    """Since when (monotonic) the oldest executable transaction waits; None when none does."""

    since_ms: int | None


@dataclass(frozen=True, slots=True)
class Distrusted:
    """Why the primary of this view, which goes on deciding, is suspected; empty: it is not."""

    why: str


@dataclass(frozen=True, slots=True)
class VotingAllowed:
    """The guard may sign: at heights above `above_height` and in no view below `view_min`."""

    above_height: int
    view_min: int


@dataclass(frozen=True, slots=True)
class VotingStopped:
    """The guard does not sign now: no permission, no key at hand, or a disk that is nearly full."""


@dataclass(frozen=True, slots=True)
class Tick:
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


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """Sign this. A COMMIT comes with the prepared block that justifies it."""

    payload: VotePayload
    prepared: PreparedEntry | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """A message to one member, or to all others."""

    message: Message
    to: int | None = None


@dataclass(frozen=True, slots=True)
class Execute:
    """Get the body of the block and execute it on the state of its parent.

    `leaves` is None where only the header is known. `sources` are members that hold the body.
    """

    block_hash: bytes
    header: Header
    leaves: tuple[bytes, ...] | None
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """The executed block is final: append it."""

    header: Header
    block_hash: bytes
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class CatchUp:
    """`member` proved with `certificate` that blocks exist that this replica lacks."""

    member: int
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two votes of one member that an honest one never signs both."""

    first: Vote
    second: Vote


@dataclass(slots=True)
class Output:
    """The effects of one step, in the order in which each list was filled."""

    votes: list[VoteRequest | ViewChangeBody | NewViewBody] = field(default_factory=list)
    send: list[Send] = field(default_factory=list)
    execute: list[Execute] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    catch_up: list[CatchUp] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
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
        )
