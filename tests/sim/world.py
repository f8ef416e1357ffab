"""One simulated chain: genesis, keys and signatures, by size and window.

Signatures are mocked by default: a hash of the signer's secret and the whole message, so that a
signature of one message is never one of another, at a hundredth of the price. The public keys are
real ones, because genesis checks them. A few seeds run with real Ed25519.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256, sha512

import msgspec

from consensus.view_change import Rules
from ledger import crypto, genesis, transaction
from ledger.block import IsValid
from ledger.chain import Chain
from ledger.genesis import Genesis
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.locks import Key as KeyLock
from ledger.locks import lock_hash
from ledger.transaction import KeySignature, SignedTransaction, Transaction, Witness
from ledger.validators import ValidatorSet
from ledger.view import Changes
from node.signing import HashKey
from tests.ledger import world

ACCOUNTS = tuple(f"account{index}" for index in range(6))

_secrets: dict[bytes, bytes] = {}


class MockKey:
    """Signs with a hash that binds the whole message."""

    __slots__ = ("_secret", "public")

    def __init__(self, name: str) -> None:
        self.public = world.key(name).public
        self._secret = sha256(b"mock" + name.encode()).digest()
        _secrets[self.public] = self._secret

    def sign(self, message: bytes) -> bytes:
        return sha512(self._secret + message).digest()


def mock_is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """The counterpart of `crypto.verify`."""
    secret = _secrets.get(key)
    return secret is not None and sha512(secret + message).digest() == signature


@cache
def _mock_key(name: str) -> MockKey:
    return MockKey(name)


BOND_COINS, BOND_PPM = 500, 50_000
"""Sixteen issuers are bonded in the coins of three: enough for all of them to mint."""
JOINERS = ("new0", "new1", "new2", "new3")
"""Licences that genesis does not know."""


@dataclass(frozen=True, slots=True)
class SimWorld:
    """What all nodes and clients of a simulated chain share."""

    genesis: Genesis
    changes: Changes
    chain_id: bytes
    validators: ValidatorSet
    is_valid: IsValid
    mocked: bool
    publics: tuple[bytes, ...]
    """Consensus keys by machine."""
    first_store: MemoryKV
    """What `Chain.create` writes."""

    def new_store(self) -> MemoryKV:
        """A database with genesis in it, for one node."""
        return self.first_store.copy()

    def key(self, name: str) -> HashKey:
        return _mock_key(name) if self.mocked else world.key(name)

    def licence(self, machine: int) -> str:
        """Machines are numbered by their places in the first set; those that join come after."""
        first = self.validators.members
        return first[machine].licence if machine < len(first) else JOINERS[machine - len(first)]

    def member_key(self, machine: int) -> HashKey:
        return self.key(f"{self.licence(machine)}/consensus")

    def public(self, machine: int) -> bytes:
        """The consensus key of a machine."""
        return self.publics[machine]

    def machine(self, public: bytes) -> int:
        """The machine that has this consensus key."""
        return self.publics.index(public)

    def rules(self, is_valid: IsValid) -> Rules:
        """As one node takes them, with its own memory of what it verified."""
        return Rules.of(
            self.changes.head.header, self.validators, self.genesis.parameters, is_valid
        )

    def sign(self, body: Transaction, owners: list[str], actors: list[str]) -> SignedTransaction:
        """Seal a body: owners reveal their key lock and sign, actors sign alone."""
        keys = {key.public: key for key in map(self.key, dict.fromkeys((*owners, *actors)))}
        revealed = [KeyLock(self.key(name).public) for name in dict.fromkeys(owners)]
        message = transaction.sighash(body)
        signatures = [KeySignature(public, keys[public].sign(message)) for public in sorted(keys)]
        conditions = tuple(sorted(revealed, key=lock_hash))
        return transaction.seal(body, Witness(conditions, tuple(signatures), ()))


@cache
def sim_world(
    n: int, window: int, *, mocked: bool, epoch_blocks: int = 1_000, epoch_ms: int = 600_000
) -> SimWorld:
    """Made once a process: genesis is the same for all seeds of its size."""
    made = world.make_genesis(n, ACCOUNTS, bond_coins=BOND_COINS, all_bonded=True)
    economy = msgspec.structs.replace(made.parameters.economy, bond_ppm=BOND_PPM)
    parameters = msgspec.structs.replace(
        made.parameters,
        window=window,
        epoch_blocks=epoch_blocks,
        epoch_ms=epoch_ms,
        economy=economy,
    )
    return world_of(msgspec.structs.replace(made, parameters=parameters), mocked=mocked)


def world_of(made: Genesis, *, mocked: bool) -> SimWorld:
    """What nodes of this genesis share."""
    for licence in made.licences:
        _mock_key(f"{licence.id}/consensus")
    joining = [world.key(f"{name}/consensus").public for name in JOINERS]
    changes, store = genesis_state(made), MemoryKV()
    Chain.create(store, changes)
    return SimWorld(
        genesis=made,
        changes=changes,
        chain_id=genesis.chain_id(made),
        validators=made.validators,
        is_valid=mock_is_valid if mocked else crypto.verify,
        mocked=mocked,
        publics=(*[member.key for member in made.validators.members], *joining),
        first_store=store,
    )
