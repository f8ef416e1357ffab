"""What must hold after every block, and the recount of a whole state that proves it held.

Supply equation, per asset: supply = sum of unspent outputs + sum of amounts held in objects. It is
checked on the differences of each block before anybody votes for it. A difference is our fault,
never a peer's: it is an assertion, and it carries the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ledger.backing import Yardstick
from ledger.codec import Wire
from ledger.draft import Draft
from ledger.economy.bond import Bond
from ledger.economy.capacity import CapacityCommitment, CommitmentState, Device
from ledger.economy.challenge import Challenge
from ledger.economy.dispute import Dispute
from ledger.economy.due import Due
from ledger.economy.redemption import Redemption
from ledger.economy.reserve import Reserve, Solvency, solvency_of, supply_root
from ledger.economy.standard import Standard, check_standard
from ledger.economy.step import StandardStep, check_step
from ledger.errors import InvariantBroken
from ledger.objects import FeePot, ObjectReader, decode, key_of, load_all
from ledger.order_recount import check_orders
from ledger.reasons import Invalid
from ledger.registers import CHALLENGES, COMMITMENTS, REGISTERS
from ledger.spent_bitmap import SpentBitmap
from ledger.view import Outpoint, OutputEntry, View

HOLDERS: Mapping[type[Wire], Callable[[Any], int]] = {
    FeePot: lambda held: held.amount,
    Bond: lambda held: held.amount,
    Challenge: lambda held: held.deposit,
    Redemption: lambda held: held.held,
    Dispute: lambda held: held.deposit,
}
"""Kinds of objects that hold coins, and how many of their `asset`."""


def check_supply_equation(
    outputs: Mapping[bytes, int], held: Mapping[bytes, int], supply: Mapping[bytes, int]
) -> None:
    """outputs + held = supply for every asset, be they totals or the differences of a block."""
    for asset in sorted(outputs.keys() | held.keys() | supply.keys()):
        found = (outputs.get(asset, 0), held.get(asset, 0), supply.get(asset, 0))
        if found[0] + found[1] != found[2]:
            detail = "outputs {}, held in objects {}, supply {}".format(*found)
            raise InvariantBroken(f"supply equation: asset {asset.hex()}: {detail}")


def held_in_objects(view: ObjectReader) -> Counter[bytes]:
    """Amounts per asset that objects hold."""
    held: Counter[bytes] = Counter()
    for kind, amount in HOLDERS.items():
        holders: list[Any] = list(load_all(view, kind))
        for item in holders:
            held[item.asset] += amount(item)
    return held


def recount(view: View, outputs: Iterable[tuple[Outpoint, OutputEntry]]) -> None:
    """Recompute from all unspent outputs and objects what the state claims about itself."""
    totals: Counter[bytes] = Counter()
    count = 0
    commitments = view.head.commitments
    for outpoint, entry in outputs:
        count += 1
        totals[entry.asset] += entry.amount
        if commitments.spent.is_spent(entry.leaf):
            raise InvariantBroken(f"output {outpoint[0].hex()}:{outpoint[1]} is flagged as spent")
    unspent = commitments.outputs.count - _count_flags(commitments.spent)
    if count != unspent:
        raise InvariantBroken(f"{count} unspent outputs, the flags say {unspent}")
    reserves = load_all(view, Reserve)
    supply = {reserve.asset: reserve.supply for reserve in reserves}
    check_supply_equation(totals, held_in_objects(view), supply)
    _check_reserves(view, reserves)
    draft = Draft(view, view.head.header.time_ms)
    _check_bonds(draft, reserves)
    _check_devices(draft)
    _check_challenges(draft)
    check_orders(draft)
    _check_deadlines(draft)
    _check_step(draft)


def _count_flags(spent: SpentBitmap) -> int:
    chunks = spent.changed_chunks(SpentBitmap.empty())
    return sum(int.from_bytes(flags, "big").bit_count() for _, flags in chunks)


def _check_reserves(view: View, reserves: list[Reserve]) -> None:
    """Figures, and the band that follows from them; that a coin is caged they do not deny."""
    draft = Draft(view, view.head.header.time_ms)
    yardstick, parameters = Yardstick.of(draft), draft.parameters
    for held in reserves:
        hours = yardstick.hours(draft, held.issuer)
        if (hours.reserve, hours.deliverable) != (held.reserve, held.deliverable):
            raise InvariantBroken(f"reserve of '{held.issuer}': {held}, recounted {hours}")
        if held.solvency not in (solvency_of(held.supply, hours, parameters), Solvency.CAGED):
            raise InvariantBroken(f"band of '{held.issuer}': {held}, recounted {hours}")
        if hours.is_frozen != held.is_frozen:
            raise InvariantBroken(f"freeze of '{held.issuer}': {held}, recounted {hours}")
    if supply_root(reserves) != view.head.commitments.supply_root:
        raise InvariantBroken("the supply root differs from the reserves")


def _check_bonds(draft: Draft, reserves: list[Reserve]) -> None:
    """Of issuers, in coins of others, under their own keys."""
    issuers = {held.asset: held.issuer for held in reserves}
    for key, data in draft.objects(key_of(Bond)):
        held = decode(data, Bond)
        is_placed = key == key_of(Bond, Bond.identity(held.issuer, held.asset))
        coin = issuers.get(held.asset, held.issuer)
        if not is_placed or coin == held.issuer or held.issuer not in issuers.values():
            raise InvariantBroken(f"bond of '{held.issuer}' in coins of '{coin}'")


def _check_devices(draft: Draft) -> None:
    """A commitment counts the devices that are pledged to it: its hours are capped by them."""
    pledged: dict[tuple[str, str, int], Counter[int]] = {}
    for item in draft.all(Device):
        by_period = pledged.setdefault((item.issuer, item.commitment, item.born), Counter())
        by_period[item.pledged_in] += 1
    for held in COMMITMENTS.all(draft):
        if held.state is CommitmentState.VOID:
            continue
        where = f"'{held.terms.id}' of '{held.terms.issuer}'"
        by_period = pledged.get((held.terms.issuer, held.terms.id, held.born), Counter())
        found = by_period.total()
        if found != held.devices:
            raise InvariantBroken(f"{where}: {held.devices} devices, {found} are pledged")
        before = sum(count for period, count in by_period.items() if period < held.pledged_in)
        if before != held.devices_before or max(by_period, default=0) > held.pledged_in:
            detail = f"{held.devices_before} devices before {held.pledged_in}, {before} are"
            raise InvariantBroken(f"{where}: {detail}")


def _check_challenges(draft: Draft) -> None:
    """Contested is what somebody challenges, and nothing else."""
    challenged = {CHALLENGES.identity(item) for item in draft.all(Challenge)}
    state = CommitmentState.CONTESTED
    contested = {item.key for item in draft.all(CapacityCommitment) if item.state is state}
    for key in sorted(challenged ^ contested):
        raise InvariantBroken(f"commitment {key!r} is contested or challenged, not both")


def _check_deadlines(draft: Draft) -> None:
    """Each object with a deadline has one `Due`, at that time, and there is no other."""
    found = {item.identity for item in draft.all(Due)}
    expected = set()
    for register in REGISTERS:
        for held in draft.all(register.kind):
            moment = register.deadline(draft, held)
            if moment is not None:
                expected.add(Due(moment, register.due, register.identity(held)).identity)
    for identity in sorted(found ^ expected):
        what = "is not noted" if identity in expected else "is of nothing"
        raise InvariantBroken(f"the deadline {identity.hex()} {what}")


def _check_step(draft: Draft) -> None:
    """The standard and its open step are whole; no throughput falls, no factor goes or is cut by
    more than the margin bears."""
    standard, held = draft.one(Standard), draft.load(StandardStep)
    try:
        check_standard(standard.factors, standard.references)
        if held is not None:
            check_step(standard, held, min(draft.economy.step_ppm, draft.parameters.margin_ppm))
    except Invalid as error:
        raise InvariantBroken(f"standard {standard.version}: {error}") from None
    if held is not None and held.ends_ms % draft.parameters.period_ms:
        raise InvariantBroken(
            f"the step of the standard ends at {held.ends_ms} ms, within a period"
        )
