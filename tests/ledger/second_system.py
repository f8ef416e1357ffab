"""What falls due and what begins with a period a second time; it imports nothing of the node."""

from __future__ import annotations

from typing import Any

from tests.ledger.second_capacity import verdict
from tests.ledger.second_membership import TREASURY_KEY
from tests.ledger.second_orders import release
from tests.ledger.second_redemption_system import (
    ask_queue,
    dispute_is_due,
    order_is_due,
    read_shares,
    return_claims,
    seize,
)
from tests.ledger.second_reserve import best_by_group, is_short, judge, weight
from tests.ledger.second_roots import State
from tests.ledger.second_rules import pack
from tests.ledger.second_shape import digest
from tests.ledger.second_standing import (
    ACTIVE,
    BY_BOND,
    CAGED,
    CLOSED,
    CONTESTED,
    LIVE,
    NO_CAUSE,
    SUSPENDED,
    VOID,
    WINDDOWN,
    all_now,
    due,
    identity_of,
    keep,
    now,
    pledged_until,
)

SWEPT_MAX = 256
ORDER_ROOM = 4
NOTHING = bytes(32)


def sweep(state: State) -> list[list[Any]]:
    """Write down the first of what is due; outputs [asset, amount, lock]."""
    outputs: list[list[Any]] = []
    room = SWEPT_MAX
    for kind, identity in due(state):
        if room <= 0:
            break
        room -= 1
        held = state.get(kind, identity)
        if held is None:
            continue
        if kind == "Order":
            room -= len(held[2])
            release(state, held)
        elif kind == "Challenge":
            outputs += _settle(state, held)
        elif kind == "Redemption":
            outputs += order_is_due(state, held)
            room -= ORDER_ROOM - 1
        elif kind == "Dispute":
            outputs += dispute_is_due(state, held)
            room -= ORDER_ROOM - 1
        elif kind == "Book":
            room -= ORDER_ROOM * ask_queue(state, identity)
        elif kind == "Reserve":
            _sweep_reserve(state, held)
        elif kind == "Device":
            _sweep_device(state, held)
        else:
            standing = now(state, kind, identity)
            if standing is None:
                state.drop(kind, identity)
            else:
                keep(state, kind, standing)
    for expires_ms, txid in state.all("Used")[: max(room, 0)]:
        if expires_ms < state.time_ms:
            state.drop("Used", expires_ms.to_bytes(8, "big") + txid)
    return outputs


def _sweep_reserve(state: State, held: list[Any]) -> None:
    held = now(state, "Reserve", held[0])
    if held[10] and state.clock_ms > held[10] + state.economy.bond_cure_ms:
        short = is_short(state, held[1], held[2])
        held[10] = state.clock_ms if short else 0
        licence = now(state, "Licence", held[1].encode())
        if short and licence is not None and licence[1] == ACTIVE:
            standing = [SUSPENDED, *licence[2:5], state.clock_ms, BY_BOND, *licence[7:]]
            keep(state, "Licence", [licence[0], *standing])
    keep(state, "Reserve", held)


def _sweep_device(state: State, held: list[Any]) -> None:
    """It goes with its commitment, which may stand for longer than it did."""
    pledged = now(state, "CapacityCommitment", f"{held[1]}\0{held[2]}".encode())
    if now(state, "Device", held[0]) is None or pledged is None:
        state.drop("Device", held[0])
        return
    held[4] = pledged_until(state, pledged)
    if held[4] < state.clock_ms:
        held[4] = state.clock_ms + state.period_ms
    keep(state, "Device", held)


