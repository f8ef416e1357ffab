"""Objects of the economy as the API shows them: state, allowed actions, deadline, figures."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.address import encode_address
from ledger.backing import Yardstick, backing_of, deposit_needed, sound_assets
from ledger.crypto import ZERO_HASH
from ledger.draft import Draft
from ledger.economy import bond, capacity, conduct, issuance, licence, panel, reserve
from ledger.economy.attestor import Attestor
from ledger.economy.bond import Bond
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.challenge import Challenge
from ledger.economy.compliance import Order
from ledger.economy.conduct import Conduct
from ledger.economy.licence import Cause, Licence
from ledger.economy.reserve import Reserve
from ledger.economy.spot_audit import AuditRound, Opening
from ledger.operations import ATTESTOR, OPERATIONS
from ledger.parameters import PPM
from ledger.registers import name
from ledger.times import DAY_MS, rfc3339
from node.api import economy_schemas as schemas
from node.api.assets import lanes_of, reserve_answer, stateful
from node.api.epochs import licence_answer
from node.api.problems import not_found
from node.api.services import Services


def licence_object(services: Services, draft: Draft, held: Licence) -> schemas.LicenceObject:
    state = held.state.name.lower()
    return schemas.LicenceObject(
        **stateful("licence", state, licence.deadline(held, draft.economy)),
        licence=licence_answer(held),
        since_ms=held.since_ms,
        since=rfc3339(held.since_ms),
        cause="" if held.cause is Cause.NONE else held.cause.name.lower(),
        rotations=[
            schemas.RotationNotice(
                role=item.role,
                key=item.key.hex(),
                after_ms=item.after_ms,
                after=rfc3339(item.after_ms),
            )
            for item in held.rotations
        ],
        lanes=lanes_of(services, held.grant.id, OPERATIONS),
    )


def attestor_answer(services: Services, held: Attestor) -> schemas.Attestor:
    return schemas.Attestor(
        **stateful("attestor", "active" if held.is_active else "removed", None),
        id=held.id,
        name=held.grant.name,
        group=held.grant.group,
        key=held.grant.key.hex(),
        version=held.version,
        strikes=held.strikes,
        lanes=lanes_of(services, held.id, ATTESTOR),
    )


def commitment_answer(
    draft: Draft, held: CapacityCommitment, yardstick: Yardstick
) -> schemas.Commitment:
    terms, measure = held.terms, yardstick.measure
    state = held.state.name.lower()
    if state == "live" and capacity.is_stale(held, measure):
        state = "stale"
    return schemas.Commitment(
        **stateful("commitment", state, capacity.deadline(held, draft.economy)),
        id=terms.id,
        issuer=terms.issuer,
        device_class=terms.device_class,
        region=terms.region,
        workloads=list(terms.workloads),
        from_ms=terms.from_ms,
        to_ms=terms.to_ms,
        from_time=rfc3339(terms.from_ms),
        to_time=rfc3339(terms.to_ms),
        microhours=str(terms.microhours),
        counted_microhours=str(capacity.counted(held, measure)),
        worth=str(yardstick.hours_of([held]).reserve),
        promised=str(yardstick.promised(held)),
        at_stake=str(yardstick.at_stake(held)),
        deposit_needed=str(deposit_needed(draft, held, yardstick)),
        version=held.version,
        born=held.born,
        devices=held.devices,
        is_frozen=capacity.is_frozen(held, measure),
        attestations=[_attestation(item, measure) for item in held.attestations],
    )


def _attestation(item: capacity.Attestation, measure: capacity.Measure) -> schemas.AttestationOf:
    return schemas.AttestationOf(
        attestor=item.attestor,
        group=measure.groups.get(item.attestor, ""),
        microhours=str(item.microhours),
        weighted=str(measure.weight(item.since_ms, item.microhours)),
        since_ms=item.since_ms,
        since=rfc3339(item.since_ms),
        age_ms=measure.clock_ms - item.since_ms,
        lower=str(item.lower[0].microhours) if item.lower else None,
    )


def challenge_answer(draft: Draft, held: Challenge) -> schemas.Challenge:
    return schemas.Challenge(
        state=held.verdict.name.lower(),
        allowed_actions=[] if held.decided_ms else ["rule"],
        deadline_ms=panel.deadline(held, draft.economy),
        deadline=rfc3339(panel.deadline(held, draft.economy)),
        issuer=held.issuer,
        commitment=held.commitment,
        asset=held.asset.hex(),
        deposit=str(held.deposit),
        penalty=str(held.penalty),
        refund_lock=held.refund_lock.hex(),
        since_ms=held.since_ms,
        panel=list(held.panel),
        votes=[
            schemas.PanelVote(attestor=vote.attestor, upheld=vote.upheld) for vote in held.votes
        ],
    )


def backing_answer(services: Services, draft: Draft, issuer: str) -> schemas.Backing:
    try:
        found = backing_of(draft, issuer)
    except UnicodeEncodeError:
        found = None
    if found is None:
        raise not_found("no such issuer")
    held, parameters = found.reserve, draft.parameters
    required = bond.required(held.supply, parameters.economy.bond_ppm)
    return schemas.Backing(
        **stateful(
            "issuer", held.solvency.name.lower(), reserve.deadline(held, parameters.economy)
        ),
        reserve=reserve_answer(services, held),
        since_ms=held.since_ms,
        since=rfc3339(held.since_ms),
        is_frozen=held.is_frozen,
        margin_limit=str(reserve.margin_limit(held.reserve, parameters.margin_ppm)),
        mint_cap=str(issuance.mint_cap(held, held.supply, parameters)),
        minted=str(found.minted),
        bond_required=str(required),
        bond_worth=str(found.bond_worth(required)),
        short_since_ms=held.short_since_ms or None,
        bond=_bond(draft, found.bonds),
        conduct=_conduct(draft, issuer),
    )


def _conduct(draft: Draft, issuer: str) -> schemas.Conduct:
    economy, clock_ms = draft.economy, draft.clock_ms
    known = draft.load(Conduct, name(issuer)) or Conduct.clean(issuer, clock_ms)
    held = conduct.matured(known, clock_ms, economy)
    after = conduct.struck(held, clock_ms=clock_ms, period=draft.period)
    return schemas.Conduct(
        strikes=held.strikes,
        forgiven_ms=held.since_ms + economy.forgive_ms if held.strikes else None,
        next_penalty_ppm=conduct.penalty(after, PPM, economy),
        paid_today=str(held.paid if held.day == clock_ms // DAY_MS else 0),
    )


def _bond(draft: Draft, held: Iterable[Bond]) -> list[schemas.BondPart]:
    issuers = {item.asset: item.issuer for item in draft.all(Reserve)}
    sound = sound_assets(draft)
    return [
        schemas.BondPart(
            asset=item.asset.hex(),
            issuer=issuers[item.asset],
            amount=str(item.amount),
            counts=item.asset in sound,
        )
        for item in held
    ]


def order_answer(services: Services, held: Order) -> schemas.Order:
    return schemas.Order(
        **stateful("order", "active", held.until_ms),
        id=held.id,
        reference=held.reference.hex(),
        version=held.version,
        targets=[lock.hex() for lock in held.targets],
        addresses=[encode_address(lock, services.genesis.hrp) for lock in held.targets],
    )


def round_answer(held: AuditRound) -> schemas.AuditRound:
    return schemas.AuditRound(
        period=held.period,
        sealed=[
            schemas.SealedNonce(
                attestor=item.attestor,
                digest=item.digest.hex(),
                nonce=None if item.nonce == ZERO_HASH else item.nonce.hex(),
            )
            for item in held.sealed
        ],
    )


def opening_answer(
    held: Opening, drawn: Iterable[bytes] = (), next_cursor: str | None = None
) -> schemas.Opening:
    return schemas.Opening(
        period=held.period,
        issuer=held.issuer,
        seed=held.seed.hex(),
        devices=held.devices,
        drawn=[device.hex() for device in drawn],
        opened=held.opened,
        deadline_ms=held.until_ms,
        next_cursor=next_cursor,
    )
