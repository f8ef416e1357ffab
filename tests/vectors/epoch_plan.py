"""The story behind `epochs.json`: seats, shares and refusals over thirteen epochs.

Epochs of two blocks and a minute. A provider takes the seat of another, one is caught voting twice,
one is revoked; after each height stands what the state now refuses, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from ledger.operations import Admit, EndEpoch, Remove, Revoke, Suspend, ValidatorReady
from ledger.reasons import Reason
from ledger.transaction import SignedTransaction
from tests.ledger.faults_membership import moved_grant
from tests.ledger.world import World, grant, key, make_genesis, sign

EPOCH_BLOCKS = 2
EPOCH_MS = 60_000
CARRIED_FEE = 2_003
"""Leaves three units when four share it."""

Refusals = list[tuple[str, SignedTransaction, Reason]]


@dataclass(frozen=True)
class Step:
    """A block so long after its parent, and what the state after it refuses."""

    after_ms: int
    transactions: Callable[[World], Sequence[SignedTransaction]]
    refusals: Callable[[World], Refusals]


def make_world() -> World:
    return World(make_genesis(epoch_blocks=EPOCH_BLOCKS, epoch_ms=EPOCH_MS))


def steps() -> Iterator[Step]:
    """Every block of the story."""
    yield Step(
        20_000,
        lambda world: [
            world.govern(Admit(grant("new0"), 0)),
            world.transfer("alice", "bob", fee=CARRIED_FEE),
            world.transfer("bob", "carol", coin=world.coin("bob", "val1")),
        ],
        _after_admission,
    )
    yield Step(
        20_000,
        lambda world: [world.govern(Remove("val1", 0)), world.ready("new0")],
        _after_readiness,
    )
    yield Step(19_999, lambda world: [world.mint()], _nothing)
    yield Step(1, lambda world: [], _after_the_boundary)  # Ends epoch 0: a swap.
    yield Step(
        1_000,
        lambda world: [
            world.govern(Suspend("val2", 0), Admit(grant("new1", issuer=False), 0)),
            world.accuse("val3"),
            world.transfer("alice", "bob", fee=2_001),
        ],
        _after_evidence,
    )
    yield Step(1_000, _end, _nothing)  # Epoch 1: three sign on, the accused would leave them four.
    yield Step(1_000, lambda world: [world.ready("new1")], _nothing)
    yield Step(
        1_000,
        lambda world: [world.govern(Revoke("val2", 1)), *_end(world)],
        _after_revocation,
    )  # Epoch 2: the accused leaves, the revoked waits.
    yield Step(1_000, lambda world: [world.govern(Admit(grant("val1"), 1))], _nothing)
    for _ in range(9):
        yield Step(1_000, _end, _nothing)
    yield Step(1_000, lambda world: [world.transfer("bob", "alice")], _long_after)


def _end(world: World) -> list[SignedTransaction]:
    return [world.govern(EndEpoch(world.epoch.number))]


def _nothing(world: World) -> Refusals:
    return []


def _after_admission(world: World) -> Refusals:
    good = world.ready("new0")
    (operation,) = good.body.operations
    assert isinstance(operation, ValidatorReady)
    replace = msgspec.structs.replace

    def ready(item: ValidatorReady, signer: str = "new0/consensus") -> SignedTransaction:
        return sign(world.body(operations=[item]), [], [signer])

    other_key = replace(operation, key=key("new0/link").public)
    return [
        ("ready with another key", ready(other_key, "new0/link"), Reason.WRONG_ROLE_KEY),
        ("ready at another height", ready(replace(operation, height=1)), Reason.WRONG_EPOCH),
        (
            "ready on another block",
            ready(replace(operation, block_hash=bytes(32))),
            Reason.WRONG_EPOCH,
        ),
        ("admitted again", world.govern(Admit(grant("new0"), 0)), Reason.WRONG_VERSION),
        ("moved while waiting", world.govern(Admit(moved_grant("new0"), 1)), Reason.HAS_SEAT),
    ]


def _after_readiness(world: World) -> Refusals:
    return [
        ("ready again", world.ready("new0"), Reason.NO_SEAT),
        ("removed again", world.govern(Remove("val1", 0)), Reason.WRONG_VERSION),
        ("removed while leaving", world.govern(Remove("val1", 1)), Reason.NO_SEAT),
        ("moved while leaving", world.govern(Admit(moved_grant("val1"), 1)), Reason.HAS_SEAT),
    ]


def _after_the_boundary(world: World) -> Refusals:
    past = [f"val{index}/operations" for index in range(3)]
    return [
        ("past epoch ended", world.govern(EndEpoch(0)), Reason.WRONG_EPOCH),
        (
            "approved by a past member",
            world.govern(EndEpoch(1), approvers=past),
            Reason.WRONG_ROLE_KEY,
        ),
        ("removed after its seat", world.govern(Remove("val1", 1)), Reason.NO_SEAT),
    ]


def _after_evidence(world: World) -> Refusals:
    return [
        ("evidence again", world.accuse("val3"), Reason.LICENCE_INACTIVE),
        ("suspended again", world.govern(Suspend("val2", 1)), Reason.LICENCE_INACTIVE),
        ("accused suspended", world.govern(Suspend("val3", 1)), Reason.LICENCE_INACTIVE),
        ("minted while suspended", world.mint("val2"), Reason.LICENCE_INACTIVE),
    ]


def _after_revocation(world: World) -> Refusals:
    return [
        ("suspended after revocation", world.govern(Suspend("val2", 2)), Reason.LICENCE_INACTIVE),
        ("revoked again", world.govern(Revoke("val2", 2)), Reason.LICENCE_INACTIVE),
        ("evidence against the revoked", world.accuse("val2"), Reason.LICENCE_INACTIVE),
        ("evidence against the judged", world.accuse("val3"), Reason.LICENCE_INACTIVE),
    ]


def _long_after(world: World) -> Refusals:
    return [
        (
            "evidence too old",
            world.accuse("val0", epoch=world.epoch.number - 11),
            Reason.WRONG_EPOCH,
        )
    ]
