"""Where epochs meet: early messages are kept in bounds, and a block has the rules of its epoch."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from consensus.messages import Message
from ledger.block import COMMIT, PREPARE
from ledger.operations import EndEpoch
from ledger.schema import DamagedChain
from node.epochs import EARLY_A_PEER, EARLY_MAX, EarlyMessages, epoch_of, rules_after, rules_at
from tests.consensus.kit import Kit
from tests.ledger.world import World
from tests.node.api.harness import Node

KIT = Kit(4)
ONE = KIT.header()


def votes(count: int) -> list[Message]:
    return [KIT.vote(1, PREPARE, KIT.header(salt=str(index))) for index in range(count)]


def test_the_latest_of_a_peer_are_kept() -> None:
    """One below the limit and at it all; one above it the oldest of that peer alone is gone."""
    for count in (EARLY_A_PEER - 1, EARLY_A_PEER, EARLY_A_PEER + 1):
        early = EarlyMessages()
        early.keep(b"honest", KIT.vote(2, COMMIT, ONE))
        said = votes(count)
        for message in said:
            early.keep(b"loud", message)
        kept = [message for peer, message in early.take() if peer == b"loud"]
        assert kept == said[-EARLY_A_PEER:]
        assert len(kept) == min(count, EARLY_A_PEER)


def test_loud_peers_starve_nobody() -> None:
    """Of 64 linked peers 63 fill all there is before the last one speaks: its proposal and its two
    votes are kept, and so is an equal share of every other's."""
    early = EarlyMessages()
    for peer in range(63):
        for message in votes(EARLY_A_PEER):
            early.keep(bytes([peer]), message)
    assert len(early) == EARLY_MAX
    said = [KIT.pre_prepare(ONE), KIT.vote(0, PREPARE, ONE), KIT.vote(0, COMMIT, ONE)]
    for message in said:
        early.keep(b"honest", message)
    assert len(early) == EARLY_MAX
    taken = early.take()
    kept = Counter(peer for peer, _ in taken)
    assert [message for peer, message in taken if peer == b"honest"] == said
    assert min(kept.values()) >= len(said)
    assert len(kept) == 64


def test_all_together_are_bounded() -> None:
    """One below the limit and at it all are kept; above it who has most loses its oldest; where all
    have one, the newcomer is no worse off than they."""
    for count in (EARLY_MAX - 1, EARLY_MAX, EARLY_MAX + 1):
        early = EarlyMessages()
        for peer in range(count):
            early.keep(peer.to_bytes(2, "big"), KIT.vote(1, PREPARE, ONE))
        assert len(early) == min(count, EARLY_MAX)


def test_taken_once_and_in_the_order_of_each_peer() -> None:
    """A proposal comes out before the votes for it."""
    early = EarlyMessages()
    said = [KIT.pre_prepare(ONE), KIT.vote(0, PREPARE, ONE), KIT.vote(0, COMMIT, ONE)]
    for message in said:
        early.keep(b"peer", message)
    assert early.take() == [(b"peer", message) for message in said]
    assert (early.take(), len(early)) == ([], 0)


def test_what_is_sent_again_anyway_is_not_kept() -> None:
    """STATUS, VIEW-CHANGE and NEW-VIEW."""
    early = EarlyMessages()
    changes = [KIT.view_change(member, 1) for member in range(3)]
    for message in (KIT.status(), changes[0], KIT.new_view(1, changes)):
        early.keep(b"peer", message)
    assert len(early) == 0


def test_every_message_says_of_which_epoch_it_is() -> None:
    """Wherever that stands in it."""
    changes = [KIT.view_change(member, 1) for member in range(3)]
    new_view = KIT.new_view(1, changes)
    for message in (
        KIT.pre_prepare(replace(ONE, epoch=7)),
        replace(KIT.vote(1, PREPARE, ONE), epoch=7),
        replace(KIT.status(), epoch=7),
        replace(changes[0], body=replace(changes[0].body, epoch=7)),
        replace(new_view, body=replace(new_view.body, epoch=7)),
    ):
        assert epoch_of(message) == 7


def test_rules_are_those_of_the_next_block() -> None:
    """Those of genesis at first; after the last block of an epoch those of the next, which knows
    the set before it."""
    node = Node(World())
    world = node.world
    first = rules_at(node.chain, lambda *_: True)
    assert (first.epoch, first.previous) == (0, None)
    assert first.validators == world.genesis.validators
    node.decide([world.govern(EndEpoch(0))])
    second = rules_at(node.chain, lambda *_: True)
    assert (second.epoch, second.validators) == (1, world.validators)
    assert second.previous == first.validators
    node.decide([])
    assert rules_at(node.chain, lambda *_: True).epoch == 1


def test_rules_of_the_next_epoch_are_of_no_other() -> None:
    """Those that follow an epoch, and a disk that answers with its own validators: it is damaged,
    for whoever went on with them would refuse all that comes."""
    node = Node(World())
    before = rules_at(node.chain, lambda *_: True)
    with pytest.raises(DamagedChain, match="epoch 1 are those of epoch 0"):
        rules_after(before, node.chain)
    node.decide([node.world.govern(EndEpoch(0))])
    after = rules_after(before, node.chain)
    assert (after.epoch, after.previous) == (1, before.validators)
