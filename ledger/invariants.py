"""What must hold after every block, and the recount of a whole state that proves it held.

Supply equation, per asset: supply = sum of unspent outputs + sum of amounts held in objects. It is
checked on the differences of each block before anybody votes for it. A difference is our fault,
never a peer's: it is an assertion, and it carries the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ledger.economy.reserve import CapacityBook, Reserve, supply_root
from ledger.errors import InvariantBroken
from ledger.objects import FeePot, LedgerClock, ObjectReader, load_all, load_one
from ledger.spent_bitmap import SpentBitmap
from ledger.view import Outpoint, OutputEntry, View


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
    for pot in load_all(view, FeePot):
        held[pot.asset] += pot.amount
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


def _count_flags(spent: SpentBitmap) -> int:
    chunks = spent.changed_chunks(SpentBitmap.empty())
    return sum(int.from_bytes(flags, "big").bit_count() for _, flags in chunks)


def _check_reserves(view: View, reserves: list[Reserve]) -> None:
    book = CapacityBook.load(view)
    clock = load_one(view, LedgerClock)
    for reserve in reserves:
        hours = book.hours(reserve.issuer, clock.time_ms)
        if (hours.reserve, hours.deliverable) != (reserve.reserve, reserve.deliverable):
            raise InvariantBroken(f"reserve of '{reserve.issuer}': {reserve}, recounted {hours}")
    if supply_root(reserves) != view.head.commitments.supply_root:
        raise InvariantBroken("the supply root differs from the reserves")
