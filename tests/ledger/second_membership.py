"""Epochs, seats, governance and fee shares a second time; it imports nothing of the node.

Objects are positional lists as the codec reads them:
an epoch is [number, base height, base hash, base time, is ending, members, payees], a licence
[grant, state, version, seat, height of the seat], a grant has its keys at 6.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from tests.ledger.second_codec import digest, need
from tests.ledger.second_rules import asset_of, is_licensed_key, pack

ACTIVE, ACCUSED, SUSPENDED, REVOKED = 1, 2, 3, 4
NONE, WAITING, READY, SEATED, LEAVING = 0, 1, 2, 3, 4
OPERATIONS_KEY, TREASURY_KEY, CONSENSUS_KEY = 0, 1, 3


def check_approvals(state: Any, keys: list[bytes]) -> None:
    """The keys are operations keys of a quorum of members, no more and no fewer."""
    names = [name for _, name in state.get("Epoch")[5]]
    allowed = {state.get("Licence", name.encode())[0][6][OPERATIONS_KEY] for name in names}
    need(set(keys) <= allowed, "wrong_role_key")
    n = len(names)
    f = (n - 1) // 3
    quorum = -(-(n + f + 1) // 2)
    need(len(keys) == quorum, "needs_quorum")


def operate(state: Any, operation: list[Any], height: int) -> None:
    """Governance, readiness, evidence; raises Refused."""
    number = operation[0]
    if number == 3:
        _admit(state, *operation[1:], height)
    elif number == 7:
        epoch = state.get("Epoch")
        need(operation[1] == epoch[0] and not epoch[4], "wrong_epoch")
        state.put("Epoch", b"", [*epoch[:4], True, *epoch[5:]])
    else:
        name = operation[1].encode()
        licence = state.get("Licence", name)
        need(licence is not None, "unknown_licence")
        if number == 8:
            _ready(state, licence, operation, height)
        elif number == 9:
            _accuse(state, licence, operation, height)
        else:
            _change(licence, number, operation[2], height)
        state.put("Licence", name, licence)


def _admit(state: Any, grant: list[Any], version: int, height: int) -> None:
    name = grant[0].encode()
    held = state.get("Licence", name)
    others = [item[0] for item in state.all("Licence") if item[0][0] != grant[0]]
    need(version == (held[2] if held else 0), "wrong_version")
    if held:
        need(held[3] == NONE, "has_seat")
        need(held[1] != REVOKED, "licence_inactive")
    else:
        need(len(others) < 64, "bad_grant")
    need(sha256(grant[4]).digest() == grant[5], "bad_grant")
    need(grant[7] > state.get("LedgerClock")[0], "bad_grant")
    need(grant[1].lower() not in {item[1].lower() for item in others}, "bad_grant")
    need(all(is_licensed_key(key) for key in grant[6]), "bad_key")
    need(len(set(grant[6])) == 5, "bad_grant")
    need(not set(grant[6]) & {key for item in others for key in item[6]}, "bad_grant")
    standing = held[1] if held else ACTIVE
    state.put(
        "Licence", name, [grant, standing, version + 1, WAITING if grant[8] else NONE, height]
    )
    asset = asset_of(state.chain_id, grant[0])
    if grant[9] and state.get("Reserve", asset) is None:
        state.put("Reserve", asset, [asset, grant[0], 0, 0, 0])


def _change(licence: list[Any], number: int, version: int, height: int) -> None:
    """4 removes, 5 suspends, 6 revokes."""
    need(version == licence[2], "wrong_version")
    licence[2] += 1
    if number == 4:
        need(licence[3] in (WAITING, READY, SEATED), "no_seat")
    elif number == 5:
        need(licence[1] == ACTIVE, "licence_inactive")
        licence[1] = SUSPENDED
        return
    else:
        need(licence[1] != REVOKED, "licence_inactive")
        licence[1] = REVOKED
    _vacate(licence, height)


def _vacate(licence: list[Any], height: int) -> None:
    after = {SEATED: LEAVING, WAITING: NONE, READY: NONE}
    if licence[3] in after:
        licence[3:] = [after[licence[3]], height]


def _ready(state: Any, licence: list[Any], operation: list[Any], height: int) -> None:
    epoch, clock_ms = state.get("Epoch"), state.get("LedgerClock")[0]
    need(licence[3] == WAITING, "no_seat")
    need(licence[1] in (ACTIVE, ACCUSED) and clock_ms <= licence[0][7], "licence_inactive")
    need(operation[2] == licence[0][6][CONSENSUS_KEY], "wrong_role_key")
    need(operation[3:5] == epoch[1:3], "wrong_epoch")
    licence[3:] = [READY, height]


def _accuse(state: Any, licence: list[Any], operation: list[Any], height: int) -> None:
    present, voted = state.get("Epoch")[0], operation[3][0]
    need(operation[2] == licence[0][6][CONSENSUS_KEY], "wrong_role_key")
    need(0 <= present - voted <= 10, "wrong_epoch")
    if licence[1] == ACTIVE:
        licence[1] = ACCUSED
        return
    need(licence[1] == SUSPENDED and licence[3] in (WAITING, READY, SEATED), "licence_inactive")
    _vacate(licence, height)


def start_epoch(state: Any, height: int, parent_hash: bytes) -> None:
    """The first block of an epoch writes what it stands on."""
    epoch = state.get("Epoch")
    if epoch[1] == height - 1:
        state.put("Epoch", b"", [*epoch[:2], parent_hash, *epoch[3:]])


def share_fees(state: Any) -> list[list[Any]]:
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


def close_block(state: Any, height: int, time_ms: int) -> bytes:
    """The hash of the validators of the next block; a last block leaves the next epoch."""
    number, base_height, _, base_ms, is_ending, members, _ = state.get("Epoch")
    blocks, duration_ms = state.get("Parameters")[11:]
    is_full = height - 1 - base_height >= blocks and time_ms - base_ms >= duration_ms
    if is_ending or is_full:
        locks = [
            digest("lock", pack([1, state.get("Licence", name.encode())[0][6][TREASURY_KEY]]))
            for _, name in members
        ]
        _change_seats(state, len(members), height)
        number += 1
        members = sorted(
            [item[0][6][CONSENSUS_KEY], item[0][0]]
            for item in state.all("Licence")
            if item[3] in (SEATED, LEAVING)
        )
        state.put("Epoch", b"", [number, height, bytes(32), time_ms, False, members, locks])
    return digest("validators", pack([number, members]))


def _change_seats(state: Any, n: int, height: int) -> None:
    """One seat after the other, f at most: whoever has waited longest leaves, another joins."""
    clock_ms = state.get("LedgerClock")[0]
    licences = state.all("Licence")
    for item in licences:
        if item[1] == ACCUSED:
            item[1] = SUSPENDED
            _vacate(item, height)
    queue = sorted(licences, key=lambda item: (item[4], item[0][0]))
    leaving = [item for item in queue if item[3] == LEAVING]
    joining = [
        item for item in queue if item[3] == READY and item[1] == ACTIVE and clock_ms <= item[0][7]
    ]
    size = n
    for _ in range((n - 1) // 3):
        if joining and (leaving or size < 32):
            joining.pop(0)[3:] = [SEATED, height]
            size += 1
        if leaving and size > 4:
            leaving.pop(0)[3:] = [NONE, height]
            size -= 1
    for item in licences:
        state.put("Licence", item[0][0].encode(), item)
