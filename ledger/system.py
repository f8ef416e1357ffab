"""What the system does at the start of a block, before any transaction.

The ledger clock moves; when a period begins, a step of the standard takes effect before anything
reads it, or receipts of the past one bring a draft; what fell due is written down (`ledger.sweep`);
then hours of the past period leave the reserves and every issuer is judged anew; the first block of
an epoch notes its base; fees of past epochs are shared out. Everything that may be many is capped a
block and the rest carried over, so that no block stalls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from ledger.crypto import tagged_hash
from ledger.draft import Draft
from ledger.epochs import Epoch, begin
from ledger.handlers import standard
from ledger.objects import FeePot, LedgerClock, decode, key_of
from ledger.sweep import begin_batch, begin_period, sweep
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
    """Objects (None: removed) and outputs, one an action, in their order. `measured` are objects by
    which all hours were measured already, as they were then; none where no period begins."""

    objects: Mapping[bytes, bytes | None]
    outputs: tuple[Output, ...]
    measured: Mapping[bytes, bytes | None]


def system_actions(view: View, time_ms: int) -> SystemActions:
    """Of the block after `view` with this header time."""
    draft = Draft(view, time_ms)
    before = draft.one(LedgerClock)
    after = before.advanced(parent_ms=view.head.header.time_ms, block_ms=time_ms)
    period_before = draft.period
    draft.put(after)
    begins = draft.period != period_before
    if begins:
        standard.begin(draft)
    outputs = sweep(draft)
    measured: dict[bytes, bytes | None] = {}
    if begins:
        begin_period(draft)
        measured = dict(draft.changed)
        outputs.extend(begin_batch(draft))
    epoch = draft.one(Epoch)
    if epoch.base_height == view.head.header.height:
        draft.put(begin(epoch, view.head.hash))
    if epoch.payees:
        outputs.extend(_share_fees(draft, epoch))
    return SystemActions(draft.changed, tuple(outputs), measured)


def _share_fees(draft: Draft, epoch: Epoch) -> Iterator[Output]:
    """Equal shares of each past pot; what does not divide goes on in the present one."""
    for pot in list(islice(_past_pots(draft, epoch), FEE_POTS_A_BLOCK)):
        share, rest = divmod(pot.amount, len(epoch.payees))
        draft.remove(FeePot, FeePot.identity(pot.epoch, pot.asset))
        if rest:
            identity = FeePot.identity(epoch.number, pot.asset)
            held = draft.load(FeePot, identity)
            draft.put(
                FeePot(epoch.number, pot.asset, rest + (held.amount if held else 0)), identity
            )
        if share:
            yield from [Output(pot.asset, share, lock) for lock in epoch.payees]


def _past_pots(draft: Draft, epoch: Epoch) -> Iterable[FeePot]:
    for _, data in draft.objects(key_of(FeePot)):
        pot = decode(data, FeePot)
        if pot.epoch >= epoch.number:
            return
        yield pot
