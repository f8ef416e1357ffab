"""What the engine needs of a guard, and the guard of a node that never votes."""

from __future__ import annotations

from typing import Protocol

from consensus.effects import VoteRequest
from consensus.messages import NewViewBody, Status, ViewChangeBody
from consensus.replica_state import Restored
from consensus.view_change import Rules
from ledger.block import Block
from ledger.transaction import Transaction
from node.vote_guard import Permission, Refused, SignedMessage

NEVER = "an observer never votes"


class Guard(Protocol):
    """Says what this node may sign, and signs it. `node.vote_guard.VoteGuard` says how."""

    permission: Permission

    @property
    def public(self) -> bytes: ...

    @property
    def vote_above(self) -> int: ...

    @property
    def view_min(self) -> int: ...

    @property
    def fault(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def is_sure_next(self) -> bool: ...

    @property
    def can_sign(self) -> bool: ...

    def enter_epoch(self, rules: Rules, height: int) -> None: ...
    def sign_ready(self, body: Transaction) -> bytes: ...

    def stage(
        self,
        request: VoteRequest | ViewChangeBody | NewViewBody,
        *,
        synced: bool,
        block: Block | None = None,
    ) -> None: ...

    def flush(self) -> list[SignedMessage]: ...
    def committed(self, height: int) -> None: ...
    def restored(self, height: int) -> Restored: ...
    def block(self, block_hash: bytes) -> Block | None: ...
    def hear(self, member: int, status: Status) -> bool: ...
    def hear_self(self, height: int) -> bool: ...
    def distrust_key(self) -> bool: ...
    def withhold(self, why: str) -> None: ...
    def recover(self) -> None: ...


class NoVotes:
    """An observer's: no key, no log, nothing signed, and nothing wrong with that."""

    permission = Permission.FOLLOWING
    public = b""
    """No member has it."""
    vote_above = 0
    view_min = 0
    fault = ""
    reason = ""
    is_sure_next = False
    can_sign = False

    def enter_epoch(self, rules: Rules, height: int) -> None:
        """Epochs make no difference to it."""

    def sign_ready(self, body: Transaction) -> bytes:
        raise AssertionError(NEVER)

    def stage(
        self,
        request: VoteRequest | ViewChangeBody | NewViewBody,
        *,
        synced: bool,
        block: Block | None = None,
    ) -> None:
        raise Refused(NEVER)

    def flush(self) -> list[SignedMessage]:
        return []

    def committed(self, height: int) -> None:
        """Nothing is kept for any height."""

    def restored(self, height: int) -> Restored:
        return Restored()

    def block(self, block_hash: bytes) -> Block | None:
        return None

    def hear(self, member: int, status: Status) -> bool:
        return False

    def hear_self(self, height: int) -> bool:
        return False

    def distrust_key(self) -> bool:
        return False

    def withhold(self, why: str) -> None:
        """Nothing was to be had of it before."""

    def recover(self) -> None:
        raise Refused(NEVER)
