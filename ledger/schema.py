"""Every record of the store: its prefix, its key, its value and its meaning, in one table.

A key is one prefix byte and fixed-width fields, numbers big-endian, so that the order of the
bytes is the order of the numbers and a range of keys is a range of heights. Object keys alone
vary in length; they are last in their key.

| prefix | key after it | value | meaning |
| --- | --- | --- | --- |
| `m` | `schema` | version u16 | layout of this store |
| `m` | `tip` | `Tip` | the last final block; moves in the batch that writes the block |
| `m` | `base` | `Base` | the block at which a store begins that was imported from a snapshot |
| `m` | `bodies` | height u64 | bodies of lower blocks were pruned |
| `m` | `import` | `Import` | the snapshot that is being imported; no chain before that is done |
| `O` | leaf u64 | txid 32, index u32, `OutputEntry` | what outlived its block, spent or not |
| `h` | height u64 | `Header` | the chain |
| `i` | block hash 32 | height u64 | a block by its hash |
| `l` | height u64 | 32 bytes a transaction | leaves of `tx_root`, in the order of the block |
| `r` | height u64, position u16 | sealed transaction | bodies, one record a transaction |
| `e` | epoch u64 | `ValidatorSet` | who voted in an epoch: certificates are checked against it |
| `c` | height u64 | `Certificate` | q COMMIT signatures; height 0 has none |
| `d` | epoch u64 | `EpochEnd` | the last block of an epoch that ended below an imported base |
| `t` | txid 32 | leaf u64, height u64, position u16 | a final transaction by its id |
| `x` | txid 32, index u32 | height u64, position u16 | the transaction that spent an output |
| `n` | number u64 | 32 bytes a node | nodes of the mountain range, by 32 leaves |
| `b` | chunk number u64 | flags 128 | chunks of the spent bitmap that are not clear |
| `k` | object key | encoded object | protocol objects |
| `a` | lock 32, asset 32, leaf u64 | nothing | unspent outputs of an address |
| `v` | lock 32, asset 32 | amount u128, coins u64 | running balance, absent when zero |
| `y` | lock 32, height u64, rank u32 | `HistoryEntry` | what moved at an address |
| `g` | height u64, position u16, operation u16 | `Accusation` | evidence that a block carried |
| `q` | time u64 | `ReserveSample` | how issuers stood at a header time, from time to time |
| `p` | chunk number u64 | 1 byte | chunks that are imported; gone with the record `import` |
| `w` | height u64, view u64, SHA-256 32 | size u32 | NEW-VIEWs entered, by first height |
| `f` | SHA-256 32 | NEW-VIEW | the messages behind `w`, as received |

`rank` orders one block: outputs of the system in the order of their leaves, then transactions
from `RANK_TRANSACTIONS` on. The leaf in `t` is that of a transaction's first output. It is
left out where nothing is made, the place where an output of the system is meant, or one below an
imported base.

`O` is a capital letter because it sorts before all others that a block writes. Outputs are only
ever added, so the tables of LevelDB that were written last begin above the older ones: to read one
of these asks no newer table in vain.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from ledger import codec
from ledger.block import Certificate, Header
from ledger.codec import AmountOrZero, Bytes32, Slug, T, UInt, Wire, WireT
from ledger.errors import StorageError
from ledger.reasons import Invalid
from ledger.transaction import INPUTS_MAX, OUTPUTS_MAX
from ledger.view import Outpoint, OutputEntry

SCHEMA_VERSION: Final = 4

META: Final = b"m"
HEADER: Final = b"h"
HEIGHT_BY_HASH: Final = b"i"
LEAVES: Final = b"l"
BODY: Final = b"r"
VALIDATORS: Final = b"e"
CERTIFICATE: Final = b"c"
EPOCH_END: Final = b"d"
TRANSACTION: Final = b"t"
OUTPUT: Final = b"O"
SPENT_BY: Final = b"x"
NODE: Final = b"n"
CHUNK: Final = b"b"
OBJECT: Final = b"k"
COIN: Final = b"a"
BALANCE: Final = b"v"
HISTORY: Final = b"y"
PROGRESS: Final = b"p"
WITNESS: Final = b"w"
NEW_VIEW: Final = b"f"
ACCUSATION: Final = b"g"
SAMPLE: Final = b"q"

SCHEMA_KEY: Final = META + b"schema"
TIP_KEY: Final = META + b"tip"
BASE_KEY: Final = META + b"base"
BODIES_KEY: Final = META + b"bodies"
IMPORT_KEY: Final = META + b"import"

RANK_TRANSACTIONS: Final = 1 << 31

ADVICE: Final = (
    "stop this node, let `marsa node reset` delete its chain and start it: it copies the chain from"
    " its peers; it is never repaired in place"
)


class DamagedChain(StorageError):
    """The store contradicts itself: a fault of this machine, never of a peer. Stops the node."""

    def __init__(self, what: str, advice: str = ADVICE) -> None:
        super().__init__(f"the stored chain is damaged: {what}; {advice}")
        self.what = what


class OlderLayout(StorageError):
    """The store was written by a version before this one, which reads it no more."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"the database has schema {version}, this program reads {SCHEMA_VERSION}; stop the"
            " node, let `marsa node reset` delete its chain and start it: it copies the chain from"
            " its peers; one node after the other, each once the one before votes again"
        )


