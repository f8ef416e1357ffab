"""Values for `wire.json` and `transactions.json`: transactions, blocks, proofs."""

from __future__ import annotations

from ledger import transaction
from ledger.block import COMMIT, Certificate, VotePayload, header_hash, make_certificate, vote_hash
from ledger.codec import Wire
from ledger.genesis_state import genesis_state
from ledger.locks import After, All, Before, HashLock, Key, Threshold, lock_hash
from ledger.locks import Any as AnyOf
from ledger.merkle import merkle_proof
from ledger.object_tree import ObjectLeaf
from ledger.objects import FeePot, key_of
from ledger.operations import (
    Admit,
    Apply,
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
from tests.ledger.world import World, grant, key, lock_of, sign
from tests.vectors.economy_values import economy_operations
from tests.vectors.lock_plan import SECRETS, hash_of
from tests.vectors.snapshot_values import snapshot_values


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
        *economy_operations(world),
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
    applied = world.body(
        [coin],
        [Output(coin.asset, coin.amount - 9_000, lock_of("alice"))],
        fee=Fee(coin.asset, 9_000),
        operations=[Apply(grant("new"))],
    )
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
        sign(applied, ["alice"], ["new/operations"]),
        world.ready("val0"),
        world.accuse("val0"),
    ]


def certify(world: World, payload: VotePayload, validators: ValidatorSet) -> Certificate:
    """Signed by all but the first of four."""
    message = vote_hash(world.chain_id, payload)
    signers = [key(f"{member.licence}/consensus") for member in validators.members[1:]]
    return make_certificate(
        payload, {index: signer.sign(message) for index, signer in enumerate(signers, 1)}
    )
