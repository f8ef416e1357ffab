"""Every checker fires: a true history is made false in one way, and exactly that checker says so.

A short run gives blocks, stores and engines; what is false bears the signatures of its members.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import pytest
from msgspec.structs import replace

from ledger import codec, schema, transaction
from ledger.block import COMMIT, PREPARE, VotePayload, header_hash, make_certificate, vote_hash
from ledger.chain import Chain
from ledger.economy.capacity import CapacityCommitment
from ledger.execution import execute_block
from ledger.merkle import merkle_root
from ledger.objects import decode, key_of
from ledger.operations import Attest, Commit, Evidence, Mint, Operation, PledgeDevices
from ledger.transaction import NO_FEE, SignedTransaction
from node.engine import FinalizedBlock
from tests.sim.checkers import BOUNDED, RECOUNT_BLOCKS, Checkers, Violation
from tests.sim.clients import Clients
from tests.sim.cluster import Cluster
from tests.sim.reference import Reference
from tests.sim.reference_economy import Promise
from tests.sim.run import made
from tests.sim.test_scenarios import quiet

pytestmark = pytest.mark.usefixtures("remembering")

HEIGHT = 2 * RECOUNT_BLOCKS
OTHER = b"\1" * 32
SIGNERS = {Mint: "{0.issuer}/treasury", Commit: "{0.terms.issuer}/operations"}
SIGNERS |= {PledgeDevices: "{0.issuer}/operations", Attest: "attestor/{0.attestor}"}
OLD, NEW = ("val0", "capacity-val0"), ("val0", "capacity-none")


class Past:
    """What a cluster agreed on, the store of a member after each height, and what to make of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.world = cluster, cluster.world
        self.engine: Any = cluster.nodes[0].engine
        self.truth = self.engine.chain
        store = self.world.new_store()
        chain, self.stores = Chain.open(store), [store.copy()]
        for height in range(1, HEIGHT + 1):
            block, certificate = self.truth.block(height), self.truth.certificate(height)
            txs = [transaction.decode(raw) for raw in block.transactions]
            chain.append(block, certificate, execute_block(chain, block, txs))
            self.stores.append(store.copy())

    def chain(self, height: int = HEIGHT) -> Chain:
        return Chain.open(self.stores[height].copy())

    def checkers(self, told: int = 0) -> Checkers:
        """New ones, which a member told so many blocks."""
        checkers = Checkers(self.world)
        checkers.started(0, self.chain(told))
        return checkers

    def tell(self, checkers: Checkers, chain: Chain, height: int, address: int = 0) -> None:
        """An engine that holds this chain made a block final."""
        engine, certificate = copy.copy(self.engine), self.truth.certificate(height)
        engine.chain = chain
        engine.finalized = [FinalizedBlock(self.truth.block(height).header, certificate, [], {})]
        checkers.finalized(address, engine)

    def end(self, checkers: Checkers, **book: Any) -> None:
        """The last look at a chain that is right, with this in the economy's reference."""
        vars(checkers.reference.economy).update(book)
        checkers.whole_chain(0, self.chain())

    def altered(self, rows: dict[bytes, bytes], height: int = HEIGHT) -> Chain:
        """Rows changed below an open chain."""
        store = self.stores[height].copy()
        chain = Chain.open(store)
        store.write(rows, ())
        return chain

    def forged(
        self, at: int, txs: Any = (), *, by: Any = (0, 1, 2), vote: Any = None, **header: Any
    ) -> Chain:
        """At a height the first transactions, fields of the header, or fields of the vote that is
        certified are others. Machines `by` sign as members 0, 1 and 2."""
        block = self.truth.block(at)
        body = [*[tx.raw for tx in txs], *block.transactions[len(txs) :]]
        leaves = [transaction.decode(raw).wtxid for raw in body]
        other = replace(block.header, **{"tx_root": merkle_root(leaves), **header})
        payload = VotePayload(other.epoch, COMMIT, 0, at, header_hash(other))
        payload = replace(payload, **vote or {})
        message = vote_hash(self.world.chain_id, payload)
        signatures = [self.world.member_key(machine).sign(message) for machine in by]
        certificate = make_certificate(payload, dict(enumerate(signatures)))
        rows = {schema.body_key(at, place): raw for place, raw in enumerate(body)}
        rows[schema.leaves_key(at)] = b"".join(leaves)
        rows[schema.header_key(at)] = codec.encode(other)
        return self.altered(rows | {schema.certificate_key(at): codec.encode(certificate)})

    def others(self) -> dict[str, bytes]:
        return dict.fromkeys(("validators_hash", "next_validators_hash"), OTHER)

    def ending(self) -> int:
        """The height at which the first epoch ends."""
        return next(at for at in range(1, HEIGHT) if self.truth.block(at).header.ends_epoch)

    def below(self) -> Chain:
        """The last block is right, the state is that of the block below."""
        chain, commitments = self.chain(), self.chain(HEIGHT - 1).head.commitments
        chain._head = dataclasses.replace(chain.head, commitments=commitments)
        return chain

    def pay(self, signer: str = "", **body: Any) -> SignedTransaction:
        """A client's first payment, or what these fields and this signer make of it."""
        clients = Clients(self.world, Reference(self.world), 0)
        paid = clients._spend(cheat=False, burn=False)[0].body
        owner = clients._owner_by_lock[paid.outputs[0].lock]
        return self.world.sign(replace(paid, **body), [signer or owner], [])

    def spend(self, **changes: Any) -> SignedTransaction:
        return self.pay(inputs=(replace(self.pay().body.inputs[0], **changes),))

    def resealed(self) -> SignedTransaction:
        """One payment with the signature of another."""
        return transaction.seal(self.pay(memo=b"").body, self.pay().witness)

    def first(self, kind: type[Operation]) -> tuple[int, Any]:
        return next(
            (height, operation)
            for height in range(1, HEIGHT + 1)
            for raw in self.truth.block(height).transactions
            for operation in transaction.decode(raw).body.operations
            if isinstance(operation, kind)
        )

    def done(self, kind: type[Operation], *changes: Any, by: str = "") -> Chain:
        """The first of a kind is what these fields make of it; an operation stands as it is."""
        height, held = self.first(kind)
        made = tuple(replace(held, **x) if isinstance(x, dict) else x for x in changes)
        by = by or SIGNERS[kind].format(held)
        tx = self.pay(by, inputs=(), outputs=(), fee=NO_FEE, operations=made)
        return self.forged(height, [tx])

    def accused(self) -> Evidence:
        vote = VotePayload(0, COMMIT, 0, 1, OTHER)
        return Evidence(self.first(Mint)[1].issuer, OTHER, vote, bytes(64), vote, bytes(64))

    def coin(self, **changes: Any) -> dict[bytes, bytes]:
        outpoint, held = next(self.chain().outputs())
        value = schema.output_value(outpoint, replace(held, **changes))
        return {schema.output_key(held.leaf): value}

    def promise(self) -> dict[bytes, bytes]:
        key, data = next(self.chain().objects(key_of(CapacityCommitment)))
        held = decode(data, CapacityCommitment)
        return {schema.object_key(key): codec.encode(replace(held, version=7))}


