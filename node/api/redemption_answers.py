"""Orders as the API shows them: where they stand, until when, and who is to act."""

from __future__ import annotations

from typing import NamedTuple

from ledger.address import encode_address
from ledger.catalogue import allowed
from ledger.crypto import ZERO_HASH
from ledger.draft import Draft
from ledger.economy import panel
from ledger.economy.book import Place
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.redemption import Redemption, RedemptionState
from ledger.objects import key_of
from ledger.redeeming import at_present_rate, brings, reserve_of
from ledger.registers import COMMITMENTS, DISPUTES, REDEMPTIONS
from ledger.times import rfc3339
from node.api import redemption_schemas as schemas
from node.api.economy_schemas import PanelVote
from node.api.services import Services

FORGOTTEN = "forgotten"


class _Outlook(NamedTuple):
    """What comes of a state that nobody ends before its deadline, and who could."""

    then: str
    waits_for: str


OUTLOOK = {
    RedemptionState.QUEUED: _Outlook("cancelled", "hours"),
    RedemptionState.REQUESTED: _Outlook("lapsed", "issuer"),
    RedemptionState.ACCEPTED: _Outlook("failed", "issuer"),
    RedemptionState.READY: _Outlook("settled", "holder"),
    RedemptionState.ACTIVE: _Outlook("closing", "both"),
    RedemptionState.CLOSING: _Outlook("settled", "time"),
    RedemptionState.DISPUTED: _Outlook("ruled", "panel"),
}
"""As `ledger.redeeming` ends them; a test holds it against what the sweep does."""


def redemption_answer(
    services: Services, draft: Draft, held: Redemption, *, with_queue: bool = False
) -> schemas.Redemption:
    """One order as of now, at what its coins would bring if it began now; `with_queue` counts who
    waits before it."""
    held = at_present_rate(draft, held)
    state = held.state.name.lower()
    dispute = _dispute(draft, held)
    deadline_ms = dispute.deadline_ms if dispute else REDEMPTIONS.deadline(draft, held)
    is_over = deadline_ms is not None and draft.clock_ms > deadline_ms
    then, waits_for = OUTLOOK.get(held.state, _Outlook(FORGOTTEN, "" if held.is_paid else "block"))
    identity = CapacityCommitment.identity(held.issuer, held.commitment)
    commitment = COMMITMENTS.get(draft, identity)
    terms = None if commitment is None else commitment.terms
    return schemas.Redemption(
        id=held.id.hex(),
        state=state,
        allowed_actions=[] if is_over else allowed("redemption", state),
        deadline_ms=deadline_ms,
        deadline=None if deadline_ms is None else rfc3339(deadline_ms),
        then=then,
        waits_for="block" if is_over and not held.is_paid else waits_for,
        since_ms=held.since_ms,
        since=rfc3339(held.since_ms),
        has_ended=held.has_ended,
        is_paid=held.is_paid,
        issuer=held.issuer,
        commitment=held.commitment,
        workload=held.workload,
        device_class=None if terms is None else terms.device_class,
        region=None if terms is None else terms.region,
        asset=held.asset.hex(),
        amount=str(held.amount),
        burned=str(held.burned),
        residual=str(held.residual),
        remaining=str(held.held),
        refunded=str(held.remaining - held.held),
        deliverable=str(brings(reserve_of(draft, held), held.held)),
        factor=held.factor,
        units=held.units,
        microhours=str(held.microhours),
        reserved_microhours=str(held.reserved),
        start_by_ms=held.start_by_ms,
        start_by=rfc3339(held.start_by_ms),
        end_ms=held.end_ms,
        end=rfc3339(held.end_ms),
        queue_until_ms=held.queue_until_ms,
        queue_ahead=_ahead(draft, held, identity) if with_queue else None,
        endpoint=held.endpoint,
        session_key=held.session_key.hex(),
        session_hash=None if held.session_hash == ZERO_HASH else held.session_hash.hex(),
        refund_lock=held.refund_lock.hex(),
        refund_address=encode_address(held.refund_lock, services.genesis.hrp),
        receipt=held.number,
        used_microhours=str(held.used_microhours),
        meter_root=None if held.meter_root == ZERO_HASH else held.meter_root.hex(),
        dispute=dispute,
    )


def _dispute(draft: Draft, held: Redemption) -> schemas.Dispute | None:
    found = DISPUTES.get(draft, held.id)
    if found is None:
        return None
    return schemas.Dispute(
        verdict=found.verdict.name.lower(),
        by="issuer" if found.by_issuer else "holder",
        claimed=str(found.claimed),
        asset=found.asset.hex(),
        deposit=str(found.deposit),
        refund_lock=found.refund_lock.hex(),
        since_ms=found.since_ms,
        deadline_ms=panel.deadline(found, draft.economy),
        panel=list(found.panel),
        votes=[PanelVote(attestor=vote.attestor, upheld=vote.upheld) for vote in found.votes],
    )


def _ahead(draft: Draft, held: Redemption, commitment: bytes) -> int | None:
    """At most `ledger.economy.book.ORDERS_OF_COMMITMENT_MAX`."""
    if held.state is not RedemptionState.QUEUED:
        return None
    last = key_of(Place, Place.identity(commitment, held.place))
    places = draft.objects(key_of(Place, commitment + b"\0"))
    return sum(1 for key, _ in places if key < last)
