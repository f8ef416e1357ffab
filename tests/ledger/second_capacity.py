"""Commitments, devices, attestations, challenges and spot audits a second time; it imports nothing
of the node.

A commitment is [terms, state, version, since, born, devices, attestations, the last period in which
some were pledged, how many were before it, the last period in which hours were delivered, µh of
it]; terms are [id, issuer, class, region, workloads, from,
to, µh]; an attestation is [attestor, µh, since, until, lower]; a device is [id, issuer, commitment,
born, until, last period opened, period pledged]; a challenge is [issuer, commitment, asset,
deposit, penalty, refund lock, since, panel, votes, decided].
"""

from __future__ import annotations

from typing import Any

from tests.ledger.second_reserve import (
    best_by_group,
    bond_needed,
    counted,
    is_heard,
    is_sound,
    need_issuer,
    use_number,
    weight,
)
from tests.ledger.second_roots import State
from tests.ledger.second_rules import asset_of
from tests.ledger.second_shape import digest, need
from tests.ledger.second_standing import (
    ACCUSED,
    ACTIVE,
    CONTESTED,
    LIVE,
    PROPOSED,
    SUSPENDED,
    VOID,
    WINDDOWN,
    all_now,
    keep,
    now,
    pledged_until,
)

YEAR_MS = 365 * 86_400_000
DEVICES_MAX = 10_000
"""Of one issuer."""
OPERATIONS = 0
"""The place of a key."""
NOTHING = bytes(32)


def operate(state: State, number: int, fields: list[Any]) -> None:
    """Operations 17 to 25; raises Refused."""
    handlers = (commit, pledge, amend, attest, challenge, rule, seal, reveal, open_devices)
    handlers[number - 17](state, *fields)


def _promising(state: State, issuer: str, key: bytes) -> None:
    licence = need_issuer(state, issuer, OPERATIONS, key)
    need(licence[1] in (ACTIVE, ACCUSED, SUSPENDED, WINDDOWN), "licence_inactive")


def _standing(state: State, issuer: str, name: str) -> list[Any]:
    held: Any = now(state, "CapacityCommitment", f"{issuer}\0{name}".encode())
    need(held is not None, "unknown_commitment")
    need(held[1] != VOID, "commitment_over")
    return list(held)


def need_attestor(state: State, name: str, key: bytes) -> None:
    held = state.get("Attestor", name.encode())
    need(held is not None and held[1], "unknown_attestor")
    need(held[0][3] == key, "wrong_role_key")


def _check_schedule(state: State, from_ms: int, to_ms: int) -> None:
    clock_ms, period_ms = state.clock_ms, state.period_ms
    need(from_ms % period_ms == to_ms % period_ms == 0, "bad_schedule")
    need(from_ms < to_ms and clock_ms < to_ms, "bad_schedule")
    need(to_ms - from_ms <= YEAR_MS and to_ms - clock_ms <= YEAR_MS, "bad_schedule")


def _check_line(state: State, terms: list[Any], others: list[Any]) -> None:
    for other, standing, *_ in others:
        need(other[:2] != terms[:2], "commitment_exists")
        apart = terms[6] <= other[5] or other[6] <= terms[5]
        need(standing == VOID or other[1:4] != terms[1:4] or apart, "overlapping_schedule")


def commit(state: State, key: bytes, lane: int, number: int, terms: list[Any]) -> None:
    _promising(state, terms[1], key)
    use_number(state, terms[1], "operations", lane, number)
    known = {(item[0], item[1]) for item in state.get("Standard")[1]}
    need(all((terms[2], work) in known for work in terms[4]), "unknown_class")
    others = all_now(state, "CapacityCommitment")
    own = [item for item in others if item[0][1] == terms[1]]
    need(len(others) < 1_024 and len(own) < 32, "too_many")
    _check_schedule(state, terms[5], terms[6])
    need(terms[4] == sorted(set(terms[4])) and terms[7] > 0, "bad_schedule")
    _check_line(state, terms, others)
    need(state.get("Book", f"{terms[1]}\0{terms[0]}".encode()) is None, "commitment_exists")
    keep(
        state,
        "CapacityCommitment",
        [terms, PROPOSED, 0, state.clock_ms, state.height, 0, [], 0, 0, 0, 0],
    )


def pledge(state: State, issuer: str, key: bytes, lane: int, number: int, *asked: Any) -> None:
    name, version, devices = asked
    _promising(state, issuer, key)
    use_number(state, issuer, "operations", lane, number)
    held = _standing(state, issuer, name)
    need(version == held[2], "wrong_version")
    need(devices == sorted(set(devices)), "device_pledged")
    mine = [item for item in all_now(state, "CapacityCommitment") if item[0][1] == issuer]
    need(sum(item[5] for item in mine) + len(devices) <= DEVICES_MAX, "too_many")
    until_ms = pledged_until(state, held)
    for device in devices:
        need(now(state, "Device", device) is None, "device_pledged")
        keep(state, "Device", [device, issuer, name, held[4], until_ms, 0, state.period])
    spare = 1_000_000 * state.period_ms * (held[5] + len(devices) - 1)
    need(spare < held[0][7] * 3_600_000, "too_many")
    if held[7] != state.period:
        held[7:9] = [state.period, held[5]]
    held[2] += 1
    held[5] += len(devices)
    keep(state, "CapacityCommitment", held)


