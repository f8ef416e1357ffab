"""What a block costs that is as full of operations as it may be, on a chain in LevelDB.

Run: PYTHONPATH=. nice .venv/bin/python bench/operations.py
For mints of an issuer with 32 commitments of 16 attestations each, all amended between any two of
these, for applications in a full registry, and for pledged devices: milliseconds to execute the
block, signatures apart, and of each operation. Processor time and waiting for the disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.sweep import BLOCK_MS, Run, contradicted, many_commitments
from cli.bench_ledger import Clocks
from ledger.block import BLOCK_OPERATIONS_MAX
from ledger.economy.capacity import ATTESTATIONS_MAX, MICROHOURS_MAX, PLEDGE_DEVICES_MAX
from ledger.execution import Execution
from ledger.genesis import Genesis
from ledger.genesis_state import genesis_state
from ledger.membership import APPLICATIONS_MAX, LICENCES_MAX
from ledger.operations import Apply, Mint, Operation, PledgeDevices, count_of
from ledger.transaction import OPERATIONS_MAX, Fee, Output, SignedTransaction
from tests.ledger.world import COIN, World, device, grant, key, lock_of, make_genesis, sign

PAYERS = tuple(f"payer{number}" for number in range(BLOCK_OPERATIONS_MAX // OPERATIONS_MAX))
FEE = 20_000
RUNS = 5


def main() -> None:
    genesis = crowded()
    world = World(genesis)
    cases = {
        "mints": list(mints(world)),
        "applications": list(applications(world)),
        "devices": list(pledges(world)),
    }
    with tempfile.TemporaryDirectory() as directory:
        first = contradicted(genesis_state(genesis), ends=ATTESTATIONS_MAX, lower=0, since_ms=0)
        run = Run(Path(directory) / "chain", genesis, first)
        for _ in range(RUNS):
            run.block(BLOCK_MS)
        for what, txs in cases.items():
            costs = sorted(cost_of(run, txs) for _ in range(RUNS))
            count = sum(count_of(tx.body.operations) for tx in txs)
            least, most = (cost * 1_000 for cost in (costs[0], costs[-1]))
            each = f"{least / count:.2f} ms an operation"
            print(f"{what:14} {len(txs):3} transactions: {least:6.1f} to {most:6.1f} ms, {each}")
        run.kv.close()


def cost_of(run: Run, txs: Sequence[SignedTransaction]) -> float:
    """Seconds to execute them as one block, which is thrown away."""
    time_ms = run.chain.head.header.time_ms + BLOCK_MS
    before = Clocks.read()
    execution = Execution(run.chain, time_ms=time_ms, proposer=bytes(32))
    for tx in txs:
        execution.add(tx)
    execution.finish()
    return Clocks.read().cost_since(before)


def crowded() -> Genesis:
    """As many commitments as there may be, one of which promises much; as many licences as leave
    room for applications, and who pays."""
    made = many_commitments()
    first = made.commitments[0]
    first = msgspec.structs.replace(
        first, terms=msgspec.structs.replace(first.terms, microhours=MICROHOURS_MAX)
    )
    more = range(LICENCES_MAX - APPLICATIONS_MAX - len(made.licences))
    others = [grant(f"other{number}", validator=False, issuer=False) for number in more]
    return msgspec.structs.replace(
        made,
        licences=(*made.licences, *others),
        commitments=(first, *made.commitments[1:]),
        allocations=tuple(
            msgspec.structs.replace(item, amount=COIN)
            for item in make_genesis(4, PAYERS).allocations
        ),
    )


def mints(world: World) -> Iterator[SignedTransaction]:
    for lane, payer in enumerate(PAYERS):
        public = key("val0/treasury").public
        operations = [Mint("val0", public, lane, number, 1) for number in range(OPERATIONS_MAX)]
        yield paid(world, payer, operations, OPERATIONS_MAX, "val0/treasury")


def applications(world: World) -> Iterator[SignedTransaction]:
    for payer in PAYERS:
        names = [f"{payer}-{number}" for number in range(OPERATIONS_MAX)]
        operations = [Apply(grant(name, validator=False)) for name in names]
        yield paid(world, payer, operations, 0, *(f"{name}/operations" for name in names))


def pledges(world: World) -> Iterator[SignedTransaction]:
    """Of as many devices as one operation may name."""
    public, commitment = key("val0/operations").public, world.genesis.commitments[0].terms.id
    each = count_of(
        [PledgeDevices("val0", public, 0, 0, commitment, 0, (bytes(32),) * PLEDGE_DEVICES_MAX)]
    )
    for version in range(BLOCK_OPERATIONS_MAX // each):
        ids = sorted(device(f"new/{version}/{index}") for index in range(PLEDGE_DEVICES_MAX))
        operation = PledgeDevices("val0", public, 0, version, commitment, version, tuple(ids))
        yield paid(world, PAYERS[version], [operation], 0, "val0/operations")


def paid(
    world: World, payer: str, operations: Sequence[Operation], minted: int, *signers: str
) -> SignedTransaction:
    coin = world.coin(payer)
    output = Output(coin.asset, coin.amount + minted - FEE, lock_of(payer))
    body = world.body([coin], [output], fee=Fee(coin.asset, FEE), operations=operations)
    return sign(body, [payer], signers)


if __name__ == "__main__":
    main()
