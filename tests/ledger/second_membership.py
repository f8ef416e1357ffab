"""Licences, attestors, the regulator, epochs and fee shares a second time; it imports nothing of
the node.

Objects are positional lists as the codec reads them: an epoch is [number, base height, base hash,
base time, is ending, members, payees], a licence [grant, state, version, seat, height of the seat,
since, cause, rotations, evidence counts from epoch, winding down since], a grant has its keys at 6.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from tests.ledger.second_roots import State
from tests.ledger.second_rules import asset_of, is_licensed_key, pack
from tests.ledger.second_shape import digest, need
from tests.ledger.second_standing import (
    ACCUSED,
    ACTIVE,
    APPLIED,
    BY_BOND,
    BY_EVIDENCE,
    BY_REGULATOR,
    BY_VALIDATORS,
    CLOSED,
    HEALTHY,
    NO_CAUSE,
    REVOKED,
    ROLES,
    SUSPENDED,
    WINDDOWN,
    all_now,
    keep,
    now,
)

NONE, WAITING, READY, SEATED, LEAVING = 0, 1, 2, 3, 4
OPERATIONS_KEY, TREASURY_KEY, CONSENSUS_KEY = 0, 1, 3
SUSPEND = 5
OF_VALIDATORS = {4, 7, 41, 42}
"""Operations that validators carry alone; suspensions either, all others both."""


def check_approvals(state: State, numbers: set[int], keys: list[bytes]) -> bool:
    """Exactly a quorum of members, exactly as many of the regulator's keys as needed, or both;
    whether members signed."""
    names = [name for _, name in state.get("Epoch")[5]]
    members = {now(state, "Licence", name.encode())[0][6][OPERATIONS_KEY] for name in names}
    regulator = now(state, "Regulator")[1]
    need(set(keys) <= members | set(regulator[1]), "wrong_role_key")
    by_members = len(set(keys) & members)
    by_regulator = len(set(keys) & set(regulator[1]))
    n = len(names)
    f = (n - 1) // 3
    quorum = -(-(n + f + 1) // 2)
    needed = (quorum, regulator[0])
    if numbers <= OF_VALIDATORS | {SUSPEND} and numbers & OF_VALIDATORS:
        needed = (quorum, 0)
    elif numbers == {SUSPEND}:
        needed = (0, regulator[0]) if by_regulator and not by_members else (quorum, 0)
    need((by_members, by_regulator) == needed, "needs_quorum")
    return needed[0] > 0


def operate(state: State, number: int, fields: list[Any], has_members: bool) -> None:
    """Operations on licences, seats, attestors and regulator; raises Refused."""
    handlers = {
        3: _admit,
        7: _end_epoch,
        10: _apply,
        12: _wind_down,
        13: _rotate,
        14: _rotate_regulator,
        15: _admit_attestor,
        16: _remove_attestor,
    }
    if number in handlers:
        handlers[number](state, *fields)
        return
    licence = now(state, "Licence", fields[0].encode())
    need(licence is not None, "unknown_licence")
    if number == 8:
        _ready(state, licence, fields)
    elif number == 9:
        _accuse(state, licence, fields)
    else:
        _change(state, licence, number, fields[1], has_members)


def _end_epoch(state: State, number: int) -> None:
    epoch = state.get("Epoch")
    need(number == epoch[0] and not epoch[4], "wrong_epoch")
    state.put("Epoch", b"", [*epoch[:4], True, *epoch[5:]])


def _apply(state: State, grant: list[Any]) -> None:
    held = all_now(state, "Licence")
    need(grant[0] not in [item[0][0] for item in held], "bad_grant")
    _check_grant(state, grant)
    for asked in (item[0] for item in held if item[1] == APPLIED):
        need(not set(grant[6]) & set(asked[6]), "bad_grant")
        need(grant[1].lower() != asked[1].lower(), "bad_grant")
    _make_room(state, 16)
    keep(state, "Licence", [grant, APPLIED, 0, NONE, 0, state.clock_ms, NO_CAUSE, [], 0, 0])


def _make_room(state: State, waiting_max: int = 64) -> None:
    """For one more: the oldest application goes where all that may wait do, or all are taken."""
    held = all_now(state, "Licence")
    waiting = sorted([item[5], item[0][0]] for item in held if item[1] == APPLIED)
    need(len(held) < 64 or bool(waiting), "bad_grant")
    if len(held) == 64 or len(waiting) == waiting_max:
        state.drop("Licence", waiting[0][1].encode())


def _admit(state: State, grant: list[Any], version: int) -> None:
    held = now(state, "Licence", grant[0].encode())
    need(version == (held[2] if held else 0), "wrong_version")
    if held:
        bound = [
            [item[6][CONSENSUS_KEY], item[6][4], item[4], item[8]] for item in (held[0], grant)
        ]
        need(held[3] == NONE or bound[0] == bound[1], "has_seat")
        need(held[1] not in (REVOKED, CLOSED), "licence_inactive")
        need(held[1] != APPLIED or held[0] == grant, "bad_grant")
    _check_grant(state, grant)
    if not held:
        _make_room(state)
    seat = [WAITING if grant[8] else NONE, state.height]
    standing = [ACTIVE, state.clock_ms, NO_CAUSE]
    if held and held[3] != NONE:
        seat = held[3:5]
    if held and held[1] in (ACTIVE, ACCUSED, SUSPENDED):
        standing = [held[1], *held[5:7]]
    judged = held[8] if held else 0
    keep(state, "Licence", [grant, standing[0], version + 1, *seat, *standing[1:], [], judged, 0])
    asset = asset_of(state.chain_id, grant[0])
    if grant[9] and state.get("Reserve", asset) is None:
        keep(state, "Reserve", new_reserve(asset, grant[0], 0, state.clock_ms))


def new_reserve(asset: bytes, issuer: str, supply: int, clock_ms: int) -> list[Any]:
    return [asset, issuer, supply, 0, 0, HEALTHY, clock_ms, False, *[0] * 6]


def _check_grant(state: State, grant: list[Any]) -> None:
    licences = all_now(state, "Licence")
    others = [x[0] for x in licences if x[0][0] != grant[0] and x[1] != APPLIED]
    need(sha256(grant[4]).digest() == grant[5], "bad_grant")
    need(grant[7] > state.clock_ms, "bad_grant")
    need(grant[1].lower() not in {item[1].lower() for item in others}, "bad_grant")
    _check_new_keys(grant[6], _keys(state, but=grant[0]))


def _keys(state: State, but: str = "") -> set[bytes]:
    """Every key of today and tomorrow, but those of one licence and of who only applied."""
    found = {item[0][3] for item in state.all("Attestor")}
    _, keys, announced = state.get("Regulator")
    found |= {*keys[1], *(key for change in announced for key in change[0][1])}
    for item in all_now(state, "Licence"):
        if item[0][0] != but and item[1] != APPLIED:
            found |= {*item[0][6], *(rotation[1] for rotation in item[7])}
    return found


def _check_new_keys(keys: list[bytes], taken: set[bytes]) -> None:
    for key in keys:
        need(is_licensed_key(key), "bad_key")
        need(key not in taken and keys.count(key) == 1, "bad_grant")


def _owned(state: State, name: str, key: bytes, version: int) -> list[Any]:
    """A licence whose own operations key acts on it."""
    licence: Any = now(state, "Licence", name.encode())
    need(licence is not None, "unknown_licence")
    need(licence[0][6][OPERATIONS_KEY] == key, "wrong_role_key")
    need(licence[2] == version, "wrong_version")
    return list(licence)


def _wind_down(state: State, name: str, key: bytes, version: int) -> None:
    licence = _owned(state, name, key, version)
    need(licence[1] == ACTIVE, "licence_inactive")
    licence[1:3], licence[5:7] = [WINDDOWN, version + 1], [state.clock_ms, NO_CAUSE]
    keep(state, "Licence", licence)


def _rotate(state: State, name: str, key: bytes, version: int, role: str, new_key: bytes) -> None:
    licence = _owned(state, name, key, version)
    need(licence[1] not in (REVOKED, CLOSED, APPLIED), "licence_inactive")
    _check_new_keys([new_key], _keys(state))
    need(role in ROLES[:3] and role not in [item[0] for item in licence[7]], "bad_role")
    licence[2] += 1
    licence[7].append([role, new_key, state.clock_ms + state.economy.rotation_ms])
    keep(state, "Licence", licence)


def _rotate_regulator(state: State, version: int, keys: list[Any]) -> None:
    held = now(state, "Regulator")
    need(version == held[0], "wrong_version")
    known = {*held[1][1], *(key for change in held[2] for key in change[0][1])}
    _check_new_keys([key for key in keys[1] if key not in known], _keys(state))
    need(keys[0] <= len(keys[1]) and keys[1] == sorted(set(keys[1])), "bad_key")
    need(all(is_licensed_key(key) for key in keys[1]), "bad_key")
    after_ms = state.clock_ms + state.economy.regulator_rotation_ms
    keep(state, "Regulator", [version + 1, held[1], [[keys, after_ms]]])


def _admit_attestor(state: State, grant: list[Any], version: int) -> None:
    name = grant[0].encode()
    held = state.get("Attestor", name)
    need(version == (held[2] if held else 0), "wrong_version")
    need(not held or not held[1], "bad_grant")
    need(bool(held) or len(state.all("Attestor")) < 64, "bad_grant")
    own = {held[0][3]} if held else set()
    _check_new_keys([grant[3]], _keys(state) - own)
    state.put("Attestor", name, [grant, True, version + 1, held[3] if held else 0])
    for item in all_now(state, "CapacityCommitment"):
        left = [entry for entry in item[6] if entry[0] != grant[0]]
        if left != item[6]:
            keep(state, "CapacityCommitment", [*item[:6], left, *item[7:]])


def _remove_attestor(state: State, name: str, version: int) -> None:
    held = state.get("Attestor", name.encode())
    need(held is not None and held[1], "unknown_attestor")
    need(version == held[2], "wrong_version")
    state.put("Attestor", name.encode(), [held[0], False, version + 1, held[3]])


def _change(state: State, licence: list[Any], number: int, version: int, by_members: bool) -> None:
    """4 removes, 5 suspends, 6 revokes, 11 reinstates."""
    need(version == licence[2], "wrong_version")
    licence[2] += 1
    if number == 6 and licence[1] == APPLIED:
        state.drop("Licence", licence[0][0].encode())
        return
    if number == 4:
        need(licence[3] in (WAITING, READY, SEATED), "no_seat")
        _vacate(licence, state.height)
        keep(state, "Licence", licence)
        return
    fits = {
        SUSPEND: licence[1] == ACTIVE,
        6: licence[1] not in (REVOKED, CLOSED),
        11: licence[1] == SUSPENDED,
    }
    need(fits[number], "licence_inactive")
    by_evidence, winding = licence[6] == BY_EVIDENCE, licence[9]
    licence[1] = {SUSPEND: SUSPENDED, 6: REVOKED, 11: ACTIVE}[number]
    licence[5:7] = [state.clock_ms, NO_CAUSE]
    licence[9] = 0
    if number == SUSPEND:
        licence[6] = BY_VALIDATORS if by_members else BY_REGULATOR
    if number == 6:
        _vacate(licence, state.height)
    if number == 11 and by_evidence:
        epoch = state.get("Epoch")[0]
        need(licence[8] <= epoch, "wrong_epoch")
        licence[8] = epoch
        if winding:
            licence[1], licence[5] = WINDDOWN, winding
    keep(state, "Licence", licence)


def _vacate(licence: list[Any], height: int) -> None:
    after = {SEATED: LEAVING, WAITING: NONE, READY: NONE}
    if licence[3] in after:
        licence[3:5] = [after[licence[3]], height]


def _ready(state: State, licence: list[Any], fields: list[Any]) -> None:
    epoch = state.get("Epoch")
    need(licence[3] == WAITING, "no_seat")
    active = licence[1] in (ACTIVE, ACCUSED) and state.clock_ms <= licence[0][7]
    need(active, "licence_inactive")
    need(fields[1] == licence[0][6][CONSENSUS_KEY], "wrong_role_key")
    need(fields[2:4] == epoch[1:3], "wrong_epoch")
    licence[3:5] = [READY, state.height]
    keep(state, "Licence", licence)


def _accuse(state: State, licence: list[Any], fields: list[Any]) -> None:
    present, voted = state.get("Epoch")[0], fields[2][0]
    need(fields[1] == licence[0][6][CONSENSUS_KEY], "wrong_role_key")
    need(0 <= present - voted <= 10, "wrong_epoch")
    need(licence[1] in (ACTIVE, SUSPENDED, WINDDOWN), "licence_inactive")
    need(licence[6] != BY_EVIDENCE, "licence_inactive")
    need(voted >= licence[8], "wrong_epoch")
    licence[8] = present + 1
    if licence[1] == ACTIVE:
        licence[1] = ACCUSED
    else:
        licence[9] = licence[5] if licence[1] == WINDDOWN else 0
        since_ms = licence[5] if licence[6] == BY_BOND else state.clock_ms
        licence[1], licence[5:7] = SUSPENDED, [since_ms, BY_EVIDENCE]
        _vacate(licence, state.height)
    licence[2] += 1
    keep(state, "Licence", licence)


def start_epoch(state: State) -> None:
    """The first block of an epoch writes what it stands on."""
    epoch = state.get("Epoch")
    if epoch[1] == state.height - 1:
        state.put("Epoch", b"", [*epoch[:2], state.parent_hash, *epoch[3:]])


def share_fees(state: State) -> list[list[Any]]:
    """Outputs [asset, amount, lock] out of the sixteen oldest pots of past epochs."""
    present, payees = state.get("Epoch")[0], state.get("Epoch")[6]
    outputs = []
    for number, asset, amount in [pot for pot in state.all("FeePot") if pot[0] < present][:16]:
        state.drop("FeePot", number.to_bytes(8, "big") + asset)
        each = amount // len(payees)
        outputs += [[asset, each, lock] for lock in payees if each]
        rest = amount - each * len(payees)
        if rest:
            identity = present.to_bytes(8, "big") + asset
            held = (state.get("FeePot", identity) or [0])[-1]
            state.put("FeePot", identity, [present, asset, held + rest])
    return outputs


def close_epoch(state: State) -> bytes:
    """The hash of the validators of the next block; a last block leaves the next epoch."""
    number, base_height, _, base_ms, is_ending, members, _ = state.get("Epoch")
    blocks, duration_ms = state.get("Parameters")[11:13]
    height, time_ms = state.height, state.time_ms
    is_full = height - 1 - base_height >= blocks and time_ms - base_ms >= duration_ms
    if is_ending or is_full:
        locks = [
            digest("lock", pack([1, now(state, "Licence", name.encode())[0][6][TREASURY_KEY]]))
            for _, name in members
        ]
        _change_seats(state, len(members), height)
        number += 1
        members = sorted(
            [item[0][6][CONSENSUS_KEY], item[0][0]]
            for item in all_now(state, "Licence")
            if item[3] in (SEATED, LEAVING)
        )
        state.put("Epoch", b"", [number, height, bytes(32), time_ms, False, members, locks])
    return digest("validators", pack([number, members]))


def _change_seats(state: State, n: int, height: int) -> None:
    """One seat after the other, f at most: whoever has waited longest leaves, another joins."""
    before = {item[0][0]: pack(item) for item in all_now(state, "Licence")}
    licences = all_now(state, "Licence")
    for item in licences:
        if item[1] == ACCUSED:
            item[1], item[5:7] = SUSPENDED, [state.clock_ms, BY_EVIDENCE]
        if item[1] in (REVOKED, CLOSED) or (item[1] == SUSPENDED and item[6] == BY_EVIDENCE):
            _vacate(item, height)
    queue = sorted(licences, key=lambda item: (item[4], item[0][0]))
    leaving = [item for item in queue if item[3] == LEAVING]
    joining = [item for item in queue if item[3] == READY and item[1] == ACTIVE]
    size = n
    for _ in range((n - 1) // 3):
        if joining and (leaving or size < 32):
            joining.pop(0)[3:5] = [SEATED, height]
            size += 1
        if leaving and size > 4:
            leaving.pop(0)[3:5] = [NONE, height]
            size -= 1
    for item in licences:
        if pack(item) != before[item[0][0]]:
            keep(state, "Licence", item)
