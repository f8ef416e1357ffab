"""Who stands in front of an evil member's engine, by what its plan says it is."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.sim.byzantine import Babbler, Equivocator, Faithful, Forger, Saboteur, Silent
from tests.sim.hindering import Delayer, SyncLiar, Withholder
from tests.sim.mutations import Mutator
from tests.sim.node import SimNode
from tests.sim.plan import Evil

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster


def make_saboteur(evil: Evil, node: SimNode, cluster: Cluster) -> Saboteur:
    rng = Random(f"evil/{cluster.plan.seed}/{node.address}")
    match evil:
        case Evil.SILENT:
            return Silent()
        case Evil.EQUIVOCATOR:
            return Equivocator(node, rng)
        case Evil.BABBLER:
            return Babbler(node, rng)
        case Evil.FORGER:
            return Forger(node, rng)
        case Evil.MUTATOR:
            return Mutator(node, rng)
        case Evil.WITHHOLDER:
            return Withholder(node, rng)
        case Evil.DELAYER:
            return Delayer(node, rng, cluster)
        case Evil.SYNC_LIAR:
            return SyncLiar(node, rng)
        case _:  # twins and the forgetful contradict themselves without help
            return Faithful()
