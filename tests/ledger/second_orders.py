"""Compliance orders a second time; it imports nothing of the node.

An order is [id, reference, targets, until, version], measured by header time.
"""

from __future__ import annotations

from typing import Any

from tests.ledger.second_roots import State
from tests.ledger.second_shape import need
from tests.ledger.second_standing import all_now, keep, now


def operate(state: State, number: int, fields: list[Any]) -> None:
    """28 freezes, 29 renews, 30 lifts; raises Refused."""
    name = fields[0].encode()
    held = now(state, "Order", name)
    if number == 28:
        _, _, targets, until_ms = fields
        need(held is None, "bad_order")
        need(len(all_now(state, "Order")) < 1_024, "too_many")
        _check_until(state, until_ms)
        need(targets == sorted(set(targets)), "bad_order")
        past = state.get("Order", name)
        if past is not None:
            release(state, past)
        _enforce(state, [*fields, 1])
        return
    need(held is not None, "unknown_order")
    need(fields[1] == held[4], "wrong_version")
    if number == 29:
        _check_until(state, fields[2])
        _enforce(state, [*held[:3], fields[2], held[4] + 1])
    else:
        release(state, held)


def check_free(state: State, lock: bytes) -> None:
    """No order in force names the lock."""
    held = state.get("Freeze", lock)
    need(all(state.time_ms > until_ms for _, until_ms in held[1]) if held else True, "frozen")


def release(state: State, order: list[Any]) -> None:
    """The order is over."""
    state.drop("Order", order[0].encode())
    for lock in order[2]:
        held = state.get("Freeze", lock)
        left = [item for item in held[1] if item[0] != order[0]] if held else []
        if left:
            state.put("Freeze", lock, [lock, left])
        else:
            state.drop("Freeze", lock)


def _check_until(state: State, until_ms: int) -> None:
    latest = state.time_ms + state.economy.order_ms_max
    need(state.time_ms < until_ms <= latest, "no_expiry")


def _enforce(state: State, order: list[Any]) -> None:
    keep(state, "Order", order)
    for lock in order[2]:
        held = state.get("Freeze", lock) or [lock, []]
        others = [item for item in held[1] if item[0] != order[0] and state.time_ms <= item[1]]
        need(len(others) < 8, "bad_order")
        state.put("Freeze", lock, [lock, sorted([*others, [order[0], order[3]]])])
