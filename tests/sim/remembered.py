"""What was worked out once is not worked out again while a simulation runs.

Every message, transaction and record is bytes, and every node decodes what it gets. But bytes of
one kind always mean the same frozen value, and most of them reach several nodes: the second one
is given the value of the first. What a transaction is checked for without state holds everywhere
as well. Faults are not remembered. The node's functions are the ones that stand in its modules
when the simulation begins, so that a planted bug is remembered as it is.

The tree over all objects, which every start makes anew, grows out of that of the start before:
its form follows from what it holds alone. A checker makes it anew at the end of every run.

Hashes in that tree, and which keys are points of the right subgroup, are remembered from run to
run: worlds of one size begin with the same objects and keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from ledger import chain_load, codec, crypto, object_tree, objects, transaction
from ledger.codec import T, Wire, WireT
from ledger.object_tree import ObjectTree
from ledger.transaction import FeeSchedule, SignedTransaction
from ledger.view import Changes

VALUES_MAX = 20_000
"""Of each kind of memory; a simulation seldom decodes more. Then everything is forgotten."""
HASHES_MAX = 65_536
"""Of each kind; a world has some hundred objects. Whatever was asked for longest ago goes."""

HASHES = (
    (object_tree, "_key_hash"),
    (object_tree, "_leaf_hash"),
    (object_tree, "_node_hash"),
    (objects, "hash_of_value"),
    (objects, "_decoded"),
    (crypto, "crypto_core_ed25519_is_valid_point"),
)
"""Functions of their arguments alone, and where they stand."""


@contextmanager
def remembered_decoding() -> Iterator[None]:
    """Replace `codec.decode`, `codec.decode_payload`, `transaction.decode` and
    `transaction.check_stateless` by ones that remember."""
    decode, decode_payload = codec.decode, codec.decode_payload
    decode_transaction, check_stateless = transaction.decode, transaction.check_stateless
    passed: dict[bytes, tuple[bytes, FeeSchedule]] = {}
    values: dict[tuple[bytes, type[Wire]], Wire] = {}
    payloads: dict[tuple[bytes, type[Any]], Any] = {}
    transactions: dict[bytes, SignedTransaction] = {}

    def remember(data: bytes, cls: type[WireT], *, size_max: int) -> WireT:
        value = values.get((data, cls))
        if value is None or len(data) > size_max:
            value = decode(data, cls, size_max=size_max)
            if len(values) >= VALUES_MAX:
                values.clear()
            values[data, cls] = value
        return value  # type: ignore[return-value]

    def remember_payload(data: bytes, cls: type[T], *, size_max: int) -> T:
        value: T | None = payloads.get((data, cls))
        if value is None or len(data) > size_max:
            value = decode_payload(data, cls, size_max=size_max)
            if len(payloads) >= VALUES_MAX:
                payloads.clear()
            payloads[data, cls] = value
        return value

    def remember_transaction(raw: bytes) -> SignedTransaction:
        tx = transactions.get(raw)
        if tx is None:
            tx = decode_transaction(raw)
            if len(transactions) >= VALUES_MAX:
                transactions.clear()
            transactions[raw] = tx
        return tx

    def remember_check(tx: SignedTransaction, chain_id: bytes, fees: FeeSchedule) -> None:
        if passed.get(tx.raw) != (chain_id, fees):
            check_stateless(tx, chain_id, fees)
            if len(passed) >= VALUES_MAX:
                passed.clear()
            passed[tx.raw] = (chain_id, fees)

    codec.decode, codec.decode_payload = remember, remember_payload
    transaction.decode, transaction.check_stateless = remember_transaction, remember_check
    try:
        yield
    finally:
        codec.decode, codec.decode_payload = decode, decode_payload
        transaction.decode, transaction.check_stateless = decode_transaction, check_stateless


@contextmanager
def remembered_hashes() -> Iterator[None]:
    """Replace the functions of `HASHES` by ones that remember."""
    plain = [(module, name, getattr(module, name)) for module, name in HASHES]
    for module, name, function in plain:
        setattr(module, name, _remembering(function))
    try:
        yield
    finally:
        for module, name, function in plain:
            setattr(module, name, function)


@cache
def _remembering(function: Callable[..., bytes]) -> Callable[..., bytes]:
    return lru_cache(HASHES_MAX)(function)


@contextmanager
def remembered_tree(genesis: Changes) -> Iterator[None]:
    """Replace `chain_load.tree_of` by one that changes the last tree where objects differ; the
    first is that of genesis."""
    made_anew = chain_load.tree_of
    held: Mapping[bytes, bytes | None] = genesis.objects
    tree = genesis.head.commitments.objects

    def grow(found: Mapping[bytes, bytes]) -> ObjectTree:
        nonlocal held, tree
        changed = {key: data for key, data in found.items() if held.get(key) != data}
        gone = dict.fromkeys(held.keys() - found.keys())
        hashes = {key: objects.value_hash(data) for key, data in changed.items()}
        held, tree = found, tree.update({**hashes, **gone})
        return tree

    chain_load.tree_of = grow
    try:
        yield
    finally:
        chain_load.tree_of = made_anew
