"""What a consensus key is asked to sign: typed requests, from which the key itself takes the hash.

A key that signs bare hashes signs anything. One that is handed the request can judge it, in this
process (`LocalKey`, whose guard did) or in another (`node.signer_client.RemoteKey`).
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from consensus.messages import (
    NewViewBody,
    Signable,
    ViewChangeBody,
    new_view_hash,
    view_change_hash,
)
from ledger.block import VotePayload, vote_hash
from ledger.operations import ValidatorReady
from ledger.transaction import NO_FEE, Transaction, sighash

Request: TypeAlias = Signable | Transaction
"""A transaction is one that says that its validator is ready, and nothing else: `is_ready_body`."""


class HashKey(Protocol):
    """An Ed25519 key pair, as `ledger.crypto.SigningKey` is one."""

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


class Key(Protocol):
    """What a guard signs with."""

    @property
    def public(self) -> bytes: ...

    @property
    def is_at_hand(self) -> bool:
        """Whether to ask it at all."""

    @property
    def trouble(self) -> str:
        """Why it does not sign, as far as it is known; empty when it does."""

    def sign(self, request: Request) -> bytes:
        """Raises `node.vote_guard.Refused`."""


class LocalKey:
    """A key in the memory of this process, on one chain."""

    is_at_hand = True
    trouble = ""

    def __init__(self, key: HashKey, chain_id: bytes) -> None:
        self._key = key
        self._chain_id = chain_id

    @property
    def public(self) -> bytes:
        return self._key.public

    def sign(self, request: Request) -> bytes:
        return self._key.sign(signing_hash(self._chain_id, request))


def signing_hash(chain_id: bytes, request: Request) -> bytes:
    """The 32 bytes that a signature of this request covers."""
    if isinstance(request, VotePayload):
        return vote_hash(chain_id, request)
    if isinstance(request, ViewChangeBody):
        return view_change_hash(chain_id, request)
    if isinstance(request, NewViewBody):
        return new_view_hash(chain_id, request)
    return sighash(request)


def is_ready_body(body: Transaction, chain_id: bytes, public: bytes) -> bool:
    """Whether a transaction says that the validator with this key is ready, and nothing else."""
    is_of_this_key = len(body.operations) == 1 and all(
        isinstance(item, ValidatorReady) and item.key == public for item in body.operations
    )
    moves = (body.inputs, body.outputs, body.fee, body.memo)
    is_bare = moves == ((), (), NO_FEE, b"")
    return is_of_this_key and is_bare and body.chain_id == chain_id
