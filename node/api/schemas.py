"""What the HTTP API answers, as typed structs: one definition for server and client.

Conventions, the same in every struct: amounts and bytes as in `node.api.forms`; a time is
milliseconds since 1970 (`*_ms`) with the same moment in RFC 3339 UTC beside it where people read
it; heights and counts are integers below 2^53. Answers may grow.
Imports msgspec alone: the command line loads this file on every start.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

from node.api.forms import Amount, Count, Hex, Hex32, Hex64
from node.api.transaction_forms import TransactionForm

BATCH_TRANSACTIONS_MAX = 1_000
WAIT_MS_MAX = 5_000
PAGE_ITEMS_DEFAULT = 50
PAGE_ITEMS_MAX = 200


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what the node says; a reader ignores fields that it does not know."""


T = TypeVar("T")


class Page(Answer, Generic[T], frozen=True, kw_only=True):
    """A part of a list. `next_cursor` is opaque and null at the end."""

    items: list[T]
    next_cursor: str | None = None


class Problem(Answer, frozen=True, kw_only=True):
    """An error in the shape of RFC 9457; `code` is stable, `hint` says what to do next."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str


class Submitted(Answer, frozen=True, kw_only=True):
    """The node holds the transaction. `known`: it held it before, or it is final already."""

    txid: Hex32
    status: Literal["new", "known"]


class BatchResult(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """One transaction of a batch. `txid` is missing where the bytes could not be read."""

    status: Literal["new", "known", "refused"]
    txid: Hex32 | None = None
    code: str | None = None
    detail: str | None = None


class BatchAnswer(Answer, frozen=True, kw_only=True):
    """A result for each transaction, in the order in which they were sent."""

    results: list[BatchResult]


class Checked(Answer, frozen=True, kw_only=True):
    """The node would take the transaction; nothing was sent anywhere."""

    txid: Hex32
    size_bytes: Count
    fee_required: Amount


# Blocks.


class Header(Answer, frozen=True, kw_only=True):
    """Every hashed field of a block header, its hash, and its time for people."""

    hash: Hex32
    version: Count
    chain_id: Hex32
    epoch: Count
    height: Count
    parent_hash: Hex32
    tx_root: Hex32
    evidence_root: Hex32
    receipts_root: Hex32
    state_root: Hex32
    validators_hash: Hex32
    next_validators_hash: Hex32
    time_ms: Count
    time: str
    proposer: Hex32


class Signer(Answer, frozen=True, kw_only=True):
    """One signature of a certificate: the member's index in the validator set and its licence."""

    index: Count
    licence: str
    signature: Hex64


class Certificate(Answer, frozen=True, kw_only=True):
    """A quorum's signatures over one vote; `phase` 1 is PREPARE, 2 is COMMIT."""

    epoch: Count
    phase: Count
    view: Count
    height: Count
    block_hash: Hex32
    signers: list[Signer]


class BlockSummary(Answer, frozen=True, kw_only=True):
    height: Count
    hash: Hex32
    time_ms: Count
    time: str
    proposer: str
    """The licence of the member that built the block; empty for the genesis block."""
    transactions: Count
    view: Count
    signers: list[str]
    """Licences of the quorum in this node's certificate; none of the genesis block."""
    final_after_ms: Count | None = None
    """From the time of its header to its being final at this node, as far as two clocks agree; null
    for a block of before the node's start."""


class Block(Answer, frozen=True, kw_only=True):
    """A final block. The genesis block needs no certificate and has none."""

    header: Header
    proposer: str
    txids: list[Hex32]
    size_bytes: Count
    certificate: Certificate | None


class CertifiedHeader(Answer, frozen=True, kw_only=True):
    header: Header
    certificate: Certificate | None


# The state of one transaction.


class ListProof(Answer, frozen=True, kw_only=True):
    """That a leaf stands at `index` of a list of `count` leaves; siblings from the leaf up."""

    index: Count
    count: Count
    path: list[Hex32]