@pytest.fixture(scope="module")
def past() -> Iterator[Past]:
    """Four members, issuers among the clients, several epochs; then all is at rest."""
    with made(
        quiet(2, window=1, load_gap_ms=50, economy=True, epoch_blocks=3, epoch_ms=1_000)
    ) as cluster:
        cluster.begin()
        cluster.until(lambda: cluster.checkers.height >= HEIGHT, 60_000, "blocks")
        cluster.heal()
        cluster.finish()
        yield Past(cluster)


def test_what_is_true_passes(past: Past) -> None:
    """Each block as it becomes final, at every member; every restart; the end; every queue."""
    checkers = past.checkers()
    for height in range(1, HEIGHT + 1):
        for address in past.cluster.nodes:
            past.tell(checkers, past.chain(height), height, address)
    assert checkers.recounted == HEIGHT
    for address, node in past.cluster.nodes.items():
        engine: Any = node.engine
        checkers.bounds(address, engine)
        checkers.started(address, engine.chain, whole=True)
        checkers.whole_chain(address, engine.chain)
    block: Any = past.forged(1, [past.pay()]).block(1)
    assert len(Reference(past.world).apply(block)) == 1


@pytest.mark.parametrize(
    ("finding", "make"),
    [
        ("stored chain: .*height 3 ", lambda p: p.altered({schema.header_key(3): b""})),
        ("certificate: .*another block at 1", lambda p: p.forged(1, vote={"block_hash": OTHER})),
        ("certificate: .*no epoch .* at 1", lambda p: p.forged(1, epoch=1)),
        ("certificate: .*no epoch .* at 1", lambda p: p.forged(1, vote={"epoch": 1})),
        ("certificate: .*no quorum at 1", lambda p: p.forged(1, by=(0, 1))),
        ("certificate: .* at 1: .*wrong phase", lambda p: p.forged(1, vote={"phase": PREPARE})),
        ("certificate: .* at 1: .*member 2 ", lambda p: p.forged(1, by=(0, 1, 3))),
        ("validity: .* at 1: .*no member", lambda p: p.forged(1, proposer=OTHER)),
        ("validity: .*does not follow", lambda p: p.forged(2, parent_hash=OTHER)),
        ("validity: .* 1 is of chain 01", lambda p: p.forged(1, chain_id=OTHER)),
        ("validity: .*is of epoch 0", lambda p: p.forged(HEIGHT, epoch=0)),
        ("validity: .*another list", lambda p: p.forged(1, tx_root=OTHER)),
        ("validity: .*other validators$", lambda p: p.forged(2, **p.others())),
        ("validity: .*for the next", lambda p: p.forged(p.ending(), next_validators_hash=OTHER)),
        ("validity: .*is not later", lambda p: p.forged(2, time_ms=p.world.genesis.time_ms)),
        ("validity: .* 1 ends an epoch", lambda p: p.forged(1, next_validators_hash=OTHER)),
        ("validity: .* at 1: .*is final", lambda p: p.forged(1, [p.pay(), p.pay()])),
        ("validity: .* at 1: .*another chain", lambda p: p.forged(1, [p.pay(chain_id=OTHER)])),
        ("validity: .* at 1: .*or expired", lambda p: p.forged(1, [p.pay(expires_at_ms=1)])),
        ("validity: .* at 1: .*wrong signature", lambda p: p.forged(1, [p.resealed()])),
        ("validity: .* at 1: .*which is None", lambda p: p.forged(1, [p.spend(txid=OTHER)])),
        ("validity: .* at 1: .*which is None", lambda p: p.forged(1, [p.pay(), p.pay(memo=b"")])),
        (r"validity: .* at 1: .*which is \(", lambda p: p.forged(1, [p.spend(amount=1)])),
        ("validity: .* at 1: .*owner's signature", lambda p: p.forged(1, [p.pay("account9")])),
        ("validity: .* at 1: .*not balance", lambda p: p.forged(1, [p.pay(outputs=())])),
        ("validity: .*who lied", lambda p: p.done(Mint, p.accused(), {})),
        ("validity: .*has number 7 in lane", lambda p: p.done(Mint, {"number": 7})),
        ("validity: .*uses number 7", lambda p: p.done(Commit, {"number": 7})),
        ("validity: .*promises .* twice", lambda p: p.done(Commit, {}, {"number": 1})),
        ("validity: .*uses number 7", lambda p: p.done(PledgeDevices, {"number": 7})),
        ("validity: .*at version 7", lambda p: p.done(PledgeDevices, {"version": 7})),
        ("validity: .*at version 1", lambda p: p.done(PledgeDevices, {}, {"version": 1})),
        ("validity: .*attests", lambda p: p.done(Attest, {"born": 99})),
        ("validity: .*attests", lambda p: p.done(Attest, {"until_ms": 1})),
        ("validity: .*attests", lambda p: p.done(Attest, {"microhours": 1 << 30})),
        ("validity: .*did not sign", lambda p: p.done(Attest, {}, by="account0")),
    ],
)
def test_false_chain(past: Past, finding: str, make: Callable[[Past], Chain]) -> None:
    """A member comes back with a chain in which one thing is false."""
    with pytest.raises(Violation, match=f"^{finding}"):
        past.checkers().started(2, make(past), whole=True)