def amend(state: State, issuer: str, key: bytes, lane: int, number: int, *asked: Any) -> None:
    name, version, microhours, to_ms = asked
    _promising(state, issuer, key)
    use_number(state, issuer, "operations", lane, number)
    held = _standing(state, issuer, name)
    terms = held[0]
    need(version == held[2], "wrong_version")
    need([to_ms, microhours] != terms[6:], "no_effect")
    need(microhours >= terms[7] and to_ms >= terms[6], "bad_schedule")
    if to_ms > terms[6]:
        _check_schedule(state, terms[5], to_ms)
    after = [*terms[:6], to_ms, microhours]
    others = [item for item in all_now(state, "CapacityCommitment") if item[0][:2] != terms[:2]]
    _check_line(state, after, others)
    keep(state, "CapacityCommitment", [after, held[1], version + 1, *held[3:]])


def attest(state: State, attestor: str, key: bytes, lane: int, number: int, *said: Any) -> None:
    issuer, name, born, until_ms, figure = said
    need_attestor(state, attestor, key)
    use_number(state, attestor, "attestor", lane, number)
    held = _standing(state, issuer, name)
    need(born == held[4], "unknown_commitment")
    need(figure <= held[0][7] and until_ms <= held[0][6], "above_commitment")
    clock_ms, before = state.clock_ms, [item for item in held[6] if item[0] == attestor]
    counts = counted(state, held, clock_ms)
    others = [item for item in held[6] if item[0] != attestor]
    fresh = bool(before) and is_heard(state, before[0])
    need(not fresh or until_ms >= before[0][3], "bad_schedule")
    need(until_ms % state.period_ms == 0, "bad_schedule")
    need(until_ms > max(held[0][5], clock_ms), "bad_schedule")
    if fresh and figure < weight(state, before[0][2], before[0][1]):
        waiting = [since_ms for lower, since_ms in before[0][4] if lower <= figure]
        entry = [*before[0][:4], [[figure, *(waiting or [clock_ms])]]]
    else:
        lower = [[figure, clock_ms]] if not fresh and figure < counts else []
        entry = [attestor, figure, clock_ms, until_ms, lower]
    if len(others) == 16:
        others = [item for item in others if is_heard(state, item)]
    need(len(others) < 16, "too_many")
    if not _seats_are_left(state, others, attestor):
        others = [item for item in others if is_heard(state, item)]
        need(_seats_are_left(state, others, attestor), "no_panel")
    held[6] = sorted([*others, entry])
    agree = len(best_by_group(state, held, clock_ms))
    if held[1] == PROPOSED and agree >= state.get("Parameters")[5]:
        held[1], held[3] = LIVE, clock_ms
    keep(state, "CapacityCommitment", held)


def _seats_are_left(state: State, others: list[list[Any]], attestor: str) -> bool:
    """For three groups that rule, or fewer than twice as many as are needed speak."""
    groups = groups_of(state)
    spoken = {groups[item[0]] for item in others if item[0] in groups}
    free = set(groups.values()) - spoken - {groups[attestor]}
    is_few = len(spoken) + 1 < 2 * state.get("Parameters")[5]
    return groups[attestor] in spoken or is_few or len(free) >= 3


def challenge(
    state: State, issuer: str, name: str, asset: bytes, amount: int, refund_lock: bytes
) -> None:
    held = _standing(state, issuer, name)
    need(held[1] != CONTESTED, "already_contested")
    need(held[1] == LIVE, "commitment_over")
    need(asset != asset_of(state.chain_id, issuer), "own_coin")
    need(is_sound(state, asset), "unknown_asset")
    penalty = _penalty(state, issuer, held)
    need(amount >= penalty, "low_deposit")
    seed = state.parent_hash + f"{issuer}\0{name}".encode()
    panel = draw_panel(state, [item[0] for item in held[6]], seed)
    need(len(panel) >= 3, "no_panel")
    keep(
        state,
        "Challenge",
        [issuer, name, asset, amount, penalty, refund_lock, state.clock_ms, panel, [], 0],
    )
    held[1:4] = [CONTESTED, held[2] + 1, state.clock_ms]
    keep(state, "CapacityCommitment", held)


