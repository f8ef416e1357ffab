"""Taking a snapshot into a new store, chunk by chunk, in any order, across restarts.

`Import.begin` writes what is to be imported, `add` each chunk with everything that follows from it
and the note that it is done, each in one synced batch; `finish` the nodes above the chunks, in
several, and then what makes the store a chain, in one. A process may be killed between any two of
them and goes on with `Import.resume`. Until it is finished `Chain.open` refuses the store by name.

What is written is what a chain has that executed every block, except for what lies below: no
bodies, no spenders, no histories and no spent outputs, of a txid where its outputs begin and no
more, and of headers and certificates those alone that end an epoch. The latter, with the sets of
all epochs, are in the store before: `ledger.boundaries` writes them, who imports has walked them.

Invariant: a chunk is verified against the manifest before anything of it is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import KeysView

from ledger import codec, schema
from ledger.block import IsValid, header_hash
from ledger.chain_load import scan_all
from ledger.codec import Wire
from ledger.crypto import verify
from ledger.epochs import Epoch
from ledger.kv import KeyValue
from ledger.mountain_range import nodes_above
from ledger.node_records import completed, read_node, records_of
from ledger.objects import decode, key_of
from ledger.schema import Base, DamagedChain, Tip
from ledger.snapshot import (
    MANIFEST_BYTES_MAX,
    RANGE_HEIGHT,
    CheckedObjects,
    CheckedOutputs,
    Manifest,
    Unspent,
    check_chunk,
    check_manifest,
)
from ledger.spent_bitmap import CHUNK_BYTES
from ledger.validators import Members, ValidatorSet

NODES_A_BATCH = 2_000
"""Nodes above chunks that are written at once: up to 4 MB, for each may be in a record of its own
that is written again."""
BALANCES_KEPT = 100_000
"""Running balances in memory, 25 MB of them: reading one takes longer than verifying an output."""

_DONE = b"\0"
_HALVED = b"\1"
_CLEAR = bytes(CHUNK_BYTES)
_LAYOUT = {schema.SCHEMA_KEY: schema.SCHEMA_VERSION.to_bytes(2, "big")}


class Source(Wire, frozen=True):
    """What is being imported; kept in the store until it is finished."""

    manifest: Manifest
    members: Members
    """Of the manifest's epoch."""

    @property
    def validators(self) -> ValidatorSet:
        return ValidatorSet(self.manifest.header.epoch, self.members)


