"""One block a second time, naively; it imports nothing of the node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.ledger.second_capacity import operate as operate_capacity
from tests.ledger.second_membership import check_approvals, close_epoch, share_fees, start_epoch
from tests.ledger.second_membership import operate as operate_licence
from tests.ledger.second_orders import check_free
from tests.ledger.second_orders import operate as operate_order
from tests.ledger.second_redemption import operate as operate_redemption
from tests.ledger.second_reserve import (
    WEEK_MS,
    burn,
    deposit_bond,
    judge_touched,
    mint,
    withdraw_bond,
)
from tests.ledger.second_roots import State
from tests.ledger.second_rules import check_moment, count_of, identities, is_government
from tests.ledger.second_shape import digest, need
from tests.ledger.second_standard import propose, take_step, withdraw
from tests.ledger.second_standing import point_at_deadlines
from tests.ledger.second_system import begin_period, sweep

Parent = tuple[bytes, int]
"""Hash and time of the block before."""
NUMBERED = {1, 17, 18, 19, 20, 27}
"""Operations that take a number of a lane."""
ON_REDEMPTION = {*range(32, 37), 38}
"""Those that lead an order on, which they find so but once."""


def apply_block(state: State, raws: Sequence[bytes], header: list[Any], parent: Parent) -> bytes:
    """Execute a block; the hash of the next block's validators. Raises Refused."""
    start_block(state, header[3], header[11], parent)
    for raw in raws:
        add_transaction(state, raw)
    return end_block(state)


def end_block(state: State) -> bytes:
    """What the system does last; the hash of the next block's validators."""
    judge_touched(state)
    following = close_epoch(state)
    point_at_deadlines(state)
    return following


def start_block(state: State, height: int, time_ms: int, parent: Parent) -> None:
    """What the system does first."""
    state.height, state.time_ms, state.is_open = height, time_ms, False
    state.operations = state.free_operations = 0
    state.parent_hash, parent_ms = parent
    state.touched.clear()
    before = state.period
    state.put("LedgerClock", b"", [state.clock_ms + min(time_ms - parent_ms, 30_000)])
    begins = state.period != before
    if begins:
        take_step(state)
    outputs = sweep(state)
    if begins:
        outputs += begin_period(state)
    start_epoch(state)
    for index, output in enumerate([*outputs, *share_fees(state)]):
        state.pay(digest("sys", height.to_bytes(8, "big"), index.to_bytes(8, "big")), 0, output)


def add_transaction(state: State, raw: bytes) -> None:
    """Judge a transaction that passed the checks without state, and do what it says."""
    found = identities(raw)
    _, _, inputs, outputs, fee, operations, expires_ms, _ = found["body"]
    _count(state, count_of(operations), is_free=not inputs)
    is_first = is_government(operations)
    need(not is_first or not state.is_open, "not_first")
    need(state.time_ms <= expires_ms, "expired")
    need(expires_ms <= state.time_ms + WEEK_MS, "expires_too_late")
    _remember(state, found)
    spent = [_spend(state, item) for item in inputs]
    needed, revealed = {item[4] for item in spent}, set(found["locks"])
    need(needed <= revealed, "missing_condition")
    need(revealed <= needed, "spare_condition")
    for condition in found["witness"][0]:
        check_moment(condition, found["witness"], state.height, state.time_ms)
    for lock in revealed:
        check_free(state, lock)
    by_members = False
    if is_first:
        keys = [key for key, _ in found["witness"][1]]
        by_members = check_approvals(state, {item[0] for item in operations}, keys)
    for operation in operations:
        _operate(state, operation[0], operation[1:], by_members)
    for index, output in enumerate(outputs):
        state.pay(found["txid"], index, output)
    if fee[1]:
        number = state.get("Epoch")[0]
        identity = number.to_bytes(8, "big") + fee[0]
        pot = state.get("FeePot", identity) or [number, fee[0], 0]
        state.put("FeePot", identity, [number, fee[0], pot[2] + fee[1]])
    state.is_open = state.is_open or not is_first


def _count(state: State, operations: int, *, is_free: bool) -> None:
    """A block holds so many, and a fifth of them free."""
    state.operations += operations
    need(state.operations <= 256, "bad_body")
    if is_free:
        state.free_operations += operations
        need(state.free_operations <= 51, "free_quota")


def _remember(state: State, found: dict[str, Any]) -> None:
    """What neither spends, nor takes a number, nor leads an order on is carried once, and known
    until it expires."""
    _, _, inputs, _, _, operations, expires_ms, _ = found["body"]
    if not inputs and not (NUMBERED | ON_REDEMPTION) & {item[0] for item in operations}:
        identity = expires_ms.to_bytes(8, "big") + found["txid"]
        need(state.get("Used", identity) is None, "already_final")
        state.put("Used", identity, [expires_ms, found["txid"]])


def _operate(state: State, number: int, fields: list[Any], by_members: bool) -> None:
    issuing = {
        1: mint,
        2: burn,
        26: deposit_bond,
        27: withdraw_bond,
        41: propose,
        42: withdraw,
    }
    if number in issuing:
        issuing[number](state, *fields)
    elif 17 <= number <= 25:
        operate_capacity(state, number, fields)
    elif number >= 31:
        operate_redemption(state, number, fields)
    elif number >= 28:
        operate_order(state, number, fields)
    else:
        operate_licence(state, number, fields, by_members)


def _spend(state: State, item: list[Any]) -> list[Any]:
    names = [output[:2] for output in state.outputs]
    need(item[:2] in names, "unknown_input")
    leaf = names.index(item[:2])
    output = state.outputs[leaf]
    first = sum(1 for made in state.outputs if made[5] < state.height)
    place = state.height.to_bytes(8, "big"), max(0, leaf - first).to_bytes(8, "big")
    is_of_the_system = output[5] == state.height and output[0] == digest("sys", *place)
    need(not is_of_the_system, "unknown_input")
    need(leaf not in state.spent, "spent_input")
    need(item[2:] == output[2:4], "input_mismatch")
    state.spent.add(leaf)
    return output
