"""What `GET /v1/consensus` answers: one replica's view of its epoch and of every member.

Bounds: `ledger.validators.VALIDATORS_MAX` members, `ledger.parameters.WINDOW_MAX` heights each.
"""

from __future__ import annotations

from node.api.epoch_schemas import Epoch
from node.api.forms import Count
from node.api.schemas import Answer, NodeInfo


class Member(Answer, frozen=True, kw_only=True):
    index: Count
    licence: str
    linked: bool
    """This node itself is."""
    height: Count | None
    """The last that its STATUS proved, also of a link that is gone; null before the first."""
    heard: bool
    """It told where it stands: a quorum of them has to before this node votes."""
    suspects: bool
    """It wants a later view, and that counts still."""
    view_change: Count | None
    """The view that its VIEW-CHANGE asks for and that has not begun here."""
    prepared: list[Count]
    """Heights at which this node holds its vote of the present view for the block proposed here."""
    committed: list[Count]
    other: list[Count]
    """Those with a vote for a block that is not the one proposed here, or before there is one."""


class Guard(Answer, frozen=True, kw_only=True):
    state: str
    """waiting, allowed or following"""
    reason: str
    """Why it does not sign; empty when it does."""
    vote_above: Count
    view_min: Count


class Replica(Answer, frozen=True, kw_only=True):
    epoch: Count
    height: Count
    known_height: Count
    """The highest that a certificate proved."""
    view: Count
    primary: str
    timeout_ms: Count
    """T, doubled for each of the `failed_views` since the last block, up to the chain's limit."""
    failed_views: Count
    is_changing: bool
    """The view before was left, and no NEW-VIEW has proved this one yet."""
    suspicion: str
    """Why this node suspects the primary; empty when it does not."""
    may_vote: bool
    """On the next height, as far as guard and replica go."""
    guard: Guard | None
    """Null without a seat: nobody asks it for votes."""
    members: list[Member]


class ConsensusShown(Answer, frozen=True, kw_only=True):
    node: NodeInfo
    epoch: Epoch
    replica: Replica
