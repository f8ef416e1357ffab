"""Write the golden vectors: python -m tests.vectors.generate

The files are the protocol, byte for byte. They are read by the node's code and by a second
implementation; a test compares them with what this script would write. Whoever changes a format
runs it, and the difference shows in the commit which bytes moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgpack

from ledger import genesis as genesis_rules
from ledger import transaction
from ledger.block import (
    COMMIT,
    PREPARE,
    Certificate,
    VotePayload,
    header_hash,
    vote_hash,
)
from ledger.codec import encode, encode_payload
from ledger.crypto import tagged_hash
from ledger.merkle import merkle_root
from ledger.operations import Burn, EndEpoch, FreezeOrder, LiftOrder
from ledger.reasons import Reason
from ledger.transaction import Fee, Output, SignedTransaction
from ledger.validators import ValidatorSet
from tests.ledger.faults_membership import all_faults
from tests.ledger.world import COIN, REGULATORS, World, key, lock_of, sign
from tests.vectors import economy_plan, epoch_plan, redemption_plan
from tests.vectors.economy_values import object_values
from tests.vectors.ed25519_cases import ed25519_cases
from tests.vectors.epoch_plan import Step
from tests.vectors.lock_plan import lock_steps
from tests.vectors.redemption_values import redemption_operations, redemption_values
from tests.vectors.wire_values import block_values, certify, good, transaction_values

FOLDER = Path(__file__).parent


def main() -> None:
    """Write every file beside this script."""
    for name, content in make_files().items():
        (FOLDER / name).write_bytes(content)


def make_files() -> dict[str, bytes]:
    """Every vector file by name."""
    world, redeemed = World(), redemption_plan.make_world()
    tables = {
        "hashes.json": hashes(),
        "ed25519.json": ed25519_cases(),
        "wire.json": wire(world),
        "transactions.json": transactions(world),
        "refused.json": refused(world),
        "chain.json": chain(),
        "epochs.json": story(epoch_plan.make_world(), epoch_plan.steps()),
        "locks.json": story(World(), lock_steps()),
        "economy.json": story(economy_plan.make_world(), economy_plan.steps()),
        "redemption.json": story(redeemed, redemption_plan.steps(redeemed)),
    }
    files = {name: (json.dumps(table, indent=1) + "\n").encode() for name, table in tables.items()}
    return {
        **files,
        "devnet_genesis.json": genesis_rules.dump(world.genesis),
        "epochs_genesis.json": genesis_rules.dump(epoch_plan.make_world().genesis),
        "economy_genesis.json": genesis_rules.dump(economy_plan.make_world().genesis),
        "redemption_genesis.json": genesis_rules.dump(redeemed.genesis),
    }


def plain(value: Any) -> Any:
    """An untyped value as JSON: bytes become {"hex": ...}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def hashes() -> list[dict[str, Any]]:
    """Digests of one tag over several splittings, and list roots."""
    rows: list[dict[str, Any]] = []
    for tag, parts in (
        ("lock", []),
        ("lock", [b""]),
        ("lock", [b"", b""]),
        ("lock", [b"ab", b"c"]),
        ("lock", [b"a", b"bc"]),
        ("txid", [b"ab", b"c"]),
        ("merkle/node", [bytes(32), b"\xff" * 32]),
    ):
        digest = tagged_hash(tag)(*parts)
        rows.append({"tag": tag, "parts": [part.hex() for part in parts], "digest": digest.hex()})
    for count in (0, 1, 2, 3, 4, 5, 8, 13):
        leaves = [sha256(bytes([index])).digest() for index in range(count)]
        root = merkle_root(leaves)
        rows.append({"leaves": [leaf.hex() for leaf in leaves], "root": root.hex()})
    return rows


def wire(world: World) -> list[dict[str, Any]]:
    """One value or more of every struct that is hashed, signed, stored or sent."""
    rows = []
    values = [*transaction_values(world), *block_values(world), *object_values(world)]
    for value in [*values, *redemption_operations(), *redemption_values(world)]:
        kind = type(value)
        payload = encode_payload(value)
        row = {
            "type": kind.__name__,
            "value": plain(msgpack.unpackb(payload)),
            "payload": payload.hex(),
        }
        if kind.TYPE:
            row["encoded"] = encode(value).hex()
        rows.append(row)
    return rows


