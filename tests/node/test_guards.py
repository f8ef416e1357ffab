"""The guard of an observer signs nothing, whatever happens to it."""

from __future__ import annotations

import pytest

from consensus.effects import VoteRequest
from ledger.block import PREPARE, Block, VotePayload, header_hash
from ledger.validators import ValidatorSet
from node.guards import Guard, NoVotes
from node.vote_guard import Permission, Refused
from tests.consensus.kit import Kit

KIT = Kit(4)
ONE = KIT.header()


def test_it_never_signs() -> None:
    """Not after a quorum's STATUS, not in a later epoch, not on the operator's word."""
    guard: Guard = NoVotes()
    for member in range(4):
        assert not guard.hear(member, KIT.status())
    assert not guard.hear_self(0)
    guard.committed(1)
    guard.enter_epoch(KIT.rules.following(ValidatorSet(1, KIT.rules.validators.members)), 1)
    with pytest.raises(Refused, match="never votes"):
        guard.recover()
    payload = VotePayload(0, PREPARE, 0, 1, header_hash(ONE))
    for request in (VoteRequest(payload), KIT.view_change(1, 1).body):
        with pytest.raises(Refused, match="never votes"):
            guard.stage(request, synced=True, block=Block(ONE, ()))
    assert guard.flush() == []
    assert guard.permission is Permission.FOLLOWING


def test_nothing_is_wrong_with_it() -> None:
    """No reason, no fault, no key that could be in a set, and nothing to restore."""
    guard: Guard = NoVotes()
    assert (guard.reason, guard.fault, guard.is_sure_next) == ("", "", False)
    assert guard.public not in KIT.rules.validators.index_by_key
    assert not guard.distrust_key()
    assert guard.restored(0).prepared == ()
    assert guard.block(header_hash(ONE)) is None
