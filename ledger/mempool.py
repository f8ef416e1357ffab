"""Transactions that wait for a block: who gets in, in which order they leave, what is remembered.

Pure: time comes as an argument, the rules come as `check`, and the same calls give the same
answers on every machine. The caller has done every check without state, signatures included.

Order of admission, the cheapest first: known, final, in conflict with one that waits, above a
quota, no room, refused by the rules. First come, first served; nobody is evicted for a better
payer, so whoever got an answer keeps his place until he is final, expired or overtaken by a final
conflict.

Invariants:
- an output, or a number of a lane, is claimed by one waiting transaction at most;
- every counter is the sum over what waits: `Entry` says what it was counted under;
- an identity has at most `FREE_PER_IDENTITY_MAX` free ones here, hence in any block.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import TypeAlias

from ledger.block import BLOCK_OPERATIONS_MAX
from ledger.claims import Claim, claims_of, conflict
from ledger.execution import (
    FREE_PER_IDENTITY_MAX,
    FREE_SHARE,
    TROUBLED_SHARE,
    Kind,
    Room,
    kind_of,
)
from ledger.pool_entry import RATE_UNIT, Entry, entry_of, is_statement, may_close
from ledger.reasons import Invalid, Reason
from ledger.refusals import Refusals, Rejection
from ledger.times import rfc3339
from ledger.transaction import SignedTransaction, is_governance

TRANSACTIONS_MAX = 20_000
"""Of those that pay: ten full blocks. Free ones have their quotas: 16 for each of 64 licences, as
many accused and attestors, and government, of 16 KiB at most."""
BYTES_MAX = 32 * 1024 * 1024
"""Of those that pay, sealed; an eighth of a node's memory."""
WAITING_OPERATIONS_MAX = 16 * BLOCK_OPERATIONS_MAX
"""Of those that pay. A block takes few, so that a pool full of them would stay so for very long,
and take in no payment either."""
SENDER_MAX = 256
"""Waiting per signing key, so that one account cannot fill the pool: payments, and the operations
in what does more. A fee above the median of those that wait buys more, but no operations."""
RESENT_MAX = 256
"""Per validator: room beside the pool for what other validators saw passed over."""
RESENT_BYTES_MAX = 1024 * 1024
"""Per validator: 31 hostile ones together stay below the pool's own limit."""
FINAL_MAX = 20_000
"""Final transactions remembered, ten full blocks; older ones are found in the chain."""
RECHECKED_MAX = 256
"""Waiting operations and locks that close, asked about again after a block: about 5 ms."""
RECHECKED_OPERATIONS_MAX = 64
"""In them, for one transaction may hold many: 70 ms of the dearest."""
EXPIRY_SPARE = 1_024
"""Entries of the expiry queue beyond twice those that wait, before it is built anew."""
ASKED_OPERATIONS_MAX = 4 * BLOCK_OPERATIONS_MAX
"""Waiting operations that one selection asks about: what fails leaves its room in the block to the
next, and a block of which three in four fail still takes no more than 1.3 s of the dearest."""
WANT_OF_ROOM = frozenset((Reason.SENDER_QUOTA, Reason.FREE_QUOTA, Reason.MEMPOOL_FULL))
"""Refusals that say nothing about the transaction: it may come again, and none is remembered."""

Check: TypeAlias = Callable[[SignedTransaction], object]
"""The rules against the last final state; raises Invalid."""
Take: TypeAlias = Callable[[SignedTransaction], bool]
"""Whether it goes into the block that is being built; it may drop the transaction."""
OnDropped: TypeAlias = Callable[[SignedTransaction], None]


@dataclass(frozen=True, slots=True)
class MempoolStats:
    transactions: int
    bytes: int
    operations: int
    free: int
    resent: int
    rejected_remembered: int
    oldest_since_ms: int | None


