"""What a signature is for, and on which chain, is in what is signed: nothing can be said again
elsewhere. The digests are computed a second time, by code that shares nothing with the node's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consensus.messages import new_view_hash, view_change_hash
from ledger.block import PREPARE, VotePayload, vote_hash
from ledger.codec import encode_payload
from ledger.transaction import sighash
from tests.consensus.kit import Kit
from tests.ledger.second_shape import digest
from tests.ledger.world import World

KIT = Kit(4)
CHAIN, OTHER_CHAIN = b"\x01" * 32, b"\x02" * 32
CHANGE = KIT.view_change(1, 1).body
NEW_VIEW = KIT.new_view(1, [KIT.view_change(member, 1) for member in (0, 1, 2)]).body
VOTE = VotePayload(0, PREPARE, 1, 1, b"\x03" * 32)

SIGNED: dict[str, Callable[[bytes], bytes]] = {
    "view-change": lambda chain: view_change_hash(chain, CHANGE),
    "new-view": lambda chain: new_view_hash(chain, NEW_VIEW),
    "vote": lambda chain: vote_hash(chain, VOTE),
}
BODIES = {"view-change": CHANGE, "new-view": NEW_VIEW, "vote": VOTE}


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("chain", [CHAIN, OTHER_CHAIN])
def test_digest_of_what_members_sign(name: str, chain: bytes) -> None:
    """Tag, chain and canonical bytes, each with its length, by the second implementation."""
    assert SIGNED[name](chain) == digest(name, chain, encode_payload(BODIES[name]))


@pytest.mark.parametrize("name", SIGNED)
def test_what_is_signed_for_one_chain_is_nothing_on_another(name: str) -> None:
    """The same words, another chain: another digest."""
    assert SIGNED[name](CHAIN) != SIGNED[name](OTHER_CHAIN)


def test_digest_of_what_spenders_sign() -> None:
    """Of a transaction it is the chain and the txid."""
    body = World().transfer("alice", "bob").body
    assert sighash(body) == digest(
        "transaction", body.chain_id, digest("txid", encode_payload(body))
    )
