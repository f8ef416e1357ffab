"""Indexes: what one block adds to them, and how they are read.

Nothing here is committed to by a header; everything here can be counted again from blocks and
unspent outputs, which is what `ledger.full_audit.audit_full` does. Index records travel in the
batch of their block, so they are never ahead of the chain or behind it.

Outputs made and spent inside one block leave a line in the history and a spender, no coin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from ledger import codec, schema
from ledger.crypto import HASH_BYTES
from ledger.kv import KeyValue
from ledger.operations import Evidence
from ledger.schema import Accusation, DamagedChain, HistoryEntry, Movement
from ledger.transaction import SignedTransaction
from ledger.view import Changes, Outpoint, OutputEntry

PAGE_MAX = 1_000
"""Rows of one page: an answer stays far below 1 MiB."""
BALANCES_MAX = 1_000
"""Assets listed for one address; there are far fewer issuers."""

Get: TypeAlias = Callable[[bytes], bytes | None]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Rows, and where the next page starts; None on the last one."""

    items: tuple[Item, ...]
    next_start: bytes | None


@dataclass(frozen=True, slots=True)
class Balance:
    asset: bytes
    amount: int
    coins: int
    """Unspent outputs that make up the amount."""


@dataclass(frozen=True, slots=True)
class Coin:
    outpoint: Outpoint
    entry: OutputEntry


@dataclass(frozen=True, slots=True)
class HistoryLine:
    height: int
    position: int | None
    """In the block; None for an output of the system."""
    txid: bytes
    movements: tuple[Movement, ...]


@dataclass(frozen=True, slots=True)
class AccusationLine:
    """Evidence in a final block; `operation` is its place in the transaction."""

    height: int
    position: int
    operation: int
    txid: bytes
    licence: str


@dataclass(slots=True)
class Batch:
    """Records to write and to delete, together or not at all."""

    puts: dict[bytes, bytes]
    deletes: list[bytes]


def add_indexes(
    batch: Batch, get: Get, changes: Changes, transactions: Sequence[SignedTransaction]
) -> None:
    """Put the index records of one block into its batch; `get` reads the state before it."""
    height = changes.head.header.height
    made = _outputs_of(transactions)
    leaf = changes.head.commitments.outputs.count - len(made)
    for position, tx in enumerate(transactions):
        place = schema.place_value(height, position)
        first = leaf if tx.body.outputs else None
        batch.puts[schema.transaction_key(tx.txid)] = schema.origin_value(first, place)
        leaf += len(tx.body.outputs)
        for spent in tx.body.inputs:
            batch.puts[schema.spent_by_key(spent.outpoint)] = place
        for number, operation in enumerate(tx.body.operations):
            if isinstance(operation, Evidence):
                key = schema.accusation_key(height, position, number)
                batch.puts[key] = codec.encode_payload(Accusation(tx.txid, operation.licence))
        rank = schema.RANK_TRANSACTIONS + position
        for lock, movements in _movements(tx, changes, made).items():
            batch.puts[schema.history_key(lock, height, rank)] = _history_value(tx.txid, movements)
    _add_system_outputs(batch, changes, made)
    _add_coins(batch, get, changes)


def _outputs_of(transactions: Sequence[SignedTransaction]) -> dict[Outpoint, bytes]:
    """The locks of all outputs that the transactions of a block make."""
    return {
        (tx.txid, index): output.lock
        for tx in transactions
        for index, output in enumerate(tx.body.outputs)
    }


_Movements: TypeAlias = dict[bytes, list[int]]
"""asset -> [received, sent]"""


def _movements(
    tx: SignedTransaction, changes: Changes, made: Mapping[Outpoint, bytes]
) -> dict[bytes, _Movements]:
    moved: dict[bytes, _Movements] = {}
    for spent in tx.body.inputs:
        entry = changes.spent.get(spent.outpoint)
        lock = made[spent.outpoint] if entry is None else entry.lock
        moved.setdefault(lock, {}).setdefault(spent.asset, [0, 0])[1] += spent.amount
    for output in tx.body.outputs:
        moved.setdefault(output.lock, {}).setdefault(output.asset, [0, 0])[0] += output.amount
    return moved


def _history_value(txid: bytes, movements: _Movements) -> bytes:
    ordered = sorted(movements.items())
    return codec.encode_payload(
        HistoryEntry(txid, tuple([Movement(asset, *amounts) for asset, amounts in ordered]))
    )


def _add_system_outputs(batch: Batch, changes: Changes, made: Mapping[Outpoint, bytes]) -> None:
    height = changes.head.header.height
    system = [item for item in changes.created.items() if item[0] not in made]
    system.sort(key=lambda item: item[1].leaf)
    for rank, ((txid, _), entry) in enumerate(system):
        batch.puts[schema.transaction_key(txid)] = schema.origin_value(entry.leaf)
        value = _history_value(txid, {entry.asset: [entry.amount, 0]})
        batch.puts[schema.history_key(entry.lock, height, rank)] = value


def _add_coins(batch: Batch, get: Get, changes: Changes) -> None:
    moved: defaultdict[bytes, list[int]] = defaultdict(lambda: [0, 0])
    for entry in changes.spent.values():
        batch.deletes.append(schema.coin_key(entry.lock, entry.asset, entry.leaf))
        delta = moved[schema.balance_key(entry.lock, entry.asset)]
        delta[0] -= entry.amount
        delta[1] -= 1
    for outpoint, entry in changes.created.items():
        batch.puts[schema.output_key(entry.leaf)] = schema.output_value(outpoint, entry)
        batch.puts[schema.coin_key(entry.lock, entry.asset, entry.leaf)] = b""
        delta = moved[schema.balance_key(entry.lock, entry.asset)]
        delta[0] += entry.amount
        delta[1] += 1
    for key, (amount_delta, coins_delta) in moved.items():
        stored = get(key)
        amount, coins = (0, 0) if stored is None else schema.read_balance(stored)
        amount += amount_delta
        coins += coins_delta
        if amount < 0 or coins < 0 or (amount == 0) != (coins == 0):
            detail = f"{amount} µ in {coins} coins after height {changes.head.header.height}"
            raise DamagedChain(f"the balance of lock {key[1:33].hex()} comes to {detail}")
        if coins:
            batch.puts[key] = schema.balance_value(amount, coins)
        elif stored is not None:
            batch.deletes.append(key)