class TransactionProof(Answer, frozen=True, kw_only=True):
    """All that shows a transaction final to someone who holds the genesis file alone.

    The transaction's bytes give txid and leaf; the path leads from the leaf to the header's
    `tx_root`; the certificate makes the header final.
    """

    txid: Hex32
    wtxid: Hex32
    transaction: Hex
    inclusion: ListProof
    header: Header
    certificate: Certificate


class TransactionStatus(Answer, frozen=True, kw_only=True):
    """Where a transaction stands. `proof` comes with `final`, `code` with `rejected`, and with
    `final` where it is `pruned`: the node does not keep the transaction any more.

    `transaction` is there whenever the node holds it. A refusal is remembered for the last
    refused transactions only; a client that computed the txid itself may find `unknown`.
    """

    txid: Hex32
    status: Literal["unknown", "pending", "final", "rejected"]
    height: Count | None = None
    position: Count | None = None
    time_ms: Count | None = None
    time: str | None = None
    code: str | None = None
    detail: str | None = None
    transaction: TransactionForm | None = None
    proof: TransactionProof | None = None


# Outputs and addresses.


class Coin(Answer, frozen=True, kw_only=True):
    """An unspent output."""

    txid: Hex32
    index: Count
    asset: Hex32
    issuer: str
    amount: Amount
    lock: Hex32
    address: str
    height: Count
    """Of the block that made it."""


class Balance(Answer, frozen=True, kw_only=True):
    asset: Hex32
    issuer: str
    amount: Amount
    coins: Count
    """Unspent outputs that make up the amount."""


class Address(Answer, frozen=True, kw_only=True):
    address: str
    lock: Hex32
    height: Count
    """The height for which the balances hold."""
    balances: list[Balance]


class Movement(Answer, frozen=True, kw_only=True):
    """What one transaction took from and gave to an address, in one asset."""

    asset: Hex32
    issuer: str
    received: Amount
    sent: Amount


class HistoryItem(Answer, frozen=True, kw_only=True):
    """`position` is null for an output that the system made."""

    txid: Hex32
    height: Count
    position: Count | None
    time_ms: Count
    time: str
    movements: list[Movement]


class OutputProof(Answer, frozen=True, kw_only=True):
    """That a coin is unspent after the block of the header that the certificate makes final."""

    unspent: Hex
    """Canonical bytes of `ledger.proofs.UnspentProof`, which holds the header."""
    certificate: Certificate | None


class Outpoint(Answer, frozen=True, kw_only=True):
    """`unspent` comes with the coin and a proof, `spent` with the spending transaction, unless
    the node does not keep that any more."""

    txid: Hex32
    index: Count
    status: Literal["unknown", "unspent", "spent"]
    coin: Coin | None = None
    proof: OutputProof | None = None
    spent_by: Hex32 | None = None


class Object(Answer, frozen=True, kw_only=True):
    """An encoded protocol object by its key, null where there is none, and the proof of either.

    `proof` is an `ledger.object_tree.ObjectProof`, `roots` the `ledger.accumulator.StateRoots`
    that open the header's `state_root`, both as canonical bytes.
    """

    key: Hex
    value: Hex | None
    proof: Hex
    roots: Hex
    header: Header
    certificate: Certificate | None


# Issuers, capacity, reserve.


class Asset(Answer, frozen=True, kw_only=True):
    asset: Hex32
    issuer: str
    supply: Amount


class Lane(Answer, frozen=True, kw_only=True):
    lane: Count
    next_number: Count


class IssuerReserve(Answer, frozen=True, kw_only=True):
    """What backs an issuer's coin; ratios end at a thousandfold. `residual` is owed for coins that
    were redeemed uncovered, beside `outstanding`."""

    issuer: str
    asset: Hex32
    status: str
    outstanding: Amount
    residual: Amount
    reserve: Amount
    headroom: Amount
    coverage_ppm: Count
    deliverability_ppm: Count


class Reserve(Answer, frozen=True, kw_only=True):
    """`ok` while no issuer's coin exceeds its reserve.

    The issuers' rows are the leaves of the supply root; `roots`, canonical bytes of a
    `ledger.accumulator.StateRoots`, shows it under the header's `state_root`.
    """

    height: Count
    header_time_ms: Count
    ledger_time_ms: Count
    ok: bool
    issuers: list[IssuerReserve]
    roots: Hex
    header: Header
    certificate: Certificate | None