def test_two_blocks_at_a_height(past: Past) -> None:
    """Two members have each a block of their own: either is right alone, both are not."""
    one, other = [past.forged(HEIGHT, proposer=past.world.public(member)) for member in (1, 2)]
    past.checkers().started(1, other, whole=True)
    checkers = past.checkers()
    checkers.started(0, one, whole=True)
    with pytest.raises(Violation, match="agreement: node 1: two blocks at 20"):
        checkers.started(1, other, whole=True)


def test_two_bodies_of_one_block(past: Past) -> None:
    """A member stores another list of transactions below the header that all have."""
    checkers = past.checkers(HEIGHT)
    body = past.forged(1, [past.pay()]).block(1)
    assert body is not None
    rows = {schema.body_key(1, place): raw for place, raw in enumerate(body.transactions)}
    leaves = [transaction.decode(raw).wtxid for raw in body.transactions]
    altered = past.altered(rows | {schema.leaves_key(1): b"".join(leaves)})
    with pytest.raises(Violation, match="agreement: node 1: two bodies of one block at 1"):
        checkers.started(1, altered)


@pytest.mark.parametrize(
    ("told", "finding", "act"),
    [
        (20, "exactly once, in order: .* 20 instead of 21", lambda p, c: p.tell(c, p.chain(), 20)),
        (0, "exactly once, in order: .* 2 instead of 1", lambda p, c: p.tell(c, p.chain(2), 2)),
        (19, "durability: .*no block .* at 20", lambda p, c: p.tell(c, p.chain(19), 20)),
        (20, "durability: .*told 20, has 19", lambda p, c: c.started(0, p.chain(19))),
        (19, "state roots: .* at 20", lambda p, c: p.tell(c, p.below(), 20)),
        (9, "supply and backing: ", lambda p, c: p.tell(c, p.altered(p.coin(amount=1), 10), 10)),
        (20, "validity: .*outputs", lambda p, c: c.whole_chain(0, p.altered(p.coin(lock=OTHER)))),
        (20, "state roots: .*tree", lambda p, c: c.whole_chain(0, p.altered(p.promise()))),
        (20, "validity: .*not Promise", lambda p, c: p.end(c, promises={OLD: Promise(1, 1, 1)})),
        (20, "validity: .*is missing", lambda p, c: p.end(c, promises={NEW: Promise(1, 1, 1)})),
        (20, "validity: .*more than at genesis", lambda p, c: p.end(c, bonds={NEW: 1})),
        (19, "validity: .* at 20: supply .* counted", lambda p, c: p.end(c, bonds={NEW: 1})),
    ],
)
def test_false_report_or_state(
    past: Past, told: int, finding: str, act: Callable[[Past, Checkers], None]
) -> None:
    """What a member tells next is false, or a row that it stores, or the economy's reference."""
    checkers = past.checkers(told)
    with pytest.raises(Violation, match=f"^{finding}"):
        act(past, checkers)


