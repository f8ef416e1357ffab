"""What four layouts of the same records cost LevelDB: its own thread, and the one that writes.

No ledger: the records of transfers with one input and two outputs, of random bytes and of the sizes
that a validator stores, in blocks of 300, one each 0.3 s, after as many outputs as are asked for.
What a block spends is read first. `outpoint` has outputs under their outpoints and deletes them,
`leaf` has them under their leaves for good, `two` has ids and balances in a second database as
well, `four` has outputs and bodies in two more (docs/adr/0020, 0021, 0025). Each takes two minutes
and more, and 1 GB for each two million outputs.

    PYTHONPATH=. python bench/merging.py --layout four --outputs 2000000
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import plyvel

BLOCK = 300
BLOCK_S = 0.3
ADDRESSES = 500
FAN_OUT = 64
SETTLE_S = 15
DATABASES: dict[str, tuple[bytes, ...]] = {
    "outpoint": (),
    "leaf": (),
    "two": (b"tv",),
    "four": (b"O", b"r", b"tv"),
}
"""Kinds of records that have databases of their own."""
WRITTEN = re.compile(r"Level-0 table #\d+: (\d+) bytes")
REWRITTEN = re.compile(r"=> (\d+) bytes")
TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Output:
    outpoint: bytes
    lock: bytes
    leaf: int


class Store:
    """One database or more, and the records of blocks."""

    def __init__(self, path: Path, layout: str, buffer_mib: int) -> None:
        self.layout, self.path, self.random = layout, path, Random(5)
        self.first = open_database(path, buffer_mib)
        self.others = [
            (kinds, open_database(path / kinds.decode(), buffer_mib)) for kinds in DATABASES[layout]
        ]
        self.asset = self.random.randbytes(32)
        self.addresses = [self.random.randbytes(32) for _ in range(ADDRESSES)]
        self.unspent: list[Output] = []
        self.made: list[Output] = []
        self.leaves = self.records = 0

    def write(self, puts: dict[bytes, bytes], deletes: list[bytes]) -> None:
        first = self.first.write_batch(sync=True)
        batches = [database.write_batch(sync=True) for _, database in self.others]
        batch_of = {
            bytes((kind,)): batch
            for (kinds, _), batch in zip(self.others, batches, strict=True)
            for kind in kinds
        }
        again: list[bytes] = []
        for key in deletes:
            first.delete(key)
        for key, value in puts.items():
            batch_of.get(key[:1], first).put(key, value)
            if self.others and key[:1] in b"tv":
                again += (key, value)
        if self.others:
            first.put(b"\xff", b"".join(again))
        for batch in (*batches, first):
            batch.write()
        self.unspent += self.made
        self.made = []

    def get(self, key: bytes) -> Any:
        source = next((other for kinds, other in self.others if key[:1] in kinds), self.first)
        return source.get(key, verify_checksums=True)

    def add_output(self, puts: dict[bytes, bytes], txid: bytes, index: int, lock: bytes) -> None:
        leaf, outpoint = number(self.leaves), txid + index.to_bytes(4, "big")
        coin = b"a" + lock + self.asset + leaf
        if self.layout == "outpoint":
            puts[b"o" + outpoint] = self.random.randbytes(105)
            puts[b"u" + leaf] = puts[coin] = outpoint
        else:
            puts[b"O" + leaf] = outpoint + self.random.randbytes(105)
            puts[coin] = b""
        self.made.append(Output(outpoint, lock, self.leaves))
        self.leaves += 1

    def fan_out(self) -> None:
        txid, puts = self.random.randbytes(32), dict[bytes, bytes]()
        puts[b"t" + txid] = self.random.randbytes(10 if self.layout == "outpoint" else 18)
        for index in range(FAN_OUT):
            self.add_output(puts, txid, index, self.random.choice(self.addresses))
        self.write(puts, [])

    def block(self, height: int) -> None:
        puts, deletes = dict[bytes, bytes](), list[bytes]()
        for position in range(BLOCK):
            self.transfer(height, position, puts, deletes)
        puts[b"n" + number(self.records)] = self.random.randbytes(1_024)
        self.write(puts, deletes)

    def transfer(
        self, height: int, position: int, puts: dict[bytes, bytes], deletes: list[bytes]
    ) -> None:
        random, unspent = self.random, self.unspent
        drawn = random.randrange(len(unspent))
        unspent[drawn], unspent[-1] = unspent[-1], unspent[drawn]
        spent = unspent.pop()
        txid, to = random.randbytes(32), random.choice(self.addresses)
        place = number(height) + position.to_bytes(2, "big")
        leaf = number(spent.leaf)
        if self.layout == "outpoint":
            found = [self.get(b"o" + spent.outpoint)]
            puts[b"t" + txid] = place
            deletes += (b"o" + spent.outpoint, b"u" + leaf)
        else:
            found = [self.get(b"t" + spent.outpoint[:32]), self.get(b"O" + leaf)]
            puts[b"t" + txid] = number(self.leaves) + place
        assert None not in found
        puts[b"x" + spent.outpoint] = place
        puts[b"r" + place] = random.randbytes(430)
        deletes.append(b"a" + spent.lock + self.asset + leaf)
        for index, lock in enumerate((to, spent.lock)):
            self.add_output(puts, txid, index, lock)
            puts[b"v" + lock + self.asset] = random.randbytes(24)
            puts[b"y" + lock + place] = random.randbytes(80)
        if position % 16 == 0:
            puts[b"n" + number(self.records)] = random.randbytes(2_048)
            self.records += 1

    def bytes_written(self) -> tuple[int, int]:
        """Into new tables, and again by merging."""
        logs = [path.read_text("utf-8", "replace") for path in self.path.rglob("LOG")]
        new, again = (
            sum(int(size) for log in logs for size in pattern.findall(log))
            for pattern in (WRITTEN, REWRITTEN)
        )
        return new, again


def open_database(path: Path, buffer_mib: int) -> Any:
    return plyvel.DB(
        str(path),
        create_if_missing=True,
        paranoid_checks=True,
        write_buffer_size=buffer_mib << 20,
        compression=None,
        lru_cache_size=8 << 20,
        max_open_files=1_000,
        bloom_filter_bits=10,
    )


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def thread_seconds() -> tuple[float, float]:
    """Of the processor: this thread, all others."""
    main = others = 0.0
    for path in Path("/proc/self/task").iterdir():
        fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
        spent_s = (int(fields[11]) + int(fields[12])) / TICKS_S
        if int(path.name) == os.getpid():
            main = spent_s
        else:
            others += spent_s
    return main, others


def main() -> None:
    parser = argparse.ArgumentParser(description="what layouts of records cost LevelDB")
    parser.add_argument("--layout", choices=tuple(DATABASES), default="four")
    parser.add_argument("--outputs", type=int, default=300_000)
    parser.add_argument("--transfers", type=int, default=60_000)
    parser.add_argument("--buffer", type=int, default=16, help="MiB, of each database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory) / "store", options.layout, options.buffer)
        while len(store.unspent) < options.outputs:
            store.fan_out()
        time.sleep(SETTLE_S)
        before, written = thread_seconds(), store.bytes_written()
        for height in range(options.transfers // BLOCK):
            due_s = time.monotonic() + BLOCK_S
            store.block(height)
            time.sleep(max(0.0, due_s - time.monotonic()))
        time.sleep(SETTLE_S)
        after, end = thread_seconds(), store.bytes_written()
    count = options.transfers // BLOCK * BLOCK
    seconds = zip(("the writing thread", "LevelDB's threads"), before, after, strict=True)
    for name, begin_s, end_s in seconds:
        print(f"{name:<20}{(end_s - begin_s) * 1e6 / count:8.1f} µs a transfer")
    sizes = zip(("new tables", "merging"), written, end, strict=True)
    for name, begin_bytes, end_bytes in sizes:
        print(f"{name:<20}{(end_bytes - begin_bytes) / count:8.0f} bytes a transfer")


if __name__ == "__main__":
    main()
