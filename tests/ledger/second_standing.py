"""How objects with deadlines stand now, a second time; it imports nothing of the node.

A deadline is met while time <= deadline. Every deadline of the state has one object that points at
it: here they are all made anew from the objects after each block.

Positions: a licence is [grant, state, version, seat, height of the seat, since, cause, rotations,
evidence counts from epoch, winding down since], a grant has its keys at 6 and its expiry at 7; a
commitment is [terms, state, version, since, height of its birth, devices, attestations, ...]; a
reserve [asset, issuer, supply, reserve, deliverable, solvency, since, is frozen, period, minted,
short since, claims, reserve and supply as a period in deficit began].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.ledger.second_codec import TYPE_BYTES
from tests.ledger.second_redemption_values import Book, order_deadline, order_now
from tests.ledger.second_roots import State

ACTIVE, ACCUSED, SUSPENDED, REVOKED, APPLIED, WINDDOWN, CLOSED = range(1, 8)
NO_CAUSE, BY_REGULATOR, BY_VALIDATORS, BY_EVIDENCE, BY_BOND = range(5)
PROPOSED, LIVE, CONTESTED, VOID = range(1, 5)
HEALTHY, WARN, DEFICIT, CAGED = range(1, 5)
ROLES = ("operations", "treasury", "metering", "consensus", "link")
KINDS = {
    1: "Regulator",
    2: "Licence",
    3: "Reserve",
    4: "CapacityCommitment",
    5: "Challenge",
    6: "Device",
    7: "Opening",
    8: "Order",
    9: "Redemption",
    10: "Dispute",
    20: "Book",
}
"""As deadlines number them."""
CLOCKS = {"Order": 1, "Device": 2}
"""Kinds that are not swept by the ledger clock among all others, in the order after those."""


def identity_of(kind: str, value: list[Any]) -> bytes:
    name: str
    match kind:
        case "Regulator":
            return b""
        case "Licence":
            name = value[0][0]
        case "CapacityCommitment":
            name = f"{value[0][1]}\0{value[0][0]}"
        case "Challenge" | "Book":
            name = f"{value[0]}\0{value[1]}"
        case "Opening":
            return int(value[0]).to_bytes(8, "big") + str(value[1]).encode()
        case "Order":
            name = value[0]
        case _:
            return bytes(value[0])
    return name.encode()


def keep(state: State, kind: str, value: list[Any]) -> None:
    state.put(kind, identity_of(kind, value), value)


def deadline(state: State, kind: str, value: list[Any]) -> int | None:
    """The last moment at which the object as stored stands as it does."""
    economy = state.economy
    moments: list[int] = []
    match kind:
        case "Regulator":
            moments = [change[1] for change in value[2]]
        case "Licence":
            moments = [rotation[2] for rotation in value[7]]
            lasts = {APPLIED: economy.application_ms, SUSPENDED: economy.suspension_ms}
            if value[1] in lasts:
                moments.append(value[5] + lasts[value[1]])
            if value[1] == ACTIVE:
                moments.append(value[0][7])
        case "Reserve":
            if value[5] == DEFICIT:
                moments.append(value[6] + economy.cure_ms)
            if value[10]:
                moments.append(value[10] + economy.bond_cure_ms)
        case "CapacityCommitment":
            if value[1] != CONTESTED:
                moments.append(value[0][6])
            if value[1] == PROPOSED:
                moments.append(value[3] + economy.proposal_ms)
        case "Challenge":
            moments.append(value[9] or value[6] + economy.contest_ms)
        case "Redemption":
            return order_deadline(economy, value)
        case "Dispute":
            moments.append(value[9] or value[6] + economy.contest_ms)
        case "Book":
            book = Book(*value)
            return book.asked_ms if book.queued else None
        case _:
            moments.append(value[{"Device": 4, "Opening": 5, "Order": 3}[kind]])
    return min(moments, default=None)


def pledged_until(state: State, commitment: list[Any]) -> int:
    """When it is asked whether its devices are free."""
    moment = deadline(state, "CapacityCommitment", commitment)
    return int(commitment[0][6]) if moment is None else moment


def now(state: State, kind: str, identity: bytes = b"") -> Any:
    """The object as the rules see it, None where it is gone."""
    held = state.get(kind, identity)
    return None if held is None else stands(state, kind, held)


def all_now(state: State, kind: str, start: bytes = b"") -> list[Any]:
    found = (stands(state, kind, held) for held in state.all(kind, start))
    return [item for item in found if item is not None]


def stands(state: State, kind: str, held: list[Any]) -> Any:
    clock_ms = state.clock_ms
    match kind:
        case "Regulator":
            late = [change for change in held[2] if clock_ms > change[1]]
            return [held[0], late[0][0], []] if late else held
        case "Licence":
            return _licence(state, held)
        case "Reserve":
            caged_ms = held[6] + state.economy.cure_ms
            if held[5] == DEFICIT and clock_ms > caged_ms:
                return [*held[:5], CAGED, caged_ms, *held[7:]]
            return held
        case "Device":
            pledged = now(state, "CapacityCommitment", f"{held[1]}\0{held[2]}".encode())
            return held if pledged and pledged[4] == held[3] and pledged[1] != VOID else None
        case "Challenge" | "Dispute" | "Book":
            return held
        case "Redemption":
            return order_now(held, clock_ms)
        case "Order":
            return held if state.time_ms <= held[3] else None
        case _:
            moment = deadline(state, kind, held)
            return held if moment is None or clock_ms <= moment else None


def _licence(state: State, held: list[Any]) -> Any:
    clock_ms, economy = state.clock_ms, state.economy
    grant, standing, version, seat, height, since, cause, rotations, evidence_from, winding = held
    keys = list(grant[6])
    for role, key, after_ms in rotations:
        if clock_ms > after_ms:
            keys[ROLES.index(role)] = key
    rotations = [item for item in rotations if clock_ms <= item[2]]
    grant = [*grant[:6], keys, *grant[7:]]
    if standing == APPLIED and clock_ms > since + economy.application_ms:
        return None
    if standing == SUSPENDED and clock_ms > since + economy.suspension_ms:
        standing = REVOKED if cause in (BY_EVIDENCE, BY_BOND) else ACTIVE
        since, cause, winding = since + economy.suspension_ms, NO_CAUSE, 0
    if standing == ACTIVE and clock_ms > grant[7]:
        standing, since, cause = WINDDOWN, grant[7], NO_CAUSE
    standing = [standing, version, seat, height, since, cause, rotations]
    return [grant, *standing, evidence_from, winding]


def point_at_deadlines(state: State) -> None:
    """Write the objects that point at deadlines, all of them."""
    for key in [key for key in state.objects if key[0] == TYPE_BYTES["Due"]]:
        del state.objects[key]
    for moment, number, identity in _deadlines(state):
        clock = bytes([CLOCKS.get(KINDS[number], 0)])
        place = clock + moment.to_bytes(8, "big") + bytes([number]) + identity
        state.put("Due", place, [moment, number, identity])


def due(state: State) -> list[tuple[str, bytes]]:
    """What has passed its deadline: by time, kind and identity; after the others orders, which
    follow the header's time, and last devices."""
    found = [
        (CLOCKS.get(KINDS[number], 0), moment, number, identity)
        for moment, number, identity in _deadlines(state)
        if moment < (state.time_ms if KINDS[number] == "Order" else state.clock_ms)
    ]
    return [(KINDS[number], identity) for _, _, number, identity in sorted(found)]


def _deadlines(state: State) -> Iterator[tuple[int, int, bytes]]:
    for number, kind in KINDS.items():
        for value in state.all(kind):
            moment = deadline(state, kind, value)
            if moment is not None:
                yield moment, number, identity_of(kind, value)
