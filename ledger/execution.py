"""A block on top of a state: run by the primary that builds it and by all who check it alike.

Order within a block: the ledger clock moves, hours of a past period leave the reserves, then the
transactions as listed. A transaction that fails makes the block invalid; the primary leaves it
out. `Changes` are computed here and written elsewhere, once, when the block is final.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from ledger.block import (
    BLOCK_BYTES_MAX,
    BLOCK_SIGNATURES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    Block,
    Header,
)
from ledger.codec import encode
from ledger.economy.reserve import Reserve, reevaluated, supply_root
from ledger.invariants import check_supply_equation
from ledger.merkle import merkle_root
from ledger.objects import (
    FeePot,
    LedgerClock,
    ObjectT,
    key_of,
    load,
    load_all,
    load_one,
    value_hash,
)
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.state import check_transaction
from ledger.transaction import Mint, SignedTransaction
from ledger.validators import ValidatorSet
from ledger.view import (
    BIRTH_ZERO,
    Changes,
    Head,
    Outpoint,
    OutputEntry,
    View,
    merged_objects,
    output_leaf,
)

FREE_PER_IDENTITY_MAX = 16
"""Free transactions of one licence in a block."""
FREE_SHARE = 5
"""Free transactions fill at most a fifth of every limit of a block: paying ones find room."""

EMPTY_ROOT = merkle_root([])


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
        "_objects",
        "_proposer",
        "_room",
        "_spent",
        "_wtxids",
        "height",
        "time_ms",
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
        self._objects: dict[bytes, bytes] = _system_actions(view, time_ms)
        self._fees: Counter[bytes] = Counter()
        self._wtxids: list[bytes] = []
        self._room = Room()
        self._free_room = Room(FREE_SHARE)
        self._free_by_identity: Counter[str] = Counter()

    @property
    def head(self) -> Head:
        """The parent: this block has no header before `finish`."""
        return self._base.head

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        if outpoint in self._spent:
            return None
        return self._created.get(outpoint) or self._base.output(outpoint)

    def is_spent(self, outpoint: Outpoint) -> bool:
        return outpoint in self._spent or self._base.is_spent(outpoint)

    def object(self, key: bytes) -> bytes | None:
        return self._objects.get(key) or self._base.object(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from merged_objects(self._base.objects(prefix), self._objects, prefix)

    def fits(self, tx: SignedTransaction) -> bool:
        """Whether the block's limits leave room for `tx`, whatever it does."""
        return self._limit_reached(tx) is None

    def add(self, tx: SignedTransaction) -> None:
        """Check `tx` against the state so far and take it; raises Invalid without side effects."""
        limit = self._limit_reached(tx)
        if limit is not None:
            raise limit
        effects = check_transaction(self, tx, time_ms=self.time_ms)
        body = tx.body
        self._spent.update(effects.spent)
        self._objects.update(effects.objects)
        self._wtxids.append(tx.wtxid)
        self._room.take(tx)
        if body.inputs:
            self._fees[body.fee.asset] += body.fee.amount
        else:
            self._free_room.take(tx)
            self._free_by_identity.update(_identities(tx))
        leaf = self._base_outputs + len(self._created)
        for index, output in enumerate(body.outputs):
            self._created[tx.txid, index] = OutputEntry(
                output.asset, output.amount, output.lock, self.height, leaf + index, BIRTH_ZERO
            )

    def finish(self) -> Changes:
        """The changes of the whole block with its header. Breaks off if the rules contradict
        themselves: nobody votes for such a block."""
        self._collect_fees()
        self._check_supply()
        created = self._created
        spent = self._spent
        objects = self._objects
        commitments, nodes = self._base.head.commitments.advance(
            created=[output_leaf(outpoint, entry) for outpoint, entry in created.items()],
            spent=[entry.leaf for entry in spent.values()],
            objects={key: value_hash(data) for key, data in objects.items()},
            supply_root=self._supply_root(),
        )
        header = build_header(
            self._base.head,
            tx_root=merkle_root(self._wtxids),
            state_root=commitments.state_root,
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

    def _limit_reached(self, tx: SignedTransaction) -> Invalid | None:
        if not self._room.holds(tx):
            return Invalid(Reason.BAD_BODY, "over the limits of a block")
        if tx.body.inputs:
            return None
        if not self._free_room.holds(tx):
            return Invalid(Reason.FREE_QUOTA, "free transactions fill their fifth of the block")
        for identity in _identities(tx):
            if self._free_by_identity[identity] >= FREE_PER_IDENTITY_MAX:
                detail = f"{FREE_PER_IDENTITY_MAX} free transactions a block by '{identity}'"
                return Invalid(Reason.FREE_QUOTA, detail)
        return None

    def _collect_fees(self) -> None:
        for asset, amount in sorted(self._fees.items()):
            pot = load(self, FeePot, asset)
            total = amount if pot is None else pot.amount + amount
            self._objects[key_of(FeePot, asset)] = encode(FeePot(asset, total))

    def _check_supply(self) -> None:
        outputs: Counter[bytes] = Counter()
        for entry in self._created.values():
            outputs[entry.asset] += entry.amount
        for entry in self._spent.values():
            outputs[entry.asset] -= entry.amount
        held = self._differences(FeePot, lambda pot: pot.amount)
        supply = self._differences(Reserve, lambda reserve: reserve.supply)
        check_supply_equation(outputs, held, supply)

    def _differences(
        self, kind: type[ObjectT], amount: Callable[[ObjectT], int]
    ) -> dict[bytes, int]:
        """By how much the changed objects of a kind hold more than before, by identity."""
        prefix = key_of(kind)
        result = {}
        for key in self._objects:
            if key.startswith(prefix):
                identity = key[len(prefix) :]
                before, after = load(self._base, kind, identity), load(self, kind, identity)
                result[identity] = (amount(after) if after else 0) - (
                    amount(before) if before else 0
                )
        return result

    def _supply_root(self) -> bytes:
        prefix = key_of(Reserve)
        if any(key.startswith(prefix) for key in self._objects):
            return supply_root(load_all(self, Reserve))
        return self._base.head.commitments.supply_root


class Room:
    """What is left of a block's limits, of the whole or of one part in `share`."""

    __slots__ = ("_bytes", "_signatures", "_transactions")

    def __init__(self, share: int = 1) -> None:
        self._transactions = BLOCK_TRANSACTIONS_MAX // share
        self._signatures = BLOCK_SIGNATURES_MAX // share
        self._bytes = BLOCK_BYTES_MAX // share

    def holds(self, tx: SignedTransaction) -> bool:
        return (
            self._transactions >= 1
            and self._signatures >= len(tx.witness.signatures)
            and self._bytes >= len(tx.raw)
        )

    def take(self, tx: SignedTransaction) -> None:
        self._transactions -= 1
        self._signatures -= len(tx.witness.signatures)
        self._bytes -= len(tx.raw)


def build_header(
    parent: Head, *, tx_root: bytes, state_root: bytes, time_ms: int, proposer: bytes
) -> Header:
    """The header of the block after `parent`; the set of validators goes on."""
    return Header(
        version=1,
        chain_id=parent.header.chain_id,
        epoch=parent.header.epoch,
        height=parent.header.height + 1,
        parent_hash=parent.hash,
        tx_root=tx_root,
        evidence_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        state_root=state_root,
        validators_hash=parent.header.next_validators_hash,
        next_validators_hash=parent.header.next_validators_hash,
        time_ms=time_ms,
        proposer=proposer,
    )


def check_body(header: Header, wtxids: Sequence[bytes]) -> None:
    """The transactions are those that the header names; raises Invalid(BAD_BODY).

    A body that does not match accuses nobody: it is fetched elsewhere.
    """
    if merkle_root(wtxids) != header.tx_root:
        raise Invalid(Reason.BAD_BODY, f"{len(wtxids)} transactions do not hash to the tx root")


def check_header(header: Header, parent: Head, validators: ValidatorSet) -> None:
    """The header follows `parent` and comes from a member; raises Invalid(BAD_HEADER).

    What depends on the wall clock is checked by the replica, roots by `execute_block`.
    """
    expected = build_header(
        parent,
        tx_root=header.tx_root,
        state_root=header.state_root,
        time_ms=header.time_ms,
        proposer=header.proposer,
    )
    for name in header.__struct_fields__:
        found, needed = getattr(header, name), getattr(expected, name)
        if found != needed:
            detail = f"{name} is {_shown(found)}, expected {_shown(needed)}"
            raise Invalid(Reason.BAD_HEADER, detail)
    if header.proposer not in validators.index_by_key:
        raise Invalid(Reason.BAD_HEADER, f"proposer {header.proposer.hex()} is not a member")


def execute_block(
    view: View, block: Block, txs: Sequence[SignedTransaction], validators: ValidatorSet
) -> Changes:
    """Run a proposed or fetched block; raises Invalid, and then the block is no good.

    `txs` are the block's transactions, decoded and verified. BAD_BODY says that body and header
    do not belong together, anything else that the proposer is at fault.
    """
    header = block.header
    if [tx.raw for tx in txs] != list(block.transactions):
        raise AssertionError("other transactions than the block's")
    check_header(header, view.head, validators)
    check_body(header, [tx.wtxid for tx in txs])
    execution = Execution(view, time_ms=header.time_ms, proposer=header.proposer)
    for tx in txs:
        execution.add(tx)
    changes = execution.finish()
    if changes.head.header.state_root != header.state_root:
        computed = changes.head.header.state_root.hex()
        detail = f"header says {header.state_root.hex()}, executed {computed}"
        raise Invalid(Reason.BAD_STATE_ROOT, detail)
    return changes


def _system_actions(view: View, time_ms: int) -> dict[bytes, bytes]:
    """The clock moves; when that begins a period, every reserve is worked out anew."""
    before = load_one(view, LedgerClock)
    after = before.advanced(parent_ms=view.head.header.time_ms, block_ms=time_ms)
    objects = {key_of(LedgerClock): encode(after)}
    period_ms = load_one(view, Parameters).period_ms
    if before.time_ms // period_ms != after.time_ms // period_ms:
        for reserve in reevaluated(view, after):
            objects[key_of(Reserve, reserve.asset)] = encode(reserve)
    return objects


def _identities(tx: SignedTransaction) -> list[str]:
    """The licences behind the operations, each once."""
    return sorted({item.issuer for item in tx.body.operations if isinstance(item, Mint)})


def _shown(value: int | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
