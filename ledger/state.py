"""Whether a transaction holds on a state: the one predicate for check, admission and execution.

The same fault gives the same reason everywhere. It takes transactions that passed
`transaction.check_stateless` and `check_signatures`; those results are remembered by witness hash
and never worked out twice. Nothing here changes anything: `Effects` say what would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ledger import membership
from ledger.amounts import format_amount
from ledger.codec import Wire, encode
from ledger.economy import issuance
from ledger.economy.issuance import TREASURY, Lane
from ledger.economy.licence import Licence
from ledger.economy.reserve import Reserve
from ledger.epochs import Epoch
from ledger.locks import Key, Moment
from ledger.objects import LedgerClock, key_of, load, load_all, load_one
from ledger.operations import Admit, Burn, EndEpoch, Evidence, Mint, OnLicence, ValidatorReady
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.schema import DamagedChain
from ledger.spending import check_open
from ledger.transaction import (
    LIFETIME_MS_MAX,
    SignedTransaction,
    Transaction,
    asset_id,
    is_governance,
)
from ledger.view import Outpoint, OutputEntry, View, merged_objects

Membership: TypeAlias = Admit | OnLicence | EndEpoch | ValidatorReady | Evidence


@dataclass(frozen=True, slots=True)
class Effects:
    """What a transaction changes, apart from the outputs and the fee that it states itself."""

    spent: tuple[tuple[Outpoint, OutputEntry], ...]
    objects: Mapping[bytes, bytes]


def check_transaction(view: View, tx: SignedTransaction, *, time_ms: int) -> Effects:
    """Everything that needs state or time, cheapest first; raises Invalid.

    `time_ms` is the header time of the block that would hold it, the next after `view`.
    """
    body = tx.body
    if time_ms > body.expires_at_ms:
        raise Invalid(Reason.EXPIRED, f"at {body.expires_at_ms} ms, block time is {time_ms} ms")
    if body.expires_at_ms > time_ms + LIFETIME_MS_MAX:
        late = body.expires_at_ms - time_ms
        raise Invalid(Reason.EXPIRES_TOO_LATE, f"in {late} ms, at most {LIFETIME_MS_MAX} ms ahead")
    spent = _find_inputs(view, body)
    _check_conditions(tx.locks, spent)
    _check_limits(view, tx, time_ms)
    if is_governance(body):
        approvals = [item.key for item in tx.witness.signatures]
        membership.check_approvals(approvals, load_one(view, Epoch), load_all(view, Licence))
    return Effects(spent, _operate(view, body) if body.operations else {})


def _find_inputs(view: View, body: Transaction) -> tuple[tuple[Outpoint, OutputEntry], ...]:
    spent = []
    for item in body.inputs:
        outpoint = (item.txid, item.index)
        entry = view.output(outpoint)
        if entry is None:
            is_spent = view.is_spent(outpoint)
            reason = Reason.SPENT_INPUT if is_spent else Reason.UNKNOWN_INPUT
            raise Invalid(reason, f"{item.txid.hex()}:{item.index}")
        if entry.asset != item.asset or entry.amount != item.amount:
            where = f"{item.txid.hex()}:{item.index}"
            held = f"holds {format_amount(entry.amount)} of {entry.asset.hex()}"
            declared = f"declared are {format_amount(item.amount)} of {item.asset.hex()}"
            raise Invalid(Reason.INPUT_MISMATCH, f"{where} {held}, {declared}")
        spent.append((outpoint, entry))
    return tuple(spent)


def _check_conditions(
    revealed: tuple[bytes, ...], spent: tuple[tuple[Outpoint, OutputEntry], ...]
) -> None:
    """The revealed conditions are exactly the locks of the spent outputs."""
    locks = {entry.lock for _, entry in spent}
    for lock in sorted(locks.difference(revealed)):
        raise Invalid(Reason.MISSING_CONDITION, f"lock {lock.hex()} is not revealed")
    for lock in revealed:
        if lock not in locks:
            raise Invalid(Reason.SPARE_CONDITION, f"no input has lock {lock.hex()}")


def _check_limits(view: View, tx: SignedTransaction, time_ms: int) -> None:
    """The revealed conditions, which are complete, hold in the next block."""
    conditions = tx.witness.conditions
    trees = [condition for condition in conditions if not isinstance(condition, Key)]
    if not trees:
        return
    at = Moment(view.head.header.height + 1, time_ms)
    signers, digests = frozenset(tx.witness.keys), frozenset(tx.witness.digests)
    for condition, lock in zip(conditions, tx.locks, strict=True):
        check_open(condition, lock, signers, digests, at)


def _operate(view: View, body: Transaction) -> dict[bytes, bytes]:
    """The objects that the operations leave, each judged on the state after the one before."""
    draft = _Draft(view)
    for operation in body.operations:
        match operation:
            case Mint():
                _mint(draft, body.chain_id, operation)
            case Burn():
                reserve = load(draft, Reserve, operation.asset)
                draft.put(operation.asset, issuance.burn(operation, reserve))
            case _:
                _change_membership(draft, body.chain_id, operation)
    return draft.changed


def _change_membership(draft: _Draft, chain_id: bytes, operation: Membership) -> None:
    epoch, clock_ms = load_one(draft, Epoch), load_one(draft, LedgerClock).time_ms
    height = draft.height
    match operation:
        case EndEpoch():
            draft.put(b"", membership.end_epoch(operation, epoch))
            return
        case Admit():
            name = operation.grant.id
            held = {item.grant.id: item for item in load_all(draft, Licence)}
            licence = membership.admit(operation, held, clock_ms=clock_ms, height=height)
            _found_reserve(draft, asset_id(chain_id, name), licence)
        case _:
            name = operation.licence
            held_one = load(draft, Licence, name.encode("ascii"))
            match operation:
                case ValidatorReady():
                    licence = membership.ready(
                        operation, held_one, epoch, clock_ms=clock_ms, height=height
                    )
                case Evidence():
                    licence = membership.accuse(operation, held_one, epoch, height=height)
                case _:
                    licence = membership.change(operation, held_one, height)
    draft.put(name.encode("ascii"), licence)


def _found_reserve(draft: _Draft, asset: bytes, licence: Licence) -> None:
    """An issuer begins with nothing to mint against."""
    if licence.grant.issuer and load(draft, Reserve, asset) is None:
        draft.put(asset, Reserve(asset, licence.grant.id, 0, 0, 0))


def _mint(draft: _Draft, chain_id: bytes, operation: Mint) -> None:
    clock_ms = load_one(draft, LedgerClock).time_ms
    licence = load(draft, Licence, operation.issuer.encode("ascii"))
    issuance.check_minter(operation, licence, clock_ms)
    identity = Lane.identity(operation.issuer, TREASURY, operation.lane)
    lane = issuance.take_number(operation, load(draft, Lane, identity))
    asset = asset_id(chain_id, operation.issuer)
    reserve = load(draft, Reserve, asset)
    if reserve is None:
        raise DamagedChain(f"issuer '{operation.issuer}' has no reserve")
    margin_ppm = load_one(draft, Parameters).margin_ppm
    draft.put(asset, issuance.mint(operation, reserve, margin_ppm))
    draft.put(identity, lane)


class _Draft:
    """The objects of a view and what the operations of one transaction changed so far."""

    __slots__ = ("_view", "changed")

    def __init__(self, view: View) -> None:
        self._view = view
        self.changed: dict[bytes, bytes] = {}

    @property
    def height(self) -> int:
        """Of the block that would hold the transaction."""
        return self._view.head.header.height + 1

    def object(self, key: bytes) -> bytes | None:
        return self.changed.get(key) or self._view.object(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        yield from merged_objects(self._view.objects(prefix), self.changed, prefix)

    def put(self, identity: bytes, value: Wire) -> None:
        self.changed[key_of(type(value), identity)] = encode(value)
