"""A short look at every start: do the last blocks follow each other, each with its certificate?

`Chain.open` has compared outputs, flags and objects with the last header; this walks the headers
below it. LevelDB opens without a word after losing the middle or the end of a log, so holes are
looked for here. `ledger.full_audit` reads everything.

A finding is a `DamagedChain`. Nothing is repaired: a store that has lied once is replaced.
"""

from __future__ import annotations

from ledger import schema
from ledger.block import (
    COMMIT,
    Header,
    IsValid,
    check_certificate,
    genesis_parent,
    header_hash,
    is_commit_of,
)
from ledger.chain import Chain
from ledger.crypto import verify
from ledger.epochs import epoch_after
from ledger.merkle import merkle_root
from ledger.mountain_range import size_of
from ledger.reasons import Invalid
from ledger.schema import DamagedChain
from ledger.snapshot import check_last_block
from ledger.transaction import SignedTransaction, decode
from ledger.view import BIRTH_ZERO, Outpoint, OutputEntry, output_leaf

BOOT_HEADERS = 1_000
"""Headers, certificates and first transactions looked at in every start: 0.04 s, with signatures
of four validators 0.2 s."""
BOOT_BODIES = 32
"""Bodies looked at in every start: 1 s when all of them are full."""
BOOT_ENDS = 64
"""Ends of epochs below an imported base, looked at in every start: 0.01 s with signatures of four
validators, 0.1 s with those of 32."""


def audit_boot(chain: Chain, is_valid: IsValid = verify) -> None:
    """The last blocks follow each other without a hole, each made final by the members of its
    epoch; raises DamagedChain."""
    tip = chain.height
    lowest = max(chain.base, tip - BOOT_HEADERS + 1)
    above: Header | None = None
    end = chain.head.commitments.outputs.count
    for height in range(tip, lowest - 1, -1):
        header = checked_header(chain, height, above)
        check_final(chain, header, is_valid)
        if height > tip - BOOT_BODIES and height >= chain.bodies_from:
            check_leaves(chain, header)
            read_body(chain, header)
        if height > chain.base and height >= chain.bodies_from:
            end = check_stored(chain, height, end)
        above = header
    check_base(chain)
    check_ends(chain, max(0, chain.first_epoch - BOOT_ENDS), is_valid)
    check_top(chain)


def checked_header(chain: Chain, height: int, above: Header | None) -> Header:
    header = chain.header(height)
    if header is None:
        raise DamagedChain(f"the header at height {height} is missing")
    digest = header_hash(header)
    expected = chain.head.hash if above is None else above.parent_hash
    if digest != expected or header.height != height:
        raise DamagedChain(f"the header at height {height} is not the parent of the next")
    if height == 0 and header.parent_hash != genesis_parent():
        raise DamagedChain("the header at height 0 has a parent")
    if above is not None and above.validators_hash != header.next_validators_hash:
        raise DamagedChain(f"the validators after height {height} are others than it names")
    if above is not None and header.time_ms >= above.time_ms:
        raise DamagedChain(f"time does not advance after height {height}")
    if header.chain_id != chain.chain_id:
        raise DamagedChain(f"the header at height {height} is of another chain")
    if chain.height_of(digest) != height:
        raise DamagedChain(f"the block at height {height} is not found by its hash")
    return header


def check_final(chain: Chain, header: Header, is_valid: IsValid) -> None:
    if header.height == 0:
        return
    certificate = chain.certificate(header.height)
    if certificate is None or not is_commit_of(certificate, header, header_hash(header)):
        raise DamagedChain(f"the certificate at height {header.height} is of another block")
    validators = chain.validators(header.epoch)
    if validators is None or validators.hash != header.validators_hash:
        raise DamagedChain(f"the header at height {header.height} names other validators")
    try:
        check_certificate(certificate, chain.chain_id, validators, COMMIT, is_valid)
    except Invalid as error:
        raise DamagedChain(f"the certificate at height {header.height}: {error}") from None


def check_leaves(chain: Chain, header: Header) -> None:
    leaves = chain.leaves(header.height)
    if leaves is None or merkle_root(leaves) != header.tx_root:
        raise DamagedChain(f"the list of transactions at height {header.height} is another")


def read_body(chain: Chain, header: Header) -> list[SignedTransaction]:
    """The body's transactions, each the one that its leaf names and found by its id, with the
    outputs that it made: the first of the block as its leaf commits to it, the others after it."""
    height = header.height
    block, leaves = chain.block(height), chain.leaves(height)
    if block is None or leaves is None:
        raise DamagedChain(f"the block at height {height} is missing")
    if len(block.transactions) != len(leaves):  # the list was read twice, and is not the same
        raise DamagedChain(f"the list of transactions at height {height} is another")
    transactions, makers = [], []
    for position, (raw, leaf) in enumerate(zip(block.transactions, leaves, strict=True)):
        try:
            tx = decode(raw)
        except Invalid as error:
            detail = f"transaction {position} at height {height} cannot be read ({error})"
            raise DamagedChain(detail) from None
        if tx.wtxid != leaf:
            raise DamagedChain(f"transaction {position} at height {height} is another")
        first, place = chain.indexes.origin(tx.txid)
        if place != (height, position):
            raise DamagedChain(f"transaction {tx.txid.hex()} is not found by its id")
        if tx.body.outputs or first is not None:
            makers.append((tx, first))
        transactions.append(tx)
    _check_outputs(chain, height, makers)
    return transactions