class UnfinishedImport(StorageError):
    """The store is a snapshot of which chunks are missing: no chain yet, and not damaged."""

    def __init__(self) -> None:
        super().__init__(
            "the database is a snapshot that was imported in part, no chain yet; let the node go on"
            " with the import, or let `marsa node reset` delete what it has"
        )


class Tip(Wire, frozen=True):
    """What cannot be read off the last header: how to rebuild the commitments behind its roots."""

    height: UInt
    hash: Bytes32
    outputs_count: UInt
    supply_root: Bytes32


class Base(Wire, frozen=True):
    """The block at which an imported store begins, and how many outputs were made until then."""

    height: UInt
    hash: Bytes32
    outputs_count: UInt


class EpochEnd(Wire, frozen=True):
    """The last block of an epoch without its body, and what made it final."""

    header: Header
    certificate: Certificate


class Movement(Wire, frozen=True):
    """What one transaction gave to and took from an address, in one asset."""

    asset: Bytes32
    received: AmountOrZero
    sent: AmountOrZero


MOVEMENTS_MAX: Final = INPUTS_MAX + OUTPUTS_MAX  # each input and output may have its own asset


class HistoryEntry(Wire, frozen=True):
    """One line of an address's history; movements in ascending order of asset."""

    txid: Bytes32
    movements: Annotated[tuple[Movement, ...], Meta(max_length=MOVEMENTS_MAX)]


class Accusation(Wire, frozen=True):
    """Who was accused by which transaction; the votes are in its body."""

    txid: Bytes32
    licence: Slug


ACCUSATION_BYTES_MAX: Final = 128
HISTORY_ENTRY_BYTES_MAX: Final = 64 + MOVEMENTS_MAX * 64
TIP_BYTES_MAX: Final = 128
OUTPUT_ENTRY_BYTES_MAX: Final = 192
OUTPOINT_BYTES: Final = 36
CERTIFICATE_BYTES_MAX: Final = 4096
VALIDATOR_SET_BYTES_MAX: Final = 4096
EPOCH_END_BYTES_MAX: Final = 5120


def header_key(height: int) -> bytes:
    return HEADER + height.to_bytes(8, "big")


def height_by_hash_key(block_hash: bytes) -> bytes:
    return HEIGHT_BY_HASH + block_hash


def validators_key(epoch: int) -> bytes:
    return VALIDATORS + epoch.to_bytes(8, "big")


def leaves_key(height: int) -> bytes:
    return LEAVES + height.to_bytes(8, "big")


def body_key(height: int, position: int) -> bytes:
    return BODY + place_value(height, position)


def certificate_key(height: int) -> bytes:
    return CERTIFICATE + height.to_bytes(8, "big")


def epoch_end_key(epoch: int) -> bytes:
    return EPOCH_END + epoch.to_bytes(8, "big")


def transaction_key(txid: bytes) -> bytes:
    return TRANSACTION + txid


def output_key(leaf: int) -> bytes:
    return OUTPUT + leaf.to_bytes(8, "big")


def spent_by_key(outpoint: Outpoint) -> bytes:
    return SPENT_BY + outpoint_value(outpoint)


def nodes_key(number: int) -> bytes:
    """By the number of the record, `node_records.record_of`."""
    return NODE + number.to_bytes(8, "big")