class Validator(Answer, frozen=True, kw_only=True):
    index: Count
    licence: str
    name: str
    key: Hex32
    is_primary: bool
    connected: bool


class Validators(Answer, frozen=True, kw_only=True):
    hash: Hex32
    n: Count
    f: Count
    quorum: Count
    members: list[Validator]


class NetworkInfo(Answer, frozen=True, kw_only=True):
    name: str
    chain_id: Hex32
    protocol: Count


class NodeInfo(Answer, frozen=True, kw_only=True):
    """`name` is the licence id of a validator, and a name of the operator's for an observer."""

    name: str
    role: Literal["validator", "observer"]
    version: str
    key: str
    """Where its consensus key is; empty for an observer."""


class Sync(Answer, frozen=True, kw_only=True):
    """`target_height` is the highest that a certificate has proved to this node."""

    height: Count
    hash: Hex32
    state_root: Hex32
    header_time_ms: Count
    header_time: str
    ledger_time_ms: Count
    ledger_time: str
    catching_up: bool
    target_height: Count


class Consensus(Answer, frozen=True, kw_only=True):
    """`connected` counts this node too; `missing` names the validators without a link."""

    epoch: Count
    epoch_base_height: Count
    """Of the last block of the epoch before."""
    view: Count
    primary: str
    has_seat: bool
    """Whether this node is a validator of the epoch."""
    is_voting: bool
    reason: str
    """Why this node does not vote, or nothing commits; empty when all is well."""
    last_commit_age_ms: Count | None
    """Null until a block was committed since the start."""
    validators: Count
    quorum: Count
    connected: Count
    missing: list[str]
    waiting: list[str]
    """Licences that wait for a seat."""


class Status(Answer, frozen=True, kw_only=True):
    network: NetworkInfo
    node: NodeInfo
    sync: Sync
    consensus: Consensus
    warnings: list[str]
    """Of the clock and of keys that run twice; each says what to do."""


class Mempool(Answer, frozen=True, kw_only=True):
    transactions: Count
    """Those that pay, as their bytes and operations."""
    transactions_max: Count
    size_bytes: Count
    size_bytes_max: Count
    operations: Count
    operations_max: Count
    free: Count
    """Those that pay nothing; a licence has few."""
    resent: Count
    """Those that validators sent again, in room of their own, free ones too."""
    oldest_pending_ms: Count


class Fees(Answer, frozen=True, kw_only=True):
    per_byte: Amount
    per_signature: Amount
    per_new_output: Amount


class EconomyParams(Answer, frozen=True, kw_only=True):
    """Those of the economy; `ledger.economy.parameters` says what each means."""

    deliverability_ppm: Count
    mint_cap_ppm: Count
    bond_ppm: Count
    deposit_ppm: Count
    attestation_life_ms: Count
    lower_ms: Count
    proposal_ms: Count
    contest_ms: Count
    cure_ms: Count
    bond_cure_ms: Count
    application_ms: Count
    suspension_ms: Count
    rotation_ms: Count
    regulator_rotation_ms: Count
    winddown_ms: Count
    order_ms_max: Count
    audit_devices: Count
    step_ppm: Count
    step_spacing_ms: Count
    notice_ms: Count
    trigger_ppm: Count
    accept_ms: Count
    closing_ms: Count
    tick_ms: Count
    penalty_ppm: Count
    penalty_ppm_max: Count
    forgive_ms: Count


class Params(Answer, frozen=True, kw_only=True):
    """Constants of the chain, from its genesis."""

    network: str
    chain_id: Hex32
    address_prefix: str
    fees: Fees
    margin_ppm: Count
    period_ms: Count
    attestation_groups: Count
    window: Count
    block_interval_ms: Count
    heartbeat_ms: Count
    view_timeout_ms: Count
    view_timeout_ms_max: Count
    transaction_bytes_max: Count
    block_transactions_max: Count
    block_bytes_max: Count
    block_operations_max: Count
    lifetime_ms_max: Count
    economy: EconomyParams