def transactions(world: World) -> dict[str, Any]:
    """Good transactions with everything that follows from their bytes."""
    seeds = {
        key(name).public: sha256(name.encode()).digest()
        for name in (
            *("alice", "bob", "carol", "val0/treasury", "val0/consensus"),
            *(f"val{index}/operations" for index in range(4)),
            *("new/operations", *REGULATORS),
        )
    }
    rows = []
    for tx in good(world):
        message = transaction.sighash(tx.body)
        rows.append(
            {
                "raw": tx.raw.hex(),
                "txid": tx.txid.hex(),
                "wtxid": tx.wtxid.hex(),
                "sighash": message.hex(),
                "locks": [lock.hex() for lock in tx.locks],
                "signatures": [
                    {
                        "seed": seeds[item.key].hex(),
                        "key": item.key.hex(),
                        "signature": item.signature.hex(),
                    }
                    for item in tx.witness.signatures
                ],
            }
        )
    return {"chain_id": world.chain_id.hex(), "fees": [1, 50, 200], "transactions": rows}


def refused(world: World) -> dict[str, Any]:
    """Bad transactions, each with its reason; `needs_state` where only a state can tell; and blocks
    of which the last transaction is bad."""
    rows = [
        {
            "name": fault.name,
            "raw": fault.raw.hex(),
            "reason": fault.reason.value,
            "needs_state": fault.needs_state,
        }
        for fault in all_faults(world)
    ]
    order = world.govern(EndEpoch(world.epoch.number))
    late = {
        "name": "order after a payment",
        "transactions": [tx.raw.hex() for tx in (world.transfer("alice", "bob"), order)],
        "reason": Reason.NOT_FIRST.value,
    }
    freeze = world.govern(
        FreezeOrder("case-1", bytes(32), (lock_of("alice"),), world.time_ms + 90_000)
    )
    again = {
        "name": "freeze that was lifted again",
        "transactions": [
            tx.raw.hex() for tx in (freeze, world.govern(LiftOrder("case-1", 1)), freeze)
        ],
        "reason": Reason.ALREADY_FINAL.value,
    }
    head = {"chain_id": world.chain_id.hex(), "fees": [1, 50, 200]}
    return {**head, "transactions": rows, "blocks": [late, again]}


def chain() -> dict[str, Any]:
    """Genesis and two blocks on it: roots, hashes, votes and a certificate for each height."""
    world = World()
    rows = [height_row(world, [], None, world.validators)]
    plans = (
        (20_000, lambda: [world.transfer("alice", "bob"), world.mint(), burn(world, "bob", 7)]),
        (3_600_000, list),
        (30_000, lambda: [world.transfer("bob", "alice", 5), world.mint("val1", COIN, lane=9)]),
    )
    for after_ms, make in plans:
        rows.append(next_row(world, make(), after_ms))
    return {"chain_id": world.chain_id.hex(), "heights": rows}


def story(world: World, steps: Iterable[Step]) -> dict[str, Any]:
    """Every block of a plan, and after each height what its state refuses."""
    rows = [{**height_row(world, [], None, world.validators), "refused": []}]
    for step in steps:
        row = next_row(world, step.transactions(world), step.after_ms)
        row["refused"] = [
            {"name": name, "raw": tx.raw.hex(), "reason": reason.value}
            for name, tx, reason in step.refusals(world)
        ]
        rows.append(row)
    return {"chain_id": world.chain_id.hex(), "heights": rows}


def next_row(world: World, txs: Sequence[SignedTransaction], after_ms: int) -> dict[str, Any]:
    """A block on the world, which moves on."""
    validators = world.validators
    header = world.advance(txs, after_ms).header
    vote = VotePayload(header.epoch, COMMIT, 1, header.height, header_hash(header))
    return height_row(world, txs, certify(world, vote, validators), validators)


def burn(world: World, owner: str, amount: int) -> SignedTransaction:
    coin = world.coin(owner)
    change = Output(coin.asset, coin.amount - amount - 2_000, lock_of(owner))
    operations = [Burn(coin.asset, amount)]
    return sign(
        world.body([coin], [change], fee=Fee(coin.asset, 2_000), operations=operations), [owner]
    )


def height_row(
    world: World,
    txs: Sequence[SignedTransaction],
    certificate: Certificate | None,
    validators: ValidatorSet,
) -> dict[str, Any]:
    head = world.state.head
    roots = head.commitments.roots
    return {
        "header": encode(head.header).hex(),
        "hash": head.hash.hex(),
        "transactions": [tx.raw.hex() for tx in txs],
        "tx_root": head.header.tx_root.hex(),
        "outputs_count": roots.outputs_count,
        "outputs_root": roots.outputs_root.hex(),
        "spent_root": roots.spent_root.hex(),
        "objects_root": roots.objects_root.hex(),
        "supply_root": roots.supply_root.hex(),
        "state_root": roots.state_root.hex(),
        "prepare": vote_hash(
            world.chain_id,
            VotePayload(head.header.epoch, PREPARE, 0, head.header.height, head.hash),
        ).hex(),
        "certificate": encode(certificate).hex() if certificate else "",
        "members": [[member.key.hex(), member.licence] for member in validators.members],
    }


if __name__ == "__main__":
    main()