def chunk_key(number: int) -> bytes:
    return CHUNK + number.to_bytes(8, "big")


def object_key(key: bytes) -> bytes:
    return OBJECT + key


def coin_key(lock: bytes, asset: bytes, leaf: int) -> bytes:
    return COIN + lock + asset + leaf.to_bytes(8, "big")


def progress_key(chunk: int) -> bytes:
    return PROGRESS + chunk.to_bytes(8, "big")


def balance_key(lock: bytes, asset: bytes) -> bytes:
    return BALANCE + lock + asset


def history_key(lock: bytes, height: int, rank: int) -> bytes:
    return HISTORY + lock + height.to_bytes(8, "big") + rank.to_bytes(4, "big")


def witness_key(height: int, view: int, digest: bytes) -> bytes:
    return WITNESS + height.to_bytes(8, "big") + view.to_bytes(8, "big") + digest


def new_view_key(digest: bytes) -> bytes:
    return NEW_VIEW + digest


def accusation_key(height: int, position: int, operation: int) -> bytes:
    """By the place of the transaction and of the operation in it."""
    return ACCUSATION + place_value(height, position) + operation.to_bytes(2, "big")


def sample_key(time_ms: int) -> bytes:
    return SAMPLE + time_ms.to_bytes(8, "big")


def outpoint_value(outpoint: Outpoint) -> bytes:
    txid, index = outpoint
    return txid + index.to_bytes(4, "big")


def output_value(outpoint: Outpoint, entry: OutputEntry) -> bytes:
    return outpoint_value(outpoint) + codec.encode(entry)


def read_outpoint(data: bytes) -> Outpoint:
    _check_size(data, OUTPOINT_BYTES, "outpoint")
    return data[:32], int.from_bytes(data[32:], "big")


def read_output(data: bytes) -> tuple[Outpoint, OutputEntry]:
    entry = data[OUTPOINT_BYTES:]
    return (
        read_outpoint(data[:OUTPOINT_BYTES]),
        read_sealed(entry, OutputEntry, size_max=OUTPUT_ENTRY_BYTES_MAX, what="an output"),
    )


def place_value(height: int, position: int) -> bytes:
    return height.to_bytes(8, "big") + position.to_bytes(2, "big")


def read_place(data: bytes) -> tuple[int, int]:
    """(height, position) of a transaction."""
    _check_size(data, 10, "place of a transaction")
    return int.from_bytes(data[:8], "big"), int.from_bytes(data[8:], "big")


def origin_value(leaf: int | None, place: bytes = b"") -> bytes:
    return (b"" if leaf is None else leaf.to_bytes(8, "big")) + place


def read_origin(data: bytes) -> tuple[int | None, tuple[int, int] | None]:
    """What is known of a txid: the leaf of its first output, (height, position)."""
    if len(data) == 10:
        return None, read_place(data)
    leaf = int.from_bytes(data[:8], "big")
    return leaf, read_place(data[8:]) if len(data) != 8 else None


def balance_value(amount: int, coins: int) -> bytes:
    return amount.to_bytes(16, "big") + coins.to_bytes(8, "big")


def read_balance(data: bytes) -> tuple[int, int]:
    """(amount, number of coins)."""
    _check_size(data, 24, "balance")
    return int.from_bytes(data[:16], "big"), int.from_bytes(data[16:], "big")


def read_number(data: bytes, size: int, what: str) -> int:
    _check_size(data, size, what)
    return int.from_bytes(data, "big")


def read_sealed(data: bytes, cls: type[WireT], *, size_max: int, what: str) -> WireT:
    """A record with an envelope; raises DamagedChain."""
    try:
        return codec.decode(data, cls, size_max=size_max)
    except Invalid as error:
        raise DamagedChain(f"{what} cannot be read ({error})") from None


def read_payload(data: bytes, cls: type[T], *, size_max: int, what: str) -> T:
    """A record of this store alone, without an envelope; raises DamagedChain."""
    try:
        return codec.decode_payload(data, cls, size_max=size_max)
    except Invalid as error:
        raise DamagedChain(f"{what} cannot be read ({error})") from None


def _check_size(data: bytes, size: int, what: str) -> None:
    if len(data) != size:
        raise DamagedChain(f"{what} has {len(data)} bytes instead of {size}")
