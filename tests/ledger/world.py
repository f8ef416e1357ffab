"""A small world for tests of the rules: keys by name, a genesis, a state in memory, builders.

Everything derives from names, so that two runs see the same bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from itertools import islice
from typing import Any

import msgspec

from ledger import transaction
from ledger.address import encode_address
from ledger.block import PREPARE, Block, VotePayload, vote_hash
from ledger.crypto import SigningKey
from ledger.draft import Draft
from ledger.economy.attestor import AttestorGrant
from ledger.economy.capacity import CommitmentTerms
from ledger.economy.licence import Licence, LicenceGrant, RoleKeys, certificate_fingerprint
from ledger.economy.parameters import EconomyParameters
from ledger.economy.regulator import Carrier, RegulatorKeys
from ledger.economy.reserve import Reserve
from ledger.economy.standard import Factor, Reference
from ledger.epochs import Epoch
from ledger.execution import Execution
from ledger.genesis import (
    Allocation,
    Authority,
    Genesis,
    GenesisBond,
    GenesisCommitment,
    SignedAttestation,
    attestation_hash,
    chain_id,
)
from ledger.genesis_state import genesis_state
from ledger.locks import Condition, Key, lock_hash
from ledger.objects import load_one
from ledger.operations import (
    EndEpoch,
    Evidence,
    Governance,
    Mint,
    Operation,
    ValidatorReady,
)
from ledger.parameters import Parameters
from ledger.registers import LICENCES, RESERVES
from ledger.registers import REGULATORS as REGULATOR_HELD
from ledger.transaction import (
    NO_FEE,
    Fee,
    Input,
    KeySignature,
    Output,
    SignedTransaction,
    Transaction,
    Witness,
    asset_id,
)
from ledger.validators import ValidatorSet
from ledger.view import Changes, Head, Outpoint, OutputEntry

TIME_MS = 1_800_000_000_000
PERIOD_MS = 60_000
DAY_MS = 86_400_000
COIN = 1_000_000
ROLES = ("operations", "treasury", "metering", "consensus", "link")
GROUPS = ("north", "south", "west")
"""Of the attestors that vouch at the beginning."""
PANEL_GROUPS = ("east", "upper", "lower", "inner", "outer")
"""Of those that do not, and may sit on a panel."""
REGULATORS = ("reg-0", "reg-1", "reg-2")
MACHINES = 60
"""Pledged to each commitment: they can deliver a million µh a minute."""
BOND_COINS = 300
GENESES_KEPT = 16


@cache
def key(name: str) -> SigningKey:
    """The key pair of a name."""
    return SigningKey(sha256(name.encode()).digest())


def lock_of(name: str) -> bytes:
    """The lock that the key of `name` opens."""
    return lock_hash(Key(key(name).public))


def parameters() -> Parameters:
    return Parameters(
        fee_per_byte=1,
        fee_per_signature=50,
        fee_per_new_output=200,
        margin_ppm=200_000,
        period_ms=PERIOD_MS,
        attestation_groups=2,
        window=1,
        block_interval_ms=5,
        heartbeat_ms=10_000,
        view_timeout_ms=2_000,
        view_timeout_ms_max=60_000,
        epoch_blocks=1_000,
        epoch_ms=600_000,
        economy=economy(),
    )


def economy() -> EconomyParameters:
    """As a chain in production has them, but for deliverability: commitments here last a month."""
    return EconomyParameters(
        deliverability_ppm=50_000,
        mint_cap_ppm=1_000_000,
        bond_ppm=100_000,
        deposit_ppm=10_000,
        attestation_life_ms=7 * DAY_MS,
        lower_ms=DAY_MS,
        proposal_ms=7 * DAY_MS,
        contest_ms=7 * DAY_MS,
        cure_ms=7 * DAY_MS,
        bond_cure_ms=30 * DAY_MS,
        application_ms=30 * DAY_MS,
        suspension_ms=180 * DAY_MS,
        rotation_ms=DAY_MS,
        regulator_rotation_ms=30 * DAY_MS,
        winddown_ms=5 * 365 * DAY_MS,
        order_ms_max=90 * DAY_MS,
        audit_devices=150,
        accept_ms=600_000,
        closing_ms=3_600_000,
        tick_ms=60_000,
        penalty_ppm=20_000,
        penalty_ppm_max=200_000,
        forgive_ms=30 * DAY_MS,
        step_ppm=150_000,
        step_spacing_ms=30 * DAY_MS,
        notice_ms=90 * DAY_MS,
        trigger_ppm=100_000,
    )


def regulator_keys(needed: int = 2) -> RegulatorKeys:
    return RegulatorKeys(needed, tuple(sorted(key(name).public for name in REGULATORS)))


def device(name: str) -> bytes:
    """The id of a machine."""
    return sha256(f"device {name}".encode()).digest()


def grant(name: str, *, validator: bool = True, issuer: bool = True) -> LicenceGrant:
    certificate = b"certificate of " + name.encode()
    return LicenceGrant(
        id=name,
        name=f"Cloud {name}",
        jurisdiction="EU",
        document_hash=sha256(b"document" + name.encode()).digest(),
        certificate=certificate,
        certificate_hash=certificate_fingerprint(certificate),
        keys=RoleKeys(*(key(f"{name}/{role}").public for role in ROLES)),
        expires_ms=TIME_MS + 730 * DAY_MS,
        validator=validator,
        issuer=issuer,
    )


def attest(nonce: bytes, item: GenesisCommitment, figures: dict[str, int]) -> GenesisCommitment:
    """The commitment with an attestation by each named attestor."""
    attestations = tuple(
        SignedAttestation(
            name,
            figure,
            key(f"attestor/{name}").sign(attestation_hash(nonce, item, name, figure)),
        )
        for name, figure in figures.items()
    )
    return msgspec.structs.replace(item, attestations=attestations)


def terms(
    issuer: str, *, name: str = "", microhours: int = 1_000_000, days: int = 30
) -> CommitmentTerms:
    return CommitmentTerms(
        id=name or f"capacity-{issuer}",
        issuer=issuer,
        device_class="gpu-80g",
        region="eu-west",
        workloads=("inference", "training"),
        from_ms=TIME_MS,
        to_ms=TIME_MS + days * DAY_MS,
        microhours=microhours,
    )


def commitment(
    issuer: str,
    *,
    name: str = "",
    microhours: int = 1_000_000,
    days: int = 30,
    machines: int = MACHINES,
) -> GenesisCommitment:
    devices = sorted(device(f"{issuer}/{name}/{index}") for index in range(machines))
    made = terms(issuer, name=name, microhours=microhours, days=days)
    return GenesisCommitment(made, tuple(devices), ())


def bonds_of(
    names: Sequence[str], first: Sequence[str], coins: int = BOND_COINS
) -> tuple[GenesisBond, ...]:
    """Each of `names` is bonded in the coins of `first`, but for its own."""
    return tuple(
        GenesisBond(issuer, coin, coins * COIN)
        for issuer in names
        for coin in first
        if coin != issuer
    )


def make_genesis(
    n: int = 4,
    accounts: Sequence[str] = ("alice", "bob"),
    *,
    epoch_blocks: int = 1_000,
    epoch_ms: int = 600_000,
    bond_coins: int = BOND_COINS,
    all_bonded: bool = False,
) -> Genesis:
    """n validators that all issue; each account gets 1,000 coins of each of the first three, and
    these, or all, are bonded in their coins."""
    names = [f"val{index}" for index in range(n)]
    nonce = sha256(b"nonce").digest()
    figures = {f"att-{group}": 900_000 + index for index, group in enumerate(GROUPS)}
    return Genesis(
        format=1,
        network="devnet",
        nonce=nonce,
        time_ms=TIME_MS,
        authority=Authority(b"certificate of the authority", key("authority").public),
        parameters=msgspec.structs.replace(
            parameters(), epoch_blocks=epoch_blocks, epoch_ms=epoch_ms
        ),
        standard=(
            Factor("gpu-80g", "inference", 1_500_000),
            Factor("gpu-80g", "training", 1_000_000),
        ),
        references=(Reference("inference", 3_000), Reference("training", 1_000)),
        regulator=regulator_keys(),
        attestors=tuple(
            AttestorGrant(
                f"att-{group}", f"Lab {group}", group, key(f"attestor/att-{group}").public
            )
            for group in (*GROUPS, *PANEL_GROUPS)
        ),
        licences=tuple(grant(name) for name in names),
        commitments=tuple(attest(nonce, commitment(name), figures) for name in names),
        bonds=bonds_of(names if all_bonded else names[:3], names[:3], bond_coins),
        allocations=tuple(
            Allocation(name, 1_000 * COIN, encode_address(lock_of(account), "mrst"))
            for account in accounts
            for name in names[:3]
        ),
    )


@cache
def usual_genesis() -> Genesis:
    return make_genesis()


@lru_cache(maxsize=GENESES_KEPT)
def state_of(genesis: Genesis) -> Changes:
    """Worked out once for thousands of tests: whoever reads it changes nothing in it."""
    return genesis_state(genesis)


@dataclass
class MemoryState:
    """A view of the last applied block, in dictionaries."""

    head: Head
    outputs: dict[Outpoint, OutputEntry] = field(default_factory=dict)
    spent: set[Outpoint] = field(default_factory=set)
    stored: dict[bytes, bytes] = field(default_factory=dict)
    names: list[bytes] = field(default_factory=list)
    """Of what is stored, in order; made anew when others are stored."""
    named: frozenset[bytes] = frozenset()
    """The same, to see whether others are."""

    @classmethod
    def of(cls, genesis: Genesis) -> MemoryState:
        changes = state_of(genesis)
        state = cls(changes.head)
        state.apply(changes)
        return state

    def copy(self) -> MemoryState:
        """The same, to go on from more than once."""
        return MemoryState(self.head, dict(self.outputs), set(self.spent), dict(self.stored))

    def apply(self, changes: Changes) -> None:
        self.head = changes.head
        for outpoint in changes.spent:
            del self.outputs[outpoint]
            self.spent.add(outpoint)
        self.outputs.update(changes.created)
        for name, data in changes.objects.items():
            if data is None:
                self.stored.pop(name, None)  # Or made and removed by this very block.
            else:
                self.stored[name] = data

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        return self.outputs.get(outpoint)

    def is_spent(self, outpoint: Outpoint) -> bool:
        return outpoint in self.spent

    def object(self, name: bytes) -> bytes | None:
        return self.stored.get(name)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self.named != self.stored.keys():
            self.names, self.named = sorted(self.stored), frozenset(self.stored)
        found = []
        for name in islice(self.names, bisect_left(self.names, prefix), None):
            if not name.startswith(prefix):
                break
            found.append((name, self.stored[name]))
        return iter(found)


class World:
    """A genesis, its state and builders of transactions and blocks on it."""

    def __init__(self, genesis: Genesis | None = None) -> None:
        self.genesis = genesis or usual_genesis()
        self.chain_id = chain_id(self.genesis)
        self.state = MemoryState.of(self.genesis)
        self.fees = load_one(self.state, Parameters).fees

    @property
    def time_ms(self) -> int:
        return self.state.head.header.time_ms

    @property
    def draft(self) -> Draft:
        """The state as rules read it, as of the last block."""
        return Draft(self.state, self.time_ms)

    @property
    def epoch(self) -> Epoch:
        """That of the next block."""
        return load_one(self.state, Epoch)

    @property
    def validators(self) -> ValidatorSet:
        """Those of the next block."""
        return self.epoch.validators

    @property
    def seats(self) -> set[str]:
        """Licences of the next block's validators."""
        return {member.licence for member in self.validators.members}

    def licence(self, name: str) -> Licence:
        found = LICENCES.get(self.draft, name.encode())
        assert found is not None
        return found

    def reserve(self, issuer: str = "val0") -> Reserve:
        """How an issuer's coin stands now."""
        found = RESERVES.get(self.draft, self.asset(issuer))
        assert found is not None
        return found

    def asset(self, issuer: str = "val0") -> bytes:
        return asset_id(self.chain_id, issuer)

    def coin(self, owner: str, issuer: str = "val0") -> Input:
        """An input that spends the largest coin of `issuer` that `owner` holds."""
        wanted = (self.asset(issuer), lock_of(owner))
        coins = [
            Input(txid, index, entry.asset, entry.amount)
            for (txid, index), entry in self.state.outputs.items()
            if (entry.asset, entry.lock) == wanted
        ]
        if not coins:
            raise LookupError(f"{owner} has no coin of {issuer}")
        return max(coins, key=lambda item: (item.amount, item.txid))

    def body(
        self,
        inputs: Sequence[Input] = (),
        outputs: Sequence[Output] = (),
        *,
        fee: Fee = NO_FEE,
        operations: Sequence[Operation] = (),
        memo: bytes = b"",
        life_ms: int = 3_600_000,
    ) -> Transaction:
        return Transaction(
            version=1,
            chain_id=self.chain_id,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            fee=fee,
            operations=tuple(operations),
            expires_at_ms=self.time_ms + life_ms,
            memo=memo,
        )

    def transfer(
        self,
        owner: str,
        to: str,
        amount: int = COIN,
        *,
        coin: Input | None = None,
        fee: int = 2_000,
    ) -> SignedTransaction:
        """`amount` of the coin to `to`, the rest back."""
        spent = coin or self.coin(owner)
        change = spent.amount - amount - fee
        outputs = [
            Output(spent.asset, amount, lock_of(to)),
            Output(spent.asset, change, lock_of(owner)),
        ]
        body = self.body([spent], outputs, fee=Fee(spent.asset, fee))
        return sign(body, [owner])

    def mint(
        self,
        issuer: str = "val0",
        amount: int = COIN,
        *,
        number: int = 0,
        lane: int = 0,
        to: str = "alice",
    ) -> SignedTransaction:
        signer = f"{issuer}/treasury"
        operation = Mint(issuer, key(signer).public, lane, number, amount)
        output = Output(self.asset(issuer), amount, lock_of(to))
        return sign(self.body([], [output], operations=[operation]), [], [signer])

    def govern(
        self, *operations: Operation, approvers: Sequence[str] | None = None
    ) -> SignedTransaction:
        """Operations with the approvals that they want: the first validators, the first keys of
        the regulator; or with those of others, named by key."""
        if approvers is None:
            approvers = self.approvers(*operations)
        return sign(self.body(operations=operations), [], approvers)

    def approvers(self, *operations: Operation) -> list[str]:
        """The least that carries the operations; validators where either may."""
        wanted = {item.carrier for item in operations if isinstance(item, Governance)}
        names = []
        if wanted != {Carrier.REGULATOR}:
            members = self.validators.members[: self.validators.quorum]
            names += [f"{member.licence}/operations" for member in members]
        if wanted & {Carrier.REGULATOR, Carrier.BOTH}:
            regulator = REGULATOR_HELD.get(self.draft)
            assert regulator is not None
            names += REGULATORS[: regulator.keys.needed]
        return names

    def ready(self, name: str) -> SignedTransaction:
        """The node of `name` says that it holds the chain up to the epoch's base."""
        signer, epoch = f"{name}/consensus", self.epoch
        base_hash = epoch.base_hash
        if epoch.base_height == self.state.head.header.height:
            base_hash = self.state.head.hash  # The epoch's first block will write it.
        operation = ValidatorReady(name, key(signer).public, epoch.base_height, base_hash)
        return sign(self.body(operations=[operation]), [], [signer])

    def evidence(self, name: str, **changes: Any) -> Evidence:
        """Two votes of `name` for different blocks at one place of the present epoch.

        `changes` are fields of both votes.
        """
        signer = key(f"{name}/consensus")
        fields = {"epoch": self.epoch.number, "phase": PREPARE, "view": 2, "height": 7, **changes}
        first, second = (VotePayload(**fields, block_hash=bytes([i]) * 32) for i in (1, 2))
        signatures = [signer.sign(vote_hash(self.chain_id, vote)) for vote in (first, second)]
        return Evidence(name, signer.public, first, signatures[0], second, signatures[1])

    def accuse(self, name: str, **changes: Any) -> SignedTransaction:
        return sign(self.body(operations=[self.evidence(name, **changes)]), [])

    def end_epoch(self, txs: Sequence[SignedTransaction] = ()) -> Block:
        """A block with `txs` that ends the epoch, applied."""
        return self.advance([self.govern(EndEpoch(self.epoch.number)), *txs])

    def execution(self, after_ms: int = 1_000) -> Execution:
        member = self.validators.members[0]
        return Execution(self.state, time_ms=self.time_ms + after_ms, proposer=member.key)

    def make_block(
        self, txs: Sequence[SignedTransaction] = (), after_ms: int = 1_000
    ) -> tuple[Block, Changes]:
        """A valid block on the state, not applied."""
        execution = self.execution(after_ms)
        for tx in txs:
            execution.add(tx)
        changes = execution.finish()
        return Block(changes.head.header, tuple(tx.raw for tx in txs)), changes

    def advance(self, txs: Sequence[SignedTransaction] = (), after_ms: int = 1_000) -> Block:
        """A valid block, applied."""
        block, changes = self.make_block(txs, after_ms)
        self.state.apply(changes)
        return block


def sign(
    body: Transaction,
    owners: Sequence[str],
    actors: Sequence[str] = (),
    *,
    conditions: Sequence[Condition] = (),
    preimages: Sequence[bytes] = (),
) -> SignedTransaction:
    """Seal a body: `owners` reveal their key lock and sign, `actors` sign alone.

    `conditions` and `preimages` are revealed beside those; whoever must sign for them is an actor.
    """
    revealed = [*conditions, *(Key(key(name).public) for name in dict.fromkeys(owners))]
    signers = {key(name).public: key(name) for name in (*owners, *actors)}
    message = transaction.sighash(body)
    return transaction.seal(
        body,
        Witness(
            conditions=tuple(sorted(revealed, key=lock_hash)),
            signatures=tuple(
                KeySignature(public, signers[public].sign(message)) for public in sorted(signers)
            ),
            preimages=tuple(sorted(preimages, key=lambda item: sha256(item).digest())),
        ),
    )
