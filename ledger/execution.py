"""A block on top of a state: run by the primary that builds it and by all who check it alike.

Order within a block: what is the system's (`ledger.system`), then the transactions as listed,
those of government first, so that nothing that waits can race an order or a revocation; then the
issuers that were touched are judged anew, and in the last block of an epoch the next set is made.
A transaction that fails makes the block invalid; the primary leaves it out. `Changes` are computed
here and written elsewhere, once, when the block is final.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from ledger.backing import judge, touched_by
from ledger.block import (
    BLOCK_BYTES_MAX,
    BLOCK_OPERATIONS_MAX,
    BLOCK_SIGNATURES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    TRANSACTION_OPERATIONS_MAX,
    Block,
    Header,
)
from ledger.codec import Wire, encode
from ledger.draft import Draft
from ledger.economy.reserve import Reserve, Solvency, supply_root
from ledger.epochs import Epoch, ends_with, epoch_after, next_epoch
from ledger.invariants import HOLDERS, check_supply_equation
from ledger.merkle import merkle_root, remembered_root
from ledger.objects import FeePot, key_of, load, load_all, load_one, value_hash
from ledger.operations import identities
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.system import system_actions, system_txid
from ledger.transaction import Output, SignedTransaction, is_governance
from ledger.view import (
    BIRTH_ZERO,
    ChangedObjects,
    Changes,
    Head,
    Outpoint,
    OutputEntry,
    View,
    output_leaf,
)

FREE_PER_IDENTITY_MAX = 16
"""Free transactions of one licence in a block."""
FREE_SHARE = 5
"""Free transactions fill at most a fifth of every limit of a block: paying ones find room."""
TROUBLED_SHARE = 10
"""Fees in coins of issuers in deficit are taken for a tenth of every limit: at par, but few."""

EMPTY_ROOT = merkle_root([])


class Kind(Enum):
    """Transactions that share room: where there is none for one kind, there may be for others."""

    PAYMENT = 1
    OPERATION = 2
    """Pays, and does more than to move coins."""
    TROUBLED = 3
    """Pays in coins of an issuer in deficit, whatever it does."""
    FREE = 4


class Execution:
    """One block in the making on top of a view. It is a view itself, of the state so far.

    `add` checks and takes one transaction or raises and changes nothing; `finish` is called once,
    last.
    """

    __slots__ = (
        "_base",
        "_base_outputs",
        "_created",
        "_fees",
        "_free_by_identity",
        "_free_room",
        "_is_open",
        "_measured",
        "_objects",
        "_proposer",
        "_room",
        "_spent",
        "_system_outputs",
        "_troubled_room",
        "_wtxids",
        "height",
        "time_ms",
        "troubled",
    )

    def __init__(self, view: View, *, time_ms: int, proposer: bytes) -> None:
        parent = view.head.header
        if time_ms <= parent.time_ms:
            detail = f"time {time_ms} ms is not after the parent's {parent.time_ms} ms"
            raise Invalid(Reason.BAD_HEADER, detail)
        self._base = view
        self._base_outputs = view.head.commitments.outputs.count
        self._proposer = proposer
        self.height = parent.height + 1
        self.time_ms = time_ms
        self._created: dict[Outpoint, OutputEntry] = {}
        self._spent: dict[Outpoint, OutputEntry] = {}
        actions = system_actions(view, time_ms)
        self._objects = ChangedObjects(actions.objects)
        self._measured = actions.measured
        self._system_outputs = {
            (system_txid(self.height, index), 0): self._entry(output, index)
            for index, output in enumerate(actions.outputs)
        }
        self._fees: Counter[bytes] = Counter()
        self._wtxids: list[bytes] = []
        self._room = Room()
        self._free_room = Room(FREE_SHARE)
        self._free_by_identity: Counter[str] = Counter()
        self.troubled = troubled_assets(view)
        self._troubled_room = Room(TROUBLED_SHARE)
        self._is_open = False
        """A transaction that is not of government was taken."""

    @property
    def head(self) -> Head:
        """The parent: this block has no header before `finish`."""
        return self._base.head

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        """What the system made in this block can be spent in the next: no transaction names it."""
        if outpoint in self._spent:
            return None
        return self._created.get(outpoint) or self._base.output(outpoint)

    def is_spent(self, outpoint: Outpoint) -> bool:
        return outpoint in self._spent or self._base.is_spent(outpoint)

    def object(self, key: bytes) -> bytes | None:
        changed = self._objects.items
        return changed[key] if key in changed else self._base.object(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._objects.over(self._base.objects(prefix), prefix)

    def fits(self, tx: SignedTransaction) -> bool:
        """Whether the block's limits leave room for `tx`, whatever it does."""
        return self._limit_reached(tx) is None

    def add(self, tx: SignedTransaction) -> None:
        """Check `tx` against the state so far and take it; raises Invalid without side effects."""
        limit = self._limit_reached(tx)
        if limit is not None:
            raise limit
        is_first = is_governance(tx.body)
        if is_first and self._is_open:
            raise Invalid(Reason.NOT_FIRST, "government comes before all other transactions")
        effects = check_transaction(self, tx, time_ms=self.time_ms)
        body = tx.body
        self._is_open = self._is_open or not is_first
        self._spent.update(effects.spent)
        self._objects.update(effects.objects)
        self._wtxids.append(tx.wtxid)
        self._room.take(tx)
        if body.inputs:
            self._fees[body.fee.asset] += body.fee.amount
            if body.fee.asset in self.troubled:
                self._troubled_room.take(tx)
        else:
            self._free_room.take(tx)
            self._free_by_identity.update(identities(tx.body.operations))
        position = len(self._system_outputs) + len(self._created)
        for index, output in enumerate(body.outputs):
            self._created[tx.txid, index] = self._entry(output, position + index)

    def finish(self) -> Changes:
        """The changes of the whole block with its header. Breaks off if the rules contradict
        themselves: nobody votes for such a block."""
        self._collect_fees()
        self._judge()
        next_validators_hash = self._end_epoch()
        created = self._system_outputs | self._created
        spent = self._spent
        self._check_supply(created)
        objects = self._lasting_objects()
        commitments, nodes = self._base.head.commitments.advance(
            created=[output_leaf(outpoint, entry) for outpoint, entry in created.items()],
            spent=[entry.leaf for entry in spent.values()],
            objects={key: value_hash(data) for key, data in objects.items()},
            supply_root=self._supply_root(),
        )
        header = build_header(
            self._base.head,
            tx_root=remembered_root(tuple(self._wtxids)),
            state_root=commitments.state_root,
            next_validators_hash=next_validators_hash,
            time_ms=self.time_ms,
            proposer=self._proposer,
        )
        return Changes(
            head=Head.of(header, commitments),
            created={point: entry for point, entry in created.items() if point not in spent},
            spent={point: entry for point, entry in spent.items() if point not in created},
            objects=objects,
            nodes=nodes,
        )

    def _lasting_objects(self) -> dict[bytes, bytes | None]:
        """Without those that the block made and removed again."""
        return {
            key: data
            for key, data in self._objects.items.items()
            if data is not None or self._base.object(key) is not None
        }

    def _limit_reached(self, tx: SignedTransaction) -> Invalid | None:
        if not self._room.holds(tx):
            return Invalid(Reason.BAD_BODY, "over the limits of a block")
        if tx.body.inputs:
            if tx.body.fee.asset in self.troubled and not self._troubled_room.holds(tx):
                detail = "fees in coins of issuers in deficit fill their tenth of the block"
                return Invalid(Reason.TROUBLED_FEE, detail)
            return None
        if not self._free_room.holds(tx):
            return Invalid(Reason.FREE_QUOTA, "free transactions fill their fifth of the block")
        for identity in identities(tx.body.operations):
            if self._free_by_identity[identity] >= FREE_PER_IDENTITY_MAX:
                detail = f"{FREE_PER_IDENTITY_MAX} free transactions a block by '{identity}'"
                return Invalid(Reason.FREE_QUOTA, detail)
        return None

    def _entry(self, output: Output, position: int) -> OutputEntry:
        """`position` counts the outputs that the block has made so far."""
        leaf = self._base_outputs + position
        return OutputEntry(output.asset, output.amount, output.lock, self.height, leaf, BIRTH_ZERO)

    def _collect_fees(self) -> None:
        if not self._fees:
            return
        number = load_one(self, Epoch).number
        for asset, amount in sorted(self._fees.items()):
            identity = FeePot.identity(number, asset)
            pot = load(self, FeePot, identity)
            total = amount if pot is None else pot.amount + amount
            self._objects.put(key_of(FeePot, identity), encode(FeePot(number, asset, total)))

    def _end_epoch(self) -> bytes:
        """The hash of the next block's set; the next epoch is written where this block ends one."""
        epoch, parameters = load_one(self, Epoch), load_one(self, Parameters)
        if not ends_with(epoch, parameters, height=self.height, time_ms=self.time_ms):
            return self._base.head.header.next_validators_hash
        draft = Draft(self, self.time_ms)
        next_epoch(draft)
        self._objects.update(draft.changed)
        return load_one(self, Epoch).validators.hash

    def _judge(self) -> None:
        """Issuers whose coins, hours or bonds this block changed."""
        draft = Draft(self, self.time_ms)
        touched = touched_by(draft, self._objects.items, self._measured)
        if touched.attestors or touched.issuers:
            judge(draft, touched)
            self._objects.update(draft.changed)

    def _check_supply(self, created: Mapping[Outpoint, OutputEntry]) -> None:
        outputs: Counter[bytes] = Counter()
        for entry in created.values():
            outputs[entry.asset] += entry.amount
        for entry in self._spent.values():
            outputs[entry.asset] -= entry.amount
        held: Counter[bytes] = Counter()
        for kind, amount in HOLDERS.items():
            held.update(self._differences(kind, amount))
        supply = self._differences(Reserve, lambda reserve: reserve.supply)
        check_supply_equation(outputs, held, supply)

    def _differences(self, kind: type[Wire], amount: Callable[[Any], int]) -> Counter[bytes]:
        """By how much the changed objects of a kind hold more than before, by asset."""
        prefix = key_of(kind)
        result: Counter[bytes] = Counter()
        for key, _ in self._objects.under(prefix):
            identity = key[len(prefix) :]
            before: Any = load(self._base, kind, identity)
            after: Any = load(self, kind, identity)
            if after is not None:
                result[after.asset] += amount(after)
            if before is not None:
                result[before.asset] -= amount(before)
        return result

    def _supply_root(self) -> bytes:
        if self._objects.under(key_of(Reserve)):
            return supply_root(load_all(self, Reserve))
        return self._base.head.commitments.supply_root


