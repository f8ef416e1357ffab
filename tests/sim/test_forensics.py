"""A cluster with f + 1 evil members that forks: forensics names them, and no honest one.

With more than f evil nothing else can be asserted. The evil run as twins: one key, two machines on
two sides of a cut, each with as many honest members as make a quorum.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from consensus.forensics import Finding, Offence, check_proof, investigate
from consensus.testimony import Material, first_height
from consensus.view_change import Rules
from ledger import codec
from ledger.block import VotePayload
from ledger.chain import Chain
from ledger.kv import MemoryKV
from ledger.transaction import SignedTransaction
from ledger.witnesses import Witnesses
from node.engine import Engine
from node.exporting import export_material
from p2p.wire import COMMIT, PRE_PREPARE, PREPARE
from tests.sim.checkers import Checkers
from tests.sim.cluster import Cluster
from tests.sim.node import SimNode
from tests.sim.plan import Evil
from tests.sim.signatures import Locks
from tests.sim.test_scenarios import begun, height_of, quiet

pytestmark = pytest.mark.usefixtures("remembering")

WAIT_MS = 60_000
"""Of virtual time, for blocks on either side."""


OnCut = Callable[[Cluster, list[SimNode]], None]


class Recorder:
    """Keeps what a node enters views with, as its engine does before it votes."""

    def __init__(self, nodes: list[SimNode]) -> None:
        self.nodes = nodes
        self.tables = {node.address: Witnesses(MemoryKV()) for node in nodes}

    def look(self) -> None:
        for node in self.nodes:
            assert node.engine is not None
            state = node.engine.replica.state
            if state.new_view is not None:
                height, message = first_height(state.new_view), codec.encode(state.new_view)
                self.tables[node.address].keep(height, state.view, message)

    def export(self, node: SimNode, height: int) -> Material:
        """Of the epoch of a height, up to it."""
        assert node.engine is not None
        return export_material(node.engine.chain, self.tables[node.address], 1, height)


class TwoHistories(Checkers):
    """Nothing else holds any more: neither agreement nor what follows from it."""

    def finalized(
        self, address: int, engine: Engine, *, whole: bool = False
    ) -> list[SignedTransaction]:
        return []

    def started(
        self, address: int, chain: Chain, *, whole: bool = False
    ) -> list[SignedTransaction]:
        return []


class NoLocks(Locks):
    """With more than f evil a block that was committed may be contradicted."""

    def note(self, vote: VotePayload, member: int) -> None:
        return

    def may_be_decided(self, height: int) -> bool:
        return True


def forked(n: int, on_cut: OnCut, **changes: Any) -> Cluster:
    """f + 1 twins: side A holds their first machines, side B the second and `on_cut` is for B."""
    f = (n - 1) // 3
    evil = dict.fromkeys(range(f + 1), Evil.TWINS)
    cluster = begun(
        quiet(**{"n": n, "evil": evil, "load_gap_ms": 100, "epoch_ms": 1_000, **changes})
    )
    cluster.checkers = TwoHistories(cluster.world)
    for node in cluster.honest():
        assert node.book is not None
        node.book._locks = NoLocks(lambda epoch: n)
    b_side = side_b(cluster)
    apart = [node.address for node in b_side]
    rest = [address for address in cluster.nodes if address not in apart]
    cluster.network.cut(
        [(a, b) for a in rest for b in apart] + [(b, a) for a in rest for b in apart]
    )
    cluster.reconnect()
    on_cut(cluster, b_side)
    return cluster


def side_b(cluster: Cluster) -> list[SimNode]:
    """The twins' second machines and half of the honest members."""
    n = cluster.plan.n
    honest = [node for node in cluster.nodes.values() if node.book is not None]
    return [
        *[node for address, node in cluster.nodes.items() if address >= n],
        *honest[len(honest) // 2 :],
    ]


def stay(cluster: Cluster, side: list[SimNode]) -> None:
    """B goes on in the view in which it is."""


def change_view(cluster: Cluster, side: list[SimNode]) -> None:
    """B leaves view 0 before it decides anything; A stays there, for it is not long silenced."""
    states = []
    cluster.network.silenced.update((PRE_PREPARE, PREPARE, COMMIT))
    for node in side:
        assert node.engine is not None
        states.append(node.engine.replica.state)
    cluster.until(lambda: all(state.synced for state in states), WAIT_MS, "B to be synced")
    for node in side:
        cluster.act(node, "impatient", node.lose_patience)
    cluster.until(
        lambda: all(state.view and state.active for state in states), WAIT_MS, "B to enter a view"
    )
    cluster.network.silenced.clear()


def fork_height(one: SimNode, other: SimNode) -> int:
    """The lowest at which two chains differ."""
    assert one.engine is not None
    assert other.engine is not None
    chains = one.engine.chain, other.engine.chain
    heights = range(1, min(chain.height for chain in chains) + 1)
    return next(at for at in heights if chains[0].header(at) != chains[1].header(at))


@pytest.mark.parametrize(
    ("n", "window", "epoch_blocks", "on_cut", "offence"),
    [
        (4, 1, 1_000, stay, Offence.DOUBLE_VOTE),
        (4, 1, 1_000, change_view, Offence.AMNESIA),
        (4, 4, 1_000, change_view, Offence.AMNESIA),
        (7, 4, 1_000, stay, Offence.DOUBLE_VOTE),
        (7, 1, 1_000, change_view, Offence.AMNESIA),
        (4, 1, 1, stay, Offence.DOUBLE_VOTE),
    ],
)
def test_fork_by_twins_names_more_than_f_of_them(
    n: int, window: int, epoch_blocks: int, on_cut: OnCut, offence: Offence
) -> None:
    """Both sides go on; what two honest members export convicts f + 1 twins, offline."""
    cluster = forked(n, on_cut, window=window, epoch_blocks=epoch_blocks)
    assert offence in {proof.offence for proof in convicted(cluster).proofs}


@pytest.mark.parametrize("seed", range(12))
def test_forks_by_chance(seed: int) -> None:
    """Of any size, with late, repeated and reordered messages."""
    rng = Random(f"fork/{seed}")
    cluster = forked(
        rng.choice((4, 4, 7, 10)),
        rng.choice((stay, change_view)),
        seed=seed,
        window=rng.choice((1, 4)),
        epoch_blocks=rng.choice((1, 5, 1_000)),
        load_gap_ms=rng.choice((50, 200)),
        latency_ms=(1, rng.choice((5, 60))),
        in_order=rng.random() < 0.5,
        duplication=rng.choice((0, 0.2)),
    )
    convicted(cluster)


def convicted(cluster: Cluster) -> Finding:
    """What is found in the exports of two honest members once both sides went on: more than f
    culprits, each with a proof, all of them twins."""
    honest = cluster.honest()
    one, other = honest[0], honest[-1]
    recorder = Recorder(honest)
    start = max(height_of(node) for node in honest)

    def both_went_on() -> bool:
        recorder.look()
        return min(height_of(one), height_of(other)) >= start + 3

    cluster.until(both_went_on, WAIT_MS, "both sides to go on")
    world, height = cluster.world, fork_height(one, other)
    exports = [recorder.export(one, height), recorder.export(other, height)]
    rules = Rules.of(
        world.changes.head.header,
        exports[0].validators,
        world.genesis.parameters,
        world.is_valid,
        previous=exports[0].previous[0] if exports[0].previous else None,
    )
    finding = investigate(exports, rules)
    assert finding is not None
    assert finding.height == height
    assert rules.validators.f < len(finding.culprits)
    keys = {rules.validators.members[index].key for index in finding.culprits}
    assert keys <= {world.validators.members[member].key for member in cluster.plan.evil}
    for proof in finding.proofs:
        check_proof(proof, rules)
    return finding
