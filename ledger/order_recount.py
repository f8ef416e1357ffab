"""The recount of orders: what a state claims about them follows from the orders themselves.

Escrow: what moved into an order was burned, claimed, paid back or still lies in it; the supply
equation counts the last. Here: hours in the books, places in the queues, disputes, claims and
what receipts told.
"""

from __future__ import annotations

from collections import Counter

from ledger.draft import Draft
from ledger.economy.book import Book, Place
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.dispute import Dispute
from ledger.economy.redemption import Redemption, RedemptionState
from ledger.economy.reserve import Reserve
from ledger.economy.residual import ResidualClaim
from ledger.economy.standard import Standard, factor_table
from ledger.economy.throughput import Throughput
from ledger.errors import InvariantBroken
from ledger.objects import decode, key_of


def check_orders(draft: Draft) -> None:
    """Raises InvariantBroken with the figures."""
    orders = draft.all(Redemption)
    for held in orders:
        if held.remaining < 0 or (held.is_paid and not held.has_ended):
            raise InvariantBroken(f"order {held.id.hex()}: {held}")
    _check_books(draft, orders)
    _check_queue(draft, orders)
    disputed = {held.id for held in orders if held.state is RedemptionState.DISPUTED}
    for order in sorted(disputed ^ {held.order for held in draft.all(Dispute)}):
        raise InvariantBroken(f"order {order.hex()} is in dispute without one, or the reverse")
    claims: Counter[str] = Counter()
    for claim in draft.all(ResidualClaim):
        claims[claim.issuer] += claim.amount
    noted = {reserve.issuer: reserve.residual for reserve in draft.all(Reserve)}
    for issuer in sorted(noted.keys() | claims.keys()):
        found = (noted.get(issuer, 0), claims[issuer])
        if found[0] != found[1]:
            detail = "{} of claims, {} are held".format(*found)
            raise InvariantBroken(f"reserve of '{issuer}': {detail}")
    _check_throughput(draft)


def _check_throughput(draft: Draft) -> None:
    """Of pairs that the standard has a factor for, each in its place: no more than it has."""
    known = factor_table(draft.one(Standard).factors)
    for key, data in draft.objects(key_of(Throughput)):
        held = decode(data, Throughput)
        is_known = (held.device_class, held.workload) in known
        is_told = held.amount > 0 and held.microhours > 0
        if key != key_of(Throughput, held.identity) or not is_known or not is_told:
            raise InvariantBroken(f"what receipts told: {held} at {key!r}")


def _check_books(draft: Draft, orders: list[Redemption]) -> None:
    """Each book has the hours of the open orders whose windows are not over, and their number."""
    period_ms = draft.parameters.period_ms
    kept: dict[bytes, Counter[int]] = {}
    count: Counter[bytes] = Counter()
    for held in orders:
        if held.has_ended:
            continue
        key = CapacityCommitment.identity(held.issuer, held.commitment)
        kept.setdefault(key, Counter())[held.end_ms // period_ms - 1] += held.reserved
        count[key] += 1
    books = {held.key: held for held in draft.all(Book)}
    for key in sorted(books.keys() ^ count.keys()):
        raise InvariantBroken(f"book {key!r} without orders, or orders without a book")
    for key, book in books.items():
        found = {item.period: item.microhours for item in book.kept if item.period >= draft.period}
        now = {period: hours for period, hours in kept[key].items() if period >= draft.period}
        if found != {period: hours for period, hours in now.items() if hours}:
            raise InvariantBroken(f"book {key!r} keeps {found}, its orders {now}")
        if book.orders != count[key]:
            raise InvariantBroken(f"book {key!r} counts {book.orders} orders, {count[key]} are")


def _check_queue(draft: Draft, orders: list[Redemption]) -> None:
    """Who waits has a place of its own in the queue of its commitment, and nobody else."""
    waiting: set[tuple[bytes, bytes]] = set()
    count: Counter[bytes] = Counter()
    last: dict[bytes, int] = {}
    for held in orders:
        if held.state is RedemptionState.QUEUED:
            book = CapacityCommitment.identity(held.issuer, held.commitment)
            waiting.add((key_of(Place, Place.identity(book, held.place)), held.id))
            count[book] += 1
            last[book] = max(held.place, last.get(book, 0))
    places = {(key, decode(data, Place).order) for key, data in draft.objects(key_of(Place))}
    for key, order in sorted(waiting ^ places):
        raise InvariantBroken(f"place {key!r} is nobody's, or {order.hex()} waits without it")
    for held_book in draft.all(Book):
        found = count[held_book.key]
        if held_book.queued != found:
            detail = f"{held_book.queued} wait for {held_book.key!r}, {found} do"
            raise InvariantBroken(detail)
        if found and last[held_book.key] >= held_book.places:
            raise InvariantBroken(f"a place of {held_book.key!r} would be given twice")
