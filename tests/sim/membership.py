"""Validators that come and go while a simulation runs, each carried by a quorum of those present.

A machine that is to join is started as a follower and admitted; it says by itself that it is ready
and is seated at the end of an epoch. Whoever carries an operation signs for what the last final
block says; what came too late is signed anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from ledger import transaction
from ledger.economy.licence import Licence
from ledger.economy.regulator import Carrier
from ledger.objects import load
from ledger.operations import Admit, EndEpoch, Governance, Operation, Remove
from ledger.transaction import NO_FEE, KeySignature, SignedTransaction, Transaction, Witness
from ledger.validators import VALIDATORS_MIN, fault_limit
from tests.ledger.world import REGULATORS, grant
from tests.sim.reference import reference_quorum
from tests.sim.turns import Turn
from tests.sim.world import JOINERS

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.node import SimNode

LOOK_MS = 500
LIFE_MS = 30_000
JOINER_ADDRESS = 100


@dataclass(frozen=True, slots=True)
class _Wish:
    make: Callable[[SimNode], Operation]
    is_done: Callable[[], bool]


class Membership:
    """One a cluster; nothing happens before `begin`."""

    def __init__(self, cluster: Cluster, turns: tuple[Turn, ...], fault_ms: int) -> None:
        self._cluster = cluster
        self._turns = turns
        self._fault_ms = fault_ms
        self._rng = Random(f"membership/{cluster.plan.seed}")
        self._wishes: list[_Wish] = []
        self.joined = 0
        self.removed: set[str] = set()

    def begin(self) -> None:
        """The turns of the plan, somewhere in its faults."""
        if not self._turns:
            return
        for turn in self._turns:
            after_ms = self._rng.randrange(self._fault_ms)
            self._cluster.timeline.after(after_ms, lambda turn=turn: self.take(turn))
        self._look()

    def take(self, turn: Turn) -> None:
        """One turn, unless it would cost the others their majority."""
        book = self._cluster.checkers.reference.epochs
        match turn:
            case Turn.ADMIT if self.joined < len(JOINERS):
                self.admit()
            case Turn.END:
                number = book.number
                self._wishes.append(_Wish(lambda _: EndEpoch(number), lambda: book.number > number))
            case Turn.REMOVE | Turn.REMOVE_PRIMARY:
                name = self._candidate(turn)
                if name is not None:
                    self.remove(name)

    def admit(self) -> SimNode:
        """Start a machine that follows, and grant it a licence."""
        name, machine = JOINERS[self.joined], self._cluster.plan.n + self.joined
        address = JOINER_ADDRESS + self.joined
        self.joined += 1
        node = self._cluster.add_joiner(address, machine)
        book = self._cluster.checkers.reference.epochs
        wish = _Wish(lambda _: Admit(grant(name), 0), lambda: name in book.grants)
        self._wishes.append(wish)
        return node

    def remove(self, name: str) -> None:
        """Take a validator's seat."""
        self.removed.add(name)
        book = self._cluster.checkers.reference.epochs

        def make(node: SimNode) -> Operation:
            assert node.engine is not None
            licence = load(node.engine.chain, Licence, name.encode("ascii"))
            assert licence is not None
            return Remove(name, licence.version)

        def is_done() -> bool:
            leaving = {item for _, item in book.leaving}
            return name in leaving or name not in book.members

        self._wishes.append(_Wish(make, is_done))

    def _candidate(self, turn: Turn) -> str | None:
        """Whose seat may go: those who stay must outnumber the faulty as before."""
        cluster = self._cluster
        members = cluster.checkers.reference.epochs.sets[-1].members
        names = [member.licence for member in members if member.licence not in self.removed]
        left = len(names) - 1
        if left < VALIDATORS_MIN or cluster.faulty_of(names) > fault_limit(left):
            return None
        if turn is Turn.REMOVE_PRIMARY:
            views = [node.engine.replica.state for node in cluster.live() if node.engine]
            states = [state for state in views if state.primary < len(members)]
            if states:
                primary = members[states[0].primary].licence
                return primary if primary in names else None
        return self._rng.choice(names)

    def _look(self) -> None:
        cluster = self._cluster
        self._wishes = [wish for wish in self._wishes if not wish.is_done()]
        up = [node for node in cluster.live() if node.address not in cluster.paused]
        if self._wishes and up and not cluster.healed:
            highest = max(up, key=lambda node: node.engine.chain.height if node.engine else 0)
            tx = self.carry(self._wishes[0].make(highest))
            node = self._rng.choice(up)
            cluster.act(node, f"governance {tx.txid.hex()[:8]}", lambda: self._submit(node, tx))
        cluster.timeline.after(LOOK_MS, self._look)

    def _submit(self, node: SimNode, tx: SignedTransaction) -> None:
        node.submit(tx.raw)

    def carry(self, operation: Operation) -> SignedTransaction:
        """The operation with the signatures of a quorum of the last known members."""
        cluster, world = self._cluster, self._cluster.world
        members = cluster.checkers.reference.epochs.members
        body = Transaction(
            version=1,
            chain_id=world.chain_id,
            inputs=(),
            outputs=(),
            fee=NO_FEE,
            operations=(operation,),
            expires_at_ms=world.genesis.time_ms + cluster.now_ms + LIFE_MS,
            memo=b"",
        )
        message = transaction.sighash(body)
        chosen = self._rng.sample(members, reference_quorum(len(members)))
        names = [f"{name}/operations" for name in chosen]
        if isinstance(operation, Governance) and operation.carrier is Carrier.BOTH:
            names += REGULATORS[: world.genesis.regulator.needed]
        keys = [world.key(name) for name in names]
        signed = [KeySignature(key.public, key.sign(message)) for key in keys]
        return transaction.seal(body, Witness((), tuple(sorted(signed, key=lambda s: s.key)), ()))
