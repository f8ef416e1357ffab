"""Opening a stored chain: its schema, its last block, and the commitments rebuilt from records.

What the header of the last block commits to is worked out from the stored outputs, flags and
objects: a store that says otherwise is refused before anything is read from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ledger import schema
from ledger.accumulator import Commitments
from ledger.block import HEADER_BYTES_MAX, Header, header_hash
from ledger.kv import Reader
from ledger.mountain_range import MountainRange
from ledger.node_records import partly_filled, read_node
from ledger.object_tree import ObjectTree
from ledger.objects import value_hash
from ledger.reasons import Invalid
from ledger.schema import Base, DamagedChain, Tip, UnfinishedImport
from ledger.spent_bitmap import SpentBitmap
from ledger.view import Head

SCAN_ROWS = 1_000
"""Rows read at a time where a whole range is walked: bounds what one step holds in memory."""
SCAN_ROWS_FIRST = 16
"""Rows read first, then twice as many each time: most who walk want the beginning alone."""
NEW_NODE = "make a new node with `marsa node init`, or check the name of the data directory"
NEWER_NODE = "use the newer version of marsa that wrote it"


def load_head(kv: Reader) -> Head:
    """The last block with its commitments; raises DamagedChain where they are not its header's."""
    _check_schema(kv)
    data = kv.get(schema.TIP_KEY)
    if data is None:
        raise DamagedChain("the tip is missing")
    tip = schema.read_payload(data, Tip, size_max=schema.TIP_BYTES_MAX, what="the tip")
    stored = kv.get(schema.header_key(tip.height))
    if stored is None:
        raise DamagedChain(f"the header of the tip, height {tip.height}, is missing")
    header = schema.read_sealed(
        stored, Header, size_max=HEADER_BYTES_MAX, what=f"the header at height {tip.height}"
    )
    if header.height != tip.height or header_hash(header) != tip.hash:
        raise DamagedChain(f"the header at height {tip.height} is not the one the tip names")
    commitments = _load_commitments(kv, tip)
    if commitments.state_root != header.state_root:
        detail = f"outputs, flags, objects or supply are not those of height {tip.height}"
        raise DamagedChain(detail)
    return Head(header, tip.hash, commitments)


def load_base(kv: Reader) -> Base | None:
    """The block at which a store begins that was imported from a snapshot; None for genesis."""
    data = kv.get(schema.BASE_KEY)
    if data is None:
        return None
    return schema.read_payload(data, Base, size_max=schema.TIP_BYTES_MAX, what="the base")


def load_bodies_from(kv: Reader, base: Base | None) -> int:
    """The lowest height whose body is there."""
    data = kv.get(schema.BODIES_KEY)
    lowest = 0 if data is None else schema.read_number(data, 8, "height of the lowest body")
    return lowest if base is None else max(lowest, base.height + 1)


def scan_all(
    kv: Reader, prefix: bytes, start: bytes | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """Every row under a prefix from `start` up, read in steps."""
    size = SCAN_ROWS_FIRST
    while True:
        rows = list(kv.scan(prefix, start=start, limit=size + 1))
        yield from rows[:size]
        if len(rows) <= size:
            return
        start = rows[size][0]
        size = min(2 * size, SCAN_ROWS)


def _check_schema(kv: Reader) -> None:
    if kv.get(schema.IMPORT_KEY) is not None:
        raise UnfinishedImport
    data = kv.get(schema.SCHEMA_KEY)
    if data is None:
        if next(kv.scan(b"", limit=1), None) is None:
            raise DamagedChain("the database is empty", NEW_NODE)
        raise DamagedChain("the schema version is missing")
    version = schema.read_number(data, 2, "schema version")
    if version > schema.SCHEMA_VERSION:
        detail = f"it has schema {version}, this program reads {schema.SCHEMA_VERSION}"
        raise DamagedChain(detail, NEWER_NODE)
    if version < 1:
        raise DamagedChain(f"schema version {version} never existed")
    if version < schema.SCHEMA_VERSION:
        raise schema.OlderLayout(version)


def _load_commitments(kv: Reader, tip: Tip) -> Commitments:
    chunks = {
        schema.read_number(key[1:], 8, "number of a chunk"): flags
        for key, flags in scan_all(kv, schema.CHUNK)
    }
    try:
        spent = SpentBitmap.load(chunks, tip.outputs_count)
    except Invalid as error:
        raise DamagedChain(f"the spent flags cannot be read ({error})") from None
    objects = {key[1:]: value for key, value in scan_all(kv, schema.OBJECT)}
    outputs = MountainRange.load(tip.outputs_count, lambda position: read_node(kv.get, position))
    partly_filled(kv.get, outputs)
    return Commitments(
        outputs=outputs,
        spent=spent,
        objects=tree_of(objects),
        supply_root=tip.supply_root,
    )


def tree_of(objects: Mapping[bytes, bytes]) -> ObjectTree:
    """The tree over all objects, encoded."""
    return ObjectTree.empty().update({key: value_hash(data) for key, data in objects.items()})
