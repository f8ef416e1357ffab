"""A node that was admitted says that it is ready: once it may vote, and once an epoch."""

from __future__ import annotations

import pytest

from ledger.economy.licence import Seat
from ledger.operations import Admit, EndEpoch, ValidatorReady
from ledger.transaction import SignedTransaction, Transaction, check_signatures, sighash
from node.guards import NoVotes
from node.joining import READY_LIFE_MS, Joining
from tests.ledger.world import World, grant, key
from tests.node.api.harness import Node


class Sure(NoVotes):
    """A guard that will sign in the next epoch."""

    is_sure_next = True
    public = key("val9/consensus").public

    def sign_ready(self, body: Transaction) -> bytes:
        return key("val9/consensus").sign(sighash(body))


@pytest.fixture
def node() -> Node:
    """val9 is admitted; the first block of epoch 1 is final."""
    made = Node(World())
    made.decide([made.world.govern(EndEpoch(0))])
    made.decide([made.world.govern(Admit(grant("val9", issuer=False), 0))])
    return made


def said(joining: Joining) -> SignedTransaction | None:
    return joining.announcement(is_at_tip=True)


def test_the_chain_takes_what_it_says(node: Node) -> None:
    """It names the epoch's base and is signed by the consensus key; then the licence is ready."""
    tx = said(Joining(node.chain, Sure()))
    assert tx is not None
    (operation,) = tx.body.operations
    assert isinstance(operation, ValidatorReady)
    assert (operation.licence, operation.height) == ("val9", 1)
    check_signatures(tx)
    node.decide([tx])
    assert node.world.licence("val9").seat is Seat.READY


def test_once_an_epoch_and_again_when_it_expired(node: Node) -> None:
    """Until its transaction has expired without a block, or another epoch begins."""
    joining = Joining(node.chain, Sure())
    first = said(joining)
    assert first is not None
    assert said(joining) is None
    for _ in range(READY_LIFE_MS // 1_000):
        node.decide([])
        assert said(joining) is None
    node.decide([])
    again = said(joining)
    assert again is not None
    assert again.txid != first.txid
    node.decide([node.world.govern(EndEpoch(1))])
    assert said(joining) is None  # no block of the epoch yet, so that its base has no hash
    node.decide([])
    assert said(joining) is not None


def test_not_before_its_time(node: Node) -> None:
    """Behind the tip, with a guard that is not sure, and for a key that nobody admitted."""
    assert Joining(node.chain, Sure()).announcement(is_at_tip=False) is None
    unsure = Sure()
    unsure.is_sure_next = False
    assert said(Joining(node.chain, unsure)) is None
    stranger = Sure()
    stranger.public = key("val8/consensus").public
    assert said(Joining(node.chain, stranger)) is None
    assert said(Joining(node.chain, NoVotes())) is None


def test_not_once_it_is_ready_or_has_a_seat(node: Node) -> None:
    """Nothing is waiting for it any more."""
    node.decide([node.world.ready("val9")])
    assert said(Joining(node.chain, Sure())) is None
    node.decide([node.world.govern(EndEpoch(1))])
    node.decide([])
    assert node.world.licence("val9").seat is Seat.SEATED
    assert said(Joining(node.chain, Sure())) is None
