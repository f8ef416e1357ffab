"""Nothing in flight outlives an epoch, whatever the window: the last block ends what is proposed,
derived and believed."""

from __future__ import annotations

import msgspec
import pytest

from consensus.effects import Executed, Proposed
from consensus.messages import Prepare
from consensus.view_change import check_view_change, derive
from ledger.block import (
    COMMIT,
    Certificate,
    Header,
    VotePayload,
    header_hash,
    make_certificate,
    vote_hash,
)
from ledger.reasons import Invalid
from tests.consensus.kit import Kit, Member

WIDE = Kit(4, window=4)
ONE = WIDE.header()
LAST = msgspec.structs.replace(WIDE.header(ONE), next_validators_hash=b"\x05" * 32)
BEYOND = msgspec.structs.replace(WIDE.header(LAST), next_validators_hash=ONE.validators_hash)


def test_no_proposal_above_the_last_block_is_taken() -> None:
    """It is kept like one that comes before its parent, and nobody votes for it."""
    backup = Member(WIDE, 1, head=ONE)
    backup.hear(0, WIDE.pre_prepare(LAST), WIDE.pre_prepare(BEYOND))
    assert [vote.block_hash for vote in backup.of(Prepare)] == [header_hash(LAST)]
    assert 3 not in backup.state.slots or backup.state.slots[3].proposal is None
    assert backup.state.bad_primary == ""


@pytest.mark.parametrize(("header", "may_go_on"), [(WIDE.header(ONE), True), (LAST, False)])
def test_the_primary_extends_no_last_block(header: Header, may_go_on: bool) -> None:
    """With three more heights open it waits until the epoch is over."""
    primary = Member(WIDE, 0, head=ONE)
    primary.step(Proposed(header, ()))
    primary.step(Executed(header, header_hash(header), None))
    assert (primary.replica.parent_to_extend(primary.now) is not None) is may_go_on


def test_no_new_view_derives_a_block_above_the_last_one() -> None:
    """Whoever prepared one lied: its set is not this one."""
    entries = [WIDE.entry(LAST), WIDE.entry(BEYOND)]
    items = [
        check_view_change(WIDE.view_change(member, 1, base=ONE, entries=entries), WIDE.rules)
        for member in (0, 1, 2)
    ]
    assert [entry.header for entry in derive(items).proposals] == [LAST]


def test_the_last_block_is_no_base_of_its_own_epoch() -> None:
    """Who has it final is in the next epoch, and changes views there."""
    assert check_view_change(WIDE.view_change(1, 1, base=ONE), WIDE.rules).base == ONE
    with pytest.raises(Invalid):
        check_view_change(WIDE.view_change(1, 1, base=LAST), WIDE.rules)


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_certificate_of_another_epoch_proves_nothing(epoch: int) -> None:
    """The same members signed it, and their signatures hold."""
    payload = VotePayload(epoch, COMMIT, 0, 1, header_hash(ONE))
    keys = WIDE.world.member_key
    message = vote_hash(WIDE.world.chain_id, payload)
    signed = make_certificate(payload, {index: keys(index).sign(message) for index in range(3)})
    assert accepts(signed) is (epoch == 0)


def accepts(certificate: Certificate) -> bool:
    try:
        WIDE.rules.check_final(certificate)
    except Invalid:
        return False
    return True
