"""A chain run again from its genesis file: every signature, every rule, every root.

The node is asked for bytes and believed in nothing. From the genesis file come the validators and
the first state. Each block must follow the one before, carry a quorum's signatures of those
validators, and leave, executed here, the state root that its header names. At the end supply,
bonds, reserves, pledged devices and deadlines are counted again from every output and every object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cli.client import all_items
from ledger import codec, transaction
from ledger.block import (
    BLOCK_FRAME_BYTES_MAX,
    COMMIT,
    Block,
    Certificate,
    Header,
    check_certificate,
    header_hash,
    is_commit_of,
)
from ledger.epochs import validators_of
from ledger.errors import InvariantBroken
from ledger.execution import execute_block
from ledger.genesis import Genesis
from ledger.genesis_state import genesis_state
from ledger.invariants import recount
from ledger.objects import load_one
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from ledger.validators import ValidatorSet
from ledger.view import Changes, Head, Outpoint, OutputEntry
from node.api.convert import read_certificate, read_header
from node.api.schemas import PAGE_ITEMS_MAX, CertifiedHeader, Page

INVARIANT_BROKEN = "invariant_broken"
"""Beside the reasons of the ledger: the rules contradict themselves, which no peer can cause."""


class Source(Protocol):
    """Where blocks come from: `cli.client.Client`."""

    def headers(
        self, *, start: int = 0, limit: int | None = None, cursor: str | None = None
    ) -> Page[CertifiedHeader]: ...

    def raw_block(self, at: int | str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that does not hold, and where."""

    height: int
    code: str
    detail: str


class AuditFailed(Exception):
    """Ends an audit."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"height {fault.height}: {fault.code}: {fault.detail}")
        self.fault = fault


class Replay:
    """The state after the last block that was found good, in memory.

    It is a view. What was spent is not kept: only the wording of a refusal would need it, and it
    would grow with the chain.
    """

    def __init__(self, genesis: Genesis) -> None:
        changes = genesis_state(genesis)
        self._head = changes.head
        self._outputs: dict[Outpoint, OutputEntry] = {}
        self._objects: dict[bytes, bytes] = {}
        self._take(changes)
        self._fees = load_one(self, Parameters).fees
        self.transactions = 0

    @property
    def head(self) -> Head:
        return self._head

    @property
    def height(self) -> int:
        return self._head.header.height

    @property
    def unspent(self) -> int:
        """How many outputs are unspent."""
        return len(self._outputs)

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        return self._outputs.get(outpoint)

    def is_spent(self, outpoint: Outpoint) -> bool:
        return False

    def object(self, key: bytes) -> bytes | None:
        return self._objects.get(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(row for row in self._objects.items() if row[0].startswith(prefix)))

    def check_genesis(self, header: Header) -> None:
        """Block 0 is the one that the genesis file makes; raises AuditFailed."""
        if header != self._head.header:
            detail = "block 0 is not the one that the genesis file makes"
            raise AuditFailed(Fault(0, Reason.BAD_GENESIS.value, detail))

    def apply(self, block: Block, certificate: Certificate | None) -> None:
        """Check the next block in full and go on from it; raises AuditFailed."""
        height = self.height + 1
        try:
            if certificate is None:
                raise Invalid(Reason.BAD_CERTIFICATE, "there is none")
            check_final(block.header, certificate, validators_of(self))
            self._take(execute_block(self, block, self._read(block)))
        except Invalid as error:
            raise AuditFailed(Fault(height, error.reason.value, error.detail)) from None
        except InvariantBroken as error:
            raise AuditFailed(Fault(height, INVARIANT_BROKEN, str(error))) from None
        self.transactions += len(block.transactions)

    def check_totals(self) -> None:
        """Count supply and reserve again from what is there; raises AuditFailed."""
        try:
            recount(self, self._outputs.items())
        except InvariantBroken as error:
            raise AuditFailed(Fault(self.height, INVARIANT_BROKEN, str(error))) from None

    def _read(self, block: Block) -> list[SignedTransaction]:
        txs = [transaction.decode(raw) for raw in block.transactions]
        for tx in txs:
            transaction.check_stateless(tx, self._head.header.chain_id, self._fees)
            transaction.check_signatures(tx)
        return txs

    def _take(self, changes: Changes) -> None:
        for outpoint in changes.spent:
            del self._outputs[outpoint]
        self._outputs.update(changes.created)
        for key, value in changes.objects.items():
            if value is None:
                del self._objects[key]
            else:
                self._objects[key] = value
        self._head = changes.head


def check_final(header: Header, certificate: Certificate, validators: ValidatorSet) -> None:
    """A quorum of `validators` committed exactly this header; raises Invalid."""
    if header.validators_hash != validators.hash:
        raise Invalid(Reason.BAD_HEADER, "it names other validators than those of its epoch")
    if not is_commit_of(certificate, header, header_hash(header)):
        raise Invalid(Reason.BAD_CERTIFICATE, "it is of another block")
    check_certificate(certificate, header.chain_id, validators, COMMIT)


def audit(source: Source, replay: Replay, target: int, on_height: Callable[[int], object]) -> None:
    """Fetch and check everything up to `target`; raises AuditFailed and what `source` raises."""
    for item in _headers(source, target):
        height = item.header.height
        header, certificate = _read_item(item)
        if height == 0:
            replay.check_genesis(header)
            continue
        if height != replay.height + 1:
            expected = replay.height + 1
            detail = f"the node lists height {height} in place of {expected}"
            raise AuditFailed(Fault(expected, Reason.BAD_HEADER.value, detail))
        block = _fetch_block(source, height)
        if block.header != header:
            detail = "the node gives another header with the body than in the list"
            raise AuditFailed(Fault(height, Reason.BAD_HEADER.value, detail))
        replay.apply(block, certificate)
        on_height(height)
    if replay.height < target:
        detail = f"the node said that it has height {target}, and its list ends here"
        raise AuditFailed(Fault(replay.height + 1, Reason.BAD_HEADER.value, detail))
    replay.check_totals()


def _headers(source: Source, target: int) -> Iterator[CertifiedHeader]:
    for item in all_items(lambda cursor: source.headers(limit=PAGE_ITEMS_MAX, cursor=cursor)):
        if item.header.height > target:
            return
        yield item


def _read_item(item: CertifiedHeader) -> tuple[Header, Certificate | None]:
    try:
        header = read_header(item.header)
        held = item.certificate
        return header, None if held is None else read_certificate(held)
    except Invalid as error:
        fault = Fault(item.header.height, error.reason.value, error.detail)
        raise AuditFailed(fault) from None


def _fetch_block(source: Source, height: int) -> Block:
    try:
        return codec.decode(source.raw_block(height), Block, size_max=BLOCK_FRAME_BYTES_MAX)
    except Invalid as error:
        raise AuditFailed(Fault(height, error.reason.value, error.detail)) from None