class Import:
    """Made by `begin` or `resume`, never by its constructor."""

    __slots__ = ("_balances", "_kv", "_missing", "_source")

    def __init__(self, kv: KeyValue, source: Source) -> None:
        self._kv = kv
        self._source = source
        self._missing = _missing(kv, source.manifest)
        self._balances: dict[bytes, bytes] = {}  # some of the records, as they are in the store

    @classmethod
    def begin(
        cls,
        kv: KeyValue,
        manifest: Manifest,
        chain_id: bytes,
        validators: ValidatorSet,
        is_valid: IsValid = verify,
    ) -> Import:
        """Start in a store with the ends and sets of the epochs before, and nothing else; raises
        Invalid for a manifest that `check_manifest` refuses."""
        check_manifest(manifest, chain_id, validators, is_valid)
        _check_ancestry(kv, validators.epoch)
        source = Source(manifest, validators.members)
        walked = schema.epoch_end_key(validators.epoch)  # the base, which has a place of its own
        kv.write({schema.IMPORT_KEY: codec.encode_payload(source), **_LAYOUT}, [walked])
        return cls(kv, source)

    @classmethod
    def resume(cls, kv: KeyValue) -> Import | None:
        """Go on where a store was left; None where it holds no import, or a finished one, or one
        of another version, whose records are others."""
        data = kv.get(schema.IMPORT_KEY)
        if data is None or kv.get(schema.SCHEMA_KEY) != _LAYOUT[schema.SCHEMA_KEY]:
            return None
        size_max = MANIFEST_BYTES_MAX + schema.VALIDATOR_SET_BYTES_MAX
        what = "what is being imported"
        return cls(kv, schema.read_payload(data, Source, size_max=size_max, what=what))

    @property
    def manifest(self) -> Manifest:
        return self._source.manifest

    @property
    def missing(self) -> KeysView[int]:
        """The numbers of the chunks to ask for. Chunks of objects may be followed by others; there
        are none left when this is empty."""
        return self._missing.keys()

    def add(self, number: int, data: bytes) -> bool:
        """Verify an encoded chunk and write it; False where it is not (or no longer) missing.

        Raises Invalid for a chunk that its sender has to answer for. Nothing is written then.
        """
        if number not in self._missing:
            return False
        checked = check_chunk(self.manifest, number, data)
        halves: tuple[int, ...] = ()
        balances: dict[bytes, bytes] = {}
        if isinstance(checked, CheckedOutputs):
            balances = self._balances_with(checked.unspent)
            puts = _output_records(number, checked) | balances
        else:
            puts, halves = _object_records(checked), checked.halves
        puts[schema.progress_key(number)] = _HALVED if halves else _DONE
        self._kv.write(puts, ())
        if len(self._balances) > BALANCES_KEPT:
            self._balances.clear()
        self._balances.update(balances)
        del self._missing[number]
        self._missing.update(dict.fromkeys(halves))
        return True

    def finish(self) -> None:
        """Make the store a chain that `Chain.open` opens; every chunk must be there."""
        if self._missing:
            raise AssertionError(f"{len(self._missing)} chunks are missing")
        manifest, kv = self.manifest, self._kv
        header, roots = manifest.header, manifest.roots
        block_hash, height = header_hash(header), header.height
        epoch = kv.get(schema.object_key(key_of(Epoch)))
        following = decode(epoch or b"", Epoch).validators
        if following.hash != header.next_validators_hash:
            raise DamagedChain(f"the validators after height {height} are others than it names")
        self._complete_nodes()
        tip = codec.encode_payload(Tip(height, block_hash, roots.outputs_count, roots.supply_root))
        sets = (self._source.validators, following)
        puts = {schema.validators_key(item.epoch): codec.encode_payload(item) for item in sets}
        puts |= {
            schema.TIP_KEY: tip,
            schema.BASE_KEY: codec.encode_payload(Base(height, block_hash, roots.outputs_count)),
            schema.header_key(height): codec.encode(header),
            schema.height_by_hash_key(block_hash): height.to_bytes(8, "big"),
            schema.certificate_key(height): codec.encode(manifest.certificate),
        }
        progress = [key for key, _ in scan_all(kv, schema.PROGRESS)]
        kv.write(puts, [schema.IMPORT_KEY, *progress])

    def _complete_nodes(self) -> None:
        """Add the nodes above the chunks to the records in which chunks end. Before the store
        becomes a chain, in batches; one that was interrupted does it again."""
        count, get = self.manifest.roots.outputs_count, self._kv.get
        above = sorted(nodes_above(count, RANGE_HEIGHT, lambda at: read_node(get, at)))
        for start in range(0, len(above), NODES_A_BATCH):
            self._kv.write(completed(get, above[start : start + NODES_A_BATCH]), ())

    def _balances_with(self, unspent: tuple[Unspent, ...]) -> dict[bytes, bytes]:
        """The running balances with the outputs of one chunk added."""
        added: defaultdict[tuple[bytes, bytes], list[int]] = defaultdict(list)
        for item in unspent:
            entry = item.entry
            added[entry.lock, entry.asset].append(entry.amount)
        balances = {}
        for (lock, asset), amounts in added.items():
            key = schema.balance_key(lock, asset)
            stored = self._balances.get(key) or self._kv.get(key)
            amount, coins = (0, 0) if stored is None else schema.read_balance(stored)
            balances[key] = schema.balance_value(amount + sum(amounts), coins + len(amounts))
        return balances


def _output_records(number: int, checked: CheckedOutputs) -> dict[bytes, bytes]:
    puts = records_of(sorted(checked.nodes))
    if checked.flags != _CLEAR:
        puts[schema.chunk_key(number)] = checked.flags
    for item in checked.unspent:
        outpoint, entry = item.outpoint, item.entry
        name = (outpoint.txid, outpoint.index)
        origin = schema.origin_value(entry.leaf - outpoint.index)
        puts[schema.transaction_key(outpoint.txid)] = origin
        puts[schema.output_key(entry.leaf)] = schema.output_value(name, entry)
        puts[schema.coin_key(entry.lock, entry.asset, entry.leaf)] = b""
    return puts


def _object_records(checked: CheckedObjects) -> dict[bytes, bytes]:
    return {schema.object_key(key): value for key, value in checked.objects.items()}


def _check_ancestry(kv: KeyValue, epoch: int) -> None:
    """Every epoch before has its end and its set: a store with a gap could show nobody the way."""
    found = [key for key, _ in scan_all(kv, b"")]
    own = [key for key in found if key[:1] not in (schema.EPOCH_END, schema.VALIDATORS)]
    if own:
        raise AssertionError("a snapshot is imported into a new store only")
    needed = {schema.epoch_end_key(number) for number in range(epoch)}
    needed |= {schema.validators_key(number) for number in range(epoch)}
    if not needed.issubset(found):
        raise AssertionError(f"ends or validators of epochs before {epoch} are missing")


def _missing(kv: KeyValue, manifest: Manifest) -> dict[int, None]:
    """What the notes in the store leave to be done, in ascending order."""
    notes = {
        schema.read_number(key[1:], 8, "number of a chunk"): value
        for key, value in scan_all(kv, schema.PROGRESS)
    }
    missing = [number for number in range(manifest.output_chunks) if number not in notes]
    subtrees = [1]
    for subtree in subtrees:  # grows while it runs, by the halves of those that were halved
        number = manifest.object_chunk(subtree)
        if number not in notes:
            missing.append(number)
        elif notes[number] == _HALVED:
            subtrees += (2 * subtree, 2 * subtree + 1)
    return dict.fromkeys(missing)