def check_stored(chain: Chain, height: int, end: int) -> int:
    """A block's first transaction is there, and so is the first unspent of the outputs from its
    own on and below leaf `end`; answers where its own begin, else `end`. Bodies and outputs have
    logs of their own in the store, and a hole in one of them takes all that a block wrote there."""
    for position in range(chain.transaction_count(height) or 0):
        raw = chain.raw_transaction(height, position)
        if raw is None:
            raise DamagedChain(f"transaction {position} at height {height} is missing")
        try:
            first, _ = chain.indexes.origin(decode(raw).txid)
        except Invalid as error:
            detail = f"transaction {position} at height {height} cannot be read ({error})"
            raise DamagedChain(detail) from None
        if first is not None:
            leaf = chain.head.commitments.spent.first_unspent(first, end)
            if leaf is not None and chain.output_at(leaf) is None:
                raise DamagedChain(f"output {leaf}, of height {height} or above, is missing")
            return min(first, end)
    return end


def _check_outputs(
    chain: Chain, height: int, makers: list[tuple[SignedTransaction, int | None]]
) -> None:
    """The leaves of a block's outputs follow each other, the first is what it commits to."""
    following = makers[0][1] if makers else None
    for number, (tx, first) in enumerate(makers):
        outputs = tx.body.outputs
        if first is None or first != following or not outputs:
            raise DamagedChain(f"the outputs of transaction {tx.txid.hex()} are not found")
        if number == 0:
            asset, amount, lock = outputs[0].asset, outputs[0].amount, outputs[0].lock
            entry = OutputEntry(asset, amount, lock, height, first, BIRTH_ZERO)
            check_leaf(chain, (tx.txid, 0), entry)
        following = first + len(outputs)


def check_leaf(chain: Chain, outpoint: Outpoint, entry: OutputEntry) -> None:
    """An output is what its leaf commits to."""
    count = chain.head.commitments.outputs.count
    if entry.leaf >= count or chain.node(size_of(entry.leaf)) != output_leaf(outpoint, entry):
        name = f"output {outpoint[0].hex()}:{outpoint[1]}"
        raise DamagedChain(f"{name} is not what its leaf commits to")


def check_base(chain: Chain) -> None:
    """The block with which the store begins is there, and bodies up to the tip."""
    header, imported = chain.header(chain.base), chain.imported
    if header is None or (imported is not None and header_hash(header) != imported.hash):
        raise DamagedChain(f"the block at height {chain.base}, where it begins, is another")
    if chain.bodies_from > chain.height + 1:
        raise DamagedChain(f"bodies are pruned up to height {chain.bodies_from}, above the tip")


def check_ends(chain: Chain, lowest: int, is_valid: IsValid) -> None:
    """The ends of the epochs below an imported base, down to that of `lowest`, lead up to it, each
    made final by its own set, which the one before it names."""
    above, epochs = chain.header(chain.base), range(chain.first_epoch - 1, lowest - 1, -1)
    for epoch in epochs:
        end, following = chain.epoch_end(epoch), chain.validators(epoch + 1)
        validators = chain.validators(epoch)
        if above is None or end is None or validators is None or following is None:
            raise DamagedChain(f"the end of epoch {epoch} is missing")
        header = end.header
        try:
            check_last_block(header, end.certificate, chain.chain_id, validators, is_valid)
        except Invalid as error:
            raise DamagedChain(f"the end of epoch {epoch}: {error}") from None
        if following.hash != header.next_validators_hash:
            raise DamagedChain(f"the validators of epoch {epoch + 1} are not those that it names")
        if header.height >= above.height or header.time_ms >= above.time_ms:
            raise DamagedChain(f"the end of epoch {epoch} is not below the next")
        above = header


def check_top(chain: Chain) -> None:
    """The next block's validators are those that the tip names, and nothing lies above it: what
    is there belongs to a block that the tip forgot."""
    header = chain.head.header
    following = chain.validators(epoch_after(header))
    if following is None or following.hash != header.next_validators_hash:
        raise DamagedChain(f"the validators after height {header.height} are others than it names")
    above = chain.height + 1
    for prefix, name in (
        (schema.HEADER, "header"),
        (schema.LEAVES, "list of transactions"),
        (schema.BODY, "transaction"),
        (schema.CERTIFICATE, "certificate"),
    ):
        if next(chain.scan(prefix, start=prefix + above.to_bytes(8, "big")), None) is not None:
            raise DamagedChain(f"there is a {name} above the tip, height {chain.height}")
    last = schema.output_key(chain.head.commitments.outputs.count)
    if next(chain.scan(schema.OUTPUT, start=last), None) is not None:
        raise DamagedChain(f"there is an output above the tip, height {chain.height}")
