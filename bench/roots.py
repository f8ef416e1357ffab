"""Cost of the state roots: microseconds a transaction, printed for each part.

A chain of `--outputs` outputs, of which every fourth is spent, gets blocks of `--transactions`
transfers with one input and two outputs; inputs are drawn at random among all unspent outputs.
"state root" is the whole step from block to root: outputs, bitmap and objects.
Leaf hashes are ready before the clock starts: their cost belongs to the transaction. The
median over the blocks is printed beside the best and the worst.

    python bench/roots.py [--outputs 1000000] [--transactions 500] [--blocks 20] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from hashlib import sha256
from random import Random
from statistics import median
from time import perf_counter_ns
from typing import TypeVar

from ledger.accumulator import Commitments
from ledger.crypto import ZERO_HASH
from ledger.merkle import merkle_root
from ledger.mountain_range import MountainRange
from ledger.object_tree import ObjectTree
from ledger.spent_bitmap import SpentBitmap

OBJECTS = 1_000
OBJECTS_A_BLOCK = 8  # a fee pot, a reserve for each of a few issuers, an attestation or two

Result = TypeVar("Result")


class Clock:
    """Microseconds a transaction, by part and block."""

    def __init__(self, transactions: int) -> None:
        self._transactions = transactions
        self.samples: dict[str, list[float]] = {}

    def time(self, part: str, work: Callable[[], Result]) -> Result:
        started = perf_counter_ns()
        result = work()
        elapsed = (perf_counter_ns() - started) / 1_000
        self.samples.setdefault(part, []).append(elapsed / self._transactions)
        return result


def main() -> None:
    """Build the base, run the blocks, print the table."""
    parser = argparse.ArgumentParser(description="microseconds a transaction for the state roots")
    parser.add_argument("--outputs", type=int, default=1_000_000)
    parser.add_argument("--transactions", type=int, default=500)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    random = Random(options.seed)
    count = options.outputs
    state, _ = Commitments(
        MountainRange.empty(), SpentBitmap.empty(), ObjectTree.empty(), ZERO_HASH
    ).advance(
        created=(leaf(number) for number in range(count)),
        spent=range(0, count, 4),
        objects={b"%d" % number: leaf(number) for number in range(OBJECTS)},
        supply_root=ZERO_HASH,
    )
    unspent = [number for number in range(count) if number % 4]
    random.shuffle(unspent)

    clock = Clock(options.transactions)
    for _ in range(options.blocks):
        created = [leaf(count + number) for number in range(2 * options.transactions)]
        spent = [unspent.pop() for _ in range(options.transactions)]
        objects: dict[bytes, bytes | None] = {
            b"%d" % random.randrange(OBJECTS): leaf(count) for _ in range(OBJECTS_A_BLOCK)
        }
        count += len(created)
        state = run_block(clock, state, created, spent, objects)
    report(clock, options)


def run_block(
    clock: Clock,
    state: Commitments,
    created: list[bytes],
    spent: list[int],
    objects: dict[bytes, bytes | None],
) -> Commitments:
    """Each part alone, then the whole step as a node takes it."""
    count = state.outputs.count + len(created)
    clock.time("outputs", lambda: state.outputs.append(created)[0].root)
    flags = clock.time("spent bitmap", lambda: state.spent.spend(spent, count))
    clock.time("objects", lambda: state.objects.update(objects))
    clock.time("changed chunks", lambda: flags.changed_chunks(state.spent))
    clock.time("transaction list", lambda: merkle_root(created[: len(spent)]))

    def advance() -> tuple[Commitments, bytes]:
        after, _ = state.advance(
            created=created, spent=spent, objects=objects, supply_root=ZERO_HASH
        )
        return after, after.state_root

    return clock.time("state root", advance)[0]


def report(clock: Clock, options: argparse.Namespace) -> None:
    print(
        f"{options.outputs} outputs, {options.blocks} blocks of {options.transactions} "
        f"transactions (1 in, 2 out), seed {options.seed}; us a transaction"
    )
    print(f"{'part':<24}{'median':>8}{'best':>8}{'worst':>8}")
    samples = clock.samples
    pair = [a + b for a, b in zip(samples["outputs"], samples["spent bitmap"], strict=True)]
    for part, values in (*samples.items(), ("outputs + spent bitmap", pair)):
        print(f"{part:<24}{median(values):>8.2f}{min(values):>8.2f}{max(values):>8.2f}")


def leaf(number: int) -> bytes:
    return sha256(number.to_bytes(8, "big")).digest()


if __name__ == "__main__":
    main()
