"""What must hold in every run. A `Violation` names the checker that found it.

Checked after every append of an honest node: agreement, validity against the reference ledger,
order and exactly once, the certificate as stored, equal state roots. At every restart: what was
reported final is there. Every `RECOUNT_BLOCKS` and at the end: the supply equation over the whole
stored state. After every event: bounds of queues, and that a node never asks to be woken in vain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from operator import gt

from consensus.replica_state import PARK_HEIGHTS, PARK_VIEWS
from ledger import codec, schema
from ledger.accumulator import StateRoots
from ledger.block import (
    COMMIT,
    Certificate,
    check_certificate,
    header_hash,
)
from ledger.chain import Chain
from ledger.errors import InvariantBroken
from ledger.invariants import recount
from ledger.mempool import BYTES_MAX as POOL_BYTES_MAX
from ledger.mempool import TRANSACTIONS_MAX as POOL_TRANSACTIONS_MAX
from ledger.object_tree import ObjectTree
from ledger.objects import value_hash
from ledger.reasons import Invalid
from ledger.schema import DamagedChain
from ledger.transaction import SignedTransaction
from node.engine import Engine
from node.epochs import EARLY_MAX
from node.fetching import RANGE_BLOCKS_MAX
from node.sync import CLAIMS_MAX
from tests.sim.reference import NotValid, Reference, reference_quorum
from tests.sim.world import SimWorld

RECOUNT_BLOCKS = 10
BOUNDED = (
    "slots",
    "parked",
    "view_changes",
    "suspects",
    "marks",
    "prepared",
    "certified",
    "executed",
    "blocks executed",
    "bodies",
    "sync",
    "inbox",
    "pool",
    "bytes of the pool",
    "early messages",
    "claims",
    "failed peers",
)
PREPARED_OF_A_LOG_MAX = 10_000
"""More than the logs of a run hold."""


class Violation(AssertionError):
    """`checker` found that something which must hold does not."""

    def __init__(self, checker: str, where: str, detail: str) -> None:
        super().__init__(f"{checker}: {where}: {detail}")
        self.checker = checker


@dataclass
class Checkers:
    """What the whole cluster agreed on so far, and how far each honest node told of it."""

    world: SimWorld
    hashes: list[bytes] = field(default_factory=list)
    roots: list[bytes] = field(default_factory=list)
    bodies: list[tuple[bytes, ...]] = field(default_factory=list)
    told: dict[int, int] = field(default_factory=dict)
    """Height up to which each address reported final blocks."""
    proved: set[bytes] = field(default_factory=set)
    """Stored certificates that were verified, as bytes: every machine holds the same ones."""
    recounted: int = 0
    """Height of the last recount before the end."""
    counted: tuple[StateRoots, dict[bytes, bytes], dict[bytes, bytes]] | None = None
    """Roots, outputs and objects that were counted last, as bytes."""
    is_tree_made: bool = False
    """Made anew from all objects, at the end: once is enough, the roots are equal."""

    def __post_init__(self) -> None:
        head = self.world.changes.head
        self.hashes.append(head.hash)
        self.roots.append(head.header.state_root)
        self.bodies.append(())
        self.reference = Reference(self.world)

    @property
    def height(self) -> int:
        return len(self.hashes) - 1

    def size_of(self, epoch: int) -> int:
        """How many validators an epoch has; one that nobody finished is as large as the last."""
        sets = self.reference.epochs.sets
        return len(sets[min(epoch, len(sets) - 1)].members)

    def finalized(
        self, address: int, engine: Engine, *, whole: bool = True
    ) -> list[SignedTransaction]:
        """Judge what an honest node just made final; answers what is new to the cluster.

        One that is not `whole` may hold coins that its disk changed: it is not recounted.
        """
        new: list[SignedTransaction] = []
        for item in engine.finalized:
            height = item.header.height
            expected = self.told.get(address, 0) + 1
            if height != expected:
                self._fail("exactly once, in order", address, f"{height} instead of {expected}")
            self.told[address] = height
            new += self._judge(address, engine.chain, height, recounts=whole)
        return new

    def started(
        self, address: int, chain: Chain, *, whole: bool = False
    ) -> list[SignedTransaction]:
        """A node rose again: what it told must be there, what it adds must agree.

        `whole` looks at every block: its disk did something.
        """
        told = self.told.get(address, 0)
        if chain.height < told:
            self._fail("durability", address, f"told {told}, has {chain.height}")
        new: list[SignedTransaction] = []
        for height in range(1 if whole else max(1, told), chain.height + 1):
            try:
                new += self._judge(address, chain, height, recounts=not whole)
            except DamagedChain as damage:
                self._fail("stored chain", address, damage.what)
        self.told[address] = chain.height
        return new

    def _judge(
        self, address: int, chain: Chain, height: int, *, recounts: bool = True
    ) -> list[SignedTransaction]:
        block, certificate = chain.block(height), chain.certificate(height)
        if block is None or certificate is None:
            self._fail("durability", address, f"no block or certificate at {height}")
        block_hash = header_hash(block.header)
        if certificate.block_hash != block_hash or certificate.height != height:
            self._fail("certificate", address, f"of another block at {height}")
        epoch = block.header.epoch
        if epoch >= len(self.reference.epochs.sets) or certificate.epoch != epoch:
            self._fail("certificate", address, f"of no epoch that began, at {height}")
        if certificate.signers.bit_count() < reference_quorum(self.size_of(epoch)):
            self._fail("certificate", address, f"no quorum at {height}")
        self._prove(address, certificate)
        new: list[SignedTransaction] = []
        if height == len(self.hashes):
            if block.header.parent_hash != self.hashes[-1]:
                self._fail("validity", address, f"{height} does not follow the block below")
            self.hashes.append(block_hash)
            self.bodies.append(block.transactions)
            self.roots.append(block.header.state_root)
            try:
                new = self.reference.apply(block)
            except NotValid as error:
                self._fail("validity", address, f"at {height}: {error}")
        elif height > len(self.hashes):
            self._fail("order", address, f"{height} is final before {len(self.hashes)}")
        if self.hashes[height] != block_hash:
            self._fail("agreement", address, f"two blocks at {height}")
        if recounts and self.bodies[height] != block.transactions:
            self._fail("agreement", address, f"two bodies of one block at {height}")
        if chain.height == height and chain.head.commitments.state_root != self.roots[height]:
            self._fail("state roots", address, f"at {height}")
        is_due = recounts and height % RECOUNT_BLOCKS == 0 and height > self.recounted
        if height == chain.height and is_due:  # equal roots: once is enough until the end
            self.recounted = height
            self.recount(address, chain)
        return new

    def _prove(self, address: int, certificate: Certificate) -> None:
        stored = codec.encode(certificate)
        if stored in self.proved:
            return
        read, world = codec.decode(stored, Certificate, size_max=1 << 16), self.world
        try:
            validators = self.reference.epochs.sets[read.epoch]
            check_certificate(read, world.chain_id, validators, COMMIT, world.is_valid)
        except Invalid as error:
            self._fail("certificate", address, f"at {certificate.height}: {error}")
        self.proved.add(stored)

    def recount(self, address: int, chain: Chain) -> None:
        """Supply and backing from every stored output and object. What another node stores in the
        same bytes is not counted twice."""
        stored = (
            chain.head.commitments.roots,
            dict(chain.scan(schema.OUTPUT)),
            dict(chain.scan(schema.OBJECT)),
        )
        if stored == self.counted:
            return
        self.counted = stored
        try:
            recount(chain, chain.outputs())
        except InvariantBroken as error:
            self._fail("supply and backing", address, str(error))

    def whole_chain(self, address: int, chain: Chain) -> None:
        """At the end: the stored state is the reference's, block by block and coin by coin."""
        for height in range(1, chain.height + 1):
            self._judge(address, chain, height)
        self.recount(address, chain)
        if chain.height != self.reference.height:
            return
        found = {
            outpoint: (entry.asset, entry.amount, entry.lock) for outpoint, entry in chain.outputs()
        }
        if found != self.reference.coins:
            self._fail("validity", address, "outputs differ from the reference")
        if not self.is_tree_made:
            self.is_tree_made = True
            self._make_tree(address, chain)
        differences = self.reference.economy.differences(chain)
        if differences:
            self._fail("validity", address, differences)
        if next(chain.outputs(), None) is None:
            self._fail("validity", address, "no outputs at all")

    def _make_tree(self, address: int, chain: Chain) -> None:
        """The tree that grew with the blocks is the one that is made of what is there now."""
        hashes = {key: value_hash(data) for key, data in chain.objects(b"")}
        if ObjectTree.empty().update(hashes) != chain.head.commitments.objects:
            self._fail("state roots", address, "the tree over all objects grew wrongly")

    def bounds(self, address: int, engine: Engine, *, whole: bool = True) -> None:
        """Every queue within its limit.

        A chain that is not `whole` may lie below what its log prepared; none of that may go.
        """
        state = engine.replica.state
        sizes = (
            len(state.slots),
            len(state.parked),
            len(state.view_changes),
            len(state.suspects),
            len(state.marks),
            len(state.prepared),
            len(state.certified),
            len(state.executed),
            len(engine.executor.executed),
            len(engine._bodies._assemblies),
            len(engine.sync._waiting),
            len(engine._inbox),
            len(engine.mempool),
            engine.mempool.size_bytes,
            len(engine._early),
            len(engine.sync._claims),
            len(engine.sync._failed),
        )
        limits = _limits(engine.validators.n, state.window, whole)
        if any(map(gt, sizes, limits)):
            place = next(place for place, size in enumerate(sizes) if size > limits[place])
            detail = f"{BOUNDED[place]} holds {sizes[place]}, limit {limits[place]}"
            self._fail("bounds", address, detail)

    def _fail(self, checker: str, address: int, detail: str) -> None:
        raise Violation(checker, f"node {address}", detail)


@cache
def _limits(n: int, window: int, whole: bool) -> tuple[int, ...]:
    """Of what is `BOUNDED`: it is asked after every event."""
    heights = window + max(window, PARK_HEIGHTS)
    return (
        heights,
        n * (PARK_VIEWS + 1) * heights * 3,
        n,
        n,
        n,
        window if whole else PREPARED_OF_A_LOG_MAX,
        window,
        2 * heights,
        2 * heights,
        2 * heights,
        RANGE_BLOCKS_MAX,
        0,
        POOL_TRANSACTIONS_MAX,
        POOL_BYTES_MAX,
        EARLY_MAX,
        CLAIMS_MAX,
        CLAIMS_MAX + n,
    )
