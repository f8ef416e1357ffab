"""A stage with a third on it: the second implementation, which sees nothing but bytes."""

from __future__ import annotations

from collections.abc import Callable

from ledger import genesis
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from tests.economy.stage import Disagreement, Stage
from tests.ledger import (
    second_genesis,
    second_rules,
    second_state,
)
from tests.ledger.second_shape import Refused


class SecondStage(Stage):
    """Every answer is the same with the same reason, every object after every block too."""

    def __init__(self) -> None:
        super().__init__()
        text = genesis.dump(self.world.genesis)
        self.second = second_genesis.genesis_state(second_genesis.genesis_value(text))

    def begin(self, after_ms: int) -> None:
        head = self.world.state.head
        super().begin(after_ms)
        parent = (head.hash, head.header.time_ms)
        second_state.start_block(
            self.second, head.header.height + 1, self.execution.time_ms, parent
        )

    def try_out(
        self, name: str, tx: SignedTransaction, allowed: Callable[[], bool]
    ) -> Reason | None:
        reason = super().try_out(name, tx, allowed)
        trial, theirs = self.second.copy(), ""
        try:
            second_rules.check(tx.raw, trial.chain_id, tuple(trial.get("Parameters")[:3]))
            second_state.add_transaction(trial, tx.raw)
            self.second = trial
        except Refused as error:
            theirs = error.code
        ours = reason.value if reason else ""
        if ours != theirs:
            raise Disagreement(f"action {self.actions} {name}: rules {ours}, second {theirs}")
        return reason

    def end(self, *, counted: bool) -> None:
        super().end(counted=counted)
        second_state.end_block(self.second)
        ours, theirs = self.world.state.stored, self.second.objects
        if ours != theirs:
            keys = [key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)]
            raise Disagreement(f"action {self.actions}, objects: {sorted(keys)}")
        root = self.world.state.head.commitments.roots.state_root
        if counted and self.second.roots()["state"] != root:
            raise Disagreement(f"action {self.actions}: another root")