class Indexes:
    """Reads the indexes of one store. Pages are cut by `start`, which comes from a `Page`."""

    __slots__ = ("_kv",)

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv

    def balances(self, lock: bytes) -> tuple[Balance, ...]:
        """The running balance of each asset that the address holds, by asset."""
        prefix = schema.BALANCE + lock
        found = []
        for key, value in self._kv.scan(prefix, limit=BALANCES_MAX):
            amount, coins = schema.read_balance(value)
            found.append(Balance(key[len(prefix) :], amount, coins))
        return tuple(found)

    def balance(self, lock: bytes, asset: bytes) -> Balance:
        """The running balance in one asset, zero where nothing is held."""
        value = self._kv.get(schema.balance_key(lock, asset))
        return Balance(asset, *((0, 0) if value is None else schema.read_balance(value)))

    def coins(
        self, lock: bytes, *, asset: bytes = b"", start: bytes | None = None, limit: int
    ) -> Page[Coin]:
        """Unspent outputs of an address, by asset and then from the oldest on.

        `asset` narrows them to one.
        """
        page = self._page(schema.COIN + lock, asset, start, limit, reverse=False)
        coins = []
        for key, _ in page.items:
            found = stored_output(self._kv.get, int.from_bytes(key[-8:], "big"))
            if found is None:
                raise DamagedChain(f"a coin of lock {lock.hex()} has no output")
            coins.append(Coin(*found))
        return Page(tuple(coins), page.next_start)

    def history(self, lock: bytes, *, start: bytes | None = None, limit: int) -> Page[HistoryLine]:
        """What moved at an address, from the newest line down."""
        page = self._page(schema.HISTORY + lock, b"", start, limit, reverse=True)
        return Page(tuple([read_history(*row) for row in page.items]), page.next_start)

    def history_line(self, lock: bytes, height: int, rank: int) -> HistoryLine | None:
        """One line of a history; `rank` as in the schema."""
        key = schema.history_key(lock, height, rank)
        value = self._kv.get(key)
        return None if value is None else read_history(key, value)

    def accusations(self, *, start: bytes | None = None, limit: int) -> Page[AccusationLine]:
        """Evidence that blocks carried, from the newest down."""
        page = self._page(schema.ACCUSATION, b"", start, limit, reverse=True)
        return Page(tuple([read_accusation(*row) for row in page.items]), page.next_start)

    def place(self, txid: bytes) -> tuple[int, int] | None:
        """(height, position) of a final transaction."""
        return self.origin(txid)[1]

    def origin(self, txid: bytes) -> tuple[int | None, tuple[int, int] | None]:
        """The leaf of its first output and the place of a transaction, where either is known."""
        value = self._kv.get(schema.transaction_key(txid))
        return (None, None) if value is None else schema.read_origin(value)

    def spender(self, outpoint: Outpoint) -> tuple[int, int] | None:
        """(height, position) of the transaction that spent an output; None while it is unspent
        or unknown."""
        value = self._kv.get(schema.spent_by_key(outpoint))
        return None if value is None else schema.read_place(value)

    def _page(
        self, stem: bytes, narrow: bytes, start: bytes | None, limit: int, *, reverse: bool
    ) -> Page[tuple[bytes, bytes]]:
        """Rows below `stem`; `start` and `next_start` are what follows it in a key."""
        if not 1 <= limit <= PAGE_MAX:
            raise AssertionError(f"a page of {limit} rows")
        first = None if start is None else stem + start
        rows = list(self._kv.scan(stem + narrow, start=first, reverse=reverse, limit=limit + 1))
        next_start = rows[limit][0][len(stem) :] if len(rows) > limit else None
        return Page(tuple(rows[:limit]), next_start)


def stored_output(get: Get, leaf: int) -> tuple[Outpoint, OutputEntry] | None:
    """The stored output with this leaf."""
    data = get(schema.output_key(leaf))
    if data is None:
        return None
    found = schema.read_output(data)
    if found[1].leaf != leaf:
        raise DamagedChain(f"what is stored as output {leaf} belongs to {found[1].leaf}")
    return found


def read_accusation(key: bytes, value: bytes) -> AccusationLine:
    """A line about evidence from its record."""
    height, position = schema.read_place(key[1:11])
    held = schema.read_payload(
        value,
        Accusation,
        size_max=schema.ACCUSATION_BYTES_MAX,
        what=f"an accusation at height {height}",
    )
    operation = int.from_bytes(key[11:], "big")
    return AccusationLine(height, position, operation, held.txid, held.licence)


def read_history(key: bytes, value: bytes) -> HistoryLine:
    """A line of a history from its record."""
    place = key[1 + HASH_BYTES :]
    height, rank = int.from_bytes(place[:8], "big"), int.from_bytes(place[8:], "big")
    entry = schema.read_payload(
        value,
        HistoryEntry,
        size_max=schema.HISTORY_ENTRY_BYTES_MAX,
        what=f"a line of history at height {height}",
    )
    position = None if rank < schema.RANK_TRANSACTIONS else rank - schema.RANK_TRANSACTIONS
    return HistoryLine(height, position, entry.txid, entry.movements)
