"""What holders, issuers and panels do with orders a second time; it imports nothing of ours."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

from tests.ledger.second_capacity import draw_panel, groups_of, need_attestor
from tests.ledger.second_order_book import (
    doublings,
    fits,
    is_full,
    needed,
    orders_of,
    store,
    taken_now,
)
from tests.ledger.second_redemption_values import (
    ACCEPTED,
    ACTIVE,
    CANCELLED,
    CLOSING,
    DISPUTED,
    MILLION,
    NOTHING,
    QUEUED,
    READY,
    REQUESTED,
    Dispute,
    Redemption,
)
from tests.ledger.second_reserve import is_sound
from tests.ledger.second_roots import State
from tests.ledger.second_rules import asset_of, pack
from tests.ledger.second_shape import digest, need
from tests.ledger.second_standard import hear
from tests.ledger.second_standing import CONTESTED, LIVE, deadline, keep, now

REDEEM, CANCEL, ACCEPT, GET_READY, POST, CLOSE, DISPUTE, RULE = range(31, 39)
OPERATIONS, METERING = 0, 2
"""Places of keys."""
LEAST = 10_000
MICROHOURS_MAX = 2**40


def operate(state: State, number: int, fields: list[Any]) -> None:
    """Operations 31 to 38; raises Refused."""
    handlers = (redeem, cancel, accept, get_ready, post, close, dispute, rule)
    handlers[number - REDEEM](state, *fields)


def redeem(state: State, issuer: str, name: str, workload: str, amount: int, *more: Any) -> None:
    session_key, refund_lock, start_by_ms, end_ms, queue_until_ms = more
    commitment = now(state, "CapacityCommitment", f"{issuer}\0{name}".encode())
    need(commitment is not None, "unknown_commitment")
    need(commitment[1] in (LIVE, CONTESTED), "commitment_over")
    need(workload in commitment[0][4], "unknown_class")
    others = orders_of(state, f"{issuer}\0{name}".encode())
    need(not is_full(others), "too_many")
    need(amount >= LEAST * 2 ** doublings(others), "low_amount")
    _check_window(state, start_by_ms, end_ms, queue_until_ms)
    factor, units = _rate(state, commitment, workload)
    microhours = needed(amount, factor)
    need(microhours <= MICROHOURS_MAX, "no_free_hours")
    in_front = [order for order in others if order.state == QUEUED]
    is_free = not in_front and fits(state, commitment, microhours, end_ms)
    need(is_free or queue_until_ms > 0, "no_free_hours")
    asked = [REDEEM, issuer, name, workload, amount, *more]
    order = Redemption(
        id=digest("redemption", state.chain_id, pack(asked)),
        issuer=issuer,
        commitment=name,
        workload=workload,
        asset=asset_of(state.chain_id, issuer),
        amount=amount,
        burned=0,
        residual=0,
        state=REQUESTED if is_free else QUEUED,
        since_ms=state.clock_ms,
        is_paid=False,
        session_key=session_key,
        refund_lock=refund_lock,
        factor=factor,
        units=units,
        microhours=microhours,
        start_by_ms=start_by_ms,
        end_ms=end_ms,
        queue_until_ms=queue_until_ms,
    )
    need(state.get("Redemption", order.id) is None, "redemption_exists")
    store(state, None, order)


def _check_window(state: State, start_by_ms: int, end_ms: int, queue_until_ms: int) -> None:
    clock_ms, lead = state.clock_ms, state.economy.accept_ms + state.period_ms
    good = clock_ms + lead <= start_by_ms < end_ms <= clock_ms + 168 * state.period_ms
    need(good and end_ms % state.period_ms == 0, "bad_window")
    if queue_until_ms:
        need(clock_ms <= queue_until_ms and queue_until_ms + lead <= start_by_ms, "bad_window")


def _rate(state: State, commitment: list[Any], workload: str) -> tuple[int, int]:
    """The factor of its class, and the units that are one coin."""
    wanted = [commitment[0][2], workload]
    standard = state.get("Standard")
    factor = next(item[2] for item in standard[1] if item[:2] == wanted)
    return int(factor), int(dict(standard[2])[workload])


def _order(state: State, identity: bytes, issuer: str) -> Redemption:
    value = now(state, "Redemption", identity)
    need(value is not None and value[1] == issuer, "unknown_redemption")
    return Redemption(*value)


def _need_key(state: State, issuer: str, place: int, key: bytes) -> None:
    licence = now(state, "Licence", issuer.encode())
    need(licence is not None, "unknown_licence")
    need(licence[0][6][place] == key, "wrong_role_key")


def _need_state(state: State, order: Redemption, *states: int) -> None:
    """In time."""
    moment = deadline(state, "Redemption", list(order))
    disputed = state.get("Dispute", order.id)
    if disputed is not None:
        moment = deadline(state, "Dispute", disputed)
    is_late = moment is not None and state.clock_ms > moment
    need(order.state in states and not is_late, "wrong_state")


def cancel(state: State, issuer: str, identity: bytes, key: bytes) -> None:
    order = _order(state, identity, issuer)
    need(key == order.session_key, "wrong_role_key")
    _need_state(state, order, QUEUED, REQUESTED)
    store(state, order, order._replace(state=CANCELLED, since_ms=state.clock_ms))


def accept(state: State, issuer: str, identity: bytes, key: bytes) -> None:
    order = _order(state, identity, issuer)
    _need_key(state, issuer, OPERATIONS, key)
    _need_state(state, order, REQUESTED)
    after = at_better(state, order)
    store(state, order, after._replace(state=ACCEPTED, since_ms=state.clock_ms))


def at_better(state: State, order: Redemption) -> Redemption:
    commitment = now(state, "CapacityCommitment", order.book)
    if commitment is None:
        return order
    factor, units = _rate(state, commitment, order.workload)
    factor = min(order.factor, factor)
    hours = needed(order.amount, factor)
    if hours > MICROHOURS_MAX:
        return order
    return order._replace(factor=factor, units=max(order.units, units), microhours=hours)


def get_ready(
    state: State, issuer: str, identity: bytes, key: bytes, endpoint: str, session_hash: bytes
) -> None:
    order = _order(state, identity, issuer)
    _need_key(state, issuer, OPERATIONS, key)
    _need_state(state, order, ACCEPTED)
    need(endpoint != "" and session_hash != NOTHING, "bad_endpoint")
    after = at_better(state, order)._replace(endpoint=endpoint, session_hash=session_hash)
    store(state, order, after._replace(state=READY, since_ms=state.clock_ms))


def post(
    state: State, issuer: str, key: bytes, receipt: list[Any], session_key: bytes, _: bytes
) -> None:
    identity, number, delivered, microhours, meter_root = receipt
    order = _order(state, identity, issuer)
    _need_key(state, issuer, METERING, key)
    need(session_key == order.session_key, "bad_receipt")
    _need_state(state, order, READY, ACTIVE, CLOSING, DISPUTED)
    need(delivered <= order.amount, "above_order")
    is_fresh = number > order.number and delivered > order.burned
    need(is_fresh and microhours >= order.used_microhours, "stale_receipt")
    begun = at_better(state, order) if order.state == READY else order
    after = deliver(state, begun, delivered)
    work = after.burned - order.burned
    need(work > 0, "not_healthy")
    share = Fraction(work, delivered - order.burned)
    time = floor(share * (microhours - order.used_microhours))
    hear(state, begun, work, time)
    if order.state == READY:
        after = after._replace(state=ACTIVE, since_ms=state.clock_ms)
    used = order.used_microhours + time
    store(state, order, after._replace(number=number, used_microhours=used, meter_root=meter_root))


def deliver(state: State, order: Redemption, delivered: int) -> Redemption:
    """Burn what was delivered, as far as the coins left are covered: each µ takes as many of them
    as there are for one that is; what is not covered becomes a claim."""
    covered, outstanding = state.get("Reserve", order.asset)[12:14]
    share = Fraction(covered, outstanding) if outstanding else Fraction(1)
    fresh = min(delivered - order.burned, floor(order.left * share))
    if fresh <= 0:
        return order
    cost = ceil(fresh / share)
    claim = cost - fresh
    reserve = now(state, "Reserve", order.asset)
    reserve[2] -= cost
    reserve[11] += claim
    keep(state, "Reserve", reserve)
    if claim:
        identity = order.issuer.encode() + b"\0" + order.refund_lock
        held = state.get("ResidualClaim", identity) or [order.issuer, order.refund_lock, 0]
        state.put("ResidualClaim", identity, [*held[:2], held[2] + claim])
    commitment = now(state, "CapacityCommitment", order.book)
    hours = fresh * MILLION // order.factor
    if commitment is not None and hours:
        commitment[9:11] = [state.period, taken_now(state, commitment) + hours]
        keep(state, "CapacityCommitment", commitment)
    return order._replace(burned=order.burned + fresh, residual=order.residual + claim)


def close(state: State, issuer: str, identity: bytes, key: bytes) -> None:
    order = _order(state, identity, issuer)
    if key == order.session_key:
        _need_state(state, order, READY, ACTIVE)
    else:
        _need_key(state, issuer, METERING, key)
        _need_state(state, order, ACTIVE)
    store(state, order, order._replace(state=CLOSING, since_ms=state.clock_ms))


def dispute(
    state: State, issuer: str, identity: bytes, key: bytes, claimed: int, *deposit: Any
) -> None:
    asset, amount, refund_lock = deposit
    order = _order(state, identity, issuer)
    by_issuer = key != order.session_key
    if by_issuer:
        _need_key(state, issuer, METERING, key)
    _need_state(state, order, CLOSING)
    if by_issuer:
        need(order.burned < claimed <= order.burned + order.left, "above_order")
    else:
        need(claimed <= order.burned, "above_order")
    need(is_sound(state, asset), "unknown_asset")
    about = claimed - order.burned if by_issuer else order.amount
    least = max(LEAST, -(-about * state.economy.deposit_ppm // MILLION))
    need(amount >= least, "low_deposit")
    panel = draw_panel(state, [], state.parent_hash + identity)
    need(len(panel) >= 3, "no_panel")
    opened = Dispute(
        *(identity, by_issuer, claimed, asset, amount, refund_lock, state.clock_ms, panel, [], 0)
    )
    keep(state, "Dispute", list(opened))
    store(state, order, order._replace(state=DISPUTED, since_ms=state.clock_ms))


def rule(state: State, attestor: str, key: bytes, identity: bytes, upheld: bool) -> None:
    need_attestor(state, attestor, key)
    value = state.get("Dispute", identity)
    need(value is not None, "unknown_dispute")
    held = Dispute(*value)
    ends_ms = held.decided_ms or held.since_ms + state.economy.contest_ms
    need(state.clock_ms <= ends_ms, "unknown_dispute")
    need(attestor in held.panel, "not_on_panel")
    groups, voted = groups_of(state), [vote[0] for vote in held.votes]
    others = [groups.get(name) for name in voted if name != attestor]
    need(attestor in voted or groups[attestor] not in others, "not_on_panel")
    need(not held.decided_ms and attestor not in voted, "replayed_operation")
    held.votes.append([attestor, upheld])
    is_decided = verdict_of(held.votes) is not None
    keep(state, "Dispute", list(held._replace(decided_ms=state.clock_ms if is_decided else 0)))


def verdict_of(votes: list[list[Any]]) -> bool | None:
    """Three of a panel decide."""
    said = [upheld for _, upheld in votes]
    return next((word for word in (True, False) if said.count(word) >= 3), None)
