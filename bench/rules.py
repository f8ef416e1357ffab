"""Cost of the rules for one transfer of 1 input and 2 outputs, without signatures.

Run: PYTHONPATH=. python bench/rules.py
Prints µs a transaction for decode, stateless checks, and check + add + finish in blocks of 500,
where every output of the state is in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from time import perf_counter_ns

from ledger import transaction
from ledger.crypto import ZERO_HASH
from ledger.locks import Key
from ledger.transaction import Fee, Input, KeySignature, Output, SignedTransaction, Witness
from ledger.view import BIRTH_ZERO, OutputEntry
from tests.ledger.world import COIN, World, key, lock_of

BLOCK = 500
BLOCKS = 10
EMPTY_SIGNATURE = bytes(64)


def main() -> None:
    world = World()
    batches = [make_transfers(world, number) for number in range(BLOCKS)]
    raws = [tx.raw for batch in batches for tx in batch]
    decode_ns = measure(lambda: [transaction.decode(raw) for raw in raws])
    txs = [tx for batch in batches for tx in batch]
    stateless_ns = measure(
        lambda: [transaction.check_stateless(tx, world.chain_id, world.fees) for tx in txs]
    )
    apply_ns, finish_ns = execute(world, batches)
    count = len(raws)
    for name, nanoseconds in (
        ("decode", decode_ns),
        ("check_stateless", stateless_ns),
        ("check and add", apply_ns),
        ("finish", finish_ns),
    ):
        print(f"{name:24}{nanoseconds / count / 1000:8.1f} us a transaction")


def measure(run: Callable[[], object]) -> int:
    begin = perf_counter_ns()
    run()
    return perf_counter_ns() - begin


def execute(world: World, batches: list[list[SignedTransaction]]) -> tuple[int, int]:
    """Nanoseconds spent in `add` and in `finish`."""
    apply_ns = finish_ns = 0
    for batch in batches:
        execution = world.execution()
        begin = perf_counter_ns()
        for tx in batch:
            execution.add(tx)
        middle = perf_counter_ns()
        changes = execution.finish()
        end = perf_counter_ns()
        world.state.apply(changes)
        apply_ns += middle - begin
        finish_ns += end - middle
    return apply_ns, finish_ns


def make_transfers(world: World, number: int) -> list[SignedTransaction]:
    """Transfers of outputs that are put into the state as if an earlier block had made them."""
    return [make_transfer(world, number * BLOCK + index) for index in range(BLOCK)]


def make_transfer(world: World, index: int) -> SignedTransaction:
    txid = sha256(index.to_bytes(8, "big")).digest()
    spent = Input(txid, 0, world.asset(), COIN)
    outputs = [
        Output(spent.asset, 5_000, lock_of("bob")),
        Output(spent.asset, COIN - 5_000 - 2_000, lock_of("alice")),
    ]
    body = world.body([spent], outputs, fee=Fee(spent.asset, 2_000))
    witness = Witness(
        (Key(key("alice").public),), (KeySignature(key("alice").public, EMPTY_SIGNATURE),), ()
    )
    place(world, txid, index)
    return transaction.seal(body, witness)


def place(world: World, txid: bytes, index: int) -> None:
    commitments = world.state.head.commitments
    entry = OutputEntry(
        world.asset(), COIN, lock_of("alice"), 0, commitments.outputs.count, BIRTH_ZERO
    )
    after, _ = commitments.advance(
        created=[ZERO_HASH], spent=[], objects={}, supply_root=commitments.supply_root
    )
    head = world.state.head
    world.state.head = type(head)(head.header, head.hash, after)
    world.state.outputs[txid, 0] = entry


if __name__ == "__main__":
    main()