class Room:
    """What is left of a block's limits, of the whole or of one part in `share`."""

    __slots__ = ("_bytes", "_operations", "_signatures", "_transactions")

    def __init__(self, share: int = 1) -> None:
        self._transactions = BLOCK_TRANSACTIONS_MAX // share
        self._signatures = BLOCK_SIGNATURES_MAX // share
        self._bytes = BLOCK_BYTES_MAX // share
        self._operations = operations_max(share)

    def holds(self, tx: SignedTransaction) -> bool:
        return (
            self._transactions >= 1
            and self._signatures >= len(tx.witness.signatures)
            and self._bytes >= len(tx.raw)
            and self._operations >= tx.operations_count
        )

    def holds_operations(self, tx: SignedTransaction) -> bool:
        """Whether this limit alone has room: where it has none, payments go on."""
        return self._operations >= tx.operations_count

    def take(self, tx: SignedTransaction) -> None:
        self._transactions -= 1
        self._signatures -= len(tx.witness.signatures)
        self._bytes -= len(tx.raw)
        self._operations -= tx.operations_count


def operations_max(share: int = 1) -> int:
    """How many a block, or one part in `share` of it, holds; in any part the largest transaction
    finds room."""
    return max(BLOCK_OPERATIONS_MAX // share, TRANSACTION_OPERATIONS_MAX)


def troubled_assets(view: View) -> frozenset[bytes]:
    """Coins of issuers in deficit, as a state has them: what the next block takes as fees for a
    small part of it."""
    bad = (Solvency.DEFICIT, Solvency.CAGED)
    return frozenset([held.asset for held in load_all(view, Reserve) if held.solvency in bad])


def kind_of(tx: SignedTransaction, troubled: Container[bytes]) -> Kind:
    """With which others a transaction shares room."""
    body = tx.body
    if not body.inputs:
        return Kind.FREE
    if body.fee.asset in troubled:
        return Kind.TROUBLED
    return Kind.OPERATION if body.operations else Kind.PAYMENT


def build_header(
    parent: Head,
    *,
    tx_root: bytes,
    state_root: bytes,
    next_validators_hash: bytes,
    time_ms: int,
    proposer: bytes,
) -> Header:
    """The header of the block after `parent`."""
    return Header(
        version=1,
        chain_id=parent.header.chain_id,
        epoch=epoch_after(parent.header),
        height=parent.header.height + 1,
        parent_hash=parent.hash,
        tx_root=tx_root,
        evidence_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        state_root=state_root,
        validators_hash=parent.header.next_validators_hash,
        next_validators_hash=next_validators_hash,
        time_ms=time_ms,
        proposer=proposer,
    )


def check_body(header: Header, wtxids: Sequence[bytes]) -> None:
    """The transactions are those that the header names; raises Invalid(BAD_BODY).

    A body that does not match accuses whoever gave it, never who made the header.
    """
    if remembered_root(tuple(wtxids)) != header.tx_root:
        raise Invalid(Reason.BAD_BODY, f"{len(wtxids)} transactions do not hash to the tx root")


def check_header(header: Header, view: View) -> None:
    """The header follows that of `view` and comes from a member; raises Invalid(BAD_HEADER).

    What depends on the wall clock is checked by the replica, roots by `execute_block`.
    """
    parent = view.head
    expected = build_header(
        parent,
        tx_root=header.tx_root,
        state_root=header.state_root,
        next_validators_hash=header.next_validators_hash,
        time_ms=header.time_ms,
        proposer=header.proposer,
    )
    for name in header.__struct_fields__:
        found, needed = getattr(header, name), getattr(expected, name)
        if found != needed:
            detail = f"{name} is {_shown(found)}, expected {_shown(needed)}"
            raise Invalid(Reason.BAD_HEADER, detail)
    if all(header.proposer != member.key for member in load_one(view, Epoch).members):
        raise Invalid(Reason.BAD_HEADER, f"proposer {header.proposer.hex()} is not a member")


def execute_block(view: View, block: Block, txs: Sequence[SignedTransaction]) -> Changes:
    """Run a proposed or fetched block; raises Invalid, and then the block is no good.

    `txs` are the block's transactions, decoded and verified. BAD_BODY says that body and header
    do not belong together, anything else that the proposer is at fault.
    """
    header = block.header
    if [tx.raw for tx in txs] != list(block.transactions):
        raise AssertionError("other transactions than the block's")
    check_header(header, view)
    check_body(header, [tx.wtxid for tx in txs])
    execution = Execution(view, time_ms=header.time_ms, proposer=header.proposer)
    for tx in txs:
        execution.add(tx)
    changes = execution.finish()
    if changes.head.header.next_validators_hash != header.next_validators_hash:
        computed = changes.head.header.next_validators_hash.hex()
        detail = f"next_validators_hash is {header.next_validators_hash.hex()}, expected {computed}"
        raise Invalid(Reason.BAD_HEADER, detail)
    if changes.head.header.state_root != header.state_root:
        computed = changes.head.header.state_root.hex()
        detail = f"header says {header.state_root.hex()}, executed {computed}"
        raise Invalid(Reason.BAD_STATE_ROOT, detail)
    return changes


def _shown(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
