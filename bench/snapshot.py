"""A snapshot made, verified and imported: seconds and bytes, printed for each part. Seconds are of
the clock and, which other work on the machine changes less, of the processor for all threads.

A state of `--outputs` outputs, each fourth of them spent, of `--locks` addresses, and `--objects`
objects, is put into a LevelDB, frozen, cut into chunks, and imported into another LevelDB as a node
does it: in one process, without a network, every batch synced. "make" and "check" are timed alone;
"import" verifies once more, as it must, and writes; "open" is what the next start does first. The
slowest single chunk is how long a node that serves, or imports, does nothing else.

    PYTHONPATH=. python bench/snapshot.py [--outputs 1000000] [--locks 100000] [--objects 1000]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time

from ledger import schema
from ledger.accumulator import Commitments
from ledger.block import COMMIT, Certificate, Header, VotePayload, make_certificate, vote_hash
from ledger.chain import Chain
from ledger.codec import encode
from ledger.crypto import ZERO_HASH, SigningKey
from ledger.epochs import Epoch
from ledger.leveldb import LevelDB
from ledger.merkle import merkle_root
from ledger.mountain_range import MountainRange
from ledger.node_records import records_with
from ledger.object_tree import ObjectTree
from ledger.objects import key_of, value_hash
from ledger.snapshot import check_chunk
from ledger.snapshot_import import Import
from ledger.snapshot_make import FrozenState, make_chunk
from ledger.spent_bitmap import SpentBitmap
from ledger.validators import Member, ValidatorSet
from ledger.view import BIRTH_ZERO, Head, OutputEntry, output_leaf

STEP = 10_000  # outputs written at once
OBJECT_BYTES = 300
SPENT_EACH = 4
CHAIN_ID = sha256(b"bench").digest()
KEYS = sorted((SigningKey(bytes([number]) * 32) for number in range(4)), key=lambda k: k.public)
MEMBERS = [Member(key.public, f"member-{number}") for number, key in enumerate(KEYS)]


def main() -> None:
    parser = argparse.ArgumentParser(description="a snapshot made, verified and imported")
    parser.add_argument("--outputs", type=int, default=1_000_000)
    parser.add_argument("--locks", type=int, default=100_000)
    parser.add_argument("--objects", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        source = LevelDB.create(Path(directory, "source"))
        state = build(source, options)
        run(state, Path(directory, "copy"), options)
        state.close()
        source.close()


def run(state: FrozenState, path: Path, options: argparse.Namespace) -> None:
    manifest, validators = state.manifest, ValidatorSet.of(MEMBERS)
    kv = LevelDB.create(path)
    taking = Import.begin(kv, manifest, CHAIN_ID, validators)
    seconds: dict[str, float] = {}
    processor: dict[str, float] = {}
    slowest: dict[str, float] = {}
    chunks = size = 0

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        started, worked = perf_counter(), process_time()
        yield
        elapsed = perf_counter() - started
        seconds[part] = seconds.get(part, 0.0) + elapsed
        processor[part] = processor.get(part, 0.0) + process_time() - worked
        slowest[part] = max(slowest.get(part, 0.0), elapsed)

    while taking.missing:
        number = next(iter(taking.missing))
        with timed("make"):
            data = make_chunk(state, number)
        assert data is not None
        with timed("check"):
            check_chunk(manifest, number, data)
        with timed("import"):
            taking.add(number, data)
        chunks, size = chunks + 1, size + len(data)
    with timed("finish"):
        taking.finish()
    with timed("open"):
        assert Chain.open(kv).head.header == manifest.header
    kv.close()
    stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    print(f"{options.outputs} outputs, {options.locks} locks, {options.objects} objects")
    print(f"{chunks} chunks, {size / 1e6:.1f} MB, the database after it {stored / 1e6:.0f} MB")
    for part, total in seconds.items():
        most = f"{1e3 * slowest[part]:8.1f} ms at most at once"
        print(f"{part:<8}{total:8.2f} s, {processor[part]:8.2f} s of processor{most}")


def build(kv: LevelDB, options: argparse.Namespace) -> FrozenState:
    """The records that chunks are made of, and a certified header over them."""
    outputs = MountainRange.empty()
    for first in range(0, options.outputs, STEP):
        puts, leaves = {}, []
        for leaf in range(first, min(first + STEP, options.outputs)):
            outpoint = (sha256(b"%d" % (leaf // 2)).digest(), leaf % 2)
            lock = sha256(b"lock%d" % (leaf % options.locks)).digest()
            entry = OutputEntry(ZERO_HASH, 1 + leaf, lock, leaf // 4_000, leaf, BIRTH_ZERO)
            leaves.append(output_leaf(outpoint, entry))
            if leaf % SPENT_EACH:
                puts[schema.output_key(leaf)] = schema.output_value(outpoint, entry)
        before = outputs
        outputs, nodes = before.append(leaves)
        puts |= records_with(kv.get, before, nodes)
        kv.write(puts, ())
    height = options.outputs // 4_000 + 1
    following = Epoch(1, height, ZERO_HASH, 1, False, ValidatorSet.of(MEMBERS).members, ())
    objects = {b"\x28%d" % number: bytes(OBJECT_BYTES) for number in range(options.objects)}
    objects[key_of(Epoch)] = encode(following)
    kv.write({schema.object_key(key): value for key, value in objects.items()}, ())
    commitments = Commitments(
        outputs,
        SpentBitmap.empty().spend(range(0, options.outputs, SPENT_EACH), options.outputs),
        ObjectTree.empty().update({key: value_hash(value) for key, value in objects.items()}),
        ZERO_HASH,
    )
    head = Head.of(header_of(height, commitments, following), commitments)
    return FrozenState(kv.frozen(), head, certificate_of(head))


def header_of(height: int, commitments: Commitments, following: Epoch) -> Header:
    nothing = merkle_root([])
    return Header(
        version=1,
        chain_id=CHAIN_ID,
        epoch=0,
        height=height,
        parent_hash=ZERO_HASH,
        tx_root=nothing,
        evidence_root=nothing,
        receipts_root=nothing,
        state_root=commitments.state_root,
        validators_hash=ValidatorSet.of(MEMBERS).hash,
        next_validators_hash=following.validators.hash,
        time_ms=1,
        proposer=MEMBERS[0].key,
    )


def certificate_of(head: Head) -> Certificate:
    payload = VotePayload(0, COMMIT, 0, head.header.height, head.hash)
    message = vote_hash(CHAIN_ID, payload)
    return make_certificate(payload, {index: KEYS[index].sign(message) for index in range(3)})


if __name__ == "__main__":
    main()
