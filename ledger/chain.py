"""The ledger on disk: every final block, the state after the last one, and the indexes.

`append` writes a block with all that follows from it in one synced batch, so the store is always
the state after exactly one block. `Chain` is also the `View` of that state: the rules read it,
`Overlay` puts blocks on top that are not final yet. There is one owner; nothing here locks.

A store that was imported from a snapshot begins at `base`, the end of an epoch: below are no
blocks, spenders or histories. Of blocks below `bodies_from` the bodies are pruned. What is not
there for one of these reasons is None, what is missing otherwise is damage.

Invariants:
- heights `base` to tip are all there, each block's parent is the block below it;
- the roots in memory are those of the last header: `open` rebuilds them from the stored outputs,
  flags and objects and refuses a store whose header says otherwise;
- after a failed write the value in memory is still that of the old tip.

A fault of the store is a `StorageError`, of which `DamagedChain` says that records contradict
each other. Both stop the node. A block that does not fit is a bug of the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ledger import codec, schema, transaction
from ledger.block import (
    HEADER_BYTES_MAX,
    Block,
    Certificate,
    Header,
    header_hash,
    is_commit_of,
)
from ledger.chain_load import (
    NEW_NODE,
    load_base,
    load_bodies_from,
    load_head,
    scan_all,
)
from ledger.crypto import HASH_BYTES
from ledger.epochs import Epoch, epoch_after
from ledger.indexes import Batch, Indexes, add_indexes, stored_output
from ledger.kv import KeyValue
from ledger.merkle import merkle_proof
from ledger.mountain_range import MountainRange
from ledger.node_records import read_node, records_with
from ledger.objects import decode, key_of
from ledger.proofs import TransactionProof, UnspentProof
from ledger.pruning import add_pruning
from ledger.recent import RecentMap
from ledger.schema import DamagedChain, EpochEnd, Tip
from ledger.snapshot_make import FrozenState
from ledger.spent_bitmap import SpentBitmap
from ledger.transaction import OutPoint, SignedTransaction
from ledger.validators import ValidatorSet
from ledger.view import Changes, Head, Outpoint, OutputEntry

Found = TypeVar("Found")
OUTPUTS_REMEMBERED = 16_384
"""What waits is looked up when it comes and when a block holds it; some 8 MiB."""


@dataclass(frozen=True, slots=True)
class FinalTransaction:
    """A transaction in its block."""

    height: int
    position: int
    raw: bytes


class Chain:
    """Made by `create` or `open`, never by its constructor."""

    __slots__ = (
        "_head",
        "_is_archive",
        "_kv",
        "_read_of_late",
        "bodies_from",
        "imported",
        "indexes",
    )

    def __init__(self, kv: KeyValue, head: Head, *, is_archive: bool) -> None:
        self._kv = kv
        self._head = head
        self._is_archive = is_archive
        self.imported = load_base(kv)
        """The block that the store begins with, where it was imported from a snapshot."""
        self.bodies_from = load_bodies_from(kv, self.imported)
        """The lowest height whose body is there."""
        self.indexes = Indexes(kv)
        self._read_of_late: RecentMap[Outpoint, OutputEntry] = RecentMap(OUTPUTS_REMEMBERED)
        """Stored outputs never change; only whether they are spent is asked each time."""

    @classmethod
    def create(cls, kv: KeyValue, changes: Changes, *, is_archive: bool = True) -> Chain:
        """Write the genesis block, which has no certificate, into an empty store.

        Unless it `is_archive`, a chain prunes old bodies as it grows.
        """
        header = changes.head.header
        if next(kv.scan(b"", limit=1), None) is not None:
            raise DamagedChain("a new chain was to be written over another", NEW_NODE)
        if header.height != 0 or header.state_root != changes.head.commitments.state_root:
            raise AssertionError(f"height {header.height} is no genesis, or has another state")
        empty = SpentBitmap.empty()
        batch = _block_batch(kv, Block(header, ()), changes, (), empty, MountainRange.empty())
        batch.puts[schema.SCHEMA_KEY] = schema.SCHEMA_VERSION.to_bytes(2, "big")
        kv.write(batch.puts, batch.deletes)
        return cls(kv, changes.head, is_archive=is_archive)

    @classmethod
    def open(cls, kv: KeyValue, *, is_archive: bool = True) -> Chain:
        """Read the last block and rebuild its commitments; raises DamagedChain, and
        UnfinishedImport for what is no chain yet.

        `boot_audit.audit_boot` looks at the blocks below.
        """
        return cls(kv, load_head(kv), is_archive=is_archive)

    def freeze(self) -> FrozenState:
        """The state after the last block, which must end an epoch, while the chain moves on: what
        `snapshot_make.make_chunk` reads. The caller closes it."""
        certificate = self.certificate(self.height)
        if certificate is None or not self._head.header.ends_epoch:
            raise AssertionError(f"height {self.height} is not the end of an epoch")
        objects = self._kv.frozen(schema.OBJECT)
        return FrozenState(self._kv, objects, self._head, certificate)

    # The view of the state after the last final block.

    @property
    def head(self) -> Head:
        return self._head

    @property
    def height(self) -> int:
        return self._head.header.height

    @property
    def base(self) -> int:
        """The lowest height that is there."""
        return 0 if self.imported is None else self.imported.height

    @property
    def first_epoch(self) -> int:
        """That of the lowest block that is there."""
        header = None if self.imported is None else self.header(self.base)
        return 0 if header is None else header.epoch

    @property
    def first_listed(self) -> int:
        """The lowest height whose transactions are known by their leaves."""
        return 0 if self.imported is None else self.imported.height + 1

    @property
    def chain_id(self) -> bytes:
        return self._head.header.chain_id

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        """The entry of an unspent output, None where unknown or spent."""
        flags = self._head.commitments.spent
        known = self._read_of_late.get(outpoint)
        if known is not None:
            return None if flags.is_spent(known.leaf) else known
        txid, index = outpoint
        first, _ = self.indexes.origin(txid)
        leaf = 0 if first is None else first + index
        if first is None or leaf >= flags.count or flags.is_spent(leaf):
            return None
        found = stored_output(self._kv.get, leaf)
        if found is None:
            raise DamagedChain(f"output {leaf} is missing and not flagged as spent")
        if found[0] == outpoint:
            self._read_of_late.put(outpoint, found[1])
            return found[1]
        if index == 0:
            raise DamagedChain(f"output {leaf} is not that of {txid.hex()}, which has its id")
        return None  # the transaction made fewer

    def output_at(self, leaf: int) -> OutputEntry | None:
        """The entry of a stored output; None below an imported base where it was spent there, and
        where it was spent by its own block."""
        found = stored_output(self._kv.get, leaf)
        return None if found is None else found[1]

    def is_spent(self, outpoint: Outpoint) -> bool:
        """Whether the output existed and a final block spent it."""
        return self.indexes.spender(outpoint) is not None

    def object(self, key: bytes) -> bytes | None:
        """An encoded protocol object."""
        return self._kv.get(schema.object_key(key))

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Objects whose keys begin with `prefix`, in ascending order of key."""
        for key, value in scan_all(self._kv, schema.object_key(prefix)):
            yield key[1:], value

    def outputs(self) -> Iterator[tuple[Outpoint, OutputEntry]]:
        """All unspent outputs, by leaf; for counting again, not while blocks are appended."""
        spent = self._head.commitments.spent
        for key, value in scan_all(self._kv, schema.OUTPUT):
            outpoint, entry = schema.read_output(value)
            if key != schema.output_key(entry.leaf) or entry.leaf >= spent.count:
                raise DamagedChain(f"what is stored as output {key[1:].hex()} is none")
            if not spent.is_spent(entry.leaf):
                yield outpoint, entry

    # Writing.

    def append(
        self,
        block: Block,
        certificate: Certificate,
        changes: Changes,
        transactions: Sequence[SignedTransaction] | None = None,
    ) -> None:
        """Make the next block final, in one atomic, synced batch.

        The caller executed the block and verified the certificate; `transactions` saves decoding
        the body again where the executor holds it decoded. A block that is not the next, or does
        not belong to its certificate or changes, raises AssertionError and writes nothing.
        """
        self._check_next(block, certificate, changes)
        if transactions is None:
            transactions = [transaction.decode(raw) for raw in block.transactions]
        elif tuple([tx.raw for tx in transactions]) != block.transactions:
            raise AssertionError("the decoded transactions are not those of the block")
        since = self._head.commitments
        batch = _block_batch(self._kv, block, changes, transactions, since.spent, since.outputs)
        key = schema.certificate_key(block.header.height)
        batch.puts[key] = codec.encode(certificate)
        bodies_from = self.bodies_from
        if not self._is_archive:
            bodies_from = add_pruning(batch, self._kv, block.header.height, bodies_from)
        self._kv.write(batch.puts, batch.deletes)
        self._head, self.bodies_from = changes.head, bodies_from

    def _check_next(self, block: Block, certificate: Certificate, changes: Changes) -> None:
        header, head = block.header, changes.head
        if header.height != self.height + 1:
            raise AssertionError(f"height {header.height} appended to height {self.height}")
        if header.parent_hash != self._head.hash:
            raise AssertionError(f"the block at height {header.height} has another parent")
        if head.header != header or head.hash != header_hash(header):
            raise AssertionError(f"the changes at height {header.height} are of another block")
        if head.commitments.state_root != header.state_root:
            raise AssertionError(f"the changes at height {header.height} have another state root")
        if not is_commit_of(certificate, header, head.hash):
            raise AssertionError(f"the certificate at height {header.height} is of another block")

    # Blocks and transactions.

    def header(self, height: int) -> Header | None:
        """The header at a height; None below the base and above the tip."""
        data = self._kv.get(schema.header_key(height))
        if data is None:
            self._expect_absent(height, self.base, "header")
            return None
        what = f"the header at height {height}"
        found = schema.read_sealed(data, Header, size_max=HEADER_BYTES_MAX, what=what)
        return _placed(found, found.height, height, what)

    def validators(self, epoch: int) -> ValidatorSet | None:
        """The set of an epoch that has begun, from genesis on; None for a later one."""
        data = None if epoch < 0 else self._kv.get(schema.validators_key(epoch))
        if data is None:
            if 0 <= epoch <= epoch_after(self._head.header):
                raise DamagedChain(f"the validators of epoch {epoch} are missing")
            return None
        what = f"the validators of epoch {epoch}"
        size_max = schema.VALIDATOR_SET_BYTES_MAX
        found = schema.read_payload(data, ValidatorSet, size_max=size_max, what=what)
        return _placed(found, found.epoch, epoch, what)

    def epoch_end(self, epoch: int) -> EpochEnd | None:
        """The last block of an epoch that ended below an imported base; None for all others."""
        if not 0 <= epoch < self.first_epoch:
            return None
        data = self._kv.get(schema.epoch_end_key(epoch))
        if data is None:
            raise DamagedChain(f"the end of epoch {epoch} is missing")
        what = f"the end of epoch {epoch}"
        found = schema.read_payload(data, EpochEnd, size_max=schema.EPOCH_END_BYTES_MAX, what=what)
        return _placed(found, found.header.epoch, epoch, what)

    def height_of(self, block_hash: bytes) -> int | None:
        """The height of a final block."""
        data = self._kv.get(schema.height_by_hash_key(block_hash))
        return None if data is None else schema.read_number(data, 8, "height of a block")

    def leaves(self, height: int) -> tuple[bytes, ...] | None:
        """The leaves of a block's `tx_root`: the wtxids, in order; None above the tip, at an
        imported base and below."""
        data = self._joined_leaves(height)
        if data is None:
            return None
        return tuple([data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)])

    def transaction_count(self, height: int) -> int | None:
        """How many transactions a block holds, without listing them; None as for `leaves`."""
        data = self._joined_leaves(height)
        return None if data is None else len(data) // HASH_BYTES

    def block(self, height: int) -> Block | None:
        """A header with its body; None above the tip and where the body is pruned."""
        header, leaves = self.header(height), self.leaves(height)
        if header is None or leaves is None or height < self.bodies_from:
            return None
        prefix = schema.body_key(height, 0)[:-2]
        rows = self._kv.scan(prefix, limit=len(leaves) + 1)
        body = []
        for position, (key, raw) in enumerate(rows):
            if key != schema.body_key(height, position):
                raise DamagedChain(f"transaction {position} at height {height} is missing")
            body.append(raw)
        if len(body) != len(leaves):
            detail = f"{len(body)} transactions at height {height} instead of {len(leaves)}"
            raise DamagedChain(detail)
        return Block(header, tuple(body))

    def certificate(self, height: int) -> Certificate | None:
        """The certificate that made a block final; None for height 0, below the base and above
        the tip."""
        data = self._kv.get(schema.certificate_key(height))
        if data is None:
            self._expect_absent(height, max(self.base, 1), "certificate")
            return None
        what, size_max = f"the certificate at height {height}", schema.CERTIFICATE_BYTES_MAX
        found = schema.read_sealed(data, Certificate, size_max=size_max, what=what)
        return _placed(found, found.height, height, what)

    def raw_transaction(self, height: int, position: int) -> bytes | None:
        """One transaction of a body, without reading the others."""
        return self._kv.get(schema.body_key(height, position))

    def transaction(self, txid: bytes) -> FinalTransaction | None:
        """A final transaction; None where it is unknown, pending or refused, and where its body
        is pruned, while `indexes.place` still tells its block."""
        place = self.indexes.place(txid)
        if place is None or place[0] < self.bodies_from:
            return None
        raw = self.raw_transaction(*place)
        if raw is None:
            raise DamagedChain(f"transaction {txid.hex()} has no body")
        return FinalTransaction(*place, raw)

    # Proofs.

    def transaction_proof(self, height: int, position: int) -> TransactionProof | None:
        """That a transaction is in its block; None where there is no such transaction."""
        header, leaves = self.header(height), self.leaves(height)
        if header is None or leaves is None or not 0 <= position < len(leaves):
            return None
        return TransactionProof(header, merkle_proof(leaves, position))

    def unspent_proof(self, outpoint: Outpoint) -> UnspentProof | None:
        """That an output is unspent after the last block; None where it is unknown or spent."""
        entry = self.output(outpoint)
        if entry is None:
            return None
        commitments = self._head.commitments
        return UnspentProof(
            header=self._head.header,
            outpoint=OutPoint(*outpoint),
            entry=entry,
            output=commitments.outputs.prove(entry.leaf, self.node),
            spent=commitments.spent.prove(entry.leaf),
            roots=commitments.roots,
        )

    def node(self, position: int) -> bytes:
        """A stored node of the mountain range."""
        return read_node(self._kv.get, position)

    def scan(self, prefix: bytes, *, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """All records under a prefix of the schema, from `start` up; for audits."""
        return scan_all(self._kv, prefix, start)

    def _joined_leaves(self, height: int) -> bytes | None:
        data = self._kv.get(schema.leaves_key(height))
        if data is None:
            self._expect_absent(height, self.first_listed, "list of transactions")
        elif len(data) % HASH_BYTES:
            raise DamagedChain(f"the list of transactions at height {height} is cut")
        return data

    def _expect_absent(self, height: int, lowest: int, what: str) -> None:
        if lowest <= height <= self.height:
            raise DamagedChain(f"the {what} at height {height} is missing")


def _placed(found: Found, number: int, wanted: int, what: str) -> Found:
    """What was read, if it is what lies there: a disk may answer with the record of another place,
    and a replica that took another block's certificate for its own would sign with it."""
    if number != wanted:
        raise DamagedChain(f"what is stored as {what} belongs to {number}")
    return found


def _block_batch(
    kv: KeyValue,
    block: Block,
    changes: Changes,
    transactions: Sequence[SignedTransaction],
    since: SpentBitmap,
    outputs: MountainRange,
) -> Batch:
    """All records of one block but its certificate; `since` and `outputs` are those before it."""
    header, head = block.header, changes.head
    height = header.height
    batch = Batch({}, [])
    puts = batch.puts
    puts[schema.header_key(height)] = codec.encode(header)
    puts[schema.height_by_hash_key(head.hash)] = height.to_bytes(8, "big")
    puts[schema.leaves_key(height)] = b"".join([tx.wtxid for tx in transactions])
    for position, raw in enumerate(block.transactions):
        puts[schema.body_key(height, position)] = raw
    puts |= records_with(kv.get, outputs, changes.nodes)
    for number, flags in head.commitments.spent.changed_chunks(since):
        puts[schema.chunk_key(number)] = flags
    for key, value in changes.objects.items():
        if value is None:
            batch.deletes.append(schema.object_key(key))
        else:
            puts[schema.object_key(key)] = value
    if header.ends_epoch or height == 0:
        following = decode(changes.objects[key_of(Epoch)] or b"", Epoch).validators
        puts[schema.validators_key(following.epoch)] = codec.encode_payload(following)
    add_indexes(batch, kv.get, changes, transactions)
    outputs_count = head.commitments.outputs.count
    tip = Tip(height, head.hash, outputs_count, head.commitments.supply_root)
    puts[schema.TIP_KEY] = codec.encode_payload(tip)
    return batch