def _settle(state: State, held: list[Any]) -> list[list[Any]]:
    """The loser of a challenge pays."""
    issuer, _, asset, deposit, penalty, refund_lock, *_ = held
    identity = identity_of("Challenge", held)
    state.drop("Challenge", identity)
    outputs = [[asset, deposit, refund_lock]]
    upheld = verdict(held)
    if upheld:
        outputs += seize(state, issuer, penalty, refund_lock)
    elif upheld is False:
        licence = now(state, "Licence", issuer.encode())
        if licence is not None:
            treasury = digest("lock", pack([1, licence[0][6][TREASURY_KEY]]))
            more = [[asset, deposit - penalty, refund_lock]] if deposit > penalty else []
            outputs = [*more, [asset, penalty, treasury]]
    commitment = state.get("CapacityCommitment", identity)
    if commitment is not None:
        after = [VOID if upheld else LIVE, commitment[2] + 1, state.clock_ms]
        keep(state, "CapacityCommitment", [commitment[0], *after, *commitment[4:]])
    return outputs


def begin_period(state: State) -> list[list[Any]]:
    """Lower figures count, nonces are closed, all issuers are judged, wind-downs end, claims
    return, shares are read."""
    for commitment in all_now(state, "CapacityCommitment"):
        after = _lowered(state, commitment)
        if after != commitment:
            keep(state, "CapacityCommitment", after)
    _close_nonces(state)
    judge(state)
    for licence in all_now(state, "Licence"):
        if licence[1] != WINDDOWN:
            continue
        coins = [item for item in all_now(state, "Reserve") if item[1] == licence[0][0]]
        if not any(item[2] + item[11] for item in coins):
            after = [CLOSED, *licence[2:5], state.clock_ms, NO_CAUSE, *licence[7:]]
            keep(state, "Licence", [licence[0], *after])
        elif state.clock_ms > licence[5] + state.economy.winddown_ms:
            for item in coins:
                if item[5] != CAGED:
                    item[5:7] = [CAGED, state.clock_ms]
                keep(state, "Reserve", item)
    outputs = return_claims(state)
    read_shares(state)
    return outputs


def _lowered(state: State, commitment: list[Any]) -> list[Any]:
    """A figure that waited long enough counts if its author is among the k, else is dropped; at
    once what is worth more than the word before it."""
    ranked = sorted(best_by_group(state, commitment, state.clock_ms).values(), reverse=True)
    among = {name for _, name in ranked[: state.get("Parameters")[5]]}
    entries = []
    for name, figure, since_ms, until_ms, lower in commitment[6]:
        entry = [name, figure, since_ms, until_ms, lower]
        if lower:
            said, said_ms = lower[0]
            is_more = weight(state, said_ms, said) > weight(state, since_ms, figure)
            if is_more or state.clock_ms > said_ms + state.economy.lower_ms:
                counts = lower[0] if is_more or name in among else [figure, since_ms]
                entry = [name, *counts, until_ms, []]
        entries.append(entry)
    return [*commitment[:6], entries, *commitment[7:]]


def _close_nonces(state: State) -> None:
    period = state.period - 2
    identity = max(period, 0).to_bytes(8, "big")
    held = state.get("AuditRound", identity)
    if held is None or period < 0:
        return
    state.drop("AuditRound", identity)
    for name, _, nonce in held[1]:
        attestor = state.get("Attestor", name.encode())
        if nonce == NOTHING and attestor is not None:
            state.put("Attestor", name.encode(), [*attestor[:3], attestor[3] + 1])
    nonces = [nonce for _, _, nonce in held[1] if nonce != NOTHING]
    seed = digest("audit/seed", *nonces) if nonces else NOTHING
    devices: dict[str, int] = {}
    for commitment in all_now(state, "CapacityCommitment"):
        if commitment[1] not in (LIVE, CONTESTED):
            continue
        place = [commitment[0][1], commitment[0][0], commitment[4]]
        mine = [item for item in state.all("Device") if item[1:4] == place and item[6] <= period]
        if mine:
            devices[place[0]] = devices.get(place[0], 0) + len(mine)
    until_ms = (state.period + 1) * state.period_ms - 1
    for issuer, count in devices.items():
        keep(state, "Opening", [period, issuer, seed, count, 0, until_ms])