class Mempool:
    """The waiting transactions of one node, in the order in which they came."""

    def __init__(self) -> None:
        self.on_dropped: OnDropped | None = None
        """Told of everything that waited and was refused after all; set by who remembers copies."""
        self._entries: dict[bytes, Entry] = {}  # by txid
        self._txid_by_wtxid: dict[bytes, bytes] = {}
        self._claims: dict[Claim, bytes] = {}
        self._rechecked: dict[bytes, None] = {}
        """Txids, with operations or locks that close; who was asked about longest ago first."""
        self._early: dict[bytes, None] = {}
        """Txids, by arrival, of what goes before all others."""
        self._expiries: list[tuple[int, bytes]] = []  # heap; may name some that are gone
        self._own_count = 0
        self._own_bytes = 0
        self._own_operations = 0
        """Of those that pay and did not come again, as the two before."""
        self.size_bytes = 0
        """Of all that wait, those that validators sent again included."""
        self.free_count = 0
        self.payments: Counter[bytes] = Counter()
        """Those without operations, by the asset of the fee."""
        self._by_owner: Counter[bytes] = Counter()
        self._by_member: Counter[bytes] = Counter()
        self._bytes_by_member: Counter[bytes] = Counter()
        self._median_rate: int | None = None
        self._refusals = Refusals()
        self._final: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    # Admission.

    def add(
        self,
        tx: SignedTransaction,
        *,
        check: Check,
        now_ms: int,
        resent_by: bytes | None = None,
    ) -> None:
        """Let a transaction wait; raises Invalid and changes nothing but the memory of refusals.

        `now_ms` is monotonic. `resent_by` is the key of the validator that sends a transaction
        again: it takes that validator's room and no sender's.
        """
        self.check_new(tx)
        entry = entry_of(tx, now_ms, resent_by)
        try:
            self._check_claims(entry.claims)
            self._check_quotas(entry)
            self._check_room(entry)
            check(tx)
        except Invalid as error:
            if error.reason not in WANT_OF_ROOM:
                self._refusals.remember(tx, error)
            raise
        self._insert(entry)

    def check_new(self, tx: SignedTransaction) -> None:
        """Neither waiting nor final of late; raises Invalid(ALREADY_KNOWN, ALREADY_FINAL)."""
        if tx.txid in self._entries:
            raise Invalid(Reason.ALREADY_KNOWN, f"{tx.txid.hex()} is waiting")
        if tx.txid in self._final:
            detail = f"{tx.txid.hex()} is final at height {self._final[tx.txid]}"
            raise Invalid(Reason.ALREADY_FINAL, detail)

    def check_space(self, tx: SignedTransaction, *, resent_by: bytes | None = None) -> None:
        """What `add` checks of quotas and room alone: cheap, so a full pool refuses before anybody
        verifies a signature; raises Invalid with a reason of `WANT_OF_ROOM`."""
        if len(self._entries) < SENDER_MAX:
            return  # neither a sender who pays nor the pool has what it may have
        entry = entry_of(tx, 0, resent_by)
        self._check_quotas(entry)
        self._check_room(entry)

    def check_rivals(self, tx: SignedTransaction) -> None:
        """No other waiting transaction takes what this one takes; raises Invalid(DOUBLE_SPEND)."""
        if tx.txid not in self._entries:
            self._check_claims(claims_of(tx))

    def _check_claims(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            rival = self._claims.get(claim)
            if rival is not None:
                raise conflict(claim, f"{rival.hex()}, which is waiting", Reason.DOUBLE_SPEND)

    def _check_quotas(self, entry: Entry) -> None:
        if entry.is_free:
            for owner in entry.owners:
                if self._by_owner[owner] >= FREE_PER_IDENTITY_MAX:
                    detail = f"'{owner.decode('ascii')}' has {FREE_PER_IDENTITY_MAX} free ones"
                    raise Invalid(Reason.FREE_QUOTA, f"{detail} waiting; try again in a moment")
            return
        if entry.resent_by is not None:
            return
        for owner in entry.owners:
            waiting = self._by_owner[owner]
            is_over = waiting + entry.weight > SENDER_MAX
            if is_over and (entry.tx.body.operations or entry.rate <= self.median_rate):
                detail = f"key {owner.hex()} has {waiting} payments and operations waiting"
                more = f"more payments need a fee above {self.median_rate} µ per {RATE_UNIT} bytes"
                raise Invalid(Reason.SENDER_QUOTA, f"{detail}, {SENDER_MAX} may; {more}")

    def _check_room(self, entry: Entry) -> None:
        size = len(entry.tx.raw)
        if entry.resent_by is None:
            if entry.is_free:
                return
            operations = entry.tx.operations_count
            if operations and self._own_operations + operations > WAITING_OPERATIONS_MAX:
                detail = f"{self._own_operations} operations are waiting"
                raise Invalid(Reason.MEMPOOL_FULL, f"{detail}, payments still find room")
            if self._own_count >= TRANSACTIONS_MAX:
                raise Invalid(Reason.MEMPOOL_FULL, f"{TRANSACTIONS_MAX} transactions are waiting")
            if self._own_bytes + size > BYTES_MAX:
                raise Invalid(Reason.MEMPOOL_FULL, f"{self._own_bytes} bytes are waiting")
            return
        member = entry.resent_by
        full = self._by_member[member] >= RESENT_MAX
        if full or self._bytes_by_member[member] + size > RESENT_BYTES_MAX:
            raise Invalid(Reason.MEMPOOL_FULL, f"the room of validator {member.hex()} is full")

    def _insert(self, entry: Entry) -> None:
        tx = entry.tx
        self._entries[tx.txid] = entry
        self._txid_by_wtxid[tx.wtxid] = tx.txid
        for claim in entry.claims:
            self._claims[claim] = tx.txid
        if tx.body.operations or may_close(tx):
            self._rechecked[tx.txid] = None
        if is_governance(tx.body) or is_statement(tx):
            self._early[tx.txid] = None
        self._count(entry, 1)
        heappush(self._expiries, (tx.body.expires_at_ms, tx.txid))
        if len(self._expiries) > 2 * len(self._entries) + EXPIRY_SPARE:
            self._expiries = [
                (entry.tx.body.expires_at_ms, txid) for txid, entry in self._entries.items()
            ]
            heapify(self._expiries)
        self._refusals.forget(tx.txid)

    # Blocks.

    def select(
        self,
        *,
        skip: Container[bytes] = frozenset(),
        troubled: Container[bytes] = frozenset(),
        take: Take = lambda _: True,
    ) -> list[SignedTransaction]:
        """What the next block should hold, within a block's limits: government first, because a
        block takes it nowhere else, then evidence and who is ready for a seat, because free ones of
        others would hold them back, then in the order of arrival.

        `skip` holds the txids of blocks that are proposed and not final yet, `troubled` the assets
        in which few fees are taken. Free ones, those, and all with operations are passed over from
        the first that finds its share full; any other that does not fit ends the block.

        `take` is asked about each in this order. Operations that it refuses use up no room, or a
        few copies of one would keep all others out; payments do, so that it is not asked for ever.
        """
        chosen: list[SignedTransaction] = []
        room = Room()
        shares = {Kind.FREE: Room(FREE_SHARE), Kind.TROUBLED: Room(TROUBLED_SHARE)}
        full: set[Kind] = set()
        are_operations_full, asked = False, 0
        for txid in list(self._in_order()):
            tx = self._entries[txid].tx
            kind = kind_of(tx, troubled)
            if txid in skip or kind in full or (are_operations_full and tx.body.operations):
                continue
            operations = tx.operations_count
            if not room.holds_operations(tx) or asked + operations > ASKED_OPERATIONS_MAX:
                are_operations_full = True
                continue
            if not room.holds(tx):
                break
            share = shares.get(kind)
            if share is not None and not share.holds(tx):
                full.add(kind)
                continue
            asked += operations
            is_taken = take(tx)
            if is_taken:
                chosen.append(tx)
            if is_taken or not operations:
                room.take(tx)
                if share is not None:
                    share.take(tx)
        return chosen

    def _in_order(self) -> Iterable[bytes]:
        led = [txid for txid in self._early if is_governance(self._entries[txid].tx.body)]
        return dict.fromkeys((*led, *self._early, *self._entries)) if self._early else self._entries

    def drop_committed(
        self, height: int, transactions: Sequence[SignedTransaction]
    ) -> list[Rejection]:
        """Forget what a final block holds; the result is what it made impossible."""
        dropped = []
        for tx in transactions:
            self._final[tx.txid] = height
            self._refusals.forget(tx.txid)
            if self._remove(tx.txid):
                continue  # what waited had no rival
            for claim in claims_of(tx):
                rival = self._claims.get(claim)
                if rival is not None:
                    by = f"{tx.txid.hex()}, final at height {height}"
                    error = conflict(claim, by, Reason.SPENT_INPUT)
                    dropped.append(self._reject_waiting(rival, error))
        while len(self._final) > FINAL_MAX:
            self._final.popitem(last=False)
        self._median_rate = None
        return dropped

    def drop_expired(self, time_ms: int) -> list[Rejection]:
        """Forget those whose last moment lies before the header time `time_ms`."""
        dropped, now = [], rfc3339(time_ms)
        while self._expiries and self._expiries[0][0] < time_ms:
            expires_at_ms, txid = heappop(self._expiries)
            if txid in self._entries:
                detail = f"at {rfc3339(expires_at_ms)}, block time is {now}"
                dropped.append(self._reject_waiting(txid, Invalid(Reason.EXPIRED, detail)))
        return dropped

    def drop_refused(
        self, check: Check, *, skip: Container[bytes] = frozenset()
    ) -> list[Rejection]:
        """Ask the rules again about what the state may have overtaken, all in turn. `skip` holds
        txids of blocks in flight: what comes before them there may be what they need.

        Headroom, licences, bonds and epochs change under operations, those of holders too, and a
        `before` in a lock passes.
        What else only spends is lost to a final conflict or to its expiry, and `drop_committed` and
        `drop_expired` saw to that. Whoever is not yet due by the time of the last block was let in
        by the clock, and stays. Operations beyond the limit are asked about when they are taken.
        """
        dropped, operations = [], 0
        for txid in list(islice(self._rechecked, RECHECKED_MAX)):
            tx = self._entries[txid].tx
            if txid in skip:
                self._rechecked[txid] = self._rechecked.pop(txid)
                continue
            operations += tx.operations_count
            if operations > RECHECKED_OPERATIONS_MAX and tx.body.operations:
                continue
            self._rechecked[txid] = self._rechecked.pop(txid)
            try:
                check(tx)
            except Invalid as error:
                if error.reason is not Reason.NOT_YET:
                    dropped.append(self._reject_waiting(txid, error))
        return dropped

    def reject(self, tx: SignedTransaction, error: Invalid) -> None:
        """Remember a refusal that happened elsewhere: before admission, or in building a block."""
        waiting = self._entries.get(tx.txid)
        if waiting is not None and waiting.tx.wtxid == tx.wtxid:
            self._reject_waiting(tx.txid, error)
        else:
            self._refusals.remember(tx, error)

    # Questions.

    def get(self, txid: bytes) -> SignedTransaction | None:
        """A waiting transaction by its id."""
        entry = self._entries.get(txid)
        return None if entry is None else entry.tx

    def get_by_wtxid(self, wtxid: bytes) -> SignedTransaction | None:
        """A waiting transaction by the leaf that a proposal names, its very witness included."""
        txid = self._txid_by_wtxid.get(wtxid)
        return None if txid is None else self._entries[txid].tx

    def spender(self, outpoint: tuple[bytes, int]) -> bytes | None:
        """The txid of the waiting transaction that spends an output."""
        return self._claims.get(outpoint)

    def final_height(self, txid: bytes) -> int | None:
        """The height of a transaction that became final recently."""
        return self._final.get(txid)

    def rejection(self, txid: bytes) -> Rejection | None:
        """The last remembered refusal of any witness of a body; ask `get` and the chain first."""
        return self._refusals.by_txid(txid)

    def rejection_by_wtxid(self, wtxid: bytes) -> Rejection | None:
        """The remembered refusal of these very bytes: spares verifying bad signatures again."""
        return self._refusals.by_wtxid(wtxid)

    def pending(self, limit: int, *, since_ms_max: int | None = None) -> list[SignedTransaction]:
        """The first in the order in which blocks take them, with a bound only those that came no
        later."""
        found: list[SignedTransaction] = []
        for txid in self._in_order():
            entry = self._entries[txid]
            if len(found) == limit:
                break
            if since_ms_max is not None and entry.since_ms > since_ms_max:
                if txid not in self._early:
                    break
                continue
            found.append(entry.tx)
        return found

    @property
    def oldest_since_ms(self) -> int | None:
        """Since when somebody waits without a break."""
        first = next(iter(self._entries.values()), None)
        return None if first is None else first.since_ms

    @property
    def median_rate(self) -> int:
        """The median fee in µ per `RATE_UNIT` bytes of those that waited at the first question
        after the last block; sorting once a block bounds what a full quota can cost."""
        if self._median_rate is None:
            rates = sorted([item.rate for item in self._entries.values() if not item.is_free])
            self._median_rate = rates[len(rates) // 2] if rates else 0
        return self._median_rate

    def stats(self) -> MempoolStats:
        """Transactions, their bytes and operations are what the limits count: those that pay."""
        return MempoolStats(
            transactions=self._own_count,
            bytes=self._own_bytes,
            operations=self._own_operations,
            free=self.free_count,
            resent=self._by_member.total(),
            rejected_remembered=len(self._refusals),
            oldest_since_ms=self.oldest_since_ms,
        )

    # Bookkeeping.

    def _remove(self, txid: bytes) -> bool:
        """Whether it waited."""
        entry = self._entries.pop(txid, None)
        if entry is None:
            return False
        del self._txid_by_wtxid[entry.tx.wtxid]
        self._rechecked.pop(txid, None)
        self._early.pop(txid, None)
        for claim in entry.claims:
            del self._claims[claim]
        self._count(entry, -1)
        return True

    def _count(self, entry: Entry, sign: int) -> None:
        size = sign * len(entry.tx.raw)
        self.size_bytes += size
        self.free_count += sign * entry.is_free
        if not entry.tx.body.operations:
            _move(self.payments, entry.tx.body.fee.asset, sign)
        for owner in entry.owners:
            _move(self._by_owner, owner, sign * entry.weight)
        if entry.resent_by is not None:
            _move(self._by_member, entry.resent_by, sign)
            _move(self._bytes_by_member, entry.resent_by, size)
        elif not entry.is_free:
            self._own_count += sign
            self._own_bytes += size
            self._own_operations += sign * entry.tx.operations_count

    def _reject_waiting(self, txid: bytes, error: Invalid) -> Rejection:
        tx = self._entries[txid].tx
        self._remove(txid)
        if self.on_dropped is not None:
            self.on_dropped(tx)
        return self._refusals.remember(tx, error)


def _move(counter: Counter[bytes], key: bytes, by: int) -> None:
    """Change a counter and keep no zeros: keys that came once would stay for ever."""
    left = counter.get(key, 0) + by
    if left:
        counter[key] = left
    else:
        del counter[key]
