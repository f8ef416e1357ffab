"""The reference job: a small piece of real work that any machine does, unit by unit.

A unit is a chain of SHA-256 over what the order and the unit's number say, so that nobody can know
its digest without doing it, and whoever doubts one does it again. A provider runs other jobs
with `--job`; they must speak the same lines:

    COMMAND run ORDER FIRST     writes a line `UNIT DIGEST DEVICE_US` for each unit from FIRST on,
                                device time in µs since it started, for as long as it may
    COMMAND check ORDER         reads lines `UNIT DIGEST`, writes `ok` or `wrong` for each

It is stopped by a signal, and paused by SIGSTOP while no receipt comes.
"""

from __future__ import annotations

import sys
import time
from hashlib import sha256

WORKLOAD = "hashing"
"""What a holder orders it by."""
ROUNDS = 4_000
"""Hashes of a unit: about two milliseconds of one core."""


def unit_digest(order: bytes, unit: int) -> bytes:
    """The work of one unit."""
    digest = sha256(b"marsa/job/" + order + unit.to_bytes(8, "big")).digest()
    for _ in range(ROUNDS):
        digest = sha256(digest).digest()
    return digest


def run(order: bytes, first: int) -> None:
    """Units from `first` on, until somebody ends it."""
    unit = first
    while True:
        digest = unit_digest(order, unit)
        used_us = time.process_time_ns() // 1_000
        sys.stdout.write(f"{unit} {digest.hex()} {used_us}\n")
        sys.stdout.flush()
        unit += 1


def check(order: bytes) -> None:
    """Answers line by line until there are no more."""
    for line in sys.stdin:
        unit, digest = line.split()
        is_right = unit_digest(order, int(unit)).hex() == digest
        sys.stdout.write("ok\n" if is_right else "wrong\n")
        sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """0, or 2 where the arguments are none of the two above."""
    match arguments:
        case ["run", order, first]:
            run(bytes.fromhex(order), int(first))
        case ["check", order]:
            check(bytes.fromhex(order))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(0)
