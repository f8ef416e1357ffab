"""Reads every record of a store once and compares it with what the blocks say.

Blocks prove themselves by hashes and certificates; indexes are counted again from blocks, balances
from unspent outputs, unspent outputs from the leaves and flags that the last header commits to.
The rules of the economy are not run: `invariants.recount(chain, chain.outputs())` does that.

It begins where the store begins; of what lies below an imported base it sees the ends of all
epochs, each with the set that made it final. Of blocks whose bodies are pruned it sees header,
certificate and leaves; what indexes say of them cannot be compared any more, except for the number
of transactions.

A walk holds a block in memory, never the set of outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from ledger import schema
from ledger.block import Header, IsValid
from ledger.boot_audit import (
    check_base,
    check_ends,
    check_final,
    check_leaf,
    check_leaves,
    check_top,
    checked_header,
    read_body,
)
from ledger.chain import Chain
from ledger.crypto import HASH_BYTES, verify
from ledger.epochs import epoch_after
from ledger.indexes import AccusationLine, read_accusation, read_history
from ledger.mountain_range import MountainRange, size_of
from ledger.node_records import LEAVES_A_RECORD
from ledger.operations import Evidence
from ledger.schema import DamagedChain, Movement
from ledger.transaction import SignedTransaction, decode
from ledger.view import Outpoint, OutputEntry

PROGRESS_ROWS = 1_000
"""Rows between two reports: about 50 ms."""
PROGRESS_RECORDS = 32
"""Records of nodes between two reports, as many outputs."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the audit has come in one of its parts."""

    part: str
    done: int
    total: int


def audit_full(chain: Chain, is_valid: IsValid = verify) -> Iterator[Progress]:
    """Everything below a chain that was just opened; raises DamagedChain.

    The chain must not be appended to before the iterator is exhausted.
    """
    yield from _audit_blocks(chain, is_valid)
    yield from _audit_nodes(chain)
    yield from _audit_outputs(chain)
    check_base(chain)
    check_ends(chain, 0, is_valid)
    check_top(chain)


def _audit_blocks(chain: Chain, is_valid: IsValid) -> Iterator[Progress]:
    """Headers, certificates, bodies, and the indexes that follow from a block alone."""
    tip, base, imported = chain.height, chain.base, chain.imported
    counts: Counter[bytes] = Counter()
    system_outputs = chain.head.commitments.outputs.count
    if imported is not None:
        system_outputs -= imported.outputs_count
    above: Header | None = None
    for height in range(tip, base - 1, -1):
        header = checked_header(chain, height, above)
        check_final(chain, header, is_valid)
        if height >= chain.first_listed:
            check_leaves(chain, header)
            counts[schema.TRANSACTION] += chain.transaction_count(height) or 0
        for position, tx in enumerate(_body(chain, header)):
            counts[schema.BODY] += 1
            counts[schema.SPENT_BY] += len(tx.body.inputs)
            counts[schema.ACCUSATION] += _check_accusations(chain, height, position, tx)
            counts[schema.HISTORY] += _check_history(chain, height, position, tx)
            system_outputs -= len(tx.body.outputs)
            _check_spenders(chain, height, position, tx)
        above = header
        if height % PROGRESS_ROWS == 0 or height == base:
            yield Progress("blocks", tip - height + 1, tip - base + 1)
    for prefix in (schema.HEADER, schema.HEIGHT_BY_HASH):
        counts[prefix] = tip - base + 1
    counts[schema.LEAVES] = tip - chain.first_listed + 1
    counts[schema.CERTIFICATE] = tip - base + (imported is not None)
    counts[schema.VALIDATORS] = epoch_after(chain.head.header) + 1
    counts[schema.EPOCH_END] = chain.first_epoch
    counts[schema.PROGRESS] = 0
    counts.setdefault(schema.ACCUSATION, 0)
    if chain.bodies_from <= chain.first_listed:
        counts[schema.HISTORY] += system_outputs
    _check_system_history(chain)
    for prefix, count in sorted(counts.items()):
        _check_count(chain, prefix, count)


def _body(chain: Chain, header: Header) -> list[SignedTransaction]:
    return read_body(chain, header) if header.height >= chain.bodies_from else []


def _check_spenders(chain: Chain, height: int, position: int, tx: SignedTransaction) -> None:
    """Each output that a transaction spends is there, unless its own block made it, and names its
    spender."""
    for spent in tx.body.inputs:
        name = f"output {spent.txid.hex()}:{spent.index}"
        if chain.indexes.spender(spent.outpoint) != (height, position):
            raise DamagedChain(f"{name} has another spender")
        first, place = chain.indexes.origin(spent.txid)
        if first is None or (
            (place is None or place[0] != height) and chain.output_at(first + spent.index) is None
        ):
            raise DamagedChain(f"{name}, which was spent, is missing")


