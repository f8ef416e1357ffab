"""What the routes need of a node, and nothing else: the composition root hands it to them.

Routes read chain and mempool themselves and change neither. Everything else stands behind two
small protocols, which the node implements once and tests implement over a bare chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.chain import Chain
from ledger.epochs import validators_of
from ledger.genesis import Genesis
from ledger.mempool import Mempool
from ledger.reasons import Invalid
from ledger.reserve_history import ReserveHistory
from ledger.transaction import SignedTransaction
from ledger.validators import ValidatorSet
from node.api import consensus_schemas, node_schemas, schemas
from node.events import Events


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one transaction.

    `txid` is None where the bytes could not be read. A transaction that was held before, or is
    final, is not new and not refused.
    """

    txid: bytes | None
    is_new: bool = False
    refusal: Invalid | None = None


class Intake(Protocol):
    """Where transactions go in, and how their end is awaited."""

    async def submit(self, raws: Sequence[bytes]) -> Sequence[Submission]:
        """Decode, check, verify and add each; a result for each, in order. Raises for none.

        Cancelling leaves each either added or not.
        """

    def wait_s(self) -> float:
        """For how many seconds what was submitted will take, or a full block has waited."""

    async def check(self, raw: bytes) -> SignedTransaction:
        """The same without adding; raises Invalid with the reason that `submit` would give."""

    async def wait_final(self, txid: bytes, seconds: float) -> None:
        """Return when the transaction is final or refused, and after `seconds` at the latest."""


class Watch(Protocol):
    """How the node and its network fare right now. Each call is cheap and waits for nothing."""

    def consensus(self) -> schemas.Consensus: ...

    def replica(self) -> consensus_schemas.Replica:
        """What consensus holds in memory, member by member."""

    def warnings(self) -> list[str]:
        """What an operator must look at though the node runs; sentences that say what to do."""

    def sync_target(self) -> int:
        """The highest height that a certificate has proved to this node."""

    def final_after_ms(self, height: int) -> int | None:
        """From a block's header time to its being final here; None where that is not known."""

    def now_ms(self) -> int:
        """The monotonic clock by which the mempool dates its entries."""

    def peers(self) -> list[node_schemas.Peer]: ...

    def health(self) -> list[node_schemas.Check]:
        """The conditions of readiness: synced, quorum connected, finality moving."""

    def links_refused(self) -> Mapping[str, int]:
        """How many links were turned away or failed since the start, under every name."""

    def inbox_dropped_bytes(self) -> int:
        """Pushed transactions that were dropped since the start, because too many waited."""

    def fail(self, fault: Exception) -> None:
        """Storage failed, or an invariant broke, under a request: the process has to end, with this
        sentence."""


@dataclass(frozen=True)
class Services:
    """One node, as its API sees it."""

    genesis: Genesis
    chain: Chain
    mempool: Mempool
    node: schemas.NodeInfo
    intake: Intake
    watch: Watch
    events: Events
    history: ReserveHistory

    @property
    def validators(self) -> ValidatorSet:
        """Who votes on the next block."""
        return validators_of(self.chain)

    def validators_at(self, epoch: int) -> ValidatorSet:
        """Who voted in the epoch of a block that is stored."""
        found = self.chain.validators(epoch)
        if found is None:
            raise AssertionError(f"a stored block is of epoch {epoch}, whose validators are not")
        return found
