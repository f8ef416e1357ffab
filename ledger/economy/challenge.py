"""Challenges: whoever doubts a commitment puts up a deposit, a panel decides, the loser pays.

    CONTESTED -> upheld (commitment VOID, deposit back, a penalty from the bond to the challenger)
              -> dismissed (what had to be deposited to the issuer, the rest back)
              -> silent panel (deposit back, nothing changes)

The commitment counts until it is ruled on. Payments are made by the system in the next block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.amounts import UNITS_PER_COIN
from ledger.codec import Amount, Bytes32, Slug, UInt, Wire
from ledger.economy.attestor import PANEL_NEEDED, PANEL_SEATS
from ledger.economy.parameters import EconomyParameters
from ledger.reasons import Invalid, Reason

DEPOSIT_LEAST = UNITS_PER_COIN
"""In µ, so that doubt is never free."""


class Verdict(IntEnum):
    """What a panel has decided so far."""

    OPEN = 0
    UPHELD = 1
    DISMISSED = 2


class Vote(Wire, frozen=True):
    """One panel member's word."""

    attestor: Slug
    upheld: bool


class Challenge(Wire, frozen=True):
    """One commitment in doubt; at most one at a time. Identity: that of the commitment."""

    TYPE: ClassVar[int] = 47
    issuer: Slug
    commitment: Slug
    asset: Bytes32
    deposit: Amount
    penalty: Amount
    """What the loser pays: the deposit that was needed, however much was given."""
    refund_lock: Bytes32
    """Where the deposit goes back to, and what the bond pays."""
    since_ms: UInt
    panel: Annotated[tuple[Slug, ...], Meta(max_length=PANEL_SEATS)]
    votes: Annotated[tuple[Vote, ...], Meta(max_length=PANEL_SEATS)]
    decided_ms: UInt
    """When the panel decided; 0 while it has not."""

    @property
    def verdict(self) -> Verdict:
        upheld = sum(vote.upheld for vote in self.votes)
        if upheld >= PANEL_NEEDED:
            return Verdict.UPHELD
        if len(self.votes) - upheld >= PANEL_NEEDED:
            return Verdict.DISMISSED
        return Verdict.OPEN


def deadline(held: Challenge, parameters: EconomyParameters) -> int:
    """The last moment before it is settled."""
    return held.decided_ms or held.since_ms + parameters.contest_ms


def check_seat(
    held: Challenge, attestor: str, groups: Mapping[str, str], parties: Iterable[str]
) -> None:
    """Who was drawn and could be drawn still, next to those that voted; raises Invalid. Since the
    draw a member may have attested the commitment, or come back under another group. `groups` are
    those of attestors that count now, `parties` who attested."""
    if attestor not in held.panel:
        detail = f"'{attestor}' does not sit on the panel: {', '.join(held.panel) or 'nobody'}"
        raise Invalid(Reason.NOT_ON_PANEL, detail)
    group = groups[attestor]
    if any(groups.get(name) == group for name in parties):
        detail = f"'{attestor}' is of group '{group}', which attested the commitment since"
        raise Invalid(Reason.NOT_ON_PANEL, detail)
    voted = [vote.attestor for vote in held.votes if groups.get(vote.attestor) == group]
    if voted and attestor not in voted:
        detail = f"'{attestor}' is of group '{group}', for which '{voted[0]}' has ruled"
        raise Invalid(Reason.NOT_ON_PANEL, detail)


def ruled(held: Challenge, attestor: str, *, upheld: bool, clock_ms: int) -> Challenge:
    """The challenge with a panel member's vote; raises Invalid."""
    if any(vote.attestor == attestor for vote in held.votes) or held.decided_ms:
        raise Invalid(Reason.REPLAYED_OPERATION, f"'{attestor}' has ruled, or the panel has")
    held = msgspec.structs.replace(held, votes=(*held.votes, Vote(attestor, upheld)))
    if held.verdict is Verdict.OPEN:
        return held
    return msgspec.structs.replace(held, decided_ms=clock_ms)


def deposit_needed(at_stake: int, deposit_ppm: int, *, bond: int, bond_needed: int) -> int:
    """What is deposited, and what the bond pays when it is upheld, in µ: a share of the contested
    value, but no more than there is in the bond, or must be: a lie may be worth more than all
    coins that exist, nobody could challenge it, and more than its bond it never pays."""
    share = -(-at_stake * deposit_ppm // 1_000_000)
    return max(DEPOSIT_LEAST, min(share, max(bond, bond_needed)))
