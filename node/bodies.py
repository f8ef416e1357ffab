"""Bodies of blocks that are not final yet: put together from the pool, fetched where missing.

A proposal names its transactions; most of them came by gossip before, some are still on the way.
What is missing after `GRACE_MS` is asked of the members that must have it, one after another, every
`RETRY_MS`. Bounded: only blocks that the replica asked to execute are here, those lie within its
window, and of none more is held than `BODY_BYTES_MAX` and one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ledger import transaction
from ledger.block import BLOCK_BYTES_MAX, Header
from ledger.execution import check_body
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from node.fetching import FetchBody, FetchTransactions, GiveBody, GiveTransactions, Wanted

GRACE_MS = 20  # transactions that their client sent elsewhere arrive within this, mostly
RETRY_MS = 500
BODY_BYTES_MAX = BLOCK_BYTES_MAX
"""Of transactions. A list of 2,000 names up to 32 MiB; above this the block fails, whatever else it
holds, so it is handed out at once: its primary signed the list and answers for it."""

FindTransaction = Callable[[bytes], SignedTransaction | None]


@dataclass(slots=True)
class Assembly:
    """One body in the making; `leaves` is None while only the header is known."""

    header: Header
    block_hash: bytes
    sources: tuple[int, ...]
    ask_ms: int
    """When to ask next (monotonic)."""
    leaves: tuple[bytes, ...] | None = None
    missing: dict[bytes, None] = field(default_factory=dict)
    """Leaves not found yet, in their order: looking for them again costs no walk over the list."""
    found: dict[bytes, SignedTransaction] = field(default_factory=dict)
    attempts: int = 0
    size_bytes: int = 0
    """Of what was found."""

    def name(self, leaves: tuple[bytes, ...]) -> None:
        """What the block holds."""
        self.leaves = leaves
        self.missing = dict.fromkeys(leaves)

    @property
    def is_too_large(self) -> bool:
        return self.size_bytes > BODY_BYTES_MAX

    @property
    def is_complete(self) -> bool:
        """There is nothing to wait for: all is here, or too much."""
        return self.leaves is not None and (self.is_too_large or not self.missing)

    def add(self, tx: SignedTransaction) -> None:
        """Take one of those that are missing, unless there is too much already."""
        if not self.is_too_large and tx.wtxid in self.missing:
            del self.missing[tx.wtxid]
            self.found[tx.wtxid] = tx
            self.size_bytes += len(tx.raw)

    def transactions(self) -> list[SignedTransaction]:
        """In the order of the list; of a body that is too large those that were found."""
        return [self.found[leaf] for leaf in self.leaves or () if leaf in self.found]


class Bodies:
    """All assemblies, by block hash."""

    def __init__(self, find: FindTransaction, others: tuple[int, ...]) -> None:
        self._find = find
        self._others = others  # every other member, asked when the sources do not answer
        self._assemblies: dict[bytes, Assembly] = {}

    def want(
        self,
        block_hash: bytes,
        header: Header,
        leaves: tuple[bytes, ...] | None,
        sources: tuple[int, ...],
        now_ms: int,
    ) -> Assembly:
        """Begin, or go on with, the body of a block."""
        held = self._assemblies.get(block_hash)
        if held is None:
            ask_ms = now_ms if leaves is None else now_ms + GRACE_MS
            held = Assembly(header, block_hash, sources, ask_ms)
            self._assemblies[block_hash] = held
        if held.leaves is None and leaves is not None:
            held.name(leaves)
        self._look_up(held)
        return held

    def complete(self) -> list[Assembly]:
        """Assemblies that became whole; they are handed out once, by ascending height."""
        for assembly in self._assemblies.values():
            self._look_up(assembly)
        whole = [item for item in self._assemblies.values() if item.is_complete]
        for item in whole:
            del self._assemblies[item.block_hash]
        return sorted(whole, key=lambda item: item.header.height)

    def put_back(self, assembly: Assembly) -> None:
        """The block cannot be executed yet: its parent is not here. `complete` gives it again."""
        self._assemblies[assembly.block_hash] = assembly

    def requests(self, now_ms: int) -> list[tuple[int, Wanted]]:
        """Whom to ask for what, now."""
        result: list[tuple[int, Wanted]] = []
        for assembly in self._assemblies.values():
            if assembly.is_complete:
                continue
            if now_ms < assembly.ask_ms:
                continue
            candidates = [*assembly.sources, *self._others]
            candidates = [item for item in candidates if item in self._others]
            if not candidates:
                continue
            target = candidates[assembly.attempts % len(candidates)]
            assembly.ask_ms = now_ms + RETRY_MS
            assembly.attempts += 1
            if assembly.leaves is None:
                result.append((target, FetchBody(assembly.block_hash)))
            else:
                missing = tuple(assembly.missing)
                result.append((target, FetchTransactions(assembly.block_hash, missing)))
        return result

    def deadline_ms(self) -> int | None:
        """When the next request is due (monotonic)."""
        due = [item.ask_ms for item in self._assemblies.values() if not item.is_complete]
        return min(due, default=None)

    def __len__(self) -> int:
        return len(self._assemblies)

    def give_transactions(self, given: GiveTransactions) -> None:
        """Take what was asked for; raises Invalid for what is no transaction of this block."""
        assembly = self._assemblies.get(given.block_hash)
        if assembly is None or assembly.leaves is None:
            return
        leaves = set(assembly.leaves)
        for raw in given.transactions:
            tx = transaction.decode(raw)
            if tx.wtxid not in leaves:
                raise Invalid(Reason.BAD_BODY, f"{tx.txid.hex()} is not in the block")
            assembly.add(tx)

    def give_body(self, given: GiveBody, block_hash: bytes) -> None:
        """Take a whole body; raises Invalid for one that does not hash to its header's root."""
        assembly = self._assemblies.get(block_hash)
        if assembly is None:
            return
        transactions = [transaction.decode(raw) for raw in given.block.transactions]
        leaves = tuple([tx.wtxid for tx in transactions])
        check_body(assembly.header, leaves)
        assembly.leaves = leaves
        assembly.missing = {}
        assembly.found = {tx.wtxid: tx for tx in transactions}
        assembly.size_bytes = sum([len(tx.raw) for tx in transactions])

    def drop_through(self, height: int) -> None:
        """Heights that are final need no body."""
        self._assemblies = {
            key: item for key, item in self._assemblies.items() if item.header.height > height
        }

    def _look_up(self, assembly: Assembly) -> None:
        for leaf in tuple(assembly.missing):
            tx = self._find(leaf)
            if tx is not None:
                assembly.add(tx)
