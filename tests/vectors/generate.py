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
    make_certificate,
    vote_hash,
)
from ledger.codec import Wire, encode, encode_payload
from ledger.crypto import tagged_hash
from ledger.economy.capacity import AttestationStatement
from ledger.economy.issuance import Lane
from ledger.economy.licence import Licence, LicenceState, Seat
from ledger.economy.reserve import Reserve, supply_line
from ledger.economy.standard import Standard
from ledger.epochs import Epoch
from ledger.genesis_state import genesis_state
from ledger.locks import After, All, Before, HashLock, Key, Threshold, lock_hash
from ledger.locks import Any as AnyOf
from ledger.merkle import merkle_proof, merkle_root
from ledger.object_tree import ObjectLeaf
from ledger.objects import FeePot, LedgerClock, key_of, load_all
from ledger.operations import (
    Admit,
    Burn,
    EndEpoch,
    Mint,
    Remove,
    Revoke,
    Suspend,
    ValidatorReady,
)
from ledger.proofs import TransactionProof, UnspentProof
from ledger.transaction import Fee, OutPoint, Output, SignedTransaction
from ledger.validators import Member, ValidatorSet
from tests.ledger.faults_membership import all_faults
from tests.ledger.world import COIN, World, grant, key, lock_of, sign
from tests.vectors.ed25519_cases import ed25519_cases
from tests.vectors.epoch_plan import Step, make_world, steps
from tests.vectors.lock_plan import SECRETS, hash_of, lock_steps
from tests.vectors.snapshot_values import snapshot_values

FOLDER = Path(__file__).parent


def main() -> None:
    """Write every file beside this script."""
    for name, content in make_files().items():
        (FOLDER / name).write_bytes(content)