def _penalty(state: State, issuer: str, held: list[Any]) -> int:
    """One coin at least, and no more than the bond is or must be."""
    bond = sum(item[2] for item in state.all("Bond", f"{issuer}\0".encode()))
    supply = state.get("Reserve", asset_of(state.chain_id, issuer))[2]
    share = -(-_at_stake(state, held) * state.economy.deposit_ppm // 10**6)
    return max(10**6, min(share, max(bond, bond_needed(state, supply))))


def _at_stake(state: State, held: list[Any]) -> int:
    """What the periods left are worth, were all words fresh and of the whole schedule."""
    terms, wanted = held[0], state.get("Parameters")[5]
    groups = groups_of(state)
    said = sorted([figure, groups[name]] for name, figure, *_ in held[6] if name in groups)
    figures = sorted({group: figure for figure, group in said}.values())
    most = min(terms[7], held[5] * 10**6 * state.period_ms // 3_600_000)
    if len(figures) >= wanted:
        most = min(most, figures[-wanted])
    factors = [
        item[2] for item in state.get("Standard")[1] if item[0] == terms[2] and item[1] in terms[4]
    ]
    left = range(max(terms[5] // state.period_ms, state.period), terms[6] // state.period_ms)
    return most * min(factors) * len(left) // 10**6


def groups_of(state: State) -> dict[str, str]:
    """Of attestors that count."""
    return {item[0][0]: item[0][2] for item in state.all("Attestor") if item[1]}


def draw_panel(state: State, parties: list[str], seed: bytes) -> list[str]:
    groups = groups_of(state)
    closed = {groups[name] for name in parties if name in groups}
    panel: list[str] = []
    for _, name in sorted((digest("panel", seed, name.encode()), name) for name in groups):
        if len(panel) < 5 and groups[name] not in closed:
            panel.append(name)
            closed.add(groups[name])
    return panel


def rule(
    state: State, attestor: str, key: bytes, issuer: str, name: str, upheld: bool, since_ms: int
) -> None:
    need_attestor(state, attestor, key)
    held = now(state, "Challenge", f"{issuer}\0{name}".encode())
    need(held is not None and held[6] == since_ms, "unknown_challenge")
    ends_ms = held[9] or since_ms + state.economy.contest_ms
    need(state.clock_ms <= ends_ms, "unknown_challenge")
    need(attestor in held[7], "not_on_panel")
    groups = groups_of(state)
    contested = now(state, "CapacityCommitment", f"{issuer}\0{name}".encode())
    closed = {entry[0] for entry in contested[6]} | {vote[0] for vote in held[8]} - {attestor}
    need(groups[attestor] not in [groups.get(other) for other in closed], "not_on_panel")
    need(not held[9] and attestor not in [vote[0] for vote in held[8]], "replayed_operation")
    held[8].append([attestor, upheld])
    if verdict(held) is not None:
        held[9] = state.clock_ms
    keep(state, "Challenge", held)


def verdict(held: list[Any]) -> bool | None:
    """Three of the panel decide."""
    for upheld in (True, False):
        if [vote[1] for vote in held[8]].count(upheld) >= 3:
            return upheld
    return None


def seal(state: State, attestor: str, key: bytes, period: int, sealed: bytes) -> None:
    need_attestor(state, attestor, key)
    need(period == state.period + 1, "bad_period")
    identity = period.to_bytes(8, "big")
    held = state.get("AuditRound", identity) or [period, []]
    need(attestor not in [item[0] for item in held[1]], "replayed_operation")
    state.put("AuditRound", identity, [period, sorted([*held[1], [attestor, sealed, NOTHING]])])


def reveal(state: State, attestor: str, key: bytes, period: int, nonce: bytes) -> None:
    need_attestor(state, attestor, key)
    need(period == state.period - 1, "bad_period")
    identity = period.to_bytes(8, "big")
    held = state.get("AuditRound", identity) or [period, []]
    found = [item for item in held[1] if item[0] == attestor]
    need(bool(found), "bad_period")
    need(found[0][2] == NOTHING, "replayed_operation")
    good = digest("audit/nonce", attestor.encode(), nonce) == found[0][1]
    need(good and nonce != NOTHING, "bad_nonce")
    found[0][2] = nonce
    state.put("AuditRound", identity, held)


def open_devices(
    state: State, issuer: str, key: bytes, period: int, opened: int, devices: list[bytes]
) -> None:
    need_issuer(state, issuer, OPERATIONS, key)
    held = now(state, "Opening", period.to_bytes(8, "big") + issuer.encode())
    need(devices == sorted(set(devices)), "not_drawn")
    for item in devices:
        device = now(state, "Device", item)
        need(device is not None and device[1] == issuer, "unknown_device")
        need(device[5] < period, "replayed_operation")
        keep(state, "Device", [*device[:5], period, device[6]])
    need(held is not None, "bad_period")
    need(opened == held[4], "wrong_version")
    seed, pledged = held[2], held[3]
    for item in devices:
        place = int.from_bytes(digest("audit/draw", seed, item)[:8], "big")
        drawn = place * pledged < state.economy.audit_devices * 2**64
        is_late = state.get("Device", item)[6] > period
        need(seed != NOTHING and drawn and not is_late, "not_drawn")
    held[4] += len(devices)
    keep(state, "Opening", held)
