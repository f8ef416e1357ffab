"""Commitments, devices, attestations, challenges and spot audits."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from ledger.backing import Yardstick, deposit_needed
from ledger.draft import Draft
from ledger.economy import capacity, spot_audit
from ledger.economy import panel as panels
from ledger.economy.book import Book
from ledger.economy.capacity import (
    COMMITMENTS_MAX,
    COMMITMENTS_OF_ISSUER_MAX,
    DEVICES_OF_ISSUER_MAX,
    CapacityCommitment,
    CommitmentState,
    Device,
)
from ledger.economy.challenge import Challenge
from ledger.economy.licence import LicenceState
from ledger.economy.spot_audit import AuditRound, Opening
from ledger.economy.standard import Standard, factor_table
from ledger.handlers.common import (
    drawn_panel,
    need_attestor,
    need_deposit,
    need_issuer,
    need_sound,
    need_version,
    use_number,
    voted,
)
from ledger.operations import (
    OPERATIONS,
    Amend,
    Attest,
    Commit,
    OpenChallenge,
    OpenDevices,
    PledgeDevices,
    RevealNonce,
    Rule,
    SealNonce,
)
from ledger.reasons import Invalid, Reason
from ledger.registers import CHALLENGES, COMMITMENTS, DEVICES, OPENINGS, pledged_until
from ledger.times import rfc3339
from ledger.transaction import asset_id

PROMISING = (
    LicenceState.ACTIVE,
    LicenceState.ACCUSED,
    LicenceState.SUSPENDED,
    LicenceState.WINDDOWN,
)
"""Who may add hours: a suspended issuer stops minting, and goes on standing by its coins."""


def commit(draft: Draft, operation: Commit) -> None:
    """A line of the ladder with known factors, which overlaps no other schedule of its line; under
    a name that no open order means, which may have outlived an earlier commitment."""
    terms = operation.terms
    _need_promising(draft, terms.issuer, operation.key)
    use_number(draft, operation)
    factors = factor_table(draft.one(Standard).factors)
    for workload in terms.workloads:
        if (terms.device_class, workload) not in factors:
            detail = f"the standard has no factor for {terms.device_class}/{workload}"
            raise Invalid(Reason.UNKNOWN_CLASS, detail)
    own = COMMITMENTS.all(draft, CapacityCommitment.identity(terms.issuer, ""))
    if len(own) >= COMMITMENTS_OF_ISSUER_MAX:
        raise Invalid(Reason.TOO_MANY, f"'{terms.issuer}' has {len(own)} commitments")
    stand = len(COMMITMENTS.all(draft))
    if stand >= COMMITMENTS_MAX:
        raise Invalid(Reason.TOO_MANY, f"{stand} commitments stand already")
    proposed = capacity.propose(
        terms,
        clock_ms=draft.clock_ms,
        period_ms=draft.parameters.period_ms,
        height=draft.height,
    )
    _check_line(own, terms)
    kept = draft.load(Book, proposed.key)
    if kept is not None:
        detail = f"'{terms.id}' that is over has {kept.orders} open orders: take another name"
        raise Invalid(Reason.COMMITMENT_EXISTS, detail)
    COMMITMENTS.put(draft, proposed)


def pledge(draft: Draft, operation: PledgeDevices) -> None:
    """Devices that stand for no other commitment, no more than it needs, and not too many of one
    issuer; each has one object."""
    _need_promising(draft, operation.issuer, operation.key)
    use_number(draft, operation)
    held = _need_standing(draft, operation.issuer, operation.commitment)
    need_version(operation.version, held.version, operation.commitment)
    if any(a >= b for a, b in pairwise(operation.devices)):
        raise Invalid(Reason.DEVICE_PLEDGED, "devices ascend, each once")
    own = COMMITMENTS.all(draft, CapacityCommitment.identity(operation.issuer, ""))
    count = sum(item.devices for item in own) + len(operation.devices)
    if count > DEVICES_OF_ISSUER_MAX:
        detail = f"{count} devices of '{operation.issuer}', at most {DEVICES_OF_ISSUER_MAX}"
        raise Invalid(Reason.TOO_MANY, f"{detail} may be pledged")
    until_ms = pledged_until(draft, held)
    for device in operation.devices:
        other = DEVICES.get(draft, device)
        if other is not None:
            where = f"'{other.commitment}' of '{other.issuer}'"
            raise Invalid(Reason.DEVICE_PLEDGED, f"{device.hex()} is pledged to {where}")
        pledged = Device(
            id=device,
            issuer=operation.issuer,
            commitment=operation.commitment,
            born=held.born,
            until_ms=until_ms,
            opened=0,
            pledged_in=draft.period,
        )
        DEVICES.put(draft, pledged)
    after = capacity.pledged(
        held,
        len(operation.devices),
        clock_ms=draft.clock_ms,
        period_ms=draft.parameters.period_ms,
    )
    COMMITMENTS.put(draft, after)


def amend(draft: Draft, operation: Amend) -> None:
    """A promise grows, or lasts longer."""
    _need_promising(draft, operation.issuer, operation.key)
    use_number(draft, operation)
    held = _need_standing(draft, operation.issuer, operation.commitment)
    need_version(operation.version, held.version, operation.commitment)
    after = capacity.amended(
        held,
        microhours=operation.microhours,
        to_ms=operation.to_ms,
        clock_ms=draft.clock_ms,
        period_ms=draft.parameters.period_ms,
    )
    own = COMMITMENTS.all(draft, CapacityCommitment.identity(operation.issuer, ""))
    others = [item for item in own if item.key != held.key]
    _check_line(others, after.terms)
    COMMITMENTS.put(draft, after)


def attest(draft: Draft, operation: Attest) -> None:
    """An attestor's word on the very commitment that it saw, whatever became of that since; it
    counts by the rule of the k-th highest."""
    need_attestor(draft, operation.attestor, operation.key)
    use_number(draft, operation)
    held = _need_standing(draft, operation.issuer, operation.commitment)
    if operation.born != held.born:
        detail = f"'{operation.commitment}' of '{operation.issuer}' is of height {held.born}"
        raise Invalid(Reason.UNKNOWN_COMMITMENT, f"{detail}, named is one of {operation.born}")
    after = capacity.attested(
        held,
        operation.attestor,
        figure=operation.microhours,
        until_ms=operation.until_ms,
        measure=Yardstick.of(draft).measure,
    )
    COMMITMENTS.put(draft, after)


def open_challenge(draft: Draft, operation: OpenChallenge) -> None:
    """A deposit in a sound coin of somebody else; the panel is drawn by the block before, and
    has as many members as decide: with fewer it would change nothing."""
    held = _need_standing(draft, operation.issuer, operation.commitment)
    if held.state is CommitmentState.CONTESTED:
        detail = f"'{operation.commitment}' of '{operation.issuer}' is contested already"
        raise Invalid(Reason.ALREADY_CONTESTED, detail)
    if held.state is not CommitmentState.LIVE:
        detail = f"'{operation.commitment}' of '{operation.issuer}' counts for nothing yet"
        raise Invalid(Reason.COMMITMENT_OVER, detail)
    own = asset_id(draft.chain_id, operation.issuer)
    if operation.asset == own:
        raise Invalid(Reason.OWN_COIN, "the deposit is made of another issuer's coins")
    need_sound(draft, operation.asset)
    needed = deposit_needed(draft, held, Yardstick.of(draft))
    need_deposit(operation.amount, needed)
    parties = [item.attestor for item in held.attestations]
    opened = Challenge(
        issuer=operation.issuer,
        commitment=operation.commitment,
        asset=operation.asset,
        deposit=operation.amount,
        penalty=needed,
        refund_lock=operation.refund_lock,
        since_ms=draft.clock_ms,
        panel=drawn_panel(draft, parties, held.key),
        votes=(),
        decided_ms=0,
    )
    CHALLENGES.put(draft, opened)
    COMMITMENTS.put(draft, _in_state(held, CommitmentState.CONTESTED, draft.clock_ms))


def rule(draft: Draft, operation: Rule) -> None:
    """A vote on the very challenge that the attestor saw; its group is no party, and has one."""
    need_attestor(draft, operation.attestor, operation.key)
    identity = CapacityCommitment.identity(operation.issuer, operation.commitment)
    held = CHALLENGES.get(draft, identity)
    if held is None or held.since_ms != operation.since_ms:
        detail = f"nobody challenged '{operation.commitment}' of '{operation.issuer}' then"
        raise Invalid(Reason.UNKNOWN_CHALLENGE, detail)
    moment = panels.deadline(held, draft.economy)
    if draft.clock_ms > moment:
        raise Invalid(Reason.UNKNOWN_CHALLENGE, f"the challenge ended at {rfc3339(moment)}")
    contested = COMMITMENTS.get(draft, identity)
    assert contested is not None  # It waits for its ruling.
    parties = [item.attestor for item in contested.attestations]
    CHALLENGES.put(draft, voted(draft, held, parties, operation.attestor, upheld=operation.upheld))


def seal_nonce(draft: Draft, operation: SealNonce) -> None:
    """For the next period, whose draw nobody knows yet."""
    need_attestor(draft, operation.attestor, operation.key)
    identity = AuditRound.identity(operation.period)
    held = draft.load(AuditRound, identity)
    after = spot_audit.sealed(
        held, operation.attestor, operation.digest, period=operation.period, now=draft.period
    )
    draft.put(after, identity)


def reveal_nonce(draft: Draft, operation: RevealNonce) -> None:
    """Of the past period."""
    need_attestor(draft, operation.attestor, operation.key)
    identity = AuditRound.identity(operation.period)
    held = draft.load(AuditRound, identity)
    after = spot_audit.revealed(
        held, operation.attestor, operation.nonce, period=operation.period, now=draft.period
    )
    draft.put(after, identity)


def open_devices(draft: Draft, operation: OpenDevices) -> None:
    """Drawn devices of the issuer, each once; that they perform is for attestors to see."""
    need_issuer(draft, operation.issuer, OPERATIONS, operation.key)
    held = OPENINGS.get(draft, Opening.identity(operation.period, operation.issuer))
    if any(a >= b for a, b in pairwise(operation.devices)):
        raise Invalid(Reason.NOT_DRAWN, "devices ascend, each once")
    devices = []
    for item in operation.devices:
        device = DEVICES.get(draft, item)
        if device is None or device.issuer != operation.issuer:
            detail = f"{item.hex()} is no pledged device of '{operation.issuer}'"
            raise Invalid(Reason.UNKNOWN_DEVICE, detail)
        if device.opened >= operation.period:
            detail = f"{item.hex()} was opened for period {device.opened}"
            raise Invalid(Reason.REPLAYED_OPERATION, detail)
        devices.append(device)
    wanted = draft.economy.audit_devices
    after = spot_audit.opened(held, operation.devices, operation.opened, wanted)
    for device in devices:
        if not device.stood_in(operation.period):
            detail = f"{device.id.hex()} was pledged in period {device.pledged_in}"
            raise Invalid(Reason.NOT_DRAWN, f"{detail}, after {operation.period}")
        DEVICES.put(draft, msgspec.structs.replace(device, opened=operation.period))
    OPENINGS.put(draft, after)


def _need_promising(draft: Draft, issuer: str, key: bytes) -> None:
    held = need_issuer(draft, issuer, OPERATIONS, key)
    if held.state not in PROMISING:
        raise Invalid(Reason.LICENCE_INACTIVE, f"'{issuer}' is {held.state.name.lower()}")


def _need_standing(draft: Draft, issuer: str, commitment: str) -> CapacityCommitment:
    held = COMMITMENTS.get(draft, CapacityCommitment.identity(issuer, commitment))
    if held is None:
        detail = f"'{issuer}' has no commitment '{commitment}', or it is over"
        raise Invalid(Reason.UNKNOWN_COMMITMENT, detail)
    if held.state is CommitmentState.VOID:
        raise Invalid(Reason.COMMITMENT_OVER, f"'{commitment}' of '{issuer}' is void")
    return held


def _check_line(held: list[CapacityCommitment], terms: capacity.CommitmentTerms) -> None:
    for item in held:
        if item.terms.issuer == terms.issuer and item.terms.id == terms.id:
            detail = f"'{terms.issuer}' has a commitment '{terms.id}'"
            raise Invalid(Reason.COMMITMENT_EXISTS, detail)
        if item.state is not CommitmentState.VOID and capacity.overlaps(item.terms, terms):
            detail = f"'{item.terms.id}' promises {terms.device_class} in {terms.region}"
            span = f"from {rfc3339(item.terms.from_ms)} to {rfc3339(item.terms.to_ms)}"
            raise Invalid(Reason.OVERLAPPING_SCHEDULE, f"{detail} {span}")


def _in_state(
    held: CapacityCommitment, state: CommitmentState, clock_ms: int
) -> CapacityCommitment:
    return msgspec.structs.replace(held, state=state, since_ms=clock_ms, version=held.version + 1)