def _check_accusations(chain: Chain, height: int, position: int, tx: SignedTransaction) -> int:
    """Whatever evidence a transaction carries has its line; the result is how many."""
    expected = [
        AccusationLine(height, position, number, tx.txid, operation.licence)
        for number, operation in enumerate(tx.body.operations)
        if isinstance(operation, Evidence)
    ]
    if expected:
        prefix = schema.ACCUSATION + schema.place_value(height, position)
        if [read_accusation(*row) for row in chain.scan(prefix)] != expected:
            raise DamagedChain(f"the accusations in {tx.txid.hex()} are others")
    return len(expected)


def _check_history(chain: Chain, height: int, position: int, tx: SignedTransaction) -> int:
    """Every address that a transaction touches has its line; the result is how many.

    The locks of the inputs are those of the revealed conditions. Which input had which is not
    known here, so what was sent is compared over all of them.
    """
    received: Counter[tuple[bytes, bytes]] = Counter()
    for output in tx.body.outputs:
        received[output.lock, output.asset] += output.amount
    sent: Counter[bytes] = Counter()
    for spent in tx.body.inputs:
        sent[spent.asset] += spent.amount
    locks = sorted({output.lock for output in tx.body.outputs} | set(tx.locks))
    for lock in locks:
        line = chain.indexes.history_line(lock, height, schema.RANK_TRANSACTIONS + position)
        if line is None or line.txid != tx.txid:
            raise DamagedChain(f"the history of lock {lock.hex()} lacks {tx.txid.hex()}")
        for movement in line.movements:
            received[lock, movement.asset] -= movement.received
            sent[movement.asset] -= movement.sent
    if any(received.values()) or any(sent.values()):
        raise DamagedChain(f"the history of {tx.txid.hex()} has other amounts")
    return len(locks)


def _check_system_history(chain: Chain) -> None:
    """Lines of outputs that no transaction made. No body holds their amounts; they are compared
    with the output itself or, once it is spent, with the input that spent it."""
    for key, value in chain.scan(schema.HISTORY):
        line = read_history(key, value)
        if line.position is not None:
            continue
        outpoint = (line.txid, 0)
        entry = chain.output(outpoint)
        if entry is None:
            _check_spent_system_line(chain, outpoint, line.movements)
            continue
        expected = (Movement(entry.asset, entry.amount, 0),)
        if line.movements != expected or key[1:33] != entry.lock or line.height != entry.height:
            raise DamagedChain(f"the history of system output {line.txid.hex()} is another")


def _check_spent_system_line(
    chain: Chain, outpoint: Outpoint, movements: tuple[Movement, ...]
) -> None:
    place = chain.indexes.spender(outpoint)
    if place is not None and place[0] < chain.bodies_from:
        return
    raw = None if place is None else chain.raw_transaction(*place)
    inputs = () if raw is None else decode(raw).body.inputs
    for spent in inputs:
        if spent.outpoint == outpoint:
            if movements == (Movement(spent.asset, spent.amount, 0),):
                return
            break
    raise DamagedChain(f"the history of system output {outpoint[0].hex()} is another")


def _audit_nodes(chain: Chain) -> Iterator[Progress]:
    """Every inner node is the hash of its children, and the peaks are those of the tip."""
    commitments = chain.head.commitments
    total = commitments.outputs.count
    mountains = MountainRange.empty()
    for number, (key, record) in enumerate(chain.scan(schema.NODE)):
        first = number * LEAVES_A_RECORD
        count = min(LEAVES_A_RECORD, total - first)
        if key != schema.nodes_key(number) or count <= 0:
            raise DamagedChain(f"the nodes of the outputs from {size_of(first)} on are missing")
        places = [size_of(index) * HASH_BYTES for index in range(count)]
        leaves = [record[place : place + HASH_BYTES] for place in places]
        if len(leaves[-1]) != HASH_BYTES:
            raise DamagedChain(f"the nodes of the outputs from {size_of(first)} on are cut")
        mountains, nodes = mountains.append(leaves)
        if b"".join([node for _, node in nodes]) != record:
            raise DamagedChain(f"the nodes of the outputs from {size_of(first)} on are others")
        if number % PROGRESS_RECORDS == 0:
            yield Progress("outputs ever made", first + count, total)
    if mountains != commitments.outputs:
        raise DamagedChain("the outputs ever made have another root")


