"""What hours are worth, how issuers stand, bonds and minting a second time; it imports nothing of
the node.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tests.ledger.second_codec import TYPE_BYTES
from tests.ledger.second_roots import State
from tests.ledger.second_rules import asset_of
from tests.ledger.second_shape import need
from tests.ledger.second_standing import (
    ACCUSED,
    ACTIVE,
    CAGED,
    CONTESTED,
    DEFICIT,
    HEALTHY,
    LIVE,
    REVOKED,
    SUSPENDED,
    WARN,
    all_now,
    keep,
    now,
)

MILLION = 10**6
AMOUNT_MAX = 2**62 - 1
WEEK_MS = 7 * 24 * 3_600_000
HOUR_MS = 3_600_000
TREASURY = 1
"""The place of a key."""


def weight(state: State, since_ms: int, figure: int) -> int:
    """Whole for half its life, then less with each whole period."""
    life = state.economy.life_ms // state.period_ms
    age = state.period - since_ms // state.period_ms
    if age <= life // 2:
        return figure
    return max(0, figure * (life - age) // (life - life // 2))


def is_heard(state: State, entry: list[Any]) -> bool:
    """Whether an attestation is of a licensed attestor, has not faded and of no past schedule."""
    name, _, since_ms, until_ms, _ = entry
    attestor = state.get("Attestor", name.encode())
    is_licensed = attestor is not None and attestor[1]
    return is_licensed and until_ms > state.clock_ms and weight(state, since_ms, 2**40) > 0


def best_by_group(state: State, commitment: list[Any], end_ms: int) -> dict[str, tuple[int, str]]:
    """Of each group that attested a schedule as long as this its highest figure, and whose."""
    best: dict[str, tuple[int, str]] = {}
    for entry in commitment[6]:
        name, figure, since_ms, until_ms, _ = entry
        if until_ms >= end_ms and is_heard(state, entry):
            group = state.get("Attestor", name.encode())[0][2]
            best[group] = max(best.get(group, (-1, "")), (weight(state, since_ms, figure), name))
    return best


def counted(state: State, commitment: list[Any], end_ms: int) -> int:
    """The k-th highest figure, within what is committed and what the devices deliver."""
    wanted = state.get("Parameters")[5]
    figures = sorted((figure for figure, _ in best_by_group(state, commitment, end_ms).values()))
    if len(figures) < wanted:
        return 0
    able = commitment[5] * MILLION * state.period_ms // HOUR_MS
    return min(figures[-wanted], commitment[0][7], able)


def hours(state: State, commitments: list[Any]) -> tuple[int, int, bool]:
    """The reserve, what of it falls due in a week, each floored once; whether figures contradict
    each other."""
    factors = {(item[0], item[1]): item[2] for item in state.get("Standard")[1]}
    total = soon = 0
    frozen = False
    for item in commitments:
        if item[1] not in (LIVE, CONTESTED):
            continue
        _, _, device_class, _, workloads, from_ms, *_ = item[0]
        factor = min(factors[device_class, work] for work in workloads)
        week = state.period + WEEK_MS // state.period_ms
        start = max(from_ms // state.period_ms, state.period)
        for until_ms in sorted({entry[3] for entry in item[6]}):
            worth = counted(state, item, until_ms) * factor
            left = range(start, until_ms // state.period_ms)
            total += worth * len(left)
            soon += worth * len(range(left.start, min(left.stop, week)))
            start = max(start, left.stop)
        gone = _gone(state, item) * factor
        total, soon = total - gone, soon - gone
        frozen = frozen or any(entry[4] and is_heard(state, entry) for entry in item[6])
    return min(total // MILLION, AMOUNT_MAX), min(soon // MILLION, AMOUNT_MAX), frozen


def _gone(state: State, commitment: list[Any]) -> int:
    """µh of the present period that are delivered already, no more than it has."""
    terms, period = commitment[0], state.period
    ends = [entry[3] for entry in commitment[6] if entry[3] // state.period_ms > period]
    if commitment[9] != period or not ends or terms[5] // state.period_ms > period:
        return 0
    return min(int(commitment[10]), counted(state, commitment, min(ends)))


def hours_of(state: State, issuer: str) -> tuple[int, int, bool]:
    return hours(state, all_now(state, "CapacityCommitment", f"{issuer}\0".encode()))


def is_sound(state: State, asset: bytes) -> bool:
    """Its issuer is active and not in deficit."""
    reserve = now(state, "Reserve", asset)
    if reserve is None or reserve[5] not in (HEALTHY, WARN):
        return False
    licence = now(state, "Licence", reserve[1].encode())
    is_active = licence is not None and licence[1] in (ACTIVE, ACCUSED)
    return is_active and bool(state.clock_ms <= licence[0][7])


def bond_needed(state: State, supply: int) -> int:
    return -(-supply * state.economy.bond_ppm // MILLION)


def bond_worth(state: State, issuer: str, needed: int) -> int:
    """At par, coins of one issuer at most for half."""
    return sum(
        min(amount, (needed + 1) // 2)
        for _, asset, amount in state.all("Bond", f"{issuer}\0".encode())
        if is_sound(state, asset)
    )


def is_short(state: State, issuer: str, supply: int) -> bool:
    needed = bond_needed(state, supply)
    return bond_worth(state, issuer, needed) < needed


def judge(state: State, issuers: Collection[str] | None = None) -> None:
    """First the hours of all, then their bonds, which depend on how others stand."""
    chosen = [item for item in all_now(state, "Reserve") if issuers is None or item[1] in issuers]
    for item in chosen:
        _write_judged(state, _judged(state, item))
    short = {item[1]: is_short(state, item[1], item[2]) for item in chosen}
    for item in chosen:
        judged = _judged(state, item)
        judged[10] = (judged[10] or state.clock_ms) if short[item[1]] else 0
        _write_judged(state, judged)


def _write_judged(state: State, judged: list[Any]) -> None:
    if judged != state.get("Reserve", judged[0]):
        keep(state, "Reserve", judged)


def _judged(state: State, held: list[Any]) -> list[Any]:
    backing, soon, frozen = hours_of(state, held[1])
    supply = held[2]
    solvency = HEALTHY
    if supply > margin_limit(state, backing) or is_thin(state, supply, soon):
        solvency = WARN
    if supply > backing:
        solvency = DEFICIT
    if held[5] == CAGED:
        solvency = CAGED
    since_ms = held[6] if solvency == held[5] else state.clock_ms
    share = held[12:14]
    if supply > backing and (share[1] == 0 or backing * share[1] < share[0] * supply):
        share = [backing, supply]
    figures = [backing, soon, solvency, since_ms, frozen]
    return [*held[:3], *figures, *held[8:12], *share, *held[14:]]


def margin_limit(state: State, backing: int) -> int:
    return backing * (MILLION - int(state.get("Parameters")[3])) // MILLION


def is_thin(state: State, supply: int, soon: int) -> bool:
    return soon * MILLION < supply * state.economy.deliverability_ppm


def judge_touched(state: State) -> None:
    """Issuers whose coins, hours or bonds the block changed; all where an attestor did."""
    issuers: set[str] = set()
    for key in state.touched:
        if key[0] == TYPE_BYTES["Attestor"]:
            judge(state)
            return
        if key[0] == TYPE_BYTES["Reserve"]:
            issuers.add(state.get("Reserve", key[1:])[1])
        if key[0] in (TYPE_BYTES["CapacityCommitment"], TYPE_BYTES["Bond"]):
            issuers.add(key[1:].partition(b"\0")[0].decode())
    judge(state, issuers)


# Operations.


def need_issuer(state: State, issuer: str, place: int, key: bytes) -> list[Any]:
    """The licence of an issuer whose key this is."""
    licence: Any = now(state, "Licence", issuer.encode())
    need(licence is not None and licence[0][9], "unknown_issuer")
    need(licence[0][6][place] == key, "wrong_role_key")
    return list(licence)


def use_number(state: State, owner: str, role: str, lane: int, number: int) -> None:
    identity = b"\0".join((owner.encode(), role.encode(), bytes([lane])))
    expected = (state.get("Lane", identity) or [0])[-1]
    need(number >= expected, "replayed_operation")
    need(number == expected, "operation_gap")
    state.put("Lane", identity, [owner, role, lane, number + 1])


def mint(state: State, issuer: str, key: bytes, lane: int, number: int, amount: int) -> None:
    licence = need_issuer(state, issuer, TREASURY, key)
    need(licence[1] == ACTIVE, "licence_inactive")
    use_number(state, issuer, "treasury", lane, number)
    held = _judged(state, now(state, "Reserve", asset_of(state.chain_id, issuer)))
    _, _, supply, backing, soon, solvency, _, frozen, period, minted, _, claims, *_ = held
    economy, after = state.economy, supply + amount
    minted = minted if period == state.period else 0
    need(solvency == HEALTHY, "not_healthy")
    need(not frozen, "mint_frozen")
    need(after + claims <= margin_limit(state, backing), "above_headroom")
    need(not is_thin(state, after, soon), "low_deliverability")
    cap, least = backing * economy.mint_cap_ppm // MILLION, after * economy.deliverability_ppm
    if soon * MILLION < 2 * least:
        cap = cap * (soon * MILLION - least) // least
    need(minted + amount <= cap, "above_mint_cap")
    need(not is_short(state, issuer, after), "short_bond")
    held[2], held[8], held[9] = after, state.period, minted + amount
    keep(state, "Reserve", held)


def burn(state: State, asset: bytes, amount: int) -> None:
    held = now(state, "Reserve", asset)
    need(held is not None and amount <= held[2], "unknown_asset")
    keep(state, "Reserve", [*held[:2], held[2] - amount, *held[3:]])


def deposit_bond(state: State, issuer: str, asset: bytes, amount: int) -> None:
    own = asset_of(state.chain_id, issuer)
    need(state.get("Reserve", own) is not None, "unknown_issuer")
    need(state.get("Reserve", asset) is not None, "unknown_asset")
    need(asset != own, "own_coin")
    identity = issuer.encode() + b"\0" + asset
    held = state.get("Bond", identity) or [issuer, asset, 0]
    state.put("Bond", identity, [issuer, asset, held[2] + amount])


def withdraw_bond(
    state: State, issuer: str, key: bytes, lane: int, number: int, asset: bytes, amount: int
) -> None:
    licence = now(state, "Licence", issuer.encode())
    held = now(state, "Reserve", asset_of(state.chain_id, issuer))
    need(bool(licence and held), "unknown_issuer")
    need(licence[0][6][TREASURY] == key, "wrong_role_key")
    issues = licence[0][9] and licence[1] != REVOKED
    owed = held[2] + held[11]
    need(licence[1] != SUSPENDED and (issues or owed == 0), "licence_inactive")
    use_number(state, issuer, "treasury", lane, number)
    take_bond(state, issuer, asset, amount)
    need(owed == 0 or _judged(state, held)[5] in (HEALTHY, WARN), "not_healthy")
    stays = bond_needed(state, owed)
    stays += sum(item[4] for item in state.all("Challenge", f"{issuer}\0".encode()))
    need(bond_worth(state, issuer, stays) >= stays, "short_bond")


def take_bond(state: State, issuer: str, asset: bytes, amount: int) -> None:
    identity = issuer.encode() + b"\0" + asset
    left = (state.get("Bond", identity) or [0])[-1] - amount
    need(left >= 0, "short_bond")
    if left:
        state.put("Bond", identity, [issuer, asset, left])
    else:
        state.drop("Bond", identity)
