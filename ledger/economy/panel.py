"""Panels: five attestors of distinct groups that are no party, drawn by nobody; three decide.

The same panel rules on a challenge of capacity and on a dispute about a redemption: who wrote down
what it has said so far, and what that comes to, is one idea.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from ledger.codec import Slug, Wire
from ledger.economy.attestor import PANEL_NEEDED, PANEL_SEATS
from ledger.economy.parameters import EconomyParameters
from ledger.reasons import Invalid, Reason


class Verdict(IntEnum):
    """What a panel has decided so far."""

    OPEN = 0
    UPHELD = 1
    DISMISSED = 2


class Vote(Wire, frozen=True):
    """One panel member's word."""

    attestor: Slug
    upheld: bool


if TYPE_CHECKING:
    from ledger.economy.challenge import Challenge
    from ledger.economy.dispute import Dispute

JudgedT = TypeVar("JudgedT", "Challenge", "Dispute")
"""What a panel rules on."""
Seats: TypeAlias = Annotated[tuple[Slug, ...], Meta(max_length=PANEL_SEATS)]
Votes: TypeAlias = Annotated[tuple[Vote, ...], Meta(max_length=PANEL_SEATS)]


def verdict_of(votes: Sequence[Vote]) -> Verdict:
    """What so many votes come to."""
    upheld = sum(vote.upheld for vote in votes)
    if upheld >= PANEL_NEEDED:
        return Verdict.UPHELD
    if len(votes) - upheld >= PANEL_NEEDED:
        return Verdict.DISMISSED
    return Verdict.OPEN


def check_seat(
    panel: Sequence[str],
    votes: Sequence[Vote],
    attestor: str,
    groups: Mapping[str, str],
    parties: Iterable[str],
) -> None:
    """Who was drawn and could be drawn still, next to those that voted; raises Invalid. Since the
    draw a member may have become a party, or come back under another group. `groups` are those of
    attestors that count now, `parties` attestors who are no judges here."""
    if attestor not in panel:
        detail = f"'{attestor}' does not sit on the panel: {', '.join(panel) or 'nobody'}"
        raise Invalid(Reason.NOT_ON_PANEL, detail)
    group = groups[attestor]
    if any(groups.get(name) == group for name in parties):
        detail = f"'{attestor}' is of group '{group}', which attested the commitment since"
        raise Invalid(Reason.NOT_ON_PANEL, detail)
    voted = [vote.attestor for vote in votes if groups.get(vote.attestor) == group]
    if voted and attestor not in voted:
        detail = f"'{attestor}' is of group '{group}', for which '{voted[0]}' has ruled"
        raise Invalid(Reason.NOT_ON_PANEL, detail)


def with_vote(votes: Votes, attestor: str, *, upheld: bool) -> Votes:
    """The votes with one more; raises Invalid where it voted, or enough have."""
    if any(vote.attestor == attestor for vote in votes) or verdict_of(votes) is not Verdict.OPEN:
        raise Invalid(Reason.REPLAYED_OPERATION, f"'{attestor}' has ruled, or the panel has")
    return (*votes, Vote(attestor, upheld))


def deadline(held: JudgedT, parameters: EconomyParameters) -> int:
    """The last moment before it is settled."""
    return held.decided_ms or held.since_ms + parameters.contest_ms


def ruled(held: JudgedT, attestor: str, *, upheld: bool, clock_ms: int) -> JudgedT:
    """With a panel member's vote, and decided by it where it is the third; raises Invalid."""
    votes = with_vote(held.votes, attestor, upheld=upheld)
    is_decided = verdict_of(votes) is not Verdict.OPEN
    decided_ms = clock_ms if is_decided else held.decided_ms
    return msgspec.structs.replace(held, votes=votes, decided_ms=decided_ms)