def make_files() -> dict[str, bytes]:
    """Every vector file by name."""
    world = World()
    tables = {
        "hashes.json": hashes(),
        "ed25519.json": ed25519_cases(),
        "wire.json": wire(world),
        "transactions.json": transactions(world),
        "refused.json": refused(world),
        "chain.json": chain(),
        "epochs.json": story(make_world(), steps()),
        "locks.json": story(World(), lock_steps()),
    }
    files = {name: (json.dumps(table, indent=1) + "\n").encode() for name, table in tables.items()}
    return {
        **files,
        "devnet_genesis.json": genesis_rules.dump(world.genesis),
        "epochs_genesis.json": genesis_rules.dump(make_world().genesis),
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
    for value in [*transaction_values(world), *block_values(world), *object_values(world)]:
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


def transaction_values(world: World) -> list[Wire]:
    alice, bob = sorted((key("alice").public, key("bob").public))
    body = world.transfer("alice", "bob").body
    conditions = [
        Key(alice),
        Threshold(2, (alice, bob)),
        After(0, 17),
        Before(1, 2**53 - 1),
        HashLock(bytes(32)),
        All((Key(alice), AnyOf((Key(bob), After(1, 1))))),
        AnyOf((Key(alice),)),
    ]
    sealed = [transaction.SealedTransaction(tx.body, tx.witness) for tx in good(world)]
    return [
        OutPoint(bytes(32), 2**32 - 1),
        body.inputs[0],
        *body.outputs,
        body.fee,
        Fee(bytes(32), 0),
        Mint("val0", alice, 255, 2**63 - 1, 2**62 - 1),
        Burn(bytes(32), 1),
        Admit(grant("new"), 2**63 - 1),
        Remove("val0", 0),
        Suspend("val0", 1),
        Revoke("val0", 2),
        EndEpoch(2**63 - 1),
        ValidatorReady("val0", alice, 7, bytes(32)),
        world.evidence("val0"),
        *conditions,
        *(item.body for item in sealed),
        *(item.witness for item in sealed),
        sealed[0].witness.signatures[0],
        *sealed,
    ]


def block_values(world: World) -> list[Wire]:
    block, changes = world.make_block([world.transfer("alice", "bob"), world.mint()])
    commitments = changes.head.commitments
    identity = header_hash(block.header)
    certificate = certify(world, VotePayload(0, COMMIT, 2**63 - 1, 1, identity), world.validators)
    wtxids = [transaction.decode(raw).wtxid for raw in block.transactions]
    path = merkle_proof(wtxids, 1)
    (outpoint, entry) = next(iter(changes.created.items()))
    nodes = {**dict(genesis_state(world.genesis).nodes), **dict(changes.nodes)}
    output_proof = commitments.outputs.prove(entry.leaf, nodes.__getitem__)
    spent_proof = commitments.spent.prove(entry.leaf)
    unspent_proof = UnspentProof(
        block.header, OutPoint(*outpoint), entry, output_proof, spent_proof, commitments.roots
    )
    object_key = key_of(FeePot, FeePot.identity(0, world.asset()))
    return [
        block.header,
        block,
        certificate.payload,
        certificate,
        Member(key("val0/consensus").public, "val0"),
        ValidatorSet(7, world.validators.members),
        path,
        entry,
        output_proof,
        spent_proof,
        ObjectLeaf(bytes(32), b"\xff" * 32),
        commitments.objects.prove(object_key),
        commitments.objects.prove(b"absent"),
        commitments.roots,
        TransactionProof(block.header, path),
        unspent_proof,
        *snapshot_values(unspent_proof, certificate),
    ]


def object_values(world: World) -> list[Wire]:
    value = world.genesis
    item = value.commitments[0]
    reserve = load_all(world.state, Reserve)[0]
    fields = {
        name: getattr(item, name) for name in item.__struct_fields__ if name != "attestations"
    }
    return [
        LedgerClock(world.time_ms),
        FeePot(2**63 - 1, world.asset(), 0),
        world.epoch,
        Epoch(1, 1_001, bytes(32), world.time_ms, True, (), (lock_of("val0/treasury"),)),
        value.parameters,
        value.standard[0],
        Standard(1, value.standard),
        value.licences[0].keys,
        value.licences[0],
        Licence.granted(value.licences[0]),
        Licence(value.licences[1], LicenceState.REVOKED, 2, Seat.LEAVING, 7),
        value.attestors[0],
        item.attestations[0],
        item,
        AttestationStatement(attestor="att-north", attested=5, **fields),
        reserve,
        supply_line(reserve),
        Lane("val0", "treasury", 255, 1),
        value.authority,
        value.allocations[0],
        value,
    ]


def good(world: World) -> list[SignedTransaction]:
    """Transactions that pass every check without state, some of each operation."""
    coin = world.coin("alice")
    names = ("alice", "bob", "carol")
    shared = Threshold(2, tuple(sorted(key(name).public for name in names)))
    fee = Fee(coin.asset, 2_000)
    burned = world.body(
        [coin],
        [Output(coin.asset, coin.amount - 2_005, lock_of("alice"))],
        fee=fee,
        operations=[Burn(coin.asset, 5)],
        memo="ذ memo".encode(),
    )
    locked = world.body(
        [coin], [Output(coin.asset, coin.amount - 2_000, lock_hash(shared))], fee=fee
    )
    early, late = All((hash_of(SECRETS[0]), Before(1, 9))), All((hash_of(SECRETS[2]), After(0, 9)))
    timed = All((Key(key("bob").public), AnyOf((early, late))))
    return [
        world.transfer("alice", "bob"),
        world.mint(),
        sign(burned, ["alice"]),
        sign(locked, ["alice"]),
        sign(locked, [], names[:2], conditions=[shared]),
        sign(locked, [], ["bob"], conditions=[timed], preimages=[SECRETS[0], SECRETS[2]]),
        world.govern(
            Admit(grant("new"), 0), Remove("val0", 0), Suspend("val1", 0), Revoke("val2", 0)
        ),
        world.govern(EndEpoch(0)),
        world.ready("val0"),
        world.accuse("val0"),
    ]


def transactions(world: World) -> dict[str, Any]:
    """Good transactions with everything that follows from their bytes."""
    seeds = {
        key(name).public: sha256(name.encode()).digest()
        for name in (
            *("alice", "bob", "carol", "val0/treasury", "val0/consensus"),
            *(f"val{index}/operations" for index in range(4)),
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
    """Bad transactions, each with its reason; `needs_state` where only a state can tell."""
    rows = [
        {
            "name": fault.name,
            "raw": fault.raw.hex(),
            "reason": fault.reason.value,
            "needs_state": fault.needs_state,
        }
        for fault in all_faults(world)
    ]
    return {"chain_id": world.chain_id.hex(), "fees": [1, 50, 200], "transactions": rows}


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


def story(world: World, plan: Iterable[Step]) -> dict[str, Any]:
    """Block after block of a plan; after each height what its state refuses."""
    rows = [{**height_row(world, [], None, world.validators), "refused": []}]
    for step in plan:
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


def certify(world: World, payload: VotePayload, validators: ValidatorSet) -> Certificate:
    """Signed by all but the first of four."""
    message = vote_hash(world.chain_id, payload)
    signers = [key(f"{member.licence}/consensus") for member in validators.members[1:]]
    return make_certificate(
        payload, {index: signer.sign(message) for index, signer in enumerate(signers, 1)}
    )


if __name__ == "__main__":
    main()
