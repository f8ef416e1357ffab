"""What falls due, and what begins with a period: the system's own transitions.

Deadlines are swept in the order of time, kind and identity, devices after all others, at most
`SWEEP_OBJECTS_MAX` objects a block; the rest waits for the next one. Rules read every object as of
now, so a backlog changes no answer but one: a challenge holds until it is settled. Expired
transactions are forgotten last, in the room that is left: they are refused as expired, remembered
or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from ledger.backing import Yardstick, has_short_bond, judge, sound_assets
from ledger.draft import Draft
from ledger.economy.attestor import Attestor
from ledger.economy.bond import Bond
from ledger.economy.capacity import CapacityCommitment, CommitmentState, lowered
from ledger.economy.challenge import Challenge
from ledger.economy.compliance import Order
from ledger.economy.due import DEVICE_CLOCK, HEADER_TIME, LEDGER_CLOCK, Due, DueKind
from ledger.economy.licence import Cause, LicenceState, suspended
from ledger.economy.panel import Verdict
from ledger.economy.reserve import begun, caged
from ledger.economy.spot_audit import AuditRound, Opening, seed_of, silent
from ledger.handlers.compliance import release
from ledger.locks import Key, lock_hash
from ledger.objects import Used, decode, key_of
from ledger.redeeming import (
    ask_queue,
    pay_from_bond,
    return_residuals,
    settle,
    settle_dispute,
)
from ledger.registers import (
    CHALLENGES,
    COMMITMENTS,
    DEVICES,
    LICENCES,
    OPENINGS,
    REGULATORS,
    RESERVES,
    Register,
    name,
    pledged_until,
)
from ledger.transaction import Output

SWEEP_OBJECTS_MAX = 256
"""Deadlines a block; an order of a regulator counts with each of its targets, one of redemption,
and one that is asked in a queue, as `ORDER_ROOM`. When 10,000 devices are due at once they take
10 ms of a block, at most 12. A period's start comes on top: with as many commitments and words as
there may be 19 ms; 37 where words end at many times, 44 with lower figures that wait, 52 and 63 in
the first one of a process; twice as much and more, once, when lower figures in all commitments fall
due with it (bench/sweep.py, bench/README.md)."""
ORDER_ROOM = 4
"""Deadlines whose room an order of redemption takes: one that lapses writes itself, its book, its
issuer's conduct and bond, and as many outputs as there are coins in the bond. 64 of them take 18 ms
of a block, 34 on a busy machine; 256 took 73 and more (bench/redemption.py)."""

_PLAIN: dict[DueKind, Register[Any]] = {
    DueKind.REGULATOR: REGULATORS,
    DueKind.LICENCE: LICENCES,
    DueKind.COMMITMENT: COMMITMENTS,
    DueKind.OPENING: OPENINGS,
}
"""Kinds whose transition is nothing but how the object stands now."""


def sweep(draft: Draft) -> list[Output]:
    """Write down what is due; the outputs are what objects pay out."""
    outputs: list[Output] = []
    room = SWEEP_OBJECTS_MAX
    for due in list(islice(_due(draft), SWEEP_OBJECTS_MAX)):
        if room <= 0:
            break
        room -= 1
        draft.remove(Due, due.identity)
        match due.kind:
            case DueKind.RESERVE:
                _sweep_reserve(draft, due.object)
            case DueKind.CHALLENGE:
                outputs.extend(_settle_challenge(draft, due.object))
            case DueKind.REDEMPTION:
                outputs.extend(settle(draft, due.object))
                room -= ORDER_ROOM - 1
            case DueKind.DISPUTE:
                outputs.extend(settle_dispute(draft, due.object))
                room -= ORDER_ROOM - 1
            case DueKind.QUEUE:
                room -= ORDER_ROOM * ask_queue(draft, due.object)
            case DueKind.DEVICE:
                _sweep_device(draft, due.object)
            case DueKind.ORDER:
                room -= _sweep_order(draft, due.object)
            case _:
                _sweep_plain(draft, _PLAIN[due.kind], due.object)
    for used in list(islice(_expired(draft), max(room, 0))):
        draft.remove(Used, used.identity)
    return outputs


def _due(draft: Draft) -> Iterator[Due]:
    clock_ms, time_ms = draft.clock_ms, draft.time_ms
    for clock, now_ms in (
        (LEDGER_CLOCK, clock_ms),
        (HEADER_TIME, time_ms),
        (DEVICE_CLOCK, clock_ms),
    ):
        for _, data in draft.objects(key_of(Due, clock)):
            due = decode(data, Due)
            if due.deadline_ms >= now_ms:
                break
            yield due


def _expired(draft: Draft) -> Iterator[Used]:
    for _, data in draft.objects(key_of(Used)):
        used = decode(data, Used)
        if used.expires_at_ms >= draft.time_ms:
            break
        yield used


def _sweep_plain(draft: Draft, register: Register[Any], identity: bytes) -> None:
    now = register.get(draft, identity)
    if now is None:
        register.remove(draft, identity)
    else:
        register.put(draft, now)


def _sweep_device(draft: Draft, identity: bytes) -> None:
    """Free when its commitment is over; one that went live, or became longer, keeps it."""
    held = DEVICES.get(draft, identity)
    if held is None:
        DEVICES.remove(draft, identity)
        return
    pledged = COMMITMENTS.get(draft, CapacityCommitment.identity(held.issuer, held.commitment))
    until_ms = held.until_ms if pledged is None else pledged_until(draft, pledged)
    if until_ms < draft.clock_ms:  # contested over its end: asked again in the next period
        until_ms = draft.clock_ms + draft.parameters.period_ms
    DEVICES.put(draft, msgspec.structs.replace(held, until_ms=until_ms))


def _sweep_order(draft: Draft, identity: bytes) -> int:
    held = draft.load(Order, identity)
    if held is None:
        return 0
    release(draft, held)
    return len(held.targets)


def _sweep_reserve(draft: Draft, asset: bytes) -> None:
    """A deficit that was not cured is caged; a bond that stayed short suspends its issuer. That it
    still is, is asked now: its coins may count again since they were judged last."""
    held = RESERVES.get(draft, asset)
    if held is None:
        return
    short_ends_ms = held.short_since_ms + draft.economy.bond_cure_ms
    if held.short_since_ms and draft.clock_ms > short_ends_ms:
        is_short = has_short_bond(draft, held, sound_assets(draft))
        held = msgspec.structs.replace(held, short_since_ms=draft.clock_ms if is_short else 0)
        issuer = LICENCES.get(draft, name(held.issuer))
        if is_short and issuer is not None and issuer.state is LicenceState.ACTIVE:
            LICENCES.put(draft, suspended(issuer, Cause.BOND, draft.clock_ms))
    RESERVES.put(draft, held)


def _settle_challenge(draft: Draft, identity: bytes) -> list[Output]:
    """The loser pays: upheld, the issuer's bond the penalty; dismissed, what had to be deposited
    goes to the issuer, and what was more comes back; a panel that stayed silent changes nothing."""
    held = draft.load(Challenge, identity)
    if held is None:
        return []
    CHALLENGES.remove(draft, identity)
    commitment = draft.load(CapacityCommitment, identity)
    state, verdict = CommitmentState.LIVE, held.verdict
    back, outputs = held.deposit, []
    if verdict is Verdict.UPHELD:
        state = CommitmentState.VOID
        bonds = draft.all(Bond, Bond.prefix(held.issuer))
        outputs = pay_from_bond(draft, bonds, held.penalty, held.refund_lock)
    elif verdict is Verdict.DISMISSED:
        issuer = LICENCES.get(draft, name(held.issuer))
        if issuer is not None:
            back -= held.penalty
            lock = lock_hash(Key(issuer.grant.keys.treasury))
            outputs = [Output(held.asset, held.penalty, lock)]
    if commitment is not None:
        after = msgspec.structs.replace(
            commitment, state=state, since_ms=draft.clock_ms, version=commitment.version + 1
        )
        COMMITMENTS.put(draft, after)
    refund = [Output(held.asset, back, held.refund_lock)] if back else []
    return [*refund, *outputs]


def begin_period(draft: Draft) -> None:
    """Hours of the past period have left: lower figures that waited count, nonces are closed and
    devices drawn, coins of issuers that wind down are closed or caged, all are judged."""
    commitments = _lower_figures(draft)
    _close_nonces(draft, commitments)
    judge(draft, commitments=commitments)
    _wind_down(draft)


def begin_batch(draft: Draft) -> list[Output]:
    """As all stand when a period begins: residual claims on those that are cured are coins again,
    and what coins in a deficit bring is read once."""
    outputs = return_residuals(draft)
    for held in RESERVES.all(draft):
        after = begun(held)
        if after is not held:
            RESERVES.put(draft, after)
    return outputs


def _lower_figures(draft: Draft) -> list[CapacityCommitment]:
    """All commitments as they are afterwards: reading a thousand costs more than all else here."""
    measure, lower_ms = Yardstick.of(draft).measure, draft.economy.lower_ms
    result = []
    for held in COMMITMENTS.all(draft):
        after = lowered(held, measure, lower_ms)
        if after is not held and after != held:
            COMMITMENTS.put(draft, after)
        result.append(after)
    return result


def _close_nonces(draft: Draft, commitments: Iterable[CapacityCommitment]) -> None:
    """Those of the period before the last were to be revealed by now. Devices that were pledged in
    the last one do not count: their issuer may have known the draw."""
    if draft.period < 2:
        return
    period = draft.period - 2
    held = draft.load(AuditRound, AuditRound.identity(period))
    if held is None:
        return
    draft.remove(AuditRound, AuditRound.identity(period))
    for attestor in silent(held):
        found = draft.load(Attestor, name(attestor))
        if found is not None:
            draft.put(found.struck(), name(attestor))
    seed, until_ms = seed_of(held), (draft.period + 1) * draft.parameters.period_ms - 1
    devices: dict[str, int] = {}
    for item in commitments:
        if item.counts:
            count = item.devices_until(period)
            devices[item.terms.issuer] = devices.get(item.terms.issuer, 0) + count
    for issuer, count in sorted(devices.items()):
        if count:
            OPENINGS.put(draft, Opening(period, issuer, seed, count, 0, until_ms))


def _wind_down(draft: Draft) -> None:
    """An issuer that stopped is closed once none of its coins is left; caged when that takes too
    long."""
    for held in LICENCES.all(draft):
        if held.state is not LicenceState.WINDDOWN:
            continue
        coins = [item for item in RESERVES.all(draft) if item.issuer == held.grant.id]
        if all(item.supply + item.residual == 0 for item in coins):
            LICENCES.put(draft, held.entered(LicenceState.CLOSED, draft.clock_ms))
        elif draft.clock_ms > held.since_ms + draft.economy.winddown_ms:
            for item in coins:
                RESERVES.put(draft, caged(item, draft.clock_ms))