def _audit_outputs(chain: Chain) -> Iterator[Progress]:
    """Outputs against leaves and flags; unspent ones, in the order of their owners, against
    balances."""
    total = chain.head.commitments.outputs.count
    unspent, origins = yield from _audit_leaves(chain)
    values = (value for _, value in chain.scan(schema.TRANSACTION))
    if sum(1 for value in values if schema.read_origin(value)[1] is None) != origins:
        raise DamagedChain("the ids of outputs that no transaction made here are others")
    count = owners = amount = coins = 0
    owner = b""
    for key, value in chain.scan(schema.COIN):
        entry = _checked_coin(chain, key, value)
        if key[1:65] != owner:
            _check_balance(chain, owner, amount, coins)
            owner, amount, coins = key[1:65], 0, 0
            owners += 1
        amount += entry.amount
        coins += 1
        count += 1
        if count % PROGRESS_ROWS == 0:
            yield Progress("unspent outputs", count, total)
    _check_balance(chain, owner, amount, coins)
    _check_count(chain, schema.BALANCE, owners)
    spent = sum(int.from_bytes(flags, "big").bit_count() for _, flags in chain.scan(schema.CHUNK))
    if not count == unspent == total - spent:
        raise DamagedChain(f"{count} unspent outputs of {total}, {spent} are flagged as spent")


def _audit_leaves(chain: Chain) -> Generator[Progress, None, tuple[int, int]]:
    """Every stored output is what its leaf commits to, and found by its id. The result is how many
    are unspent, and how many ids there are of such as no transaction made here."""
    commitments = chain.head.commitments
    unspent = origins = 0
    before = b""
    for number, (key, value) in enumerate(chain.scan(schema.OUTPUT)):
        outpoint, entry = schema.read_output(value)
        if key != schema.output_key(entry.leaf):
            raise DamagedChain(f"output {outpoint[0].hex()}:{outpoint[1]} is not at its leaf")
        check_leaf(chain, outpoint, entry)
        unspent += not commitments.spent.is_spent(entry.leaf)
        (txid, index), (first, place) = outpoint, chain.indexes.origin(outpoint[0])
        if first is None or first + index != entry.leaf:
            raise DamagedChain(f"output {txid.hex()}:{index} is not found by its id")
        origins += place is None and txid != before
        before = txid
        if number % PROGRESS_ROWS == 0:
            yield Progress("outputs", entry.leaf + 1, commitments.outputs.count)
    return unspent, origins


def _checked_coin(chain: Chain, key: bytes, value: bytes) -> OutputEntry:
    """The unspent output that a coin names."""
    leaf = int.from_bytes(key[-8:], "big")
    flags = chain.head.commitments.spent
    found = None if leaf >= flags.count or flags.is_spent(leaf) else chain.output_at(leaf)
    if value or found is None or schema.coin_key(found.lock, found.asset, leaf) != key:
        raise DamagedChain(f"coin {leaf} of lock {key[1:33].hex()} is no unspent output of it")
    return found


def _check_balance(chain: Chain, owner: bytes, amount: int, coins: int) -> None:
    """`owner` is lock and asset; none at all before the first coin."""
    if coins == 0:
        return
    found = chain.indexes.balance(owner[:32], owner[32:])
    if (found.amount, found.coins) != (amount, coins):
        raise DamagedChain(f"the balance of lock {owner[:32].hex()} is another")


def _check_count(chain: Chain, prefix: bytes, expected: int) -> None:
    """So many records under a prefix; of spenders and histories those that bodies account for."""
    found = sum(1 for row in chain.scan(prefix) if _has_body(chain, *row))
    if found != expected:
        name = prefix.decode("ascii")
        raise DamagedChain(f"{found} records '{name}' instead of {expected}")


def _has_body(chain: Chain, key: bytes, value: bytes) -> bool:
    """Whether a record counts: with a pruned body nothing tells what it should be."""
    if key[:1] == schema.SPENT_BY:
        return schema.read_place(value)[0] >= chain.bodies_from
    if key[:1] == schema.TRANSACTION:
        return schema.read_origin(value)[1] is not None
    if key[:1] == schema.ACCUSATION:
        return read_accusation(key, value).height >= chain.bodies_from
    if key[:1] == schema.HISTORY and chain.bodies_from > chain.first_listed:
        line = read_history(key, value)
        return line.height >= chain.bodies_from and line.position is not None
    return True
