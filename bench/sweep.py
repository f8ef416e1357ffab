"""What deadlines and periods cost a block beside an empty one, on a chain in LevelDB.

Run: PYTHONPATH=. nice .venv/bin/python bench/sweep.py
For each cap of `SWEEP_OBJECTS_MAX`: 10,000 devices whose commitments end at one moment, swept block
by block. Then the start of a period with 1,024 commitments of 16 attestations each, of 32 issuers:
of one schedule, of as many as there are attestations, with a lower figure in each that waits, and
with one in each commitment, or in each attestation, that has waited when the sixth period starts.
A block is executed and appended; its cost is processor time and waiting for the disk, without
waiting for a core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median

import msgspec

from cli.bench_ledger import Clocks
from ledger import sweep
from ledger.block import COMMIT, Block, VotePayload, make_certificate
from ledger.chain import Chain
from ledger.codec import encode
from ledger.crypto import SIGNATURE_BYTES
from ledger.economy.attestor import AttestorGrant
from ledger.economy.capacity import (
    ATTESTATIONS_MAX,
    COMMITMENTS_MAX,
    COMMITMENTS_OF_ISSUER_MAX,
    HOUR_MS,
    MICROHOURS_A_HOUR,
    CapacityCommitment,
    CommitmentTerms,
    LowerFigure,
)
from ledger.economy.due import DEVICE_CLOCK, Due
from ledger.execution import Execution
from ledger.genesis import Genesis, GenesisCommitment, SignedAttestation
from ledger.genesis_state import genesis_state
from ledger.leveldb import LevelDB
from ledger.objects import CLOCK_STEP_MS_MAX, decode, key_of, value_hash
from ledger.times import DAY_MS
from ledger.view import Changes, Head
from tests.ledger.world import PERIOD_MS, TIME_MS, commitment, device, grant, key, make_genesis

CAPS = (64, 128, 256, 512, 1_024)
DEVICES = 10_000
A_COMMITMENT = 250
EMPTY_BLOCKS = 20
PERIODS = 10
BLOCK_MS = 100
END_MS = TIME_MS + PERIOD_MS
"""When all devices are free."""


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        for cap in CAPS:
            measure_sweep(Path(directory) / f"cap-{cap}", cap)
        due_ms = TIME_MS + 5 * PERIOD_MS - DAY_MS
        for kind, ends, lower, since_ms in (
            ("one schedule", 1, 0, 0),
            ("amended", ATTESTATIONS_MAX, 0, 0),
            ("lower figures wait", ATTESTATIONS_MAX, ATTESTATIONS_MAX, TIME_MS),
            ("one falls due", ATTESTATIONS_MAX, 1, due_ms),
            ("all fall due", ATTESTATIONS_MAX, ATTESTATIONS_MAX, due_ms),
        ):
            changes = genesis_state(many_commitments())
            first = contradicted(changes, ends=ends, lower=lower, since_ms=since_ms)
            measure_periods(Path(directory) / f"periods {kind}", kind, first)


def measure_sweep(directory: Path, cap: int) -> None:
    sweep.SWEEP_OBJECTS_MAX = cap
    genesis = many_devices()
    run = Run(directory, genesis, genesis_state(genesis))
    while run.chain.head.header.time_ms + CLOCK_STEP_MS_MAX < END_MS:
        run.block(CLOCK_STEP_MS_MAX)
    empty = median([run.block(BLOCK_MS) for _ in range(EMPTY_BLOCKS)])
    costs = [run.block(CLOCK_STEP_MS_MAX)]
    while run.is_due():
        costs.append(run.block(BLOCK_MS))
    show(f"{DEVICES:,} devices, {cap} a block", costs, empty)
    run.kv.close()


def measure_periods(directory: Path, kind: str, first: Changes) -> None:
    run = Run(directory, many_commitments(), first)
    empty = median([run.block(BLOCK_MS) for _ in range(EMPTY_BLOCKS)])
    costs = []
    period = TIME_MS // PERIOD_MS
    while len(costs) < PERIODS:
        cost = run.block(CLOCK_STEP_MS_MAX)
        if run.chain.head.header.time_ms // PERIOD_MS != period:
            costs.append(cost)
            period = run.chain.head.header.time_ms // PERIOD_MS
    show(f"period, {COMMITMENTS_MAX:,} commitments, {kind}", costs, empty)
    run.kv.close()


def show(what: str, costs: Sequence[float], empty: float) -> None:
    more = [(cost - empty) * 1_000 for cost in costs]
    figures = f"{min(more):6.1f} {median(more):6.1f} {max(more):6.1f} ms"
    print(f"{what:48} {len(costs):4} blocks, beyond {empty * 1_000:.1f} ms: {figures}", flush=True)


class Run:
    """A chain of one: blocks become final because nobody else is asked."""

    def __init__(self, directory: Path, genesis: Genesis, changes: Changes) -> None:
        self.kv = LevelDB.create(directory)
        self.chain = Chain.create(self.kv, changes)
        self.proposer = genesis.validators.members[0].key
        self.signatures = {
            index: bytes(SIGNATURE_BYTES) for index in range(genesis.validators.quorum)
        }

    def is_due(self) -> bool:
        """Whether a device still waits."""
        first = next(self.chain.objects(key_of(Due, DEVICE_CLOCK)), None)
        return first is not None and int.from_bytes(first[0][2:10], "big") <= END_MS

    def block(self, after_ms: int) -> float:
        """Seconds that an empty block costs, so much later than the last."""
        before = Clocks.read()
        time_ms = self.chain.head.header.time_ms + after_ms
        changes = Execution(self.chain, time_ms=time_ms, proposer=self.proposer).finish()
        header = changes.head.header
        vote = VotePayload(header.epoch, COMMIT, 0, header.height, changes.head.hash)
        certificate = make_certificate(vote, self.signatures)
        self.chain.append(Block(header, ()), certificate, changes, ())
        return Clocks.read().cost_since(before)


def many_devices() -> Genesis:
    """Beside the usual commitments such as end with the first period, with all the devices."""
    made = make_genesis(4, ("alice",), epoch_blocks=10_000, epoch_ms=86_400_000)
    short = []
    for number in range(DEVICES // A_COMMITMENT):
        issuer, name = f"val{number % 4}", f"short-{number}"
        hours = A_COMMITMENT * MICROHOURS_A_HOUR * PERIOD_MS // HOUR_MS
        item = commitment(issuer, name=name, machines=A_COMMITMENT, microhours=hours)
        terms = msgspec.structs.replace(item.terms, to_ms=END_MS, region=name)
        short.append(msgspec.structs.replace(item, terms=terms))
    return msgspec.structs.replace(made, commitments=(*made.commitments, *short))


def many_commitments() -> Genesis:
    """As many issuers, commitments and attestations as there may be, all of which count."""
    made = make_genesis(4, ("alice",), epoch_blocks=10_000, epoch_ms=86_400_000)
    attestors = [f"lab-{number:02}" for number in range(ATTESTATIONS_MAX)]
    issuers = [f"val{number}" for number in range(COMMITMENTS_MAX // COMMITMENTS_OF_ISSUER_MAX)]
    said = [
        SignedAttestation(name, 900_000 + number, bytes(SIGNATURE_BYTES))
        for number, name in enumerate(attestors)
    ]
    return msgspec.structs.replace(
        made,
        attestors=tuple(
            AttestorGrant(name, name, name, key(f"attestor/{name}").public) for name in attestors
        ),
        licences=tuple(grant(name, validator=name in issuers[:4]) for name in issuers),
        commitments=tuple(
            GenesisCommitment(_terms(issuer, number), (_device(issuer, number),), tuple(said))
            for issuer in issuers
            for number in range(COMMITMENTS_OF_ISSUER_MAX)
        ),
    )


def contradicted(first: Changes, *, ends: int, lower: int, since_ms: int) -> Changes:
    """The state with schedules that were amended while they were attested, so that attestations
    have so many ends and each stretch is judged for itself; `lower` of them with a lower figure."""
    objects = dict(first.objects)
    for place, data in first.objects.items():
        if data is not None and place.startswith(key_of(CapacityCommitment)):
            held = decode(data, CapacityCommitment)
            attestations = tuple(
                msgspec.structs.replace(
                    item,
                    until_ms=item.until_ms - number % ends * PERIOD_MS,
                    lower=(LowerFigure(1, since_ms),) if number < lower else (),
                )
                for number, item in enumerate(held.attestations)
            )
            objects[place] = encode(msgspec.structs.replace(held, attestations=attestations))
    commitments, nodes = first.head.commitments.advance(
        created=[],
        spent=[],
        objects={place: value_hash(data) for place, data in objects.items()},
        supply_root=first.head.commitments.supply_root,
    )
    header = msgspec.structs.replace(first.head.header, state_root=commitments.state_root)
    head = Head.of(header, commitments)
    return Changes(head, first.created, {}, objects, [*first.nodes, *nodes])


def _terms(issuer: str, number: int) -> CommitmentTerms:
    terms = commitment(issuer, name=f"c{number}").terms
    return msgspec.structs.replace(terms, region=f"region-{number}")


def _device(issuer: str, number: int) -> bytes:
    return sha256(device(f"{issuer}/{number}")).digest()


if __name__ == "__main__":
    main()
