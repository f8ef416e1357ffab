"""What the system does at the start of a block, before any transaction.

The ledger clock moves; when that begins a period, hours of the past one leave the reserves; the
first block of an epoch notes its base; fees of past epochs are shared out. The number of
pots a block shares is capped and the rest carried over, so that no block stalls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ledger.codec import encode
from ledger.crypto import tagged_hash
from ledger.economy.reserve import Reserve, reevaluated
from ledger.epochs import Epoch, begin
from ledger.objects import FeePot, LedgerClock, decode, key_of, load, load_one
from ledger.parameters import Parameters
from ledger.transaction import Output
from ledger.view import View

FEE_POTS_A_BLOCK = 16
"""With 32 validators 512 outputs, a quarter of what transactions of a full block make."""

_system_txid = tagged_hash("sys")


def system_txid(height: int, action: int) -> bytes:
    """The txid of an output that no transaction makes: the action's index at a height."""
    return _system_txid(height.to_bytes(8, "big"), action.to_bytes(8, "big"))


@dataclass(frozen=True, slots=True)
class SystemActions:
    """Objects (None: removed) and outputs, one an action, in their order."""

    objects: dict[bytes, bytes | None]
    outputs: tuple[Output, ...]


def system_actions(view: View, time_ms: int) -> SystemActions:
    """Of the block after `view` with this header time."""
    objects: dict[bytes, bytes | None] = {}
    before = load_one(view, LedgerClock)
    after = before.advanced(parent_ms=view.head.header.time_ms, block_ms=time_ms)
    objects[key_of(LedgerClock)] = encode(after)
    period_ms = load_one(view, Parameters).period_ms
    if before.time_ms // period_ms != after.time_ms // period_ms:
        for reserve in reevaluated(view, after):
            objects[key_of(Reserve, reserve.asset)] = encode(reserve)
    epoch = load_one(view, Epoch)
    if epoch.base_height == view.head.header.height:
        objects[key_of(Epoch)] = encode(begin(epoch, view.head.hash))
    outputs = tuple(_share_fees(view, epoch, objects)) if epoch.payees else ()
    return SystemActions(objects, outputs)


def _share_fees(view: View, epoch: Epoch, objects: dict[bytes, bytes | None]) -> Iterator[Output]:
    """Equal shares of each past pot; what does not divide goes on in the present one."""
    for pot in islice(_past_pots(view, epoch), FEE_POTS_A_BLOCK):
        share, rest = divmod(pot.amount, len(epoch.payees))
        objects[key_of(FeePot, FeePot.identity(pot.epoch, pot.asset))] = None
        if rest:
            _carry_over(view, FeePot(epoch.number, pot.asset, rest), objects)
        if share:
            yield from [Output(pot.asset, share, lock) for lock in epoch.payees]


def _past_pots(view: View, epoch: Epoch) -> Iterable[FeePot]:
    for _, data in view.objects(key_of(FeePot)):
        pot = decode(data, FeePot)
        if pot.epoch >= epoch.number:
            return
        yield pot


def _carry_over(view: View, added: FeePot, objects: dict[bytes, bytes | None]) -> None:
    identity = FeePot.identity(added.epoch, added.asset)
    key = key_of(FeePot, identity)
    changed = objects.get(key)
    held = decode(changed, FeePot) if changed else load(view, FeePot, identity)
    amount = added.amount + (held.amount if held else 0)
    objects[key] = encode(FeePot(added.epoch, added.asset, amount))