def test_second_member_is_counted_as_well(past: Past) -> None:
    """What was counted for one member does not hide what another one stores."""
    checkers = past.checkers(HEIGHT)
    checkers.whole_chain(0, past.chain())
    with pytest.raises(Violation, match="supply and backing: node 1"):
        checkers.whole_chain(1, past.altered(past.coin(amount=1)))


def test_end_of_a_run_looks_at_the_whole_chain(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is final and at rest, and something in the state is not as the reference has it."""
    monkeypatch.setitem(past.cluster.checkers.reference.economy.promises, NEW, Promise(1, 1, 1))
    with pytest.raises(Violation, match=r"^validity: .*is missing"):
        past.cluster.finish()


PLACES = [f"replica.state.{name}" for name in BOUNDED[:8]]
PLACES += ["executor.executed", "_bodies._assemblies", "sync._waiting", "_inbox"]
PLACES += ["mempool._entries", "mempool.size_bytes", "_early._held", "sync._claims", "sync._failed"]
LIMITS = (3, 612, 4, 4, 4, 1, 1, 6, 6, 6, 128, 0, 20_000, 32 << 20, 512, 64, 68)  # for n = 4


@pytest.mark.parametrize("name, place, limit", [*zip(BOUNDED, PLACES, LIMITS, strict=True)])
def test_queue_above_its_limit(
    past: Past, monkeypatch: pytest.MonkeyPatch, name: str, place: str, limit: int
) -> None:
    """It may hold as much as its limit, and nothing more."""
    path, _, attribute = f"engine.{place}".rpartition(".")
    for size in (limit, limit + 1):
        past.checkers().bounds(0, past.engine)
        kinds: Any = {"_held": {OTHER: range(size)}, "size_bytes": size}
        monkeypatch.setattr(attrgetter(path)(past), attribute, kinds.get(attribute, range(size)))
    with pytest.raises(Violation, match=f"^bounds: .*{name} holds {limit + 1}, limit {limit}$"):
        past.checkers().bounds(0, past.engine)


def test_node_that_asks_for_the_past(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a tick it waits for a later moment; one that wants another at once would never end."""
    cluster, node = past.cluster, past.cluster.nodes[0]
    cluster.act(node, "tick", node.tick)
    monkeypatch.setattr(past.engine, "deadline_ms", node.now.monotonic_ms)
    with pytest.raises(Violation, match=f"^busy loop: node 0: .* woken at {cluster.now_ms}"):
        cluster.act(node, "tick", lambda: None)
