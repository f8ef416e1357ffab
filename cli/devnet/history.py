"""What clients saw: one line of JSON for each question to a node, with its beginning and its end.

Times are milliseconds since the run began. An operation whose outcome the client does not know is
kept as such: a lost answer is no failure. The judge (`cli.devnet.judge`) reads nothing else of what
happened while faults lasted, so a history can be judged again, by somebody else too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

HISTORIES_NAME = "chaos"
"""The directory for histories in that of a devnet."""


Handed = Literal["new", "known", "refused", "lost"]
Found = Literal["final", "pending", "rejected", "unknown", "lost"]


class Operation(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base: one question to one node."""

    node: str
    start_ms: int
    end_ms: int


class Pay(Operation, frozen=True, kw_only=True, tag="pay"):
    """A payment was handed over. `lost`: no answer came, it may have arrived."""

    client: int
    txid: str
    spends: str
    """The outpoint, txid:index."""
    outcome: Handed
    code: str = ""


class Look(Operation, frozen=True, kw_only=True, tag="look"):
    """Where does this transaction stand? `block` is what the proof's header hashes to."""

    txid: str
    outcome: Found
    height: int | None = None
    block: str = ""
    code: str = ""


class Tip(Operation, frozen=True, kw_only=True, tag="tip"):
    """What is the last block?"""

    height: int
    block: str
    state_root: str


class Balance(Operation, frozen=True, kw_only=True, tag="balance"):
    """What does this client hold, and at which height is that so?"""

    client: int
    height: int
    amount: int


class Happening(Operation, frozen=True, kw_only=True, tag="fault"):
    """A fault, and when it really began and ended. `node` names whom it befell."""

    fault: str


Record = Pay | Look | Tip | Balance | Happening

_decoder = msgspec.json.Decoder(Record)


class History:
    """Appended to while a run lasts, and kept in memory for its judge."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self._file = path.open("xb")

    def add(self, record: Record) -> None:
        """At once when it ended: one clock, which never falls, orders the whole history."""
        last_ms = self.records[-1].end_ms if self.records else 0
        if not last_ms <= record.end_ms >= record.start_ms >= 0:
            raise AssertionError(f"{record} comes after one that ended at {last_ms}")
        self.records.append(record)
        self._file.write(msgspec.json.encode(record) + b"\n")

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[Record]:
    """A history that was written; raises msgspec.DecodeError."""
    return decode(path.read_bytes().splitlines())


def decode(lines: Iterable[bytes]) -> list[Record]:
    return [_decoder.decode(line) for line in lines]
