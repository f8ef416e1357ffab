"""A naive ledger in dictionaries that makes blocks: what the chain must agree with.

It knows no rules. It moves outputs as it is told, computes the commitments through
`ledger.accumulator` and keeps every answer that the chain can be asked for in plain Python.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from random import Random

from ledger.accumulator import Commitments
from ledger.block import (
    COMMIT,
    Block,
    Certificate,
    Header,
    VotePayload,
    make_certificate,
    vote_hash,
)
from ledger.codec import encode
from ledger.crypto import ZERO_HASH, tagged_hash
from ledger.epochs import Epoch, epoch_after
from ledger.locks import Key, lock_hash
from ledger.merkle import merkle_root
from ledger.mountain_range import MountainRange
from ledger.object_tree import ObjectTree
from ledger.objects import key_of, value_hash
from ledger.spent_bitmap import SpentBitmap
from ledger.transaction import (
    Fee,
    Input,
    KeySignature,
    Output,
    SignedTransaction,
    Transaction,
    Witness,
    seal,
)
from ledger.validators import Member, ValidatorSet
from ledger.view import BIRTH_ZERO, Changes, Head, Outpoint, OutputEntry, output_leaf

CHAIN_ID = sha256(b"chain").digest()
KEYS = [sha256(bytes((number,))).digest() for number in range(4)]
LOCKS = [lock_hash(Key(key)) for key in KEYS]
KEY_BY_LOCK = dict(zip(LOCKS, KEYS, strict=True))
MEMBERS = [
    Member(sha256(b"member" + bytes((number,))).digest(), f"member-{number}") for number in range(5)
]
EPOCH_BLOCKS = 3
"""Each third random block ends an epoch."""
ASSETS = [sha256(b"asset" + bytes((number,))).digest() for number in range(2)]

_system_txid = tagged_hash("sys")


def validators(epoch: int) -> ValidatorSet:
    """All members but one, which is another in each epoch."""
    return ValidatorSet.of([MEMBERS[(epoch + place) % 5] for place in range(4)], epoch)


@dataclass
class Made:
    """A block and all that goes with it."""

    block: Block
    certificate: Certificate
    changes: Changes
    transactions: list[SignedTransaction]


@dataclass
class World:
    """The state after the last block made, and everything that ever happened."""

    outputs: dict[Outpoint, OutputEntry] = field(default_factory=dict)
    objects: dict[bytes, bytes] = field(default_factory=dict)
    history: list[tuple[bytes, int, int | None, bytes, dict[bytes, tuple[int, int]]]] = field(
        default_factory=list
    )
    """(lock, height, position, txid, asset -> (received, sent)), oldest first."""
    spenders: dict[Outpoint, tuple[int, int]] = field(default_factory=dict)
    blocks: list[Made] = field(default_factory=list)
    head: Head | None = None

    def genesis(self, allocations: list[tuple[int, int, int]]) -> Changes:
        """Height 0, giving (lock number, asset number, amount) to each."""
        created = {}
        for number, (lock, asset, amount) in enumerate(allocations):
            txid = _system_txid(bytes(8), number.to_bytes(8, "big"))
            entry = OutputEntry(ASSETS[asset], amount, LOCKS[lock], 0, number, BIRTH_ZERO)
            created[(txid, 0)] = entry
            self.history.append((LOCKS[lock], 0, None, txid, {ASSETS[asset]: (amount, 0)}))
        leaves = [output_leaf(*item) for item in created.items()]
        objects = {
            b"\x20clock": b"\x20\x01one",
            b"\x21pot": b"\x21\x01two",
            key_of(Epoch): _epoch(0, 0),
        }
        self.objects.update(objects)
        empty = Commitments(
            MountainRange.empty(), SpentBitmap.empty(), ObjectTree.empty(), ZERO_HASH
        )
        commitments, nodes = empty.advance(
            created=leaves,
            spent=[],
            objects={key: value_hash(value) for key, value in objects.items()},
            supply_root=sha256(b"supply0").digest(),
        )
        self.outputs.update(created)
        self.head = Head.of(_header(None, [], commitments, ends_epoch=False), commitments)
        return Changes(self.head, created, {}, objects, nodes)

    def transfer(
        self, outpoints: list[Outpoint], outputs: list[Output], made: dict[Outpoint, Output]
    ) -> SignedTransaction:
        """Spend outputs of the state or of this block (`made`) into new ones, no fee."""
        inputs, locks = [], set()
        for outpoint in outpoints:
            source = made.get(outpoint) or self.outputs[outpoint]
            inputs.append(Input(*outpoint, source.asset, source.amount))
            locks.add(source.lock)
        body = Transaction(
            1, CHAIN_ID, tuple(inputs), tuple(outputs), Fee(ASSETS[0], 0), (), 10**12, b""
        )
        return seal(body, _witness(locks))

    def make(
        self,
        transactions: list[SignedTransaction],
        objects: dict[bytes, bytes | None],
        *,
        ends_epoch: bool = False,
    ) -> Made:
        """The next block with these transactions; the model moves on."""
        assert self.head is not None
        height = self.head.header.height + 1
        if ends_epoch:
            objects[key_of(Epoch)] = _epoch(epoch_after(self.head.header) + 1, height)
        leaf = self.head.commitments.outputs.count
        fresh: dict[Outpoint, OutputEntry] = {}
        gone: dict[Outpoint, OutputEntry] = {}
        flags, leaves = [], []
        for position, tx in enumerate(transactions):
            moved: dict[bytes, dict[bytes, list[int]]] = {}
            for spent in tx.body.inputs:
                entry = fresh.pop(spent.outpoint, None)
                if entry is None:
                    entry = gone[spent.outpoint] = self.outputs[spent.outpoint]
                flags.append(entry.leaf)
                self.spenders[spent.outpoint] = (height, position)
                amounts = moved.setdefault(entry.lock, {}).setdefault(entry.asset, [0, 0])
                amounts[1] += entry.amount
            for index, output in enumerate(tx.body.outputs):
                entry = OutputEntry(
                    output.asset, output.amount, output.lock, height, leaf, BIRTH_ZERO
                )
                fresh[(tx.txid, index)] = entry
                leaves.append(output_leaf((tx.txid, index), entry))
                leaf += 1
                amounts = moved.setdefault(entry.lock, {}).setdefault(entry.asset, [0, 0])
                amounts[0] += entry.amount
            for lock, by_asset in moved.items():
                line = {asset: (pair[0], pair[1]) for asset, pair in by_asset.items()}
                self.history.append((lock, height, position, tx.txid, line))
        commitments, nodes = self.head.commitments.advance(
            created=leaves,
            spent=flags,
            objects={key: value_hash(value) for key, value in objects.items()},
            supply_root=sha256(b"supply" + bytes((height % 256,))).digest(),
        )
        header = _header(self.head, transactions, commitments, ends_epoch=ends_epoch)
        self.head = Head.of(header, commitments)
        self._apply(fresh, gone, objects)
        result = Made(
            Block(header, tuple([tx.raw for tx in transactions])),
            certificate_of(self.head),
            Changes(self.head, fresh, gone, objects, nodes),
            transactions,
        )
        self.blocks.append(result)
        return result

    def random_block(self, random: Random, transfers: int) -> Made:
        """The next block: transfers of old and fresh outputs among all addresses, in one asset
        each, and changes to objects."""
        made: dict[Outpoint, Output] = {}
        left = sorted(self.outputs)
        transactions = []
        for _ in range(transfers):
            if not left:
                break
            outpoints = [left.pop(random.randrange(len(left)))]
            if left and random.random() < 0.4:
                outpoints.append(left.pop(random.randrange(len(left))))
            outputs = self._random_outputs(random, outpoints, made)
            tx = self.transfer(outpoints, outputs, made)
            transactions.append(tx)
            for index, output in enumerate(outputs):
                made[(tx.txid, index)] = output
                if random.random() < 0.5:
                    left.append((tx.txid, index))
        objects: dict[bytes, bytes | None] = {}
        for _ in range(random.randrange(3)):
            key = b"\x20" + bytes((random.randrange(5),))
            objects[key] = random.choice([None, random.randbytes(random.randrange(1, 40))])
        assert self.head is not None
        ends_epoch = (self.head.header.height + 1) % EPOCH_BLOCKS == 0
        return self.make(transactions, objects, ends_epoch=ends_epoch)

    def _random_outputs(
        self, random: Random, outpoints: list[Outpoint], made: dict[Outpoint, Output]
    ) -> list[Output]:
        """The same amounts to others, split or burned now and then."""
        outputs = []
        for outpoint in outpoints:
            source = made.get(outpoint) or self.outputs[outpoint]
            if random.random() < 0.02:
                continue
            part = random.randrange(source.amount) if random.random() < 0.6 else 0
            for amount in (part, source.amount - part):
                if amount:
                    outputs.append(Output(source.asset, amount, random.choice(LOCKS)))
        return outputs

    def balances(self) -> dict[tuple[bytes, bytes], tuple[int, int]]:
        """(lock, asset) -> (amount, coins), counted from the outputs."""
        amounts: Counter[tuple[bytes, bytes]] = Counter()
        coins: Counter[tuple[bytes, bytes]] = Counter()
        for entry in self.outputs.values():
            amounts[(entry.lock, entry.asset)] += entry.amount
            coins[(entry.lock, entry.asset)] += 1
        return {key: (amounts[key], coins[key]) for key in amounts}

    def _apply(
        self,
        fresh: dict[Outpoint, OutputEntry],
        gone: dict[Outpoint, OutputEntry],
        objects: dict[bytes, bytes | None],
    ) -> None:
        for outpoint in gone:
            del self.outputs[outpoint]
        self.outputs.update(fresh)
        for key, value in objects.items():
            if value is None:
                self.objects.pop(key, None)
            else:
                self.objects[key] = value


def certificate_of(head: Head, phase: int = COMMIT) -> Certificate:
    """A certificate for the block of `head` that `is_valid` accepts."""
    epoch = head.header.epoch
    payload = VotePayload(epoch, phase, 0, head.header.height, head.hash)
    message = vote_hash(CHAIN_ID, payload)
    signers = (0, 1, 3)
    return make_certificate(
        payload, {i: _signature(validators(epoch).members[i].key, message) for i in signers}
    )


def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """The stand-in for Ed25519 in the certificates made here."""
    return signature == _signature(key, message)


def _signature(key: bytes, message: bytes) -> bytes:
    return sha512(key + message).digest()


def _witness(locks: set[bytes]) -> Witness:
    keys = sorted(KEY_BY_LOCK[lock] for lock in locks)
    conditions = tuple(Key(KEY_BY_LOCK[lock]) for lock in sorted(locks))
    return Witness(conditions, tuple(KeySignature(key, key + key) for key in keys), ())


def _epoch(number: int, base_height: int) -> bytes:
    members = validators(number).members
    return encode(Epoch(number, base_height, ZERO_HASH, 0, False, members, ()))


def _header(
    parent: Head | None,
    transactions: list[SignedTransaction],
    commitments: Commitments,
    *,
    ends_epoch: bool,
) -> Header:
    """After `parent`, of genesis where there is none."""
    nothing = merkle_root([])
    height = 0 if parent is None else parent.header.height + 1
    epoch = 0 if parent is None else epoch_after(parent.header)
    return Header(
        version=1,
        chain_id=CHAIN_ID,
        epoch=epoch,
        height=height,
        parent_hash=ZERO_HASH if parent is None else parent.hash,
        tx_root=merkle_root([tx.wtxid for tx in transactions]),
        evidence_root=nothing,
        receipts_root=nothing,
        state_root=commitments.state_root,
        validators_hash=validators(epoch).hash,
        next_validators_hash=validators(epoch + ends_epoch).hash,
        time_ms=1_000_000 + height * 10,
        proposer=KEYS[0],
    )
