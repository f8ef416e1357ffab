"""The process at the other end of `node.verify_workers`: signatures in, a byte each out.

It ends when its standard input does: a node that is killed leaves no process behind.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

from ledger.crypto import HASH_BYTES, SIGNATURE_BYTES, verify

COUNT_BYTES = 4
MESSAGE_AT, SIGNATURE_AT = HASH_BYTES, 2 * HASH_BYTES
RECORD_BYTES = 2 * HASH_BYTES + SIGNATURE_BYTES
"""Public key, message and signature, one after another."""
DESCRIPTORS_MAX = 1 << 16
"""More than LevelDB has open."""


def run(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each request, a count and so many records, with as many bytes: 1 for a good one."""
    while len(head := requests.read(COUNT_BYTES)) == COUNT_BYTES:
        data = requests.read(int.from_bytes(head, "big") * RECORD_BYTES)
        starts = range(0, len(data), RECORD_BYTES)
        answers.write(bytes([_is_valid(data[at : at + RECORD_BYTES]) for at in starts]))
        answers.flush()


def _is_valid(record: bytes) -> bool:
    return verify(record[:MESSAGE_AT], record[MESSAGE_AT:SIGNATURE_AT], record[SIGNATURE_AT:])


if __name__ == "__main__":
    # The node's loop hands on whatever is not marked, and LevelDB marks nothing: tables that it
    # removes would keep their room on the disk for as long as this process lives.
    os.closerange(3, DESCRIPTORS_MAX)
    run(sys.stdin.buffer, sys.stdout.buffer)
